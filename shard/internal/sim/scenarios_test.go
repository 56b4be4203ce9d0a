package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/shard/internal/master"
)

// settled returns a table at work in which all is where it shall be.
func settled(t *testing.T, c config) *world {
	t.Helper()
	if c.seed == 0 {
		c.seed = 1
	}
	w := newWorld(c)
	if !w.until(20*time.Second, func() bool { return w.unsettled() == nil }) {
		w.report(t)
		t.Fatal("the table did not settle at its start")
	}
	w.run(3 * time.Second) // the clients fill it
	return w
}

// mark returns how much of the history there is, for since.
func (w *world) mark() int { return len(w.history) }

// outcomes counts how calls since a mark ended.
func (w *world) outcomes(since int) map[check.Outcome]int {
	n := make(map[check.Outcome]int)
	for _, o := range w.history[since:] {
		n[o.Outcome]++
	}
	return n
}

// bears runs one scenario over some seeds: it changes a table that has settled, and
// what is promised holds.
func bears(t *testing.T, c config, what func(*world)) {
	t.Helper()
	t.Parallel()
	for seed := range uint64(scenarioSeeds) {
		c.seed = seed + 1
		w := settled(t, c)
		what(w)
		w.end(t)
	}
}

func TestNothingHappens(t *testing.T) {
	bears(t, config{}, func(w *world) { w.run(10 * time.Second) })
}

func TestServerDiesWhileAnotherJoins(t *testing.T) {
	bears(t, config{}, func(w *world) {
		w.net.Kill("s2")
		w.goneFor["s2"] = true
		w.join()
		w.run(5 * time.Second)
	})
}

// A server that comes back at its address is another one, with nothing.
func TestServerDiesAndComesBack(t *testing.T) {
	bears(t, config{}, func(w *world) {
		start := w.net.Kill("s2")
		w.run(300 * time.Millisecond)
		start()
		w.run(5 * time.Second)
	})
}

// Nobody needs the master while nothing changes.
func TestMasterIsAway(t *testing.T) {
	bears(t, config{}, func(w *world) {
		start := w.net.Kill(masterAddr)
		before := w.mark()
		w.run(30 * time.Second)
		if n := w.outcomes(before); n[check.Failed] > 0 || n[check.Unknown] > 0 || n[check.OK] == 0 {
			w.fail("without a master calls ended so: %v", n)
		}
		start()
		w.run(3 * time.Second)
	})
}

// The dead server's slots wait until a person says that it is dead: a master that
// knows nothing can't tell.
func TestMasterAndServerDie(t *testing.T) {
	bears(t, config{}, func(w *world) {
		w.net.Kill("s1")
		w.goneFor["s1"] = true
		start := w.net.Kill(masterAddr)
		w.run(time.Second)
		start()
		w.run(20 * time.Second)
		if w.unsettled() == nil {
			w.fail("nobody waits for the dead server")
		}
	})
}

// One that starts on what it wrote down needs nobody's word.
func TestMasterWithStateAndServerDie(t *testing.T) {
	bears(t, config{master: master.Config{Persist: true}}, func(w *world) {
		w.net.Kill("s1")
		w.goneFor["s1"] = true
		start := w.net.Kill(masterAddr)
		w.run(time.Second)
		start()
		if !w.until(10*time.Second, func() bool { return w.unsettled() == nil }) {
			w.fail("not settled without a person: %s", w.unsettled()())
		}
	})
}

// A server that was taken out and doesn't know it is the first to be heard by a
// master that knows nothing. It has to begin anew all the same: what the others
// believe that it has isn't what it has.
func TestTakenOutAndHeardFirst(t *testing.T) {
	bears(t, config{pace: 5 * time.Millisecond}, func(w *world) {
		var deaf []func()
		for _, a := range []simnet.Addr{"s2", "s3", masterAddr} {
			deaf = append(deaf, w.net.CutOneWay("s1", a)) // what it gets is not acknowledged
		}
		w.run(300 * time.Millisecond)
		undo := w.net.Isolate("s1")
		w.run(4 * time.Second)
		start := w.net.Kill(masterAddr)
		away := w.net.Split([]simnet.Addr{"s1", masterAddr})
		undo()
		for _, undo := range deaf {
			undo()
		}
		start()
		w.run(12 * time.Second) // longer than it waits for others
		away()
		w.run(2 * time.Second)
	})
}

// Two masters at a time, of which none knows of the other: servers follow one of
// them each, and nothing is done twice.
func TestTwoMasters(t *testing.T) {
	bears(t, config{}, func(w *world) {
		const other = "other"
		w.addMaster(other)
		w.net.Start(other)
		for range 3 {
			for _, a := range []simnet.Addr{"s1", "s3"} {
				w.net.Reset(masterAddr, a)
			}
			w.run(2 * time.Second)
			undo := w.net.Cut(masterAddr, "s2")
			w.run(8 * time.Second)
			undo()
			w.run(2 * time.Second)
		}
		w.lead, w.master = other, w.running[other]
		w.net.Kill(masterAddr)
		w.run(3 * time.Second)
	})
}

// A server that was stopped for longer than its lease answers nothing old.
func TestFrozenServer(t *testing.T) {
	bears(t, config{clients: 4}, func(w *world) {
		for range 3 {
			thaw := w.net.Freeze("s1")
			w.run(4 * time.Second)
			thaw()
			w.run(3 * time.Second)
		}
	})
}

func TestCuts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cut  func(w *world) (undo func())
	}{
		{"master and server", func(w *world) func() { return w.net.Cut(masterAddr, "s1") }},
		{"master to server", func(w *world) func() { return w.net.CutOneWay(masterAddr, "s1") }},
		{"server to master", func(w *world) func() { return w.net.CutOneWay("s1", masterAddr) }},
		{"two servers", func(w *world) func() { return w.net.Cut("s1", "s2") }},
		{"server to server", func(w *world) func() { return w.net.CutOneWay("s1", "s2") }},
		{"client and server", func(w *world) func() { return w.net.Cut(clientAddr(0), "s1") }},
		{"client to server", func(w *world) func() { return w.net.CutOneWay(clientAddr(0), "s1") }},
		{"server to client", func(w *world) func() { return w.net.CutOneWay("s1", clientAddr(0)) }},
		{"the master from everybody", func(w *world) func() { return w.net.Isolate(masterAddr) }},
		{"a server from everybody", func(w *world) func() { return w.net.Isolate("s1") }},
	} {
		for _, d := range cutsLast {
			t.Run(fmt.Sprint(c.name, " for ", d), func(t *testing.T) {
				bears(t, config{}, func(w *world) {
					undo := c.cut(w)
					w.run(d)
					undo()
					w.run(2 * time.Second)
				})
			})
		}
	}
}

// The side with the master goes on where it has a copy; the other one stops.
func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name  string
		group []simnet.Addr // the others are with the master
	}{
		{"one server without the master", []simnet.Addr{"s1", "c0"}},
		{"most servers without the master", []simnet.Addr{"s1", "s2", "c0"}},
		{"all servers without the master", []simnet.Addr{"s1", "s2", "s3", "c0", "c1", "c2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bears(t, config{}, func(w *world) {
				undo := w.net.Split(c.group)
				w.run(6 * time.Second)
				undo()
				w.run(2 * time.Second)
			})
		})
	}
}

func TestJoinAndLeaveManyTimes(t *testing.T) {
	bears(t, config{}, func(w *world) {
		a := w.addServer()
		for range 20 {
			w.goneFor[a] = false
			w.net.Start(a)
			w.run(400 * time.Millisecond)
			w.leave(a)
			if !w.until(10*time.Second, func() bool { return !w.net.Up(a) }) {
				w.fail("%s could not leave within 10 s", a)
				return
			}
		}
	})
}

func TestFiveJoinAtOnce(t *testing.T) {
	bears(t, config{}, func(w *world) {
		for range 5 {
			w.join()
		}
		w.run(2 * time.Second)
	})
}

// A polite leave costs no call its answer, and takes no longer than what has to
// be moved.
func TestLeave(t *testing.T) {
	bears(t, config{servers: 4}, func(w *world) {
		before := w.mark()
		for _, a := range []simnet.Addr{"s1", "s3"} {
			w.leave(a)
			began := w.net.Now()
			if !w.until(10*time.Second, func() bool { return w.nodes[a].left }) {
				w.fail("%s could not leave within 10 s: %s", a, w.unsettled()())
			}
			if d := w.net.Now() - began; d > 2*time.Second {
				w.fail("%s took %v to leave", a, d)
			}
			w.run(100 * time.Millisecond)
		}
		if n := w.outcomes(before); n[check.Failed] > 0 || n[check.Unknown] > 0 {
			w.fail("calls ended so: %v", n)
		}
	})
}

// Nor does it take long where servers were taken for dead a moment ago.
func TestLeaveAfterAHiccup(t *testing.T) {
	bears(t, config{}, func(w *world) {
		thaw := w.net.Freeze("s2")
		w.run(800 * time.Millisecond)
		thaw()
		w.run(100 * time.Millisecond)
		w.leave("s1")
		began := w.net.Now()
		if !w.until(10*time.Second, func() bool { return w.nodes["s1"].left }) {
			w.fail("it could not leave within 10 s: %s", w.unsettled()())
		}
		if d := w.net.Now() - began; d > 2*time.Second {
			w.fail("it took %v to leave", d)
		}
	})
}

func TestThreeCopies(t *testing.T) {
	bears(t, config{servers: 4, master: master.Config{Copies: 3}}, func(w *world) {
		for _, a := range []simnet.Addr{"s1", "s2"} { // two at once
			w.net.Kill(a)
			w.goneFor[a] = true
		}
		w.run(5 * time.Second)
	})
}

// With too few copies no write is answered; reads are, but of a key that a write
// waits at.
func TestMinCopies(t *testing.T) {
	bears(t, config{servers: 2, master: master.Config{MinCopies: 2}}, func(w *world) {
		start := w.net.Kill("s2")
		w.run(4 * time.Second)
		before := w.mark()
		w.resting = true
		for i, key := range w.bulk() {
			key.Op, key.Value = check.Get, ""
			w.clients[i%len(w.clients)].scripts = append(w.clients[i%len(w.clients)].scripts, key)
		}
		w.run(10 * time.Second)
		w.resting = false
		reads := 0
		for _, o := range w.history[before:] {
			switch {
			case o.Op == check.Get && o.Outcome == check.OK:
				reads++
			case o.Op == check.Put && o.Outcome == check.OK:
				w.fail("a write was answered on one copy: %v", o)
			}
		}
		if reads < len(w.bulk()) {
			w.fail("%d reads were answered", reads)
		}
		start()
		w.run(2 * time.Second)
	})
}

// lost says that slots are gone with the servers that had them: calls say so, and
// never that there is no such key, until a person gives the servers up.
func lost(t *testing.T, c config, dead ...simnet.Addr) {
	t.Parallel()
	w := settled(t, c)
	for _, a := range dead {
		start := w.net.Kill(a)
		w.net.At(w.net.Now()+2*time.Second, start) // another boot, with nothing
	}
	before := w.mark()
	w.run(20 * time.Second)
	if n := w.outcomes(before); n[check.Failed] == 0 {
		w.fail("calls ended so: %v", n)
	}
	w.verify()                // whatever was answered was right
	w.quiet(30 * time.Second) // forgets
	w.history = nil
	for _, cl := range w.clients {
		clear(cl.read)
	}
	w.run(3 * time.Second)
	for i := range w.history {
		if o := &w.history[i]; o.Outcome == check.Failed {
			w.fail("after all was forgotten: %v", o)
		}
	}
	w.report(t)
}

func TestOneCopyIsLost(t *testing.T) {
	lost(t, config{master: master.Config{Copies: 1}}, "s2")
}

func TestTwoDeathsAtOnce(t *testing.T) {
	lost(t, config{servers: 4}, "s2", "s3")
}

func TestAllDie(t *testing.T) {
	lost(t, config{servers: 2}, "s1", "s2")
}

// The margin that is taken off a lease bears clocks whose rates differ by 3 %.
func TestClocksWithinMargin(t *testing.T) {
	bears(t, config{}, func(w *world) {
		w.net.ClockRate("s1", 1.014)
		w.net.ClockRate("s2", 0.986)
		w.net.ClockRate(masterAddr, 1.014)
		for range 4 {
			w.run(time.Second)
			undo := w.net.Isolate("s2")
			w.run(3 * time.Second)
			undo()
			w.run(2 * time.Second)
		}
	})
}

// TestClocksBeyondMargin shows what breaks: a server that is cut off, and whose
// clock is slow by more than the margin, believes in its promises for longer than
// they are kept.
func TestClocksBeyondMargin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		clock func(*world)
	}{
		{"10 % slow", func(w *world) { w.net.ClockRate("s2", 0.9) }},
		{"stands still for 5 s", func(w *world) { w.net.ClockStop("s2", 5*time.Second) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				w := settled(t, config{seed: seed + 1})
				c.clock(w)
				w.net.Split([]simnet.Addr{"s2", "c0"})
				w.run(6 * time.Second)
				if w.failed() {
					t.Logf("seed %d, as is to be expected: %s", seed+1, w.errs[0])
					return
				}
			}
			t.Error("nothing broke: is the margin wider than it says?")
		})
	}
}

// TestFastClock shows what doesn't: who counts too fast gives up its own promises
// early.
func TestFastClock(t *testing.T) {
	bears(t, config{}, func(w *world) {
		undo := w.net.ClockRate("s2", 1.1)
		for range 3 {
			cut := w.net.Split([]simnet.Addr{"s2", "c0"})
			w.run(4 * time.Second)
			cut()
			w.run(3 * time.Second)
		}
		undo()
	})
}
