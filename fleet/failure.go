package fleet

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

// failure puts err in the words of package torc: what was being done, to whom
// (s may be nil), since when it has been failing, and which of its sentinels.
func failure(op, key string, s *server, err error) error {
	e := &torc.Error{Op: op, Key: key, Err: err}
	if s != nil {
		e.Member = s.Addr
	}
	var already *torc.Error
	var ce *memcache.ConnError
	var se *memcache.ServerError
	switch {
	case errors.As(err, &already):
		return err
	case err == memcache.ErrNotFound:
		e.Err = torc.ErrNotFound
	case errors.Is(err, memcache.ErrKey):
		e.Err = fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	case errors.Is(err, memcache.ErrTooLarge):
		e.Err = fmt.Errorf("%w: %w", torc.ErrTooLarge, err)
	case errors.As(err, &ce):
		e.Since = ce.Since
		e.Err = unavailable(err)
	case errors.As(err, &se), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Err = unavailable(err)
	}
	return e
}

// unavailable is err as one of torc.ErrUnavailable, which it may be already.
func unavailable(err error) error {
	if errors.Is(err, torc.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", torc.ErrUnavailable, brief{err})
}

// brief is an error with the text that a person needs beside the address: of
// memcache's and net's errors the cause alone.
type brief struct{ error }

func (b brief) Unwrap() error { return b.error }

func (b brief) Error() string {
	switch b.error {
	case context.DeadlineExceeded:
		return "the time is up"
	case context.Canceled:
		return "interrupted"
	}
	switch err := b.error.(type) {
	case *memcache.ServerError:
		return fmt.Sprintf("it answered %q", err.Line)
	case *memcache.ConnError:
		if errors.Is(err, context.DeadlineExceeded) {
			return "no answer in time"
		}
		return brief{err.Err}.Error()
	case *net.OpError:
		if errors.Is(err, syscall.ECONNREFUSED) {
			return errRefused.Error()
		}
		return err.Err.Error()
	}
	return strings.TrimPrefix(b.error.Error(), "memcache: ")
}
