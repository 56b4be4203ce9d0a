package simnet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/torc-dht/torc/internal/simnet"
)

// The example: a lock with a lease. One server grants it to one client at a time;
// a client holds it for lease after it asked, by its own clock, and the server
// gives it to nobody else for lease after it granted it, and a margin.

const (
	lease  = time.Second
	margin = 100 * time.Millisecond
)

type lockMsg struct {
	ask   bool
	asked time.Duration // by the clock of who asks: an answer carries it back
}

func (m lockMsg) String() string {
	if m.ask {
		return "may I?"
	}
	return "granted"
}

// bug is a mistake planted in the lock.
type bug int

const (
	none             bug = iota
	countsFromAnswer     // a client counts its lease from the answer, not from when it asked
	forgets              // a server that was started again does not wait
)

// lockServer is the machine that grants. Its memory is gone with it, so it grants
// nothing for as long as a predecessor's lease could last.
type lockServer struct {
	holder Addr
	until  time.Duration
	out    []grant
	mark   func(string)
}

type grant struct {
	to Conn
	m  lockMsg
}

func (s *lockServer) Receive(now time.Duration, c Conn, m lockMsg) {
	if s.holder != c.Peer && now < s.until {
		s.mark("refused")
		return
	}
	if s.holder != "" && s.holder != c.Peer {
		s.mark("took over")
	}
	s.holder, s.until = c.Peer, now+lease+margin
	s.out = append(s.out, grant{c, lockMsg{asked: m.asked}})
}

func (s *lockServer) Drain(p *Port[lockMsg]) {
	for _, g := range s.out {
		p.Send(g.to, g.m)
	}
	s.out = nil
}

func (s *lockServer) Tick(time.Duration)               {}
func (s *lockServer) Connected(time.Duration, Conn)    {}
func (s *lockServer) Disconnected(time.Duration, Conn) {}

// lockClient asks every so often.
type lockClient struct {
	until time.Duration
	ask   bool
	next  time.Duration
	bug   bug
	mark  func(string)
}

func (c *lockClient) holds(now time.Duration) bool { return now < c.until }

func (c *lockClient) Receive(now time.Duration, _ Conn, m lockMsg) {
	if m.asked+lease < now {
		c.mark("granted too late")
	}
	if c.bug == countsFromAnswer {
		m.asked = now
	}
	c.until = max(c.until, m.asked+lease)
}

func (c *lockClient) Tick(now time.Duration) { c.ask, c.next = true, now+300*time.Millisecond }

func (c *lockClient) Drain(p *Port[lockMsg]) {
	if c.ask {
		c.ask = false
		p.SendTo("server", lockMsg{ask: true, asked: p.Now()})
	}
	p.Alarm(c.next)
}

func (c *lockClient) Connected(time.Duration, Conn)    {}
func (c *lockClient) Disconnected(time.Duration, Conn) {}

// runLock plays a schedule and tells who held the lock together, or "".
func runLock(seed uint64, s Schedule, planted bug, cover *Coverage, trace *strings.Builder) (string, uint64) {
	c := Config[lockMsg]{
		Seed:        seed,
		Latency:     Latency{Max: 100 * time.Millisecond},
		BackoffMax:  200 * time.Millisecond,
		ClockSpread: time.Hour,
		Lateness:    time.Millisecond,
	}
	if trace != nil {
		c.Trace = trace
	}
	n := New(c)
	clients := make(map[Addr]*lockClient)
	n.Add("server", func(p *Port[lockMsg]) Node[lockMsg] {
		sv := &lockServer{mark: cover.Sometimes}
		if p.Incarnation() > 1 && planted != forgets {
			sv.until = p.Now() + lease + margin
		}
		return sv
	})
	for _, a := range []Addr{"c1", "c2", "c3"} {
		n.Add(a, func(p *Port[lockMsg]) Node[lockMsg] {
			clients[a] = &lockClient{bug: planted, mark: cover.Sometimes}
			p.Dial("server")
			p.Alarm(p.Now())
			return clients[a]
		})
	}
	n.StartAll()
	n.Play(s)
	var together string
	n.RunUntil(30*time.Second, func() bool {
		var holders []string
		for _, a := range []Addr{"c1", "c2", "c3"} {
			if n.Up(a) && !n.Frozen(a) && clients[a].holds(n.Clock(a)) {
				holders = append(holders, string(a))
			}
		}
		if len(holders) > 1 {
			together = fmt.Sprintf("at %v %s hold the lock together", n.Now(), strings.Join(holders, " and "))
		}
		return together != ""
	})
	return together, n.Hash()
}

var lockFaults = Nemesis{
	Nodes:  []Addr{"server", "c1", "c2", "c3"},
	Length: 30 * time.Second,
	// A lock with a lease claims nothing when clocks run apart by more than the
	// margin, so they are left alone.
	Weights: map[Kind]int{Cut: 3, CutOneWay: 3, Reset: 2, Kill: 3, Freeze: 3, Isolate: 1, Slow: 1},
}

func expectLock() *Coverage { return Expect("refused", "took over", "granted too late") }

// The lock holds whatever goes wrong, and all its rules are put to use.
func TestLock(t *testing.T) {
	t.Parallel()
	cover := expectLock()
	for seed := range uint64(200) {
		s := lockFaults.Schedule(seed)
		if wrong, _ := runLock(seed, s, none, cover, nil); wrong != "" {
			t.Fatalf("seed %d: %s\n%v", seed, wrong, s)
		}
	}
	if missing := cover.Missing(); len(missing) > 0 {
		t.Errorf("never %q:\n%v", missing, cover)
	}
}

// Each planted bug is found out within a few seeds, and a fault or two, at
// times a few more, are shown to be enough.
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	for planted, seeds := range map[bug]uint64{countsFromAnswer: 20, forgets: 20} {
		t.Run(fmt.Sprint(planted), func(t *testing.T) {
			t.Parallel()
			for seed := range seeds {
				s := lockFaults.Schedule(seed)
				if wrong, _ := runLock(seed, s, planted, expectLock(), nil); wrong == "" {
					continue
				}
				// With other latencies, too: what matters is the faults, and fewer of
				// them are left when they need not meet one message on its way.
				fails := func(s Schedule) bool {
					for again := range uint64(20) {
						if wrong, _ := runLock(seed+again, s, planted, expectLock(), nil); wrong != "" {
							return true
						}
					}
					return false
				}
				small := Shrink(s, fails)
				t.Logf("seed %d, %d of %d faults left:\n%v", seed, len(small), len(s), small)
				if len(small) == 0 || len(small) > 4 {
					t.Errorf("%d faults are left of %d", len(small), len(s))
				}
				read, err := ParseSchedule(small.String())
				if err != nil || !fails(read) {
					t.Errorf("what is printed can't be replayed: %v", err)
				}
				return
			}
			t.Errorf("%d seeds did not find the bug", seeds)
		})
	}
}

// The same seed twice gives the same trace, byte for byte, and one that is not
// written has the same hash; other seeds, and other faults, differ.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	hashes := make(map[uint64]uint64)
	for seed := range uint64(20) {
		s := lockFaults.Schedule(seed)
		var first, second strings.Builder
		_, h1 := runLock(seed, s, none, expectLock(), &first)
		_, h2 := runLock(seed, s, none, expectLock(), &second)
		_, h3 := runLock(seed, s, none, expectLock(), nil)
		if d := Diff(first.String(), second.String()); d != "" || h1 != h2 || h1 != h3 {
			t.Fatalf("seed %d: hashes %x, %x, %x\n%s", seed, h1, h2, h3, d)
		}
		if first.Len() < 1000 {
			t.Fatalf("seed %d: the trace is\n%s", seed, &first)
		}
		if other, twice := hashes[h1]; twice {
			t.Errorf("seeds %d and %d have one hash", seed, other)
		}
		hashes[h1] = seed
		var third strings.Builder
		if _, h := runLock(seed, s[1:], none, expectLock(), &third); h == h1 || Diff(first.String(), third.String()) == "" {
			t.Errorf("seed %d: a fault less makes no difference", seed)
		}
	}
}
