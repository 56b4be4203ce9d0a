//go:build fewslots

package sim

import (
	"testing"

	"github.com/torc-dht/torc/shard/internal/server"
)

// TestPlantedBugsAreFound breaks a rule at a time, and looks for the first seed of
// TestAnything that shows it.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	for _, bug := range []struct {
		name   string
		within uint64 // seeds
		plant  func(*config)
	}{
		{"a write is answered before the copies have it", 20, func(c *config) { c.server.Planted = server.Planted{AnswerEarly: true} }},
		{"promises are endless", 20, func(c *config) { c.server.Planted = server.Planted{ServePast: true} }},
		{"a new primary serves at once", 20, func(c *config) { c.server.Planted = server.Planted{ServeAtOnce: true} }},
		{"a fill is done before it is", 20, func(c *config) { c.server.Planted = server.Planted{SwitchEarly: true} }},
		{"repeats are carried out again", 60, func(c *config) { c.server.Planted = server.Planted{Forgetful: true} }},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			for seed := range bug.within {
				c := chance(seed + 1)
				bug.plant(&c)
				if w := anything(c); w.failed() {
					t.Logf("seed %d: %.200s", seed+1, w.errs[0])
					return
				}
			}
			t.Errorf("not found by %d seeds", bug.within)
		})
	}
}
