package simnet

// eventKind says what an event is, and in its comments which fields count.
type eventKind uint8

const (
	evHead     eventKind = iota // the next entry of a connection's queue is due: slot, id, dir
	evSilence                   // an end of a connection gives up on a silent peer: slot, id, dir the end, gen
	evAlarm                     // a node's alarm is due: node, id the incarnation
	evDial                      // a node tries to connect: node, slot the peer, gen the dial's
	evAttempt                   // such an attempt arrives at the peer: node, slot the peer, gen
	evDialFail                  // the dialer learns that it failed: node, slot the peer, gen, dir why
	evDatagram                  // a datagram arrives: node, slot of the datagram
	evCall                      // a function runs as an event of a node: node, slot of the function, id the incarnation
	evFunc                      // a function of the driver runs: slot of the function
)

// event is something due at a time.
type event struct {
	at   int64  // nanoseconds of virtual time
	seq  uint64 // order among events of one time: as they were made
	id   uint64
	node int32
	slot int32
	gen  uint32
	kind eventKind
	dir  uint8
}

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// queue is the events to come, the soonest first: a heap with four children a
// node, by value, so that it allocates only while it grows.
type queue struct {
	heap []event
	seq  uint64
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	h, i := q.heap, len(q.heap)-1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

// pop removes the soonest event. There must be one.
func (q *queue) pop() event {
	h := q.heap
	top, n := h[0], len(h)-1
	last := h[n]
	q.heap = h[:n]
	if n == 0 {
		return top
	}
	h = h[:n]
	i := 0
	for {
		child := 4*i + 1
		if child >= n {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, n); c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if !h[least].before(&last) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return top
}

// slab keeps values that events refer to by number, and uses numbers again.
type slab[T any] struct {
	values []T
	free   []int32
}

func (s *slab[T]) put(v T) int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.values[i] = v
		return i
	}
	s.values = append(s.values, v)
	return int32(len(s.values) - 1)
}

func (s *slab[T]) take(i int32) T {
	var zero T
	v := s.values[i]
	s.values[i] = zero
	s.free = append(s.free, i)
	return v
}
