package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// A batch is what a rebalance asks for in one go. It is large enough that the
// round trips don't matter, and small enough that the values of the few that are
// under way take little memory, and that their requests hold up nobody else's
// for more than a millisecond.
const (
	batchTasks = 256
	batchBytes = 4 << 20 // one value may be larger
)

// batchTimeout bounds each round of a batch: a rebalance that was told to stop
// still finishes what it has begun.
const batchTimeout = 10 * time.Second

// batch is some tasks of one source that go through a rebalance together.
type batch struct {
	*walk
	tasks []task
	bytes int
	group memcache.Group
}

// reset empties the batch, for use again.
func (b *batch) reset() {
	clear(b.tasks)
	b.tasks, b.bytes = b.tasks[:0], 0
}

// full says whether another key of the given size has to wait for the next batch.
func (b *batch) full(size int) bool {
	return len(b.tasks) == cap(b.tasks) || len(b.tasks) > 0 && b.bytes+size > batchBytes
}

// run takes all tasks to their end, whatever becomes of stop meanwhile: then
// nothing is copied that was not yet.
func (b *batch) run(stop context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(stop), batchTimeout)
	defer cancel()
	b.round(ctx, glancing, func(t *task) {
		b.head(t, t.glance)
	}, func(t *task) {
		b.see(t, t.glance)
		t.glanced()
	})
	b.look(ctx)
	b.look(ctx) // those again whose source has to be asked after all
	if !b.mayCopy(stop) {
		b.drop(fetching)
		b.drop(filling)
	}
	b.round(ctx, fetching, func(t *task) {
		b.get(t, t.from)
	}, func(t *task) {
		b.see(t, t.from)
		t.fetched()
	})
	if b.dry {
		b.pretend()
		return
	}
	b.copy(ctx)
	b.inquire(ctx)
	b.remove(ctx, stop)
	b.count()
}

// look asks all places what they have.
func (b *batch) look(ctx context.Context) {
	b.round(ctx, looking, func(t *task) {
		for i := range t.places() {
			switch s := &t.seen[i]; {
			case s.member != t.source:
				b.head(t, i)
			case t.trust:
			case t.fetch:
				b.get(t, i)
			default:
				b.head(t, i)
			}
		}
	}, func(t *task) {
		t.err = nil
		for i := range t.places() {
			if !t.trust || t.seen[i].member != t.source {
				b.see(t, i)
			}
		}
		t.looked()
	})
}

// copy puts the items where they lack, and looks whether they are still what
// there is.
func (b *batch) copy(ctx context.Context) {
	b.round(ctx, filling, func(t *task) {
		item := t.copy(b.r)
		for i := range t.holders() {
			s := &t.seen[i]
			switch s.is {
			case absent:
				s.at = b.group.Set(b.client(s), item, memcache.ModeAdd)
			case stale:
				item.CAS = s.item.CAS
				s.at = b.group.Set(b.client(s), item, memcache.ModeCAS)
			}
		}
	}, func(t *task) {
		for i := range t.holders() {
			s := &t.seen[i]
			if s.is != absent && s.is != stale {
				continue
			}
			if err := s.filled(b.group.CAS(s.at)); err != nil {
				t.err = err
			}
		}
		t.allFilled()
	})
	b.round(ctx, relooking, func(t *task) {
		for i := range t.holders() {
			if t.seen[i].is == unasked {
				b.head(t, i)
			}
		}
	}, func(t *task) {
		for i := range t.holders() {
			if t.seen[i].is == unasked {
				b.see(t, i)
			}
		}
		t.phase = checking
	})
	b.round(ctx, checking, func(t *task) {
		b.head(t, t.from)
	}, func(t *task) {
		from := &t.seen[t.from]
		now, err := b.group.Item(from.at)
		unchanged, err := changed(err)
		t.checked(unchanged && now.CAS == from.item.CAS, err)
	})
	b.round(ctx, retracting, func(t *task) {
		for i := range t.holders() {
			if s := &t.seen[i]; s.copied {
				s.at = b.group.Delete(b.client(s), t.key, s.cas)
			}
		}
	}, func(t *task) {
		for i := range t.holders() {
			s := &t.seen[i]
			if !s.copied {
				continue
			}
			if _, err := changed(b.group.Err(s.at)); err != nil {
				t.err = err
			}
			s.copied = false
		}
		t.phase = over
	})
}

// changed says what the answer to a request for an item with a certain CAS says
// of it.
func changed(err error) (unchanged bool, failed error) {
	switch err {
	case nil:
		return true, nil
	case memcache.ErrNotFound, memcache.ErrExists:
		return false, nil
	}
	return false, err
}

// inquire has the rule of reading decide over the tasks in doubt.
func (b *batch) inquire(ctx context.Context) {
	var wg sync.WaitGroup
	room := make(chan struct{}, inquiriesAtOnce)
	for i := range b.tasks {
		t := &b.tasks[i]
		if t.phase != doubtful {
			continue
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			f, err := b.table.resolve(ctx, t.key)
			if err == nil {
				err = f.unheard()
			}
			t.resolved(f.is.ends(), err == nil && !f.unsure && f.r.sameView(b.r), err)
		})
	}
	wg.Wait()
}

// inquiriesAtOnce is enough to keep the servers busy.
const inquiriesAtOnce = 16

// remove removes what has lost, and buries what is surplus.
func (b *batch) remove(ctx, stop context.Context) {
	b.round(ctx, loser, func(t *task) {
		here := t.here()
		here.at = b.group.Delete(b.client(here), t.key, here.item.CAS)
	}, func(t *task) {
		switch unchanged, err := changed(b.group.Err(t.here().at)); {
		case err != nil:
			t.err, t.phase = err, over
		case unchanged:
			t.phase = removed
		default:
			t.again, t.phase = true, over
		}
	})
	var g *grave
	for i := range b.tasks {
		t := &b.tasks[i]
		if t.phase != leftover {
			continue
		}
		if g == nil {
			g = &grave{due: time.Now().Add(grace), dead: make([]corpse, 0, len(b.tasks)-i)}
		}
		c := corpse{key: t.key, cas: t.here().item.CAS}
		for j := range t.holders() {
			if s := &t.seen[j]; s.copied {
				c.copies[j] = copied{s.member, s.cas}
			}
		}
		g.dead = append(g.dead, c)
	}
	if g != nil {
		b.bury(stop, g)
	}
}

// count adds what the tasks have come to to the pass.
func (b *batch) count() {
	for i := range b.tasks {
		t := &b.tasks[i]
		for j := range t.holders() {
			if s := &t.seen[j]; s.copied {
				b.copied(s.member, len(t.copy(b.r).Value))
			}
		}
		if t.phase == removed {
			b.removed(1)
		}
		if t.again {
			b.again.Add(1)
		}
		if t.err != nil {
			b.failed(t.err)
		}
	}
}

// pretend counts what would be done.
func (b *batch) pretend() {
	for i := range b.tasks {
		t := &b.tasks[i]
		switch t.phase {
		case filling:
			n := uint64(t.lacking())
			if t.seen[t.from].member != t.source {
				n = 0 // that is for the other's walk to count
			}
			b.tally.copied.Add(n)
			b.tally.bytes.Add(n * uint64(len(t.copy(b.r).Value)))
			if t.surplus {
				b.tally.removed.Add(1)
			}
		case leftover, loser:
			b.tally.removed.Add(1)
		}
		if t.err != nil {
			b.failed(t.err)
		}
	}
}

// round asks what the tasks in a phase want to be asked, and lets them hear the
// answers.
func (b *batch) round(ctx context.Context, in phase, ask, hear func(*task)) {
	b.group.Reset()
	for i := range b.tasks {
		if t := &b.tasks[i]; t.phase == in {
			ask(t)
		}
	}
	if b.group.Len() == 0 {
		return
	}
	b.group.Wait(ctx)
	for i := range b.tasks {
		if t := &b.tasks[i]; t.phase == in {
			hear(t)
		}
	}
}

// drop gives up the tasks in a phase.
func (b *batch) drop(in phase) {
	for i := range b.tasks {
		if t := &b.tasks[i]; t.phase == in {
			t.again, t.phase = true, over
		}
	}
}

// mayCopy waits until the batch's copies keep to the rate. It returns false when
// stop is done before.
func (b *batch) mayCopy(stop context.Context) bool {
	if b.dry {
		return true
	}
	n := 0
	for i := range b.tasks {
		if t := &b.tasks[i]; t.phase == fetching || t.phase == filling {
			n += t.lacking()
		}
	}
	return b.pace.wait(stop, float64(n)) == nil
}

func (b *batch) client(s *sight) *memcache.Client { return b.r.servers[s.member].client }

func (b *batch) head(t *task, place int) {
	s := &t.seen[place]
	s.at, s.read = b.group.Head(b.client(s), t.key), false
}

func (b *batch) get(t *task, place int) {
	s := &t.seen[place]
	s.at, s.read = b.group.Peek(b.client(s), t.key), true
}

// see takes in what the server at a place has.
func (b *batch) see(t *task, place int) {
	s := &t.seen[place]
	item, err := b.group.Item(s.at)
	if err == nil && item.CAS == 0 {
		err = fmt.Errorf("%w: %s numbers no items (memcached -C): it can't be seen whether they change", torc.ErrUnsupported, b.r.servers[s.member].Addr)
	}
	switch err {
	case nil:
		s.item, s.is = item, b.r.judge(t.key, s.member, place < t.owners, &item)
		s.foreign = b.r.stamped && !fence.Stamp(item.Flags).Of(b.r.view.Generation)
	case memcache.ErrNotFound:
		s.is = absent
	default:
		s.is, t.err = unasked, err
	}
}
