package state

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/torc-dht/torc/replica/internal/msg"
)

func put(key, value string) *msg.Op {
	return &msg.Op{Kind: msg.Put, Key: key, Value: []byte(value)}
}

func remove(key string) *msg.Op { return &msg.Op{Kind: msg.Delete, Key: key} }

func with(op *msg.Op, change func(*msg.Op)) *msg.Op {
	change(op)
	return op
}

// show is a result in short: status, what was found, what was written.
func show(r msg.Result) string {
	names := [...]string{"?", "OK", "NotFound", "Exists", "Conflict", "Full", "Superseded", "Repeated"}
	s := names[r.Status]
	if r.Found {
		s += fmt.Sprintf(" found %q %d-%d", r.Old, r.OldVersion.Epoch, r.OldVersion.Seq)
	}
	if r.Version != (msg.Version{}) {
		s += fmt.Sprintf(" wrote %d-%d", r.Version.Epoch, r.Version.Seq)
	}
	return s
}

func expect(t *testing.T, got msg.Result, want string) {
	t.Helper()
	if show(got) != want {
		t.Errorf("got %s, want %s", show(got), want)
	}
}

// all returns an image as one piece, made of chunks of about size bytes.
func all(im *Image, size int) []byte {
	im.Restart()
	var b []byte
	for {
		chunk, last := im.Next(size)
		b = append(b, chunk...)
		if last {
			return b
		}
	}
}

// reload sends a state through chunks of about size bytes.
func reload(s *State, size int) (*State, error) {
	l := NewLoader(s.limits)
	im := s.Image()
	for {
		chunk, last := im.Next(size)
		if err := l.Add(chunk); err != nil {
			return nil, err
		}
		if last {
			return l.State()
		}
	}
}

func TestWrites(t *testing.T) {
	t.Parallel()
	s := New(Limits{})
	expect(t, s.Get("a"), "NotFound")
	expect(t, s.Apply(1, 10, put("a", "x")), "OK wrote 1-1")
	expect(t, s.Apply(1, 11, put("a", "y")), `OK found "x" 1-1 wrote 1-2`)
	expect(t, s.Get("a"), `OK found "y" 1-2`)
	expect(t, s.Apply(2, 12, remove("a")), `OK found "y" 1-2 wrote 2-3`)
	expect(t, s.Apply(2, 12, remove("a")), "NotFound")
	expect(t, s.Get("a"), "NotFound")
	if s.Seq() != 3 || s.Len() != 0 || s.Bytes() != 0 || s.Now() != 12 {
		t.Error(s.Seq(), s.Len(), s.Bytes(), s.Now())
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	s := New(Limits{})
	when := func(c msg.Cond, seq uint64) *msg.Op {
		return with(put("a", "new"), func(op *msg.Op) { op.Cond, op.Version = c, msg.Version{Epoch: 1, Seq: seq} })
	}
	expect(t, s.Apply(1, 0, when(msg.IfPresent, 0)), "NotFound")
	expect(t, s.Apply(1, 0, when(msg.IfVersion, 1)), "NotFound")
	expect(t, s.Apply(1, 0, when(msg.IfAbsent, 0)), "OK wrote 1-1")
	expect(t, s.Apply(1, 0, when(msg.IfAbsent, 0)), `Exists found "" 1-1`)
	expect(t, s.Apply(1, 0, when(msg.IfVersion, 2)), `Conflict found "" 1-1`)
	expect(t, s.Apply(1, 0, when(msg.IfVersion, 1)), `OK found "new" 1-1 wrote 1-2`)
	expect(t, s.Apply(1, 0, when(msg.IfPresent, 0)), `OK found "new" 1-2 wrote 1-3`)
}

// What is due at a time is gone at that time, not after it.
func TestDue(t *testing.T) {
	t.Parallel()
	const minute = 60_000_000
	s := New(Limits{})
	if at, ok := s.Due(); ok {
		t.Errorf("something is due at %d", at)
	}
	swap := with(put("a", "x"), func(op *msg.Op) { op.Expires, op.ID = 2*minute, msg.OpID{Client: 1, Seq: 1} })
	expect(t, s.Apply(1, minute, swap), "OK wrote 1-1")
	if at, ok := s.Due(); at != 2*minute || !ok {
		t.Errorf("due at %d, %v", at, ok)
	}
	expire := &msg.Op{Kind: msg.Expire}
	expect(t, s.Apply(1, 2*minute-1, expire), "OK")
	expect(t, s.Get("a"), `OK found "x" 1-1`)
	expect(t, s.Apply(1, 2*minute, expire), "OK")
	expect(t, s.Get("a"), "NotFound")
	if at, ok := s.Due(); ok {
		t.Errorf("something is due at %d", at)
	}

	// An operation is known for ten minutes.
	s.Apply(1, 11*minute-1, expire)
	expect(t, s.Apply(1, 0, swap), "OK wrote 1-1")
	expect(t, s.Get("a"), "NotFound")
	swap.Expires = 20 * minute
	expect(t, s.Apply(1, 11*minute, swap), "OK wrote 1-2")

	// A grave stays for an hour from when the entry expired.
	s.Apply(1, 80*minute-1, expire)
	if s.items.Len() != 1 || s.Len() != 0 {
		t.Errorf("%d items, %d of them entries", s.items.Len(), s.Len())
	}
	s.Apply(1, 80*minute, expire)
	if s.items.Len() != 0 {
		t.Errorf("%d items", s.items.Len())
	}
}

func TestImageStays(t *testing.T) {
	t.Parallel()
	s := New(Limits{})
	for i := range 1000 {
		s.Apply(1, uint64(i), put(fmt.Sprint(i), "old"))
	}
	im := s.Image()
	before := all(im, 100)
	for i := range 2000 {
		s.Apply(1, 1000, put(fmt.Sprint(i), "new"))
	}
	if !bytes.Equal(all(im, 5000), before) {
		t.Error("an image has changed")
	}
	again, err := reload(s, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(all(again.Image(), 1<<20), all(s.Image(), 1<<20)) {
		t.Error("what was loaded is not what was sent")
	}
}
