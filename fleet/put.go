package fleet

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// The operations that change something, as errors name them.
const (
	opPut    = "put"
	opDelete = "delete"
)

// Put implements [torc.Table]. It returns when every server that holds the key
// has the value, and no other that is there has an older one. While one can't be
// reached it tries again, there or at whoever holds the key by then, until the
// context or Options.WriteTimeout ends it; the error then says which have it.
//
// A Put with a condition is decided at the key's first server, which it is sent
// to once.
func (t *Table) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	err := t.put(ctx, key, value, opts)
	t.metrics.put(err)
	return err
}

func (t *Table) put(ctx context.Context, key string, value []byte, opts []torc.PutOption) error {
	o, err := torc.ResolvePut(opts)
	if err != nil {
		return failure(opPut, key, nil, err)
	}
	w := t.newWrite(opPut, key)
	defer w.release()
	w.value, w.opts = value, o
	w.carry = (*write).store
	if o.Cond != torc.CondNone {
		w.carry = (*write).storeIf
	}
	return w.run(ctx)
}

// store is a Put without a condition.
func (w *write) store(ctx context.Context) error {
	item := w.lasting(memcache.Item{Key: w.key, Value: w.value, TTL: w.opts.TTL})
	if err := w.checkSize(ctx, &item); err != nil {
		return err
	}
	if !w.has[0] && w.tried() {
		if err := w.storeAgain(ctx, &item); err != nil {
			return err
		}
	}
	if len(w.owners) == 1 && w.cleared {
		if w.has[0] {
			return nil
		}
		cas, err := w.first().client.Set(ctx, item, memcache.ModeSet)
		if err == nil {
			w.carriedOut(0, cas)
		}
		return w.failed(w.first(), err)
	}
	if err := w.everywhere(ctx, &item); err != nil {
		return err
	}
	return w.compareLater(ctx)
}

// storeIf is a Put with a condition: the first owner decides it, and then the
// others have to take it.
func (w *write) storeIf(ctx context.Context) error {
	item := w.lasting(memcache.Item{Key: w.key, Value: w.value, TTL: w.opts.TTL})
	if err := w.checkSize(ctx, &item); err != nil {
		return err
	}
	if !w.decided {
		if err := w.decide(ctx, &item); err != nil {
			return err
		}
	}
	if len(w.owners) > 1 || !w.cleared {
		if err := w.everywhere(ctx, &item); err != nil {
			return err
		}
	}
	return w.compareLater(ctx)
}

// decide stores item at the first owner if the condition holds.
func (w *write) decide(ctx context.Context, item *memcache.Item) error {
	alone := len(w.owners) == 1 && w.cleared
	switch {
	case w.opts.Cond == torc.CondVersion && w.opts.Version.Epoch != w.first().epoch:
		w.at = w.first()
		return torc.ErrConflict // read from another server, or in an earlier stay
	case alone && !w.r.stamped:
		return w.decided1(w.set(ctx, item, plainMode(w.opts.Cond), w.opts.Version.Seq))
	case alone && w.opts.Cond == torc.CondAbsent:
		err := w.set(ctx, item, memcache.ModeAdd, 0)
		if err != memcache.ErrNotStored {
			return w.decided1(err)
		}
	}
	for {
		there, is, err := w.see(ctx)
		if err != nil {
			return err
		}
		mode := memcache.ModeCAS
		switch {
		case w.opts.Cond == torc.CondAbsent && is == alive:
			return torc.ErrExists
		case w.opts.Cond == torc.CondAbsent && is == absent:
			mode = memcache.ModeAdd
		case w.opts.Cond == torc.CondAbsent:
		case is != alive:
			return torc.ErrNotFound
		case w.opts.Cond == torc.CondVersion && w.opts.Version.Seq != there.CAS:
			return torc.ErrConflict
		}
		if w.r.config.Rejoin == RejoinDrop {
			if err := w.clear(ctx); err != nil {
				return err
			}
		}
		switch err := w.set(ctx, item, mode, there.CAS); err {
		case memcache.ErrExists, memcache.ErrNotStored, memcache.ErrNotFound:
			if err := ctx.Err(); err != nil {
				return err
			}
			continue // others have written: it is another question now
		default:
			return err
		}
	}
}

// plainMode is the mode of Set that decides a condition where an item is there
// exactly if it counts.
func plainMode(c torc.Condition) memcache.Mode {
	switch c {
	case torc.CondAbsent:
		return memcache.ModeAdd
	case torc.CondPresent:
		return memcache.ModeReplace
	}
	return memcache.ModeCAS
}

// decided1 is a Set's refusal in the words of the condition.
func (w *write) decided1(err error) error {
	switch {
	case err == memcache.ErrNotStored && w.opts.Cond == torc.CondAbsent:
		return torc.ErrExists
	case err == memcache.ErrNotStored, err == memcache.ErrNotFound:
		return torc.ErrNotFound
	case err == memcache.ErrExists:
		return torc.ErrConflict
	}
	return err
}

// set stores item at the first owner, which decides the write.
func (w *write) set(ctx context.Context, item *memcache.Item, mode memcache.Mode, cas uint64) error {
	sent := *item
	sent.CAS = cas
	cas, err := w.first().client.Set(ctx, sent, mode)
	if err == nil {
		w.decided = true
		w.carriedOut(0, cas)
	}
	return w.failed(w.first(), err)
}

// see looks at what the first owner has, without the value. Where that is nothing
// that counts, it first has the first owner given what the fleet has.
func (w *write) see(ctx context.Context) (memcache.Item, standing, error) {
	sought := false // everywhere, and there is nothing
	for looks := 1; ; looks++ {
		there, err := w.first().client.Head(ctx, w.key)
		is := absent
		if err == nil {
			is = w.r.judge(w.key, w.owners[0], true, &there)
		} else if err != memcache.ErrNotFound {
			return there, is, w.asked(w.first(), err)
		}
		w.at = w.first()
		switch {
		case is == ahead:
			if next, newer := w.t.newer(ctx, w.r); newer && next != w.r {
				return there, is, errOvertaken
			}
			return there, alive, nil // of those who are ahead nothing more can be learnt
		case is.ends(), sought, is == absent && len(w.owners) == 1 && w.cleared:
			return there, is, nil
		}
		f, err := w.t.find(ctx, w.r, w.key, nil)
		if err != nil {
			return there, is, err
		}
		if err := f.unheard(); err != nil && f.r == w.r {
			// Who can't be asked has to take part in any case.
			return there, is, w.asked(w.r.servers[f.unasked.member], err)
		}
		// What was found may not have got to the first owner: others move it too.
		if sought = !f.is.ends(); f.r != w.r || !sought && looks == maxLooks {
			return there, is, errOvertaken
		}
	}
}

// Of an item, memcached counts its header, at most this long, besides key and
// value; and no memcached has a smaller limit than this.
const (
	itemOverhead    = 64
	smallestItemMax = 1024
)

// checkSize says whether item is larger than an owner takes. To find out by
// sending it would cost the item that is there: memcached removes that when it
// refuses a larger one.
func (w *write) checkSize(ctx context.Context, item *memcache.Item) error {
	size := int64(len(item.Key) + len(item.Value) + itemOverhead)
	if size <= smallestItemMax {
		return nil
	}
	if err := memcache.CheckKey(item.Key); err != nil {
		return err
	}
	for n, i := range w.owners {
		if w.has[n] {
			continue
		}
		s := w.r.servers[i]
		most, err := s.limit(ctx)
		if err != nil {
			return w.asked(s, err)
		}
		if size > most {
			w.at = s
			return fmt.Errorf("%w: %d bytes, and the server's item_size_max of %d has to hold the key and %d bytes besides", torc.ErrTooLarge, len(item.Value), most, itemOverhead)
		}
	}
	return nil
}

// limit is the size of the largest item that s takes, in bytes as it counts them.
func (s *stay) limit(ctx context.Context) (int64, error) {
	if most := s.itemMax.Load(); most != 0 {
		return most, nil
	}
	settings, err := s.client.Stats(ctx, "settings")
	if err != nil {
		return 0, err
	}
	most, err := strconv.ParseInt(settings["item_size_max"], 10, 64)
	if err != nil {
		most = math.MaxInt64 // it doesn't tell, so it has to refuse by itself
	}
	s.itemMax.Store(most)
	return most, nil
}
