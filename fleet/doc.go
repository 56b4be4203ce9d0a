// Package fleet is a table over memcached servers that somebody already runs.
//
// The servers know nothing of each other or of torc. A [Directory] says which
// are there; every client computes from that, by itself, which of them hold a key,
// and asks those: no hop between, and no placement remembered.
//
//	   caller
//	     │ Get, Put, Delete
//	  ┌──▼───┐  view   ┌───────────┐        ┌───────────┐
//	  │ Table ◄────────┤ Directory ◄────────┤ watchdogs │
//	  └──┬───┘         └───────────┘        └─────┬─────┘
//	     │ owners of the key                      │ check
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
// It is a cache: any entry may be missing at any time, evicted, or lost with its
// servers. A key stays on its servers while those are in the view, whoever else
// comes and goes, but for the share that a server which joins takes over, and the
// point or two that ketama's rounding shifts.
//
// With Config.Copies r, each key is on r servers: the next distinct ones on the
// ring, on different hosts where there are enough. A Put is answered when all have
// the value, and a Delete when none has anything that could come back. A Get asks
// the first, so that it costs what it does with one copy; the next at once where one
// has nothing, and beside it where one is silent for Options.Hedge; and gives what it
// finds to those that lack it. So a server that dies costs no entry, and no wait
// after the first.
//
// A read does not wait for the truth: if none of the key's servers can be asked, it
// is a miss. A write does: while one of them can't be reached it is tried again,
// there or where the view by then says, until it is carried out or its time is up.
// A write without an answer may be carried out later, but hardly after its server
// has come back into the view: the connections it went out on are closed when a
// server leaves.
//
// A write that is tried again does not take effect again over what others have
// written since, as long as the key's first server stays and has answered. Where it
// has not, or is another by then, this is so as far as can be told (docs/fleet.md,
// "What it promises", has the cases in which it can't).
//
// Writes that race, by any number of clients, leave the copies equal, some ten
// milliseconds later; until then the first server's counts. A Put with a condition,
// and whether a Delete found something, are decided there, by one cas. A Get that
// finds nothing there may see a write on another server that is under way.
//
// Writes of one key by one Table are carried out in the order of the calls, as
// long as the same servers hold the key.
//
// # What may be stale
//
// What a server held while it was away is out of date, and so may be what one holds
// that stayed: of a key that another took over, and then left again. With
// Config.Stamps each value carries the version of its writer's view, and a value
// counts only if the history of views says that nobody else can have taken a newer
// one; package fence has the rule. What does not count is a miss, unless others'
// having nothing proves it after all (RejoinCheck). Without stamps every value
// counts; then a server that was away is emptied before it is used again, and one
// that stayed is believed (docs/fleet.md, "Stale values").
//
// A client that has lost its directory goes on by the last view it knows, and
// promises nothing of this; Options.Offline can have it refuse instead.
package fleet
