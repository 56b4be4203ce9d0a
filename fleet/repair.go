package fleet

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// found is what a fleet holds at a key.
type found struct {
	r  *routing // under which it is so
	is standing // dead or alive; absent; unasked if nobody could say
	// item is what is there, as it lies at the server.
	item memcache.Item
	at   *server // the first owner if that has it now
	// copied is to how many owners it was given on the way.
	copied int
	// unasked is who could not be asked, if nothing was found.
	unasked *reply
	// unsure says that nothing was found because others write all the time, or
	// are of a later view.
	unsure bool
}

// unheard is why f is not for sure: who may have something could not be asked.
// It is nil if something was found, or everybody has answered.
func (f *found) unheard() error {
	if f.unasked == nil || f.is.ends() {
		return nil
	}
	if f.unasked.err != nil {
		return f.unasked.err
	}
	return &memcache.ConnError{Addr: f.r.servers[f.unasked.member].Addr, Err: errSilent}
}

// Bounds on finding something out.
const (
	// maxLooks is how often it begins again when somebody has written meanwhile.
	maxLooks = 5
	// maxViewWait is how long it waits for the view under which a value was
	// written. The directory tells everybody within milliseconds.
	maxViewWait = 100 * time.Millisecond
)

// look is a Get that the first owner's answer does not end.
func (t *Table) look(ctx context.Context, r *routing, key string, first *heard) (torc.Entry, error) {
	for again := false; ; again = true {
		f, err := t.find(ctx, r, key, first)
		if err != nil {
			return torc.Entry{}, failure("get", key, nil, err)
		}
		next := t.routing.Load()
		if !again && next != f.r && (next.moved(f.r, key, f.at) || next.spares(&f)) {
			r, first = next, nil // an answer counts if who gave it still holds the key
			continue
		}
		return t.entry(ctx, key, f)
	}
}

// spares says whether who could not be asked for f has left, so that nobody waits
// for it under r.
func (r *routing) spares(f *found) bool {
	return f.unheard() != nil && !slices.ContainsFunc(r.servers, func(s *server) bool { return same(s, f.r.servers[f.unasked.member]) })
}

// moved says whether what was found at a server under prev, or nowhere, may be
// otherwise under r.
func (r *routing) moved(prev *routing, key string, at *server) bool {
	var room, prevRoom [MaxCopies]int
	owners, before := r.owners(room[:0], key), prev.owners(prevRoom[:0], key)
	if at != nil {
		for _, i := range owners {
			if same(r.servers[i], at) {
				return false
			}
		}
		return true
	}
	if len(owners) != len(before) {
		return true
	}
	for n := range owners {
		if !same(r.servers[owners[n]], prev.servers[before[n]]) {
			return true
		}
	}
	return false
}

// entry is what the caller of a Get hears of what was found.
func (t *Table) entry(ctx context.Context, key string, f found) (torc.Entry, error) {
	var s *server
	switch {
	case f.is == alive:
		return torc.Entry{Value: f.item.Value, Version: torc.Version{Epoch: f.at.epoch, Seq: f.item.CAS}}, nil
	case f.r.owner(key) == nil:
		return torc.Entry{}, t.missWithoutServer(f.r, key)
	case f.unasked != nil:
		s = f.r.servers[f.unasked.member]
		return torc.Entry{}, t.getFailure(ctx, key, s, f.unasked.err)
	}
	return torc.Entry{}, failure("get", key, f.r.owner(key), memcache.ErrNotFound)
}

// find finds out what is at key, by asking in order, and puts right what it sees
// to be wrong on the way. It begins under r; first may be what the first owner
// under r has answered. The error is that of a context that ended, or
// torc.ErrClosed.
func (t *Table) find(ctx context.Context, r *routing, key string, first *heard) (found, error) {
	return t.findBy(ctx, r, key, func(q *inquiry) (verdict, error) {
		v, err := q.get(ctx, first)
		first = nil
		return v, err
	})
}

// resolve finds out what is at key by asking everybody who may hold it, and
// gives that to every owner that lacks it or has something else.
func (t *Table) resolve(ctx context.Context, key string) (found, error) {
	return t.findBy(ctx, t.routing.Load(), key, func(q *inquiry) (verdict, error) { return q.getAll(ctx) })
}

func (t *Table) findBy(ctx context.Context, r *routing, key string, ask func(*inquiry) (verdict, error)) (found, error) {
	for looks := 1; ; looks++ {
		q := newInquiry(t, r, key)
		v, err := ask(q)
		q.end()
		if err != nil {
			return found{}, err
		}
		q.count(&v)
		f := found{r: r, is: v.is, unasked: v.unasked}
		switch v.is {
		case ahead:
			f.is, f.unsure = absent, true
			next, newer := t.newer(ctx, r)
			if !newer || looks == maxLooks {
				return f, nil
			}
			r = next
		case dead, alive:
			if q.settle(ctx, &v, &f) {
				return f, nil
			}
			if f.is, f.unsure = absent, true; looks == maxLooks {
				return f, nil
			}
			r = t.routing.Load()
		default:
			return f, nil
		}
	}
}

// newer waits until the table goes by a later view than r's, for as long as it
// makes sense.
func (t *Table) newer(ctx context.Context, r *routing) (*routing, bool) {
	if t.routing.Load() == r && r.view.LostContact.IsZero() {
		t.metrics.inc(viewWait)
		t.waitForView(ctx, r, maxViewWait) //nolint:errcheck // the routing tells
	}
	next := t.routing.Load()
	return next, next != r
}

// settle gives what has won to the owners that were seen to lack it, and fills
// in f. It says whether the verdict holds.
//
// A copy never overwrites what was not seen: it is added where there was
// nothing, and replaces by cas what lost. Where the winner is gone afterwards
// the copies are taken back: somebody has written or deleted, and may have been
// to where a copy now is before it was. So what has begun goes on when ctx ends.
func (q *inquiry) settle(ctx context.Context, v *verdict, f *found) bool {
	source := &v.winner
	f.item, f.at = source.item, q.r.servers[source.member]
	item := q.r.restamped(q.key, &source.item)
	lacking := q.lacking(source)
	// A former owner's item is never stamped anew: it would count under a later
	// view in which that server owns the key again.
	renew := source.is == stale && q.owns(source.member)
	switch {
	case !renew && len(lacking) == 0:
		return true
	case q.r.expiresSoon(&item): // it may outlive itself as a copy, whose clock differs
		return !v.byAbsence
	}
	ctx, cancel := context.WithTimeout(ctx, q.t.opts.ReadTimeout)
	defer cancel()
	after, whole := *f, false
	done := make(chan struct{})
	give := func() {
		defer close(done)
		whole = q.give(item, renew, lacking, &after)
	}
	if !q.t.spawn(give) {
		return !v.byAbsence
	}
	select {
	case <-done:
	case <-ctx.Done():
		return !v.byAbsence
	}
	*f = after
	// What has won because others had nothing has to be what every owner that
	// answered has now: a write that came between would be seen there.
	return whole || !v.byAbsence
}

// give puts item, which lies at f.at, on the servers of lacking, and where it lies
// too if it is to be renewed there. It says whether all of them have it.
func (q *inquiry) give(item memcache.Item, renew bool, lacking []*reply, f *found) (whole bool) {
	ctx, cancel := context.WithTimeout(context.Background(), q.t.opts.ReadTimeout)
	defer cancel()
	if renew {
		item.CAS = f.item.CAS
		cas, err := f.at.client.Set(ctx, item, memcache.ModeCAS)
		if err != nil {
			q.t.metrics.inc(repairLost)
			return false
		}
		f.item.CAS, f.item.Flags = cas, item.Flags
	}
	return len(lacking) == 0 || q.copy(ctx, item, lacking, f)
}

// lacking returns the replies of the owners that answered, and have something
// else than the source. One whose item counts as well differs from it only if
// writes have raced, or one has broken off.
func (q *inquiry) lacking(source *reply) []*reply {
	var list []*reply
	for _, i := range q.owners {
		p := q.of(i)
		if p == nil || i == source.member || p.is == unasked || p.is.ends() && q.r.sameContent(&p.item, &source.item) {
			continue
		}
		list = append(list, p)
	}
	return list
}

// sameContent says whether two servers have the same at a key.
func (r *routing) sameContent(a, b *memcache.Item) bool {
	return bytes.Equal(a.Value, b.Value) && r.lingers(a) == r.lingers(b)
}

// lingers says whether item stays for longer than it lives.
func (r *routing) lingers(item *memcache.Item) bool {
	return r.stamped && fence.Stamp(item.Flags).Lingers()
}

// copy puts item, which lies at f.at under f.item.CAS, on the servers of lacking.
// It says whether all of them have it.
func (q *inquiry) copy(ctx context.Context, item memcache.Item, lacking []*reply, f *found) (whole bool) {
	var g memcache.Group
	for _, p := range lacking {
		mode := memcache.ModeAdd
		if p.is != absent {
			mode, item.CAS = memcache.ModeCAS, p.item.CAS
		}
		g.Set(q.r.servers[p.member].client, item, mode)
	}
	g.Wait(ctx)
	copies := make([]uint64, len(lacking)) // their cas; 0 where there is none
	for n := range lacking {
		if cas, err := g.CAS(n); err == nil {
			copies[n] = cas
		}
	}
	head, err := f.at.client.Head(ctx, q.key)
	switch {
	case err == nil && head.CAS == f.item.CAS:
	case err == nil, err == memcache.ErrNotFound:
		q.takeBack(lacking, copies)
		return false
	default: // the copies count as what they were copied from did, and that may be lost
		return false
	}
	whole = true
	for n, p := range lacking {
		if copies[n] == 0 {
			q.t.metrics.inc(repairLost)
			whole = false
			continue
		}
		q.t.metrics.inc(repairDone)
		f.copied++
		if p.member == q.owners[0] {
			f.at, f.item.CAS, f.item.Flags = q.r.servers[p.member], copies[n], item.Flags
		}
	}
	return whole
}

// takeBack deletes copies, by their cas. It has its own time: the look at their
// source may have taken up all there was.
func (q *inquiry) takeBack(lacking []*reply, copies []uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), q.t.opts.ReadTimeout)
	defer cancel()
	var g memcache.Group
	for n, p := range lacking {
		q.t.metrics.inc(repairLost)
		if copies[n] != 0 {
			g.Delete(q.r.servers[p.member].client, q.key, copies[n])
		}
	}
	g.Wait(ctx)
}

// restamped is item as it is written under r. Its life goes on as it was.
func (r *routing) restamped(key string, item *memcache.Item) memcache.Item {
	renewed := memcache.Item{Key: key, Value: item.Value, Flags: item.Flags, TTL: item.TTL}
	if r.stamped {
		stamp := r.stamp
		if r.lingers(item) {
			stamp = stamp.Lingering()
		}
		renewed.Flags = uint32(stamp)
	}
	return renewed
}

// expiresSoon says whether item's life is over within a second, the grain in
// which servers count.
func (r *routing) expiresSoon(item *memcache.Item) bool {
	left := item.TTL
	if r.lingers(item) {
		left -= fence.Linger
	}
	return 0 < left && left <= time.Second
}
