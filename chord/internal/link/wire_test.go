package link

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// kinds are all kinds of messages.
var kinds = []msg.Message{
	&ring.Message{}, &msg.Ping{}, &msg.Pong{}, &msg.Query{}, &msg.Holdings{}, &msg.Deposed{}, &msg.Bye{},
	&msg.Batch{}, &msg.Ack{}, &msg.Refused{},
}

// filler fills values with what isn't zero, or, by chance, is.
type filler struct {
	*rand.Rand
	zeros int // one field in so many stays as it is; 0: none
}

// fill fills all fields of v, which nobody has to name: one that is added is filled,
// too.
func (f *filler) fill(t testing.TB, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case msg.Item, msg.Kind: // never without
	default:
		if f.zeros > 0 && f.IntN(f.zeros) == 0 {
			return
		}
	}
	switch v.Interface().(type) {
	case msg.Kind:
		v.SetUint(uint64(msg.Write) + f.Uint64N(uint64(msg.Nothing)))
		return
	case msg.Purpose:
		v.SetUint(1 + f.Uint64N(uint64(msg.ToMerge)))
		return
	case ring.Kind:
		v.SetUint(1 + f.Uint64N(uint64(ring.KindNext)))
		return
	case place.Place:
		var p place.Place
		for i := f.IntN(len(p)); i < len(p); i++ {
			p[i] = byte(1 + f.IntN(255))
		}
		v.Set(reflect.ValueOf(p))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + f.Uint64N(1<<f.IntN(v.Type().Bits()-1)))
		if f.IntN(8) == 0 {
			v.SetUint(1<<v.Type().Bits() - 1)
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + f.Int64N(1<<30))
		if v.Type() == reflect.TypeFor[int64]() && f.IntN(2) == 0 {
			v.SetInt(-v.Int())
		}
	case reflect.String:
		v.SetString(strings.Repeat("s", 1+f.IntN(30)))
	case reflect.Slice:
		n := 1 + f.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(t, v.Field(i))
		}
	case reflect.Pointer:
		f.fill(t, v.Elem())
	default:
		t.Fatalf("nobody knows how to fill a %v", v.Type())
	}
}

// some is a message of k's kind.
func (f *filler) some(t testing.TB, k msg.Message) msg.Message {
	v := reflect.New(reflect.TypeOf(k).Elem())
	for i := range v.Elem().NumField() {
		f.fill(t, v.Elem().Field(i))
	}
	return v.Interface()
}

// Every field of every message arrives: of one that is added here, and not in encode.go
// and decode.go, this fails.
func TestEveryFieldArrives(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(fmt.Sprintf("%T", k), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(300) {
				f := &filler{Rand: rand.New(rand.NewPCG(seed, 1)), zeros: int(seed % 4)}
				m := f.some(t, k)
				b := appendMessage(nil, m)
				got, err := decodeMessages(b)
				if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], m) {
					t.Fatalf("seed %d:\n%+v\ncame as\n%+v, %v", seed, m, got, err)
				}
				if w := weight(m); w < len(b) {
					t.Fatalf("seed %d: it weighs %d, and has %d bytes", seed, w, len(b))
				}
			}
		})
	}
}

// What a receiver must not be led to: each is one byte sequence, and what is said of it.
func TestLimits(t *testing.T) {
	t.Parallel()
	uvarint := func(v uint64) []byte { return binary.AppendUvarint(nil, v) }
	long := func(n int) []byte { return append(uvarint(uint64(n)), make([]byte, n)...) }
	write := []byte{byte(wireBatch), 1, 1, byte(msg.Write), 0}
	nobodies := func(n int) []byte { return append(uvarint(uint64(n)), make([]byte, n)...) }
	claim := func(bases []byte) []byte {
		b := append([]byte{byte(wireDeposed), 0, 0, 0, 0}, make([]byte, 8)...)
		return append(append(b, 0, 0, 0), bases...)
	}
	many := bytes.Repeat([]byte{byte(wireAck), 1, 0}, maxParts+1)
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"no kind":                {[]byte{0}, "kind is 0"},
		"another kind":           {[]byte{byte(wireRefused) + 1}, "which is none"},
		"a long key":             {slices.Concat(write, []byte{itemEntry, 0}, long(maxKey+1)), "a key of 251 bytes"},
		"a long value":           {slices.Concat(write, []byte{itemEntry, 0, 0}, uvarint(1<<40)), "a value of"},
		"a value that's cut":     {slices.Concat(write, []byte{itemEntry, 0, 0}, uvarint(1<<20)), "truncated"},
		"a long address":         {slices.Concat([]byte{byte(wireBye), 0, 1, 0}, make([]byte, 8), long(maxAddr+1)), "an address of 321 bytes"},
		"a long place":           {slices.Concat([]byte{byte(wireQuery)}, make([]byte, 8), long(21)), "a place of 21 bytes"},
		"many nodes":             {slices.Concat([]byte{byte(wireBye), 0, 0}, nobodies(maxRefs+1)), "a list of 4097 nodes"},
		"many bases":             {claim(append([]byte{msg.MaxBases + 1}, make([]byte, 14*(msg.MaxBases+1))...)), "17 bases"},
		"more than there is":     {[]byte{byte(wireBatch), 1, 200, 1}, "truncated"},
		"many items":             {slices.Concat([]byte{byte(wireBatch), 1}, uvarint(maxParts), bytes.Repeat([]byte{1, 0, 0}, maxParts)), "more than 262144 parts"},
		"many messages":          {many, "more than 262144 parts"},
		"an item of no kind":     {[]byte{byte(wireBatch), 1, 1, 0, 0, 0}, "an item of kind 0"},
		"for no purpose":         {[]byte{byte(wireBatch), 1, 1, byte(msg.End), 3, 0}, "for purpose 3"},
		"bits that are none":     {[]byte{byte(wireAck), 1, 2 << 1}, "a mask 0x4 of 1 bits"},
		"flags beyond 32 bits":   {slices.Concat(write, []byte{itemEntry, entryFlags, 0, 0}, make([]byte, 8), uvarint(1<<32)), "flags are 4294967296"},
		"a number without end":   {append([]byte{byte(wireAck)}, bytes.Repeat([]byte{0xff}, 11)...), "truncated"},
		"nothing after its kind": {[]byte{byte(wirePing)}, "truncated"},
	} {
		if got, err := decodeMessages(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if all, err := decodeMessages(nil); all != nil || err != nil {
		t.Errorf("nothing is %v, %v", all, err)
	}
	if _, err := decodeMessages(claim(append([]byte{msg.MaxBases}, make([]byte, 14*msg.MaxBases)...))); err != nil {
		t.Errorf("as many bases as may be: %v", err)
	}
}

// No beginning of a message is one.
func TestTruncated(t *testing.T) {
	t.Parallel()
	f := &filler{Rand: rand.New(rand.NewPCG(1, 2))}
	for _, k := range kinds {
		b := appendMessage(nil, f.some(t, k))
		for n := 1; n < len(b); n++ {
			if got, err := decodeMessages(b[:n]); err == nil {
				t.Fatalf("%T: %d bytes of %d are %+v", k, n, len(b), got)
			}
		}
	}
}

func TestNoMessage(t *testing.T) {
	t.Parallel()
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "msg.Ping is no message") {
			t.Errorf("got %v", r)
		}
	}()
	appendMessage(nil, msg.Ping{})
}

func encoded(t testing.TB, f *frame) []byte {
	t.Helper()
	out, err := newCodec().Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Free()
	return out.Materialize()
}

func decoded(b []byte) (*frame, error) {
	var f frame
	err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &f)
	return &f, err
}

// A frame is what the proto file says, to gRPC's own codec.
func TestFrameIsProtobuf(t *testing.T) {
	t.Parallel()
	f := &filler{Rand: rand.New(rand.NewPCG(3, 4))}
	for _, n := range []int{1, 2, 30, 1000} {
		var msgs []msg.Message
		for i := range n {
			msgs = append(msgs, f.some(t, kinds[i%len(kinds)]))
		}
		b := encoded(t, &frame{msgs: msgs})
		var w pb.Frame
		if err := proto.Unmarshal(b, &w); err != nil {
			t.Fatal(err)
		}
		if again, err := proto.Marshal(&w); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%d messages: %x is written as %x, %v", n, b, again, err)
		}
		got, err := decoded(b)
		if err != nil || got.hello != nil || !reflect.DeepEqual(got.msgs, msgs) {
			t.Errorf("%d messages: %v", n, err)
		}
	}
	hello := &pb.Hello{Version: 1, Boot: 2, Addr: "h:1"}
	got, err := decoded(encoded(t, &frame{hello: hello}))
	if err != nil || !proto.Equal(got.hello, hello) || len(got.msgs) > 0 {
		t.Errorf("got %v, %v", got, err)
	}
	// Fields of a later version are passed over; what is no frame isn't one.
	if got, err := decoded([]byte{0x18, 1, 0x22, 1, 0}); err != nil || got.hello != nil || len(got.msgs) > 0 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, hexed := range []string{"08", "0a", "0a05", "1200" + "1200" + "12", "0a00" + "0a00", "10" + "01", "0b", "0a01ff", "120100"} {
		b, err := hex.DecodeString(hexed)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decoded(b); err == nil {
			t.Errorf("%s is %v", hexed, got)
		}
	}
}

// What weighs more than it was thought to is written all the same.
func TestLongAddresses(t *testing.T) {
	t.Parallel()
	bye := &msg.Bye{}
	for range 1000 {
		bye.List = append(bye.List, ring.Ref{Boot: 1, Addr: strings.Repeat("a", maxAddr)})
	}
	got, err := decoded(encoded(t, &frame{msgs: []msg.Message{bye}}))
	if err != nil || !reflect.DeepEqual(got.msgs[0], bye) {
		t.Errorf("it came as %d messages, %v", len(got.msgs), err)
	}
}

// What is decoded shares nothing with the buffer, which is used again.
func TestNothingIsShared(t *testing.T) {
	t.Parallel()
	f := &filler{Rand: rand.New(rand.NewPCG(5, 6))}
	for _, k := range kinds {
		m := f.some(t, k)
		b := appendMessage(nil, m)
		got, err := decodeMessages(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] = 0xff
		}
		if !reflect.DeepEqual(got[0], m) {
			t.Errorf("%T: it has changed with its buffer", k)
		}
	}
}

func FuzzDecode(f *testing.F) {
	some := &filler{Rand: rand.New(rand.NewPCG(7, 8)), zeros: 3}
	for _, k := range kinds {
		for range 5 {
			f.Add(encoded(f, &frame{msgs: []msg.Message{some.some(f, k)}}))
		}
	}
	f.Add(encoded(f, &frame{hello: &pb.Hello{Version: 1, Boot: 2, Addr: "h:1"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decoded(b)
		if err != nil {
			return
		}
		if len(got.msgs) == 0 {
			return
		}
		// What was read is written, and read as the same.
		again, err := decoded(encoded(t, &frame{msgs: got.msgs}))
		if err != nil || !reflect.DeepEqual(again.msgs, got.msgs) {
			t.Fatalf("%+v is read again as %+v, %v", got.msgs, again.msgs, err)
		}
	})
}

// Every field of what tools ask arrives, too.
func TestEveryAnswerArrives(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		f := &filler{Rand: rand.New(rand.NewPCG(seed, 9)), zeros: int(seed % 4)}
		var s Status
		f.fill(t, reflect.ValueOf(&s).Elem())
		s.Self.Boot |= 1
		s.Bits = 1 + int(f.Uint64N(place.MaxBits))
		if len(s.Fingers) > 0 { // there are Bits of them
			s.Fingers = slices.Concat(s.Fingers, make([]ring.Ref, s.Bits))[:s.Bits]
		}
		withoutBases(&s.Claim)
		for i := range s.Holdings {
			withoutBases(&s.Holdings[i].Claim)
		}
		somebody(&s)
		var r reader
		if got := r.status(transferred(t, statusToWire(&s))); r.err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("seed %d:\n%+v\ncame as\n%+v, %v", seed, s, got, r.err)
		}
		var v Resolved
		f.fill(t, reflect.ValueOf(&v).Elem())
		somebody(&v)
		if got := r.resolved(transferred(t, resolvedToWire(&v))); r.err != nil || !reflect.DeepEqual(got, v) {
			t.Fatalf("seed %d:\n%+v\ncame as\n%+v, %v", seed, v, got, r.err)
		}
	}
}

// withoutBases: they are not for tools. Nobody's claim is none.
func withoutBases(c *msg.Claim) {
	if c.Bases = nil; c.Owner.Boot == 0 {
		*c = msg.Claim{}
	}
}

// somebody makes all in v who have an address, but no boot, nobody.
func somebody(v any) {
	var walk func(reflect.Value)
	walk = func(v reflect.Value) {
		switch {
		case v.Type() == reflect.TypeFor[ring.Ref]():
			if v.Interface().(ring.Ref).None() {
				v.SetZero()
			}
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		}
	}
	walk(reflect.ValueOf(v).Elem())
}

// transferred is m as it comes out at the other side.
func transferred[M proto.Message](t *testing.T, m M) M {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	got := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, got); err != nil {
		t.Fatal(err)
	}
	return got.(M)
}

func TestAnswersThatCantBeRead(t *testing.T) {
	t.Parallel()
	self := &pb.Ref{Id: "1", Boot: 2, Addr: "h:1"}
	for want, w := range map[string]*pb.InfoReply{
		"it doesn't say who it is": {Bits: 8},
		"2^0 places":               {Self: self},
		"2^161 places":             {Self: self, Bits: 161},
		"not a decimal number":     {Self: &pb.Ref{Id: "one", Boot: 2}, Bits: 8},
		"outside of the ring":      {Self: &pb.Ref{Id: strings.Repeat("9", 50), Boot: 2}, Bits: 8},
	} {
		var r reader
		r.status(&pb.StatusReply{Info: w, Fingers: []*pb.Finger{{K: 1 << 30}}})
		if r.err == nil || !strings.Contains(r.err.Error(), want) {
			t.Errorf("%v: %v", w, r.err)
		}
	}
}

func batchOfWrites(n, size int) *msg.Batch {
	m := &msg.Batch{First: 1}
	for i := range n {
		m.Items = append(m.Items, msg.Item{
			Kind: msg.Write, Term: msg.Term{Number: 3, Boot: 1 << 60}, Seq: uint64(1000 + i),
			Entry: msg.Entry{
				Key: fmt.Sprintf("key:%010d", i), Value: bytes.Repeat([]byte("v"), size), Stamp: uint64(time.Now().UnixMicro()) << 12,
				By: msg.OpID{Client: 1 << 50, Number: uint64(i), Oldest: uint64(i)},
			},
		})
	}
	return m
}
