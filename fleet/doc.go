// Package fleet is a table over memcached servers that somebody already runs.
//
// The servers know nothing of each other or of torc. A [Directory] says which
// are there; every client computes from that, by itself, which of them holds a
// key, and asks that one: no hop between, and no placement remembered.
//
//	   caller
//	     │ Get, Put, Delete
//	  ┌──▼───┐  view   ┌───────────┐        ┌───────────┐
//	  │ Table ◄────────┤ Directory ◄────────┤ watchdogs │
//	  └──┬───┘         └───────────┘        └─────┬─────┘
//	     │ ring.Owner(key)                        │ check
//	┌────▼─────┐  ┌──────────┐  ┌──────────┐      │
//	│memcached │  │memcached │  │memcached ◄──────┘
//	└──────────┘  └──────────┘  └──────────┘
//
// There are two directories. A [List] is fixed, and the client checks its servers
// itself (memcached://, memcached+file:). Package zookeeper's has one ephemeral
// znode for each server, kept by a watchdog beside it (zk://).
//
// # What it promises
//
// It is a cache of one copy for each key. Any entry may be missing at any time:
// evicted, or lost with its server. A key stays on its server while that is in
// the view, whoever else comes and goes, but for the share that a server which
// joins takes over, and the point or two that ketama's rounding shifts.
//
// A read does not wait for the truth: if the key's server can't be asked, it is
// a miss. A write does: while the key's server can't be reached it is tried
// again, there or where the view by then says, until it is carried out or its
// time is up. A write that was answered lies on the server that held the key
// when the answer came. A write without an answer may be carried out later, but
// hardly after its server has come back into the view: the connections it went
// out on are closed when a server leaves, and the server is flushed before it is
// used again. (Hardly, because what a frozen server or a cut link held up may
// come to the server in the same instant as the flush.)
//
// What a server held while it was away is never read, because of that flush.
// But a server that stayed may hold an old value too: of a key that a server
// which joined took over, and then left again. Only a version in each value can
// tell (docs/fleet.md, "Stale values").
//
// Writes of one key by one Table are carried out in the order of the calls, as
// long as one server holds the key.
package fleet
