package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/simnet"
)

// wrong says how the nodes break what Zave shows to hold as long as nobody loses its
// whole list: each has a living successor, no list turns back or repeats anybody, and by
// first living successors there is one ring, once around, that everybody leads to.
func (w *world) wrong() error {
	next := make(map[ring.Ref]ring.Ref)
	lives := make(map[ring.Ref]bool)
	var members []*process
	for _, n := range w.live() {
		if n.member() {
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

// member says whether a process takes part in the ring, whether or not it owns anything
// yet.
func (n *process) member() bool { return n.core.Joined() || len(n.view().Successors) > 0 }

// principled says whether a node may die by Zave's rules: of everybody else a listed
// one still lives, and there are enough of them.
func (w *world) principled(n *process) bool {
	live := w.live()
	if len(live) <= w.list()+2 {
		return false
	}
	for _, o := range live {
		if o != n && o.member() && !slices.ContainsFunc(o.view().Successors, func(p ring.Ref) bool {
			return p != n.self && slices.ContainsFunc(live, func(q *process) bool { return q.self == p })
		}) {
			return false
		}
	}
	return true
}

// churn has nodes come and go by a seed, as Zave's rules have it, one upon the other, and
// holds her invariant at every other millisecond. There is no data: so many at a time
// would take it with them.
func churn(seed uint64, b bugs, trace io.Writer) *world {
	rng := rand.New(rand.NewPCG(seed, 3))
	w := settled(config{
		seed: seed, trace: trace, nodes: 8, bits: 8, list: 1 + rng.IntN(3), clients: 1, silent: true, anyFinger: true, bugs: b, latency: quickly,
	})
	var newest simnet.Addr
	for range 60 {
		live := w.live()
		n := live[rng.IntN(len(live))]
		switch {
		case len(live) < 12 && rng.IntN(2) == 0:
			newest = w.join()
			continue
		case newest != "" && rng.IntN(2) == 0 && w.net.Up(newest) && !w.runs[newest].going:
			n = w.runs[newest]
		}
		if w.principled(n) {
			newest = ""
			switch rng.IntN(4) {
			case 0:
				w.failNode(n.addr)
			case 1:
				w.kill(n.addr)
			default: // nobody is told
				w.goneFor[n.addr] = true
				w.net.Freeze(n.addr)
			}
		}
		for range 1 + rng.IntN([]int{5, 50, 150}[rng.IntN(3)]) {
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
