package ringsim

import (
	"cmp"
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
	out   ring.Output
	// Sent counts the messages so far.
	Sent uint64
}

// Node is one node of a simulation.
type Node struct {
	*ring.Ring
	sim    *Sim
	ref    ring.Ref
	dead   bool
	alarm  time.Duration // of the tick that is in the queue
	joined bool
	waits  map[uint64]func(*ring.Found)
}

// New returns a simulation without nodes.
func New(c Config) *Sim {
	c.Latency = cmp.Or(c.Latency, 50*time.Millisecond)
	return &Sim{c: c, rnd: rand.New(rand.NewPCG(c.Seed, 0))}
}

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
	n := &Node{sim: s, ref: ring.Ref{Place: p, Boot: boot, Addr: strconv.FormatUint(boot, 10)}, waits: make(map[uint64]func(*ring.Found))}
	n.Ring = ring.New(ring.Config{
		Circle: s.c.Circle, Self: n.ref, Rand: rand.New(rand.NewPCG(s.c.Seed, boot)),
		List: s.c.List, Period: s.c.Period, Jitter: s.c.Jitter, Patience: s.c.Patience, Fingers: s.c.Fingers, WholeList: s.c.WholeList, Bugs: s.c.Bugs,
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

// Lookup has n look for target, and calls then with what came of it, perhaps at once.
func (n *Node) Lookup(target place.Place, then func(*ring.Found)) {
	number := n.Ring.Lookup(n.sim.now, target)
	n.waits[number] = then
	n.drain()
}

// Owner is the living node that target belongs to, as somebody sees it who sees all.
func (s *Sim) Owner(target place.Place) *Node {
	i, _ := slices.BinarySearchFunc(s.live, target, byPlace)
	return s.live[i%len(s.live)]
}

// Run lets time pass.
func (s *Sim) Run(d time.Duration) {
	end := s.now + d
	for s.queue.len() > 0 && s.queue.first().at <= end {
		e := s.queue.pop()
		s.now = e.at
		n := e.to
		switch {
		case n.dead:
			continue
		case e.m != nil:
			n.Receive(s.now, e.m)
		case n.alarm != e.at:
			continue // another one was set since
		default:
			n.alarm = 0
			n.Tick(s.now)
		}
		n.drain()
	}
	s.now = end
}

// drain carries out what the node wants done.
func (n *Node) drain() {
	s := n.sim
	s.out.Send, s.out.Found = s.out.Send[:0], s.out.Found[:0]
	s.out.Joined = false
	n.Drain(&s.out)
	n.joined = n.joined || s.out.Joined
	for _, o := range s.out.Send {
		s.Sent++
		m := o.M
		s.queue.push(event{at: s.now + s.c.Latency/2 + time.Duration(s.rnd.Int64N(int64(s.c.Latency/2)+1)), to: s.nodes[o.To.Boot-1], m: &m})
	}
	for i := range s.out.Found {
		f := &s.out.Found[i]
		if then := n.waits[f.Number]; then != nil {
			delete(n.waits, f.Number)
			then(f)
		}
	}
	if at := n.Next(); at != n.alarm {
		n.alarm = at
		s.queue.push(event{at: at, to: n})
	}
}

// Unsettled says what isn't as it is to be: every living node a member, with the
// predecessor, the successor list and the fingers that it should have. Nil: all is.
func (s *Sim) Unsettled() error {
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
		for k, p := range n.Fingers() {
			if want := s.Owner(s.c.Circle.Plus(n.ref.Place, k)).ref; p != want {
				return fmt.Errorf("%v has as finger %d %v, not %v", n.ref, k, p, want)
			}
		}
	}
	return nil
}

// Settle lets time pass until all is settled, and returns how long that took.
func (s *Sim) Settle(most time.Duration) (time.Duration, error) {
	began := s.now
	for {
		err := s.Unsettled()
		if err == nil || s.now-began >= most {
			return s.now - began, err
		}
		s.Run(4 * s.c.Period)
	}
}
