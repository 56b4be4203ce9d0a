package chord

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// The operations as errors name them.
const (
	opGet     = "get"
	opPut     = "put"
	opDelete  = "delete"
	opLocate  = "locate"
	opMembers = "members"
	opOpen    = "open"
	opSurvey  = "survey"
	opKeys    = "keys"
)

// failure is err with what was being done, and at whom: at may be nil.
func failure(op, key string, at *reached, err error) error {
	e := &torc.Error{Op: op, Key: key, Err: err}
	if at != nil {
		e.Member = at.addr
		e.Since = at.failing()
	}
	return e
}

func unavailable(err error) error {
	if errors.Is(err, torc.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", torc.ErrUnavailable, bare{err})
}

// gaveUp is why a call is not tried again.
type gaveUp struct {
	ended   error // the context's, or torc.ErrClosed; nil if the last try's failure ends it
	last    error // how the last try failed
	unknown bool  // it is a write that may have happened
}

func (e *gaveUp) Error() string {
	text := torc.ErrUnavailable.Error() + ": " + strings.TrimPrefix(bare{e.last}.Error(), torc.ErrUnavailable.Error()+": ")
	if e.ended == torc.ErrClosed {
		text = torc.ErrClosed.Error()
	}
	if e.unknown {
		text += "; " + torc.ErrUnknownOutcome.Error()
	}
	return text
}

func (e *gaveUp) Unwrap() []error {
	errs := make([]error, 0, 3)
	if e.ended != nil {
		errs = append(errs, e.ended)
	}
	if e.ended != torc.ErrClosed {
		errs = append(errs, torc.ErrUnavailable)
	}
	if e.unknown {
		errs = append(errs, torc.ErrUnknownOutcome)
	}
	return errs
}

// bare is an error with the text that a person needs beside the address: of memcache's
// and net's errors the cause alone.
type bare struct{ error }

func (p bare) Unwrap() error { return p.error }

func (p bare) Error() string {
	switch {
	case p.error == context.DeadlineExceeded:
		return "the time is up"
	case p.error == context.Canceled:
		return "interrupted"
	case errors.Is(p.error, syscall.ECONNREFUSED):
		return "connection refused: nobody listens there"
	}
	switch err := p.error.(type) {
	case *memcache.ServerError:
		return fmt.Sprintf("it answered %q", err.Line)
	case *memcache.ConnError:
		if errors.Is(err, context.DeadlineExceeded) {
			return "no answer in time"
		}
		return bare{err.Err}.Error()
	case *net.OpError:
		return err.Err.Error()
	}
	return strings.TrimPrefix(p.error.Error(), "memcache: ")
}

// joined is several errors in one line.
type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }
