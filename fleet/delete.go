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
	case len(w.owners) == 1 && w.tried():
		err = w.removeOnly(ctx)
	case len(w.owners) == 1:
		err = w.first().client.Delete(ctx, w.key, 0)
		if err == nil {
			w.existed = true
			w.carriedOut(0, 0)
		} else if err == memcache.ErrNotFound {
			err = nil
		}
		w.lost = w.lost || sent(err)
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
	if err := w.removeOnce(ctx, &w.half); err != nil {
		return err
	}
	return w.removeOnce(ctx, &w.has)
}

// removeOnce deletes at the owners that are not yet in done, and not through.
func (w *write) removeOnce(ctx context.Context, done *[MaxCopies]bool) error {
	g := &w.group
	g.Reset()
	for n, i := range w.owners {
		if !w.has[n] && !done[n] {
			g.Delete(w.r.servers[i].client, w.key, 0)
		}
	}
	g.Wait(ctx)
	request := 0
	return w.collect(func(n int) error {
		if done[n] {
			return nil
		}
		err := g.Err(request)
		request++
		w.existed = w.existed || err == nil
		if err == nil || err == memcache.ErrNotFound {
			done[n], w.took = true, true
			return nil
		}
		w.lost = w.lost || sent(err)
		return err
	})
}

// bury deletes in a fleet with stamps: it leaves tombstones where an older value
// might be found, and believed, if there were nothing.
func (w *write) bury(ctx context.Context) error {
	away := w.r.remembers(w.key, time.Now())
	if !away && len(w.owners) == 1 && w.cleared {
		return w.removeOnly(ctx)
	}
	tomb := memcache.Item{Key: w.key, Flags: uint32(w.r.stamp.Lingering()), TTL: shortTomb}
	if w.fleeting = !away; away {
		tomb.TTL = fence.Linger
	}
	for !w.has[0] {
		there, is, err := w.see(ctx)
		if err != nil {
			return err
		}
		if is == alive && (w.overtaken(is, there.CAS) || w.movedOn(ctx)) {
			w.existed = w.existed || w.sent.is == alive
			w.superseded()
			break
		}
		if w.r.config.Rejoin == RejoinDrop {
			if err := w.clear(ctx); err != nil {
				return err
			}
		}
		refused, err := w.send(ctx, &tomb, &there, is)
		if err != nil {
			return err
		}
		w.existed = w.existed || !refused && is == alive
	}
	if err := w.everywhere(ctx, &tomb); err != nil {
		return err
	}
	w.t.metrics.inc(tombstone)
	return w.compareLater(ctx)
}

// removeOnly deletes what the only server has that may have anything.
func (w *write) removeOnly(ctx context.Context) error {
	for !w.has[0] {
		there, is, err := w.see(ctx)
		if err != nil || is == absent {
			return err
		}
		if w.overtaken(is, there.CAS) {
			w.existed = w.existed || w.sent.is == alive
			w.superseded()
			break
		}
		tried := w.tried()
		w.sent = sending{to: w.first().stay, cas: there.CAS, is: is}
		switch err := w.first().client.Delete(ctx, w.key, there.CAS); err {
		case nil:
			w.existed = w.existed || is == alive
			w.carriedOut(0, 0)
		case memcache.ErrExists, memcache.ErrNotFound:
			if !tried {
				w.sent = sending{} // it surely has had no effect
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		default:
			w.lost = w.lost || is == alive && sent(err)
			return w.failed(w.first(), err)
		}
	}
	return nil
}
