package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
)

// trial is a fault out of the matrix, and what clients may notice of it.
type trial struct {
	name  string
	nodes int
	// fault does it, to a table at work, and returns when it is over.
	fault func(w *world)
	// wait is the longest that a call may take, retries included. 0: anything.
	wait time.Duration
	// label: answers may bear it. Otherwise none may.
	label bool
	// deaths: nothing else happens, so nothing is lost, label or not.
	deaths bool
	// lossy is one in how many messages that are late by TCP's time-out; 0: none.
	lossy int
}

const ms = time.Millisecond

var trials = []trial{
	{name: "a follower is killed", nodes: 3, deaths: true, wait: 30 * ms, fault: func(w *world) { w.killFor(w.follower(0), time.Second) }},
	{name: "the leader is killed", nodes: 3, deaths: true, wait: 30 * ms, fault: func(w *world) { w.killFor(w.leading(), time.Second) }},
	{name: "the leader of four is killed", nodes: 4, deaths: true, wait: 30 * ms, fault: func(w *world) { w.killFor(w.leading(), time.Second) }},
	{name: "the follower of two is killed", nodes: 2, deaths: true, wait: 30 * ms, fault: func(w *world) { w.killFor(w.follower(0), time.Second) }},
	{name: "the leader of two is killed", nodes: 2, deaths: true, label: true, wait: 100 * ms, fault: func(w *world) { w.killFor(w.leading(), time.Second) }},
	{name: "down to two, one after another, and back", nodes: 4, deaths: true, wait: 30 * ms, fault: func(w *world) {
		first, second := w.leading(), w.others(w.leading())[0]
		start := w.net.Kill(first)
		w.run(time.Second)
		again := w.net.Kill(second)
		w.run(time.Second)
		start()
		w.run(time.Second)
		again()
		w.run(time.Second)
	}},
	{name: "down to one, one after another, and back", nodes: 4, deaths: true, label: true, wait: 30 * ms, fault: func(w *world) {
		var starts []func()
		for range 3 {
			starts = append(starts, w.net.Kill(w.leading()))
			w.run(time.Second)
		}
		for _, start := range starts {
			start()
			w.run(time.Second)
		}
	}},
	{name: "three of four are killed at once", nodes: 4, deaths: true, label: true, wait: 300 * ms, fault: func(w *world) {
		var starts []func()
		for _, a := range append(w.others(w.follower(0)), "")[:3] {
			starts = append(starts, w.net.Kill(a))
		}
		w.run(3 * time.Second)
		for _, start := range starts {
			start()
		}
		w.run(time.Second)
	}},
	{name: "three of four are killed at once, one by one", nodes: 4, deaths: true, label: true, wait: 300 * ms, fault: func(w *world) {
		for _, a := range w.others(w.follower(1)) {
			w.at(2*time.Second, w.net.Kill(a))
			w.run(time.Millisecond)
		}
		w.run(2 * time.Second)
	}},
	{name: "restarts in turn, for a minute", nodes: 4, deaths: true, wait: 60 * ms, fault: func(w *world) {
		for i, end := 0, w.net.Now()+time.Minute; w.net.Now() < end && !w.failed(); i++ {
			a := w.servers[i%len(w.servers)]
			if w.survives(a) {
				start := w.net.Kill(a)
				w.run(50 * ms)
				start()
			}
			w.run(time.Duration(100+(i*137)%800) * ms)
		}
	}},
	{name: "the leader vanishes", nodes: 3, wait: 600 * ms, fault: func(w *world) { w.isolateFor(w.leading(), 5*time.Second) }},
	{name: "the leader vanishes and dies", nodes: 3, wait: 600 * ms, fault: func(w *world) {
		a := w.leading()
		undo := w.net.Isolate(a)
		start := w.net.Kill(a)
		w.run(3 * time.Second)
		undo()
		start()
	}},
	{name: "the leader of four vanishes", nodes: 4, wait: 600 * ms, fault: func(w *world) { w.isolateFor(w.leading(), 5*time.Second) }},
	{name: "a follower vanishes", nodes: 4, wait: 600 * ms, fault: func(w *world) { w.isolateFor(w.follower(0), 5*time.Second) }},
	{name: "most vanish", nodes: 3, label: true, wait: 2 * time.Second, fault: func(w *world) {
		var undo []func()
		for _, a := range w.others(w.follower(0)) {
			undo = append(undo, w.net.Isolate(a), w.net.Kill(a))
		}
		w.run(4 * time.Second)
		for _, undo := range undo {
			undo()
		}
	}},
	{name: "two and two, clients on one side", nodes: 4, label: true, wait: 2 * time.Second, fault: func(w *world) {
		w.splitFor(w.servers[:2], 5*time.Second)
	}},
	{name: "the leader and another, apart from two", nodes: 4, label: true, wait: 2 * time.Second, fault: func(w *world) {
		w.splitFor([]simnet.Addr{w.leading(), w.follower(0)}, 5*time.Second)
	}},
	{name: "one apart from three", nodes: 4, wait: 600 * ms, fault: func(w *world) { w.splitFor(w.others(w.leading()), 5*time.Second) }},
	{name: "links one way: none from the leader", nodes: 3, wait: 2 * time.Second, fault: func(w *world) { w.oneWay(w.leading(), true, 5*time.Second) }},
	{name: "links one way: none to the leader", nodes: 3, wait: 2 * time.Second, fault: func(w *world) { w.oneWay(w.leading(), false, 5*time.Second) }},
	{name: "links one way: none to a follower", nodes: 4, wait: 2 * time.Second, fault: func(w *world) { w.oneWay(w.follower(0), false, 5*time.Second) }},
	{name: "a ring: each without one other", nodes: 4, wait: 2 * time.Second, fault: func(w *world) {
		undo := w.net.Cut("n1", "n3")
		w.faultFor(simnet.Fault{Kind: simnet.Cut, A: "n2", B: "n4"}, 5*time.Second)
		undo()
	}},
	{name: "a ring of which nothing is left but pairs", nodes: 4, label: true, wait: 2 * time.Second, fault: func(w *world) {
		for i := range w.servers {
			w.at(5*time.Second, w.net.Cut(w.servers[i], w.servers[(i+1)%4]))
		}
		w.run(5 * time.Second)
	}},
	{name: "the leader stands still for 0.1 s", nodes: 3, wait: 250 * ms, fault: func(w *world) { w.faultFor(simnet.Fault{Kind: simnet.Freeze, A: w.leading()}, 100*ms) }},
	{name: "the leader stands still for 0.5 s", nodes: 3, wait: 600 * ms, fault: func(w *world) { w.faultFor(simnet.Fault{Kind: simnet.Freeze, A: w.leading()}, 500*ms) }},
	{name: "the leader stands still for 2 s", nodes: 3, wait: 600 * ms, fault: func(w *world) { w.faultFor(simnet.Fault{Kind: simnet.Freeze, A: w.leading()}, 2*time.Second) }},
	{name: "the leader of four stands still for 5 s", nodes: 4, wait: 600 * ms, fault: func(w *world) { w.faultFor(simnet.Fault{Kind: simnet.Freeze, A: w.leading()}, 5*time.Second) }},
	{name: "a follower stands still for 2 s", nodes: 4, wait: 600 * ms, fault: func(w *world) { w.faultFor(simnet.Fault{Kind: simnet.Freeze, A: w.follower(0)}, 2*time.Second) }},
	{name: "one message in 1000 is late", nodes: 4, lossy: 1000, wait: 600 * ms, fault: func(w *world) { w.run(10 * time.Second) }},
	{name: "one message in 100 is late", nodes: 4, lossy: 100, label: true, fault: func(w *world) { w.run(10 * time.Second) }},
	{name: "one message in 10 is late", nodes: 4, lossy: 10, label: true, fault: func(w *world) { w.run(10 * time.Second) }},
	{name: "all is late by 20 ms", nodes: 4, wait: time.Second, fault: func(w *world) {
		w.faultFor(simnet.Fault{Kind: simnet.Slow, A: simnet.Every, B: simnet.Every, X: 40}, 5*time.Second)
	}},
	{name: "connections are reset", nodes: 4, deaths: true, wait: 600 * ms, fault: func(w *world) {
		for i := range 20 {
			w.net.Reset(w.servers[i%4], w.servers[(i+1+i/4%3)%4])
			w.run(100 * ms)
		}
	}},
	{name: "clocks of the day jump", nodes: 3, deaths: true, wait: 100 * ms, fault: func(w *world) {
		for i := range 20 {
			w.offset[i%3] += []int64{3600e6, -7200e6, 86400e6, -60e6, 1e6}[i%5]
			w.run(200 * ms)
		}
	}},
	{name: "clocks go at different rates", nodes: 3, deaths: true, wait: 100 * ms, fault: func(w *world) {
		w.net.ClockRate("n1", 1.1)
		w.net.ClockRate("n2", 0.9)
		w.run(5 * time.Second)
	}},
}

// leading is the leader's address.
func (w *world) leading() simnet.Addr {
	if n := w.leader(); n != nil {
		return n.addr
	}
	return w.servers[0]
}

// follower is the address of the i-th node that doesn't lead.
func (w *world) follower(i int) simnet.Addr { return w.others(w.leading())[i] }

func (w *world) killFor(a simnet.Addr, d time.Duration) {
	w.at(d, w.net.Kill(a))
	w.run(d)
}

func (w *world) faultFor(f simnet.Fault, d time.Duration) {
	undo := w.net.Inject(f)
	w.run(d)
	undo()
}

func (w *world) isolateFor(a simnet.Addr, d time.Duration) {
	w.apart = append(w.apart, a)
	w.faultFor(simnet.Fault{Kind: simnet.Isolate, A: a}, d)
}

// splitFor cuts these nodes, and all clients, off from the others.
func (w *world) splitFor(side []simnet.Addr, d time.Duration) {
	w.apart = w.others(side...)
	side = slices.Clone(side)
	for _, a := range w.net.Addrs() {
		if isClient(a) {
			side = append(side, a)
		}
	}
	w.faultFor(simnet.Fault{Kind: simnet.Split, Groups: [][]simnet.Addr{side}}, d)
}

// oneWay cuts all that comes from a, or all that comes to it.
func (w *world) oneWay(a simnet.Addr, from bool, d time.Duration) {
	w.apart = append(w.apart, a)
	for _, b := range w.others(a) {
		if from {
			w.at(d, w.net.CutOneWay(a, b))
		} else {
			w.at(d, w.net.CutOneWay(b, a))
		}
	}
	w.run(d)
}

// TestMatrix does to a table at work what the matrix of faults has, and holds that
// clients see of it what is promised.
func TestMatrix(t *testing.T) {
	for _, tr := range trials {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			n := uint64(2)
			if soaks() {
				n = 100
			}
			var waits, settled []time.Duration
			var sum tally
			for seed := range n {
				got, w := tr.try(seed + 1)
				w.report(t)
				waits = append(waits, got.wait())
				settled = append(settled, w.settled...)
				sum.answered, sum.labelled, sum.apart = sum.answered+got.answered, sum.labelled+got.labelled, sum.apart+got.apart
				sum.failed, sum.unknown = sum.failed+got.failed, sum.unknown+got.unknown
			}
			slices.Sort(waits)
			slices.Sort(settled)
			if len(settled) > 0 {
				t.Logf("%s: wait %v, %v at worst; settled after %v, %v at worst; %v", tr.name,
					waits[n/2].Round(10*time.Microsecond), waits[n-1].Round(10*time.Microsecond),
					settled[len(settled)/2].Round(ms), settled[len(settled)-1].Round(ms),
					sum)
			}
		})
	}
}

// try does it once.
func (tr *trial) try(seed uint64) (tally, *world) {
	c := config{seed: seed, nodes: tr.nodes, clients: 4, pace: 10 * ms, tagged: true, latency: quickly, forks: !tr.deaths}
	if tr.lossy > 0 {
		c.latency = lossy(tr.lossy)
	}
	w := settled(c)
	w.run(time.Second)
	if before := w.since(w.net.Now() - time.Second); before.answered < 100 && tr.lossy == 0 || before.labelled > 0 && !tr.label {
		w.fail("too little to do before the fault, or labelled already: %v", before)
	}
	began := w.net.Now()
	tr.fault(w)
	w.heal()
	w.run(time.Second)
	got := w.since(began)
	if got.labelled > 0 && !tr.label {
		w.fail("answers bear the label: %v", got)
	}
	if tr.wait > 0 && got.wait() > tr.wait {
		w.fail("more than %v: %v", tr.wait, got.longest)
	}
	w.end()
	return got, w
}

// settled returns a table at work that is one normal epoch of all nodes.
func settled(c config) *world {
	c.seed = max(c.seed, 1)
	w := started(c)
	if !w.until(10*time.Second, w.steady) && !w.failed() {
		w.fail("not settled at the start: %s", w.unsettled()())
	}
	return w
}
