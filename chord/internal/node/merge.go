package node

import (
	"math"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/data"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// merge is a span that another node owned beside this one, for a while. It isn't
// served until what both have is compared.
type merge struct {
	with  *peer
	spans []msg.Span
	until time.Duration
}

// compare has spans wait for what p has of them.
func (n *Node) compare(p *peer, spans []msg.Span) {
	until := n.runs + n.c.silence()
	for i := range n.merges {
		if n.merges[i].with == p {
			return
		}
	}
	n.merges = append(n.merges, merge{p, spans, until})
}

// comparing tells whether p waits to be compared.
func (n *Node) comparing(p place.Place) bool {
	if len(n.merges) == 0 {
		return false
	}
	n.merges = slices.DeleteFunc(n.merges, func(m merge) bool { return n.runs >= m.until || n.gone(m.with.ref) })
	return slices.ContainsFunc(n.merges, func(m merge) bool {
		return slices.ContainsFunc(m.spans, func(s msg.Span) bool { return covers(s, p) })
	})
}

// fork is what a node had when it was not the only owner: it is to be compared with
// what there is now.
type fork struct {
	entries []msg.Entry
	records []msg.Record
}

// fork notes what there is of spans.
func (n *Node) fork(spans []msg.Span) {
	for _, s := range spans {
		entries, records, _, _ := n.data.Scan(s, data.Cursor{}, math.MaxInt)
		n.forked.entries = append(n.forked.entries, entries...)
		n.forked.records = append(n.forked.records, records...)
	}
}

// unsent takes back what p was to compare.
func (n *Node) unsent(p *peer) {
	back := func(entries []msg.Entry, records []msg.Record) {
		n.forked.entries = append(n.forked.entries, entries...)
		n.forked.records = append(n.forked.records, records...)
	}
	for i := range p.queue.all() {
		if it := &p.queue.at(i).item; it.Kind == msg.Chunk && it.Purpose == msg.ToMerge {
			back(it.Entries, it.Records)
		}
	}
	for _, f := range p.fills {
		if f.purpose == msg.ToMerge {
			back(f.entries, f.records)
		}
	}
	for _, f := range p.merged {
		if n.runs < f.until {
			back(f.all.entries, f.all.records)
		}
	}
	p.merged = nil
}

// forward sends what was forked to its owners, as far as they are known.
func (n *Node) forward() {
	if len(n.forked.entries)+len(n.forked.records) == 0 {
		return
	}
	all := n.forked
	n.forked = fork{}
	var owners []ring.Ref
	parts := make(map[ring.Ref]*fill)
	part := func(at place.Place) *fill {
		o, known := n.Owner(at)
		if !known || !n.alive(o.Node) {
			return nil
		}
		f := parts[o.Node]
		if f == nil {
			f = &fill{number: n.draw(), purpose: msg.ToMerge, span: o.Span}
			parts[o.Node] = f
			owners = append(owners, o.Node)
		}
		return f
	}
	for _, e := range all.entries {
		if f := part(n.c.Circle.OfKey(e.Key)); f != nil {
			f.entries = append(f.entries, e)
		} else {
			n.forked.entries = append(n.forked.entries, e)
		}
	}
	for _, r := range all.records {
		if f := part(r.Place); f != nil {
			f.records = append(f.records, r)
		} else {
			n.forked.records = append(n.forked.records, r)
		}
	}
	if n.tracing == 0 && len(n.forked.entries) > 0 {
		n.trace(n.c.Circle.OfKey(n.forked.entries[0].Key))
	}
	for _, r := range owners {
		f := parts[r]
		if r == n.c.Self {
			n.mergeIn(f.entries, f.records)
			continue
		}
		p := n.peer(r)
		p.push(queued{item: msg.Item{Kind: msg.Begin, Purpose: msg.ToMerge, Span: f.span, Nonce: f.number}})
		f.all = fork{f.entries, f.records}
		p.fills = append(p.fills, f)
	}
}

// mergeBegins has c's span wait until p has sent all that it has of it.
func (n *Node) mergeBegins(p *peer, it *msg.Item) {
	if n.own == nil {
		return
	}
	n.merges = slices.DeleteFunc(n.merges, func(m merge) bool { return m.with == p })
	n.merges = append(n.merges, merge{p, overlap(n.c.Circle, n.own.claim.Span, it.Span), n.runs + 10*n.c.silence()})
}

func (n *Node) mergeChunk(_ *peer, it *msg.Item) {
	n.mergeIn(it.Entries, it.Records)
}

func (n *Node) mergeEnds(p *peer) {
	n.merges = slices.DeleteFunc(n.merges, func(m merge) bool { return m.with == p })
	n.unpark = true
}

// mergeIn compares entries with what there is: the later ones are written anew. A
// write that is known here by its number is not written twice.
func (n *Node) mergeIn(entries []msg.Entry, records []msg.Record) {
	for i := range entries {
		e := entries[i]
		n.saw(e.Stamp)
		at := n.c.Circle.OfKey(e.Key)
		if n.own == nil || !covers(n.own.claim.Span, at) {
			n.forked.entries = append(n.forked.entries, e) // its owner is another one by now
			continue
		}
		have := n.data.Get([]byte(e.Key))
		if have != nil && have.Stamp == e.Stamp {
			continue
		}
		_, known, _ := n.data.Recall(e.By)
		switch {
		case known && (have == nil || have.By != e.By):
			// It was carried out here as well, and something else came after it.
			n.counts.Merged++
		case have != nil && have.Stamp > e.Stamp:
			n.counts.Overwritten++
		default:
			if have != nil {
				n.counts.Overwritten++
			}
			n.counts.Merged++
			n.number(at, e, 0)
		}
	}
	for i := range records {
		if _, known, _ := n.data.Recall(records[i].Op); !known && n.own != nil && covers(n.own.claim.Span, records[i].Place) {
			n.carryOut(msg.Entry{}, records[i])
		}
	}
}
