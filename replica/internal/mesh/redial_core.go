package mesh

import "time"

// When a peer is dialed again.
const (
	// atOncePause is between the first refusal and the second, which is believed:
	// a process that dies may close its listener after its connections.
	atOncePause = 2 * time.Millisecond
	// restPause is between calls to a peer that is away: a fraction of the time in
	// which a node is missed, at a cost of 20 small packets a second.
	restPause = 50 * time.Millisecond
	// rejectedPause is between calls to a peer that has another list of addresses,
	// or is none: that ends when somebody restarts one of the two.
	rejectedPause = time.Second
	// atOnceCalls is how many calls may be made without a rest because somebody
	// hung up. A connection that lived for a restPause renews them.
	atOnceCalls = 4
)

// outcome is what became of a call that failed.
type outcome uint8

const (
	silent   outcome = iota // no answer, or none that says anything of the peer
	refused                 // nobody listens there
	hungUp                  // somebody took the call and hung up before the welcome
	rejected                // somebody listens, and it won't work
)

// redial decides when to call a peer again. The zero value is that of a peer that
// was never called.
type redial struct {
	refusals int // in a row, up to 2
	atOnce   int // calls left
}

// lost returns how long to wait when a connection broke that lived for so long.
func (r *redial) lost(lived time.Duration) time.Duration {
	r.refusals = 0
	if lived >= restPause {
		r.atOnce = atOnceCalls
	}
	if r.atOnce == 0 {
		return restPause
	}
	r.atOnce--
	return 0
}

// failed returns how long to wait after a call that failed, and whether to report
// the peer as disconnected: not while it is being found out how.
func (r *redial) failed(o outcome) (pause time.Duration, report bool) {
	if o != refused {
		r.refusals = 0
	}
	switch o {
	case refused:
		if r.refusals == 0 {
			r.refusals = 1
			return atOncePause, false
		}
		r.refusals = 2
	case hungUp:
		if r.atOnce > 0 {
			r.atOnce--
			return atOncePause, false
		}
	case rejected:
		return rejectedPause, true
	}
	return restPause, true
}
