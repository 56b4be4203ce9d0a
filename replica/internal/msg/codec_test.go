package msg

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// Generators of all that can be said.

func someOf(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

func someID(t *rapid.T) ID { return ID(rapid.Uint64().Draw(t, "id")) }

func someEpoch(t *rapid.T) Epoch {
	return Epoch{Number: rapid.Uint64().Draw(t, "epoch"), Founder: someID(t)}
}

func somePoint(t *rapid.T) Point {
	if someOf(t, "no point") {
		return Point{}
	}
	n := rapid.Uint64()
	return Point{Epoch: someEpoch(t), Term: n.Draw(t, "term"), Index: n.Draw(t, "index"), Seq: n.Draw(t, "seq")}
}

func someVersion(t *rapid.T) Version {
	if someOf(t, "no version") {
		return Version{}
	}
	return Version{Epoch: rapid.Uint64().Draw(t, "epoch"), Seq: rapid.Uint64().Draw(t, "seq")}
}

// someBytes are nil when they are empty, as decoded ones are.
func someBytes(t *rapid.T, label string) []byte {
	b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, label)
	if len(b) == 0 {
		return nil
	}
	return b
}

func someSlice[T any](t *rapid.T, limit int, label string, one func(*rapid.T) T) []T {
	n := rapid.IntRange(0, limit).Draw(t, label)
	var s []T
	for range n {
		s = append(s, one(t))
	}
	return s
}

func someLineage(t *rapid.T) Lineage {
	return Lineage{Epoch: someEpoch(t), Normal: someOf(t, "normal"), Fork: somePoint(t)}
}

func someView(t *rapid.T) View {
	return View{
		Number:    rapid.Uint64().Draw(t, "view"),
		Members:   someSlice(t, MaxNodes, "members", someID),
		Lineage:   someLineage(t),
		Forgotten: someSlice(t, 5, "forgotten", someID),
		Normals:   someSlice(t, MaxNormals, "normals", someEpoch),
		Since:     rapid.Uint64().Draw(t, "since"),
	}
}

func someOp(t *rapid.T) Op {
	op := Op{
		Kind:    OpKind(rapid.IntRange(int(Get), int(Forget)).Draw(t, "kind")),
		Cond:    Cond(rapid.IntRange(int(Always), int(IfVersion)).Draw(t, "cond")),
		Key:     rapid.String().Draw(t, "key"),
		Value:   someBytes(t, "value"),
		Version: someVersion(t),
		Removed: someOf(t, "removed"),
		Fork:    somePoint(t),
	}
	n := rapid.Uint64()
	if someOf(t, "has id") {
		op.ID = OpID{Client: n.Draw(t, "client"), Seq: n.Draw(t, "seq"), Acked: n.Draw(t, "acked")}
	}
	if someOf(t, "has ttl") {
		op.TTL = time.Duration(rapid.Int64Min(0).Draw(t, "ttl"))
		op.Expires = n.Draw(t, "expires")
	}
	if someOf(t, "has time") {
		op.Time = n.Draw(t, "time")
	}
	return op
}

func someReply(t *rapid.T) Reply {
	return Reply{
		Ref:   rapid.Uint64().Draw(t, "ref"),
		Again: someOf(t, "again"),
		Result: Result{
			Status:     Status(rapid.IntRange(0, int(Repeated)).Draw(t, "status")),
			Found:      someOf(t, "found"),
			Old:        someBytes(t, "old"),
			OldVersion: someVersion(t),
			Version:    someVersion(t),
			Degraded:   rapid.Uint64().Draw(t, "degraded"),
		},
	}
}

func someReport(t *rapid.T) *Report {
	n := rapid.Uint64()
	return &Report{
		ID:        someID(t),
		View:      someView(t),
		Leader:    someID(t),
		Joining:   someEpoch(t),
		Lost:      someOf(t, "lost"),
		Hears:     rapid.Byte().Draw(t, "hears"),
		Lineage:   someLineage(t),
		LastTerm:  n.Draw(t, "last term"),
		LastIndex: n.Draw(t, "last index"),
		Member:    someOf(t, "member"),
		Highest:   n.Draw(t, "highest"),
	}
}

func someRaft(t *rapid.T) *raftpb.Message {
	n := rapid.Uint64()
	m := &raftpb.Message{
		Type: new(raftpb.MessageType(rapid.IntRange(0, 23).Draw(t, "type"))),
		From: new(n.Draw(t, "from")), To: new(n.Draw(t, "to")), Term: new(n.Draw(t, "term")),
		LogTerm: new(n.Draw(t, "log term")), Index: new(n.Draw(t, "index")), Commit: new(n.Draw(t, "commit")),
		Reject: new(someOf(t, "reject")), RejectHint: new(n.Draw(t, "hint")),
		Context: someBytes(t, "context"),
	}
	m.Entries = someSlice(t, 3, "entries", func(t *rapid.T) *raftpb.Entry {
		return &raftpb.Entry{Term: m.Term, Index: new(n.Draw(t, "entry")), Type: new(raftpb.EntryNormal), Data: someBytes(t, "data")}
	})
	if someOf(t, "snapshot") {
		m.Snapshot = &raftpb.Snapshot{Data: someBytes(t, "data"), Metadata: &raftpb.SnapshotMetadata{
			Index: new(n.Draw(t, "index")), Term: m.Term, ConfState: &raftpb.ConfState{Voters: []uint64{4, 5}, AutoLeave: new(true)},
		}}
	}
	return m
}

func someMessage(t *rapid.T) *Message {
	n := rapid.Uint64()
	m := &Message{
		Kind:  Kind(rapid.IntRange(int(KindReport), int(KindChunkOK)).Draw(t, "kind")),
		Epoch: someEpoch(t), From: someID(t), To: someID(t),
	}
	switch m.Kind {
	case KindReport:
		m.Report = someReport(t)
	case KindRaft:
		m.Visible = n.Draw(t, "visible")
		m.Raft = someSlice(t, 3, "raft", someRaft)
	case KindOps:
		m.Ops = someSlice(t, 5, "ops", func(t *rapid.T) Request {
			op := someOp(t)
			return Request{Ref: n.Draw(t, "ref"), Hops: rapid.Byte().Draw(t, "hops"), Op: &op}
		})
	case KindReplies:
		m.Replies = someSlice(t, 5, "replies", someReply)
	case KindRead:
		m.Ref = n.Draw(t, "ref")
	case KindReadAt, KindChunkOK:
		m.Ref, m.Index = n.Draw(t, "ref"), n.Draw(t, "index")
	case KindChunk:
		m.Ref, m.Index, m.Last = n.Draw(t, "ref"), n.Draw(t, "index"), someOf(t, "last")
		m.Data = someBytes(t, "data")
	}
	return m
}

// same compares messages; raft's have hidden parts, so they are compared apart.
func same(a, b *Message) bool {
	if len(a.Raft) != len(b.Raft) {
		return false
	}
	for i := range a.Raft {
		if !proto.Equal(a.Raft[i], b.Raft[i]) {
			return false
		}
	}
	c, d := *a, *b
	c.Raft, d.Raft = nil, nil
	return reflect.DeepEqual(&c, &d)
}

func TestMessagesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := someMessage(t)
		prefix := someBytes(t, "prefix")
		b := Append(bytes.Clone(prefix), m)
		if !bytes.HasPrefix(b, prefix) {
			t.Fatalf("%q was written over: %q", prefix, b)
		}
		b = b[len(prefix):]
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !same(got, m) {
			t.Fatalf("got %+v, want %+v", got, m)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := Decode(b[:cut]); err == nil {
			t.Fatalf("the first %d of %d bytes were taken for a message", cut, len(b))
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Fatal("a byte more was taken")
		}
	})
}

func TestBatchesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64()
		h := BatchHeader{Origin: someID(t), Number: n.Draw(t, "number"), Time: n.Draw(t, "time")}
		ops := someSlice(t, 8, "ops", someOp)
		ptrs := make([]*Op, len(ops))
		for i := range ops {
			ptrs[i] = &ops[i]
		}
		b := AppendBatch(nil, h, ptrs)
		// What is appended to may have served before.
		used := someSlice(t, 10, "used", someOp)
		gotHeader, got, err := DecodeBatch(b, used[:0])
		if err != nil {
			t.Fatal(err)
		}
		if gotHeader != h || len(got) != len(ops) || len(ops) > 0 && !reflect.DeepEqual(got, ops) {
			t.Fatalf("got %+v %+v, want %+v %+v", gotHeader, got, h, ops)
		}
		if _, _, err := DecodeBatch(b[:len(b)-1], nil); err == nil {
			t.Fatal("a cut batch was taken")
		}
		if _, err := DecodeView(b); err == nil {
			t.Fatal("a batch was taken for a view")
		}
	})
}

func TestViewsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := someView(t)
		b := AppendView(nil, &v)
		got, err := DecodeView(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, &v) {
			t.Fatalf("got %+v, want %+v", got, &v)
		}
		if _, err := DecodeView(b[:len(b)-1]); err == nil {
			t.Fatal("a cut view was taken")
		}
		if _, _, err := DecodeBatch(b, nil); err == nil {
			t.Fatal("a view was taken for a batch")
		}
	})
}

// What is above a limit is refused, and says which one.
func TestLimits(t *testing.T) {
	t.Parallel()
	op := func(op Op) []byte { return Append(nil, &Message{Kind: KindOps, Ops: []Request{{Op: &op}}}) }
	raft := Append(nil, &Message{Kind: KindRaft, Raft: []*raftpb.Message{{Context: []byte("x")}}})
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "cut off"},
		{"a kind", append([]byte{99}, make([]byte, 25)...), "unknown kind 99"},
		{"a key", op(Op{Kind: Put, Key: strings.Repeat("k", MaxKey+1)}), "bytes of a key: at most 65536"},
		{"a value", op(Op{Kind: Put, Value: make([]byte, MaxValue+1)}), "bytes of a value: at most 4194304"},
		{"a message", Append(nil, &Message{Kind: KindChunk, Data: make([]byte, MaxMessage)}), "at most 9437184"},
		{"an operation", op(Op{Kind: 77}), "unknown kind 77"},
		{"a status", Append(nil, &Message{Kind: KindReplies, Replies: []Reply{{Result: Result{Status: 99}}}}), "unknown status 99"},
		{"members", Append(nil, &Message{Kind: KindReport, Report: &Report{View: View{Members: make([]ID, MaxNodes+1)}}}), "members: at most 4"},
		{"normals", Append(nil, &Message{Kind: KindReport, Report: &Report{View: View{Normals: make([]Epoch, MaxNormals+1)}}}), "normal epochs: at most 16"},
		{"forgotten", Append(nil, &Message{Kind: KindReport, Report: &Report{View: View{Forgotten: make([]ID, MaxForgotten+1)}}}), "forgotten nodes: at most 256"},
		{"a raft message", bytes.Replace(raft, []byte("b\x01x"), []byte("b\x09x"), 1), "raft message can't be read"},
		{"operations", AppendBatch(nil, BatchHeader{}, manyOps(MaxOps+1)), "operations: at most 65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var err error
			if len(c.b) > 0 && c.name == "operations" {
				_, _, err = DecodeBatch(c.b, nil)
			} else {
				_, err = Decode(c.b)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func manyOps(n int) []*Op {
	ops := make([]*Op, n)
	for i := range ops {
		ops[i] = &Op{Kind: Put}
	}
	return ops
}

// Whatever arrives, decoding ends with a message or an error, and what was decoded
// can be encoded and decoded again and stays what it is.
func FuzzDecode(f *testing.F) {
	for i := range 40 {
		f.Add(Append(nil, rapid.Custom(someMessage).Example(i)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(Append(nil, m))
		if err != nil || !same(m, again) {
			t.Fatalf("%+v came back as %+v, %v", m, again, err)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	for i := range 10 {
		v := rapid.Custom(someView).Example(i)
		op := rapid.Custom(someOp).Example(i)
		f.Add(AppendView(nil, &v))
		f.Add(AppendBatch(nil, BatchHeader{Number: 1}, []*Op{&op, &op}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := DecodeView(b); err == nil {
			again, err := DecodeView(AppendView(nil, v))
			if err != nil || !reflect.DeepEqual(v, again) {
				t.Fatalf("%+v came back as %+v, %v", v, again, err)
			}
		}
		if h, ops, err := DecodeBatch(b, nil); err == nil {
			ptrs := make([]*Op, len(ops))
			for i := range ops {
				ptrs[i] = &ops[i]
			}
			h2, again, err := DecodeBatch(AppendBatch(nil, h, ptrs), nil)
			if err != nil || h2 != h || len(ops) > 0 && !reflect.DeepEqual(ops, again) {
				t.Fatalf("%+v %+v came back as %+v %+v, %v", h, ops, h2, again, err)
			}
		}
	})
}

// A batch as a leader with 64 clients makes it, each with a value of 100 bytes.
func someBatch() (BatchHeader, []*Op) {
	ops := make([]*Op, 64)
	for i := range ops {
		ops[i] = &Op{
			ID:   OpID{Client: 1<<62 + uint64(i), Seq: 100_000, Acked: 99_999},
			Kind: Put, Key: "customer-1234567", Value: make([]byte, 100),
		}
	}
	return BatchHeader{Origin: 1 << 60, Number: 1 << 20, Time: 1 << 50}, ops
}

func BenchmarkBatch(b *testing.B) {
	h, ops := someBatch()
	entry := AppendBatch(nil, h, ops)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(entry)))
		var buf []byte
		for b.Loop() {
			buf = AppendBatch(buf[:0], h, ops)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(entry)))
		var into []Op
		for b.Loop() {
			_, got, err := DecodeBatch(entry, into[:0])
			if err != nil {
				b.Fatal(err)
			}
			into = got
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	h, ops := someBatch()
	app := &Message{Kind: KindRaft, Visible: 1000, Raft: []*raftpb.Message{{
		Type: new(raftpb.MsgApp), From: new(uint64(1 << 60)), To: new(uint64(1 << 61)), Term: new(uint64(3)),
		LogTerm: new(uint64(3)), Index: new(uint64(1000)), Commit: new(uint64(1000)),
		Entries: []*raftpb.Entry{{Term: new(uint64(3)), Index: new(uint64(1001)), Type: new(raftpb.EntryNormal), Data: AppendBatch(nil, h, ops)}},
	}}}
	forward := &Message{Kind: KindOps}
	replies := &Message{Kind: KindReplies}
	for i, op := range ops {
		forward.Ops = append(forward.Ops, Request{Ref: uint64(i), Op: op})
		replies.Replies = append(replies.Replies, Reply{Ref: uint64(i), Result: Result{
			Status: OK, Found: true, Old: op.Value, OldVersion: Version{1, 5000}, Version: Version{1, 6000},
		}})
	}
	for _, c := range []struct {
		name string
		m    *Message
	}{{"append entries", app}, {"operations", forward}, {"replies", replies}} {
		data := Append(nil, c.m)
		b.Run(c.name+"/append", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			var buf []byte
			for b.Loop() {
				buf = Append(buf[:0], c.m)
			}
		})
		b.Run(c.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
