// Package chord holds no code: its tests run the programs of the ring, node, add, get,
// remove, update and fail, as real processes, and do to them what happens to real ones.
//
//	go test ./test/chord -v                       each fault once or a few times
//	go test ./test/chord -v -faults 5 -table F    five times, and what was measured written to F
//	TORC_SOAK=1 go test ./test/chord -timeout 2h  twenty times, and a hundred random changes
//
// The faults are played under load, with clients that add, update, remove and read the
// same keys and record what they saw; porcupine judges that. After each the nodes are
// asked whether they are one ring that has all copies.
package chord
