package chord

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/torc-dht/torc/chord/internal/link"
)

func refFor(id int) NodeRef {
	return NodeRef{ID: fmt.Sprint(id), Addr: fmt.Sprintf("127.0.0.1:%d", 7000+id), Boot: uint64(id)}
}

// sees is a node that names others: its successors, and behind a 0 its suspects.
func sees(id int, others ...int) Status {
	st := Status{Info: Info{NodeRef: refFor(id), Ring: "a"}}
	to := &st.Successors
	for _, o := range others {
		if o == 0 {
			to = &st.Suspects
			continue
		}
		*to = append(*to, refFor(o))
	}
	return st
}

// A walk finds everybody who is named, asks each once, and tells who is missing.
func TestWalk(t *testing.T) {
	t.Parallel()
	nodes := map[int]Status{
		1: sees(1, 32), 32: sees(32, 35, 99), 35: sees(35, 99), 99: sees(99, 136, 1, 0, 35), 136: sees(136, 200, 1),
	}
	first := refFor(200)
	nodes[136].Successors[0] = first
	predecessor := refFor(150)
	changed := nodes[1]
	changed.Predecessor = &predecessor
	nodes[1] = changed
	reborn := sees(150, 1)
	reborn.Boot = 1500

	w, asked := newRingWalk(nodes[1]), map[NodeRef]int{}
	for ask := w.ask(); len(ask) > 0; ask = w.ask() {
		for _, ref := range ask {
			asked[ref]++
			switch st, ok := nodes[int(ref.Boot)]; {
			case ok:
				w.note(ref, statusAnswer{status: st})
			case ref.ID == "150":
				w.note(ref, statusAnswer{status: reborn})
			default:
				w.note(ref, statusAnswer{err: fmt.Errorf("%s: %w", ref.Addr, link.ErrRefused)})
			}
		}
	}
	for ref, n := range asked {
		if n != 1 {
			t.Errorf("%v was asked %d times", ref, n)
		}
	}
	r := w.ring()
	var ids []string
	for _, st := range r.Nodes {
		ids = append(ids, st.ID)
	}
	if want := []string{"1", "32", "35", "99", "136", "150"}; !slices.Equal(ids, want) {
		t.Errorf("nodes are %v, want %v", ids, want)
	}
	if len(r.Missing) != 2 || r.Missing[0].ID != "150" || r.Missing[1].ID != "200" || r.Missing[0].Reason != errReplaced.Error() ||
		r.Missing[1].Reason != link.ErrRefused.Error() || !slices.Equal(r.Missing[1].ListedBy, []string{"136"}) || len(r.Missing[1].SuspectedBy) != 0 {
		t.Errorf("missing are %+v", r.Missing)
	}
}

// Who listens where a node was, and is of another ring, is no part of this one.
func TestWalkStaysInItsRing(t *testing.T) {
	t.Parallel()
	w := newRingWalk(sees(1, 32, 35))
	other := sees(32, 77)
	other.Ring, other.Boot = "b", 9
	silent := errors.New("anything")
	for ask := w.ask(); len(ask) > 0; ask = w.ask() {
		for _, ref := range ask {
			if ref.ID == "32" {
				w.note(ref, statusAnswer{status: other})
			} else {
				w.note(ref, statusAnswer{err: silent})
			}
		}
	}
	if r := w.ring(); len(r.Nodes) != 1 || len(r.Missing) != 2 || r.Missing[1].Reason != "anything" {
		t.Errorf("seen are %+v", r)
	}
}
