// Package replica holds no code: its tests run kv-server as real processes, one to
// four of them, and do to them what they have to stand, under load.
//
//	go test ./test/replica -v                       each fault once
//	go test ./test/replica -v -faults 50 -table F   fifty times, and what was measured written to F
//	                                                -timeline F: what clients got, for internal/figures/availability
//
// The load is clients of two sorts. Plain ones send what the requirement has clients
// send, GET key and GET key=value, to one server at a time; others are replica://
// tables. Both swap values that are written once each, on keys that they share, and
// note what they got, so that the history can be judged exactly. A run without 100
// requests a second before the fault says nothing, and fails.
//
// Downtime is what clients see of a fault: the longest time between two answers,
// whoever got them, all clients at once, and of reads and writes the longer one. It
// can't be shorter than what lies between two answers when nothing is wrong, which
// the table has beside it, and what the machine stood still meanwhile.
//
// Package versus, a module of its own, sets the service beside etcd.
package replica
