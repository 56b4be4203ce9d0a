package sim

import (
	"testing"

	"github.com/torc-dht/torc/chord/internal/node"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// TestPlantedBugsAreFound breaks a rule at a time, and looks for the first seed that
// shows it.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	for _, bug := range []struct {
		name   string
		within uint64 // seeds
		bugs   bugs
		run    func(seed uint64, b bugs) *world
	}{
		{"rectify is skipped", 100, bugs{ring: ring.Bugs{SkipRectify: true}}, untraced},
		{"the published join", 100, bugs{ring: ring.Bugs{PublishedJoin: true}}, untraced},
		{"a write is answered before the copies have it", 50, bugs{node: node.Bugs{AnswerEarly: true}}, planted},
		{"a span is handed off while it is written to", 50, bugs{node: node.Bugs{NoFreeze: true}}, planted},
		{"promises are endless", 50, bugs{node: node.Bugs{ServePast: true}}, planted},
		{"who was frozen goes on without asking", 50, bugs{node: node.Bugs{NoAsking: true}}, planted},
		{"repeats are carried out again", 50, bugs{node: node.Bugs{Forgetful: true}}, planted},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			for seed := range bug.within {
				if w := bug.run(seed+1, bug.bugs); w.failed() {
					t.Logf("seed %d: %.300s", seed+1, w.errs[0])
					return
				}
			}
			t.Errorf("not found by %d seeds", bug.within)
		})
	}
}

func untraced(seed uint64, b bugs) *world { return churn(seed, b, nil) }

// planted is a run of TestAnything in which nobody is cut off.
func planted(seed uint64, b bugs) *world {
	c := chance(seed)
	if c.style == cuts {
		c.style, c.latency = deaths, quickly
	}
	c.bugs = b
	return anything(c)
}
