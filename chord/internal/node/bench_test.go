package node

import (
	"fmt"
	"testing"

	"github.com/torc-dht/torc/chord/internal/msg"
)

// BenchmarkGet is a read by the owner, out of 100,000 keys.
func BenchmarkGet(b *testing.B) {
	r := newRig(b, 160, 1)
	n := r.start("1", nil)
	keys := make([][]byte, 100_000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key-%d", i)
		n.Do(r.time(), &Call{Keys: keys[i : i+1], Exec: &op{key: string(keys[i]), value: "v"}, Op: msg.OpID{Client: 1, Number: uint64(i + 1), Oldest: uint64(i + 1)}})
		n.Done()
	}
	get := &read{}
	c := &Call{Exec: get}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k := i * 7919 % len(keys)
		get.key = keys[k]
		*c = Call{Keys: keys[k : k+1], Exec: get}
		n.Do(r.time(), c)
		n.Done()
	}
	if get.found != b.N {
		b.Fatal(get.found, "of", b.N)
	}
}

// read is a read and nothing else.
type read struct {
	key   []byte
	found int
}

func (o *read) Execute(n *Node) uint8 {
	if _, ok := n.Get(o.key); ok {
		o.found++
	}
	return 1
}
func (o *read) Repeat(uint64, uint8) {}
func (o *read) Fail(Failure)         {}
