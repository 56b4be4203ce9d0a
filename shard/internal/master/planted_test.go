package master

import "testing"

// TestPlantedBugsAreFound breaks a rule at a time, and looks for the first seed of
// TestAnything that shows it.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	const most = 60
	for _, bug := range []struct {
		name  string
		plant planted
	}{
		{"an epoch is used twice", planted{reuseEpoch: true}},
		{"a Joining copy is promoted", planted{promoteJoining: true}},
		{"a copy is in sync before the primary waits for it", planted{joinUnacked: true}},
		{"slots given up under an earlier epoch are handed over", planted{staleGaveUp: true}},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			for s := range uint64(most) {
				if w := chaos(s+1, bug.plant, nil); w.err != nil {
					t.Logf("seed %d: %v", s+1, w.err)
					return
				}
			}
			t.Errorf("not found by %d seeds", most)
		})
	}
}
