package memcachetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// Run holds the server at addr against what memcached 1.6.18 does, as far as
// package memcache's client relies on it. It empties the server, and has it to
// itself while it runs.
func Run(t *testing.T, addr string) {
	tests := []struct {
		name string
		run  func(*testing.T, *memcache.Client)
	}{
		{"set and get", testSetGet},
		{"miss", testMiss},
		{"flags and CAS", testFlagsCAS},
		{"modes", testModes},
		{"ModeCAS", testModeCAS},
		{"delete", testDelete},
		{"incr", testIncr},
		{"TTL", testTTL},
		{"expiry", testExpiry},
		{"any key", testAnyKey},
		{"any value", testAnyValue},
		{"too large", testTooLarge},
		{"flush", testFlushAll},
		{"version, stats, ping", testAdmin},
		{"metadump", testMetadump},
		{"unknown stats", testUnknownStats},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := memcache.NewClient(addr, memcache.Config{})
			t.Cleanup(func() { c.Close() })
			if err := c.FlushAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			test.run(t, c)
		})
	}
}

// must stops the test on err.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// set stores an item and stops the test if that fails.
func set(t *testing.T, c *memcache.Client, key, value string) (cas uint64) {
	t.Helper()
	cas, err := c.Set(t.Context(), memcache.Item{Key: key, Value: []byte(value)}, memcache.ModeSet)
	must(t, err)
	return cas
}

// wantValue stops the test unless the item at key has that value.
func wantValue(t *testing.T, c *memcache.Client, key, value string) memcache.Item {
	t.Helper()
	item, err := c.Get(t.Context(), key)
	must(t, err)
	if string(item.Value) != value {
		t.Fatalf("value at %q is %q, want %q", key, item.Value, value)
	}
	return item
}

// wantError stops the test unless err is target.
func wantError(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error is %v, want %v", err, target)
	}
}

func testSetGet(t *testing.T, c *memcache.Client) {
	set(t, c, "k", "v1")
	item := wantValue(t, c, "k", "v1")
	if item.Key != "k" || item.Flags != 0 || item.TTL != 0 || item.CAS == 0 {
		t.Errorf("item is %+v", item)
	}
	set(t, c, "k", "v2")
	wantValue(t, c, "k", "v2")
}

func testMiss(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	_, err := c.Get(ctx, "none")
	wantError(t, err, memcache.ErrNotFound)
	_, err = c.GetAndTouch(ctx, "none", time.Minute)
	wantError(t, err, memcache.ErrNotFound)
	wantError(t, c.Touch(ctx, "none", time.Minute), memcache.ErrNotFound)
	wantError(t, c.Delete(ctx, "none", 0), memcache.ErrNotFound)
	wantError(t, c.Delete(ctx, "none", 7), memcache.ErrNotFound)
	_, err = c.Incr(ctx, "none", 1)
	wantError(t, err, memcache.ErrNotFound)
}

func testFlagsCAS(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	for _, flags := range []uint32{1, 1<<31 + 5, 1<<32 - 1} {
		cas, err := c.Set(ctx, memcache.Item{Key: "k", Value: []byte("v"), Flags: flags}, memcache.ModeSet)
		must(t, err)
		item := wantValue(t, c, "k", "v")
		if item.Flags != flags || item.CAS != cas {
			t.Errorf("flags %d and CAS %d came back as %d and %d", flags, cas, item.Flags, item.CAS)
		}
	}
	before := wantValue(t, c, "k", "v").CAS
	if set(t, c, "k", "v") == before {
		t.Error("two writes have the same CAS")
	}
}

func testModes(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	do := func(value string, mode memcache.Mode) error {
		_, err := c.Set(ctx, memcache.Item{Key: "k", Value: []byte(value), Flags: 3}, mode)
		return err
	}
	wantError(t, do("x", memcache.ModeReplace), memcache.ErrNotStored)
	wantError(t, do("x", memcache.ModeAppend), memcache.ErrNotStored)
	wantError(t, do("x", memcache.ModePrepend), memcache.ErrNotStored)
	must(t, do("b", memcache.ModeAdd))
	wantError(t, do("x", memcache.ModeAdd), memcache.ErrNotStored)
	must(t, do("c", memcache.ModeAppend))
	must(t, do("a", memcache.ModePrepend))
	if item := wantValue(t, c, "k", "abc"); item.Flags != 3 {
		t.Errorf("flags are %d", item.Flags)
	}
	must(t, do("r", memcache.ModeReplace))
	wantValue(t, c, "k", "r")
}

func testModeCAS(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	do := func(value string, cas uint64) (uint64, error) {
		return c.Set(ctx, memcache.Item{Key: "k", Value: []byte(value), CAS: cas}, memcache.ModeCAS)
	}
	_, err := do("x", 1)
	wantError(t, err, memcache.ErrNotFound)
	cas := set(t, c, "k", "v1")
	next, err := do("v2", cas)
	must(t, err)
	_, err = do("x", cas)
	wantError(t, err, memcache.ErrExists)
	_, err = do("x", 0)
	wantError(t, err, memcache.ErrExists)
	if item := wantValue(t, c, "k", "v2"); item.CAS != next {
		t.Errorf("CAS is %d, Set said %d", item.CAS, next)
	}
}

func testDelete(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	set(t, c, "k", "v")
	must(t, c.Delete(ctx, "k", 0))
	_, err := c.Get(ctx, "k")
	wantError(t, err, memcache.ErrNotFound)
	cas := set(t, c, "k", "v")
	wantError(t, c.Delete(ctx, "k", cas+1), memcache.ErrExists)
	must(t, c.Delete(ctx, "k", cas))
	_, err = c.Get(ctx, "k")
	wantError(t, err, memcache.ErrNotFound)
}

func testIncr(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	want := func(delta int64, sum uint64) {
		t.Helper()
		got, err := c.Incr(ctx, "n", delta)
		must(t, err)
		if got != sum {
			t.Fatalf("after %+d the sum is %d, want %d", delta, got, sum)
		}
	}
	set(t, c, "n", "100")
	want(11, 111)
	want(-12, 99)
	want(0, 99)
	want(-1000, 0)
	want(1<<63-1, 1<<63-1)
	want(1<<63-1, 1<<64-2)
	want(3, 1) // it goes round at 2^64
	want(-1<<63, 0)
	set(t, c, "n", "word")
	_, err := c.Incr(ctx, "n", 1)
	var se *memcache.ServerError
	if !errors.As(err, &se) {
		t.Errorf("error is %v, want a *ServerError", err)
	}
	wantValue(t, c, "n", "word")
}

func testTTL(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	// The server counts whole seconds, and one may pass in between.
	near := func(got, want time.Duration) {
		t.Helper()
		if got > want || got < want-5*time.Second {
			t.Errorf("TTL is %v, want %v", got, want)
		}
	}
	for _, ttl := range []time.Duration{90 * time.Second, 30 * 24 * time.Hour, 31 * 24 * time.Hour, 3650 * 24 * time.Hour} {
		_, err := c.Set(ctx, memcache.Item{Key: "k", Value: []byte("v"), TTL: ttl}, memcache.ModeSet)
		must(t, err)
		near(wantValue(t, c, "k", "v").TTL, ttl+time.Second)
	}
	must(t, c.Touch(ctx, "k", time.Hour))
	near(wantValue(t, c, "k", "v").TTL, time.Hour)
	item, err := c.GetAndTouch(ctx, "k", 2*time.Hour)
	must(t, err)
	near(item.TTL, 2*time.Hour)
	must(t, c.Touch(ctx, "k", 0))
	if ttl := wantValue(t, c, "k", "v").TTL; ttl != 0 {
		t.Errorf("TTL is %v after Touch with 0", ttl)
	}
}

func testExpiry(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	_, err := c.Set(ctx, memcache.Item{Key: "past", Value: []byte("v"), TTL: -time.Second}, memcache.ModeSet)
	must(t, err)
	_, err = c.Get(ctx, "past")
	wantError(t, err, memcache.ErrNotFound)

	set(t, c, "touched", "v")
	must(t, c.Touch(ctx, "touched", -time.Second))
	_, err = c.Get(ctx, "touched")
	wantError(t, err, memcache.ErrNotFound)

	_, err = c.Set(ctx, memcache.Item{Key: "soon", Value: []byte("v"), TTL: time.Nanosecond}, memcache.ModeSet)
	must(t, err)
	deadline := time.Now().Add(5 * time.Second)
	for {
		if _, err = c.Get(ctx, "soon"); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("an item with a TTL of a second is still there after 5")
		}
		time.Sleep(20 * time.Millisecond)
	}
	wantError(t, err, memcache.ErrNotFound)
}

// oddKeys are keys that only go over the wire encoded, and some that look as if
// they had been.
func oddKeys() []string {
	keys := []string{
		"a", strings.Repeat("k", memcache.MaxKeyLen), "!~%&=", "b", "mg", "Zm9v", "foo",
		" ", "with space", "tab\t", "line\r\nmn\r\n", "\x00", "\x7f", "ä", "日本語", "\xff\xfe",
		strings.Repeat("ÿ", memcache.MaxBinaryKeyLen/2),
	}
	for n := 1; n < 6; n++ {
		keys = append(keys, strings.Repeat(" ", n), strings.Repeat("\x01", memcache.MaxBinaryKeyLen-n))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func testAnyKey(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	keys := oddKeys()
	for i, k := range keys {
		set(t, c, k, fmt.Sprint(i))
	}
	for i, k := range keys {
		if item := wantValue(t, c, k, fmt.Sprint(i)); item.Key != k {
			t.Errorf("the item at %q has the key %q", k, item.Key)
		}
		must(t, c.Touch(ctx, k, time.Hour))
		sum, err := c.Incr(ctx, k, 1)
		must(t, err)
		if sum != uint64(i)+1 {
			t.Errorf("the sum at %q is %d", k, sum)
		}
		must(t, c.Delete(ctx, k, 0))
		_, err = c.Get(ctx, k)
		wantError(t, err, memcache.ErrNotFound)
	}
}

func testAnyValue(t *testing.T, c *memcache.Client) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	values := []string{"", "\r\n", "END\r\n", "VA 1 Oabcd\r\nx\r\n", string(all), strings.Repeat("\x00", 70_000), strings.Repeat("ab\r\n", 200_000)}
	for i, v := range values {
		set(t, c, fmt.Sprint("k", i), v)
	}
	for i, v := range values {
		item, err := c.Get(t.Context(), fmt.Sprint("k", i))
		must(t, err)
		if !bytes.Equal(item.Value, []byte(v)) {
			t.Errorf("value %d of %d bytes came back as %d other bytes", i, len(v), len(item.Value))
		}
	}
}

func testTooLarge(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	for range 3 {
		for _, mode := range []memcache.Mode{memcache.ModeAdd, memcache.ModeSet} {
			_, err := c.Set(ctx, memcache.Item{Key: "big", Value: bytes.Repeat([]byte("mn\r\n"), memcache.DefaultMaxItemSize/4+1)}, mode)
			wantError(t, err, memcache.ErrTooLarge)
		}
		// The stream is still in step, on this connection.
		set(t, c, "big", "small")
		wantValue(t, c, "big", "small")
		must(t, c.Delete(ctx, "big", 0))
	}
	if since, err := c.Failing(); err != nil || !since.IsZero() {
		t.Errorf("failing since %v: %v", since, err)
	}
}

func testFlushAll(t *testing.T, c *memcache.Client) {
	for i := range 20 {
		set(t, c, fmt.Sprint("k", i), "v")
	}
	must(t, c.FlushAll(t.Context()))
	for i := range 20 {
		_, err := c.Get(t.Context(), fmt.Sprint("k", i))
		wantError(t, err, memcache.ErrNotFound)
	}
	set(t, c, "k1", "new")
	wantValue(t, c, "k1", "new")
}

func testAdmin(t *testing.T, c *memcache.Client) {
	ctx := t.Context()
	must(t, c.Ping(ctx))
	version, err := c.Version(ctx)
	must(t, err)
	if version == "" {
		t.Error("no version")
	}
	stats, err := c.Stats(ctx)
	must(t, err)
	for _, name := range []string{"pid", "uptime", "version", "curr_items", "limit_maxbytes", "cmd_get"} {
		if stats[name] == "" {
			t.Errorf("stats has no %s", name)
		}
	}
	if stats["version"] != version {
		t.Errorf("version is %q, and in stats %q", version, stats["version"])
	}
}

func testUnknownStats(t *testing.T, c *memcache.Client) {
	_, err := c.Stats(t.Context(), "nosuch")
	var se *memcache.ServerError
	if !errors.As(err, &se) {
		t.Errorf("error is %v, want a *ServerError", err)
	}
	must(t, c.Ping(t.Context()))
}

func testMetadump(t *testing.T, c *memcache.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	want := make(map[string]uint64)
	for _, k := range append(oddKeys(), "with-ttl") {
		item := memcache.Item{Key: k, Value: []byte("v")}
		if k == "with-ttl" {
			item.TTL = time.Hour
		}
		cas, err := c.Set(ctx, item, memcache.ModeSet)
		must(t, err)
		want[k] = cas
	}
	dumps := map[string]func(context.Context) iter.Seq2[memcache.KeyInfo, error]{"Metadump": c.Metadump, "MetadumpHash": c.MetadumpHash}
	for name, dump := range dumps {
		got := make(map[string]uint64)
		for info, err := range dump(ctx) {
			must(t, err)
			got[info.Key] = info.CAS
			ttl := time.Until(info.Expires)
			switch {
			case info.Key == "with-ttl":
				if ttl < 50*time.Minute || ttl > time.Hour+5*time.Second {
					t.Errorf("%q expires in %v, want an hour", info.Key, ttl)
				}
			case !info.Expires.IsZero():
				t.Errorf("%q expires at %v, want never", info.Key, info.Expires)
			}
			if info.Size <= 0 {
				t.Errorf("%q has size %d", info.Key, info.Size)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v\nwant %v", name, got, want)
		}
	}
	// A dump that is left early leaves the client as it was.
	for _, err := range c.Metadump(ctx) {
		must(t, err)
		break
	}
	must(t, c.Ping(ctx))
}
