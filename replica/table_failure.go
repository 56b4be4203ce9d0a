package replica

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/client"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// The operations as errors name them.
const (
	opGet     = "get"
	opPut     = "put"
	opDelete  = "delete"
	opSwap    = "swap"
	opLocate  = "locate"
	opMembers = "members"
	opOpen    = "open"
	opSurvey  = "survey"
)

// failure is what came of a call that failed: err or, if that is nil, what one of the
// hosts answered.
func failure(verb string, r *client.Request, a *client.Answer, err error, hosts []string) error {
	e := &torc.Error{Op: verb, Key: r.Op.Key}
	if err != nil {
		e.Member, e.Since, e.Err = unanswered(err)
		return e
	}
	e.Err = refusal(r, a)
	if a.Code != http.StatusNotFound && a.Code != http.StatusPreconditionFailed {
		e.Member = hosts[a.Host]
	}
	return e
}

// refusal is an answer that is not OK as an error.
func refusal(r *client.Request, a *client.Answer) error {
	said := strings.Join(strings.Fields(string(a.Body)), " ") // in one line
	if said == "" {
		said = http.StatusText(a.Code)
	}
	switch a.Code {
	case http.StatusNotFound:
		return torc.ErrNotFound
	case http.StatusPreconditionFailed:
		if r.Op.Cond == msg.IfAbsent {
			return torc.ErrExists
		}
		return torc.ErrConflict
	case http.StatusConflict:
		return fmt.Errorf("%w: it was sent before, and what came of it is no longer known", torc.ErrUnknownOutcome)
	case http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %s", torc.ErrTooLarge, said)
	case http.StatusInsufficientStorage:
		return fmt.Errorf("%w: its memory is full; it takes no more until something is deleted", torc.ErrUnavailable)
	case http.StatusBadRequest, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Errorf("%w: %s", torc.ErrInvalid, said)
	}
	return fmt.Errorf("%w: it answered %d: %.200s", torc.ErrUnavailable, a.Code, said)
}

// unanswered takes apart what the client fails with.
func unanswered(err error) (member string, since time.Time, why error) {
	var f *client.Failure
	if !errors.As(err, &f) {
		return "", time.Time{}, fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
	}
	return f.Host, f.Since, &gaveUp{f}
}

// gaveUp is why a call had no answer.
type gaveUp struct{ *client.Failure }

func (e *gaveUp) Error() string {
	text := torc.ErrUnavailable.Error() + ": " + e.Failure.Error()
	if e.Ended == torc.ErrClosed {
		text = torc.ErrClosed.Error()
	}
	if e.Sent {
		text += "; " + torc.ErrUnknownOutcome.Error()
	}
	return text
}

func (e *gaveUp) Unwrap() []error {
	errs := make([]error, 0, 3)
	if e.Ended != nil {
		errs = append(errs, e.Ended)
	}
	if e.Ended != torc.ErrClosed {
		errs = append(errs, torc.ErrUnavailable)
	}
	if e.Sent {
		errs = append(errs, torc.ErrUnknownOutcome)
	}
	return errs
}
