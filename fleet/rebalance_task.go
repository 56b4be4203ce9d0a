package fleet

import "github.com/torc-dht/torc/memcache"

// task is one key at one server that listed it, on its way through a rebalance.
// It decides and does no I/O: a batch asks what the task wants to be asked, and
// tells it the answers.
//
//	glancing ─ the key is another owner's to see to, and that one has it ─► over
//	   │ no
//	looking ── nothing lacks ────────────────────────────► over, or surplus
//	   │ an owner lacks it             nobody's item counts ─► doubtful
//	fetching (if its value was not read)
//	   │
//	filling ── refused: somebody was faster ─► relooking
//	   │                                          │
//	checking ◄────────────────────────────────────┘
//	   │ the source has changed         it has not ─► over, or surplus
//	retracting ─► over
type task struct {
	key     string
	source  int // the member that listed it
	glance  int // the place of the owner that is to be glanced at
	owners  int // how many there are: places 0 to owners-1
	surplus bool
	fetch   bool // the source's value will be needed, it seems
	trust   bool // the source is not asked, but has what it listed
	phase   phase

	// seen is what the owners have, in their order, and behind them the source
	// if it is none of them.
	seen [MaxCopies + 1]sight
	from int   // the place whose item is copied; its item counts
	err  error // of something that could not be asked or done
	// again says that it has to be looked at once more: somebody wrote meanwhile,
	// or knows of a later view.
	again bool
}

type phase uint8

const (
	glancing phase = iota
	looking
	fetching
	filling
	relooking
	checking
	retracting
	doubtful // nobody's item counts by itself: the rule of reading decides
	loser    // the source's item never counts again, and is to be removed
	leftover // the source is no owner, and the owners have what counts
	removed  // the source is rid of what was a loser
	over
)

// sight is what one server has at a task's key.
type sight struct {
	member  int
	at      int // the place of the request in its batch's group
	is      standing
	foreign bool // of another generation, or without a stamp: it never counts again
	read    bool // its value was read too
	item    memcache.Item
	copied  bool   // by this task
	cas     uint64 // of the copy
}

// places are the servers that the task is concerned with.
func (t *task) places() []sight {
	if t.surplus {
		return t.seen[:t.owners+1]
	}
	return t.seen[:t.owners]
}

// holders are the owners.
func (t *task) holders() []sight { return t.seen[:t.owners] }

// here is the place of the source.
func (t *task) here() *sight {
	for i := range t.places() {
		if t.seen[i].member == t.source {
			return &t.seen[i]
		}
	}
	panic("fleet: a task without a source")
}

// glanced goes on from the answer of the owner that was glanced at.
func (t *task) glanced() {
	t.phase = looking
	if t.seen[t.glance].is.ends() {
		t.phase = over
	}
}

// looked goes on from what all places have said.
func (t *task) looked() {
	t.phase, t.from = over, -1
	for i := range t.places() {
		switch s := &t.seen[i]; {
		case s.is == unasked:
			return // t.err says why
		case s.is == ahead:
			t.again = true
			return
		case s.is.ends() && t.from < 0:
			t.from = i
		}
	}
	here := t.here()
	switch {
	case t.from < 0 && t.trust:
		t.trust, t.phase = false, looking
	case t.from < 0 && here.is == absent:
		// It has gone since it was listed.
	case t.from < 0 && here.foreign && t.surplus:
		t.phase = loser
	case t.from < 0 && here.foreign:
		// It will be written over, or evicted.
	case t.from < 0:
		t.phase = doubtful
	case t.held():
		if t.surplus && here.is != absent {
			t.phase = leftover
		}
	case t.seen[t.from].read || t.seen[t.from].is == dead:
		t.phase = filling
	default:
		t.phase = fetching
	}
}

// held says whether each owner has an item that counts.
func (t *task) held() bool {
	for i := range t.holders() {
		if s := &t.seen[i]; !s.copied && !s.is.ends() {
			return false
		}
	}
	return true
}

// copies is how many copies the task has made.
func (t *task) copies() (n int) {
	for i := range t.holders() {
		if t.seen[i].copied {
			n++
		}
	}
	return n
}

// lacking is how many owners have nothing that counts.
func (t *task) lacking() (n int) {
	for i := range t.holders() {
		if !t.seen[i].is.ends() {
			n++
		}
	}
	return n
}

// fetched goes on from the item to be copied, which was read again.
func (t *task) fetched() {
	switch t.seen[t.from].is {
	case alive, dead:
		t.phase = filling
	default:
		t.phase, t.again = over, true
	}
}

// copy is the item to be put where it lacks, under r. One that is dead is a
// tombstone: what counts is that it is dead, and not its value.
func (t *task) copy(r *routing) memcache.Item {
	from := &t.seen[t.from]
	c := r.restamped(t.key, &from.item)
	if from.is == dead {
		c.Value = nil
	}
	return c
}

// filled takes in what a server said to a copy.
func (s *sight) filled(cas uint64, err error) error {
	switch err {
	case nil:
		s.copied, s.cas = true, cas
	case memcache.ErrNotStored, memcache.ErrExists, memcache.ErrNotFound:
		s.is = unasked // somebody was faster
	default:
		return err
	}
	return nil
}

// allFilled goes on when each server has answered.
func (t *task) allFilled() {
	t.phase = checking
	if t.err != nil {
		return
	}
	for i := range t.holders() {
		if t.seen[i].is == unasked && !t.seen[i].copied {
			t.phase = relooking
		}
	}
}

// checked goes on from whether the item that was copied is still there. If it is
// not, somebody has written or deleted the key, and maybe before the copies came.
// An error leaves that open, and the copies where they are: they count as what
// they were copied from did, and that may be lost.
func (t *task) checked(unchanged bool, err error) {
	switch {
	case err != nil:
		t.err, t.phase = err, over
	case !unchanged:
		t.again, t.phase = true, retracting
		if t.copies() == 0 {
			t.phase = over
		}
	case t.held() && t.surplus && t.here().is != absent:
		t.phase = leftover
	case t.held() || t.err != nil:
		t.phase = over
	default:
		t.phase = doubtful
	}
}

// resolved goes on from what the rule of reading has decided, and put right: that
// there is something at the key, or that there is nothing, for sure.
func (t *task) resolved(something, sure bool, err error) {
	t.phase = over
	switch {
	case err != nil:
		t.err = err
	case something, !sure:
		t.again = true // whatever is surplus now
	case t.surplus && t.here().is == stale:
		t.phase = loser
	}
}
