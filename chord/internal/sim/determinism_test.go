package sim

import (
	"strings"
	"testing"

	"github.com/torc-dht/torc/internal/simnet"
)

// A seed is the same run each time, to the byte.
func TestSeedsRepeat(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		var traces [2]strings.Builder
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
