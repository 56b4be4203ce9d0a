package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestFullStoreRefusesWritesAndServesReads(t *testing.T) {
	t.Parallel()
	s := New(Config{MaxBytes: 10 * (Overhead + 100), NoEvict: true, Shards: 1})
	var stored []string
	var err error
	for i := range 100 {
		key := fmt.Sprint(i)
		if err = s.Set([]byte(key), Item{Value: make([]byte, 90)}); err != nil {
			break
		}
		stored = append(stored, key)
	}
	if !errors.Is(err, ErrFull) || len(stored) != 10 {
		t.Fatalf("after %d items: %v; want ErrFull after 10", len(stored), err)
	}
	for _, key := range stored {
		if _, ok := s.Get([]byte(key)); !ok {
			t.Errorf("%s is gone from a full store", key)
		}
	}
	if err := s.Set([]byte("0"), Item{Value: make([]byte, 80)}); err != nil {
		t.Errorf("a write that takes no more room: %v", err)
	}
	if !s.Delete([]byte("1")) {
		t.Error("a full store must let go")
	}
	if err := s.Set([]byte("new"), Item{Value: make([]byte, 90)}); err != nil {
		t.Errorf("after a deletion: %v", err)
	}
}

func TestExpiredItemsMakeRoomBeforeLiveOnes(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	s := New(Config{MaxBytes: 2 * (Overhead + 10), Shards: 1, Now: func() time.Time { return now }})
	_ = s.Set([]byte("old"), Item{})
	_ = s.Set([]byte("brief"), Item{Expires: now.Add(time.Second).UnixNano()})
	now = now.Add(time.Second)
	_ = s.Set([]byte("new"), Item{})
	if _, ok := s.Get([]byte("old")); !ok {
		t.Error("a live item was evicted although one had expired")
	}
	if st := s.Stats(); st.Evictions != 0 || st.Expired != 1 || st.Items != 2 {
		t.Errorf("%+v", st)
	}
}

func TestItemLargerThanAShareIsRefused(t *testing.T) {
	t.Parallel()
	s := New(Config{MaxBytes: 4096, Shards: 1})
	_ = s.Set([]byte("k"), Item{Value: []byte("was")})
	if err := s.Set([]byte("k"), Item{Value: make([]byte, 4096)}); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("%v, want ErrTooLarge", err)
	}
	if it, ok := s.Get([]byte("k")); !ok || string(it.Value) != "was" {
		t.Error("a refused write has changed the item")
	}
}

// TestWalk wants every item that stays, once, while others come and go.
func TestWalk(t *testing.T) {
	t.Parallel()
	const stay = 20 * walkBatch
	s := New(Config{Shards: 4})
	for i := range stay {
		_ = s.Set(fmt.Appendf(nil, "stay%d", i), Item{})
	}
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = s.Set(fmt.Appendf(nil, "pass%d", i), Item{})
				s.Delete(fmt.Appendf(nil, "pass%d", i-1000))
			}
		}
	}()
	for range 20 {
		seen := map[string]int{}
		for it := range s.All() {
			seen[it.Key]++
		}
		for i := range stay {
			if n := seen[fmt.Sprint("stay", i)]; n != 1 {
				t.Fatalf("stay%d was seen %d times", i, n)
			}
		}
	}
	close(stop)
	<-stopped

	n := 0
	for range s.All() {
		if n++; n == walkBatch+1 {
			break
		}
	}
	s.Flush(time.Now())
	for it := range s.All() {
		t.Fatalf("%s outlived a flush", it.Key)
	}
}

// TestWalkAcrossFlush flushes in mid-walk: nothing flushed comes afterwards.
func TestWalkAcrossFlush(t *testing.T) {
	t.Parallel()
	s := New(Config{Shards: 2})
	for i := range 10 * walkBatch {
		_ = s.Set(fmt.Appendf(nil, "%d", i), Item{})
	}
	n := 0
	for range s.All() {
		if n++; n == 1 {
			s.Flush(time.Now())
		}
	}
	if n > walkBatch {
		t.Errorf("%d items after the flush", n-1)
	}
}

// TestConcurrentUpdates adds up under contention: no update is lost, and no
// number is given to two writes.
func TestConcurrentUpdates(t *testing.T) {
	t.Parallel()
	s := New(Config{Shards: 2})
	const workers, each = 8, 2000
	var wg sync.WaitGroup
	var writes atomic.Uint64
	for range workers {
		wg.Go(func() {
			for i := range each {
				key := fmt.Appendf(nil, "n%d", i%3)
				_, _ = s.Update(key, func(it *Item, _ bool) Action {
					var n uint64
					if it.Value != nil {
						n = binary.LittleEndian.Uint64(it.Value)
					}
					it.Value = binary.LittleEndian.AppendUint64(nil, n+1)
					return Write
				})
				writes.Add(1)
			}
		})
	}
	wg.Wait()
	var sum, newest uint64
	for it := range s.All() {
		sum += binary.LittleEndian.Uint64(it.Value)
		newest = max(newest, it.CAS)
	}
	if sum != workers*each || newest != writes.Load() {
		t.Errorf("counted to %d with newest version %d, want %d", sum, newest, workers*each)
	}
	for i := range s.shards {
		checkShard(t, &s.shards[i])
	}
}

// TestOverhead holds Size against what the heap says.
func TestOverhead(t *testing.T) {
	for _, tc := range []struct {
		n, value int
		ttl      int64
	}{{200_000, 10, 0}, {200_000, 100, 1 << 62}, {100_000, 1000, 0}, {450_000, 100, 0}} {
		before := heapInUse()
		s := New(Config{MaxBytes: 1 << 40, Shards: 16})
		for i := range tc.n {
			_ = s.Set(fmt.Appendf(nil, "key:%012d", i), Item{Value: append([]byte(nil), make([]byte, tc.value)...), Expires: tc.ttl})
		}
		took, counted := heapInUse()-before, int64(s.Stats().Bytes)
		ratio := float64(took) / float64(counted)
		t.Logf("%d items of %d bytes: %d bytes an item, counted %d (%.2f)", tc.n, tc.value, took/int64(tc.n), counted/int64(tc.n), ratio)
		if ratio < 0.8 || ratio > 1.15 {
			t.Errorf("counted %d bytes an item, the heap has %d", counted/int64(tc.n), took/int64(tc.n))
		}
		runtime.KeepAlive(s)
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestGetAllocatesNothing(t *testing.T) {
	s := New(Config{})
	key := []byte("a key of more than thirty-two bytes, which no temporary holds")
	_ = s.Set(key, Item{Value: make([]byte, 100)})
	if n := testing.AllocsPerRun(1000, func() {
		if _, ok := s.Get(key); !ok {
			t.Fatal("gone")
		}
	}); n != 0 {
		t.Errorf("%v allocations a Get", n)
	}
	var seen uint64
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = s.Update(key, func(it *Item, _ bool) Action { seen = it.CAS; return Bump })
	}); n != 0 {
		t.Errorf("%v allocations an Update that keeps (of version %d)", n, seen)
	}
}

func BenchmarkStore(b *testing.B) {
	const n = 1 << 16
	keys := make([][]byte, n)
	s := New(Config{MaxBytes: 1 << 30})
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key:%012d", i)
		_ = s.Set(keys[i], Item{Value: make([]byte, 100)})
	}
	var start atomic.Uint32
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			i := start.Add(n / 8)
			for pb.Next() {
				i++
				s.Get(keys[i%n])
			}
		})
	})
	b.Run("Set", func(b *testing.B) {
		b.ReportAllocs()
		value := make([]byte, 100)
		b.RunParallel(func(pb *testing.PB) {
			i := start.Add(n / 8)
			for pb.Next() {
				i++
				_ = s.Set(keys[i%n], Item{Value: value})
			}
		})
	})
	b.Run("SetEvicting", func(b *testing.B) {
		b.ReportAllocs()
		small := New(Config{MaxBytes: 1 << 20})
		value := make([]byte, 100)
		b.RunParallel(func(pb *testing.PB) {
			i := start.Add(n / 8)
			for pb.Next() {
				i++
				_ = small.Set(keys[i%n], Item{Value: value})
			}
		})
	})
}
