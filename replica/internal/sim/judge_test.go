package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// after looks at a node that has just done something.
func (w *world) after(n *server) {
	s := n.stand()
	if s.leads && s.normal && s.member {
		// Of one lineage there is one leader a term.
		for _, o := range w.up() {
			if t := o.stand(); o != n && t.leads && t.epoch == s.epoch && t.term == s.term {
				w.fail("%s and %s both lead epoch %d in term %d", n.addr, o.addr, s.epoch.Number, s.term)
			}
		}
	}
}

// survives says whether nothing that counts dies with a node: somebody else who
// runs is a member of its lineage, by a view that is as new. Who was ejected and
// doesn't know it has an older one.
func (w *world) survives(a simnet.Addr) bool {
	if !w.net.Up(a) {
		return false
	}
	mine := w.nodes[a].stand()
	if !mine.member {
		return !mine.holds // by its own word nobody else may have it
	}
	for _, n := range w.up() {
		if s := n.stand(); n.addr != a && s.member && s.epoch == mine.epoch && s.view >= mine.view {
			return true
		}
	}
	return false
}

// steady says whether the table is one normal epoch in which all nodes are members,
// with the same applied at each.
func (w *world) steady() bool { return w.unsettled() == nil }

// unsettled says what is not yet as it shall be, in words that are put together
// when they are asked for; nil is nothing.
func (w *world) unsettled() func() string {
	why := func(f string, args ...any) func() string { return func() string { return fmt.Sprintf(f, args...) } }
	var first stand
	leaders := 0
	for _, a := range w.servers {
		if !w.net.Up(a) || w.net.Frozen(a) {
			return why("%s is down", a)
		}
		s := w.nodes[a].stand()
		if s.leads {
			leaders++
		}
		switch {
		case !s.member:
			return why("%s is no member: %+v", a, s)
		case !s.normal:
			return why("%s is in a degraded epoch: %+v", a, s)
		case len(s.members) != len(w.servers):
			return why("%s has a view with %d of %d: %+v", a, len(s.members), len(w.servers), s)
		}
		if a == w.servers[0] {
			first = s
		} else if s.epoch != first.epoch || s.view != first.view || s.applied != first.applied {
			return why("%s is not as %s is: %+v, %+v", a, w.servers[0], s, first)
		}
	}
	if leaders != 1 {
		return why("%d nodes lead", leaders)
	}
	return nil
}

// settleWithin is how long after the last fault a table may take to be one normal
// epoch of all nodes.
const settleWithin = 8 * time.Second

// quiet waits until the table has settled, and until calls that are under way are
// over, and holds that all nodes are alike.
func (w *world) quiet() {
	if w.failed() {
		return
	}
	w.resting = true
	began := w.net.Now()
	for end := began + settleWithin; ; w.run(20 * time.Millisecond) {
		why := w.unsettled()
		switch {
		case w.failed():
			return
		case why == nil && !w.busy():
			w.settled = append(w.settled, w.net.Now()-began)
			w.alike()
			return
		case w.net.Now() >= end && why != nil:
			w.fail("not settled within %v: %s", settleWithin, why())
			return
		}
	}
}

// busy says whether some client has a call under way.
func (w *world) busy() bool {
	return slices.ContainsFunc(w.clients, func(c *client) bool { return c.call != nil || len(c.script) > 0 })
}

// alike holds that all nodes have the same, to the byte.
func (w *world) alike() {
	var first string
	for _, a := range w.servers {
		switch got := w.nodes[a].contents(); {
		case a == w.servers[0]:
			first = got
		case got != first:
			w.fail("%s and %s have applied as much and don't have the same: %d bytes, %d", w.servers[0], a, len(first), len(got))
		}
	}
}

// readAll reads each key at each node.
func (w *world) readAll() {
	if w.failed() {
		return
	}
	before := len(w.calls)
	for i, a := range w.servers {
		c := w.clients[i%len(w.clients)]
		c.use(a)
		for _, key := range w.keys {
			c.script = append(c.script, msg.Op{Kind: msg.Get, Key: key})
		}
		if !w.until(giveUpAfter, func() bool { return !w.busy() }) && !w.failed() {
			w.fail("the last reads were not answered")
		}
		c.use(w.servers...)
	}
	for _, c := range w.calls[min(before, len(w.calls)):] {
		if c.outcome != answered || c.labelled() {
			w.fail("a last read: %v", c)
		}
	}
}

// verify judges what clients saw.
func (w *world) verify() {
	if w.failed() {
		return
	}
	h := w.history()
	if err := check.Values(h); err != nil {
		w.fail("%v", err)
	} else if err := check.Fresh(h); err != nil {
		w.fail("%v", err)
	} else if err := check.Linearizable(h, check.Register, 10*time.Second); err != nil {
		w.fail("%v", err)
	}
}

// history is what clients did and saw, as package check judges it. A write of which
// nobody knows whether and when it happened had done so when the first answer that
// found its value came; one whose value nobody found can be left out, as one that
// never did. With it goes what only says that some entry was in the way, unless it
// is known which. Entries that go by themselves are not for this judge.
func (w *world) history() check.History {
	type entry struct{ key, value string }
	type write struct {
		key     string
		version msg.Version
	}
	found := make(map[entry]time.Duration) // when first
	known := make(map[write]bool)
	expires := make(map[string]bool)
	for _, c := range w.calls {
		if c.op.TTL > 0 {
			expires[c.op.Key] = true
		}
		r := &c.result
		if c.outcome != answered || r.Status != msg.OK || w.forked && c.labelled() {
			continue
		}
		known[write{c.op.Key, r.Version}] = true
		if r.Found {
			known[write{c.op.Key, r.OldVersion}] = true
			e := entry{c.op.Key, string(r.Old)}
			if at, ok := found[e]; !ok || c.ended < at {
				found[e] = c.ended
			}
		}
	}
	var h check.History
	for _, c := range w.calls {
		o, ok := w.operation(c)
		if !ok || expires[c.op.Key] {
			continue
		}
		if o.Outcome == check.Exists || o.Outcome == check.Conflict {
			if !known[write{c.op.Key, c.result.OldVersion}] {
				continue
			}
		}
		if o.Op != check.Get && o.Op != check.Delete && (o.Outcome == check.Unknown || o.Labelled) {
			at, ok := found[entry{c.op.Key, string(c.op.Value)}]
			if !ok {
				continue
			}
			o.Op, o.Outcome, o.Labelled, o.Return = check.Put, check.OK, false, at
		}
		h = append(h, o)
	}
	return h
}

// operation translates a call; not ok: it says nothing.
func (w *world) operation(c *call) (o check.Operation, ok bool) {
	r := &c.result
	o = check.Operation{
		Client: c.client, Call: c.began, Return: c.ended, Key: check.Text(c.op.Key), Value: check.Text(c.op.Value),
		Outcome: check.OK, Labelled: c.labelled() && w.forked, Found: r.Found, Expect: check.Text(r.Old),
	}
	switch {
	case c.op.Kind == msg.Get:
		o.Op = check.Get
	case c.op.Kind == msg.Delete:
		o.Op = check.Delete
	case c.op.Cond == msg.IfAbsent:
		o.Op = check.PutIfAbsent
	case c.op.Cond == msg.IfVersion:
		o.Op, o.Expect = check.Swap, check.Text(c.expect)
	default:
		o.Op = check.Exchange
	}
	switch {
	case c.outcome == failed, r.Status == msg.Full:
		return o, false
	case c.outcome == unknown && o.Op == check.Get:
		return o, false
	case c.outcome == unknown:
		// It may have been taken where it would have borne the label.
		o.Outcome, o.Labelled = check.Unknown, w.forked
		return o, true
	case o.Labelled && o.Op == check.Get:
		return o, false
	case o.Labelled:
		// Done or refused, it may be done elsewhere later.
		o.Outcome = check.Unknown
		return o, true
	}
	switch r.Status {
	case msg.OK:
		if o.Op == check.Get {
			o.Value = check.Text(r.Old)
		}
	case msg.NotFound:
		o.Outcome = check.Missing
		if o.Op == check.Exchange { // with IfPresent: as good as a read
			o.Op = check.Get
		}
	case msg.Exists:
		o.Outcome = check.Exists
	case msg.Conflict:
		o.Outcome = check.Conflict
		if w.forked || r.OldVersion.Epoch != c.op.Version.Epoch {
			// A write that was handed over has another version than before, and so has one
			// of which the next epoch's founder didn't know that it was answered.
			o.Op, o.Outcome = check.PutIfAbsent, check.Exists
		}
	case msg.Repeated:
		// An unconditional one was carried out before now, and one with a condition
		// may have been.
		if o.Op == check.Exchange && c.op.Cond == msg.Always {
			o.Op = check.Put
		} else {
			o.Outcome, o.Labelled = check.Unknown, w.forked
		}
	}
	return o, true
}

// end lets the table settle, and judges everything.
func (w *world) end() {
	w.quiet()
	w.readAll()
	w.verify()
}

// tally is how calls ended.
type tally struct {
	answered, labelled, failed, unknown int
	apart                               int   // labelled by who is cut off
	longest                             *call // that took the longest
}

// since counts the calls that ended after a time, or have not ended.
func (w *world) since(from time.Duration) (t tally) {
	look := func(c *call, ended time.Duration) {
		if t.longest == nil || ended-c.began > t.longest.ended-t.longest.began {
			was := *c
			was.ended = ended
			t.longest = &was
		}
	}
	for _, c := range w.calls {
		if c.ended <= from {
			continue
		}
		look(c, c.ended)
		switch {
		case c.outcome == failed:
			t.failed++
		case c.outcome == unknown:
			t.unknown++
		case c.labelled() && slices.Contains(w.apart, c.answeredBy):
			t.apart++
		case c.labelled():
			t.labelled++
		default:
			t.answered++
		}
	}
	for _, n := range w.clients {
		if n.call != nil {
			look(n.call, w.net.Now())
		}
	}
	return t
}

// wait is how long the slowest call took.
func (t tally) wait() time.Duration {
	if t.longest == nil {
		return 0
	}
	return t.longest.ended - t.longest.began
}

func (t tally) String() string {
	s := ""
	if t.longest != nil {
		s = fmt.Sprintf(", %v at most", t.wait())
	}
	return fmt.Sprintf("%d answered, %d labelled and %d by who is cut off, %d failed, %d unknown", t.answered, t.labelled, t.apart, t.failed, t.unknown) + s
}
