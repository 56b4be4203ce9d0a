package fleet

import (
	"context"
	"errors"
	"fmt"

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
		e.Err = fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
	case errors.As(err, &se):
		e.Err = fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Err = fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
	}
	return e
}
