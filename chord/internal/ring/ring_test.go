package ring

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

const circle = place.Circle(8)

// town is a few nodes, and a network in which a message takes a millisecond.
type town struct {
	t     testing.TB
	now   time.Duration
	nodes map[uint64]*Ring // by boot
	all   []*Ring          // in order of place
	mail  []letter
	sent  int
	lose  func(*letter) bool   // nil: nothing
	set   func(*Config)        // how nodes differ from the usual
	slow  func() time.Duration // what messages take; nil: a millisecond
	list  int
	bugs  Bugs
	prdcs map[Ref]Ref // as they were when wrong last looked
	said  map[uint64]*Output
}

type letter struct {
	at time.Duration
	to Ref
	m  Message
}

func newTown(t testing.TB) *town {
	return &town{t: t, list: 3, nodes: map[uint64]*Ring{}, prdcs: map[Ref]Ref{}, said: map[uint64]*Output{}}
}

// start has a node come up at a place; by way of contact, or alone.
func (w *town) start(id int64, contact *Ring) *Ring {
	boot := uint64(len(w.said) + 1)
	c := Config{
		Circle: circle, Self: Ref{circle.Of(big.NewInt(id)), boot, strconv.FormatInt(id, 10)}, Rand: rand.New(rand.NewPCG(boot, 0)),
		List: w.list, Period: 200 * time.Millisecond, Jitter: 20 * time.Millisecond, Patience: 50 * time.Millisecond, Bugs: w.bugs,
	}
	if w.set != nil {
		w.set(&c)
	}
	r := New(c, w.now)
	w.nodes[boot], w.said[boot] = r, &Output{}
	w.all = append(w.sorted(), r)
	slices.SortStableFunc(w.all, func(a, b *Ring) int { return a.Self().compare(b.Self()) })
	if contact != nil {
		r.Join(w.now, contact.Self())
	}
	return r
}

// remove has a node be no more, of which nobody is told.
func (w *town) remove(r *Ring) {
	delete(w.nodes, r.Self().Boot)
	w.all = slices.DeleteFunc(w.sorted(), func(o *Ring) bool { return o == r })
}

// kill has a node be no more; refused: the others are told so.
func (w *town) kill(r *Ring, refused bool) {
	w.remove(r)
	for _, o := range w.all {
		if refused {
			o.Dead(w.now, r.Self())
		}
	}
}

// sorted are the living nodes in order of place. The slice is the caller's.
func (w *town) sorted() []*Ring { return slices.Clone(w.all) }

// run lets time pass, from one time at which something is due to the next, in
// milliseconds; ran tells whether there was any before the end.
func (w *town) run(d time.Duration) (ran bool) {
	for end := w.now + d; w.now < end; {
		next := end
		for i := range w.mail {
			next = min(next, w.mail[i].at)
		}
		for _, r := range w.all {
			next = min(next, r.Next())
		}
		for _, o := range w.all {
			if len(o.out.Send) > 0 {
				next = w.now
			}
		}
		w.now = max(w.now, (next + time.Millisecond - 1).Truncate(time.Millisecond))
		if w.now >= end {
			w.now = end
			break
		}
		ran = true
		w.step()
		w.now += time.Millisecond
	}
	return ran
}

// step has everybody do what is due now.
func (w *town) step() {
	mail := w.mail
	w.mail = nil
	for i := range mail {
		l := &mail[i]
		r := w.nodes[l.to.Boot]
		switch {
		case l.at > w.now:
			w.mail = append(w.mail, *l)
		case r != nil && (w.lose == nil || !w.lose(l)):
			r.Receive(w.now, &l.m)
		}
	}
	for _, r := range w.all {
		if r.Next() <= w.now {
			r.Tick(w.now)
		}
		o := w.said[r.Self().Boot]
		o.Send = o.Send[:0]
		r.Drain(o)
		for _, s := range o.Send {
			takes := time.Millisecond
			if w.slow != nil {
				takes = w.slow()
			}
			w.mail = append(w.mail, letter{w.now + takes, s.To, s.M})
			w.sent++
		}
	}
}

// until lets time pass until there is nothing wrong, and returns how long that took, and
// what still is wrong after most.
func (w *town) until(most time.Duration, wrong func() error) (took time.Duration, err error) {
	began := w.now
	for {
		if err = wrong(); err == nil || w.now-began >= most {
			return w.now - began, err
		}
		w.run(50 * time.Millisecond)
	}
}

// disorder says which node isn't a member, or hasn't the predecessor or the list that it
// should have.
func (w *town) disorder() error {
	all := w.all
	for i, r := range all {
		if !r.Member() {
			return fmt.Errorf("%v is no member", r.Self())
		}
		list := r.Successors()
		ok := len(list) == min(len(all)-1, w.list)
		for k := 0; ok && k < len(list); k++ {
			ok = list[k] == all[(i+k+1)%len(all)].Self()
		}
		if !ok {
			return fmt.Errorf("%v has the list %v of %v", r.Self(), list, refs(all))
		}
		before := all[(i+len(all)-1)%len(all)].Self()
		if len(all) > 1 && r.Predecessor() != before {
			return fmt.Errorf("%v has the predecessor %v, want %v", r.Self(), r.Predecessor(), before)
		}
	}
	return nil
}

func refs(rs []*Ring) (all []Ref) {
	for _, r := range rs {
		all = append(all, r.Self())
	}
	return all
}

// unsettled is disorder, or says which finger is another one than it should be.
func (w *town) unsettled() error {
	if err := w.disorder(); err != nil {
		return err
	}
	for _, r := range w.all {
		for k, f := range r.Fingers() {
			start := circle.Plus(r.Self().Place, k)
			at := slices.IndexFunc(w.all, func(o *Ring) bool { return o.Self().Place.Compare(start) >= 0 })
			if want := w.all[max(at, 0)].Self(); f != want {
				return fmt.Errorf("finger %d of %v is %v, want %v", k, r.Self(), f, want)
			}
		}
	}
	return nil
}

func (w *town) ideal() {
	w.t.Helper()
	if err := w.unsettled(); err != nil {
		w.t.Error(err)
	}
}

// The requirement's five nodes.
func five(t *testing.T) (w *town, n map[int64]*Ring) {
	w, n = newTown(t), map[int64]*Ring{}
	for _, j := range [][2]int64{{1, 0}, {136, 1}, {35, 1}, {99, 136}, {32, 35}} {
		n[j[0]] = w.start(j[0], n[j[1]])
		w.run(time.Second)
	}
	return w, n
}

func TestFive(t *testing.T) {
	t.Parallel()
	w, n := five(t)
	w.ideal()
	for key, owner := range map[int64]int64{291 % 256: 35, 15: 32, 1: 1, 2: 32, 137: 1, 255: 1, 100: 136, 136: 136} {
		for from, r := range n {
			o := w.said[r.Self().Boot]
			o.Found = nil
			number := r.Lookup(w.now, circle.Of(big.NewInt(key)))
			w.run(100 * time.Millisecond)
			if len(o.Found) != 1 || o.Found[0].Number != number || o.Found[0].Owner != n[owner].Self() {
				t.Errorf("from %d place %d is found at %+v, want %d", from, key, o.Found, owner)
			}
		}
	}
}

// Each of them dies, told or not, and the others close the gap; and comes back.
func TestOneDies(t *testing.T) {
	t.Parallel()
	for _, id := range []int64{1, 32, 35, 99, 136} {
		for _, refused := range []bool{true, false} {
			w, n := five(t)
			w.kill(n[id], refused)
			w.run(5 * time.Second)
			w.ideal()
			var other *Ring
			for _, r := range w.sorted() {
				other = r
			}
			w.start(id, other)
			w.run(5 * time.Second)
			w.ideal()
		}
	}
}

// Down to one, which is alone then, and up again.
func TestDownToOne(t *testing.T) {
	t.Parallel()
	w, n := five(t)
	for _, id := range []int64{35, 1, 136, 32} {
		w.kill(n[id], false)
		w.run(3 * time.Second)
		w.ideal()
	}
	w.start(7, n[99])
	w.run(3 * time.Second)
	w.ideal()
}

// All join at one instant by way of the first.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		w, rng := newTown(t), rand.New(rand.NewPCG(seed, 1))
		first := w.start(0, nil)
		for _, id := range rng.Perm(255)[:12] {
			w.start(int64(id)+1, first)
		}
		w.run(10 * time.Second)
		w.ideal()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A living node's identifier is taken; a dead one's is free.
func TestTaken(t *testing.T) {
	t.Parallel()
	w, n := five(t)
	for _, contact := range []int64{1, 32, 35, 136} {
		second := w.start(35, n[contact])
		w.run(time.Second)
		if err := w.said[second.Self().Boot].Refused; !errors.Is(err, ErrTaken) || second.Member() {
			t.Errorf("by way of %d: %v", contact, err)
		}
		w.kill(second, true)
	}
	w.run(time.Second)
	w.ideal()
	w.kill(n[35], false)
	second := w.start(35, n[99])
	w.run(5 * time.Second)
	if !second.Member() {
		t.Error("the identifier of a dead node is refused")
	}
	w.ideal()
}

// Zave: a predecessor's word is not taken for a node that hasn't answered. The node
// that is to be adopted dies between its notice and the question.
func TestNobodyUnansweredIsAdopted(t *testing.T) {
	t.Parallel()
	w, n := five(t)
	j := w.start(120, n[99])
	noticed := false
	w.lose = func(l *letter) bool {
		noticed = noticed || l.m.Kind == KindNotify && l.m.From == j.Self()
		return l.to == j.Self() && l.m.Kind == KindAsk // nobody gets an answer of its
	}
	for !noticed {
		w.run(time.Millisecond)
	}
	w.kill(j, false)
	for range 3000 {
		w.run(time.Millisecond)
		for id, r := range n {
			if r.Successor() == j.Self() {
				t.Fatalf("%d has a successor that never answered", id)
			}
		}
	}
	w.ideal()
}

// A notice that comes while a question is open is not lost.
func TestNoticesWait(t *testing.T) {
	t.Parallel()
	w, n := five(t)
	r := n[136]
	r.stabilise() // a question is open now
	for _, id := range []int64{110, 120, 130} {
		r.Receive(w.now, &Message{Kind: KindNotify, From: Ref{circle.Of(big.NewInt(id)), uint64(id), "nowhere"}})
	}
	if r.Predecessor() != n[99].Self() {
		t.Fatal("a notice was looked at while a question was open")
	}
	w.run(20 * time.Millisecond)
	if got := r.Predecessor().Place.String(); got != "130" {
		t.Errorf("after three notices the predecessor is %s", got)
	}
}
