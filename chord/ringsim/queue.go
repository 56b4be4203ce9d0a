package ringsim

import (
	"time"

	"github.com/torc-dht/torc/chord/internal/ring"
)

// event is a message that arrives, or with none a node's alarm.
type event struct {
	at  time.Duration
	seq uint64
	to  *Node
	m   *ring.Message
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// queue is the events to come, the soonest first: a heap with four children a node.
type queue struct {
	heap []event
	seq  uint64
}

func (q *queue) len() int      { return len(q.heap) }
func (q *queue) first() *event { return &q.heap[0] }

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	i := len(q.heap)
	q.heap = append(q.heap, e)
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = e
}

func (q *queue) pop() event {
	top := q.heap[0]
	last := len(q.heap) - 1
	e := q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	if last == 0 {
		return top
	}
	for i := 0; ; {
		best, from := -1, 4*i+1
		for k := from; k < min(from+4, last); k++ {
			if best < 0 || q.heap[k].before(&q.heap[best]) {
				best = k
			}
		}
		if best < 0 || !q.heap[best].before(&e) {
			q.heap[i] = e
			return top
		}
		q.heap[i] = q.heap[best]
		i = best
	}
}
