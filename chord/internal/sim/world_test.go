package sim

import (
	"cmp"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
)

const ms = time.Millisecond

// epoch0 is what clocks of the day show at virtual time 0.
const epoch0 = int64(1_700_000_000e9)

// world is a table in a network, with clients.
type world struct {
	cfg     config
	net     *simnet.Network[any]
	circle  place.Circle
	rng     *rand.Rand // of the world's own choices
	nodes   []simnet.Addr
	at      map[simnet.Addr]place.Place
	runs    map[simnet.Addr]*process // by address, the last that was started
	wallOff map[simnet.Addr]int64    // by how much a clock of the day is wrong, ns
	zeros   map[simnet.Addr]time.Duration
	goneFor map[simnet.Addr]bool // for good: it left, failed or died
	clients []*client
	keys    []string
	history check.History
	answers map[string][]stamped // writes that were answered, by key
	resting bool                 // clients begin no calls
	healed  bool                 // no faults come any more
	forked  bool                 // living nodes were cut off: there may have been two owners
	hurt    map[ring.Ref]bool    // who failed since each pair had all its copies,
	copies  int                  // which were as many, besides the owner's

	onSent     []func(from simnet.Addr, m any)
	onReceived []func(at simnet.Addr, m any)
	errs       []string
}

// config says what a world is like.
type config struct {
	seed      uint64
	bits      int // of identifiers
	replicas  int // -1: none
	list      int // 0: as many as nodes take
	nodes     int // at the start
	clients   int
	pace      time.Duration // the mean time between a client's calls
	reads     int           // percent of calls
	keys      int
	limit     uint64 // bytes a node may hold
	bulk      int    // large values written at the start, for fills to take a while
	intense   bool   // much happens in a short time
	silent    bool   // clients do nothing of their own accord
	anyFinger bool   // fingers are not looked at
	impatient bool   // clients repeat now and then before anybody can have answered
	tagged    bool   // no writes without a number, which nobody could repeat
	skew      time.Duration
	latency   simnet.Latency
	style     style // of the faults of TestAnything
	bugs      bugs
	trace     io.Writer
	// boot makes what runs at a node's address; nil: a process.
	boot func(*world, *simnet.Port[any]) simnet.Node[any]
}

// coverage is of all runs of the process.
var coverage = simnet.Expect(places...)

func (w *world) covered(name string) {
	if w.cfg.bugs == (bugs{}) && w.cfg.boot == nil && slices.Contains(places, name) {
		coverage.Sometimes(name)
	}
}

// quickly is a network whose messages are never late, for what is measured.
var quickly = simnet.Latency{Min: 100 * time.Microsecond, Max: 500 * time.Microsecond}

func newWorld(c config) *world {
	c.bits = cmp.Or(c.bits, 16)
	switch c.replicas {
	case 0:
		c.replicas = 1
	case -1:
		c.replicas = 0
	}
	c.nodes = cmp.Or(c.nodes, 5)
	c.clients = cmp.Or(c.clients, 3)
	c.pace = cmp.Or(c.pace, 20*ms)
	c.reads = cmp.Or(c.reads, 40)
	c.keys = cmp.Or(c.keys, 6)
	w := &world{
		cfg: c, circle: place.Circle(c.bits), rng: rand.New(rand.NewPCG(c.seed, 7)),
		at: make(map[simnet.Addr]place.Place), runs: make(map[simnet.Addr]*process),
		wallOff: make(map[simnet.Addr]int64), zeros: make(map[simnet.Addr]time.Duration),
		goneFor: make(map[simnet.Addr]bool), hurt: make(map[ring.Ref]bool), answers: make(map[string][]stamped),
	}
	w.net = simnet.New(simnet.Config[any]{
		Seed: c.seed, ClockSpread: time.Hour, Lateness: 2 * ms, Trace: c.trace, Format: w.format, Latency: c.latency,
		BackoffMin: 2 * ms, BackoffMax: time.Second, DialTimeout: 2 * time.Second, Silence: 3 * time.Second,
	})
	for range c.nodes {
		w.addNode()
	}
	for len(w.keys) < c.keys {
		w.addKey()
	}
	for i := range c.clients {
		w.net.Add(clientAddr(i), func(p *simnet.Port[any]) simnet.Node[any] {
			n := newClient(w, i, p)
			w.clients = append(w.clients, n)
			return n
		})
	}
	return w
}

func clientAddr(i int) simnet.Addr { return simnet.Addr(fmt.Sprintf("c%d", i)) }

func isClient(a simnet.Addr) bool { return strings.HasPrefix(string(a), "c") }

// number draws one below 2^bits.
func (w *world) number() *big.Int {
	v := new(big.Int)
	for v.BitLen() <= w.cfg.bits {
		v.Lsh(v, 32).Or(v, big.NewInt(int64(w.rng.Uint32())|1<<31))
	}
	mask := new(big.Int).Lsh(big.NewInt(1), uint(w.cfg.bits))
	return v.And(v, mask.Sub(mask, big.NewInt(1)))
}

// addNode makes a further address known, at a free place, without starting it.
func (w *world) addNode() simnet.Addr {
	if len(w.nodes) >= 1<<min(w.cfg.bits, 20) {
		panic("sim: all places are taken")
	}
	a := simnet.Addr(fmt.Sprintf("n%d", len(w.nodes)+1))
	for {
		p := w.circle.Of(w.number())
		if !slices.ContainsFunc(w.nodes, func(b simnet.Addr) bool { return w.at[b] == p }) {
			w.at[a] = p
			break
		}
	}
	w.nodes = append(w.nodes, a)
	if w.cfg.skew > 0 {
		w.wallOff[a] = w.rng.Int64N(int64(w.cfg.skew))
	}
	w.net.Add(a, func(p *simnet.Port[any]) simnet.Node[any] {
		if w.cfg.boot != nil {
			return w.cfg.boot(w, p)
		}
		n := newProcess(w, p)
		w.runs[a] = n
		return n
	})
	return a
}

// addKey makes a further key: at a node's place, just behind one, in another key's
// place, anywhere, or no number at all.
func (w *world) addKey() {
	var key string
	node, _ := new(big.Int).SetString(w.at[w.nodes[w.rng.IntN(len(w.nodes))]].String(), 10)
	switch i := len(w.keys); {
	case i == 0:
		key = node.String()
	case i == 1:
		key = node.Add(node, big.NewInt(1)).String()
	case i == 2:
		other, _ := new(big.Int).SetString(w.keys[1], 10)
		key = other.Add(other, new(big.Int).Lsh(big.NewInt(3), uint(w.cfg.bits))).String()
	case i%4 == 3:
		key = fmt.Sprintf("k%d", i)
	default:
		turns := new(big.Int).Lsh(big.NewInt(w.rng.Int64N(100)), uint(w.cfg.bits))
		key = turns.Add(turns, w.number()).String()
	}
	if !slices.Contains(w.keys, key) {
		w.keys = append(w.keys, key)
	}
}

// wall is what the clock of the day shows at a node.
func (w *world) wall(a simnet.Addr, now time.Duration) int64 {
	zero, ok := w.zeros[a]
	if !ok {
		zero = w.net.Clock(a) - w.net.Now()
		w.zeros[a] = zero
	}
	return epoch0 + int64(now-zero) + w.wallOff[a]
}

// fail notes that something is wrong. The first of it counts.
func (w *world) fail(f string, args ...any) {
	w.errs = append(w.errs, fmt.Sprintf("at %v: ", w.net.Now())+fmt.Sprintf(f, args...))
}

func (w *world) failed() bool { return len(w.errs) > 0 }

// run lets time pass, until something is wrong.
func (w *world) run(d time.Duration) { w.exactly(d, func() bool { return false }) }

// caught has a node's panic be a failure of this run, not the end of all.
func (w *world) caught() {
	if p := recover(); p != nil {
		w.fail("panic: %v\n%s", p, debug.Stack())
	}
}

// until lets time pass until something is so, and says whether it came to be.
func (w *world) until(d time.Duration, so func() bool) bool {
	end := w.net.Now() + d
	for !so() {
		if w.net.Now() >= end || w.failed() {
			return false
		}
		w.run(min(5*ms, end-w.net.Now()))
	}
	return true
}

// exactly lets time pass until something is so after an event, not later by
// anything.
func (w *world) exactly(d time.Duration, so func() bool) bool {
	defer w.caught()
	return w.net.RunUntil(w.net.Now()+d, func() bool { return w.failed() || so() }) && !w.failed()
}

// after runs f when a time from now has gone by.
func (w *world) after(d time.Duration, f func()) { w.net.At(w.net.Now()+d, f) }

// report fails a test with what went wrong first.
func (w *world) report(t testing.TB) {
	t.Helper()
	for _, e := range w.errs[:min(len(w.errs), 3)] {
		t.Errorf("seed %d, %s: %s", w.cfg.seed, w.cfg.style, e)
	}
}

// startClients starts them alone.
func (w *world) startClients() {
	w.resting = w.cfg.silent
	for i := range w.cfg.clients {
		w.net.Start(clientAddr(i))
	}
	w.clients[0].scripts = append(w.clients[0].scripts, w.bulk()...)
}

// bulk are writes that make spans larger than one part of a fill.
func (w *world) bulk() (all []check.Operation) {
	for i := range w.cfg.bulk {
		value := fmt.Sprint("bulk", i, strings.Repeat(".", 30<<10))
		all = append(all, check.Operation{Op: check.Put, Key: check.Text(w.number().String() + "0000"), Value: check.Text(value)})
	}
	return all
}

// busy says whether some client has a call under way, or to make.
func (w *world) busy() bool {
	return slices.ContainsFunc(w.clients, func(c *client) bool { return c.call != nil || len(c.scripts) > 0 })
}

// mark returns how much of the history there is, for outcomes and longest.
func (w *world) mark() int { return len(w.history) }

// outcomes counts how calls since a mark ended.
func (w *world) outcomes(since int) map[check.Outcome]int {
	n := make(map[check.Outcome]int)
	for _, o := range w.history[since:] {
		n[o.Outcome]++
	}
	return n
}

// longest is how long a call took at most since a mark.
func (w *world) longest(since int) (d time.Duration) {
	for _, o := range w.history[since:] {
		d = max(d, o.Return-o.Call)
	}
	return d
}
