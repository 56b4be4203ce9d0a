package mesh

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// Every node's messages arrive at every other one, in order.
func TestAllToAll(t *testing.T) {
	t.Parallel()
	all := openAll(t, 4)
	const rounds, each, size = 50, 20, 100
	var sending sync.WaitGroup
	for i, s := range all {
		sending.Go(func() {
			for r := range rounds {
				for j := range all {
					ms := numbered(r*each, each, size)
					for _, m := range ms {
						m.Ref = uint64(i)
					}
					s.Send(j, ms) // to itself, too, which does nothing
				}
			}
		})
	}
	sending.Wait()
	for i, s := range all {
		ms := s.events.take(t, rounds*each*(len(all)-1))
		for j := range all {
			from := slices.DeleteFunc(slices.Clone(ms), func(m *msg.Message) bool { return m.Ref != uint64(j) })
			if j == i && len(from) > 0 {
				t.Errorf("node %d hears %d messages of its own", i, len(from))
			}
			checkNumbered(t, from, 0, size)
		}
	}
}

// What waits goes out in one write, and what comes in one read is one event.
func TestBatches(t *testing.T) {
	t.Parallel()
	all := openAll(t, 2)
	const n = 5000
	all[0].Send(1, numbered(0, n, 10))
	checkNumbered(t, all[1].events.take(t, n), 0, 10)
	if got := all[1].events.batches; got > n/20 {
		t.Errorf("%d messages in %d events", n, got)
	}
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	all := openAll(t, 2)
	sizes := []int{8 << 20, 1, smallBuffer, 0, largeBuffer, 3 << 20, 8 << 20}
	for i, size := range sizes {
		all[0].Send(1, numbered(i, 1, size))
	}
	for i, size := range sizes {
		checkNumbered(t, all[1].events.take(t, 1), i, size)
	}

	// One that is too large is left out, and the log says so.
	all[0].Send(1, append(numbered(0, 1, msg.MaxMessage), numbered(5, 1, 5)...))
	checkNumbered(t, all[1].events.take(t, 1), 5, 5)
	if log := all[0].log.String(); !strings.Contains(log, "too large") {
		t.Errorf("the log has no word of it:\n%s", log)
	}
	all[0].events.none(t, Disconnected{1, false})
}

// Nothing of a message lies in the buffer that the next ones are read into.
func TestMessagesAreTheReceivers(t *testing.T) {
	t.Parallel()
	value := func() []byte { return bytes.Repeat([]byte{'v'}, 1000) }
	op := &msg.Op{Kind: msg.Put, Key: strings.Repeat("k", 1000), Value: value()}
	app := raftpb.MsgApp
	sent := []*msg.Message{
		{Kind: msg.KindReport, Report: &msg.Report{View: msg.View{Members: []msg.ID{1, 2, 3}}}},
		{Kind: msg.KindRaft, Raft: []*raftpb.Message{{Type: &app, Context: value(), Entries: []*raftpb.Entry{{Data: value()}}}}},
		{Kind: msg.KindOps, Ops: []msg.Request{{Op: op}}},
		{Kind: msg.KindReplies, Replies: []msg.Reply{{Result: msg.Result{Status: msg.OK, Found: true, Old: value()}}}},
		{Kind: msg.KindRead, Ref: 1}, {Kind: msg.KindReadAt, Ref: 1}, {Kind: msg.KindChunkOK, Ref: 1},
		{Kind: msg.KindChunk, Data: value()},
	}
	for _, m := range sent {
		body := msg.Append(nil, m)
		got, err := decode(body)
		if err != nil {
			t.Fatal(err)
		}
		for i := range body {
			body[i] = 0xff
		}
		for _, r := range got.Raft {
			if !proto.Equal(r, sent[1].Raft[0]) {
				t.Error("a raft message changed")
			}
		}
		if again := msg.Append(nil, got); !bytes.Equal(again, msg.Append(nil, m)) {
			t.Errorf("a message of kind %d changed with the buffer", m.Kind)
		}
	}
}

// Without a connection messages are lost, and sending goes on when there is one.
func TestSendWithoutConnection(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	a := open(t, ls[0], 0, addrs)
	a.Send(1, numbered(0, 1, 1)) // before Start
	b := open(t, ls[1], 1, addrs)
	a.Start()
	a.events.await(t, Connected{1})
	a.Send(1, numbered(7, 1, 1))
	checkNumbered(t, b.events.take(t, 1), 7, 1)
	b.shut()
	a.events.await(t, Disconnected{1, false})
	a.events.await(t, Disconnected{1, true})
	a.Send(1, numbered(8, 1, 1))
}

// A message that goes to all is encoded for all at once, while its sender reads it.
func TestSharedMessages(t *testing.T) {
	t.Parallel()
	all := openAll(t, 4)
	app, index := raftpb.MsgApp, uint64(7)
	const n = 100
	for range n {
		m := &raftpb.Message{Type: &app, Entries: []*raftpb.Entry{{Data: make([]byte, 100)}, {Index: &index}}}
		for i := range all {
			all[0].Send(i, []*msg.Message{{Kind: msg.KindRaft, Raft: []*raftpb.Message{m}}})
		}
		if proto.Size(m) < 100 || proto.Size(m.Entries[0]) < 100 {
			t.Error("it has lost its entry")
		}
	}
	for _, s := range all[1:] {
		for _, m := range s.events.take(t, n) {
			if e := m.Raft[0].GetEntries(); len(e) != 2 || len(e[0].GetData()) != 100 || e[1].GetIndex() != index {
				t.Fatalf("%v came", m.Raft[0])
			}
		}
	}
}

// A peer that doesn't read is cut off when too much waits; Send never blocks.
func TestSlowPeer(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	a := open(t, ls[0], 0, addrs)
	a.maxWaiting = 16 << 20
	held := make(chan net.Conn, 10)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ls[1].Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, len(Preface)))
			body, err := newFrames(maxHello, nil).read(c)
			if err != nil {
				_ = c.Close() // a call that took too long on this machine
				continue
			}
			h, err := parseHello(body)
			if err != nil {
				t.Error(err)
			}
			w := h.judge(1, 1, addrs)
			b := w.append(beginFrame(nil))
			endFrame(b, 0)
			_, _ = c.Write(b)
			held <- c // and reads no more
		}
	})
	a.Start()
	a.events.await(t, Connected{1})
	for range 40 {
		a.Send(1, numbered(0, 1, 1<<20))
	}
	a.events.await(t, Disconnected{1, false})
	a.events.await(t, Connected{1}) // and begins anew
	if log := a.log.String(); !strings.Contains(log, errBehind.Error()) {
		t.Errorf("the log doesn't say why:\n%s", log)
	}
	_ = ls[1].Close()
	serving.Wait()
	a.shut()
	close(held)
	for c := range held {
		_ = c.Close()
	}
}

// What is taken for written is no longer counted.
func TestWaitingIsCountedOff(t *testing.T) {
	t.Parallel()
	all := openAll(t, 2)
	for i := range 20 {
		all[0].Send(1, numbered(i, 10, 100_000))
	}
	all[1].events.take(t, 200)
	out := all[0].peers[1].out.Load()
	cluster.Eventually(t, patience, "all to be counted off", func() error {
		out.mu.Lock()
		defer out.mu.Unlock()
		if out.mu.waiting != 0 {
			return io.ErrShortWrite
		}
		return nil
	})
}
