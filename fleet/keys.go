package fleet

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

var _ torc.Ranger = (*Table)(nil)

// Keys implements [torc.Ranger]. It walks over the servers one after the other
// and yields a key from the first of its owners that has it, and from others where
// none has: so once, unless copies come and go meanwhile. It goes by the view as
// of its beginning. A key that a rebalance moves meanwhile may be missed.
//
// memcached's listing leaves out what has just been read. So a server with many
// keys that is in use is listed twice, a little over a second apart, and what was
// used shortly before the first time may come twice. Still it may leave out a few
// keys, in ten thousand, that it moves between its queues both times. Of a server
// with up to 100,000 keys none is left out, and none comes twice.
func (t *Table) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		k := keys{t: t, r: t.routing.Load(), yield: yield}
		var again []int
		since := make([]time.Time, len(k.r.servers))
		for i, s := range k.r.servers {
			before := figuresOf(ctx, s.client)
			list := keysOf
			if before.items <= fewKeys {
				list = fewKeysOf
			}
			if !k.of(ctx, i, list, time.Time{}) {
				return
			}
			after := figuresOf(ctx, s.client)
			if before.items > fewKeys && !before.complete(&after, k.listed) {
				again, since[i] = append(again, i), before.at.Add(-2*hiding)
			}
		}
		if len(again) == 0 {
			return
		}
		if err := sleep(ctx, hiding); err != nil {
			yield("", k.failure(again[0], err))
			return
		}
		for _, i := range again {
			if !k.of(ctx, i, keysOf, since[i]) {
				return
			}
		}
	}
}

// keys is one walk.
type keys struct {
	t     *Table
	r     *routing
	yield func(string, error) bool
	group memcache.Group
	asked []asked

	listed uint64 // by the server that was walked over last
}

// asked is a key that others may have before the server that listed it.
type asked struct {
	key     string
	first   int // index of the first request for it
	members []int
	surplus bool // the last of them is none of its owners
}

func (k *keys) failure(member int, err error) error {
	if k.t.isClosed() {
		return failure("keys", "", nil, torc.ErrClosed)
	}
	return failure("keys", "", k.r.servers[member], err)
}

// of yields the keys of one server that were used since the given time, and says
// whether more are wanted.
func (k *keys) of(ctx context.Context, member int, list lister, since time.Time) (more bool) {
	more, err := k.walk(ctx, member, list, since)
	if err != nil {
		k.yield("", k.failure(member, err))
		return false
	}
	return more
}

func (k *keys) walk(ctx context.Context, member int, list lister, since time.Time) (more bool, err error) {
	if k.t.isClosed() {
		return false, torc.ErrClosed
	}
	k.listed = 0
	for info, err := range list(ctx, k.r.servers[member].client) {
		if err != nil {
			return false, err
		}
		if k.listed++; info.LastAccess.Before(since) {
			continue
		}
		if before, surplus := k.before(info.Key, member); len(before) > 0 {
			k.ask(info.Key, before, surplus)
		} else if !k.yield(info.Key, nil) {
			return false, nil
		}
		if k.group.Len() >= batchTasks {
			if more, err = k.answer(ctx); err != nil || !more {
				return more, err
			}
		}
	}
	return k.answer(ctx)
}

// before returns who has to be asked whether a key that the member has listed is
// to be yielded: its owners, up to and with the member if that is one, or all and
// the member, which is surplus. None are needed where the item at the first owner
// is the entry, whatever it is.
func (k *keys) before(key string, member int) (members []int, surplus bool) {
	owners := k.r.owners(nil, key)
	i := slices.Index(owners, member)
	switch {
	case i < 0:
		return append(owners, member), true
	case i == 0 && !k.r.stamped:
		return nil, false
	}
	return owners[:i+1], false
}

func (k *keys) ask(key string, members []int, surplus bool) {
	a := asked{key: key, first: k.group.Len(), members: members, surplus: surplus}
	for _, m := range members {
		k.group.Head(k.r.servers[m].client, key)
	}
	k.asked = append(k.asked, a)
}

// answer yields those of the keys asked for that their server is to yield.
func (k *keys) answer(ctx context.Context) (more bool, err error) {
	k.group.Wait(ctx)
	more = true
	for _, a := range k.asked {
		if more = k.answered(ctx, &a); !more {
			break
		}
	}
	k.group.Reset()
	k.asked = k.asked[:0]
	return more, ctx.Err()
}

// answered yields a's key if nobody before the member that has listed it does.
func (k *keys) answered(ctx context.Context, a *asked) (more bool) {
	for i, m := range a.members {
		item, err := k.group.Item(a.first + i)
		if err != nil {
			continue // it has nothing, or can't be asked: then others have to tell
		}
		last := i == len(a.members)-1
		switch is := k.r.judge(a.key, m, !(last && a.surplus), &item); {
		case is.ends():
			return !last || is == dead || k.yield(a.key, nil)
		case last: // whether it counts is for the rule of reading to decide
			if _, err := k.t.Get(ctx, a.key); err == nil {
				return k.yield(a.key, nil)
			}
		}
	}
	return true
}
