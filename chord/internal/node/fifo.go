package node

// fifo is a queue that gives its room back.
type fifo[T any] struct {
	items []T
	first int
}

func (q *fifo[T]) len() int    { return len(q.items) - q.first }
func (q *fifo[T]) push(v T)    { q.items = append(q.items, v) }
func (q *fifo[T]) at(i int) *T { return &q.items[q.first+i] }
func (q *fifo[T]) all() []T    { return q.items[q.first:] }

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.first]
	q.items[q.first] = zero
	q.first++
	if q.first*2 >= len(q.items) && q.first > 32 || q.first == len(q.items) {
		rest := copy(q.items, q.items[q.first:])
		clear(q.items[rest:])
		q.items, q.first = q.items[:rest], 0
	}
	return v
}
