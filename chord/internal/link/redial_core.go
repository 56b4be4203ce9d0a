package link

import "time"

// When a peer is dialed again.
const (
	// hurriedPause is between the first refusal and the second, which is believed: a
	// process that dies may close its listener after its connections.
	hurriedPause = 2 * time.Millisecond
	// hurriedCalls is how many calls may be made without a rest after a connection was
	// lost, while it isn't clear what has become of the peer.
	hurriedCalls = 5
	// shortLives is after how many connections in a row that lived for less than a
	// minRest the hurry ends.
	shortLives = 3
	// Rests between calls grow from the one to the other.
	minRest = 50 * time.Millisecond
	maxRest = time.Second
)

// outcome is what became of a call that failed.
type outcome uint8

const (
	silent   outcome = iota // no answer, or none that says anything of the peer
	refused                 // nobody listens there
	replaced                // another process answers
	hungUp                  // the call came to nothing, which the next one may not
	rejected                // the peer answers, and we don't get along
)

// redial decides when a peer is called again, and what is told of it meanwhile. The
// zero value is that of one that was never called.
type redial struct {
	refusals int           // in a row, up to 1
	hurried  int           // calls left without a rest
	short    int           // connections in a row that have not lived
	rest     time.Duration // the last one
}

// lost returns how long to wait when a connection broke that lived for so long.
func (r *redial) lost(lived time.Duration) time.Duration {
	if r.short++; lived >= minRest {
		r.short, r.rest = 0, 0
	}
	r.refusals, r.hurried = 0, 0
	if r.short > shortLives {
		return r.pause()
	}
	r.hurried = hurriedCalls
	return 0
}

// failed returns how long to wait after a call that failed, and whether that is to be
// told: not while it is being found out what has become of the peer. Only a peer that
// nobody hears is believed to be refused or replaced; calling says that there is a
// connection which it dialed.
func (r *redial) failed(o outcome, calling bool) (rest time.Duration, report, dead bool) {
	if calling && (o == refused || o == replaced) {
		o = hungUp // whoever holds that connection lives, or the end of it is just coming in
	}
	switch {
	case o == refused && r.refusals == 0:
		r.refusals = 1
		return hurriedPause, false, false
	case o == refused, o == replaced:
		r.refusals, r.hurried = 0, 0
		return r.pause(), true, true
	case o == hungUp && r.hurried > 0:
		r.refusals = 0
		return r.pause(), false, false
	}
	r.refusals, r.hurried = 0, 0
	return r.pause(), true, false
}

// heard: the peer has called, or a connection that it dialed has ended.
func (r *redial) heard() { r.rest = 0 }

func (r *redial) pause() time.Duration {
	if r.hurried > 0 {
		r.hurried--
		return hurriedPause
	}
	r.rest = min(max(2*r.rest, minRest), maxRest)
	return r.rest
}
