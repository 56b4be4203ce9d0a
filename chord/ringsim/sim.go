package ringsim

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Config is what a simulation is told; Seed decides all that is left to chance.
type Config struct {
	Seed   uint64
	Circle place.Circle
	// List, Period, Jitter, Patience, Fingers, WholeList and Bugs are every node's:
	// see ring.Config.
	List           int
	Period, Jitter time.Duration
	Patience       time.Duration
	Fingers        int
	WholeList      bool
	Bugs           ring.Bugs
	// Latency is how long a message takes at most; it is between a half of that and
	// all of it. 0: 50 ms, the papers' mean.
	Latency time.Duration
}

// Sim is nodes and a network in one goroutine, in virtual time.
type Sim struct {
	c     Config
	now   time.Duration
	rnd   *rand.Rand
	nodes []*Node // all there ever were; a node's boot is its index + 1
	live  []*Node // in order of place
	queue queue
	out   ring.Output // of the node whose turn it is
	// messages are those under way, and free is what of them isn't used.
	messages []ring.Message
	free     []int32
	calls    []func()
	waits    map[wait]func(*ring.Found)
	// Sent counts the messages so far.
	Sent uint64
}

// Node is one node of a simulation.
type Node struct {
	*ring.Ring
	sim    *Sim
	ref    ring.Ref
	dead   bool
	joined bool
	alarm  int64 // when its next tick is, in grains; 0: never
}

// wait is who waits for which lookup.
type wait struct{ boot, number uint64 }

// New returns a simulation without nodes.
func New(c Config) *Sim {
	c.Latency = cmp.Or(c.Latency, 50*time.Millisecond)
	return &Sim{c: c, rnd: rand.New(rand.NewPCG(c.Seed, 0)), waits: make(map[wait]func(*ring.Found))}
}

// node is who r names.
func (s *Sim) node(r ring.Ref) *Node { return s.nodes[r.Boot-1] }

// Now is how much time has passed.
func (s *Sim) Now() time.Duration { return s.now }

// Live are the nodes that live, in order of their places. It must not be changed.
func (s *Sim) Live() []*Node { return s.live }

// Ref is who the node is.
func (n *Node) Ref() ring.Ref { return n.ref }

// Joined tells whether it is a member.
func (n *Node) Joined() bool { return n.joined }

// Add starts a node at p. It joins by way of contact; with nil it is the first.
func (s *Sim) Add(p place.Place, contact *Node) *Node {
	boot := uint64(len(s.nodes) + 1)
	n := &Node{sim: s, ref: ring.Ref{Place: p, Boot: boot, Addr: strconv.FormatUint(boot, 10)}}
	n.Ring = ring.New(ring.Config{
		Circle: s.c.Circle, Self: n.ref, Rand: rand.New(rand.NewPCG(s.c.Seed, boot)),
		List: s.c.List, Period: s.c.Period, Jitter: s.c.Jitter, Patience: s.c.Patience, Fingers: s.c.Fingers, WholeList: s.c.WholeList, Bugs: s.c.Bugs,
		Output: &s.out,
	}, s.now)
	s.nodes = append(s.nodes, n)
	i, _ := slices.BinarySearchFunc(s.live, p, byPlace)
	s.live = slices.Insert(s.live, i, n)
	if contact != nil {
		n.Join(s.now, contact.ref)
	} else {
		n.joined = true
	}
	n.drain()
	return n
}

func byPlace(n *Node, p place.Place) int { return n.ref.Place.Compare(p) }

// AddRandom starts a node at a place by chance, by way of a member by chance.
func (s *Sim) AddRandom() *Node {
	var contact *Node
	for range 1000 {
		if len(s.live) == 0 {
			break
		}
		if c := s.live[s.rnd.IntN(len(s.live))]; c.joined {
			contact = c
			break
		}
	}
	for {
		p := s.RandomPlace()
		if i, taken := slices.BinarySearchFunc(s.live, p, byPlace); !taken || s.live[i].dead {
			return s.Add(p, contact)
		}
	}
}

// RandomPlace returns a place by chance.
func (s *Sim) RandomPlace() place.Place {
	var b [20]byte
	for i := range b {
		b[i] = byte(s.rnd.Uint32())
	}
	return s.c.Circle.OfKey(string(b[:]))
}

// RandomNode returns a member by chance.
func (s *Sim) RandomNode() *Node {
	for {
		if n := s.live[s.rnd.IntN(len(s.live))]; n.joined {
			return n
		}
	}
}

// Kill has a node say nothing more.
func (s *Sim) Kill(n *Node) {
	n.dead = true
	i, _ := slices.BinarySearchFunc(s.live, n.ref.Place, byPlace)
	s.live = slices.Delete(s.live, i, i+1)
}

// Leave has n tell its predecessor and its first successor that it goes, and say
// nothing more.
func (s *Sim) Leave(n *Node) {
	prdc, list := n.Predecessor(), n.Successors()
	for _, to := range []ring.Ref{prdc, n.Successor()} {
		if to.None() || to == n.ref {
			continue
		}
		s.after(s.latency(), func() {
			if t := s.node(to); !t.dead {
				t.Bye(s.now, n.ref, prdc, list, false)
				t.drain()
			}
		})
	}
	s.Kill(n)
}

// after has f called in a while.
func (s *Sim) after(d time.Duration, f func()) {
	s.calls = append(s.calls, f)
	s.queue.push(event{at: grains(s.now + d), node: int32(len(s.calls) - 1), message: call})
}

func (s *Sim) latency() time.Duration {
	return s.c.Latency/2 + time.Duration(s.rnd.Int64N(int64(s.c.Latency/2)+1))
}

// Lookup has n look for target, and calls then with what came of it, perhaps at once.
func (n *Node) Lookup(target place.Place, then func(*ring.Found)) {
	number := n.Ring.Lookup(n.sim.now, target)
	n.sim.waits[wait{n.ref.Boot, number}] = then
	n.drain()
}

// Owner is the living member that target belongs to, as somebody sees it who sees all.
func (s *Sim) Owner(target place.Place) *Node { return owner(s.live, target) }

func owner(live []*Node, target place.Place) *Node {
	i, _ := slices.BinarySearchFunc(live, target, byPlace)
	for ; ; i++ {
		if n := live[i%len(live)]; n.joined {
			return n
		}
	}
}

// Run lets time pass.
func (s *Sim) Run(d time.Duration) {
	end := s.now + d
	for {
		e, is := s.queue.pop(int64(end / grain))
		if !is {
			break
		}
		s.now = max(s.now, time.Duration(e.at)*grain)
		if e.message == call {
			s.calls[e.node]()
			s.calls[e.node] = nil
			continue
		}
		n := s.nodes[e.node]
		switch {
		case e.message != alarm:
			if !n.dead {
				n.Receive(s.now, &s.messages[e.message])
			}
			s.free = append(s.free, e.message)
		case n.alarm != e.at:
			continue // it was needed sooner
		default:
			n.alarm = 0
			if !n.dead {
				n.Tick(s.now)
			}
		}
		if !n.dead {
			n.drain()
		}
	}
	s.now = end
}

// drain carries out what the node wants done.
func (n *Node) drain() {
	s := n.sim
	n.joined = n.joined || s.out.Joined
	for i := range s.out.Send {
		o := &s.out.Send[i]
		s.post(int32(o.To.Boot-1), &o.M)
	}
	found := s.out.Found
	s.out = ring.Output{Send: s.out.Send[:0]}
	for i := range found {
		f := &found[i]
		w := wait{n.ref.Boot, f.Number}
		if then := s.waits[w]; then != nil {
			delete(s.waits, w)
			then(f) // which may look for something else at once
		}
	}
	if s.out.Found == nil {
		s.out.Found = found[:0]
	}
	// One that comes too soon does nothing but see when it is due.
	if at := grains(n.Next()); n.alarm == 0 || at < n.alarm {
		n.alarm = at
		s.queue.push(event{at: at, node: int32(n.ref.Boot - 1), message: alarm})
	}
}

// post has m arrive at a node after a while.
func (s *Sim) post(node int32, m *ring.Message) {
	s.Sent++
	var index int32
	if last := len(s.free) - 1; last >= 0 {
		index = s.free[last]
		s.free = s.free[:last]
		s.messages[index] = *m
	} else {
		index = int32(len(s.messages))
		s.messages = append(s.messages, *m)
	}
	s.queue.push(event{at: grains(s.now + s.latency()), node: node, message: index})
}

// Unsettled says what isn't as it is to be: every living node a member, with the
// predecessor, the successor list and the fingers that it should have. Nil: all is.
func (s *Sim) Unsettled() error {
	if err := s.Unordered(); err != nil {
		return err
	}
	for _, n := range s.live {
		for k, p := range n.Fingers() {
			if want := s.Owner(s.c.Circle.Plus(n.ref.Place, k)).ref; p != want {
				return fmt.Errorf("%v has as finger %d %v, not %v", n.ref, k, p, want)
			}
		}
	}
	return nil
}

// Unordered is Unsettled without the fingers.
func (s *Sim) Unordered() error {
	for i, n := range s.live {
		before := s.live[(i+len(s.live)-1)%len(s.live)]
		switch {
		case !n.joined:
			return fmt.Errorf("%v is no member", n.ref)
		case len(s.live) == 1:
		case n.Predecessor() != before.ref:
			return fmt.Errorf("%v has the predecessor %v, not %v", n.ref, n.Predecessor(), before.ref)
		}
		list := n.Successors()
		if want := min(s.c.List, len(s.live)-1); len(list) != want {
			return fmt.Errorf("%v has a list of %d, not %d", n.ref, len(list), want)
		}
		for k, p := range list {
			if want := s.live[(i+1+k)%len(s.live)].ref; p != want {
				return fmt.Errorf("%v has as successor %d %v, not %v", n.ref, k+1, p, want)
			}
		}
	}
	return nil
}

// Settle lets time pass until all is settled, and returns how long that took. The error
// says what isn't after the most that it may take, or is ctx's.
func (s *Sim) Settle(ctx context.Context, most time.Duration) (time.Duration, error) {
	return s.settle(ctx, most, s.Unsettled)
}

func (s *Sim) settle(ctx context.Context, most time.Duration, wrong func() error) (time.Duration, error) {
	began := s.now
	for {
		err := wrong()
		if err == nil || s.now-began >= most {
			return s.now - began, err
		}
		if err := s.run(ctx, 4*s.c.Period); err != nil {
			return s.now - began, err
		}
	}
}

// run is Run, in pieces, between which ctx can end it.
func (s *Sim) run(ctx context.Context, d time.Duration) error {
	for d > 0 && ctx.Err() == nil {
		piece := min(d, s.c.Period)
		s.Run(piece)
		d -= piece
	}
	return ctx.Err()
}
