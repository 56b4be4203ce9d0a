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
	// atOnceCalls is how many calls may be made without a rest after a connection
	// was lost, as long as it isn't clear what has become of the peer. A connection that lived for a restPause, or was to another process
	// than the one before, renews them.
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
	refusals int    // in a row, up to 1
	atOnce   int    // calls left
	boot     uint64 // of the process that was reached last
}

// lost returns how long to wait when a connection broke that lived for so long, to
// the process of that boot.
func (r *redial) lost(lived time.Duration, boot uint64) time.Duration {
	r.refusals = 0
	if lived >= restPause || boot != r.boot {
		r.atOnce, r.boot = atOnceCalls, boot
	}
	if r.atOnce == 0 {
		return restPause
	}
	r.atOnce--
	return 0
}

// hurried tells whether a connection was lost only just now.
func (r *redial) hurried() bool { return r.atOnce > 0 }

// failed returns how long to wait after a call that failed, and whether to report
// the peer as disconnected: not while it is being found out how.
func (r *redial) failed(o outcome) (pause time.Duration, report bool) {
	switch {
	case o == refused && r.refusals == 0:
		r.refusals = 1
		return atOncePause, false
	case o == refused:
		r.atOnce = 0 // that is what has become of it
		return restPause, true
	}
	r.refusals = 0
	switch {
	case o == rejected:
		r.atOnce = 0
		return rejectedPause, true
	case r.atOnce > 0:
		r.atOnce--
		return atOncePause, false
	}
	return restPause, true
}
