package link

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

func testEntry(i int) msg.Entry {
	return msg.Entry{
		Key: fmt.Sprintf("key-%011d", i), Value: make([]byte, 100), Marks: 1, Version: uint64(1000 + i),
	}
}

// writes is a batch of n writes of clients, values of 100 bytes.
func writes(n int) *msg.Batch {
	m := &msg.Batch{Epoch: slots.Epoch{Term: 1 << 60, Boot: 1 << 60, Counter: 12}, First: 1 << 20}
	for i := range n {
		m.Items = append(m.Items, msg.Item{
			Slot: slots.Slot(i), Seq: uint64(1000 + i), Entry: testEntry(i),
			Op: msg.Op{Client: 1 << 60, Number: uint64(1000 + i), Oldest: 1000, Version: 9, At: 1 << 60},
		})
	}
	return m
}

// chunk is a fill's batch of n entries.
func chunk(n int) *msg.Batch {
	it := msg.Item{Kind: msg.Chunk, Slot: 7, Seq: 1000}
	for i := range n {
		it.Entries = append(it.Entries, testEntry(i))
	}
	return &msg.Batch{Epoch: slots.Epoch{Term: 1 << 60, Boot: 1 << 60, Counter: 12}, First: 1 << 20, Items: []msg.Item{it}}
}

const chunkEntries = 300

func BenchmarkEncodeChunk(b *testing.B) {
	m := chunk(chunkEntries)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		weight(m) // as Send does
		buf = appendBatch(buf[:0], m)
	}
	perEntry(b)
}

func BenchmarkDecodeChunk(b *testing.B) {
	buf := appendBatch(nil, chunk(chunkEntries))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeBatch(buf); err != nil {
			b.Fatal(err)
		}
	}
	perEntry(b)
}

// The generated code, for comparison.

func BenchmarkEncodeChunkGenerated(b *testing.B) {
	m := chunk(chunkEntries)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = proto.MarshalOptions{}.MarshalAppend(buf[:0], batchToPB(m))
	}
	perEntry(b)
}

func BenchmarkDecodeChunkGenerated(b *testing.B) {
	buf := appendBatch(nil, chunk(chunkEntries))
	b.ReportAllocs()
	for b.Loop() {
		var w pb.Batch
		if err := proto.Unmarshal(buf, &w); err != nil {
			b.Fatal(err)
		}
		batchFromPB(&w)
	}
	perEntry(b)
}

func perEntry(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunkEntries, "ns/entry")
}
