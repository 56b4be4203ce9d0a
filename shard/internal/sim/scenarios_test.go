package sim

import (
	"testing"
	"time"
)

func TestNothingHappens(t *testing.T) {
	t.Parallel()
	w := newWorld(config{seed: 1})
	w.run(10 * time.Second)
	w.end(t)
	t.Logf("%d operations", len(w.history))
}
