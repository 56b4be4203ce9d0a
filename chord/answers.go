package chord

import (
	"errors"
	"fmt"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/memcache"
)

// verdict is what a failed try means for its call.
type verdict uint8

const (
	// final: it is what came of the call.
	final verdict = iota
	// elsewhere: another node owns the key, and is named.
	elsewhere
	// notNow: nothing was done, and it may be soon, there or elsewhere.
	notNow
	// unheard: there was no answer.
	unheard
)

// judgement is what is to be done about a failed try.
type judgement struct {
	verdict verdict
	// err is what failed, in words for the caller; if final, it wraps one of package
	// torc's sentinels, or is for the call's condition to say.
	err error
	// sent says of what was unheard that it may be carried out all the same.
	sent bool
	// span is what owner has, of what is elsewhere.
	span  msg.Span
	owner ring.Ref
}

// errNotOwner says that a node doesn't own what it was asked about, by what it has told
// of itself.
var errNotOwner = errors.New("it doesn't answer for the place, at the moment")

// judgeTry says what a try's error means.
func judgeTry(err error) judgement {
	var unanswered *memcache.ConnError
	var complaint *memcache.ServerError
	var mute *unansweredError
	switch {
	case err == memcache.ErrNotFound:
		return judgement{err: torc.ErrNotFound}
	case err == memcache.ErrNotStored, err == memcache.ErrExists:
		return judgement{err: err}
	case err == errNotOwner, err == errUnsteady:
		return judgement{verdict: notNow, err: err}
	case errors.Is(err, memcache.ErrTooLarge):
		return judgement{err: fmt.Errorf("%w: %w", torc.ErrTooLarge, bare{err})}
	case errors.Is(err, memcache.ErrKey):
		return judgement{err: fmt.Errorf("%w: %w", torc.ErrInvalid, bare{err})}
	case errors.As(err, &unanswered):
		return judgement{verdict: unheard, err: bare{err}, sent: unanswered.Sent}
	case errors.As(err, &mute):
		return judgement{verdict: unheard, err: errors.New(mute.bare())}
	case errors.As(err, &complaint):
		return judgeLine(complaint.Line)
	}
	return judgement{err: unavailable(err)}
}

// judgeLine says what a node's complaint means.
func judgeLine(line string) judgement {
	if span, owner, ok := parseMoved(line); ok {
		return judgement{verdict: elsewhere, span: span, owner: owner, err: fmt.Errorf("the key is node %v's", owner)}
	}
	said, ok := strings.CutPrefix(line, "SERVER_ERROR ")
	switch {
	case !ok:
	case strings.HasPrefix(said, "unavailable: "):
		return judgement{verdict: notNow, err: errors.New(strings.TrimPrefix(said, "unavailable: "))}
	case strings.HasPrefix(said, "outcome unknown"):
		return judgement{verdict: unheard, sent: true, err: errors.New("it lost the key before it could answer")}
	case strings.HasPrefix(said, "out of memory"):
		return judgement{err: unavailable(errors.New("its memory is full; it takes no more until something is deleted or a node joins"))}
	case strings.HasPrefix(said, "answered before"):
		return judgement{err: unavailable(errors.New("it says that this write was answered before, which it was not"))}
	}
	return judgement{err: unavailable(fmt.Errorf("it answered %q", line))}
}
