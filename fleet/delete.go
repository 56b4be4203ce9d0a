package fleet

import (
	"context"
	"time"

	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// shortTomb is how long a tombstone stays that only has to outlive what is under
// way while the Delete is: copies that are being made, and writes that race.
const shortTomb = time.Minute

// Delete implements [torc.Table], and tries again as Put does. It is decided at
// the key's first server, and leaves nothing anywhere that could come back.
func (t *Table) Delete(ctx context.Context, key string) error {
	err := t.delete(ctx, key)
	t.metrics.deleted(err)
	return err
}

func (t *Table) delete(ctx context.Context, key string) error {
	w := t.newWrite(opDelete, key)
	defer w.release()
	w.carry = (*write).remove
	return w.run(ctx)
}

// remove is a Delete.
func (w *write) remove(ctx context.Context) error {
	var err error
	if !w.r.stamped {
		// First, so that what is copied from there meanwhile is deleted too.
		err = w.clear(ctx)
	}
	switch {
	case err != nil:
	case w.r.stamped:
		err = w.bury(ctx)
	case len(w.owners) == 1:
		err = w.first().client.Delete(ctx, w.key, 0)
		w.existed = w.existed || err == nil
		if err == memcache.ErrNotFound {
			err = nil
		}
		err = w.failed(w.first(), err)
	default:
		err = w.removeTwice(ctx)
	}
	if err == nil && !w.existed {
		w.at = w.first()
		return memcache.ErrNotFound
	}
	return err
}

// removeTwice deletes at all owners, without stamps. Then again: who read a copy
// before the first time may have put it where it was deleted already.
func (w *write) removeTwice(ctx context.Context) error {
	for ; w.round < 2; w.round++ {
		g := &w.group
		g.Reset()
		for n, i := range w.owners {
			if !w.has[n] {
				g.Delete(w.r.servers[i].client, w.key, 0)
			}
		}
		g.Wait(ctx)
		request := 0
		err := w.collect(func(n int) error {
			err := g.Err(request)
			request++
			w.existed = w.existed || err == nil
			if err == nil || err == memcache.ErrNotFound {
				w.has[n] = true
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		w.has = [MaxCopies]bool{}
	}
	return nil
}

// bury deletes in a fleet with stamps: it leaves tombstones where an older value
// might be found, and believed, if there were nothing.
func (w *write) bury(ctx context.Context) error {
	away := w.r.remembers(w.key, time.Now())
	if !away && len(w.owners) == 1 && w.cleared {
		return w.removeOnly(ctx)
	}
	tomb := memcache.Item{Key: w.key, Flags: uint32(w.r.stamp.Lingering()), TTL: shortTomb}
	if away {
		tomb.TTL = fence.Linger
	}
	for !w.has[0] {
		there, is, err := w.see(ctx)
		if err != nil {
			return err
		}
		if w.r.config.Rejoin == RejoinDrop {
			if err := w.clear(ctx); err != nil {
				return err
			}
		}
		mode := memcache.ModeCAS
		if is == absent {
			mode = memcache.ModeAdd
		}
		switch err := w.set(ctx, &tomb, mode, there.CAS); err {
		case nil:
			w.existed = w.existed || is == alive
		case memcache.ErrExists, memcache.ErrNotStored, memcache.ErrNotFound:
			if err := ctx.Err(); err != nil {
				return err
			}
		default:
			return err
		}
	}
	if err := w.everywhere(ctx, &tomb); err != nil {
		return err
	}
	w.t.metrics.inc(tombstone)
	return w.compareLater(ctx)
}

// removeOnly deletes what the only server has that may have anything.
func (w *write) removeOnly(ctx context.Context) error {
	for {
		there, is, err := w.see(ctx)
		if err != nil || is == absent {
			return err
		}
		switch err := w.first().client.Delete(ctx, w.key, there.CAS); err {
		case nil:
			w.existed = w.existed || is == alive
			return nil
		case memcache.ErrExists, memcache.ErrNotFound:
			if err := ctx.Err(); err != nil {
				return err
			}
		default:
			return w.failed(w.first(), err)
		}
	}
}
