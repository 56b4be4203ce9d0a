package sim

import (
	"fmt"
	"strings"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/node"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/internal/simnet"
)

// view is what the judge looks at of a process.
type view struct{ node.Status }

func (n *process) view() view { return view{n.core.Status()} }

func (n *process) serves(p place.Place) bool { return n.core.Serves(n.time(), p) }

// holders are where the copies are that are complete.
func (v view) holders() (all []simnet.Addr) {
	for _, h := range v.Holders {
		if h.Complete {
			all = append(all, simnet.Addr(h.Node.Addr))
		}
	}
	return all
}

func (v view) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: predecessor %s, list %s, owns %s, serving %v, firm %v, holders", name(v.Self), name(v.Predecessor), names(v.Successors), claim(v.Status.Claim), v.Serving, v.Firm)
	for _, h := range v.Holders {
		fmt.Fprintf(&b, " %s %v", name(h.Node), h.Complete)
	}
	if v.Gap != nil {
		fmt.Fprintf(&b, ", gap %s", span(*v.Gap))
	}
	b.WriteString(", holds")
	for _, h := range v.Holdings {
		fmt.Fprintf(&b, " [%s of %s seq %d complete %v]", span(h.Span), claim(h.Claim), h.Seq, h.Complete)
	}
	fmt.Fprintf(&b, ", suspects %s, remembers %s, %+v", names(v.Suspects), names(v.Remembered), v.Counts)
	return b.String()
}

// dump prints what a node has of a span. Of the writes that it would know again those
// count that their clients might yet repeat.
func (w *world) dump(n *process, s msg.Span) string {
	entries, records := n.core.Dump(s)
	var b strings.Builder
	for _, e := range entries {
		if !e.Removed {
			fmt.Fprintf(&b, "\t%s = %.20q stamp %d\n", e.Key, e.Value, e.Stamp)
		}
	}
	for _, r := range records {
		if i := int(r.Op.Client) - 1; i < len(w.clients) && r.Op.Number < w.clients[i].number {
			continue
		}
		fmt.Fprintf(&b, "\top %d.%d: stamp %d refusal %d\n", r.Op.Client, r.Op.Number, r.Stamp, r.Refusal)
	}
	return b.String()
}
