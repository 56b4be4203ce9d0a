// Package data keeps what a node of a chord table has: entries, by key and by where
// they lie on the circle, and records of what came of writes, by client and by where
// the written key lies. A node holds many spans, its own and copies of others'; here
// they are one heap, and what happens to a span happens to all that lies in it.
//
//	               ┌ map ──── "291" ──> entry
//	Get, Put ──────┤                      │
//	Scan, Sweep, ──┴ by place ─ 35,"291" ─┘   35,"35" ...
//	Drop, Count
//	Scan, Sweep, ─── by place ─ 35,client 7,number 4 ─> record
//	Drop                                                  │
//	Record, Recall ─ by client ─ 7: below 4 answered, 4 ──┘ 5 ...
//
// A span is sent by Scan after Scan, from cursor to cursor, and what is written
// meanwhile is sent on its own. Who receives it calls Begin, then Put and Record with
// all that comes, of the scan and of writes, and at the end Sweep, which removes what
// the sender has not got.
//
// A client says with each write which of its earlier ones have been answered, and
// those are never repeated (see [msg.OpID]). So their records are forgotten, wherever
// they lie, and what stays is up to where the client has been answered. That is so of
// the client and not of a span: Sweep and Drop leave it, and Scan tells it of all
// clients, in records whose Number is below their Oldest, for who only knows the span
// would take a write that was long on its way for a new one.
//
// There is no clock, no chance and no locking: a Data belongs to one goroutine, and
// the same calls have the same results.
package data
