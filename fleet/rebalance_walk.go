package fleet

import (
	"context"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// pass is one walk of a rebalance over all servers, under one view.
type pass struct {
	table *Table
	r     *routing
	since *fence.Since
	nth   int // of those under this view, from 1
	// sweep is for what lies at others than owners alone, and misses none. Copies
	// that are missing at owners it passes over: it must not wait for anything.
	sweep bool
	dry   bool
	pace  *pace
	tally *tally

	// What it has come to: keys to be looked at once more, and keys that it left
	// to a later pass; what was removed; and copies, by the server they went to.
	again    atomic.Uint64
	deferred atomic.Uint64
	gone     atomic.Uint64
	copiedTo []atomic.Uint64
	// The figures of each server when it began, and at its end.
	before, after []figures

	failures struct {
		sync.Mutex
		n    int
		last error
	}
}

// walk is a pass over one server.
type walk struct {
	*pass
	source  int
	graves  chan *grave
	owners  []int // scratch, of the goroutine that lists
	scratch []int // the same
}

// grave is items of one server that are surplus, and to be removed when it is due.
type grave struct {
	due  time.Time
	dead []corpse
}

type corpse struct {
	key    string
	cas    uint64
	copies [MaxCopies]copied // that were made of it
}

type copied struct {
	member int
	cas    uint64 // 0 if there is none
}

const (
	// walksAtOnce bounds the servers that are walked at the same time, and so the
	// memory that a rebalance takes.
	walksAtOnce = 8
	// batchesAtOnce of one server are under way at the same time: one is worked
	// out while the other is waited for.
	batchesAtOnce = 2
	// grace is how long what is surplus is left alone once the owners have copies:
	// a reader who has looked for it at them before, in vain, looks where it was
	// now; and one who has made such a copy looks whether its source is still
	// there, and would take it back. Neither takes a hundredth of this.
	grace = 100 * time.Millisecond
	// gravesAtOnce bounds what waits for that, to 16,384 keys a server.
	gravesAtOnce = 64
)

func newPass(t *Table, r *routing, nth int, sweep bool, o *rebalance) *pass {
	return &pass{
		table: t, r: r, nth: nth, sweep: sweep, since: r.history.Since(),
		dry: o.options.DryRun, pace: o.pace, tally: &o.tally,
		copiedTo: make([]atomic.Uint64, len(r.servers)),
	}
}

// run walks over all servers. It returns early when stop is done, having
// finished what was begun.
func (p *pass) run(stop context.Context) {
	var wg sync.WaitGroup
	room := make(chan struct{}, walksAtOnce)
	for i := range p.r.servers {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			w := &walk{
				pass: p, source: i, graves: make(chan *grave, gravesAtOnce),
				owners: make([]int, 0, MaxCopies), scratch: make([]int, MaxCopies),
			}
			w.run(stop)
		})
	}
	wg.Wait()
}

// run walks over one server: it sorts out the keys as they are listed, and hands
// batches of those that need more to workers.
func (w *walk) run(stop context.Context) {
	full := make(chan *batch)
	free := make(chan *batch, batchesAtOnce+1)
	for range cap(free) {
		free <- &batch{walk: w, tasks: make([]task, 0, w.pace.batch())}
	}
	var workers, digger sync.WaitGroup
	for range batchesAtOnce {
		workers.Go(func() {
			for b := range full {
				b.run(stop)
				b.reset()
				free <- b
			}
		})
	}
	digger.Go(func() { w.dig(stop) })

	b := <-free
	looked := uint64(0)
	list := keysOf
	if w.sweep {
		list = allKeysOf
	}
	for info, err := range list(stop, w.r.servers[w.source].client) {
		if err != nil {
			w.failed(err)
			break
		}
		if looked++; looked%batchTasks == 0 {
			w.looked(batchTasks)
			if !w.sweep && w.pace.wait(stop, batchTasks*lookCost) != nil {
				break
			}
		}
		size := info.Size + len(info.Key)
		if b.full(size) {
			if w.sweep && len(free) == 0 {
				w.deferred.Add(1)
				continue
			}
			full <- b
			b = <-free
		}
		b.tasks = b.tasks[:len(b.tasks)+1]
		t := &b.tasks[len(b.tasks)-1]
		if !w.sort(t, info) {
			b.tasks = b.tasks[:len(b.tasks)-1]
			continue
		}
		b.bytes += size
	}
	w.looked(looked % batchTasks)
	if len(b.tasks) > 0 && stop.Err() == nil {
		full <- b
	}
	close(full)
	workers.Wait()
	close(w.graves)
	digger.Wait()
}

// sort makes t the task that a key is which the source has listed; it returns
// false if there is nothing to do for it in this pass.
//
// So that the owners of a key don't all do the same, one of them answers for it:
// in the first pass the first one that has kept it since the last rebalance, in
// the next pass the next one, because a listing misses some keys. The others leave
// the key to it, and look whether it has the key at all from the third pass on.
// Whoever is no owner waits for the second pass, by when the owners have what they
// should. Where nobody has kept it, everybody answers for it; where nobody knows,
// any owner.
func (w *walk) sort(t *task, info memcache.KeyInfo) bool {
	key := info.Key
	w.owners = w.r.owners(w.owners[:0], key)
	owners := w.owners
	if len(owners) == 0 {
		return false
	}
	surplus := !slices.Contains(owners, w.source)
	kept, all := w.since.Kept(key, owners, w.scratch), uint(1)<<len(owners)-1
	known := w.since.Known()
	if !surplus && (w.sweep || known && kept == all) {
		return false
	}
	*t = task{key: key, source: w.source, owners: len(owners), surplus: surplus, phase: looking, from: -1}
	for i, o := range owners {
		t.seen[i].member = o
	}
	if surplus {
		t.seen[len(owners)].member = w.source
	}
	if !known {
		kept = all
	}
	answers := nthBit(kept, w.nth-1)
	switch {
	case kept == 0, !known && (surplus || w.dry):
		t.fetch = len(owners) == 1
	case surplus && w.nth == 1 && w.dry:
		w.tally.removed.Add(1)
		return false
	case !surplus && owners[answers] == w.source:
		t.fetch = known && w.nth == 1
	case w.nth == 1, !surplus && w.nth == 2:
		w.deferred.Add(1)
		return false
	case surplus:
		t.trust = info.CAS != 0
		t.seen[len(owners)].is, t.seen[len(owners)].item.CAS = stale, info.CAS
	default:
		t.phase, t.glance = glancing, answers
	}
	return true
}

// nthBit returns the place of the nth bit that is set, counted from 0, round and
// round; 0 if none is.
func nthBit(set uint, n int) int {
	if set == 0 {
		return 0
	}
	rest := set
	for range n % bits.OnesCount(set) {
		rest &= rest - 1
	}
	return bits.TrailingZeros(rest)
}

// bury has g's items removed when it is due.
func (w *walk) bury(stop context.Context, g *grave) {
	select {
	case w.graves <- g:
	case <-stop.Done():
	}
}

// dig removes what was buried.
func (w *walk) dig(stop context.Context) {
	var group memcache.Group
	for g := range w.graves {
		if sleep(stop, time.Until(g.due)) != nil {
			continue // the next pass finds it again
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(stop), batchTimeout)
		w.open(ctx, g, &group)
		cancel()
	}
}

// open removes what is in g. What was written meanwhile stays, and copies of what
// was there before are taken back: only somebody who had not heard of the view
// writes there. What has gone may have been removed by another rebalance, whose
// copies those might be as well.
func (w *walk) open(ctx context.Context, g *grave, group *memcache.Group) {
	group.Reset()
	for i := range g.dead {
		group.Delete(w.r.servers[w.source].client, g.dead[i].key, g.dead[i].cas)
	}
	group.Wait(ctx)
	removed, written := uint64(0), g.dead[:0]
	for i, c := range g.dead {
		switch err := group.Err(i); err {
		case nil:
			removed++
		case memcache.ErrNotFound:
			w.again.Add(1)
		case memcache.ErrExists:
			w.again.Add(1)
			written = append(written, c)
		default:
			w.failed(err)
		}
	}
	w.removed(removed)
	group.Reset()
	for i := range written {
		for _, c := range written[i].copies {
			if c.cas != 0 {
				group.Delete(w.r.servers[c.member].client, written[i].key, c.cas)
			}
		}
	}
	group.Wait(ctx)
}

func (p *pass) looked(n uint64) {
	p.tally.looked.Add(n)
	p.table.metrics.add(rebalanceLooked, n)
}

func (p *pass) copied(to, bytes int) {
	p.copiedTo[to].Add(1)
	p.tally.copied.Add(1)
	p.tally.bytes.Add(uint64(bytes))
	p.table.metrics.add(rebalanceCopied, 1)
	p.table.metrics.add(rebalanceBytes, uint64(bytes))
}

func (p *pass) removed(n uint64) {
	p.gone.Add(n)
	p.tally.removed.Add(n)
	p.table.metrics.add(rebalanceRemoved, n)
}

func (p *pass) failed(err error) {
	p.failures.Lock()
	defer p.failures.Unlock()
	p.failures.n++
	p.failures.last = err
}

// achieved is how many entries the pass has copied or removed.
func (p *pass) achieved() uint64 {
	n := p.gone.Load()
	for i := range p.copiedTo {
		n += p.copiedTo[i].Load()
	}
	return n
}
