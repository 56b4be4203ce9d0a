package chord

import (
	"context"
	"errors"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// Take removes the entry at key and returns it: the one that it removed, and not what
// was there a moment before. ErrNotFound says that there was none. Otherwise it is as
// Delete.
func (t *Table) Take(ctx context.Context, key string) (torc.Entry, error) {
	for {
		e, err := t.Get(ctx, key)
		if err != nil {
			return torc.Entry{}, err
		}
		err = t.write(ctx, &call{
			verb: opDelete, key: key, place: t.circle.OfKey(key), item: memcache.Item{CAS: e.Version.Seq},
		})
		if !errors.Is(err, torc.ErrConflict) { // else another write has come between
			return e, err
		}
	}
}

// Owner returns a key's place, in decimal, and the node that this table takes for its
// owner: after a call for the key, the node that answered it, unless there has been
// news since. It asks nobody; ok is false if the table knows of no owner.
func (t *Table) Owner(key string) (hash string, owner NodeRef, ok bool) {
	at := t.circle.OfKey(key)
	a := t.routing.Load().find(at)
	if a == nil {
		return at.String(), NodeRef{}, false
	}
	return at.String(), refOf(a.owner), true
}
