package fleet

import (
	"errors"
	"sync/atomic"
	"unsafe"

	"github.com/torc-dht/torc"
)

// counter names one thing that a table counts.
type counter uint8

// What a table counts. Each call of Get, Put and Delete ends in exactly one
// counter of its own kind; the others count what was done on the way.
const (
	getHit         counter = iota // a value was returned
	getMiss                       // who holds the key answered that there is none
	getUnreachable                // a miss because who holds the key can't be asked
	getError                      // neither: a key that can't be, a context that ended, a table that was closed

	putDone
	putRefused // its condition did not hold
	putUnknown // it may or may not have happened
	putError

	deleteDone
	deleteAbsent // there was nothing to delete
	deleteUnknown
	deleteError

	hedgedRead // a read asked another copy because one was silent
	copyRead   // a read asked another copy because one had no value
	writeRetry // a write was sent again, there or to whoever holds the key by then

	repairDone // a copy that lacked a value got it from another
	repairLost // it was not put there, or was taken back: somebody wrote meanwhile

	// Extra look-ups for a value that may be stale, by how they ended.
	inquiryTaken     // it was true
	inquiryCorrected // another one was
	inquiryDropped   // none was, or nobody can tell: a miss

	fencedValue  // a value was found that does not count
	formerLookup // a server was asked that held the key before
	tombstone    // a DELETE left one
	viewWait     // a read waited for the view under which a value was written

	convergeCheck   // after a PUT its copies were looked at again
	convergeCorrect // and were made equal: PUTs had raced

	rebalanceLooked
	rebalanceCopied
	rebalanceRemoved
	rebalanceBytes

	counters // how many there are
)

// stripes is how many copies of the counters a table has, so that goroutines that
// count at the same moment rarely meet on one cache line.
const (
	stripeBits = 4
	stripes    = 1 << stripeBits
)

// metrics counts what a table does, for many goroutines at once. The zero value
// is ready.
type metrics struct {
	striped [stripes]stripe
}

// stripe is its own cache lines: two of 64 bytes are fetched together on x86.
type stripe struct {
	counts [counters]atomic.Uint64
	_      [128 - counters*8%128]byte
}

// inc counts one c.
func (m *metrics) inc(c counter) { m.add(c, 1) }

// add counts n of c.
func (m *metrics) add(c counter, n uint64) {
	m.striped[ownStripe()].counts[c].Add(n)
}

// ownStripe chooses by where the goroutine's stack is: the same one as long as
// that does not move, and at no cost. (A random number costs four times as much as
// the addition; what runs this goroutine, Go does not tell.)
func ownStripe() uint64 {
	var here byte
	return uint64(uintptr(unsafe.Pointer(&here))) * 0x9e3779b97f4a7c15 >> (64 - stripeBits)
}

// load returns what c has come to. What is counted meanwhile may be missing.
func (m *metrics) load(c counter) uint64 {
	var sum uint64
	for i := range m.striped {
		sum += m.striped[i].counts[c].Load()
	}
	return sum
}

// got counts a Get that returned err to its caller.
func (m *metrics) got(err error) {
	switch {
	case err == nil:
		m.inc(getHit)
	case !errors.Is(err, torc.ErrNotFound):
		m.inc(getError)
	case errors.Is(err, torc.ErrUnavailable):
		m.inc(getUnreachable)
	default:
		m.inc(getMiss)
	}
}

// put counts a Put that returned err to its caller.
func (m *metrics) put(err error) {
	switch {
	case err == nil:
		m.inc(putDone)
	case errors.Is(err, torc.ErrUnknownOutcome):
		m.inc(putUnknown)
	case errors.Is(err, torc.ErrExists), errors.Is(err, torc.ErrConflict), errors.Is(err, torc.ErrNotFound):
		m.inc(putRefused)
	default:
		m.inc(putError)
	}
}

// deleted counts a Delete that returned err to its caller.
func (m *metrics) deleted(err error) {
	switch {
	case err == nil:
		m.inc(deleteDone)
	case errors.Is(err, torc.ErrUnknownOutcome):
		m.inc(deleteUnknown)
	case errors.Is(err, torc.ErrNotFound):
		m.inc(deleteAbsent)
	default:
		m.inc(deleteError)
	}
}
