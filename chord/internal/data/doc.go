// Package data keeps what a node of a chord table has: entries, by key and by where
// they lie on the circle, and records of what came of writes, by client. A node holds
// many spans, its own and copies of others'; here they are one heap, and what happens
// to a span happens to all that lies in it.
//
//	Get, Put ─────────────── map ── "291" ──> entry
//	                                            │
//	Scan, Sweep, Drop, Count ── tree ── 35,"291"┘  35,"35"  77,"77" ...
//
//	Record, Recall ── client 7 ── up to 3 answered; 4 ──> record  5 ──> record ...
//
// A span is sent by Scan after Scan, from cursor to cursor, and what is written
// meanwhile is sent on its own. Who receives it calls Begin, then Put and Record with
// all that comes, of the scan and of writes, and at the end Sweep, which removes what
// the sender has not got.
//
// A client says with each write which of its earlier ones have been answered, and
// those never count again (see [msg.OpID]). So their records are forgotten, wherever
// they lie, and what stays is up to where the client has been answered. That is true
// of the client and not of a span: Sweep and Drop leave it, and Scan tells it of all
// clients. Else who gets a span of many would take a write for new that was long on
// its way, carried out, and forgotten because of a write to another span.
//
// There is no clock, no chance and no locking: a Data belongs to one goroutine, and
// the same calls have the same results.
package data
