package link

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
)

const chunkEntries = 300

// chunk is a fill's batch of n entries.
func chunk(n int) *msg.Batch {
	it := msg.Item{Kind: msg.Chunk, Nonce: 1 << 60, Span: msg.Span{From: anywhere.OfKey("a"), To: anywhere.OfKey("b")}}
	for _, w := range batchOfWrites(n, 100).Items {
		it.Entries = append(it.Entries, w.Entry)
	}
	return &msg.Batch{First: 1 << 20, Items: []msg.Item{it}}
}

func BenchmarkEncode(b *testing.B) {
	for name, m := range batches() {
		b.Run(name, func(b *testing.B) {
			c, f := newCodec(), &frame{msgs: []msg.Message{m}}
			b.ReportAllocs()
			for b.Loop() {
				out, err := c.Marshal(f)
				if err != nil {
					b.Fatal(err)
				}
				out.Free()
			}
			perEntry(b)
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, m := range batches() {
		b.Run(name, func(b *testing.B) {
			raw := encoded(b, &frame{msgs: []msg.Message{m}})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decoded(raw); err != nil {
					b.Fatal(err)
				}
			}
			perEntry(b)
		})
	}
}

func batches() map[string]*msg.Batch {
	return map[string]*msg.Batch{"chunk": chunk(chunkEntries), "writes": batchOfWrites(chunkEntries, 100)}
}

func perEntry(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunkEntries, "ns/entry")
}

// twoMeshes connects two both ways. One acknowledges batches that come to it; the
// events of the other are returned.
func twoMeshes(b *testing.B) (m *Mesh, to ring.Ref, acked <-chan Event) {
	var loops sync.WaitGroup
	var meshes []*Mesh
	var ins []chan Event
	for id := range int64(2) {
		l := listen(b, "127.0.0.1:0")
		in := make(chan Event, 64)
		m := NewMesh(Config{Ring: theRing, Bits: 8, Self: refOf(id, uint64(id+1), l.Addr().String()), Calls: answers{}, Events: in})
		loops.Go(func() {
			if err := m.Serve(l); err != nil {
				b.Error(err)
			}
		})
		meshes, ins = append(meshes, m), append(ins, in)
	}
	stop := make(chan struct{})
	loops.Go(func() {
		for {
			select {
			case e := <-ins[1]:
				if r, ok := e.(Received); ok {
					for _, m := range r.Msgs {
						meshes[1].Send(r.From, &msg.Ack{Upto: m.(*msg.Batch).First})
					}
				}
			case <-stop:
				return
			}
		}
	})
	b.Cleanup(func() {
		for _, m := range meshes {
			m.Close()
		}
		close(stop)
		loops.Wait()
	})
	meshes[0].Send(meshes[1].cfg.Self, &msg.Batch{First: 1})
	for answered(<-ins[0]) == 0 {
		continue
	}
	return meshes[0], meshes[1].cfg.Self, ins[0]
}

func answered(e Event) int {
	r, _ := e.(Received)
	return len(r.Msgs)
}

// BenchmarkRoundTrip is a write's way: a batch of 10, and its acknowledgement.
func BenchmarkRoundTrip(b *testing.B) {
	m, to, acked := twoMeshes(b)
	batch := batchOfWrites(10, 100)
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begun := time.Now()
		m.Send(to, batch)
		<-acked
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/median")
}

// BenchmarkChunks is a fill: chunks as they are acknowledged, 16 on their way.
func BenchmarkChunks(b *testing.B) {
	m, to, acked := twoMeshes(b)
	batch := chunk(chunkEntries)
	b.ReportAllocs()
	away := 0
	for b.Loop() {
		m.Send(to, batch)
		for away++; away > 16; {
			away -= answered(<-acked)
		}
	}
	for away > 0 {
		away -= answered(<-acked)
	}
	b.ReportMetric(float64(b.N)*chunkEntries/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkInfo is what a program does that asks once: connect, ask, close.
func BenchmarkInfo(b *testing.B) {
	s := start(b, 1)
	for b.Loop() {
		c, err := NewClient(s.ref.Addr, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Info(b.Context()); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
