package node

import (
	"slices"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Call is one request at one key or several. The node has it from Do until it is
// returned by Done.
type Call struct {
	// Keys that it touches, at least one.
	Keys [][]byte
	// Op names a write that its client may repeat; the zero OpID is a call that can't
	// be told from another.
	Op msg.OpID
	// Exec is what it does.
	Exec Executor

	parkedAt int64 // when it came, by Mono
	heldAt   int64
	wrote    bool // it has written
	failed   bool // it has its failure, and gets no other
	holds    int  // writes that its answer waits for, and that know of it
}

// Executor is what a Call does.
type Executor interface {
	// Execute carries the call out on n, which is at its keys and nowhere else, and
	// notes the answer. It is called once. It returns what Repeat takes should the
	// same call come again after it has written nothing; never 0.
	Execute(n *Node) (refusal uint8)
	// Repeat notes the answer that the same write got before, in place of Execute:
	// with the refusal 0 that it was done, and this is its version.
	Repeat(stamp uint64, refusal uint8)
	// Fail notes a failure, in place of Execute or of the answer noted.
	Fail(f Failure)
}

// Kind says why a call failed.
type Kind uint8

// The kinds of failure.
const (
	Moved       Kind = iota // another node owns the key: Owner, nobody if that is not known
	Unavailable             // it could not be served in time; nothing was done
	Unknown                 // the write may or may not have been carried out, or may yet be
	Answered                // the client had its answer long ago, by what it says itself
)

// Owned is a span and who owns it, as far as is known.
type Owned struct {
	Span msg.Span
	Node ring.Ref
}

// Failure is why a call failed.
type Failure struct {
	Kind  Kind
	Owner Owned // of Moved
}

// Do takes a call.
func (n *Node) Do(now Time, c *Call) {
	n.at(now)
	c.parkedAt = now.Mono
	n.try(c)
}

// try executes c, parks it, or fails it.
func (n *Node) try(c *Call) {
	for _, key := range c.Keys {
		switch f, ready := n.ready(n.c.Circle.OfKey(string(key))); ready {
		case no:
			n.fail(c, f)
			return
		case notYet:
			if n.now.Mono-c.parkedAt >= int64(n.c.Wait) {
				n.fail(c, Failure{Kind: Unavailable})
				return
			}
			n.parked = append(n.parked, c)
			return
		}
	}
	if c.Op.Client != 0 && !n.c.Bugs.Forgetful && n.isRepeat(c) {
		return
	}
	n.call = c
	if refusal := c.Exec.Execute(n); c.Op.Client != 0 && !c.wrote {
		n.refuse(c, refusal)
	}
	n.call = nil
	if n.writes.len() > 0 {
		n.await(c)
	}
	if c.holds == 0 {
		n.finish(c)
	}
}

// await has c's answer wait for the unanswered writes of its keys.
func (n *Node) await(c *Call) {
	for _, key := range c.Keys {
		if w := n.pending[string(key)]; w != nil && !w.knows(c) {
			n.hold(c, w)
		}
	}
}

// isRepeat sees to a write that was carried out before.
func (n *Node) isRepeat(c *Call) bool {
	r, known, answered := n.data.Recall(c.Op)
	switch {
	case answered:
		n.sometimes("repeat of what was answered before")
		n.fail(c, Failure{Kind: Answered})
		return true
	case !known:
		return false
	}
	n.sometimes("repeat")
	c.Exec.Repeat(r.Stamp, r.Refusal)
	n.await(c)
	for _, w := range n.writes.all() { // of a refusal, which is at no key
		if w.op == c.Op && !w.done && !w.knows(c) {
			n.hold(c, w)
		}
	}
	if c.holds == 0 {
		n.finish(c)
	}
	return true
}

// hold makes c's answer wait for w.
func (n *Node) hold(c *Call, w *write) {
	if c.holds == 0 {
		c.heldAt = n.now.Mono
		n.held++
	}
	w.calls = append(w.calls, c)
	c.holds++
}

// refuse remembers that a write was refused because of what is at its key, as firmly
// as what was written: the client is told so, perhaps by a repeat, while a first copy
// of the call may still be under way.
func (n *Node) refuse(c *Call, refusal uint8) {
	at := n.c.Circle.OfKey(string(c.Keys[0]))
	if w := n.number(at, msg.Entry{}, refusal); w != nil {
		n.hold(c, w)
	}
}

// fail fails c, which is done once no write knows of it.
func (n *Node) fail(c *Call, f Failure) {
	if c.failed {
		return
	}
	c.failed = true
	c.Exec.Fail(f)
	if c.holds == 0 {
		n.finish(c)
	}
}

// finish gives c back. It is called once for each.
func (n *Node) finish(c *Call) { n.done = append(n.done, c) }

// release lets go of one write that c's answer waited for.
func (n *Node) release(c *Call) {
	if c.holds--; c.holds == 0 {
		n.held--
		n.finish(c)
	}
}

// readiness is whether a place can be served.
type readiness uint8

const (
	yes readiness = iota
	notYet
	no
)

// ready says whether calls can be executed at a place now.
func (n *Node) ready(p place.Place) (Failure, readiness) {
	switch {
	case n.left:
		return Failure{Kind: Unavailable}, no
	case n.own != nil && covers(n.own.claim.Span, p):
		if !n.mayServe() || n.frozen(p) || n.comparing(p) {
			return Failure{}, notYet
		}
		return Failure{}, yes
	case n.passing(p):
		return Failure{}, notYet
	}
	owner, _ := n.Owner(p)
	return Failure{Kind: Moved, Owner: owner}, no
}

// mayServe tells whether nobody else may serve what this node owns.
func (n *Node) mayServe() bool {
	switch {
	case n.woken != nil:
		return false
	case n.c.Bugs.ServePast:
		return true
	}
	first := n.first()
	return first == nil || first.granted > n.now.Mono
}

// Owner tells who owns p, as far as this node knows; not if it doesn't.
func (n *Node) Owner(p place.Place) (Owned, bool) {
	if n.own != nil && covers(n.own.claim.Span, p) {
		return Owned{n.own.claim.Span, n.c.Self}, true
	}
	if g := n.gap; g != nil {
		for _, o := range g.living {
			if covers(o.Span, p) {
				return o, true
			}
		}
	}
	for i := range n.holds {
		h := &n.holds[i]
		if covers(h.Span, p) && n.alive(h.Claim.Owner) && h.Claim.Owner != n.c.Self {
			return Owned{h.Span, h.Claim.Owner}, true
		}
	}
	for _, o := range n.rivals {
		if covers(o.Span, p) && n.alive(o.Node) && !n.nearer(p, o.Node) {
			return o, true
		}
	}
	// Who is joining has its span from its first successor.
	self, first := n.c.Self, n.ring.Successor()
	if before := n.ring.Predecessor(); n.own == nil && !before.None() && first != self && place.Between(before.Place, p, self.Place) {
		return Owned{msg.Span{From: before.Place, To: self.Place}, first}, true
	}
	return Owned{}, false
}

// nearer tells whether the ring has somebody whose place follows p before owner's does:
// who has joined since that one had p.
func (n *Node) nearer(p place.Place, owner ring.Ref) bool {
	return p != owner.Place && slices.ContainsFunc(n.ring.Successors(), func(r ring.Ref) bool {
		return r.Place == p || place.Inside(p, r.Place, owner.Place)
	})
}

// retry tries what is parked again.
func (n *Node) retry() {
	n.unpark = false
	parked := n.parked
	n.parked = nil
	for _, c := range parked {
		n.try(c)
	}
}

// giveUpHolding fails the calls that have waited too long for holders, and has what
// is parked looked at again.
func (n *Node) giveUpHolding() {
	n.unpark = n.unpark || len(n.parked) > 0
	if n.runs < n.heldAt || n.held == 0 {
		return
	}
	n.heldAt = n.runs + n.c.PingEvery
	for _, w := range n.writes.all() {
		w.calls = slices.DeleteFunc(w.calls, func(c *Call) bool {
			late := n.now.Mono-c.heldAt >= int64(n.c.Hold)
			if late {
				n.unknown(c)
			}
			return late
		})
	}
}

// unknown lets go of one write that c's answer waited for, and whose outcome nobody
// knows.
func (n *Node) unknown(c *Call) {
	if !c.failed {
		c.failed = true
		c.Exec.Fail(Failure{Kind: Unknown})
	}
	n.release(c)
}
