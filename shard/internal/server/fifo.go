package server

// fifo is a queue that keeps its room. The zero value is empty.
type fifo[T any] struct {
	ring  []T // its length is 0 or a power of two
	first int
	n     int
}

func (f *fifo[T]) len() int { return f.n }

// at returns the i-th from the front. It is good until the next push or pop.
func (f *fifo[T]) at(i int) *T { return &f.ring[(f.first+i)&(len(f.ring)-1)] }

func (f *fifo[T]) push(v T) {
	if f.n == len(f.ring) {
		ring := make([]T, max(4, 2*f.n))
		for i := range f.n {
			ring[i] = *f.at(i)
		}
		f.ring, f.first = ring, 0
	}
	f.n++
	*f.at(f.n - 1) = v
}

// pop removes the one in front. A large ring that has become empty is let go.
func (f *fifo[T]) pop() (v T) {
	at := f.at(0)
	v, *at = *at, v
	f.first++
	if f.n--; f.n == 0 {
		if f.first = 0; len(f.ring) > keepRing {
			f.ring = nil
		}
	}
	return v
}

// keepRing is how long a ring may be that is kept although it is empty.
const keepRing = 1024
