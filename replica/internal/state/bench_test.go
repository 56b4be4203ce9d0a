package state

import (
	"fmt"
	"testing"

	"github.com/torc-dht/torc/replica/internal/msg"
)

const benchKeys = 100_000

// filled returns a state of benchKeys entries with values of 100 bytes.
func filled() (*State, []string) {
	s := New(Limits{Bytes: 1 << 30})
	keys := make([]string, benchKeys)
	for i := range keys {
		// The order in which they come has nothing to do with their own.
		keys[i] = fmt.Sprintf("customer-%08x", uint32(i)*2654435761)
		s.Apply(1, 0, &msg.Op{Kind: msg.Put, Key: keys[i], Value: make([]byte, 100)})
	}
	return s, keys
}

// load writes as many clients do, each one thing after another, 35,000 in each
// second of the log.
type load struct {
	s    *State
	keys []string
	n    uint64
	op   msg.Op
}

func newLoad() *load {
	l := &load{op: msg.Op{Kind: msg.Put, Value: make([]byte, 100)}}
	l.s, l.keys = filled()
	return l
}

func (l *load) write(clients uint64) {
	l.n++
	l.op.ID = msg.OpID{Client: 1 + l.n%clients, Seq: 1 + l.n/clients, Acked: l.n / clients}
	l.op.Key = l.keys[l.n*7919%benchKeys]
	l.s.Apply(1, l.n*1_000_000/35_000, &l.op)
}

// What a write costs: by 64 clients that go on; by clients that each come once, so
// that a million records stand; with an image taken each second, and each tenth.
func BenchmarkApply(b *testing.B) {
	for _, c := range []struct {
		name    string
		clients uint64
		image   uint64 // every so many writes
	}{
		{"64 clients", 64, 0},
		{"once each", 1 << 60, 0},
		{"image each second", 64, 35_000},
		{"image each 100 ms", 64, 3_500},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newLoad()
			b.ReportAllocs()
			for b.Loop() {
				l.write(c.clients)
				if c.image != 0 && l.n%c.image == 0 {
					l.s.Image()
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s, keys := filled()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i = (i + 7919) % benchKeys
		if !s.Get(keys[i]).Found {
			b.Fatal(keys[i])
		}
	}
}

func BenchmarkImage(b *testing.B) {
	l := newLoad()
	b.Run("take", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.s.Image()
		}
	})
	whole := all(l.s.Image(), 1<<20)
	b.Run("chunks", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(whole)))
		for b.Loop() {
			im := l.s.Image()
			for last := false; !last; {
				_, last = im.Next(256 << 10)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(whole)))
		for b.Loop() {
			if _, err := reload(l.s, 256<<10); err != nil {
				b.Fatal(err)
			}
		}
	})
}
