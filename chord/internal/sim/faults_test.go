package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/simnet"
)

// startNodes starts all nodes that there are, a little one after the other.
func (w *world) startNodes() {
	for i, a := range w.nodes {
		w.after(time.Duration(i)*30*ms, func() { w.net.Start(a) })
	}
}

// contactFor chooses by whom a process joins; nil: there is nobody, and it begins a
// ring of its own.
func (w *world) contactFor(n *process) *process {
	var well, all []*process
	for _, a := range w.nodes {
		o := w.runs[a]
		if o == nil || a == n.addr || !w.net.Up(a) || o.core == nil || !o.core.Joined() {
			continue
		}
		if all = append(all, o); !w.net.Frozen(a) && !o.going && !w.goneFor[a] {
			well = append(well, o)
		}
	}
	if len(well) > 0 {
		all = well
	}
	if len(all) == 0 { // of those who are on their way one founds a ring, the first
		for _, a := range w.nodes[:slices.Index(w.nodes, n.addr)] {
			if o := w.runs[a]; o != nil && w.net.Up(a) && !w.goneFor[a] && !o.going {
				return o
			}
		}
		return nil
	}
	return all[n.port.Rand().IntN(len(all))]
}

// lives says whether a process still runs, frozen or not.
func (w *world) lives(r ring.Ref) bool {
	a := simnet.Addr(r.Addr)
	return w.net.Up(a) && !w.goneFor[a] && w.runs[a].self == r
}

// refusedProcess ends a process whose identifier is taken, which must be so, and has it
// started again a while later: as a rule it is the former life of the same node that
// was not known to be dead.
func (w *world) refusedProcess(n *process) {
	if !slices.ContainsFunc(w.live(), func(o *process) bool { return o != n && o.self.Place == n.self.Place }) {
		w.covered("refused by the dead")
	}
	w.restart(n)
}

// restart ends a process that can't go on, and has it started again a while later.
func (w *world) restart(n *process) {
	n.going = true
	w.after(0, func() { w.after(500*ms, w.net.Kill(n.addr)) })
}

// join starts a further node.
func (w *world) join() simnet.Addr {
	a := w.addNode()
	w.net.Start(a)
	return a
}

// leave asks a node to hand over what it has and go, and fail to go at once.
func (w *world) leave(a simnet.Addr) {
	w.tell(a, func(n *process) { n.core.Leave(n.time()) })
}

func (w *world) failNode(a simnet.Addr) {
	w.tell(a, func(n *process) { n.core.Fail(n.time()) })
}

func (w *world) tell(a simnet.Addr, what func(*process)) {
	n := w.runs[a]
	if n.going {
		return
	}
	n.going = true
	w.hurt[n.self] = true
	w.net.Call(a, func(time.Duration) {
		if w.runs[a] == n {
			what(n)
		}
	})
}

// kill ends a node for good.
func (w *world) kill(a simnet.Addr) {
	w.hurt[w.runs[a].self] = true
	w.goneFor[a] = true
	w.net.Kill(a)
}

// killFor ends a process, and has its node started again after a time.
func (w *world) killFor(a simnet.Addr, d time.Duration) {
	w.hurt[w.runs[a].self] = true
	start := w.net.Kill(a)
	w.after(d, func() {
		if !w.goneFor[a] {
			start()
		}
	})
}

func (w *world) freezeFor(a simnet.Addr, d time.Duration) {
	w.hurt[w.runs[a].self] = true
	w.after(d, w.net.Freeze(a))
}

// heal ends all faults but for nodes that are gone.
func (w *world) heal() {
	w.healed = true
	w.net.Heal()
	if w.cfg.latency.Tail > 0 {
		for _, a := range w.net.Addrs() {
			for _, b := range w.net.Addrs() {
				w.net.SetLatency(a, b, quickly)
			}
		}
	}
	for _, a := range w.net.Addrs() {
		w.net.Thaw(a)
		if !w.goneFor[a] && (w.runs[a] == nil || !w.runs[a].going) {
			w.net.Start(a)
		}
	}
}

// style is which faults a run has.
type style int

const (
	gentle style = iota // joins, leaves, connections that break: also without copies
	deaths              // processes that die, too, or stand still
	cuts                // of the network, too: there may be two owners
)

func (s style) String() string { return [...]string{"gentle", "deaths", "cuts"}[s] }

var weights = map[style]map[simnet.Kind]int{
	gentle: {simnet.Reset: 4, simnet.Slow: 1},
	deaths: {simnet.Reset: 3, simnet.Kill: 8, simnet.Freeze: 6},
	cuts: {
		simnet.Cut: 4, simnet.CutOneWay: 3, simnet.Isolate: 3, simnet.Split: 3, simnet.Reset: 2,
		simnet.Slow: 1, simnet.Kill: 3, simnet.Freeze: 3,
	},
}

// refused says which faults don't come: the death of clients, and what together would
// keep a message back for minutes.
func refused(p simnet.Planned, beside []simnet.Planned) bool {
	switch p.Kind {
	case simnet.Kill, simnet.Freeze, simnet.Isolate:
		return isClient(p.A)
	case simnet.Slow:
		return p.X > 16 || slices.ContainsFunc(beside, func(o simnet.Planned) bool { return o.Kind == simnet.Slow })
	}
	return false
}

// play lets faults come and go, but for those that nobody promises to survive.
func (w *world) play(s simnet.Schedule) {
	for _, p := range s {
		w.after(p.At, func() { w.inject(p) })
	}
}

// shortly is for how long a process may stand still before others notice.
const shortly = 250 * ms

func (w *world) inject(p simnet.Planned) {
	if w.healed || w.goneFor[p.A] {
		return
	}
	switch p.Kind {
	case simnet.Kill:
		if w.bears(p.A) {
			w.killFor(p.A, p.For)
		}
		return
	case simnet.Freeze:
		if p.For > shortly && !w.bears(p.A) {
			return
		}
		if p.For > shortly {
			w.hurt[w.runs[p.A].self] = true
		}
	case simnet.Reset:
	case simnet.Slow:
		if p.X > 3 && w.cfg.style != cuts {
			return // what is late is as good as cut
		}
		if p.X > 3 {
			w.cut()
		}
	default:
		if isClient(p.A) || isClient(p.B) {
			break
		}
		w.cut()
	}
	undo := w.net.Inject(p.Fault)
	if p.For > 0 {
		w.after(p.For, func() {
			if !w.goneFor[p.A] {
				undo()
			}
		})
	}
}

// cut notes that living nodes may be cut off from each other: nothing else may fail
// until each pair has all its copies again.
func (w *world) cut() {
	w.forked = true
	w.copies = 0
}

func (w *world) sent(n *process, m msg.Message) {
	for _, f := range w.onSent {
		f(n.addr, m)
	}
}

func (w *world) received(n *process, m msg.Message) {
	for _, f := range w.onReceived {
		f(n.addr, m)
	}
}

func item(k msg.Kind) func(any) bool {
	return func(m any) bool {
		b, ok := m.(*msg.Batch)
		return ok && slices.ContainsFunc(b.Items, func(it msg.Item) bool { return it.Kind == k })
	}
}

func message[M msg.Message](m any) bool {
	_, ok := m.(M)
	return ok
}

// moments are messages at which a fault may find a mistake that one by chance would
// not.
var moments = []func(any) bool{
	item(msg.Write), item(msg.Write), item(msg.Begin), item(msg.Chunk), item(msg.End), item(msg.Adopt), item(msg.Drop),
	item(msg.Grant), item(msg.Grant), item(msg.Want), message[*msg.Query], message[*msg.Holdings], message[*msg.Deposed],
	message[*msg.Bye], message[*msg.Ack], message[*msg.Refused],
}

// ambush lets a fault come when somebody has just sent a certain message, or received
// it, some time after now.
func (w *world) ambush(rng *rand.Rand) {
	is := moments[rng.IntN(len(moments))]
	left := 1 + rng.IntN(5)
	lasting := time.Duration(20+rng.IntN(2500)) * ms
	what := rng.IntN(6)
	aside := rng.IntN(4) == 0
	delay := time.Duration(rng.IntN(2)*rng.IntN(2000)) * time.Microsecond
	sees := func(at simnet.Addr, m any) {
		if left == 0 || !is(m) {
			return
		}
		if left--; left > 0 {
			return
		}
		w.after(delay, func() {
			if live := w.joined(); aside && len(live) > 0 {
				at = live[rng.IntN(len(live))].addr
			}
			w.strike(what, at, lasting)
		})
	}
	if rng.IntN(2) == 0 {
		w.onSent = append(w.onSent, sees)
	} else {
		w.onReceived = append(w.onReceived, sees)
	}
}

// strike lets one of some faults come over a node.
func (w *world) strike(what int, a simnet.Addr, lasting time.Duration) {
	if w.healed || w.goneFor[a] {
		return
	}
	switch {
	case w.cfg.style == gentle || what == 0:
		if w.mayLeave(a) {
			w.leave(a)
		}
	case what == 1:
		if w.bears(a) {
			w.failNode(a)
		}
	case what == 2:
		w.inject(simnet.Planned{For: lasting, Fault: simnet.Fault{Kind: simnet.Freeze, A: a}})
	case what == 3:
		if w.bears(a) {
			w.kill(a)
		}
	default:
		w.inject(simnet.Planned{For: lasting, Fault: simnet.Fault{Kind: simnet.Kill, A: a}})
	}
}

// mayLeave says whether a node may leave: what it hands over has one copy less until
// others are made, as if it had died.
func (w *world) mayLeave(a simnet.Addr) bool {
	if len(w.joined()) < 2 || len(w.live()) < 2 || w.runs[a] == nil || !w.net.Up(a) || w.runs[a].going {
		return false
	}
	if w.cfg.replicas == 0 {
		return w.whole() && !w.strands(w.runs[a])
	}
	return w.bears(a)
}
