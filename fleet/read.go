package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// Get implements [torc.Table]. It asks the key's servers in order: the next at
// once where one has nothing that counts, and besides it where one is silent for
// Options.Hedge. If nobody has a value, and one of them could not be asked, the
// error is torc.ErrNotFound and torc.ErrUnavailable.
//
// It takes Options.ReadTimeout at the most for each server that keeps silent and
// can't be done without, and so much again if a value has to be put right first.
func (t *Table) Get(ctx context.Context, key string) (torc.Entry, error) {
	e, err := t.get(ctx, key)
	t.metrics.got(err)
	return e, err
}

func (t *Table) get(ctx context.Context, key string) (torc.Entry, error) {
	r := t.routing.Load()
	i := r.history.Owner(key)
	if i < 0 || !r.view.LostContact.IsZero() {
		if err := t.refuseGet(r, key, i); err != nil {
			return torc.Entry{}, err
		}
	}
	s := r.servers[i]
	first := heard{member: i}
	if r.config.Copies == 1 {
		first.item, first.err = s.client.Get(ctx, key)
	} else if s.suspect() {
		return t.look(ctx, r, key, nil)
	} else {
		first.item, first.late, first.err = s.client.GetHedged(ctx, key, t.opts.Hedge)
	}
	if first.late == nil && t.routing.Load() == r {
		if first.err == nil && r.judge(key, i, true, &first.item) == alive {
			return torc.Entry{Value: first.item.Value, Version: torc.Version{Epoch: s.epoch, Seq: first.item.CAS}}, nil
		}
		if r.config.Copies == 1 && first.err != nil && (first.err != memcache.ErrNotFound || !r.hasFormers(key, i)) {
			return torc.Entry{}, t.getFailure(ctx, key, s, first.err)
		}
	}
	return t.look(ctx, r, key, &first)
}

// heard is what the first server asked has answered, or that it is late to.
type heard struct {
	member int
	item   memcache.Item
	late   *memcache.Late
	err    error
}

// refuseGet says why a Get can't begin under r, if it can't; i is the key's
// first owner, or -1.
func (t *Table) refuseGet(r *routing, key string, i int) error {
	if err := t.offline(r); err != nil {
		return failure("get", key, nil, err)
	}
	if i < 0 {
		return t.missWithoutServer(r, key)
	}
	return nil
}

// offline is why nothing may be asked or written under r, if so: there has been
// no contact with the directory for too long.
func (t *Table) offline(r *routing) error {
	lost := r.view.LostContact
	if t.opts.Offline != OfflineRefuse || lost.IsZero() || time.Since(lost) < t.opts.OfflineAfter {
		return nil
	}
	return fmt.Errorf("%w: the fleet's directory has been out of reach since %s, and offline=%s", torc.ErrUnavailable, lost.Format("15:04:05.000"), OfflineRefuse)
}

// missWithoutServer is what a Get hears of a fleet that has no server in use.
func (t *Table) missWithoutServer(r *routing, key string) error {
	err := memcache.CheckKey(key)
	switch {
	case err != nil:
	case t.isClosed():
		err = torc.ErrClosed
	default:
		err = fmt.Errorf("%w: %w", torc.ErrNotFound, r.noServer())
	}
	return failure("get", key, nil, err)
}

// getFailure is what a Get hears that ends with s's error.
func (t *Table) getFailure(ctx context.Context, key string, s *server, err error) error {
	if t.isClosed() {
		return failure("get", key, nil, torc.ErrClosed)
	}
	if noAnswer(err) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", torc.ErrNotFound, err)
	}
	return failure("get", key, s, err)
}

// noAnswer says whether err is that of a request which got no answer.
func noAnswer(err error) bool {
	if err == nil {
		return false
	}
	var ce *memcache.ConnError
	return errors.As(err, &ce)
}

// standing is how what one server said of a key stands under the present view.
type standing uint8

const (
	unasked standing = iota // it could not be asked, or said nothing
	absent                  // it surely has nothing
	stale                   // it has an item that does not count
	ahead                   // it has an item of a later view
	dead                    // it has one that counts, and says that there is no entry
	alive                   // it has one that counts
)

// ends says whether an owner that answers so ends a Get.
func (s standing) ends() bool { return s >= dead }

// judge says how an item stands that the given member has at key; owns says
// whether it is an owner.
func (r *routing) judge(key string, member int, owns bool, item *memcache.Item) standing {
	stamp := fence.Stamp(item.Flags)
	if stamp == r.stamp || !r.stamped {
		return alive
	}
	switch {
	case !stamp.Of(r.view.Generation):
		return stale
	case stamp.Version() > r.view.Version:
		return ahead
	}
	counts := r.history.Counts
	if owns {
		counts = r.history.CountsAtOwner
	}
	if !counts(key, member, stamp.Version()) {
		return stale
	}
	return life(stamp, item)
}

// life is the standing of an item that counts.
func life(stamp fence.Stamp, item *memcache.Item) standing {
	if stamp.Dead(item.TTL) {
		return dead
	}
	return alive
}

// hasFormers says whether others than key's only owner may hold it.
func (r *routing) hasFormers(key string, owner int) bool {
	if !r.stamped {
		return false
	}
	var room [MaxCopies]int
	owners := append(room[:0], owner)
	var more [MaxCopies]int
	return len(r.formers(more[:0], key, owners)) > 0
}
