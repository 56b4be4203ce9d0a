package ringsim

import "time"

// grain is the unit of time: what happens in one is in the order in which it was made
// known, and nothing is sorted.
const grain = 100 * time.Microsecond

// slots is how many grains ahead are a list each. Messages are on their way for less;
// most alarms for longer.
const slots = 1 << 10

// event is a message that arrives at a node, the node's alarm, or a call.
type event struct {
	at      int64 // in grains
	node    int32 // its index
	message int32 // its index, or one of the following
}

const (
	alarm = -1
	call  = -2 // of a function, whose index node is
)

// queue is the events to come, the soonest first: lists for what is near, a heap for
// the rest.
type queue struct {
	now   int64 // in grains
	near  [slots][]event
	read  int // how many of now's list are done with
	count int // in near
	far   heap
}

// grains is the first grain at or after t.
func grains(t time.Duration) int64 { return int64((t + grain - 1) / grain) }

// push takes an event that isn't before now.
func (q *queue) push(e event) {
	if e.at-q.now >= slots {
		q.far.push(e)
		return
	}
	list := &q.near[e.at%slots]
	*list = append(*list, e)
	q.count++
}

// pop returns the next event up to until; without one, until is now.
func (q *queue) pop(until int64) (e event, is bool) {
	for {
		list := &q.near[q.now%slots]
		if q.read < len(*list) {
			e = (*list)[q.read]
			q.read++
			q.count--
			return e, true
		}
		if q.now >= until {
			return event{}, false
		}
		*list, q.read = (*list)[:0], 0
		q.now++
		if q.count == 0 {
			q.now = until
			if len(q.far) > 0 {
				q.now = min(until, q.far[0].at)
			}
		}
		for len(q.far) > 0 && q.far[0].at-q.now < slots {
			q.push(q.far.pop())
		}
	}
}

// heap has the soonest event first, and four children a node.
type heap []event

func (h *heap) push(e event) {
	i := len(*h)
	*h = append(*h, e)
	for i > 0 {
		up := (i - 1) / 4
		if e.at >= (*h)[up].at {
			break
		}
		(*h)[i] = (*h)[up]
		i = up
	}
	(*h)[i] = e
}

func (h *heap) pop() event {
	a := *h
	top, last := a[0], len(a)-1
	e := a[last]
	a = a[:last]
	*h = a
	if last == 0 {
		return top
	}
	for i := 0; ; {
		best, from := -1, 4*i+1
		for k := from; k < min(from+4, last); k++ {
			if best < 0 || a[k].at < a[best].at {
				best = k
			}
		}
		if best < 0 || a[best].at >= e.at {
			a[i] = e
			return top
		}
		a[i] = a[best]
		i = best
	}
}
