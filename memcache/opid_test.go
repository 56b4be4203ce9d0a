package memcache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc/store"
)

func TestOpIDOverTheWire(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]OpID{
		"torcAAAAAAAAAAEAAAAAAAAAAgAAAAE": {Client: 1, Number: 2, Oldest: 1},
		"torcAAAAAAAAAAEAAAAAAAAAAgAAAAA": {Client: 1, Number: 2, Oldest: 2},
		"torc_____________________wAAAAA": {Client: math.MaxUint64, Number: math.MaxUint64, Oldest: math.MaxUint64},
	} {
		id, ok := parseOpID([]byte(text))
		if !ok || id != want || string(appendOpID(nil, want)) != text || len(text)+len("O") != maxOpaque {
			t.Errorf("%q is %+v, %v; want %+v, which is %q", text, id, ok, want, appendOpID(nil, want))
		}
	}
	for _, text := range []string{
		"", "torc", "abcd", "torcAAAAAAAAAAEAAAAAAAAAAgAAAA", "torcAAAAAAAAAAEAAAAAAAAAAgAAAAAA",
		"Torc" + "AAAAAAAAAAEAAAAAAAAAAgAAAAE", // another's opaque
		"torcAAAAAAAAAAEAAAAAAAAAAgAAAAF",      // bits behind the last byte
		"torcAAAAAAAAAAEAAAAAAAAAAgAAAA/",      // another alphabet
		"torcAAAAAAAAAAEAAAAAAAAAAgAAAA=",
		"torcAAAAAAAAAAEAAAAAAAAAAAAAAAE", // an Oldest below 0
		"torcAAAAAAAAAAAAAAAAAAAAAAAAAAA", // the zero OpID
	} {
		if id, ok := parseOpID([]byte(text)); ok {
			t.Errorf("%q is taken for %+v", text, id)
		}
	}
}

// TestOpIDFarFromItsOldest wants a distance that 32 bits don't hold to say less,
// never that more is answered than is.
func TestOpIDFarFromItsOldest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ number, oldest, want uint64 }{
		{math.MaxUint32 - 1, 0, 0},
		{math.MaxUint32, 1, 1},
		{math.MaxUint32, 0, 0},
		{math.MaxUint32 + 9, 9, 0},
		{math.MaxUint32 + 9, 10, 10},
		{math.MaxUint64, 5, 0},
		{7, 8, 7}, // against the rules
	} {
		id, ok := parseOpID(appendOpID(nil, OpID{1, tc.number, tc.oldest}))
		if want := (OpID{1, tc.number, tc.want}); !ok || id != want {
			t.Errorf("%d with %d the oldest is %+v, %v; want %+v", tc.number, tc.oldest, id, ok, want)
		}
	}
}

// TestRequestHasTheOpIDOfItsQuery sends queries with all that may go with an
// OpID through encoder and parser.
func TestRequestHasTheOpIDOfItsQuery(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Uint64().Draw(t, "number")
		id := OpID{
			Client: rapid.Uint64().Draw(t, "client"),
			Number: number,
			Oldest: number - min(number, uint64(rapid.Uint32Max(math.MaxUint32-1).Draw(t, "distance"))),
		}
		q := query{
			op: rapid.SampledFrom([]op{opSet, opDelete}).Draw(t, "op"), id: id,
			key: rapid.StringN(1, 60, MaxBinaryKeyLen).Draw(t, "key"),
			cas: rapid.Uint64().Draw(t, "cas"), mode: rapid.SampledFrom([]Mode{ModeSet, ModeCAS, ModeAppend}).Draw(t, "mode"),
			exp: rapid.Int64Range(0, math.MaxInt32).Draw(t, "exp"), flags: rapid.Uint32().Draw(t, "flags"),
		}
		q.encoded, _ = checkKey(q.key)
		wire := appendQuery(nil, &q, 99)
		if len(wire) >= q.maxLen() {
			t.Errorf("%d bytes, and maxLen is %d", len(wire), q.maxLen())
		}
		line, _, _ := strings.Cut(string(wire), "\r\n")
		var r Request
		if err := ParseRequest([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got, ok := r.OpID()
		if got != id || ok != (id != OpID{}) || string(r.Key) != q.key {
			t.Errorf("%q has %+v, %v; want %+v", line, got, ok, id)
		}
	})
}

// FuzzOpID wants no panic, and one text for one OpID.
func FuzzOpID(f *testing.F) {
	f.Add([]byte("torcAAAAAAAAAAEAAAAAAAAAAgAAAAE"))
	f.Add(appendOpID(nil, OpID{math.MaxUint64, math.MaxUint64, 0}))
	f.Add([]byte("abcd"))
	f.Fuzz(func(t *testing.T, opaque []byte) {
		id, ok := parseOpID(opaque)
		if !ok {
			if id != (OpID{}) {
				t.Errorf("%q is none, and %+v", opaque, id)
			}
			return
		}
		if id.Oldest > id.Number {
			t.Errorf("%+v: the oldest is after the write", id)
		}
		again, ok := parseOpID(appendOpID(nil, id))
		if !ok || again != id {
			t.Errorf("%q is %+v, and that is written as %+v", opaque, id, again)
		}
		if id.Oldest > 0 && string(appendOpID(nil, id)) != string(opaque) {
			t.Errorf("%q and %q are both %+v", opaque, appendOpID(nil, id), id)
		}
	})
}

func TestOtherOpaquesAreNoOpID(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"md a", "md a Oabcd", "md a q O", "delete a", "ms a 1 Otorc", "get torcAAAAAAAAAAEAAAAAAAAAAgAAAAE"} {
		var r Request
		if err := ParseRequest([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if id, ok := r.OpID(); ok {
			t.Errorf("%q has %+v", line, id)
		}
	}
}

// opIDs notes which OpIDs came, and answers as a store.
type opIDs struct {
	h  Handler
	mu struct {
		sync.Mutex
		came []OpID
	}
}

func (o *opIDs) ServeMemcache(w *ResponseWriter, r *Request) {
	if id, ok := r.OpID(); ok {
		o.mu.Lock()
		o.mu.came = append(o.mu.came, id)
		o.mu.Unlock()
		if id.Number == 13 {
			w.Error("SERVER_ERROR moved 7 h:1")
			return
		}
	}
	o.h.ServeMemcache(w, r)
}

// TestWritesWithAnOpID sends all kinds of answers back to writes with an OpID,
// among requests without.
func TestWritesWithAnOpID(t *testing.T) {
	t.Parallel()
	h := &opIDs{h: NewHandler(store.New(store.Config{}))}
	s := &Server{Handler: h}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	}()
	c := NewClient(l.Addr().String(), Config{})
	defer c.Close()
	ctx := context.Background()
	number := uint64(0)
	id := func() OpID { number++; return OpID{Client: 42, Number: number, Oldest: max(number, 3) - 2} }

	cas, err := c.SetOp(ctx, Item{Key: "a", Value: []byte("x")}, ModeSet, id())
	if err != nil || cas == 0 {
		t.Fatal(cas, err)
	}
	_, added := c.SetOp(ctx, Item{Key: "a"}, ModeAdd, id())
	_, changed := c.SetOp(ctx, Item{Key: "a", CAS: cas + 1}, ModeCAS, id())
	_, gone := c.SetOp(ctx, Item{Key: "b\x00b", CAS: 1}, ModeCAS, id())
	other := c.DeleteOp(ctx, "a", cas+1, id())
	done := c.DeleteOp(ctx, "a", cas, id())
	again := c.DeleteOp(ctx, "a", 0, id())
	number = 12
	_, moved := c.SetOp(ctx, Item{Key: "a"}, ModeSet, id())
	got := fmt.Sprint(added, "; ", changed, "; ", gone, "; ", other, "; ", done, "; ", again, "; ", moved)
	want := fmt.Sprint(ErrNotStored, "; ", ErrExists, "; ", ErrNotFound, "; ", ErrExists, "; ", nil, "; ", ErrNotFound, "; ",
		&ServerError{Addr: c.addr, Line: "SERVER_ERROR moved 7 h:1"})
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}

	var g Group
	set := g.SetOp(c, Item{Key: "a", Value: []byte("y")}, ModeSet, id())
	get := g.Get(c, "a")
	del := g.DeleteOp(c, "a", 0, id())
	g.Wait(ctx)
	if item, err := g.Item(get); err != nil || string(item.Value) != "y" || g.Err(set) != nil || g.Err(del) != nil {
		t.Errorf("group: %v, %v, %v, %v", item, err, g.Err(set), g.Err(del))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mu.came) != 10 || h.mu.came[9] != (OpID{42, 15, 13}) {
		t.Errorf("the server got %+v", h.mu.came)
	}
}

// TestAnAnswerToAnotherOpID wants the connection given up and nothing believed.
func TestAnAnswerToAnotherOpID(t *testing.T) {
	t.Parallel()
	mine, other := echo{id: OpID{1, 2, 2}}, OpID{1, 3, 3}
	for line, fits := range map[string]bool{
		"HD O" + string(appendOpID(nil, mine.id)): true,
		"HD O" + string(appendOpID(nil, other)):   false,
		"HD Oabcd":                                false,
		"HD":                                      false,
		"SERVER_ERROR no room":                    true,
	} {
		r := newAnswerReader(strings.NewReader(""), 10)
		if _, err := r.answer([]byte(line), opSet, mine, true); (err == nil) != fits {
			t.Errorf("%q: %v", line, err)
		}
	}
	plain := echo{opaque: 5}
	if plain.is(appendOpID(nil, mine.id)) {
		t.Error("an OpID fits a query without")
	}
}

func BenchmarkOpID(b *testing.B) {
	b.ReportAllocs()
	room := make([]byte, 0, opIDLen)
	for b.Loop() {
		if _, ok := parseOpID(appendOpID(room, OpID{1 << 40, 1 << 30, 1<<30 - 5})); !ok {
			b.Fatal("lost")
		}
	}
}
