package memcache

import (
	"sync/atomic"
	"time"
)

// signal tells the goroutine that waits for a call how the waiting ended.
type signal uint8

const (
	// answered: the pipe has let go of the call, which has its answer or error.
	answered signal = iota
	// overdue: the answer took too long. The pipe still has the call, so the
	// waiter must not touch it again.
	overdue
	// givenUp: the waiter stopped waiting. Never sent.
	givenUp
)

// call is one query under way. The waiter owns it until it is sent, and again
// once it has received answered: then it may be used again. One that is given
// up before stays with the pipe and is left to the garbage collector, so that
// no late answer can reach another's call.
type call struct {
	done chan signal // has room for one: nobody waits to send

	// Set by the waiter before it sends.
	op op
	// patience is how long its answer may take; 0 for ever.
	patience time.Duration

	// Set by pipe.send.
	mark  opaque
	reads bool          // the waiter has the read role
	since time.Duration // as pipe.mu.now
	at    int64         // where in the stream of queries it begins

	// abandoned: nobody will look at the value.
	abandoned atomic.Bool

	// Set by the pipe before it signals answered.
	answer answer
	err    error // why there is no answer
	sent   bool  // with err: some of the query may have reached the server
}

func newCall() any { return &call{done: make(chan signal, 1)} }

// spend takes d off what is left of the call's patience.
func (cl *call) spend(d time.Duration) {
	if cl.patience > 0 {
		cl.patience = max(cl.patience-d, time.Nanosecond)
	}
}

// end signals s, unless an earlier signal was not received yet.
func (cl *call) end(s signal) {
	select {
	case cl.done <- s:
	default:
	}
}
