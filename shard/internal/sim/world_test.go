package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/shard/internal/master"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
)

// config says what a world is like.
type config struct {
	seed    uint64
	servers int // at the start
	clients int
	pace    time.Duration // the mean time between a client's calls
	server  server.Config
	master  master.Config
	intense bool // much happens in a short time
	drift   bool // clocks go at rates that differ by up to 1 %
	trace   io.Writer
}

// world is a table in a network, with clients.
type world struct {
	cfg     config
	net     *simnet.Network[any]
	masters []simnet.Addr
	running map[simnet.Addr]*masterNode   // by address, the last that was started
	lead    simnet.Addr                   // the master that counts, and
	master  *masterNode                   // what runs there
	disk    *slots.Map                    // what a master with a state persisted last
	zeros   map[simnet.Addr]time.Duration // what clocks showed when the day's showed epoch0
	lives   map[slots.Boot]*serverNode
	nodes   map[simnet.Addr]*serverNode
	servers []simnet.Addr // in the order in which they came
	goneFor map[simnet.Addr]bool
	clients []*clientNode
	keys    []string
	sampled []slots.Slot
	history check.History
	maps    map[slots.Epoch]*slots.Map
	newest  *slots.Map
	resting bool // clients begin no calls
	healed  bool // no faults come any more

	onSent     []func(from simnet.Addr, m msg.Message) // by servers and the master
	onReceived []func(at simnet.Addr, m msg.Message)
	errs       []string
}

// coverage is of all runs of the process.
var coverage = simnet.Expect(places...)

func (w *world) covered(name string) { coverage.Sometimes(name) }

func newWorld(c config) *world {
	c.servers = cmp.Or(c.servers, 3)
	c.clients = cmp.Or(c.clients, 3)
	c.pace = cmp.Or(c.pace, 30*time.Millisecond)
	w := &world{
		cfg: c, lead: masterAddr, running: make(map[simnet.Addr]*masterNode),
		zeros: make(map[simnet.Addr]time.Duration), lives: make(map[slots.Boot]*serverNode), nodes: make(map[simnet.Addr]*serverNode),
		goneFor: make(map[simnet.Addr]bool), maps: make(map[slots.Epoch]*slots.Map),
	}
	w.net = simnet.New(simnet.Config[any]{
		Seed: c.seed, ClockSpread: time.Hour, Lateness: 2 * time.Millisecond, Trace: c.trace, Format: format,
		BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond, Silence: 5 * time.Second,
	})
	// Two keys lie in one slot, the others where one server's part meets another's
	// or where none does.
	for _, s := range []int{1, 1 + slots.Count, slots.Count/4 + 2, slots.Count / 3, slots.Count/2 + 3, slots.Count*2/3 + 1, slots.Count*3/4 + 1, slots.Count - 1} {
		w.keys = append(w.keys, fmt.Sprint(s))
		w.sampled = append(w.sampled, slots.Slot(s%slots.Count))
	}
	w.sampled = slices.Compact(w.sampled)
	w.addMaster(masterAddr)
	for range c.servers {
		w.addServer()
	}
	for i := range c.clients {
		a := clientAddr(i)
		w.net.Add(a, func(p *simnet.Port[any]) simnet.Node[any] {
			n := newClientNode(w, i, p)
			w.clients = append(w.clients, n)
			return n
		})
	}
	w.net.StartAll()
	w.clients[0].scripts = w.bulk()
	return w
}

// addMaster makes a further master's address known, without starting it.
func (w *world) addMaster(a simnet.Addr) {
	w.masters = append(w.masters, a)
	w.net.Add(a, func(p *simnet.Port[any]) simnet.Node[any] { return newMasterNode(w, p) })
}

func (w *world) isMaster(a simnet.Addr) bool { return slices.Contains(w.masters, a) }

func clientAddr(i int) simnet.Addr { return simnet.Addr(fmt.Sprintf("c%d", i)) }

// addServer makes a further address known, without starting it.
func (w *world) addServer() simnet.Addr {
	a := simnet.Addr(fmt.Sprintf("s%d", len(w.servers)+1))
	w.servers = append(w.servers, a)
	w.net.Add(a, func(p *simnet.Port[any]) simnet.Node[any] {
		n := newServerNode(w, a, p)
		w.nodes[a] = n
		return n
	})
	return a
}

// join starts a further server.
func (w *world) join() simnet.Addr {
	a := w.addServer()
	w.net.Start(a)
	return a
}

// leave asks a server to hand over what it has and go.
func (w *world) leave(a simnet.Addr) {
	w.net.Call(a, func(now time.Duration) {
		n := w.nodes[a]
		n.leaving = true
		n.core.Leave(n.time(now))
	})
}

// released ends the process of a server that may go.
func (w *world) released(n *serverNode) {
	w.covered("released")
	w.net.At(w.net.Now(), func() {
		w.goneFor[n.addr] = true
		w.net.Kill(n.addr)
	})
}

func (w *world) serverAddrs() []simnet.Addr { return w.servers }

// live are the servers that run, frozen or not, and are not told to stop.
func (w *world) live() (all []*serverNode) {
	for _, a := range w.servers {
		if w.net.Up(a) && !w.goneFor[a] && !w.nodes[a].left {
			all = append(all, w.nodes[a])
		}
	}
	return all
}

// alive says whether a boot is a process that runs.
func (w *world) alive(b slots.Boot) bool {
	n := w.lives[b]
	return n != nil && n.boot == b && w.nodes[n.addr] == n && w.net.Up(n.addr) && !n.left && !n.core.Reset()
}

// reachable says whether no fault could keep the master from reaching an address.
func (w *world) reachable(simnet.Addr) bool {
	for _, f := range w.net.Faults() {
		switch f.Kind {
		case simnet.Cut, simnet.CutOneWay, simnet.Isolate, simnet.Split:
			return false
		}
	}
	return true
}

func (w *world) sortedConns(m map[simnet.Conn]slots.Boot) (all []simnet.Conn) {
	for c := range m {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b simnet.Conn) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func (w *world) sortedIDs(m map[uint64]simnet.Addr) (all []uint64) {
	for id := range m {
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}

func (w *world) sent(n *serverNode, _ slots.Boot, m msg.Message) {
	for _, f := range w.onSent {
		f(n.addr, m)
	}
}

func (w *world) sentByMaster(_ simnet.Conn, m msg.Message) {
	for _, f := range w.onSent {
		f(masterAddr, m)
	}
}

func (w *world) received(n *serverNode, _ simnet.Conn, m msg.Message) {
	for _, f := range w.onReceived {
		f(n.addr, m)
	}
}

func (w *world) receivedByMaster(_ simnet.Conn, m msg.Message) {
	for _, f := range w.onReceived {
		f(masterAddr, m)
	}
}

// fail notes that something is wrong. The first of it counts.
func (w *world) fail(f string, args ...any) {
	w.errs = append(w.errs, fmt.Sprintf("at %v: ", w.net.Now())+fmt.Sprintf(f, args...))
}

func (w *world) failed() bool { return len(w.errs) > 0 }

// run lets time pass, until something is wrong.
func (w *world) run(d time.Duration) {
	w.net.RunUntil(w.net.Now()+d, w.failed)
}

// until lets time pass until something is so, and says whether it came to be.
func (w *world) until(d time.Duration, so func() bool) bool {
	end := w.net.Now() + d
	for !so() {
		if w.net.Now() >= end || w.failed() {
			return false
		}
		w.net.RunUntil(min(w.net.Now()+5*time.Millisecond, end), w.failed)
	}
	return true
}

// report fails a test with what went wrong first.
func (w *world) report(t testing.TB) {
	t.Helper()
	for _, e := range w.errs[:min(len(w.errs), 3)] {
		t.Errorf("seed %d: %s", w.cfg.seed, e)
	}
}

// format prints a message for the trace.
func format(m any) string {
	switch m := m.(type) {
	case *msg.MapUpdate:
		return "map " + describe(m.Map)
	case *msg.Report:
		on := "nothing"
		if m.Map != nil {
			on = m.Map.Epoch.String()
		}
		return fmt.Sprintf("report on %s, acked %s, gave up %d, leaving %v", on, m.Acked, len(m.GaveUp), m.Leaving)
	case *msg.Batch:
		var b strings.Builder
		fmt.Fprintf(&b, "batch under %s, answered %d, %d to %d:", m.Epoch, m.Answered, m.First, m.First+uint64(len(m.Items))-1)
		for i, it := range m.Items {
			if it.Kind == msg.Write || i < 2 {
				fmt.Fprintf(&b, " [%s slot %d seq %d", [...]string{"write", "begin", "chunk", "past", "end", "resync"}[it.Kind], it.Slot, it.Seq)
				if it.Kind == msg.Write {
					fmt.Fprintf(&b, " %s=%.20q gone=%v op %d.%d", it.Entry.Key, it.Entry.Value, it.Entry.Gone, it.Op.Client, it.Op.Number)
				}
				b.WriteString("]")
			}
		}
		return b.String()
	case *msg.HandOver:
		return fmt.Sprintf("hand over %d slots to %s under %s", len(m.Slots), m.To, m.Epoch)
	case *msg.GaveUp:
		return fmt.Sprintf("gave up %d slots to %s under %s", len(m.Slots), m.To, m.Epoch)
	case *request:
		return fmt.Sprintf("request %d %s %.20q write=%v op %d.%d", m.id, m.key, m.value, m.do != nil, m.op.Client, m.op.Number)
	case *reply:
		if m.failed {
			return fmt.Sprintf("reply %d failed %v %s", m.id, m.failure.Kind, m.failure.Addr)
		}
		return fmt.Sprintf("reply %d found=%v %.20q version %d again=%v acted %d", m.id, m.found, m.value, m.version, m.again, m.acted)
	}
	return fmt.Sprintf("%T %+v", m, m)
}

// describe prints the head of a map, and how many rows are like each other.
func describe(m *slots.Map) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s held %d:", m.Epoch, len(m.Held))
	for i, s := range m.Servers {
		fmt.Fprintf(&b, " %d=%s/%s", i, nodeOf(s.Addr), s.Boot.String()[:4])
		if s.Dead {
			b.WriteString(" dead")
		}
		if s.Leaving {
			b.WriteString(" leaving")
		}
		if s.Deposed != (slots.Epoch{}) {
			fmt.Fprintf(&b, " deposed %s", s.Deposed)
		}
	}
	count := make(map[string]int)
	var names []string
	for i := range m.Rows {
		name := describeRow(&m.Rows[i])
		if count[name]++; count[name] == 1 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "; %d × %s", count[name], name)
	}
	return b.String()
}

func describeRow(r *slots.Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", r.Primary)
	if r.Fresh {
		b.WriteString("!")
	}
	for _, c := range r.Copies() {
		fmt.Fprintf(&b, " %s%d", [...]string{"f", "j", ""}[c.State], c.Server)
	}
	return b.String()
}
