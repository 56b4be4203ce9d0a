package chord

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Admin asks nodes what a person wants to know, and tells them what a person decides.
// Its zero value is ready. Set its fields before it is in use. Its methods are safe for
// concurrent use; each makes connections of its own, and takes as long as its context
// lets it.
type Admin struct {
	// TLS, if not nil, is what connections are made with.
	TLS *tls.Config
	// Dialer, if not nil, makes the connections in place of a net.Dialer; TLS goes
	// on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

// NodeRef names one life of a node.
type NodeRef struct {
	ID   string `json:"id"`   // its place, in decimal
	Addr string `json:"addr"` // host:port
	// Boot tells its lives apart; 0: this is nobody.
	Boot uint64 `json:"-"`
}

// String is ID@HOST:PORT, as ParseNodeName reads it.
func (r NodeRef) String() string {
	if r.Boot == 0 {
		return "nobody"
	}
	return r.ID + "@" + r.Addr
}

// Info is who a node is.
type Info struct {
	NodeRef
	// Ring names its ring, in hexadecimal. The ring has 2^Bits places, and keeps each
	// entry on Replicas nodes besides its owner.
	Ring     string `json:"ring"`
	Bits     int    `json:"bits"`
	Replicas int    `json:"replicas"`
	MaxValue int    `json:"max_value"` // the longest value in bytes
	Joined   bool   `json:"joined"`    // it serves its own place
}

// Span is the places clockwise from From, without it, to To, with it; all there are if
// they are the same.
type Span struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Status is how a node is, as it sees itself.
type Status struct {
	Info
	// Predecessor is nil while it isn't known. Successors are the list.
	Predecessor *NodeRef  `json:"predecessor"`
	Successors  []NodeRef `json:"successors"`
	// Fingers in order of K; one that is the same as the one before it is left out.
	Fingers  []Finger  `json:"fingers"`
	Suspects []NodeRef `json:"suspects"` // who doesn't answer it
	Lost     []NodeRef `json:"lost"`     // who is remembered, to be asked after

	// Owns is nil if it owns nothing, and Term its claim's. Serving: it answers.
	Owns    *Span  `json:"owns"`
	Term    uint64 `json:"term"`
	Serving bool   `json:"serving"`
	// Holders have copies of what it owns. Whole: there are as many as there have to
	// be, and each has everything.
	Holders []Holder `json:"holders"`
	Whole   bool     `json:"whole"`
	Backs   []Backed `json:"backs"` // what it has copies of

	Keys  uint64 `json:"keys"`  // that it owns
	Held  uint64 `json:"held"`  // that it has, copies for others as well
	Bytes uint64 `json:"bytes"` // of all those
	Limit uint64 `json:"limit"` // of bytes; 0: none

	// Since it started: spans taken over from nodes that were gone, and handed to
	// nodes that came; of those taken over, the ones that nobody had a copy of;
	// entries that lost against a later one when rings met.
	TakeOvers   uint64 `json:"take_overs"`
	HandOffs    uint64 `json:"hand_offs"`
	TakenEmpty  uint64 `json:"taken_empty"`
	Overwritten uint64 `json:"overwritten"`
}

// Finger K of a node is the first node at or after Start, its place plus 2^K.
type Finger struct {
	K     int     `json:"k"`
	Start string  `json:"start"`
	Node  NodeRef `json:"node"`
}

// Holder is a node with copies.
type Holder struct {
	NodeRef
	Complete bool `json:"complete"` // it has everything; else it is being sent it
}

// Backed is what a node has copies of.
type Backed struct {
	Span
	Owner    NodeRef `json:"owner"`
	Complete bool    `json:"complete"`
}

// Lookup is where a key lies, and how that was found out.
type Lookup struct {
	Key  string `json:"key"`
	Hash string `json:"hash"` // its place, in decimal
	// Owner has it, and Owns what there is around it, as far as is known.
	Owner NodeRef       `json:"owner"`
	Owns  Span          `json:"owns"`
	Hops  []Hop         `json:"hops"` // who was asked, in order
	Took  time.Duration `json:"-"`
}

// Hop is a node that was asked on the way.
type Hop struct {
	NodeRef
	Silent bool          `json:"silent"` // it did not answer in time
	Took   time.Duration `json:"-"`
}

// with calls one node.
func (a *Admin) with(addr string, do func(*link.Client) error) error {
	c, err := link.NewClient(addr, link.Options{TLS: a.TLS, Dialer: a.Dialer})
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// Info asks the node at addr who it is. A node that has not met its ring yet doesn't
// answer.
func (a *Admin) Info(ctx context.Context, addr string) (info Info, err error) {
	err = a.with(addr, func(c *link.Client) error {
		i, err := c.Info(ctx)
		info = infoOf(i)
		return err
	})
	return info, err
}

// Status asks the node at addr how it is.
func (a *Admin) Status(ctx context.Context, addr string) (status Status, err error) {
	err = a.with(addr, func(c *link.Client) error {
		s, err := c.Status(ctx)
		if err == nil {
			status = statusOf(s)
		}
		return err
	})
	return status, err
}

// Lookup has the node at addr look for who owns a key. Whom it finds is asked, too: a
// node that has just handed something over is told of that before others know.
func (a *Admin) Lookup(ctx context.Context, addr, key string) (found Lookup, err error) {
	err = a.with(addr, func(c *link.Client) error {
		i, err := c.Info(ctx)
		if err != nil {
			return err
		}
		at := place.Circle(i.Bits).OfKey(key)
		r, err := c.Resolve(ctx, at)
		if err != nil {
			return err
		}
		found = Lookup{Key: key, Hash: at.String(), Owner: refOf(r.Owner), Owns: spanOf(r.Span), Took: r.Took}
		for _, h := range r.Hops {
			found.Hops = append(found.Hops, Hop{refOf(h.Node), h.Silent, h.Took})
		}
		return nil
	})
	if err == nil && found.Owner.Addr != addr {
		a.confirm(ctx, &found)
	}
	return found, err
}

// confirm asks who was found what it owns, and after it whom it names, for a few steps.
// Without an answer, what was found stands.
func (a *Admin) confirm(ctx context.Context, found *Lookup) {
	at, err := everywhere.Parse(found.Hash)
	if err != nil {
		return
	}
	for range maxHops {
		var r link.Resolved
		if err := a.with(found.Owner.Addr, func(c *link.Client) (err error) {
			r, err = c.Resolve(ctx, at)
			return err
		}); err != nil {
			return
		}
		owner := refOf(r.Owner)
		same := owner == found.Owner
		if found.Owner, found.Owns = owner, spanOf(r.Span); same {
			return
		}
	}
}

// Fail is the failure message to the node at addr: it tells the ring that it is gone,
// and ends without handing anything over. Fail returns when nobody listens there any
// more.
func (a *Admin) Fail(ctx context.Context, addr string) error {
	return a.with(addr, func(c *link.Client) error {
		before, err := c.Info(ctx)
		if err != nil {
			return err
		}
		if err := c.Fail(ctx); err != nil {
			return err
		}
		for {
			now, err := a.Info(ctx, addr)
			if err == nil && now.Boot != before.Self.Boot || errors.Is(err, link.ErrRefused) || errors.Is(err, link.ErrForeign) {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s was told to fail, and is there still: %w", addr, ctx.Err())
			case <-time.After(lookAgain):
			}
		}
	})
}

// greet asks who listens at addr, for a Runtime.
func (a *Admin) greet(ctx context.Context, addr string) (greeting, error) {
	info, err := a.Info(ctx, addr)
	switch {
	case errors.Is(err, link.ErrRefused):
		return greeting{}, errRefused
	case errors.Is(err, link.ErrForeign), errors.Is(err, link.ErrDeclined):
		return greeting{}, errForeign
	case err != nil && !errors.Is(err, link.ErrVersion): // which is a node all the same
		return greeting{}, err
	}
	return greeting{info.ID, info.Boot, info.Joined}, nil
}

func infoOf(i link.Info) Info {
	return Info{
		NodeRef: refOf(i.Self), Ring: strconv.FormatUint(i.Ring, 16),
		Bits: i.Bits, Replicas: i.Replicas, MaxValue: i.MaxValue, Joined: i.Joined,
	}
}

func refOf(r ring.Ref) NodeRef {
	if r.None() {
		return NodeRef{}
	}
	return NodeRef{r.Place.String(), r.Addr, r.Boot}
}

func refsOf(all []ring.Ref) []NodeRef {
	refs := make([]NodeRef, len(all)) // [] in JSON, and never null
	for i, r := range all {
		refs[i] = refOf(r)
	}
	return refs
}

func spanOf(s msg.Span) Span { return Span{s.From.String(), s.To.String()} }

func statusOf(s link.Status) Status {
	st := Status{
		Info: infoOf(s.Info), Successors: refsOf(s.Successors), Fingers: fingersOf(s),
		Suspects: refsOf(s.Suspects), Lost: refsOf(s.Lost),
		Term: s.Claim.Term.Number, Serving: s.Serving, Whole: s.Whole,
		Holders: make([]Holder, 0, len(s.Holders)), Backs: make([]Backed, 0, len(s.Holdings)),
		Keys: s.Keys, Held: s.Held, Bytes: s.Bytes, Limit: s.Limit,
		TakeOvers: s.TakeOvers, HandOffs: s.HandOffs, TakenEmpty: s.TakenEmpty, Overwritten: s.Overwritten,
	}
	if !s.Predecessor.None() {
		p := refOf(s.Predecessor)
		st.Predecessor = &p
	}
	if !s.Claim.Owner.None() {
		owns := spanOf(s.Claim.Span)
		st.Owns = &owns
	}
	for _, h := range s.Holders {
		st.Holders = append(st.Holders, Holder{refOf(h.Node), h.Complete})
	}
	for _, h := range s.Holdings {
		st.Backs = append(st.Backs, Backed{spanOf(h.Span), refOf(h.Claim.Owner), h.Complete})
	}
	return st
}

// fingersOf are the fingers that are known, each once for those that follow each other.
func fingersOf(s link.Status) []Finger {
	fingers := []Finger{}
	for k, f := range s.Fingers {
		if !f.None() && (k == 0 || f != s.Fingers[k-1]) {
			fingers = append(fingers, Finger{k, place.Circle(s.Bits).Plus(s.Self.Place, k).String(), refOf(f)})
		}
	}
	return fingers
}

// compareIDs orders identifiers as numbers.
func compareIDs(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

func sortRefs(refs []NodeRef) {
	slices.SortFunc(refs, func(a, b NodeRef) int {
		return cmp.Or(compareIDs(a.ID, b.ID), cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.Boot, b.Boot))
	})
}
