package node

import (
	"github.com/torc-dht/torc/chord/internal/data"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// Serves tells whether the node would answer a call at p now. It changes nothing: a
// test asks it of all nodes at any time, to see that no two say so.
func (n *Node) Serves(now Time, p place.Place) bool {
	if now.Mono-n.now.Mono > int64(n.c.PingEvery) && !n.c.Bugs.NoAsking {
		return false // it will find that it was frozen
	}
	was := n.now
	n.now.Mono = max(now.Mono, was.Mono)
	_, r := n.ready(p)
	n.now = was
	return r == yes
}

// Dump returns all that the node has of a span, whether it owns it or not, in order of
// places.
func (n *Node) Dump(s msg.Span) ([]msg.Entry, []msg.Record) {
	entries, records, _, _ := n.data.Scan(s, data.Cursor{}, int(^uint(0)>>1))
	return entries, records
}
