package link

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// testMap returns a map of two servers with a slot in each state.
func testMap(counter uint64) *slots.Map {
	m := slots.Empty(slots.Minimal, 2, 1)
	m.Epoch = slots.Epoch{Term: 7, Boot: 0xb007, Counter: counter}
	m.Servers = []slots.Server{
		{Addr: "127.0.0.1:1026", Boot: 1, Number: 1},
		{Addr: "127.0.0.1:1027", Boot: 2, Number: 2, Leaving: true},
	}
	for i := range m.Rows {
		m.Rows[i].Primary = int16(i % 2)
		m.Rows[i].Set(int16(1-i%2), slots.State(i%3))
	}
	return m
}

// everyMessage has one message of each kind.
func everyMessage() []msg.Message {
	return []msg.Message{
		new(msg.Hello), new(msg.Prepare), new(msg.Report), new(msg.Refuse), new(msg.Beat),
		new(msg.Granted), new(msg.MapUpdate), new(msg.Filled), new(msg.HandOver), new(msg.GaveUp),
		new(msg.DropCopy), new(msg.Leave), new(msg.Released), new(msg.Ask), new(msg.Batch), new(msg.Ack),
	}
}

// fill gives each part of v a random value that isn't zero, so that one which the
// wire leaves out shows.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Interface().(type) {
	case *slots.Map:
		v.Set(reflect.ValueOf(testMap(r.Uint64())))
		return
	case slots.Slot:
		v.SetUint(1 + r.Uint64N(slots.Count-1))
		return
	case msg.Kind:
		v.SetUint(1 + r.Uint64N(uint64(msg.Resync)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		fill(v.Elem(), r)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(4), 8))
		v.SetCap(v.Len())
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.String:
		v.SetString(strings.Repeat("x", 1+r.IntN(maxKey)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + r.Uint64()>>(64-v.Type().Bits())>>r.IntN(v.Type().Bits())%(1<<(v.Type().Bits()-1)))
	case reflect.Int64:
		v.SetInt(-1 - r.Int64N(1<<62))
	default:
		panic(fmt.Sprint("no random value of ", v.Type()))
	}
}

// encode returns a frame's bytes.
func encode(f *frame) ([]byte, error) {
	w, err := encodeFrame(f, func(n int) []byte { return make([]byte, n) })
	if err != nil {
		return nil, err
	}
	return w.written(), nil
}

// encodeBatch returns a batch's bytes.
func encodeBatch(m *msg.Batch) []byte {
	w := &writer{b: make([]byte, boundBatch(m))}
	w.i = len(w.b)
	w.batch(m)
	return w.written()
}

// sendAndReceive encodes messages as a frame and decodes them.
func sendAndReceive(msgs ...msg.Message) ([]msg.Message, error) {
	b, err := encode(&frame{msgs: msgs})
	if err != nil {
		return nil, err
	}
	var f frame
	err = decodeFrame(b, &f)
	return f.msgs, err
}

func TestEveryFieldOfEveryMessageArrives(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		msgs := everyMessage()
		for _, m := range msgs {
			fill(reflect.ValueOf(m), r)
		}
		got, err := sendAndReceive(msgs...)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range msgs {
			if !reflect.DeepEqual(got[i], m) {
				t.Fatalf("%T arrives as\n%+v, not as\n%+v", m, got[i], m)
			}
		}
	}
}

func TestEmptyMessagesArrive(t *testing.T) {
	t.Parallel()
	for _, m := range everyMessage() {
		if _, ok := m.(*msg.MapUpdate); ok {
			continue // has a map, always
		}
		got, err := sendAndReceive(m)
		if err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		if reflect.TypeOf(got[0]) != reflect.TypeOf(m) {
			t.Errorf("%T arrives as %T", m, got[0])
		}
	}
}

// What the generated code makes of a batch, and of ours, is the judge of the
// handwritten code.

func entryToPB(e *msg.Entry) *pb.Entry {
	return &pb.Entry{
		Key: []byte(e.Key), Value: e.Value, Flags: e.Flags, Marks: uint32(e.Marks), Gone: e.Gone,
		Version: e.Version, Expires: e.Expires,
	}
}

func opToPB(o *msg.Op) *pb.Op {
	return &pb.Op{Client: o.Client, Number: o.Number, Oldest: o.Oldest, Version: o.Version, At: o.At, Outcome: uint32(o.Outcome)}
}

func batchToPB(m *msg.Batch) *pb.Batch {
	w := &pb.Batch{Epoch: epochToWire(m.Epoch), Answered: m.Answered, First: m.First}
	for _, it := range m.Items {
		wi := &pb.Item{Kind: pb.Item_Kind(it.Kind), Slot: uint32(it.Slot), Seq: it.Seq}
		if !reflect.DeepEqual(it.Entry, msg.Entry{}) {
			wi.Entry = entryToPB(&it.Entry)
		}
		if it.Op != (msg.Op{}) {
			wi.Op = opToPB(&it.Op)
		}
		for i := range it.Entries {
			wi.Entries = append(wi.Entries, entryToPB(&it.Entries[i]))
		}
		for i := range it.Ops {
			wi.Ops = append(wi.Ops, opToPB(&it.Ops[i]))
		}
		w.Items = append(w.Items, wi)
	}
	return w
}

func entryFromPB(e *pb.Entry) msg.Entry {
	return msg.Entry{
		Key: string(e.GetKey()), Value: append([]byte{}, e.GetValue()...), Flags: e.GetFlags(),
		Marks: uint8(e.GetMarks()), Gone: e.GetGone(), Version: e.GetVersion(), Expires: e.GetExpires(),
	}
}

func opFromPB(o *pb.Op) msg.Op {
	return msg.Op{
		Client: o.GetClient(), Number: o.GetNumber(), Oldest: o.GetOldest(), Version: o.GetVersion(), At: o.GetAt(), Outcome: uint8(o.GetOutcome()),
	}
}

func batchFromPB(w *pb.Batch) *msg.Batch {
	m := &msg.Batch{Epoch: epochFromWire(w.GetEpoch()), Answered: w.GetAnswered(), First: w.GetFirst()}
	for _, wi := range w.GetItems() {
		it := msg.Item{
			Kind: msg.Kind(wi.GetKind()), Slot: slots.Slot(wi.GetSlot()), Seq: wi.GetSeq(),
			Entry: entryFromPB(wi.GetEntry()), Op: opFromPB(wi.GetOp()),
		}
		for _, e := range wi.GetEntries() {
			it.Entries = append(it.Entries, entryFromPB(e))
		}
		for _, o := range wi.GetOps() {
			it.Ops = append(it.Ops, opFromPB(o))
		}
		m.Items = append(m.Items, it)
	}
	return m
}

func randomBatch(r *rand.Rand) *msg.Batch {
	m := &msg.Batch{}
	fill(reflect.ValueOf(m), r)
	for i := range m.Items {
		// Real ones have the one or the other.
		switch it := &m.Items[i]; r.IntN(4) {
		case 0:
			it.Entries, it.Ops = nil, nil
		case 1:
			it.Entry, it.Op, it.Ops = msg.Entry{}, msg.Op{}, nil
		case 2:
			it.Entry, it.Op, it.Entries = msg.Entry{}, msg.Op{}, nil
		}
	}
	return m
}

func TestBatchesAreWhatTheGeneratedCodeMakes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		m := randomBatch(r)
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(batchToPB(m))
		if err != nil {
			t.Fatal(err)
		}
		ours := encodeBatch(m)
		if !bytes.Equal(ours, want) {
			t.Fatalf("%+v is\n%x, by the generated code\n%x", m, ours, want)
		}
		got, err := decodeBatch(want)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v is read as %+v, %v", m, got, err)
		}
	}
}

func TestFramesAreWhatTheGeneratedCodeReads(t *testing.T) {
	t.Parallel()
	m := randomBatch(rand.New(rand.NewPCG(5, 6)))
	b, err := encode(&frame{
		opening: &pb.Opening{Version: 1, Boot: 3},
		msgs:    []msg.Message{m, &msg.Ack{Upto: 300}, &msg.Ack{}, &msg.Leave{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got pb.Frame
	if err := proto.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := &pb.Frame{
		Opening: &pb.Opening{Version: 1, Boot: 3},
		Messages: []*pb.Message{
			{Kind: &pb.Message_Batch{Batch: batchToPB(m)}},
			{Kind: &pb.Message_Ack{Ack: &pb.Ack{Upto: 300}}},
			{Kind: &pb.Message_Ack{Ack: &pb.Ack{}}},
			{Kind: &pb.Message_Leave{Leave: &pb.Leave{}}},
		},
	}
	if !proto.Equal(&got, want) {
		t.Errorf("got %v, want %v", &got, want)
	}
}

func TestDecodedBatchesKeepNothingOfTheBytes(t *testing.T) {
	t.Parallel()
	m := randomBatch(rand.New(rand.NewPCG(7, 8)))
	b := encodeBatch(m)
	got, err := decodeBatch(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = 0xff
	}
	if !reflect.DeepEqual(got, m) {
		t.Error("what was decoded changed with the bytes that it came from")
	}
}

func TestNumbersOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	for what, b := range map[string]*pb.Batch{
		"a slot":                {Items: []*pb.Item{{Slot: slots.Count}}},
		"an item's kind":        {Items: []*pb.Item{{Kind: pb.Item_Kind(msg.Resync) + 1}}},
		"a key's length":        {Items: []*pb.Item{{Entry: &pb.Entry{Key: make([]byte, maxKey+1)}}}},
		"an entry's marks":      {Items: []*pb.Item{{Entries: []*pb.Entry{{Marks: 256}}}}},
		"a batch's number of i": {Items: make([]*pb.Item, maxParts+1)},
	} {
		for i := range b.Items {
			if b.Items[i] == nil {
				b.Items[i] = &pb.Item{}
			}
		}
		bytes, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeBatch(bytes); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestUnknownFieldsArePassedOver(t *testing.T) {
	t.Parallel()
	b := encodeBatch(&msg.Batch{First: 9})
	b = append(b, 0x9d, 0x06, 1, 2, 3, 4)  // field 99, fixed32
	b = append(b, 0xa2, 0x06, 2, 'h', 'i') // field 100, bytes
	m, err := decodeBatch(b)
	if err != nil || m.First != 9 {
		t.Errorf("got %+v, %v", m, err)
	}
}

// FuzzDecodeFrame: whatever is decoded is what the generated code sees in it, and
// survives being sent on.
func FuzzDecodeFrame(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, m := range everyMessage() {
		if _, ok := m.(*msg.MapUpdate); !ok {
			fill(reflect.ValueOf(m), r)
		}
		if report, ok := m.(*msg.Report); ok {
			report.Map = nil
		}
		b, err := encode(&frame{msgs: []msg.Message{m, m}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got frame
		if decodeFrame(b, &got) != nil {
			return
		}
		var judge pb.Frame
		if err := proto.Unmarshal(b, &judge); err != nil {
			t.Fatalf("decoded what isn't protobuf: %v", err)
		}
		if len(judge.Messages) != len(got.msgs) {
			t.Fatalf("%d messages, by the generated code %d", len(got.msgs), len(judge.Messages))
		}
		for i, m := range got.msgs {
			if batch, ok := m.(*msg.Batch); ok {
				want := judge.Messages[i].GetBatch()
				if !reflect.DeepEqual(batchFromPB(batchToPB(batch)), batchFromPB(want)) {
					t.Fatalf("got %+v, by the generated code %v", batch, want)
				}
			}
		}
		again, err := sendAndReceive(got.msgs...)
		if err != nil {
			t.Fatalf("sent on: %v", err)
		}
		for i := range again {
			if reflect.TypeOf(again[i]) != reflect.TypeOf(got.msgs[i]) {
				t.Fatalf("%T became %T", got.msgs[i], again[i])
			}
		}
	})
}
