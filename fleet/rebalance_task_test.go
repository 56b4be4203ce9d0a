package fleet

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// seen makes a task with two owners, 0 and 1, and a source, of which what the
// places have is told: the owners in order, and then the source if it is none.
func taskThatSaw(source int, what ...standing) *task {
	t := &task{key: "k", source: source, owners: 2, surplus: source > 1, from: -1}
	for i, is := range what {
		member := i
		if i == 2 {
			member = source
		}
		t.seen[i] = sight{member: member, is: is}
	}
	return t
}

func TestTaskLooked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		task  *task
		want  phase
		from  int
		again bool
	}{
		{"all is well", taskThatSaw(0, alive, alive), over, 0, false},
		{"the other owner lacks it", taskThatSaw(0, alive, absent), fetching, 0, false},
		{"the first owner's counts, although another lists it", taskThatSaw(1, alive, stale), fetching, 0, false},
		{"the first owner lacks it", taskThatSaw(1, absent, alive), fetching, 1, false},
		{"a tombstone needs no value", taskThatSaw(0, dead, absent), filling, 0, false},
		{"the source is surplus", taskThatSaw(3, alive, dead, alive), leftover, 0, false},
		{"the source is surplus and stale", taskThatSaw(3, alive, alive, stale), leftover, 0, false},
		{"the source is surplus and gone", taskThatSaw(3, alive, alive, absent), over, 0, false},
		{"nobody but the source has it", taskThatSaw(3, absent, stale, alive), fetching, 2, false},
		{"an owner's wins over the source's", taskThatSaw(3, absent, alive, alive), fetching, 1, false},
		{"it has gone since it was listed", taskThatSaw(3, absent, absent, absent), over, -1, false},
		{"nobody's counts", taskThatSaw(3, absent, absent, stale), doubtful, -1, false},
		{"nobody's counts, the source is an owner", taskThatSaw(0, stale, absent), doubtful, -1, false},
		{"somebody knows of a later view", taskThatSaw(0, alive, ahead), over, 0, true},
		{"somebody does not answer", taskThatSaw(0, alive, unasked), over, 0, false},
	} {
		c.task.looked()
		if c.task.phase != c.want || c.task.from != c.from || c.task.again != c.again {
			t.Errorf("%s: phase %d from %d again %v, want %d, %d, %v", c.name, c.task.phase, c.task.from, c.task.again, c.want, c.from, c.again)
		}
	}
	for _, source := range []int{0, 3} {
		task := taskThatSaw(source, stale, absent, stale)
		task.here().foreign = true
		task.looked()
		if want := map[int]phase{0: over, 3: loser}[source]; task.phase != want {
			t.Errorf("another generation's item at %d: phase %d, want %d", source, task.phase, want)
		}
	}
}

func TestTaskChecked(t *testing.T) {
	t.Parallel()
	filled := func(source int, first error) *task {
		task := taskThatSaw(source, absent, alive, alive)
		task.looked()
		if err := task.seen[0].filled(7, first); err != nil {
			task.err = err
		}
		task.allFilled()
		return task
	}
	broken := &memcache.ConnError{Err: errors.New("broken")}
	for _, c := range []struct {
		name   string
		source int
		filled error
		before phase // when all copies are answered
		same   bool
		err    error
		want   phase
		again  bool
	}{
		{"copied", 1, nil, checking, true, nil, over, false},
		{"copied, and the source is surplus", 3, nil, checking, true, nil, leftover, false},
		{"somebody wrote meanwhile", 1, nil, checking, false, nil, retracting, true},
		{"not known whether somebody did", 1, nil, checking, false, broken, over, false},
		{"the copy may not be there", 3, broken, checking, true, nil, over, false},
		{"somebody was faster", 3, memcache.ErrNotStored, relooking, true, nil, doubtful, false},
		{"somebody was faster, and another wrote", 3, memcache.ErrNotStored, relooking, false, nil, over, true},
	} {
		task := filled(c.source, c.filled)
		if task.phase != c.before {
			t.Errorf("%s: phase %d, want %d", c.name, task.phase, c.before)
		}
		task.checked(c.same, c.err)
		if task.phase != c.want || task.again != c.again {
			t.Errorf("%s: phase %d again %v, want %d, %v", c.name, task.phase, task.again, c.want, c.again)
		}
	}
}

func TestTaskResolved(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		source          int
		something, sure bool
		want            phase
		again           bool
	}{
		{"it was put right", 3, true, true, over, true},
		{"there is nothing", 3, false, true, loser, false},
		{"there is nothing, at an owner", 0, false, true, over, false},
		{"nobody knows", 3, false, false, over, true},
	} {
		task := taskThatSaw(c.source, stale, absent, stale)
		task.looked()
		task.resolved(c.something, c.sure, nil)
		if task.phase != c.want || task.again != c.again {
			t.Errorf("%s: phase %d again %v, want %d, %v", c.name, task.phase, task.again, c.want, c.again)
		}
	}
}

func TestNthBit(t *testing.T) {
	t.Parallel()
	for set, want := range map[uint][]int{
		0b1:     {0, 0, 0},
		0b1010:  {1, 3, 1, 3},
		0b11001: {0, 3, 4, 0},
		0:       {0, 0},
	} {
		var got []int
		for n := range want {
			got = append(got, nthBit(set, n))
		}
		if !slices.Equal(got, want) {
			t.Errorf("of %b: %v, want %v", set, got, want)
		}
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(100)
		began := time.Now()
		for range 50 {
			if err := p.wait(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 2400*time.Millisecond || took > 2500*time.Millisecond {
			t.Errorf("250 copies at 100 a second took %v", took)
		}
		if n := p.batch(); n != 5 {
			t.Errorf("a batch is of %d keys, want 50 ms worth: 5", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.wait(ctx, 1000); !errors.Is(err, context.Canceled) {
			t.Errorf("wait = %v", err)
		}
	})
	if err := newPace(0).wait(t.Context(), 1e9); err != nil {
		t.Errorf("without a rate: %v", err)
	}
}
