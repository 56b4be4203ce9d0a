package simnet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// recorder is a node that writes down what happens to it, and does what it is
// told.
type recorder struct {
	port *Port[int]
	got  []received
	ups  []Conn
	ends []ended
	tick []time.Duration // by its own clock
}

type received struct {
	at   time.Duration
	conn Conn
	m    int
}

type ended struct {
	at   time.Duration
	conn Conn
}

func (r *recorder) Receive(now time.Duration, c Conn, m int) {
	r.got = append(r.got, received{now, c, m})
}
func (r *recorder) Tick(now time.Duration)               { r.tick = append(r.tick, now) }
func (r *recorder) Connected(_ time.Duration, c Conn)    { r.ups = append(r.ups, c) }
func (r *recorder) Disconnected(t time.Duration, c Conn) { r.ends = append(r.ends, ended{t, c}) }
func (r *recorder) Drain(*Port[int])                     {}

func (r *recorder) messages() []int {
	var all []int
	for _, g := range r.got {
		all = append(all, g.m)
	}
	return all
}

// lost returns the connections that r was told were lost, without failed dials.
func (r *recorder) lost() []Conn {
	var all []Conn
	for _, e := range r.ends {
		if e.conn.ID != 0 {
			all = append(all, e.conn)
		}
	}
	return all
}

// bench is a network of recorders; at holds those that are up, or were last.
type bench struct {
	*Network[int]
	at map[Addr]*recorder
}

func newBench(c Config[int], addrs ...Addr) *bench {
	b := &bench{New(c), make(map[Addr]*recorder)}
	for _, a := range addrs {
		b.Add(a, func(p *Port[int]) Node[int] {
			b.at[a] = &recorder{port: p}
			return b.at[a]
		})
	}
	b.StartAll()
	return b
}

// connected returns a bench of a and b, where a has dialed b.
func connected(t testing.TB, c Config[int]) (n *bench, a, b *recorder) {
	t.Helper()
	n = newBench(c, "a", "b")
	a, b = n.at["a"], n.at["b"]
	a.port.Dial("b")
	if !n.RunUntil(10*time.Second, func() bool { return len(a.ups) == 1 && len(b.ups) == 1 }) {
		t.Fatal("no connection")
	}
	return n, a, b
}

func count(from, to int) []int {
	var all []int
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

func (n *bench) runFor(d time.Duration) { n.Run(n.Now() + d) }

func TestBothWaysInOrder(t *testing.T) {
	t.Parallel()
	n, a, b := connected(t, Config[int]{Latency: Latency{Max: time.Second}})
	for i := range 100 {
		a.port.SendTo("b", i)
		b.port.SendTo("a", 1000+i)
	}
	n.runFor(time.Minute)
	if got := b.messages(); !slices.Equal(got, count(0, 100)) {
		t.Errorf("b got %v", got)
	}
	if got := a.messages(); !slices.Equal(got, count(1000, 1100)) {
		t.Errorf("a got %v", got)
	}
	if a.ups[0].ID != b.ups[0].ID || !a.ups[0].Dialed || b.ups[0].Dialed || a.ups[0].Peer != "b" || b.ups[0].Peer != "a" {
		t.Errorf("ends %+v and %+v", a.ups[0], b.ups[0])
	}
}

// Whatever happens to a connection, each end receives a first part of what was
// sent over it, in order, and nothing after it was told that it is no more.
func TestLossOfSuffixesOnly(t *testing.T) {
	t.Parallel()
	lossy := 0 // connections that lost messages, but not all
	rapid.Check(t, func(t *rapid.T) {
		config := Config[int]{Seed: rapid.Uint64().Draw(t, "seed"), Latency: Latency{Max: 300 * time.Millisecond}}
		n := newBench(config, "a", "b", "c")
		incarnations := make(map[*recorder]Addr)
		sent := make(map[[2]any][]int) // by incarnation and connection
		next := 0
		for a, r := range n.at {
			for _, peer := range n.Addrs() {
				if a < peer {
					r.port.Dial(peer)
				}
			}
		}
		n.runFor(rapid.SampledFrom([]time.Duration{0, 2 * time.Second}).Draw(t, "before"))
		var undo []func()
		for range rapid.IntRange(10, 60).Draw(t, "steps") {
			for a, r := range n.at {
				incarnations[r] = a
			}
			pick := rapid.Permutation([]Addr{"a", "b", "c"}).Draw(t, "nodes")
			x, y := pick[0], pick[1]
			switch rapid.IntRange(0, 11).Draw(t, "what") {
			case 0:
				undo = append(undo, n.Cut(x, y))
			case 1:
				undo = append(undo, n.CutOneWay(x, y))
			case 2:
				n.Reset(x, y)
			case 3:
				undo = append(undo, n.Kill(x))
			case 4:
				undo = append(undo, n.Freeze(x))
			case 5:
				undo = append(undo, n.Isolate(x))
			case 6:
				for _, f := range undo {
					f()
				}
				undo = nil
			case 7, 8:
				n.at[x].port.Dial(y)
			case 9:
				if c, ok := n.at[x].port.Conn(y); ok {
					n.at[x].port.Close(c)
				}
			default:
				r := n.at[x]
				for range rapid.IntRange(1, 20).Draw(t, "messages") {
					if c, ok := r.port.Conn(y); ok {
						next++
						key := [2]any{x, c.ID}
						sent[key] = append(sent[key], next)
						if !r.port.Send(c, next) {
							t.Fatalf("%s: %v was there and is not", x, c)
						}
					}
				}
			}
			n.runFor(time.Duration(rapid.SampledFrom([]int{0, 0, 10, 100, 100, 300, 1000, 4000}).Draw(t, "ms")) * time.Millisecond)
		}
		n.HealAll()
		n.runFor(time.Minute)
		for a, r := range n.at {
			incarnations[r] = a
		}
		for r, me := range incarnations {
			got := make(map[Conn][]int)
			end := make(map[Conn]time.Duration)
			for _, e := range r.ends {
				end[e.conn] = e.at
			}
			for _, g := range r.got {
				got[g.conn] = append(got[g.conn], g.m)
				if at, over := end[g.conn]; over && g.at > at {
					t.Fatalf("%s got %d over %v at %v, which ended at %v", me, g.m, g.conn, g.at, at)
				}
			}
			for c, all := range got {
				was := sent[[2]any{c.Peer, c.ID}]
				if len(all) > len(was) || !slices.Equal(all, was[:len(all)]) {
					t.Fatalf("%s got %v over %v, where %v was sent", me, all, c, was)
				}
				if len(all) > 0 && len(all) < len(was) {
					lossy++
				}
			}
			for _, c := range r.ups {
				if c.ID == 0 {
					t.Fatalf("%s is connected without an ID", me)
				}
			}
		}
		// All is healed: nobody has a connection of which the other end knows nothing.
		for me, r := range n.at {
			for _, peer := range n.Addrs() {
				mine, ok := r.port.Conn(peer)
				if !ok || peer == me {
					continue
				}
				theirs := slices.ContainsFunc(n.at[peer].ups, func(c Conn) bool { return c.ID == mine.ID }) &&
					!slices.Contains(n.at[peer].lost(), Conn{Peer: me, ID: mine.ID, Dialed: !mine.Dialed, slot: mine.slot})
				if !theirs {
					t.Fatalf("%s has %v, and %s does not", me, mine, peer)
				}
			}
		}
	})
	if lossy == 0 {
		t.Error("no connection ever lost a part of its messages: the test shows nothing")
	}
}

// A dialer that goes on wanting a connection has one again soon after all is
// well.
func TestReconnects(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := newBench(Config[int]{Seed: rapid.Uint64().Draw(t, "seed")}, "a", "b")
		n.Play(Nemesis{Nodes: []Addr{"b"}, Length: 20 * time.Second, MaxDown: 1}.Schedule(rapid.Uint64().Draw(t, "nemesis")))
		n.at["a"].port.Dial("b")
		for range rapid.IntRange(0, 3).Draw(t, "resets") {
			n.At(time.Duration(rapid.IntRange(0, 10000).Draw(t, "ms"))*time.Millisecond, func() { n.Reset("a", "b") })
		}
		n.Run(20 * time.Second)
		mine, ok := n.at["a"].port.Conn("b")
		theirs, ok2 := n.at["b"].port.Conn("a")
		if !ok || !ok2 || mine.ID != theirs.ID {
			t.Fatalf("a has %v (%v), b has %v (%v)", mine, ok, theirs, ok2)
		}
	})
}

func TestResetTellsBothEnds(t *testing.T) {
	t.Parallel()
	cuts := make(map[int]bool)
	for seed := range uint64(200) {
		n, a, b := connected(t, Config[int]{Seed: seed, Latency: Latency{Min: time.Millisecond, Max: 2 * time.Millisecond}})
		for i := range 4 {
			a.port.SendTo("b", i)
		}
		n.Reset("a", "b")
		start := n.Now()
		n.Run(start + 10*time.Millisecond)
		if len(a.ends) != 1 || len(b.ends) != 1 || a.ends[0].conn != a.ups[0] || b.ends[0].conn != b.ups[0] {
			t.Fatalf("a was told %v, b %v", a.ends, b.ends)
		}
		cuts[len(b.got)] = true
		n.Run(start + time.Second)
		if len(a.ups) != 2 || len(b.ups) != 2 || a.ups[1].ID == a.ups[0].ID {
			t.Fatalf("no new connection: %v, %v", a.ups, b.ups)
		}
		if a.port.Send(a.ups[0], 7) {
			t.Fatal("sent over a connection that is no more")
		}
	}
	for kept := range 5 {
		if !cuts[kept] {
			t.Errorf("never were just %d of 4 messages kept", kept)
		}
	}
}

func TestShortCutLosesNothing(t *testing.T) {
	t.Parallel()
	n, a, b := connected(t, Config[int]{Silence: time.Second})
	heal := n.Cut("a", "b")
	for i := range 10 {
		a.port.SendTo("b", i)
	}
	n.runFor(900 * time.Millisecond)
	if len(b.got) > 0 {
		t.Fatalf("b got %v over a cut link", b.messages())
	}
	heal()
	a.port.SendTo("b", 10)
	n.runFor(3 * time.Second)
	if got := b.messages(); !slices.Equal(got, count(0, 11)) || len(a.ends)+len(b.ends) > 0 {
		t.Errorf("b got %v; a was told %v, b %v", got, a.ends, b.ends)
	}
}

func TestLongCutIsNoticedByEachEnd(t *testing.T) {
	t.Parallel()
	for _, oneWay := range []bool{false, true} {
		n, a, b := connected(t, Config[int]{Silence: time.Second})
		start := n.Now()
		if oneWay {
			n.CutOneWay("a", "b")
		} else {
			n.Cut("a", "b")
		}
		a.port.SendTo("b", 1)
		n.runFor(10 * time.Second)
		for _, r := range []*recorder{a, b} {
			lost := r.lost()
			if len(lost) != 1 {
				t.Fatalf("one way %v: %s was told %v", oneWay, r.port.Addr(), r.ends)
			}
			at := r.ends[0].at - start
			if at > 1500*time.Millisecond || at < time.Second && !(oneWay && r == a) {
				t.Errorf("one way %v: %s was told after %v", oneWay, r.port.Addr(), at)
			}
		}
		n.Heal()
		n.runFor(5 * time.Second)
		if len(b.got) != 0 || len(a.ups) != 2 || len(b.ups) != 2 {
			t.Errorf("one way %v: b got %v; connected %v and %v", oneWay, b.got, a.ups, b.ups)
		}
	}
}

func TestKillForgetsAndStarts(t *testing.T) {
	t.Parallel()
	n, a, b := connected(t, Config[int]{})
	b.port.Alarm(n.Now() + time.Millisecond)
	start := n.Kill("b")
	if n.Up("b") || b.port.Send(b.ups[0], 1) {
		t.Error("b lives")
	}
	b.port.Dial("a")
	n.runFor(2 * time.Second)
	if len(b.tick)+len(b.ends) > 0 || len(a.lost()) != 1 || len(a.ends) < 2 {
		t.Fatalf("b saw %v %v, a was told %v", b.tick, b.ends, a.ends)
	}
	start()
	start()
	if !n.Up("b") || n.Incarnation("b") != 2 || n.at["b"] == b {
		t.Fatal("b was not started anew")
	}
	n.runFor(2 * time.Second)
	if len(a.ups) != 2 || len(n.at["b"].ups) != 1 {
		t.Errorf("a is connected %v, b %v", a.ups, n.at["b"].ups)
	}
	if b.port.SendTo("a", 1) {
		t.Error("the old b still sends")
	}
}

func TestCloseDeliversWhatWasSent(t *testing.T) {
	t.Parallel()
	n, a, b := connected(t, Config[int]{})
	a.port.SendTo("b", 1)
	a.port.SendTo("b", 2)
	b.port.SendTo("a", 3)
	a.port.Hangup("b")
	a.port.Hangup("b")
	n.runFor(time.Second)
	if !slices.Equal(b.messages(), []int{1, 2}) || len(a.got) > 0 || len(a.ends) > 0 || len(b.ends) != 1 || len(a.ups) != 1 {
		t.Errorf("b got %v, a %v; told %v, %v; a's connections %v", b.messages(), a.got, b.ends, a.ends, a.ups)
	}
}

func TestTwoConnectionsBetweenTwoThatDial(t *testing.T) {
	t.Parallel()
	n, a, b := connected(t, Config[int]{})
	b.port.Dial("a")
	n.runFor(time.Second)
	if len(a.ups) != 2 || len(b.ups) != 2 {
		t.Fatalf("%v %v", a.ups, b.ups)
	}
	ca, _ := a.port.Conn("b")
	cb, _ := b.port.Conn("a")
	if ca.ID == cb.ID || !ca.Dialed || !cb.Dialed {
		t.Errorf("a would use %+v, b %+v", ca, cb)
	}
}

func TestSlowAndOwnLatency(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	n, a, b := connected(t, Config[int]{Latency: Latency{Min: ms, Max: ms}})
	n.SetLatency("b", "a", Latency{Min: 5 * ms, Max: 5 * ms})
	took := func(from, to *recorder) time.Duration {
		start, k := n.Now(), len(to.got)
		from.port.SendTo(to.port.Addr(), 1)
		n.RunUntil(start+time.Second, func() bool { return len(to.got) > k })
		return n.Now() - start
	}
	if there, back := took(a, b), took(b, a); there != ms || back != 5*ms {
		t.Errorf("%v there, %v back", there, back)
	}
	undo := n.Slow("a", Every, 10)
	n.Slow("b", "a", 2)
	if there, back := took(a, b), took(b, a); there != 20*ms || back != 100*ms {
		t.Errorf("slow: %v there, %v back", there, back)
	}
	undo()
	if there := took(a, b); there != 2*ms {
		t.Errorf("less slow: %v there", there)
	}
}

func TestLatencyHasATail(t *testing.T) {
	t.Parallel()
	c := newChance(1, "tail")
	l, tail := DefaultLatency, 0
	for range 100_000 {
		d := time.Duration(l.draw(&c))
		if d < l.Min || d > l.Tail {
			t.Fatalf("%v", d)
		}
		if d > l.Max {
			tail++
		}
	}
	if tail < 50 || tail > 200 {
		t.Errorf("%d of 100000 were in the tail", tail)
	}
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	n := newBench(Config[int]{Latency: Latency{Max: time.Second}}, "a", "b")
	a, b := n.at["a"].port, n.at["b"]
	send := func(k int) []int {
		b.got = nil
		for i := range k {
			a.Datagram("b", i)
		}
		n.runFor(2 * time.Second)
		return b.messages()
	}
	got := send(100)
	if slices.IsSorted(got) {
		t.Error("nothing overtook anything")
	}
	slices.Sort(got)
	if !slices.Equal(got, count(0, 100)) || b.got[0].conn != (Conn{Peer: "a"}) {
		t.Errorf("got %v from %v", got, b.got[0].conn)
	}
	undo := n.Drop("a", "b", 0.5)
	if k := len(send(1000)); k < 400 || k > 600 {
		t.Errorf("%d of 1000 came", k)
	}
	undo()
	n.Duplicate(Every, Every, 0.5)
	if k := len(send(1000)); k < 1400 || k > 1600 {
		t.Errorf("%d came of 1000", k)
	}
	n.Isolate("b")
	if k := len(send(10)); k != 0 {
		t.Errorf("%d came to one that is isolated", k)
	}
	s := n.Stats()
	if s.Datagrams+s.Dropped < 2600 || s.Dropped < 400 {
		t.Errorf("%+v", s)
	}
}

func TestMisusePanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(n *bench){
		"a space":         func(n *bench) { n.Add("a b", nil) },
		"everybody":       func(n *bench) { n.Add(Every, nil) },
		"twice":           func(n *bench) { n.Add("a", nil) },
		"unknown":         func(n *bench) { n.Kill("x") },
		"unknown peer":    func(n *bench) { n.at["a"].port.Dial("x") },
		"own link":        func(n *bench) { n.Cut("a", "a") },
		"chance":          func(n *bench) { n.Drop("a", "b", 1.5) },
		"no rate":         func(n *bench) { n.ClockRate("a", 0) },
		"cuts everywhere": func(n *bench) { n.Cut("a", Every) },
		"two groups":      func(n *bench) { n.Split([]Addr{"a"}, []Addr{"a"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if text := fmt.Sprint(recover()); !strings.HasPrefix(text, "simnet: ") {
					t.Errorf("panic: %v", text)
				}
			}()
			f(newBench(Config[int]{}, "a", "b"))
		})
	}
}

// Whoever dials a frozen node is accepted when that goes on, and whoever dials
// over a cut link soon after it is good again.
func TestDialThatWaits(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{Freeze, Isolate} {
		n := newBench(Config[int]{}, "a", "b")
		a, b := n.at["a"], n.at["b"]
		undo := n.Inject(Fault{Kind: kind, A: "b"})
		a.port.Dial("b")
		n.Run(1500 * time.Millisecond)
		if len(a.ups)+len(b.ups)+len(a.ends) > 0 {
			t.Fatalf("%s: a saw %v, %v; b %v", kind, a.ups, a.ends, b.ups)
		}
		undo()
		n.Run(4 * time.Second)
		if kind == Freeze && (len(a.ups) != 1 || len(b.ups) != 1 || len(a.ends) > 0) {
			t.Fatalf("%s: a saw %v, %v; b %v", kind, a.ups, a.ends, b.ups)
		}
		n.Run(10 * time.Second)
		if len(a.ups) != 1 || len(b.ups) != 1 || len(a.ends) > 1 {
			t.Fatalf("%s: a saw %v, %v; b %v", kind, a.ups, a.ends, b.ups)
		}
		if len(a.lost()) > 0 || a.ups[0].ID != b.ups[0].ID {
			t.Errorf("%s: a lost %v of %v, b has %v", kind, a.lost(), a.ups, b.ups)
		}
	}
}

// Only the machine of a node that is down answers that nobody listens.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		faults  []Fault
		refused bool
	}{
		{[]Fault{{Kind: Kill, A: "b"}}, true},
		{[]Fault{{Kind: Freeze, A: "b"}}, false},
		{[]Fault{{Kind: Cut, A: "a", B: "b"}}, false},
		{[]Fault{{Kind: CutOneWay, A: "b", B: "a"}}, false},
		{[]Fault{{Kind: Kill, A: "b"}, {Kind: Isolate, A: "b"}}, false},
	} {
		n := newBench(Config[int]{DialTimeout: 300 * time.Millisecond, Silence: time.Hour}, "a", "b")
		a := n.at["a"]
		for _, f := range c.faults {
			n.Inject(f)
		}
		a.port.Dial("b")
		n.Run(400 * time.Millisecond)
		switch {
		case len(a.ends) == 0:
			t.Errorf("%v: the dial did not fail", c.faults)
		case a.ends[0].conn != Conn{Peer: "b", Dialed: true, Refused: c.refused}:
			t.Errorf("%v: a was told %+v", c.faults, a.ends[0].conn)
		case c.refused != (a.ends[0].at < 10*time.Millisecond), !c.refused && a.ends[0].at < 300*time.Millisecond:
			t.Errorf("%v: the dial failed after %v", c.faults, a.ends[0].at)
		}
	}
}
