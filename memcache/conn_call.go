package memcache

import (
	"context"
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
	// late: the answer takes longer than the call's notice. It goes on, and one of
	// the others follows.
	late
	// givenUp: the waiter stopped waiting. Never sent.
	givenUp
)

// call is one query under way. The waiter owns it until it is sent, and again
// once it has received answered: then it may be used again. One that is given
// up before stays with the pipe and is left to the garbage collector, so that
// no late answer can reach another's call.
type call struct {
	done chan signal // has room for late and one other: nobody waits to send
	wave *wave       // takes the place of done, if it is not nil

	// Set by the waiter before it sends.
	op op
	// patience is how long its answer may take; 0 for ever.
	patience time.Duration
	// notice is how long its answer may take without late being signalled; 0 for
	// ever.
	notice time.Duration

	// Set by pipe.send.
	mark  echo
	reads bool          // the waiter has the read role
	since time.Duration // as pipe.mu.now
	at    int64         // where in the stream of queries it begins

	stage atomic.Uint32 // a stage

	// Set by the pipe before it signals answered.
	answer answer
	err    error // why there is no answer
	sent   bool  // with err: some of the query may have reached the server
}

// stage is how far a call is.
type stage = uint32

const (
	stageOpen     stage = iota // not sent, or waited for
	stageAnswered              // in a wave: the pipe has let go of it
	stageOverdue               // took too long: nobody will look at the value
	stageGivenUp               // by its waiter: nor then
)

func newCall() any { return &call{done: make(chan signal, 2)} }

// spend takes d off what is left of the call's patience, and of the time until
// its notice.
func (cl *call) spend(d time.Duration) {
	if cl.patience > 0 {
		cl.patience = max(cl.patience-d, time.Nanosecond)
	}
	if cl.notice > 0 {
		cl.notice = max(cl.notice-d, time.Nanosecond)
	}
}

// spent says whether nothing is left of the call's patience.
func (cl *call) spent() bool { return cl.patience == time.Nanosecond }

// reopen makes a call of a wave ready to be sent, again too.
func (cl *call) reopen() {
	cl.err = nil
	cl.stage.Store(stageOpen)
}

// signalled says whether its waiter has something to receive.
func (cl *call) signalled() bool {
	if cl.wave != nil {
		return cl.stage.Load() != stageOpen
	}
	return len(cl.done) > 0
}

// abandoned says whether nobody will look at the value.
func (cl *call) abandoned() bool { return cl.stage.Load() >= stageOverdue }

// end signals s, unless the call was abandoned before.
func (cl *call) end(s signal) {
	if cl.wave != nil {
		cl.wave.end(cl, s)
		return
	}
	if s == overdue {
		cl.stage.Store(stageOverdue)
	}
	select {
	case cl.done <- s:
	default:
	}
}

// wave is many calls with one waiter, who is woken once for all of them.
type wave struct {
	left atomic.Int64  // calls that have not ended, and whatever else is waited for
	done chan struct{} // has room for one token, which comes when none are left, or one was not sent; or for nothing
	// several: its calls go over more than one connection, so that its waiter
	// can't stay with one of them for long.
	several bool
}

// end notes the end of cl, unless it was abandoned before. From then on cl is its
// waiter's.
func (w *wave) end(cl *call, s signal) {
	to, again := stageAnswered, cl.err != nil && !cl.sent
	if s == overdue {
		to, again = stageOverdue, false
	}
	if cl.stage.CompareAndSwap(stageOpen, to) {
		if w.left.Add(-1) == 0 || again {
			w.wake()
		}
	}
}

// finish notes the end of one more thing that was waited for.
func (w *wave) finish() {
	if w.left.Add(-1) == 0 {
		w.wake()
	}
}

// wait waits for a token; false says that ctx ended before.
func (w *wave) wait(ctx context.Context) bool {
	if ctx.Done() == nil {
		<-w.done
		return true
	}
	select {
	case <-w.done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *wave) wake() {
	select {
	case w.done <- struct{}{}:
	default:
	}
}
