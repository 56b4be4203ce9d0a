package shard

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
)

// newView is m as a view: Generation is the term, Version counts the maps in it.
func newView(m *slots.Map, old torc.View, lost, now time.Time) torc.View {
	v := torc.View{Generation: m.Epoch.Term, Version: m.Epoch.Counter, LostContact: lost}
	for i := range m.Servers {
		v.Members = append(v.Members, member(&m.Servers[i]))
	}
	// Of two lives at one address, the present one is the member.
	slices.SortFunc(v.Members, func(a, b torc.Member) int {
		return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(downLast(a), downLast(b)))
	})
	v.Members = slices.CompactFunc(v.Members, func(a, b torc.Member) bool { return a.Addr == b.Addr })
	for i := range v.Members {
		of := &v.Members[i]
		of.Since = now
		if was, ok := memberOf(old, of.Addr); ok && was.State == of.State {
			of.Since = was.Since
		}
	}
	return v
}

func downLast(m torc.Member) int {
	if m.State == torc.Down {
		return 1
	}
	return 0
}

func member(s *slots.Server) torc.Member {
	m := torc.Member{Addr: s.Addr, Weight: 1}
	switch {
	case s.Dead:
		m.State, m.Reason = torc.Down, "it gives no sign to the master, and some slots have no copy elsewhere"
	case s.Leaving:
		m.State, m.Reason = torc.Drained, "it hands over what it has, to go"
	}
	return m
}

// memberOf finds a member by its address.
func memberOf(v torc.View, addr string) (torc.Member, bool) {
	i, ok := slices.BinarySearchFunc(v.Members, addr, func(m torc.Member, addr string) int { return cmp.Compare(m.Addr, addr) })
	if !ok {
		return torc.Member{}, false
	}
	return v.Members[i], true
}

// Locate implements [torc.Table]: it names the primary of the key's slot, and then
// the backups that may take its place at any time. It goes by the map that the
// table has, and asks nobody.
func (t *Table) Locate(_ context.Context, key string) (torc.Placement, error) {
	if err := memcache.CheckKey(key); err != nil {
		return torc.Placement{}, failure(opLocate, key, nil, fmt.Errorf("%w: %w", torc.ErrInvalid, bare{err}))
	}
	if t.life.Err() != nil {
		return torc.Placement{}, failure(opLocate, key, nil, torc.ErrClosed)
	}
	r := t.routing.Load()
	row := &r.m.Rows[slots.Of(key)]
	if row.Primary == slots.None {
		return torc.Placement{}, failure(opLocate, key, nil, unavailable(errNoServer))
	}
	p := torc.Placement{Generation: r.view.Generation, Version: r.view.Version}
	p.Owners = append(p.Owners, r.owner(row.Primary))
	for _, c := range row.Copies() {
		if c.State == slots.InSync {
			p.Owners = append(p.Owners, r.owner(c.Server))
		}
	}
	return p, nil
}

// owner is a server of the map as who has a slot: one that hands over what it has
// is up as long as it has it.
func (r *routing) owner(i int16) torc.Member {
	s := r.m.Servers[i]
	s.Leaving = false
	m := member(&s)
	m.Since = r.since(s.Addr)
	return m
}

// Members implements [torc.Table]. There is a view for each map, so also while
// slots move between the same members.
func (t *Table) Members(ctx context.Context) iter.Seq2[torc.View, error] {
	return func(yield func(torc.View, error) bool) {
		for ctx.Err() == nil {
			if t.life.Err() != nil {
				yield(torc.View{}, failure(opMembers, "", nil, torc.ErrClosed))
				return
			}
			r := t.routing.Load()
			if !yield(r.view, nil) {
				return
			}
			select {
			case <-r.replaced:
			case <-ctx.Done():
			case <-t.life.Done():
			}
		}
	}
}
