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
)

// named tells who still has p, and where.
func (w *town) named(p Ref) error {
	for _, r := range w.all {
		switch {
		case r.Predecessor() == p:
			return fmt.Errorf("%v is still the predecessor of %v", p, r.Self())
		case slices.Contains(r.Successors(), p):
			return fmt.Errorf("%v is still in the list of %v", p, r.Self())
		case slices.Contains(r.Fingers(), p):
			return fmt.Errorf("%v is still a finger of %v", p, r.Self())
		}
	}
	return nil
}

// bye has r leave, of which those that it knows are told.
func (w *town) bye(r *Ring, told func(*Ring) bool) {
	w.remove(r)
	for _, o := range w.all {
		if told(o) {
			o.Bye(w.now, r.Self(), r.Predecessor(), r.Successors(), false)
		}
	}
}

// Who says goodbye is nowhere any more, at once where it is heard and soon everywhere,
// and nobody remembers it; the gap closes in two messages and their answers, or as soon
// as nobody is busy.
func TestBye(t *testing.T) {
	t.Parallel()
	left, waited := 0, 0
	for seed := range uint64(many(8)) {
		rng := rand.New(rand.NewPCG(seed, 5))
		w, err := grown(t, 2+rng.IntN(12), 1+rng.IntN(5), rng)
		if err != nil {
			t.Fatal(err)
		}
		w.slow = nil
		for len(w.all) > 1 {
			r := w.all[rng.IntN(len(w.all))]
			w.bye(r, func(*Ring) bool { return true })
			if err := w.named(r.Self()); err != nil {
				t.Errorf("seed %d: at once: %v", seed, err)
			}
			w.run(10 * time.Millisecond)
			if len(w.all) > 1 && !closed(w.all) { // somebody was busy
				waited++
				w.run(time.Second)
				if !closed(w.all) {
					t.Errorf("seed %d: the gap of %v is open", seed, r.Self())
				}
			}
			for _, o := range w.all {
				if o.Remembers() {
					t.Errorf("seed %d: %v remembers %v", seed, o.Self(), o.Remembered())
				}
			}
			left++
			if took, err := w.until(quiet, w.unsettled); err != nil {
				t.Fatalf("seed %d: after %v: %v", seed, took, err)
			}
		}
		if r := w.all[0]; r.Successor() != r.Self() || !r.Predecessor().None() {
			t.Errorf("seed %d: the last one has %v and %v", seed, r.Predecessor(), r.Successor())
		}
	}
	t.Logf("%d have left; of %d the gap was not closed within 10 ms", left, waited)
}

// closed tells whether everybody's successor has it as predecessor, and is the next.
func closed(all []*Ring) bool {
	for i, r := range all {
		next := all[(i+1)%len(all)]
		if r.Successor() != next.Self() || next.Predecessor() != r.Self() {
			return false
		}
	}
	return true
}

// Only its neighbours hear the goodbye: the others have it from them.
func TestByeIsHeardByNeighbours(t *testing.T) {
	t.Parallel()
	w, err := grown(t, 14, 3, rand.New(rand.NewPCG(1, 5)))
	if err != nil {
		t.Fatal(err)
	}
	gone := w.all[3]
	w.bye(gone, func(o *Ring) bool {
		return o.Self() == gone.Predecessor() || slices.Contains(gone.Successors(), o.Self())
	})
	if _, err := w.until(quiet, w.unsettled); err != nil {
		t.Error(err)
	}
	if err := w.named(gone.Self()); err != nil {
		t.Error(err)
	}
}

// Who is lost is remembered until it is back, and who says goodbye after all is not.
func TestRemembered(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.set = func(c *Config) {
		usual(c)
		c.Remember = 10 * time.Minute
	}
	a := w.start(10, nil)
	b := w.start(100, a)
	c := w.start(200, a)
	if _, err := w.until(quiet, w.unsettled); err != nil {
		t.Fatal(err)
	}
	w.lose = func(l *letter) bool { return l.to == b.Self() || l.m.From == b.Self() }
	w.run(20 * time.Second)
	for _, r := range []*Ring{a, c} {
		if !slices.Equal(r.Remembered(), []Ref{b.Self()}) || !slices.Contains(r.Suspects(), b.Self()) {
			t.Errorf("%v remembers %v and suspects %v", r.Self(), r.Remembered(), r.Suspects())
		}
	}
	if got := b.Remembered(); len(got) != 2 {
		t.Errorf("who was cut off remembers %v", got)
	}
	w.lose = nil
	if _, err := w.until(quiet, func() error {
		for _, r := range w.all {
			if r.Remembers() {
				return fmt.Errorf("%v remembers %v", r.Self(), r.Remembered())
			}
		}
		return w.unsettled()
	}); err != nil {
		t.Error(err)
	}
	w.kill(b, true)
	if !a.Remembers() {
		t.Error("who was refused isn't remembered")
	}
	a.Bye(w.now, b.Self(), Ref{}, nil, true)
	if a.Remembers() {
		t.Error("who said goodbye is remembered")
	}
	c.Suspect(w.now, Ref{circle.Of(big.NewInt(77)), 77, "77"})
	if got := c.Remembered(); got[len(got)-1].Boot != 77 {
		t.Errorf("who is suspected isn't remembered, but %v", got)
	}
	w.run(11 * time.Minute)
	if c.Remembers() {
		t.Errorf("after all that time there are still %v", c.Remembered())
	}
}

// Who is started again at an address isn't who was lost there, and is.
func TestStartedAgainIsForgotten(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.set = usual
	a := w.start(10, nil)
	b := w.start(100, a)
	w.run(5 * time.Second)
	w.kill(b, true)
	if !a.Remembers() {
		t.Fatal("b isn't remembered")
	}
	w.start(100, a)
	if _, err := w.until(quiet, w.unsettled); err != nil {
		t.Error(err)
	}
	if a.Remembers() {
		t.Errorf("%v is remembered, in whose place another one is", a.Remembered())
	}
}

// go-libp2p-kad-dht 811 and 387: dead peers stay in a table for ever, and one that has
// run empty never fills again.
func TestEmptiedTableFillsAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(many(8)) {
		rng := rand.New(rand.NewPCG(seed, 6))
		w, err := grown(t, 2+rng.IntN(15), 2+rng.IntN(4), rng)
		if err != nil {
			t.Fatal(err)
		}
		one := w.all[rng.IntN(len(w.all))]
		c := w.cut(2, func(i int) int { return btoi(w.all[i] == one) })
		for range 60 { // some die meanwhile, if one of those it remembers is left
			if rng.IntN(20) == 0 && len(w.all) > 3 {
				c.churn(0, rng)
			}
			w.run(time.Second)
		}
		w.run(10 * time.Second)
		if one.Successor() != one.Self() || !one.Predecessor().None() {
			t.Errorf("seed %d: who is cut off has %v and %v", seed, one.Predecessor(), one.Successors())
		}
		for _, p := range one.Fingers() {
			if !p.None() && p != one.Self() {
				t.Errorf("seed %d: who is cut off has the finger %v", seed, p)
			}
		}
		for _, r := range w.all {
			if r != one {
				for _, p := range slices.Concat(r.Successors(), r.Fingers(), []Ref{r.Predecessor()}) {
					if p == one.Self() || w.nodes[p.Boot] == nil && !p.None() {
						t.Errorf("seed %d: %v still has %v", seed, r.Self(), p)
					}
				}
			}
		}
		w.lose = nil
		if !c.linked() {
			continue
		}
		if took, err := w.until(quiet, w.unsettled); err != nil {
			t.Errorf("seed %d: after %v: %v", seed, took, err)
		}
	}
}

func btoi(is bool) int {
	if is {
		return 1
	}
	return 0
}

// A finger is asked before it is used: who dies between a lookup that finds it and the
// question doesn't become one.
func TestFingersAreAsked(t *testing.T) {
	t.Parallel()
	w, n := newTown(t), map[string]*Ring{}
	w.set = func(c *Config) {
		if c.Self.Addr == "99" {
			c.Patience = 5 * time.Second // it takes long to see that its successor is dead
		}
	}
	for _, id := range []int64{1, 32, 99, 136} {
		n[fmt.Sprint(id)] = w.start(id, n["1"])
		w.run(time.Second)
	}
	w.ideal()
	dead := n["136"].Self()
	w.kill(n["136"], false)
	for _, r := range w.all {
		if r != n["99"] {
			r.lose(dead)
			clear(r.gone)
		}
	}
	asked := false
	w.lose = func(l *letter) bool {
		asked = asked || l.m.Kind == KindNext && l.m.From == n["99"].Self() && l.m.Done && l.m.List[0] == dead
		return false
	}
	for range 4000 {
		w.run(time.Millisecond)
		for _, r := range w.all {
			if r != n["99"] && slices.Contains(r.Fingers(), dead) {
				t.Fatalf("%v has a finger that never answered", r.Self())
			}
		}
	}
	if w.lose = nil; !asked {
		t.Error("nobody was led to it")
	}
	w.run(10 * time.Second)
	w.ideal()
}

// Nodes that all begin their rounds at the same instants are busy for each other, and
// come to an end all the same.
func TestBusyEnds(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 5, 12} {
		w := newTown(t)
		w.set = func(c *Config) { c.Jitter = 0 }
		first := w.start(0, nil)
		for i := 1; i < n; i++ {
			w.start(int64(20*i), first)
		}
		busy := 0
		w.lose = func(l *letter) bool {
			busy += btoi(l.m.Busy)
			return false
		}
		took, err := w.until(10*time.Second, w.unsettled)
		t.Logf("%d nodes: settled after %v, %d busy answers", n, took, busy)
		if err != nil {
			t.Errorf("%d nodes: %v", n, err)
		}
		// And when everybody is told to begin at one instant, again and again.
		for range 50 {
			for _, r := range w.all {
				r.soon()
			}
			w.run(20 * time.Millisecond)
		}
		w.run(time.Second)
		w.ideal()
	}
}

// Routing by the whole list takes fewer hops than by fingers and one successor.
func TestWholeListIsShorter(t *testing.T) {
	t.Parallel()
	hops := func(whole bool) float64 {
		w := newTown(t)
		w.list = 8
		w.set = func(c *Config) { c.WholeList = whole }
		rng := rand.New(rand.NewPCG(1, 1))
		first := w.start(0, nil)
		for len(w.all) < 64 {
			w.start(w.free(rng), first)
			w.run(50 * time.Millisecond)
		}
		if _, err := w.until(quiet, w.unsettled); err != nil {
			t.Fatal(err)
		}
		sum, n := 0, 0
		for _, r := range w.all {
			for key := range int64(64) {
				r.Lookup(w.now, circle.Of(big.NewInt(4*key)))
			}
			w.run(200 * time.Millisecond)
			for _, f := range w.said[r.Self().Boot].Found {
				sum, n = sum+max(1, len(f.Hops)), n+1
			}
		}
		if n != 64*64 {
			t.Fatalf("%d of %d lookups have ended", n, 64*64)
		}
		return float64(sum) / float64(n)
	}
	one, whole := hops(false), hops(true)
	t.Logf("mean hops: %.2f by fingers and one successor, %.2f by the whole list", one, whole)
	if whole >= one {
		t.Error("the whole list is no shorter")
	}
}

// Two nodes: each is before and after the other; one dies, or is cut off and comes back.
func TestTwo(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"told", "silent", "bye", "cut off"} {
		w := newTown(t)
		w.set = usual
		a := w.start(10, nil)
		b := w.start(200, a)
		w.run(5 * time.Second)
		w.ideal()
		switch how {
		case "told":
			w.kill(b, true)
		case "silent":
			w.kill(b, false)
		case "bye":
			w.bye(b, func(*Ring) bool { return true })
		case "cut off":
			w.lose = func(*letter) bool { return true }
		}
		w.run(10 * time.Second)
		if a.Successor() != a.Self() || !a.Predecessor().None() {
			t.Errorf("%s: who is left has %v and %v", how, a.Predecessor(), a.Successor())
		}
		if w.lose = nil; how == "cut off" {
			w.run(quiet)
		} else {
			w.start(200, a)
			w.run(5 * time.Second)
		}
		if err := w.unsettled(); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// Who is killed is started again at once, in the same place and by another boot: no old
// pointer is taken for the new node.
func TestQuickRestart(t *testing.T) {
	t.Parallel()
	for seed := range uint64(many(20)) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w, err := grown(t, 2+rng.IntN(12), 2+rng.IntN(4), rng)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			i := rng.IntN(len(w.all))
			old, contact := w.all[i], w.all[(i+1+rng.IntN(len(w.all)-1))%len(w.all)]
			w.kill(old, rng.IntN(2) == 0)
			w.run(time.Duration(rng.IntN(20)) * time.Millisecond)
			id, _ := strconv.ParseInt(old.Self().Addr, 10, 64)
			w.start(id, contact)
			w.run(time.Duration(rng.IntN(2000)) * time.Millisecond)
			if took, err := w.until(quiet, w.unsettled); err != nil {
				t.Fatalf("seed %d: after %v: %v", seed, took, err)
			}
			if err := w.named(old.Self()); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	}
}

// Who joins has been told of one node, and goes on by those it was led to when that one
// dies, at any time.
func TestContactDies(t *testing.T) {
	t.Parallel()
	for after := time.Duration(0); after < 12*time.Millisecond; after += time.Millisecond {
		w, n := five(t)
		j := w.start(120, n[1])
		w.run(after)
		knows := len(j.join.alsoKnows()) > 0 || j.Member()
		w.kill(n[1], after%2 == 0)
		w.run(10 * time.Second)
		if knows {
			w.ideal()
		} else if j.Member() {
			t.Errorf("after %v: it has joined by way of nobody", after)
		}
	}
}

// alsoKnows is whom a joiner knows besides its first contact.
func (j *joining) alsoKnows() []Ref {
	if j == nil {
		return nil
	}
	return j.contacts[1:]
}

// Somebody joins where others come and go all the time.
func TestJoinWhileOthersDo(t *testing.T) {
	t.Parallel()
	var worst time.Duration
	for seed := range uint64(many(8)) {
		rng := rand.New(rand.NewPCG(seed, 8))
		w, err := grown(t, 8+rng.IntN(8), 4, rng)
		if err != nil {
			t.Fatal(err)
		}
		c := w.cut(1, func(int) int { return 0 })
		j := w.start(w.free(rng), w.member(rng))
		c.part[j.Self().Boot] = 1 // churn leaves it alone
		w.lose = nil
		began := w.now
		for !j.Member() && w.now-began < quiet {
			if rng.IntN(10) == 0 {
				c.churn(0, rng)
			}
			w.run(20 * time.Millisecond)
			w.strand()
			if w.nodes[j.Self().Boot] == nil {
				break
			}
		}
		worst = max(worst, w.now-began)
		if w.nodes[j.Self().Boot] != nil && !j.Member() {
			t.Errorf("seed %d: it isn't in after %v", seed, quiet)
		}
		if took, err := w.until(quiet, w.unsettled); err != nil {
			t.Errorf("seed %d: after %v: %v", seed, took, err)
		}
	}
	t.Logf("the longest took %v", worst)
}

// In a ring that is smaller than its lists are long one joins at a time: the founder dies
// at any time after two have asked it, and those that are in know each other.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	for after := time.Duration(0); after < 1500*time.Millisecond; after += 3 * time.Millisecond {
		w := newTown(t)
		a := w.start(0, nil)
		for _, id := range []int64{40, 80, 120} {
			w.start(id, a)
		}
		w.run(after)
		w.kill(a, after%2 == 0)
		w.run(5 * time.Second)
		for _, r := range w.sorted() {
			if !r.Member() {
				w.remove(r) // it knows nobody else
			}
		}
		if err := w.unsettled(); err != nil {
			t.Fatalf("after %v: %v", after, err)
		}
	}
}

// A ring is cut in two, and in the one half a new node takes the place of one that lives
// in the other. When they meet one of the two goes, with the reason.
func TestTwins(t *testing.T) {
	t.Parallel()
	for seed := range uint64(many(8)) {
		rng := rand.New(rand.NewPCG(seed, 9))
		w, err := grown(t, 4+rng.IntN(8), 3, rng)
		if err != nil {
			t.Fatal(err)
		}
		c := w.cut(2, func(i int) int { return i })
		old := c.of(0)[0]
		w.run(10 * time.Second)
		id, _ := strconv.ParseInt(old.Self().Addr, 10, 64)
		usual := w.set
		w.set = func(c *Config) {
			usual(c)
			c.Self.Addr += " again"
		}
		twin := w.start(id, c.of(1)[0])
		c.part[twin.Self().Boot] = 1
		w.run(20 * time.Second)
		w.lose = nil
		var gone *Ring
		_, err = w.until(quiet, func() error {
			for _, r := range []*Ring{old, twin} {
				if errors.Is(w.said[r.Self().Boot].Refused, ErrTaken) && gone == nil {
					gone = r
					w.remove(r)
				}
			}
			return w.unsettled()
		})
		if err != nil || gone == nil {
			t.Errorf("seed %d: %v has gone: %v", seed, gone, err)
		}
	}
}
