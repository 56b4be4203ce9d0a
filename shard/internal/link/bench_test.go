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
	buf := make([]byte, boundBatch(m))
	b.ReportAllocs()
	for b.Loop() {
		w := writer{buf, boundBatch(m)}
		w.batch(m)
	}
	perEntry(b)
}

func BenchmarkDecodeChunk(b *testing.B) {
	buf := encodeBatch(chunk(chunkEntries))
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
	buf := encodeBatch(chunk(chunkEntries))
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

// echo acknowledges what comes to s on conn, as a copy does.
func echo(s *started, conn *Conn, stop <-chan struct{}) {
	for {
		select {
		case e := <-s.events:
			if e, ok := e.(PeerMessages); ok {
				for _, m := range e.Msgs {
					if m, ok := m.(*msg.Batch); ok {
						conn.Send(&msg.Ack{Upto: m.First})
					}
				}
			}
		case <-stop:
			return
		}
	}
}

// twoServers connects two servers both ways: it returns what one sends on, and
// what it is told. The other acknowledges each batch.
func twoServers(b *testing.B) (*Conn, <-chan Event) {
	one, two := startServer(b, 1), startServer(b, 2)
	toTwo, up := startPeers(b, Options{})
	toTwo.Set([]Peer{{two.addr, 2}})
	conn := await[PeerUp](b, up).Conn

	events := make(chan Event, 64)
	toOne := NewPeers(Peer{two.addr, 2}, Options{}, events)
	b.Cleanup(toOne.Close)
	toOne.Set([]Peer{{one.addr, 1}})
	back := await[PeerUp](b, events).Conn
	await[PeerOpened](b, one.events)
	await[PeerOpened](b, two.events)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		echo(two, back, stop)
	}()
	b.Cleanup(func() {
		close(stop)
		<-done
	})
	return conn, one.events
}

// BenchmarkRoundTrip is a write's way: a batch of 10, and its acknowledgement.
func BenchmarkRoundTrip(b *testing.B) {
	conn, events := twoServers(b)
	m := writes(10)
	b.ReportAllocs()
	for b.Loop() {
		conn.Send(m)
		<-events
	}
}

// BenchmarkChunks is a fill: chunks as they are acknowledged, 1 MB at a time.
func BenchmarkChunks(b *testing.B) {
	conn, events := twoServers(b)
	m := chunk(chunkEntries)
	b.ReportAllocs()
	away := 0
	for b.Loop() {
		conn.Send(m)
		for away++; away > 16; {
			away -= len((<-events).(PeerMessages).Msgs)
		}
	}
	for away > 0 {
		away -= len((<-events).(PeerMessages).Msgs)
	}
	b.ReportMetric(float64(b.N)*chunkEntries/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkWhere is what a program does that asks once: connect, ask, close.
func BenchmarkWhere(b *testing.B) {
	m := startMaster(b, 11)
	m.SetMap(testMap(1))
	for b.Loop() {
		c, err := NewClient(m.addr, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := c.Where(b.Context(), "k"); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkMaps is a map to who watches, with its encoding on both sides.
func BenchmarkMaps(b *testing.B) {
	m := startMaster(b, 11)
	c := startClient(b, m.addr, Options{})
	for b.Loop() {
		m.SetMap(testMap(1))
		if _, err := c.Map(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
