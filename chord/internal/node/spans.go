package node

import (
	"slices"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

func covers(s msg.Span, p place.Place) bool { return place.Between(s.From, p, s.To) }

// split cuts a at the ends of b: the pieces of a that are in b, and those that aren't,
// clockwise.
func split(c place.Circle, a, b msg.Span) (in, out []msg.Span) {
	pieces := cut(c, a, b.From, b.To)
	for _, p := range pieces {
		if covers(b, p.To) {
			in = join(in, p)
		} else {
			out = join(out, p)
		}
	}
	return in, out
}

// join appends p, or makes the last span longer if p begins where it ends.
func join(all []msg.Span, p msg.Span) []msg.Span {
	if n := len(all); n > 0 && all[n-1].To == p.From && all[n-1].From != p.From {
		all[n-1].To = p.To
		return all
	}
	return append(all, p)
}

// cut cuts a at each of the places that lie within it.
func cut(c place.Circle, a msg.Span, at ...place.Place) []msg.Span {
	var inner []place.Place
	for _, p := range at {
		if p != a.From && p != a.To && covers(a, p) {
			inner = append(inner, p)
		}
	}
	slices.SortFunc(inner, func(p, q place.Place) int { return c.Distance(a.From, p).Compare(c.Distance(a.From, q)) })
	inner = slices.Compact(inner)
	pieces := make([]msg.Span, 0, len(inner)+1)
	from := a.From
	for _, p := range inner {
		pieces = append(pieces, msg.Span{From: from, To: p})
		from = p
	}
	return append(pieces, msg.Span{From: from, To: a.To})
}

func overlap(c place.Circle, a, b msg.Span) []msg.Span {
	in, _ := split(c, a, b)
	return in
}

// within tells whether all of a is in b.
func within(c place.Circle, a, b msg.Span) bool {
	_, out := split(c, a, b)
	return len(out) == 0
}
