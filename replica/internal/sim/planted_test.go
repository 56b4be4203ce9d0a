package sim

import (
	"testing"
)

// TestPlantedBugsAreFound breaks a rule at a time, and looks for the first seed
// that shows it.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	for _, bug := range []struct {
		name   string
		within uint64 // seeds
		plant  func(*config)
		what   scenario // nil: anything
	}{
		{"a node that is started again has its former ID", 60, func(c *config) { c.sameRand = true }, nil},
		{"a node that left an epoch has its former ID", 100, func(c *config) { c.bugs.KeepID = true }, nil},
		{"answered before everyone in the view has it", 200, func(c *config) { c.bugs.AnswerEarly = true }, nil},
		{"operations have no numbers", 20, func(c *config) { c.forgetful = true }, nil},
		{"repeats are carried out again", 50, func(c *config) { c.bugs.ForgetOps = true }, nil},
		{"reads are not confirmed", 400, func(c *config) { c.bugs.ReadUnchecked = true }, nil},
		{"late answers confirm reads", 10, func(c *config) { c.lateConfirm = true }, lateAnswers},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			for seed := range bug.within {
				w := planted(seed+1, bug.plant, bug.what)
				if w.failed() {
					t.Logf("seed %d: %.300s", seed+1, w.errs[0])
					return
				}
			}
			t.Errorf("not found by %d seeds", bug.within)
		})
	}
}

func planted(seed uint64, plant func(*config), what scenario) *world {
	if what == nil {
		c := chance(seed)
		plant(&c)
		return anything(c)
	}
	c := etcd20418
	c.seed = seed
	plant(&c)
	return what.in(c)
}
