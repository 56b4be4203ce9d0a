package shard

import (
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
)

// Against a set of the writes that are open: names are unique, numbers of a lane
// rise, and Oldest is the lowest that is open.
func TestOpLanesAgainstASet(t *testing.T) {
	type write struct {
		slot slots.Slot
		id   memcache.OpID
	}
	rapid.Check(t, func(t *rapid.T) {
		var lanes opLanes
		lanes.init()
		var open []write
		last := make(map[uint64]uint64)
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				s := slots.Slot(rapid.IntRange(0, 3*laneCount).Draw(t, "slot"))
				w := write{s, lanes.begin(s)}
				if w.id.Client == 0 || w.id.Client != lanes.begun(s) {
					t.Fatalf("slot %d: client %x", s, w.id.Client)
				}
				if w.id.Number <= last[w.id.Client] {
					t.Fatalf("number %d after %d", w.id.Number, last[w.id.Client])
				}
				last[w.id.Client] = w.id.Number
				oldest := w.id.Number
				for _, o := range open {
					if o.id.Client == w.id.Client {
						oldest = min(oldest, o.id.Number)
					}
				}
				if w.id.Oldest != oldest {
					t.Fatalf("oldest %d, want %d", w.id.Oldest, oldest)
				}
				open = append(open, w)
			},
			"end": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("none is open")
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				lanes.end(open[i].slot, open[i].id)
				open = append(open[:i:i], open[i+1:]...)
			},
		})
	})
}

// begun is the client that writes in a slot are of.
func (l *opLanes) begun(s slots.Slot) uint64 { return l.base + uint64(s)%laneCount }

func TestOpLanesConcurrently(t *testing.T) {
	t.Parallel()
	var lanes opLanes
	lanes.init()
	seen := make([]map[memcache.OpID]bool, 8)
	var wg sync.WaitGroup
	for g := range seen {
		seen[g] = make(map[memcache.OpID]bool)
		wg.Go(func() {
			for i := range 5000 {
				s := slots.Slot(i % 3)
				id := lanes.begin(s)
				if id.Oldest > id.Number {
					t.Errorf("%+v", id)
				}
				id.Oldest = 0
				seen[g][id] = true
				lanes.end(s, id)
			}
		})
	}
	wg.Wait()
	all := make(map[memcache.OpID]bool)
	for _, s := range seen {
		for id := range s {
			all[id] = true
		}
	}
	if want := len(seen) * 5000; len(all) != want {
		t.Errorf("%d names for %d writes", len(all), want)
	}
	if id := lanes.begin(0); id.Oldest != id.Number {
		t.Errorf("nothing is open, and %+v", id)
	}
}

func BenchmarkOpLanes(b *testing.B) {
	var lanes opLanes
	lanes.init()
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for s := slots.Slot(0); pb.Next(); s++ {
			lanes.end(s, lanes.begin(s))
		}
	})
}
