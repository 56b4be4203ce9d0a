package chord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/torc-dht/torc/chord/internal/link"
)

const (
	// askAtOnce is how many nodes a walk asks at the same time.
	askAtOnce = 16
	// askWithin is how long it waits for each of them.
	askWithin = 2 * time.Second
)

// Ring is the nodes of a ring, as each of them sees it.
type Ring struct {
	Ring     string `json:"ring"` // in hexadecimal
	Bits     int    `json:"bits"`
	Replicas int    `json:"replicas"`
	// Nodes in order of their identifiers.
	Nodes []Status `json:"nodes"`
	// Missing are nodes that others name but that don't answer as such, in order.
	Missing []Missing `json:"missing"`
}

// Missing is a node that others name, and that does not answer.
type Missing struct {
	NodeRef
	// SuspectedBy are the identifiers of those who know that it doesn't answer.
	SuspectedBy []string `json:"suspected_by"`
	// ListedBy are those of whom it is a predecessor, a successor or a finger.
	ListedBy []string `json:"listed_by"`
	// Reason is why it is taken to be missing.
	Reason string `json:"reason"`
}

// Ring asks the node at addr, and everybody that is named by who was asked, how they
// are. It takes a round of questions for each step from one to the next by fingers;
// what changes meanwhile may show in a part of it only. It fails if the first node
// doesn't answer.
func (a *Admin) Ring(ctx context.Context, addr string) (Ring, error) {
	first, err := a.Status(ctx, addr)
	if err != nil {
		return Ring{}, err
	}
	w := newRingWalk(first)
	for ask := w.ask(); len(ask) > 0; ask = w.ask() {
		answers := make([]statusAnswer, len(ask))
		var asking sync.WaitGroup
		turn := make(chan struct{}, askAtOnce)
		for i, ref := range ask {
			asking.Go(func() {
				turn <- struct{}{}
				defer func() { <-turn }()
				ctx, cancel := context.WithTimeout(ctx, askWithin)
				defer cancel()
				answers[i].status, answers[i].err = a.Status(ctx, ref.Addr)
			})
		}
		asking.Wait()
		if err := ctx.Err(); err != nil {
			return Ring{}, fmt.Errorf("the ring of %s: %w", addr, err)
		}
		for i, ref := range ask {
			w.note(ref, answers[i])
		}
	}
	return w.ring(), nil
}

// statusAnswer is what came of asking a node.
type statusAnswer struct {
	status Status
	err    error
}

// ringWalk is one around a ring.
type ringWalk struct {
	of      Ring
	nodes   map[uint64]Status // by boot
	missing map[NodeRef]error
	next    []NodeRef
	seen    map[NodeRef]bool
}

func newRingWalk(first Status) *ringWalk {
	w := &ringWalk{
		of:    Ring{Ring: first.Ring, Bits: first.Bits, Replicas: first.Replicas, Nodes: []Status{}, Missing: []Missing{}},
		nodes: map[uint64]Status{}, missing: map[NodeRef]error{}, seen: map[NodeRef]bool{first.NodeRef: true},
	}
	w.note(first.NodeRef, statusAnswer{status: first})
	return w
}

// ask returns who is to be asked next.
func (w *ringWalk) ask() (refs []NodeRef) {
	refs, w.next = w.next, nil
	return refs
}

// errReplaced is why a life of a node is over.
var errReplaced = errors.New("another process listens there")

// note takes what came of asking ref.
func (w *ringWalk) note(ref NodeRef, a statusAnswer) {
	st := a.status
	switch {
	case a.err != nil:
		w.missing[ref] = a.err
		return
	case st.NodeRef != ref:
		w.missing[ref] = errReplaced
		if st.Ring != w.of.Ring || w.seen[st.NodeRef] {
			return
		}
		w.seen[st.NodeRef] = true
	}
	w.nodes[st.Boot] = st
	for _, r := range append(listed(st), st.Suspects...) {
		if !w.seen[r] {
			w.seen[r] = true
			w.next = append(w.next, r)
		}
	}
}

// listed are all that a node takes for members.
func listed(st Status) []NodeRef {
	all := slices.Clone(st.Successors)
	if st.Predecessor != nil {
		all = append(all, *st.Predecessor)
	}
	for _, f := range st.Fingers {
		all = append(all, f.Node)
	}
	return all
}

// ring is what was seen.
func (w *ringWalk) ring() Ring {
	for _, st := range w.nodes {
		w.of.Nodes = append(w.of.Nodes, st)
	}
	slices.SortFunc(w.of.Nodes, func(a, b Status) int { return compareIDs(a.ID, b.ID) })
	var refs []NodeRef
	for ref := range w.missing {
		refs = append(refs, ref)
	}
	sortRefs(refs)
	for _, ref := range refs {
		m := Missing{NodeRef: ref, Reason: reasonOf(w.missing[ref]), SuspectedBy: []string{}, ListedBy: []string{}}
		for _, st := range w.of.Nodes {
			if slices.Contains(st.Suspects, ref) {
				m.SuspectedBy = append(m.SuspectedBy, st.ID)
			}
			if slices.Contains(listed(st), ref) {
				m.ListedBy = append(m.ListedBy, st.ID)
			}
		}
		w.of.Missing = append(w.of.Missing, m)
	}
	return w.of
}

// reasonOf says in a few words why a node doesn't answer.
func reasonOf(err error) string {
	for _, known := range []error{link.ErrRefused, link.ErrSilent, link.ErrForeign, link.ErrVersion, errReplaced} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return link.ErrSilent.Error()
	}
	return err.Error()
}
