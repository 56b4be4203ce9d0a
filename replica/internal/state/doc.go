// Package state is what every node of a replica table has: entries, what became
// of operations that may come again, and what was removed a while ago. The same
// operations make the same of it everywhere.
//
//	s := state.New(state.Limits{})
//	res := s.Apply(epoch, now, &msg.Op{Kind: msg.Put, Key: "greeting", Value: []byte("hello")})
//	res = s.Get("greeting")
//
// # Time
//
// There is no clock in here. Operations come with the time of the log, and what is
// due by then, entries that expire, is done before them. When nobody writes, a
// leader brings time by a [msg.Expire] at [State.Due].
//
// # Parts
//
//	            primary                     found from it
//	items       tree by key ─────────────┬─ index by key
//	            entries and graves       ├─ heap of entries that expire
//	                                     └─ heap of graves
//	records     pages by age ────────────── clients, each with its records by number
//	numbers     time, writes, merged, dropped
//
// An [Image] has the primary parts alone: a B-tree, and a list of pages, of pointers
// to what never changes. The state copies a node or a page when it first writes to
// it after the image. A [Loader] finds the rest again. So whatever decides what an
// operation does must be found from the primary parts, and where two things may
// come first, a rule says which: never the order in which they came, or that of a
// Go map.
//
// # Graves
//
// A key that was removed leaves a grave for an hour: its version and time. It lets
// lineages that come together again know that there was a write, and whose was
// later. An entry that expires leaves one with the version that it had, since
// nobody wrote.
package state
