package data

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

const million = 1_000_000

var circle = place.Circle(place.MaxBits)

// keys returns n different ones.
func keys(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, "user:%010d", uint64(i)*7919%1_000_000_007)
	}
	return all
}

// value returns 100 bytes of its own.
func value() []byte { return make([]byte, 100) }

// filled returns a Data with all keys.
func filled(keys [][]byte) *Data {
	d := New(circle)
	for i, key := range keys {
		d.Put(msg.Entry{Key: string(key), Value: value(), Stamp: uint64(i)})
	}
	return d
}

// Beside a map from keys to pointers, which can't be scanned by place.
func BenchmarkGet(b *testing.B) {
	keys := keys(million)
	b.Run("data", func(b *testing.B) {
		d, i := filled(keys), 0
		b.ReportAllocs()
		for b.Loop() {
			if e := d.Get(keys[i]); e == nil || e.Flags != 0 {
				b.Fatal(e)
			}
			i = (i + 7919) % million
		}
	})
	b.Run("map", func(b *testing.B) {
		m, i := plain(keys), 0
		b.ReportAllocs()
		for b.Loop() {
			if e := m[string(keys[i])]; e == nil || e.Flags != 0 {
				b.Fatal(e)
			}
			i = (i + 7919) % million
		}
	})
}

func plain(keys [][]byte) map[string]*msg.Entry {
	m := make(map[string]*msg.Entry)
	for i, key := range keys {
		text := string(key)
		m[text] = &msg.Entry{Key: text, Value: value(), Stamp: uint64(i)}
	}
	return m
}

// A write of an owner or of a holder, of a key that is there, and its record.
func BenchmarkWrite(b *testing.B) {
	keys := keys(million)
	d := filled(keys)
	text := make([]string, million)
	places := make([]place.Place, million)
	for i, key := range keys {
		text[i], places[i] = string(key), circle.OfKey(string(key))
	}
	v := value()
	i, number := 0, uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		number++
		op := msg.OpID{Client: 1 + number%64, Number: number, Oldest: number - min(number, 4096)}
		if _, known, answered := d.Recall(op); known || answered {
			b.Fatal(op)
		}
		d.Put(msg.Entry{Key: text[i], Value: v, Stamp: number, By: op})
		d.Record(msg.Record{Op: op, Place: places[i], Stamp: number, At: number})
		i = (i + 7919) % million
	}
}

// A new key, and its removal.
func BenchmarkPutRemove(b *testing.B) {
	keys := keys(million)
	d := filled(keys[million/2:])
	text := make([]string, million/2)
	for i := range text {
		text[i] = string(keys[i])
	}
	v, i := value(), 0
	b.ReportAllocs()
	for b.Loop() {
		d.Put(msg.Entry{Key: text[i], Value: v})
		d.Remove(text[i])
		i = (i + 7919) % len(text)
	}
}

// A quarter of a million entries, in chunks of 64 KB.
func BenchmarkScan(b *testing.B) {
	d := filled(keys(million))
	span := quarter()
	b.ReportAllocs()
	seen := 0
	for b.Loop() {
		for at, done := (Cursor{}), false; !done; {
			var entries []msg.Entry
			entries, _, at, done = d.Scan(span, at, 1<<16)
			seen += len(entries)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(seen), "ns/entry")
}

func quarter() msg.Span {
	var from, to place.Place
	from[0], to[0] = 0xe0, 0x20
	return msg.Span{From: from, To: to}
}

func BenchmarkSweepNothing(b *testing.B) {
	d := filled(keys(million))
	span := quarter()
	for b.Loop() {
		d.Sweep(span, 0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*d.Count(span)), "ns/entry")
}

func BenchmarkCount(b *testing.B) {
	d := filled(keys(million))
	span := quarter()
	for b.Loop() {
		d.Count(span)
	}
}

// What a million entries take to put there and to drop, in memory beside keys and
// values, and in the time of a garbage collection. Beside a map.
func BenchmarkMillion(b *testing.B) {
	keys := keys(million)
	b.Run("data", func(b *testing.B) {
		for range b.N {
			d := measured(b, func() *Data { return filled(keys) })
			began := time.Now()
			d.Drop(msg.Span{})
			b.ReportMetric(float64(time.Since(began).Nanoseconds())/million, "drop-ns/entry")
		}
	})
	b.Run("map", func(b *testing.B) {
		for range b.N {
			measured(b, func() map[string]*msg.Entry { return plain(keys) })
		}
	})
}

// measured reports what it takes to fill something with a million entries.
func measured[T any](b *testing.B, fill func() T) T {
	before := heap()
	began := time.Now()
	all := fill()
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/million, "put-ns/entry")
	const own = 16 + 112 // of a key and a value, as they are allocated
	b.ReportMetric(float64(heap()-before)/million-own, "B/entry")
	began = time.Now()
	const times = 5
	for range times {
		runtime.GC()
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds())/times, "gc-ms")
	return all
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
