package fleet

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// A write that may have taken effect, and is not through, is carried out again:
// because the view has changed, or an answer was lost. Somebody may have read it
// and written something newer since, over which it must not take effect a second
// time.
//
// An owner that has carried it out, under whichever view, is not asked again as
// long as what was written there counts. What comes to lie there afterwards is
// newer.
//
// The first owner, whose order of writes is the key's, is otherwise sent it on
// condition that it has what was seen there just before. Copies never replace an
// item that counts, so where such a one has gone meanwhile somebody has written
// while the write was under way: it counts as carried out just before that, and
// this is so whether it was carried out there or not. The same holds where the
// first owner of before is a former one now and has lost what it was given: that
// was told to forget it by a later write, or has moved it.
//
// What can't be told apart, because a value does not say who wrote it or when,
// and is taken for the first of the two:
//
//   - Something else lies where a request had no answer that had no condition, or
//     only that nothing which counts is there: the request was never carried out;
//     or it was, and overwritten.
//   - Something else lies at a first owner that was none before, and the one of
//     before is an owner yet, is not announced, or has what it was given: it was
//     written before, by who heard of the view earlier, or is a copy of something
//     older; or it was written since, by somebody who may be about to clear the
//     former owners.
//
// Taken for the second, a write that was answered might never be read.

// sending is a request of a write, with a condition, to its first owner.
type sending struct {
	to  *stay
	cas uint64   // of what was there
	is  standing // of that
}

// origin is where a write lies that its key has moved away from.
type origin struct {
	at  *server
	cas uint64
}

// tried says whether w may have taken effect.
func (w *write) tried() bool { return w.maybe || w.took || w.op == opDelete && w.existed }

// enter begins anew under r.
func (w *write) enter(r *routing) {
	w.r = r
	w.owners = r.owners(w.ownerRoom[:0], w.key)
	w.formers = r.relics(w.formersRoom[:0], w.key, w.owners)
	w.has, w.half = [MaxCopies]bool{}, [MaxCopies]bool{}
	w.cleared = len(w.formers) == 0
}

// follow goes over to a newer routing, and keeps what is known of owners that
// stay. What has a condition and was decided is not decided again: it is finished
// where its servers still are.
func (w *write) follow(next *routing) {
	if w.once() && w.decided {
		w.finishWhereTheyStay(next)
		return
	}
	prev, has, half, cas := w.r, w.has, w.half, w.cas
	var room [MaxCopies]int
	owners := append(room[:0], w.owners...)
	w.enter(next)
	for n, i := range w.owners {
		m := slices.IndexFunc(owners, func(o int) bool { return same(prev.servers[o], next.servers[i]) })
		if m >= 0 && next.keeps(prev, w.key, i) {
			w.has[n], w.half[n], w.cas[n] = has[m], half[m], cas[m]
		}
	}
	if w.fleeting && next.remembers(w.key, time.Now()) {
		// Who is away now was not told to forget it: what was written has to outlast
		// that, but over nothing newer.
		if w.has[0] {
			w.sent = sending{to: w.first().stay, cas: w.cas[0], is: alive}
		}
		w.has = [MaxCopies]bool{}
	}
	if len(owners) > 0 && has[0] && cas[0] != 0 {
		w.origin = origin{at: prev.servers[owners[0]], cas: cas[0]}
	}
	if w.origin.at != nil && !slices.ContainsFunc(w.formers, func(f int) bool { return same(next.servers[f], w.origin.at) }) {
		w.origin = origin{}
	}
}

// keeps says whether what member, of r, was given as an owner under prev still
// counts; it is the same stay of it.
func (r *routing) keeps(prev *routing, key string, member int) bool {
	if !r.stamped {
		return true
	}
	return r.view.Generation == prev.view.Generation && r.history.CountsAtOwner(key, member, prev.view.Version)
}

// finishWhereTheyStay takes out of w whoever next lacks.
func (w *write) finishWhereTheyStay(next *routing) {
	stays := func(i int) bool {
		return slices.ContainsFunc(next.servers, func(s *server) bool { return same(s, w.r.servers[i]) })
	}
	for n, i := range w.owners {
		w.has[n] = w.has[n] || !stays(i)
	}
	w.formers = slices.DeleteFunc(w.formers, func(i int) bool { return !stays(i) })
	w.cleared = w.cleared || len(w.formers) == 0
}

// overtaken says whether others have written since w was last sent to the first
// owner, which now has an item of that cas, or nothing.
func (w *write) overtaken(is standing, cas uint64) bool {
	return w.sent.to == w.first().stay && w.sent.is.ends() && (is == absent || cas != w.sent.cas)
}

// movedOn says whether the server that w was carried out at has lost it; not if
// that can't be asked.
func (w *write) movedOn(ctx context.Context) bool {
	if w.origin.at == nil {
		return false
	}
	head, err := w.origin.at.client.Head(ctx, w.key)
	return err == memcache.ErrNotFound || err == nil && head.CAS != w.origin.cas
}

// superseded notes that the first owner has something newer than w, which others
// must not lack either: whoever compares the copies finds that they differ.
func (w *write) superseded() { w.carriedOut(0, 0) }

// send sends item to the first owner, on condition that it has what was seen there,
// and says whether that was refused. Where there is no answer, what lies there at
// the next look tells (see overtaken).
func (w *write) send(ctx context.Context, item *memcache.Item, seen *memcache.Item, is standing) (refused bool, err error) {
	mode := memcache.ModeCAS
	if is == absent {
		mode = memcache.ModeAdd
	}
	tried := w.tried()
	w.sent = sending{to: w.first().stay, cas: seen.CAS, is: is}
	switch err := w.set(ctx, item, mode, seen.CAS); err {
	case memcache.ErrExists, memcache.ErrNotStored, memcache.ErrNotFound:
		if !tried {
			w.sent = sending{} // it surely has had no effect
		}
		return true, ctx.Err()
	default:
		w.lost = w.lost || is == alive && sent(err)
		return false, err
	}
}

// storeAgain stores item at the first owner of a Put that may have taken effect.
func (w *write) storeAgain(ctx context.Context, item *memcache.Item) error {
	for {
		there, err := w.first().client.Peek(ctx, w.key)
		is := absent
		if err == nil {
			is = w.r.judge(w.key, w.owners[0], true, &there)
		} else if err != memcache.ErrNotFound {
			return w.asked(w.first(), err)
		}
		if is == ahead {
			if next, newer := w.t.newer(ctx, w.r); newer && next != w.r {
				return errOvertaken
			}
			is = alive
		}
		switch {
		case w.overtaken(is, there.CAS):
			w.superseded()
			return nil
		case is == alive && w.asSent(item, &there):
			w.carriedOut(0, there.CAS) // be it by others: it is so now
			return nil
		case is.ends() && w.movedOn(ctx):
			w.superseded()
			return nil
		}
		if w.r.config.Rejoin == RejoinDrop {
			if err := w.clear(ctx); err != nil {
				return err
			}
		}
		if refused, err := w.send(ctx, item, &there, is); !refused || err != nil {
			return err
		}
	}
}

// asSent says whether there is what item becomes at a server.
func (w *write) asSent(item, there *memcache.Item) bool {
	if !bytes.Equal(item.Value, there.Value) || w.r.lingers(item) != w.r.lingers(there) {
		return false
	}
	if item.TTL == 0 || there.TTL == 0 {
		return item.TTL == there.TTL
	}
	return (item.TTL - there.TTL).Abs() <= time.Since(w.began)+time.Second
}
