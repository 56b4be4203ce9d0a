package client

import (
	"iter"
	"math/bits"
	"time"
)

// MaxHosts is how many hosts a client may have: as many as a table has servers.
const MaxHosts = 4

// set is some of a client's hosts, by their places.
type set uint8

func all(hosts int) set         { return 1<<hosts - 1 }
func (s set) has(h int) bool    { return s&(1<<h) != 0 }
func (s set) with(h int) set    { return s | 1<<h }
func (s set) without(h int) set { return s &^ (1 << h) }
func (s set) size() int         { return bits.OnesCount8(uint8(s)) }

func (s set) places() iter.Seq[int] {
	return func(yield func(int) bool) {
		for ; s != 0; s &= s - 1 {
			if !yield(bits.TrailingZeros8(uint8(s))) {
				return
			}
		}
	}
}

const (
	// patience is how long an attempt may be without an answer. A server that lives
	// has one within 2 s, if only that it can't serve; so one that is silent for
	// longer is gone, or the connection is.
	patience = 2500 * time.Millisecond
	// Pauses before the hosts are gone through again, all of which have failed,
	// double from the one to the other.
	minPause = 2 * time.Millisecond
	maxPause = 100 * time.Millisecond
)

// plan decides, for one request, how many hosts are asked at a time and when the
// next one is. The zero plan with hosts and hedge is one that has asked nobody.
//
// Attempts go in rounds: in a round each host is asked once. One more attempt than
// before is under way each time that hedge, which doubles, has passed in silence.
type plan struct {
	hosts int
	hedge time.Duration // 0: a silent host is waited for

	waiting set // asked, and not heard
	failed  set // in this round
	asked   [MaxHosts]time.Time
	extra   int // attempts to be under way besides the first

	pause     time.Duration
	nextHedge time.Time // zero: none
	nextRound time.Time
}

// next returns those of whom one is to be asked now; none if nobody is.
func (p *plan) next(now time.Time) set {
	if !p.nextRound.IsZero() && !now.Before(p.nextRound) {
		p.nextRound, p.failed = time.Time{}, 0
	}
	if !p.nextHedge.IsZero() && !now.Before(p.nextHedge) {
		p.nextHedge = time.Time{}
		p.hedge *= 2
		p.extra++
	}
	if p.waiting.size() > p.extra {
		return 0
	}
	candidates := all(p.hosts) &^ p.waiting &^ p.failed
	if candidates == 0 && p.failed != 0 && p.nextRound.IsZero() {
		p.pause = min(max(2*p.pause, minPause), maxPause)
		p.nextRound = now.Add(p.pause)
	}
	return candidates
}

// ask notes that a host is asked.
func (p *plan) ask(h int, now time.Time) {
	p.waiting = p.waiting.with(h)
	p.asked[h] = now
	if p.hedge > 0 && p.extra+1 < p.hosts {
		p.nextHedge = now.Add(p.hedge)
	}
}

// fail notes that a host was asked in vain.
func (p *plan) fail(h int) {
	p.waiting = p.waiting.without(h)
	p.failed = p.failed.with(h)
	if p.waiting == 0 {
		p.nextHedge = time.Time{} // nobody is silent
	}
}

// overdue returns those that are waited for no longer.
func (p *plan) overdue(now time.Time) (late set) {
	for h := range p.waiting.places() {
		if now.Sub(p.asked[h]) >= patience {
			late = late.with(h)
		}
	}
	return late
}

// silent returns those that have been waited for at least as long as it takes to ask
// somebody else.
func (p *plan) silent(now time.Time, hedge time.Duration) (s set) {
	for h := range p.waiting.places() {
		if hedge > 0 && now.Sub(p.asked[h]) >= hedge {
			s = s.with(h)
		}
	}
	return s
}

// wake is when something is to be done if nothing is heard before; deadline at the
// latest.
func (p *plan) wake(deadline time.Time) time.Time {
	at := deadline
	for _, t := range [...]time.Time{p.nextHedge, p.nextRound} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	for h := range p.waiting.places() {
		if t := p.asked[h].Add(patience); t.Before(at) {
			at = t
		}
	}
	return at
}
