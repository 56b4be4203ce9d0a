package fleet

import "time"

// A Finding is what one check of a server found.
type Finding uint8

// The findings of a check.
const (
	// Answered: the server answered as a memcached does.
	Answered Finding = iota
	// Silent: no answer in time, or none that can be trusted: the connection
	// broke before the answer, no route, something that is not the protocol.
	Silent
	// Refused: nobody listens at the address. A live server never does that,
	// so it counts at once.
	Refused
	// Restarted: the server answered, but is another process than before. So
	// it was down in between, and this is the first answer since.
	Restarted
)

// Health is the judgement of one server, from the findings of the checks made
// of it. It does no I/O and reads no clock: the same findings give the same
// judgement.
//
// A server is down at the first refused connection, when it turns out to have
// been restarted while it passed for up, or after Fall silent checks in a row;
// and up after Rise answers in a row (one is enough, with TrustFirst, where
// nothing was known). Before that it is unknown.
//
// A silent check during which the one who checks was itself not running (frozen,
// or starved of CPU for longer than Slack) says nothing about the server, and is
// void: it neither counts nor breaks a row.
type Health struct {
	cfg      ProbeConfig
	state    healthState
	answered int // in a row
	silent   int // in a row
}

type healthState uint8

const (
	healthUnknown healthState = iota
	healthUp
	healthDown
)

// NewHealth returns the health of a server of which nothing is known.
func NewHealth(cfg ProbeConfig) Health { return Health{cfg: cfg.withDefaults()} }

// Up says whether the server is known to be up.
func (h *Health) Up() bool { return h.state == healthUp }

// Observe takes in a check that took took, and says whether the judgement has
// changed with it.
func (h *Health) Observe(f Finding, took time.Duration) (changed bool) {
	was := h.state
	if f == Restarted {
		if h.state == healthUp {
			h.answered, h.silent, h.state = 1, 0, healthDown
			return true
		}
		f = Answered
	}
	switch f {
	case Answered:
		h.silent = 0
		h.answered++
		if h.answered >= h.cfg.Rise || h.cfg.TrustFirst && h.state == healthUnknown {
			h.state = healthUp
		}
	case Silent:
		if took > h.cfg.Timeout+h.cfg.slack() {
			return false
		}
		h.answered = 0
		if h.silent++; h.silent >= h.cfg.Fall {
			h.state = healthDown
		}
	case Refused:
		h.answered = 0
		h.silent = 0
		h.state = healthDown
	}
	return h.state != was
}
