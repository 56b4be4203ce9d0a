package web

import (
	"sync"
	"sync/atomic"
)

// blockSize is the buffer that a connection has while a request arrives, and
// another while an answer is written: enough for what browsers send, and for
// dozens of requests of programs. What is longer is taken from the budget.
const blockSize = 4 << 10

type block [blockSize]byte

var blocks = sync.Pool{New: func() any { return new(block) }}

func newBlock() *block   { return blocks.Get().(*block) }
func freeBlock(b *block) { blocks.Put(b) }

// budget is the memory that all connections of a server may take together beyond
// their blocks.
type budget struct{ left atomic.Int64 }

// take takes n bytes, or none if there aren't as many.
func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

func (b *budget) give(n int) { b.left.Add(int64(n)) }
