// Package fleet holds no code: its tests play every fault that a fleet in
// ZooKeeper has to stand, with real memcached, real ZooKeeper and real watchdogs
// as processes, killed, frozen and cut off for real.
//
//	go test ./test/fleet -v                      each fault twice
//	go test ./test/fleet -v -faults 10           each fault ten times, and the table
//	go test ./test/fleet -v -faults 10 -table F  the table written to the file F
//
// Times are from the fault to the moment at which three `torc watch` processes
// of their own have printed the view that follows; the slowest counts.
package fleet
