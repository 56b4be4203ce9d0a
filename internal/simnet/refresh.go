package simnet

// What faults do is worked out from all that are in force whenever one comes or
// goes, so that in whatever order they overlap and end nothing is left over.

// refresh lets the network be as the faults in force have it, in the respect
// that f is about.
func (n *Network[M]) refresh(f *inForce) {
	switch f.Kind {
	case Cut, CutOneWay, Isolate, Split:
		n.refreshLinks()
	case Slow, Drop, Duplicate:
		n.shapers = n.shapers[:0]
		for _, g := range n.faults {
			switch g.Kind {
			case Slow, Drop, Duplicate:
				n.shapers = append(n.shapers, shaper{g.Kind, g.a, g.b, millionths(g.X)})
			}
		}
	case ClockRate, ClockStop:
		n.refreshClock(n.nodes[f.a])
	case Freeze:
		n.refreshFrozen(n.nodes[f.a])
	case Kill:
		n.refreshKilled(n.nodes[f.a])
	}
}

func (n *Network[M]) refreshLinks() {
	clear(n.cuts)
	n.splits = n.splits[:0]
	n.open = true
	for _, nd := range n.nodes {
		nd.isolated = false
	}
	for _, f := range n.faults {
		switch f.Kind {
		case Cut:
			n.cuts[[2]int32{f.a, f.b}], n.cuts[[2]int32{f.b, f.a}] = true, true
		case CutOneWay:
			n.cuts[[2]int32{f.a, f.b}] = true
		case Isolate:
			n.nodes[f.a].isolated = true
		case Split:
			n.splits = append(n.splits, n.groups(f.Groups))
		default:
			continue
		}
		n.open = false
	}
	n.rewire()
}

// groups returns the group of each node: 0 for those in none.
func (n *Network[M]) groups(groups [][]Addr) []int32 {
	of := make([]int32, len(n.nodes))
	for i, group := range groups {
		for _, a := range group {
			of[n.node(a).id] = int32(i + 1)
		}
	}
	return of
}

// reach tells whether anything passes from one node to another.
func (n *Network[M]) reach(from, to int32) bool {
	if n.open || from == to {
		return true
	}
	if n.nodes[from].isolated || n.nodes[to].isolated || n.cuts[[2]int32{from, to}] {
		return false
	}
	for _, group := range n.splits {
		if group[from] != group[to] {
			return false
		}
	}
	return true
}

func (n *Network[M]) refreshClock(nd *node[M]) {
	rate := int64(million)
	for _, f := range n.faults {
		if f.a != nd.id {
			continue
		}
		switch f.Kind {
		case ClockRate:
			rate = min(rate*millionths(f.X)/million, 1000*million)
		case ClockStop:
			rate = 0
		}
	}
	nd.clock.setRate(n.now, rate)
	n.setAlarm(nd)
}

func (n *Network[M]) refreshFrozen(nd *node[M]) {
	frozen := false
	for _, f := range n.faults {
		frozen = frozen || f.Kind == Freeze && f.a == nd.id && f.incarnation == nd.incarnation && nd.up
	}
	was := nd.frozen
	nd.frozen = frozen
	if was && !frozen {
		n.thaw(nd)
	}
}

func (n *Network[M]) refreshKilled(nd *node[M]) {
	for _, f := range n.faults {
		if f.Kind == Kill && f.a == nd.id {
			n.kill(nd)
			return
		}
	}
	n.Start(nd.addr)
}
