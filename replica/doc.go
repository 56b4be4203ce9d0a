// Package replica is a table of one to four servers that each hold all of it, agree
// on every write before it is answered, and speak HTTP. It is linearizable while a
// quorum is left; below that it serves on and labels its answers.
//
//	 curl, kv ──> Server ─ internal/web ── HTTP, as plain as it comes
//	                │
//	Table ──────────┤      internal/node ─ the machine: raft, views, epochs
//	(internal/client)      internal/state  what is stored, the same everywhere
//	                │
//	 other servers ─┴───── internal/mesh ─ connections between servers, same port
//
// [Server] is one of the servers, as kv-server runs it; one goroutine of it has the
// machine. [Table] is the client, opened as replica://host:port,..., and [Once] makes
// one call. [Status] is what a server tells of itself and of the others. [Servers]
// reads servers.txt.
//
// docs/replica.md has what the table promises, fault by fault; the doc.go of
// internal/node how it keeps it, and internal/sim tries it.
package replica
