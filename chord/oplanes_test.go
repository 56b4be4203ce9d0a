package chord

import (
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc/memcache"
)

// Against a list of the writes that are open: names are unique, numbers of a lane
// rise, and Oldest is the lowest that is open.
func TestOpLanesAgainstAList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var lanes opLanes
		lanes.init()
		var open []memcache.OpID
		last := make(map[uint64]uint64)
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				id := lanes.begin(small(rapid.IntRange(0, 255).Draw(t, "place")))
				if id.Client == 0 || id.Number <= last[id.Client] {
					t.Fatalf("%+v after number %d", id, last[id.Client])
				}
				last[id.Client] = id.Number
				oldest := id.Number
				for _, o := range open {
					if o.Client == id.Client {
						oldest = min(oldest, o.Number)
					}
				}
				if id.Oldest != oldest {
					t.Fatalf("oldest %d, want %d", id.Oldest, oldest)
				}
				open = append(open, id)
			},
			"end": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("none is open")
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				lanes.end(open[i])
				open = append(open[:i:i], open[i+1:]...)
			},
		})
	})
}

func TestOpLanesConcurrently(t *testing.T) {
	t.Parallel()
	var lanes opLanes
	lanes.init()
	const writers, writes = 8, 2000
	all := make(chan memcache.OpID, writers*writes)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range writes {
				id := lanes.begin(small(i % 3))
				lanes.end(id)
				id.Oldest = 0
				all <- id
			}
		})
	}
	wg.Wait()
	close(all)
	seen := make(map[memcache.OpID]bool)
	for id := range all {
		seen[id] = true
	}
	if len(seen) != writers*writes {
		t.Errorf("%d names for %d writes", len(seen), writers*writes)
	}
	if id := lanes.begin(small(0)); id.Oldest != id.Number {
		t.Errorf("nothing is open, and %+v", id)
	}
}
