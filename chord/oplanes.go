package chord

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/memcache"
)

// laneCount is in how many lanes a table numbers its writes: enough that many callers
// on many cores seldom meet in one.
const laneCount = 64

// opLanes name a table's writes. Nodes remember what came of each client's writes
// since the oldest that has no answer; so each lane is a client of its own, and a write
// that has to wait keeps nodes from forgetting in its lane alone.
type opLanes struct {
	base  uint64 // the Client of lane 0; never 0, and its low bits are
	lanes [laneCount]opLane
}

type opLane struct {
	mu struct {
		sync.Mutex
		last uint64   // number given
		open []uint64 // numbers without an answer, ascending
	}
	_ [24]byte // each has its cache line
}

func (l *opLanes) init() {
	for l.base == 0 {
		l.base = rand.Uint64() / laneCount * laneCount
	}
}

// laneOf returns the lane of a place. Its last bits spread keys that are numbers in a
// row, and others, too.
func laneOf(p place.Place) uint64 { return uint64(p[len(p)-1] % laneCount) }

// begin names a write at a place. End has to follow when it will not be sent again.
func (l *opLanes) begin(p place.Place) memcache.OpID {
	of := laneOf(p)
	lane := &l.lanes[of]
	lane.mu.Lock()
	defer lane.mu.Unlock()
	lane.mu.last++
	lane.mu.open = append(lane.mu.open, lane.mu.last)
	return memcache.OpID{Client: l.base + of, Number: lane.mu.last, Oldest: lane.mu.open[0]}
}

// end says that the write has its answer, or was given up. The lane's next writes tell
// the nodes, unless an older one is open still: they forget it then, and refuse what
// of it is still on its way.
func (l *opLanes) end(id memcache.OpID) {
	lane := &l.lanes[id.Client%laneCount]
	lane.mu.Lock()
	defer lane.mu.Unlock()
	if i, ok := slices.BinarySearch(lane.mu.open, id.Number); ok {
		lane.mu.open = slices.Delete(lane.mu.open, i, i+1)
	}
}
