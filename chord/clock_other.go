//go:build !linux

package chord

import (
	"time"

	"github.com/torc-dht/torc/chord/internal/node"
)

var began = time.Now()

// clock reads both clocks. The one that promises are counted by goes on while the
// process is stopped; whether it does while the machine sleeps is the system's.
func clock() node.Time {
	now := time.Now()
	return node.Time{Mono: int64(now.Sub(began)) + 1, Wall: now.UnixNano()}
}

// machineMemory is how many bytes of memory the machine is taken to have.
func machineMemory() uint64 { return 4 << 30 }
