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
	t     *testing.T
	now   time.Duration
	nodes map[uint64]*Ring // by boot
	mail  []letter
	lose  func(letter) bool // nil: nothing
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

func newTown(t *testing.T) *town {
	return &town{t: t, list: 3, nodes: map[uint64]*Ring{}, prdcs: map[Ref]Ref{}, said: map[uint64]*Output{}}
}

// start has a node come up at a place; by way of contact, or alone.
func (w *town) start(id int64, contact *Ring) *Ring {
	boot := uint64(len(w.said) + 1)
	r := New(Config{
		Circle: circle, Self: Ref{circle.Of(big.NewInt(id)), boot, strconv.FormatInt(id, 10)}, Rand: rand.New(rand.NewPCG(boot, 0)),
		List: w.list, Period: 200 * time.Millisecond, Jitter: 20 * time.Millisecond, Patience: 50 * time.Millisecond, Bugs: w.bugs,
	}, w.now)
	w.nodes[boot], w.said[boot] = r, &Output{}
	if contact != nil {
		r.Join(w.now, contact.Self())
	}
	return r
}

// kill has a node be no more; refused: the others are told so.
func (w *town) kill(r *Ring, refused bool) {
	delete(w.nodes, r.Self().Boot)
	for _, o := range w.sorted() {
		if refused {
			o.Dead(w.now, r.Self())
		}
	}
}

func (w *town) sorted() (all []*Ring) {
	for _, r := range w.nodes {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *Ring) int { return a.Self().Place.Compare(b.Self().Place) })
	return all
}

func (w *town) run(d time.Duration) {
	for end := w.now + d; w.now < end; w.now += time.Millisecond {
		mail := w.mail
		w.mail = nil
		for _, l := range mail {
			r := w.nodes[l.to.Boot]
			switch {
			case l.at > w.now:
				w.mail = append(w.mail, l)
			case r != nil && (w.lose == nil || !w.lose(l)):
				m := l.m
				r.Receive(w.now, &m)
			}
		}
		for _, r := range w.sorted() {
			if r.Next() <= w.now {
				r.Tick(w.now)
			}
			o := w.said[r.Self().Boot]
			o.Send = o.Send[:0]
			r.Drain(o)
			for _, s := range o.Send {
				w.mail = append(w.mail, letter{w.now + time.Millisecond, s.To, s.M})
			}
		}
	}
}

// unsettled says which node hasn't the predecessor, the list or the fingers that it
// should have.
func (w *town) unsettled() error {
	all := w.sorted()
	for i, r := range all {
		if !r.Member() {
			return fmt.Errorf("%v is no member", r.Self())
		}
		var want []Ref
		for k := 1; k < len(all) && k <= w.list; k++ {
			want = append(want, all[(i+k)%len(all)].Self())
		}
		if !slices.Equal(r.Successors(), want) {
			return fmt.Errorf("%v has the list %v, want %v", r.Self(), r.Successors(), want)
		}
		before := all[(i+len(all)-1)%len(all)].Self()
		if len(all) > 1 && r.Predecessor() != before {
			return fmt.Errorf("%v has the predecessor %v, want %v", r.Self(), r.Predecessor(), before)
		}
		for k, f := range r.Fingers() {
			start := circle.Plus(r.Self().Place, k)
			at := slices.IndexFunc(all, func(o *Ring) bool { return o.Self().Place.Compare(start) >= 0 })
			if want := all[max(at, 0)].Self(); f != want {
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
	w.lose = func(l letter) bool {
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
