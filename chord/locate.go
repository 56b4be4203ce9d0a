package chord

import (
	"context"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/memcache"
)

// Locate implements [torc.Table]: it names the key's owner, and then who holds copies
// of all that it owns, by the owner's own word. It is asked again as Get is.
func (t *Table) Locate(ctx context.Context, key string) (torc.Placement, error) {
	if err := memcache.CheckKey(key); err != nil {
		return torc.Placement{}, failure(opLocate, key, nil, judgeTry(err).err)
	}
	var found torc.Placement
	_, err := t.carryOut(ctx, &call{verb: opLocate, key: key, place: t.circle.OfKey(key), found: &found})
	if err != nil {
		return torc.Placement{}, err
	}
	return found, nil
}

// placement asks a's owner who holds a place.
func (t *Table) placement(ctx context.Context, p place.Place, a *arc, found *torc.Placement) error {
	s, err := t.status(ctx, a.at)
	if err != nil {
		return err
	}
	if !owns(&s, p) {
		return errNotOwner
	}
	a, r := t.hear(s.Claim.Span, s.Self, holdersOf(&s))
	if a == nil {
		return errNotOwner // or the table is closed
	}
	*found = torc.Placement{Hops: 1, Generation: t.ring, Version: r.version}
	found.Owners = append(found.Owners, r.member(a.owner.Addr, a.at))
	for _, h := range a.holders {
		found.Owners = append(found.Owners, r.member(h.Addr, a.at))
	}
	return nil
}

// status asks a node how it stands.
func (t *Table) status(ctx context.Context, at *reached) (s link.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.TryTimeout)
	defer cancel()
	err = at.ask(ctx, func(c *link.Client) (err error) {
		s, err = c.Status(ctx)
		return err
	})
	return s, err
}

// owns says whether a node answers for a place, by its own word.
func owns(s *link.Status, p place.Place) bool {
	return s.Serving && !s.Claim.Owner.None() && place.Between(s.Claim.Span.From, p, s.Claim.Span.To)
}

// holdersOf returns who has all that a node owns, besides itself. It is not nil.
func holdersOf(s *link.Status) []ring.Ref {
	all := []ring.Ref{}
	for _, h := range s.Holders {
		if h.Complete && h.Node.Boot != s.Self.Boot {
			all = append(all, h.Node)
		}
	}
	return all
}

// member is the node at an address as one that holds keys. Who isn't in the view was
// met when at was.
func (r *routing) member(addr string, at *reached) torc.Member {
	m := torc.Member{Addr: addr, Weight: 1, Since: at.met}
	if in, ok := memberAt(&r.view, addr); ok && in.State == torc.Up {
		m.Since = in.Since
	}
	return m
}
