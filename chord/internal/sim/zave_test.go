package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// wrong says how the nodes break what Zave shows to hold as long as nobody loses its
// whole list: each has a living successor, no list turns back or repeats anybody, and by
// first living successors there is one ring, once around, that everybody leads to.
func (w *world) wrong() error {
	next := make(map[ring.Ref]ring.Ref)
	lives := make(map[ring.Ref]bool)
	var members []*process
	for _, n := range w.live() {
		if n.core.Joined() {
			lives[n.self] = true
			members = append(members, n)
		}
	}
	for _, n := range members {
		last := n.self
		for _, p := range n.view().Successors {
			if !place.Inside(last.Place, p.Place, n.self.Place) {
				return fmt.Errorf("the list of %s isn't in order: %v", n.addr, n.view().Successors)
			}
			last = p
			if _, has := next[n.self]; !has && lives[p] {
				next[n.self] = p
			}
		}
		if _, has := next[n.self]; !has {
			if len(n.view().Successors) > 0 {
				return fmt.Errorf("of the list of %s nobody lives: %v", n.addr, n.view().Successors)
			}
			next[n.self] = n.self
		}
	}
	on := make(map[ring.Ref]bool) // a ring that was found
	for _, n := range members {
		p := n.self
		for range members { // as many steps lead into the ring
			p = next[p]
		}
		if on[p] {
			continue
		}
		if len(on) > 0 {
			return fmt.Errorf("there are two rings: %v isn't in that of the others", p)
		}
		turns := 0
		for q := p; ; {
			on[q] = true
			if next[q].Place.Compare(q.Place) <= 0 {
				turns++
			}
			if q = next[q]; q == p {
				break
			}
		}
		if turns != 1 {
			return fmt.Errorf("the ring of %v goes around %d times", p, turns)
		}
	}
	return nil
}

// principled says whether a node may die by Zave's rules: of everybody else a listed
// one still lives, and there are enough of them.
func (w *world) principled(n *process) bool {
	live := w.live()
	if len(live) <= w.list()+2 || slices.ContainsFunc(live, func(o *process) bool { return !o.core.Joined() }) {
		return false
	}
	for _, o := range live {
		if o != n && !slices.ContainsFunc(o.view().Successors, func(p ring.Ref) bool {
			return p != n.self && slices.ContainsFunc(live, func(q *process) bool { return q.self == p })
		}) {
			return false
		}
	}
	return true
}

// churn has nodes come and go by a seed, as Zave's rules have it, and holds her
// invariant at every millisecond.
func churn(seed uint64, b bugs, trace io.Writer) *world {
	rng := rand.New(rand.NewPCG(seed, 3))
	w := settled(config{
		seed: seed, trace: trace, nodes: 8, bits: 8, list: 2 + rng.IntN(2), clients: 2, pace: 20 * ms, bugs: b, latency: quickly,
	})
	for range 20 {
		live := w.live()
		n := live[rng.IntN(len(live))]
		switch {
		case len(live) < 12 && rng.IntN(2) == 0:
			w.join()
		case !w.principled(n) || !w.bears(n.addr):
		case rng.IntN(3) == 0:
			w.failNode(n.addr)
		case rng.IntN(2) == 0:
			w.leave(n.addr)
		default:
			w.kill(n.addr)
		}
		for range 1 + rng.IntN([]int{5, 50, 300}[rng.IntN(3)]) {
			if w.run(2 * ms); w.failed() {
				return w
			}
			if err := w.wrong(); err != nil {
				w.fail("%v", err)
			}
		}
	}
	w.end()
	return w
}

func TestZavesInvariant(t *testing.T) {
	t.Parallel()
	n := uint64(20)
	if soaks() {
		n = 1000
	}
	if *seeds > 0 {
		n = uint64(*seeds)
	}
	for seed := range n {
		var trace strings.Builder
		if *traceTo == "" {
			churn(*firstSeed+seed, bugs{}, nil).report(t)
			continue
		}
		w := churn(*firstSeed+seed, bugs{}, &trace)
		writeTrace(t, trace.String())
		w.report(t)
	}
}

var _ = time.Second
