package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
)

// settleWithin is how long a ring may take to be as it shall be once all is quiet.
const settleWithin = 30 * time.Second

// live are the processes that run, frozen or not, and are not told to go, in the order
// of the ring.
func (w *world) live() (all []*process) {
	for _, a := range w.nodes {
		if n := w.runs[a]; n != nil && w.net.Up(a) && !w.goneFor[a] && !n.going {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(n, m *process) int { return n.self.Place.Compare(m.self.Place) })
	return all
}

// joined are those of the live ones that serve their places.
func (w *world) joined() []*process {
	return slices.DeleteFunc(w.live(), func(n *process) bool { return !n.core.Joined() })
}

// ownerOf is who owns a place if these are the ring.
func ownerOf(ring []*process, p place.Place) *process {
	for _, n := range ring {
		if p.Compare(n.self.Place) <= 0 {
			return n
		}
	}
	return ring[0]
}

// whole says whether each pair has all its copies, with processes that are well.
func (w *world) whole() bool {
	all := w.live()
	for i, n := range all {
		v := n.view()
		switch {
		case !n.core.Joined():
			continue // it has nothing yet that counts
		case w.net.Frozen(n.addr) || !v.Firm || len(v.holders()) < min(w.cfg.replicas, len(w.joined())-1):
			return false
		case slices.ContainsFunc(v.holders(), func(a simnet.Addr) bool { return !w.net.Up(a) || w.net.Frozen(a) || w.runs[a].going }):
			return false
		}
		// Its span begins where another one's ends.
		before := all[(i+len(all)-1)%len(all)]
		for j := 2; !before.core.Joined() && j <= len(all); j++ {
			before = all[(i+len(all)-j)%len(all)]
		}
		if v.Status.Claim.Span.From != before.self.Place {
			return false
		}
	}
	return len(all) > 0
}

// bears says whether the ring bears that a node fails: with those that failed since each
// pair had all its copies there are no more than copies, and everybody else still knows
// somebody who lives.
func (w *world) bears(a simnet.Addr) bool {
	n := w.runs[a]
	if n == nil || !w.net.Up(a) || w.goneFor[a] {
		return false
	}
	if w.whole() {
		clear(w.hurt)
		w.copies = min(w.cfg.replicas, len(w.joined())-1)
	}
	failed := len(w.hurt)
	if !w.hurt[n.self] {
		failed++
	}
	return failed <= w.copies && !w.strands(n)
}

// strands says whether somebody, perhaps frozen, would not know anybody who lives any
// more without n, while others live.
func (w *world) strands(n *process) bool {
	live := slices.DeleteFunc(w.live(), func(o *process) bool { return o == n })
	return len(live) > 1 && slices.ContainsFunc(live, func(o *process) bool {
		list := o.core.Status().Successors
		if len(list) == 0 && !o.core.Joined() {
			return false // it has still to be told
		}
		return !slices.ContainsFunc(list, func(p ring.Ref) bool {
			return p != o.self && slices.ContainsFunc(live, func(q *process) bool { return q.self == p })
		})
	})
}

// looked looks at a process that has just done something.
func (w *world) looked(n *process) {
	if w.forked {
		return
	}
	for _, key := range w.keys {
		p := w.circle.OfKey(key)
		if !n.serves(p) {
			continue
		}
		for _, a := range w.nodes {
			if o := w.runs[a]; o != nil && o != n && w.net.Up(a) && !w.net.Frozen(a) && o.serves(p) {
				w.fail("place %v is served by %s, %s, and by %s, %s", p, n.addr, n.view(), o.addr, o.view())
			}
		}
	}
}

// quiet waits until the ring has settled, with no new calls, and holds that everything
// is then as it shall be.
func (w *world) quiet() {
	if w.failed() {
		return
	}
	w.resting = true
	defer func() { w.resting = w.cfg.silent }()
	end := w.net.Now() + settleWithin
	const calm = time.Second
	since := w.net.Now()
	for w.net.Now()-since < calm || w.busy() {
		why := w.unsettled()
		if why != nil {
			since = w.net.Now()
		}
		if w.net.Now() >= end && why != nil {
			w.fail("not settled within %v: %s", settleWithin, why())
			return
		}
		if w.run(50 * ms); w.failed() {
			return
		}
	}
	for _, n := range w.live() {
		if v := n.view(); v.Counts.Faults > 0 && !w.forked {
			w.fail("%s met what can't be, %d times: %s", n.addr, v.Counts.Faults, v)
		}
	}
	// Who was the last to know that a copy is not to be held any more may be dead, so
	// that it is found by and by.
	end = w.net.Now() + 2*settleWithin
	for !w.failed() {
		why, surplus := w.unequal()
		if why == "" {
			return
		}
		if w.net.Now() >= end || !surplus {
			w.fail("the ring has settled, and %s", why)
		}
		w.run(200 * ms)
	}
}

// unsettled says what is not yet as it shall be, in words that are put together when
// they are asked for; nil is nothing.
func (w *world) unsettled() func() string {
	why := func(f string, args ...any) func() string { return func() string { return fmt.Sprintf(f, args...) } }
	all := w.live()
	if len(all) == 0 {
		return why("nobody is there")
	}
	for i, n := range all {
		v := n.view()
		at := func(k int) *process { return all[(i+k+len(all))%len(all)] }
		switch {
		case w.net.Frozen(n.addr):
			return why("%s is frozen", n.addr)
		case !n.core.Joined():
			return why("%s has not joined by %s: %s", n.addr, name(n.contact), v)
		case v.Status.Claim.Span.To != n.self.Place || v.Status.Claim.Span.From != at(-1).self.Place:
			return why("%s owns %v to %v, and %s is before it: %s", n.addr, v.Status.Claim.Span.From, v.Status.Claim.Span.To, at(-1).addr, v)
		case len(all) > 1 && v.Predecessor != at(-1).self:
			return why("%s has %v for its predecessor and not %s: %s", n.addr, v.Predecessor, at(-1).addr, v)
		case len(v.Successors) < min(w.list(), len(all)-1):
			return why("%s has a list of %d, and there are %d others: %s", n.addr, len(v.Successors), len(all)-1, v)
		case len(v.holders()) != min(w.cfg.replicas, len(all)-1) || !v.Firm:
			return why("%s has %d holders: %s", n.addr, len(v.holders()), v)
		}
		for k, p := range v.Successors[:min(len(v.Successors), len(all)-1)] {
			if p != at(k+1).self {
				return why("successor %d of %s is %v and not %s: %s", k+1, n.addr, p, at(k+1).addr, v)
			}
		}
		for k := range v.holders() {
			if !slices.Contains(v.holders(), at(k+1).addr) {
				return why("%s has holders %v, and %s is behind it: %s", n.addr, v.holders(), at(k+1).addr, v)
			}
		}
		if !n.serves(n.self.Place) {
			return why("%s doesn't serve its place: %s", n.addr, v)
		}
		for k, f := range v.Fingers {
			if want := ownerOf(all, w.circle.Plus(n.self.Place, k)); f != want.self && len(all) > 1 && !w.cfg.anyFinger {
				return why("finger %d of %s is %v and not %s: %s", k, n.addr, f, want.addr, v)
			}
		}
	}
	return nil
}

// list is how long successor lists are.
func (w *world) list() int {
	if w.cfg.list > 0 {
		return w.cfg.list
	}
	return max(w.cfg.replicas+1, 8)
}

// unequal compares what owners have with what the nodes behind them have: the first r
// have the same, the others nothing. That a copy is too many is said after all else.
func (w *world) unequal() (why string, surplus bool) {
	all := w.live()
	for i, n := range all {
		span := n.view().Status.Claim.Span
		want := w.dump(n, span)
		for k := 1; k < len(all); k++ {
			o := all[(i+k)%len(all)]
			got := w.dump(o, span)
			switch {
			case k <= w.cfg.replicas && got != want:
				return fmt.Sprintf("%s has\n%s and its copy at %s\n%s", n.addr, want, o.addr, got), false
			case k > w.cfg.replicas && got != "":
				why, surplus = fmt.Sprintf("%s is no holder of %s and has\n%s%s", o.addr, n.addr, got, o.view()), true
			}
		}
	}
	return why, surplus
}

// readAll lets clients read every key: what was answered has to be there.
func (w *world) readAll() {
	if w.failed() {
		return
	}
	w.resting = true
	for i, key := range w.keys {
		c := w.clients[i%len(w.clients)]
		c.scripts = append(c.scripts, check.Operation{Op: check.Get, Key: check.Text(key)})
	}
	before := len(w.history)
	if !w.until(4*giveUpAfter, func() bool { return !w.busy() }) && !w.failed() {
		w.fail("the last reads were not answered")
	}
	for _, o := range w.history[min(before, len(w.history)):] {
		if o.Op == check.Get && o.Outcome == check.Failed {
			w.fail("a last read failed: %v", o)
		}
	}
}

// verify judges what clients saw.
func (w *world) verify() {
	if w.failed() {
		return
	}
	err := check.Values(w.history)
	if err == nil && !w.forked {
		if err = check.Fresh(w.history); err == nil {
			err = check.Linearizable(w.history, check.Register, check.DefaultTimeout)
		}
	}
	if err != nil {
		w.fail("%v", err)
	}
}

// end lets the ring settle, and judges everything.
func (w *world) end() {
	w.quiet()
	w.readAll()
	w.verify()
	if w.forked {
		w.reunited()
	}
}

// stamped is a write that was answered. A removal's stamp is not told: from is what it
// is above.
type stamped struct {
	op      check.Operation
	version uint64
	from    uint64
}

// noteAnswer takes note of a write that was carried out.
func (w *world) noteAnswer(q *calling) {
	if q.op.Outcome != check.OK || q.reads() {
		return
	}
	s := stamped{op: q.op, version: q.answer.version}
	s.from = uint64((epoch0+int64(q.op.Call))/1000) << 12
	if s.version != 0 {
		s.from = s.version
	}
	key := string(q.op.Key)
	w.answers[key] = append(w.answers[key], s)
}

// reunited judges a run in which two owners may have lived: of each key there is now
// the newest write that was answered, or one that is newer. From now on all is
// linearizable again.
func (w *world) reunited() {
	if w.failed() {
		return
	}
	now := w.net.Now()
	var after check.History
	for _, key := range w.keys {
		i := -1
		for k := len(w.history) - 1; k >= 0 && i < 0; k-- {
			if o := &w.history[k]; o.Op == check.Get && string(o.Key) == key && o.Outcome != check.Failed {
				i = k
			}
		}
		if i < 0 {
			w.fail("nobody has read %s", key)
			return
		}
		got := w.history[i]
		version := w.clients[got.Client].read[key].version
		for _, s := range w.answers[key] {
			switch removed := s.op.Op == check.Delete; {
			case got.Outcome == check.Missing && !removed && !w.removedAfter(key, s):
				w.fail("%s is gone, and this was answered and nothing behind it: %v", key, s.op)
				return
			case got.Outcome == check.OK && version < s.from && got.Value != s.op.Value: // it may have been written on both sides
				w.fail("%s has version %d, %q, and this was answered and is newer, %d: %v", key, version, got.Value, s.from, s.op)
				return
			}
		}
		if got.Outcome == check.OK {
			after = append(after, check.Operation{Client: -1, Call: now, Return: now, Op: check.Put, Key: got.Key, Value: got.Value, Outcome: check.OK})
		}
	}
	w.forked = false
	w.history = after
	w.answers = make(map[string][]stamped)
	clear(w.hurt)
	w.resting = false
	w.run(time.Second)
	w.quiet()
	w.readAll()
	w.verify()
}

// removedAfter says whether a removal may have come behind a write, by its stamp.
func (w *world) removedAfter(key string, s stamped) bool {
	return slices.ContainsFunc(w.history, func(o check.Operation) bool {
		return o.Op == check.Delete && string(o.Key) == key && (o.Outcome == check.OK || o.Outcome == check.Unknown) &&
			(o.Outcome == check.Unknown || uint64((epoch0+int64(o.Return)+int64(time.Second))/1000)<<12 >= s.from)
	})
}

// bear runs a scenario over some seeds: it happens to a table at work, and what is
// promised holds.
func bear(t *testing.T, c config, what func(*world)) {
	t.Helper()
	t.Parallel()
	n := uint64(1)
	if soaks() {
		n = 200
	}
	if *traceTo != "" { // one seed alone
		var trace strings.Builder
		c.seed, c.trace = *firstSeed, &trace
		w := settled(c)
		what(w)
		w.heal()
		w.end()
		writeTrace(t, trace.String())
		w.report(t)
		return
	}
	for seed := range n {
		c.seed = seed + 1
		w := settled(c)
		what(w)
		w.heal()
		w.end()
		w.report(t)
	}
}

// settled returns a table at work in which all is where it shall be.
func settled(c config) *world {
	w := newWorld(c)
	w.startNodes()
	if !w.until(settleWithin, func() bool { return w.unsettled() == nil }) && !w.failed() {
		w.fail("not settled at its start: %s", w.unsettled()())
	}
	w.startClients()
	w.run(2 * time.Second) // the clients fill it
	return w
}
