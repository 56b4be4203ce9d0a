package shard

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
)

// verdict is what a failed try means for its call.
type verdict uint8

const (
	// final: it is what came of the call.
	final verdict = iota
	// elsewhere: another server has the slot.
	elsewhere
	// notNow: nothing was done, and it may be soon.
	notNow
	// unheard: there was no answer.
	unheard
)

// judgement is what is to be done about a failed try.
type judgement struct {
	verdict verdict
	// err is what failed, in words for the caller; if final, it wraps one of
	// package torc's sentinels.
	err error
	// sent says of what was unheard that it may be carried out all the same.
	sent bool
	// epoch and addr say who has the slot that is elsewhere, by which map.
	epoch slots.Epoch
	addr  string
}

// judge says what a try's error means.
func judge(err error) judgement {
	var unanswered *memcache.ConnError
	var complaint *memcache.ServerError
	switch {
	case err == memcache.ErrNotFound:
		return judgement{err: torc.ErrNotFound}
	case err == memcache.ErrNotStored, err == memcache.ErrExists:
		return judgement{err: err} // whose condition it was knows what that is
	case errors.Is(err, memcache.ErrTooLarge):
		return judgement{err: fmt.Errorf("%w: %w", torc.ErrTooLarge, bare{err})}
	case errors.Is(err, memcache.ErrKey):
		return judgement{err: fmt.Errorf("%w: %w", torc.ErrInvalid, bare{err})}
	case errors.As(err, &unanswered):
		return judgement{verdict: unheard, err: bare{err}, sent: unanswered.Sent}
	case errors.As(err, &complaint):
		return judgeLine(complaint.Line)
	}
	return judgement{err: unavailable(err)}
}

// judgeLine says what a server's complaint means.
func judgeLine(line string) judgement {
	said, ok := strings.CutPrefix(line, "SERVER_ERROR ")
	what, rest, _ := strings.Cut(said, " ")
	switch word := strings.TrimSuffix(what, ":"); {
	case !ok:
	case what == "moved":
		if epoch, addr, ok := parseMoved(rest); ok {
			return judgement{verdict: elsewhere, epoch: epoch, addr: addr, err: fmt.Errorf("the slot has moved to %s", addr)}
		}
	case word == "failed":
		return judgement{err: unavailable(errors.New("the slot has failed: " + rest))}
	case word == "unavailable":
		return judgement{verdict: notNow, err: errors.New(rest)}
	case strings.HasPrefix(said, "outcome unknown"):
		return judgement{verdict: unheard, sent: true, err: errors.New("it lost the slot before it could answer")}
	case strings.HasPrefix(said, "out of memory"):
		return judgement{err: unavailable(errors.New("its memory is full; it takes no more until something is deleted or a server joins"))}
	case strings.HasPrefix(said, "answered before"):
		return judgement{err: unavailable(errors.New("it says that this write was answered before, which it was not"))}
	}
	return judgement{err: unavailable(fmt.Errorf("it answered %q", line))}
}

// parseMoved parses what follows "moved": TERM.COUNTER HOST:PORT, as Epoch.String
// writes epochs.
func parseMoved(s string) (epoch slots.Epoch, addr string, ok bool) {
	number, addr, _ := strings.Cut(s, " ")
	term, counter, _ := strings.Cut(number, ".")
	var errTerm, errCounter error
	epoch.Term, errTerm = strconv.ParseUint(term, 16, 64)
	epoch.Counter, errCounter = strconv.ParseUint(counter, 16, 64)
	if errTerm != nil || errCounter != nil || epoch.String() != number || torc.CheckAddr(addr) != nil {
		return slots.Epoch{}, "", false
	}
	return epoch, addr, true
}
