package tabletest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/torc-dht/torc"
)

func (s *suite) testBasics(f *fixture) {
	k := f.key("k")
	f.lacks(k)
	f.fails(f.Delete(f.ctx, k), "delete", k, torc.ErrNotFound)
	f.put(k, "first")
	f.holds(k, "first")
	f.put(k, "second, and longer")
	f.holds(k, "second, and longer")
	f.put(k, "3")
	f.holds(k, "3")
	f.delete(k)
	f.lacks(k)
	f.fails(f.Delete(f.ctx, k), "delete", k, torc.ErrNotFound)
	f.put(k, "again")
	f.holds(k, "again")
}

// A version names a write: reads show the same one until the next write, of the
// same value too.
func (s *suite) testVersions(f *fixture) {
	k := f.key("k")
	seen := make(map[torc.Version]bool)
	for i := range 5 {
		f.put(k, "same")
		v := f.holds(k, "same")
		if v == (torc.Version{}) || seen[v] {
			f.Fatalf("write %d has the version %v, of %v before it", i, v, seen)
		}
		if again := f.holds(k, "same"); again != v {
			f.Fatalf("one write was read with the versions %v and %v", v, again)
		}
		seen[v] = true
		if i%2 == 1 {
			f.delete(k)
		}
	}
}

func (s *suite) testConditions(f *fixture) {
	k := f.key("k")
	put := func(value string, opt torc.PutOption) error { return f.Put(f.ctx, k, []byte(value), opt) }
	if s.lacks[Conditions] {
		for _, opt := range []torc.PutOption{torc.IfAbsent(), torc.IfPresent(), torc.IfVersion(torc.Version{Epoch: 1, Seq: 1})} {
			f.fails(put("x", opt), "put", k, torc.ErrUnsupported)
		}
		f.lacks(k)
		return
	}

	f.fails(put("x", torc.IfPresent()), "put", k, torc.ErrNotFound)
	f.lacks(k)
	f.put(k, "a", torc.IfAbsent())
	f.fails(put("x", torc.IfAbsent()), "put", k, torc.ErrExists)
	a := f.holds(k, "a")
	f.put(k, "b", torc.IfPresent())
	b := f.holds(k, "b")
	f.fails(put("x", torc.IfVersion(a)), "put", k, torc.ErrConflict)
	f.holds(k, "b")
	f.put(k, "c", torc.IfVersion(b))
	c := f.holds(k, "c")
	f.fails(put("x", torc.IfVersion(b)), "put", k, torc.ErrConflict)
	f.delete(k)
	f.fails(put("x", torc.IfVersion(c)), "put", k, torc.ErrNotFound)
	f.lacks(k)
	f.put(k, "c", torc.IfAbsent())
	f.fails(put("x", torc.IfVersion(c)), "put", k, torc.ErrConflict)
	f.holds(k, "c")

	// An empty entry is an entry.
	empty := f.key("empty")
	f.put(empty, "")
	f.fails(f.Put(f.ctx, empty, nil, torc.IfAbsent()), "put", empty, torc.ErrExists)
	f.put(empty, "no more", torc.IfVersion(f.holds(empty, "")))
}

func (s *suite) testTTL(f *fixture) {
	short, long, kept := f.key("short"), f.key("long"), f.key("kept")
	// Rounded up to 2 s, which even a clock of whole seconds makes more than 1.
	const ttl = 1500 * time.Millisecond
	if s.lacks[TTLs] {
		f.fails(f.Put(f.ctx, short, []byte("x"), torc.TTL(ttl)), "put", short, torc.ErrUnsupported)
		f.lacks(short)
		return
	}
	f.put(long, "l", torc.TTL(torc.MaxTTL))
	f.put(kept, "k", torc.TTL(ttl))
	f.put(kept, "for ever") // a Put without a TTL ends the one before it
	start := time.Now()
	f.put(short, "s", torc.TTL(ttl))
	f.holds(short, "s")
	for {
		asked := time.Now()
		_, err := f.Get(f.ctx, short)
		if err != nil {
			f.fails(err, "get", short, torc.ErrNotFound)
			break
		}
		if asked.Sub(start) > 5*time.Second {
			f.Fatalf("an entry with a TTL of %v lives after %v", ttl, asked.Sub(start))
		}
		time.Sleep(50 * time.Millisecond)
	}
	if lived := time.Since(start); lived < 900*time.Millisecond { // its clock may tick a little early
		f.Errorf("an entry with a TTL of %v lived for %v only", ttl, lived)
	}
	f.holds(long, "l")
	f.holds(kept, "for ever")
	if !s.lacks[Conditions] {
		f.fails(f.Put(f.ctx, short, nil, torc.IfPresent()), "put", short, torc.ErrNotFound)
		f.put(short, "s", torc.IfAbsent(), torc.TTL(time.Hour))
		f.holds(short, "s")
	}
}

// Options that make no sense are refused before anything is sent.
func (s *suite) testOptions(f *fixture) {
	k := f.key("k")
	for _, opts := range [][]torc.PutOption{
		{torc.IfAbsent(), torc.IfPresent()},
		{torc.IfVersion(torc.Version{})},
		{torc.TTL(0)},
		{torc.TTL(-time.Second)},
		{torc.TTL(torc.MaxTTL + 1)},
	} {
		f.fails(f.Put(f.ctx, k, []byte("x"), opts...), "put", k, torc.ErrInvalid)
	}
	f.lacks(k)
}

// awkwardKeys are keys that a protocol or an encoding might trip over.
func (s *suite) awkwardKeys() []string {
	keys := []string{
		" ", "  ", "a", "a ", " a", "a b", "a\tb", "A", "\x00", "a\x00", "a\x00b", "\r\n", "a\r\nget a\r\n", "\n",
		"\x7f", "\x80", "\xff\xfe", "é", "e\u0301", "日本語", "🗝", "\u200b", "%20", "+", "a/b", "../a", "/", "?", "#", "a,b", ":", "a:1",
		"YSBi", "YSBi==", "b", "noreply", "0", "-", "--help", `"`, `'`, `\`, "$(date)", "{}", "[]", "null",
	}
	for n := range 256 {
		keys = append(keys, string([]byte{'x', byte(n)}))
	}
	plain, other := strings.Repeat("p", s.plainKey), strings.Repeat("\xff", s.otherKey)
	return append(keys, plain, plain[1:], "q"+plain[1:], other, other[1:], " "+other[1:])
}

// Each awkward key has an entry of its own.
func (s *suite) testKeys(f *fixture) {
	keys := s.awkwardKeys()
	for i, k := range keys {
		f.put(k, fmt.Sprint(f.prefix, i))
	}
	for i, k := range keys {
		f.holds(k, fmt.Sprint(f.prefix, i))
		if _, err := f.Locate(f.ctx, k); err != nil {
			f.Errorf("Locate(%s): %v", torc.QuoteKey(k), err)
		}
	}
	for i, k := range keys {
		f.delete(k)
		f.lacks(k)
		if i+1 < len(keys) {
			f.holds(keys[i+1], fmt.Sprint(f.prefix, i+1))
		}
	}
}

func (s *suite) testWrongKeys(f *fixture) {
	wrong := []string{"", strings.Repeat("p", s.plainKey+1), strings.Repeat("\xff", s.otherKey+1), strings.Repeat("p", 1<<20)}
	for _, k := range wrong {
		f.everyCall(f.ctx, k, func(op string, err error) { f.fails(err, op, k, torc.ErrInvalid) })
	}
	f.put(f.key("k"), "the table still works")
}

func (s *suite) values(f *fixture) []string {
	all := make([]byte, 1<<16)
	for i := range all {
		all[i] = byte(i ^ i>>8)
	}
	values := []string{
		"", "v", "\r\n", "END\r\n", "v\r\nVALUE v 0 1\r\nx\r\nEND\r\n", "\x00", "\xff", string(all),
		string(bytes.Repeat(all, s.fits/len(all)+1)[:s.fits]),
	}
	for n := 1; n < s.fits; n *= 4 {
		values = append(values, string(bytes.Repeat([]byte(f.prefix), n/8+1)[:n]))
	}
	return values
}

func (s *suite) testValues(f *fixture) {
	one := f.key("one")
	for i, v := range s.values(f) {
		f.put(one, v)
		f.holds(one, v)
		f.put(f.key(fmt.Sprint(i)), v)
	}
	for i, v := range s.values(f) {
		f.holds(f.key(fmt.Sprint(i)), v)
	}
}

func (s *suite) testTooLarge(f *fixture) {
	k, none := f.key("k"), f.key("none")
	f.put(k, "old")
	before := f.holds(k, "old")
	for _, n := range []int{s.refused, 2 * s.refused} {
		value := make([]byte, n)
		f.fails(f.Put(f.ctx, k, value), "put", k, torc.ErrTooLarge)
		f.fails(f.Put(f.ctx, none, value), "put", none, torc.ErrTooLarge)
		if after := f.holds(k, "old"); after != before {
			f.Errorf("a Put that was refused changed the version from %v to %v", before, after)
		}
		f.lacks(none)
	}
	f.put(k, "new")
	f.holds(k, "new")
}

// The caller owns what it gave once Put has returned, and what it got.
func (s *suite) testOwnership(f *fixture) {
	k := f.key("k")
	buf := []byte("a value of the caller's")
	want := string(buf)
	if err := f.Put(f.ctx, k, buf); err != nil {
		f.Fatal(err)
	}
	clear(buf)
	e, err := f.Get(f.ctx, k)
	if err != nil || string(e.Value) != want {
		f.Fatalf("after the buffer was used again: %q, %v", e.Value, err)
	}
	clear(e.Value[:cap(e.Value)])
	_ = append(e.Value, "more"...)
	f.holds(k, want)

	// Nor do two callers get one buffer.
	x, errX := f.Get(f.ctx, k)
	y, errY := f.Get(f.ctx, k)
	if err := errors.Join(errX, errY); err != nil {
		f.Fatal(err)
	}
	clear(x.Value)
	if string(y.Value) != want {
		f.Errorf("two entries that were read share their bytes")
	}
}

// Entries of many keys written in between each other keep apart.
func (s *suite) testNeighbours(f *fixture) {
	const n = 500
	key := func(i int) string { return f.key(fmt.Sprint("n", i)) }
	for i := range n {
		f.put(key(i), fmt.Sprint(i))
	}
	for i := 0; i < n; i += 3 {
		f.delete(key(i))
	}
	for i := 1; i < n; i += 3 {
		f.put(key(i), fmt.Sprint("again ", i))
	}
	for i := range n {
		switch i % 3 {
		case 0:
			f.lacks(key(i))
		case 1:
			f.holds(key(i), fmt.Sprint("again ", i))
		case 2:
			f.holds(key(i), fmt.Sprint(i))
		}
	}
}
