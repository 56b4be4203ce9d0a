package state

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// busy returns a state that has some of everything.
func busy() *State {
	s := New(Limits{})
	for i := range uint64(20) {
		key := fmt.Sprint("key ", i%7)
		op := put(key, strings.Repeat("v", int(i)))
		op.ID = msg.OpID{Client: i % 3, Seq: 1 + i/3, Acked: i / 6}
		if i%4 == 0 {
			op.Expires = 1000 + 10*i
		}
		s.Apply(1+i/10, 900+i, op)
	}
	s.Apply(3, 1050, remove("key 3"))
	s.Apply(3, 1051, &msg.Op{Kind: msg.Merge, Key: "merged", Value: []byte("x"), Time: 5})
	return s
}

// Chunks are about as long as they were asked to be, and longer by one item or
// record at most.
func TestChunks(t *testing.T) {
	t.Parallel()
	s := busy()
	whole := all(s.Image(), 1<<20)
	for _, size := range []int{1, 10, 100, len(whole), len(whole) + 1} {
		im := s.Image()
		var got []byte
		for n := 0; ; n++ {
			chunk, last := im.Next(size)
			if len(chunk) == 0 || len(chunk) > size+100 || !last && len(chunk) < size {
				t.Errorf("of at most %d: chunk %d has %d bytes", size, n, len(chunk))
			}
			got = append(got, chunk...)
			if last {
				break
			}
		}
		if !bytes.Equal(got, whole) {
			t.Errorf("of at most %d: the chunks are not the image", size)
		}
	}
	if chunk, last := New(Limits{}).Image().Next(100); len(chunk) == 0 || !last {
		t.Errorf("an empty state has the chunk %q, last: %v", chunk, last)
	}
}

func TestLoaderRefuses(t *testing.T) {
	t.Parallel()
	whole := all(busy().Image(), 1<<20)
	load := func(l Limits, chunks ...[]byte) error {
		loader := NewLoader(l)
		for _, c := range chunks {
			if err := loader.Add(c); err != nil {
				if again := loader.Add(whole); again != err {
					t.Errorf("after %v came %v", err, again)
				}
				if _, again := loader.State(); again != err {
					t.Errorf("after %v came a state, or %v", err, again)
				}
				return err
			}
		}
		_, err := loader.State()
		return err
	}
	// Images of states that can't be.
	image := func(change func(s *State)) []byte {
		s := New(Limits{Bytes: 1000, Records: 2, RecordBytes: 400})
		s.now = 100
		change(s)
		return all(s.Image(), 1<<20)
	}
	few := Limits{Bytes: 1000, Records: 2, RecordBytes: 400}
	imageOf := func(it *item) []byte {
		return image(func(s *State) { s.items.Set(it.key, it) })
	}
	imageOfAll := func(rs ...*record) []byte {
		return image(func(s *State) {
			for i, r := range rs {
				r.order = uint64(i)
				s.records.ledger.add(r)
			}
		})
	}
	swapped := image(func(s *State) {
		s.items.Set("b", &item{key: "b"})
		s.items.Set("c", &item{key: "a"})
	})
	never := imageOf(&item{key: "k", expires: 1 << 20})
	never = append(never[:len(never)-3], 0)
	id := func(client, seq, acked uint64) msg.OpID { return msg.OpID{Client: client, Seq: seq, Acked: acked} }
	for _, c := range []struct {
		name   string
		limits Limits
		chunks [][]byte
		want   string
	}{
		{"nothing", Limits{}, nil, "cut off"},
		{"an empty chunk", Limits{}, [][]byte{{}}, "cut off"},
		{"another version", Limits{}, [][]byte{{9}}, "version 9: known is 1"},
		{"other limits", Limits{Bytes: 1}, [][]byte{whole}, "give all servers the same memory"},
		{"half of it", Limits{}, [][]byte{whole[:len(whole)/2]}, "cut off"},
		{"too much", Limits{}, [][]byte{whole, {0}}, "more than it says"},
		{"a chunk twice", Limits{}, [][]byte{whole, whole}, "more than it says"},
		{"a long chunk", Limits{}, [][]byte{make([]byte, maxChunk+1)}, "at most"},
		{"expired", few, [][]byte{imageOf(&item{key: "k", expires: 100})}, `key "k", which has expired`},
		{"keys out of order", few, [][]byte{swapped}, `key "a" behind "b"`},
		{"never expires", few, [][]byte{never}, `key "k", which expires at no time`},
		{"above its limit", few, [][]byte{imageOf(&item{key: "k", value: make([]byte, 1000)})}, "above its limits"},
		{"above its limit of graves", few, [][]byte{imageOf(&item{key: strings.Repeat("k", 400), removed: true})}, "above its limits"},
		{"no ID", few, [][]byte{imageOfAll(&record{id: id(0, 1, 0)})}, "can't be"},
		{"acked", few, [][]byte{imageOfAll(&record{id: id(1, 1, 1)})}, "can't be"},
		{"twice", few, [][]byte{imageOfAll(&record{id: id(1, 2, 0)}, &record{id: id(1, 2, 0)})}, "can't be"},
		{"acked less", few, [][]byte{imageOfAll(&record{id: id(1, 2, 1)}, &record{id: id(1, 3, 0)})}, "can't be"},
		{"of later", few, [][]byte{imageOfAll(&record{id: id(1, 2, 0), time: 101})}, "wrong place"},
		{"out of order", few, [][]byte{imageOfAll(&record{id: id(1, 2, 0), time: 9}, &record{id: id(1, 3, 0), time: 8})}, "wrong place"},
		{"too many", few, [][]byte{imageOfAll(&record{id: id(1, 2, 0)}, &record{id: id(2, 2, 0)}, &record{id: id(3, 2, 0)})}, "above its limits"},
		{"too many bytes", few, [][]byte{imageOfAll(&record{id: id(1, 2, 0), result: msg.Result{Found: true, Old: make([]byte, 401)}})}, "above its limits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := load(c.limits, c.chunks...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// A state is given out once.
func TestLoaderGivesOneState(t *testing.T) {
	t.Parallel()
	l := NewLoader(Limits{})
	if err := l.Add(all(busy().Image(), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.State(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.State(); err == nil {
		t.Error("a state was given out twice")
	}
}

// An image is read by one goroutine while another writes.
func TestImageBesideWrites(t *testing.T) {
	t.Parallel()
	s := busy()
	var wg sync.WaitGroup
	for round := range 20 {
		want := all(s.Image(), 1000)
		im := s.Image()
		wg.Go(func() {
			if !bytes.Equal(all(im, 100), want) {
				t.Error("an image has changed")
			}
		})
		for i := range uint64(200) {
			op := put(fmt.Sprint("key ", i%150), "beside")
			op.ID = msg.OpID{Client: 1 + i%9, Seq: 100 + uint64(round)*200 + i, Acked: uint64(round)*200 + i}
			op.Expires = 2000 + i
			s.Apply(4, 1060+uint64(round)*10+i, op)
			s.Apply(4, 0, remove(fmt.Sprint("key ", i%70)))
		}
	}
	wg.Wait()
}

// Whatever arrives, loading ends with a state or an error; a state can be sent on,
// and works.
func FuzzLoader(f *testing.F) {
	f.Add(all(busy().Image(), 1<<20), uint(60))
	f.Add(all(New(Limits{}).Image(), 1<<20), uint(0))
	op := rapid.Custom(func(t *rapid.T) *msg.Op { return someOp(t, 30, 1100) })
	f.Fuzz(func(t *testing.T, b []byte, cut uint) {
		l := NewLoader(Limits{})
		at := min(int(cut%1000), len(b))
		if l.Add(b[:at]) != nil || l.Add(b[at:]) != nil {
			return
		}
		s, err := l.State()
		if err != nil {
			return
		}
		again, err := reload(s, 100)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			op := op.Example(i)
			got, want := again.Apply(3, s.now+1, op), s.Apply(3, s.now+1, op)
			if show(got) != show(want) {
				t.Fatalf("%+v: got %s, want %s", op, show(got), show(want))
			}
		}
		if !bytes.Equal(all(again.Image(), 100), all(s.Image(), 100)) {
			t.Fatal("the image of what was loaded is another")
		}
	})
}
