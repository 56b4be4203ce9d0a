package sim

import (
	"cmp"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/node"
)

// epoch0 is what a clock of the day shows when virtual time is 0: microseconds.
const epoch0 = uint64(1_700_000_000e6)

// config says what a world is like.
type config struct {
	seed         uint64
	nodes        int // in servers.txt
	clients      int
	pace         time.Duration // the mean time between a client's calls; below 0: none
	startClients time.Duration // when clients begin
	keys         int
	reads        int  // percent of calls
	mixed        bool // not only swaps: deletes and conditions, too
	tagged       bool // no writes without a number, which nobody sends again
	intense      bool // much happens in a short time
	impatient    bool // clients send again now and then before anybody can have answered
	bytes        bool // messages are encoded and decoded on their way
	refuse       bool // minorities refuse to serve
	latency      simnet.Latency
	silence      time.Duration
	skew         time.Duration // by how much clocks of the day differ, at most
	style        style         // of the faults of TestAnything
	forks        bool          // faults may fork the history: they are not deaths alone
	bugs         node.Bugs
	sameRand     bool // planted: a node that is started again takes the same IDs
	lateConfirm  bool // planted: an answer to an old heartbeat confirms the reads of a later one
	forgetful    bool // planted: operations come without their numbers
	trace        io.Writer
}

// world is a table in a network, with clients.
type world struct {
	cfg     config
	net     *simnet.Network[any]
	servers []simnet.Addr
	nodes   map[simnet.Addr]*server // by address, the last that was started
	clients []*client
	keys    []string
	offset  []int64 // of clocks of the day, by slot, in microseconds
	calls   []*call
	resting bool            // clients begin no calls
	healed  bool            // no faults come any more
	forked  bool            // something came that may fork the history: not deaths alone
	apart   []simnet.Addr   // nodes that are cut off from the quorum: they may label
	settled []time.Duration // how long it took, each time

	onSent     []func(n *server, to int, m *msg.Message)
	onReceived []func(n *server, from int, m *msg.Message)
	errs       []string
}

// coverage is of all runs of the process.
var coverage = simnet.Expect(places...)

func (w *world) covered(name string) {
	if !w.cfg.planted() {
		coverage.Sometimes(name)
	}
}

// planted tells whether there is a mistake made on purpose.
func (c *config) planted() bool {
	return c.bugs != node.Bugs{} || c.sameRand || c.lateConfirm || c.forgetful
}

// quickly is a network whose messages are never late, for what is measured.
var quickly = simnet.Latency{Min: 100 * time.Microsecond, Max: 500 * time.Microsecond}

func newWorld(c config) *world {
	c.nodes = cmp.Or(c.nodes, 3)
	c.clients = cmp.Or(c.clients, 3)
	c.keys = cmp.Or(c.keys, 4)
	c.reads = cmp.Or(c.reads, 40)
	c.silence = cmp.Or(c.silence, 2*time.Second)
	c.startClients = cmp.Or(c.startClients, 20*time.Millisecond)
	if c.pace == 0 {
		c.pace = 20 * time.Millisecond
	}
	w := &world{cfg: c, forked: c.forks, nodes: make(map[simnet.Addr]*server)}
	w.net = simnet.New(simnet.Config[any]{
		Seed: c.seed, ClockSpread: time.Hour, Lateness: 2 * time.Millisecond, Trace: c.trace, Format: format,
		Latency: c.latency, BackoffMin: 4 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
		DialTimeout: 500 * time.Millisecond, Silence: c.silence,
	})
	for i := range c.keys {
		w.keys = append(w.keys, fmt.Sprintf("k%d", i))
	}
	for slot := range c.nodes {
		a := simnet.Addr(fmt.Sprintf("n%d", slot+1))
		w.servers = append(w.servers, a)
		w.offset = append(w.offset, int64(c.skew/time.Microsecond)*int64(slot)/int64(c.nodes))
		w.net.Add(a, func(p *simnet.Port[any]) simnet.Node[any] {
			n := newServer(w, slot, p)
			w.nodes[a] = n
			return n
		})
	}
	for i := range c.clients {
		w.net.Add(simnet.Addr(fmt.Sprintf("c%d", i)), func(p *simnet.Port[any]) simnet.Node[any] {
			n := newClient(w, i, p)
			w.clients = append(w.clients, n)
			return n
		})
	}
	return w
}

// started returns a world in which everybody was started at one instant.
func started(c config) *world {
	w := newWorld(c)
	w.net.StartAll()
	return w
}

// startClients starts them alone.
func (w *world) startClients() {
	for i := range w.cfg.clients {
		w.net.Start(simnet.Addr(fmt.Sprintf("c%d", i)))
	}
}

func (w *world) slotOf(a simnet.Addr) int {
	if a[0] != 'n' {
		return -1
	}
	return int(a[1] - '1')
}

func isClient(a simnet.Addr) bool { return strings.HasPrefix(string(a), "c") }

// wall is what a node's clock of the day shows.
func (w *world) wall(slot int) uint64 {
	return uint64(int64(epoch0) + w.net.Now().Microseconds() + w.offset[slot])
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
		w.run(min(ms, end-w.net.Now()))
	}
	return true
}

// exactly lets time pass until something is so after an event, not later by
// anything.
func (w *world) exactly(d time.Duration, so func() bool) bool {
	defer w.caught()
	return w.net.RunUntil(w.net.Now()+d, func() bool { return w.failed() || so() }) && !w.failed()
}

// report fails a test with what went wrong first.
func (w *world) report(t testing.TB) {
	t.Helper()
	for _, e := range w.errs[:min(len(w.errs), 3)] {
		t.Errorf("seed %d: %s", w.cfg.seed, e)
	}
}

// at runs f when a time from now has gone by.
func (w *world) at(d time.Duration, f func()) { w.net.At(w.net.Now()+d, f) }

// up are the nodes that run, frozen or not.
func (w *world) up() (all []*server) {
	for _, a := range w.servers {
		if w.net.Up(a) {
			all = append(all, w.nodes[a])
		}
	}
	return all
}

// leader is the node that leads the normal epoch, by its own word and that of most
// others; nil: there is none.
func (w *world) leader() *server {
	var best *server
	for _, n := range w.up() {
		if s := n.stand(); s.leads && !w.net.Frozen(n.addr) && (best == nil || s.newer(best.stand())) {
			best = n
		}
	}
	return best
}

// others are all addresses of nodes but these.
func (w *world) others(not ...simnet.Addr) (all []simnet.Addr) {
next:
	for _, a := range w.servers {
		for _, b := range not {
			if a == b {
				continue next
			}
		}
		all = append(all, a)
	}
	return all
}
