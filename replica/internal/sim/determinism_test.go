package sim

import (
	"bytes"
	"testing"

	"github.com/torc-dht/torc/internal/simnet"
)

// A seed is the same run each time, to the byte: raft's own dice, which no seed
// decides, are not thrown.
func TestSeedsRepeat(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		var traces [2]bytes.Buffer
		var hashes [2]uint64
		for i := range traces {
			c := chance(seed + 1)
			c.trace = &traces[i]
			w := anything(c)
			hashes[i] = w.net.Hash()
		}
		if d := simnet.Diff(traces[0].String(), traces[1].String()); d != "" || hashes[0] != hashes[1] {
			t.Fatalf("seed %d is two runs, %x and %x, which part here:\n%s", seed+1, hashes[0], hashes[1], d)
		}
	}
}
