package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/torc-dht/torc/memcache"
)

const (
	// settleTime is how long after a write, at the least, its copies are looked at
	// again, and at the most about twice as long. By then whoever raced it has
	// reached every server, unless that took longer than this: who does looks at
	// every server himself.
	settleTime = 10 * time.Millisecond
	// maxChecks is how many looks may be due. With more, writes wait: at 200,000
	// writes a second there are 4000.
	maxChecks = 1 << 14
	// checkBatch is how many looks go out together, raceBatch of how many keys the
	// values are held at a time.
	checkBatch = 512
	raceBatch  = 16
	// maxTries is how many turns a server that doesn't answer is asked for.
	maxTries = 50
	// closeTime is how long closing a table waits for looks that are due.
	closeTime = 200 * time.Millisecond
)

// converger sees to it that writes which race leave the copies equal.
//
// Two of them may reach two servers in different orders. So each writer looks
// again, a moment after its write. If what the first owner has is its own, it
// came last there, and whoever came before finds that its own is gone; who finds
// that puts what the first owner has on the other owners, until it is quiet. A
// write that took longer than the moment looks at all owners: the one that it
// raced may have looked at the first owner before it came there.
//
// One goroutine for each table does it, in turns, for all keys at once.
type converger struct {
	t *Table

	mu struct {
		sync.Mutex
		next    []check       // from writes since the last turn
		due     int           // all checks that were added and not looked at
		room    chan struct{} // closed when there may be room again; nil if nobody waits
		running bool
		closed  bool
	}
	wake  chan struct{} // holds one token when there is something new
	stop  chan struct{} // closed to end the goroutine, and ended when it has
	ended chan struct{}
	life  context.Context // ends when the goroutine is not waited for any longer
	end   context.CancelFunc

	// The goroutine's own.
	waiting []check // from writes before the last turn
	spare   []check
	races   map[string]*race
	group   memcache.Group
}

// check is what a write left at a key's owners.
type check struct {
	key    string
	r      *routing
	cas    [MaxCopies]uint64
	owners [MaxCopies]int32
	n      int8 // owners
	all    bool // all are to be looked at
	tries  int8
}

// race is a key at which writes have met.
type race struct {
	key    string
	r      *routing
	owners []int
	// made are the copies of the first owner's item that others were given, by
	// their cas; 0 where there is none.
	made  [MaxCopies]uint64
	tries int
}

func newConverger(t *Table) *converger {
	c := &converger{
		t:     t,
		wake:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		ended: make(chan struct{}),
		races: make(map[string]*race),
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// compareLater has the copies of what w has written looked at in a moment.
func (w *write) compareLater(ctx context.Context) error {
	if len(w.owners) == 1 {
		return nil
	}
	k := check{key: w.key, r: w.r, cas: w.cas, n: int8(len(w.owners)), all: time.Since(w.began) > settleTime}
	for n, i := range w.owners {
		k.owners[n] = int32(i)
	}
	c := w.t.converger
	room := c.add(&k)
	if room == nil {
		return nil
	}
	ctx, cancel := w.bounded(ctx)
	if cancel != nil {
		defer cancel()
	}
	for room != nil {
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("it waited for its copies to be compared: %w", context.Cause(ctx))
		}
		room = c.add(&k)
	}
	return nil
}

// add adds a check, unless there is no room: then it returns a channel that is
// closed when it is worth trying again.
func (c *converger) add(k *check) (room <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil
	}
	if c.mu.due >= maxChecks {
		if c.mu.room == nil {
			c.mu.room = make(chan struct{})
		}
		return c.mu.room
	}
	c.mu.next = append(c.mu.next, *k)
	c.mu.due++
	if !c.mu.running {
		c.mu.running = true
		go c.run()
	}
	if len(c.mu.next) == 1 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// close ends the goroutine once it has looked at what is due, or closeTime is
// over.
func (c *converger) close() {
	c.mu.Lock()
	c.mu.closed = true
	running := c.mu.running
	c.freeLocked()
	c.mu.Unlock()
	defer c.end()
	if running {
		defer time.AfterFunc(closeTime, c.end).Stop()
		close(c.stop)
		<-c.ended
	}
}

func (c *converger) freeLocked() {
	if c.mu.room != nil {
		close(c.mu.room)
		c.mu.room = nil
	}
}

func (c *converger) run() {
	defer close(c.ended)
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for {
		if c.idle() {
			select {
			case <-c.wake:
				timer.Reset(settleTime)
			case <-c.stop:
				return
			}
		}
		select {
		case <-timer.C:
		case <-c.stop:
			c.finish()
			return
		}
		c.turn()
		timer.Reset(settleTime)
	}
}

// idle says whether there is nothing to look at.
func (c *converger) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.due == 0 && len(c.races) == 0
}

// finish looks at what is left, until it is not waited for any longer.
func (c *converger) finish() {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for !c.idle() {
		select {
		case <-timer.C:
		case <-c.life.Done():
			return
		}
		c.turn()
		timer.Reset(settleTime)
	}
}

// turn looks at what was due before the last turn, and lets what came since wait
// for the next.
func (c *converger) turn() {
	ctx, cancel := context.WithTimeout(c.life, c.t.opts.ReadTimeout)
	defer cancel()
	due := c.waiting
	c.mu.Lock()
	c.waiting, c.mu.next = c.mu.next, c.spare[:0]
	c.mu.Unlock()
	for rest := due; len(rest) > 0; {
		batch := rest[:min(checkBatch, len(rest))]
		rest = rest[len(batch):]
		again := c.look(ctx, batch)
		c.mu.Lock()
		c.mu.due -= len(batch) - again
		c.freeLocked()
		c.mu.Unlock()
	}
	clear(due)
	c.spare = due
	c.settleRaces(ctx)
}

// look looks at the owners of each check, and has those that differ from what was
// written settled as races. Those of which an owner didn't answer wait for the
// next turn; it returns how many.
func (c *converger) look(ctx context.Context, batch []check) (again int) {
	now := c.t.routing.Load()
	g := &c.group
	g.Reset()
	for i := range batch {
		k := &batch[i]
		if k.r != now && now.moved(k.r, k.key, nil) {
			c.race(k.key, now)
			k.n = 0
			continue
		}
		for n := range k.looks() {
			g.Head(k.r.servers[k.owners[n]].client, k.key)
		}
	}
	g.Wait(ctx)
	request := 0
	for i := range batch {
		k := &batch[i]
		raced, silent := false, false
		for n := range k.looks() {
			head, err := g.Item(request)
			request++
			silent = silent || err != nil && err != memcache.ErrNotFound
			raced = raced || err == nil && head.CAS != k.cas[n] || n > 0 && err == memcache.ErrNotFound
		}
		c.t.metrics.inc(convergeCheck)
		switch {
		case raced:
			c.race(k.key, k.r)
		case silent && k.tries < maxTries:
			k.tries++
			c.waiting = append(c.waiting, *k)
			again++
		}
	}
	return again
}

// looks is how many owners are looked at.
func (k *check) looks() int {
	if k.all || k.n == 0 {
		return int(k.n)
	}
	return 1
}

// race has the copies at key made equal.
func (c *converger) race(key string, r *routing) {
	if c.races[key] == nil {
		c.races[key] = &race{key: key, r: r, owners: r.owners(nil, key)}
	}
}

// settleRaces takes each race a step further.
func (c *converger) settleRaces(ctx context.Context) {
	batch := make([]*race, 0, min(len(c.races), raceBatch))
	todo := make([]*race, 0, len(c.races))
	now := c.t.routing.Load()
	for _, x := range c.races {
		if x.r != now {
			*x = x.under(now)
		}
		if x.tries++; x.tries > maxTries || len(x.owners) < 2 {
			delete(c.races, x.key)
			continue
		}
		todo = append(todo, x)
	}
	for len(todo) > 0 {
		n := min(raceBatch, len(todo))
		batch = append(batch[:0], todo[:n]...)
		todo = todo[n:]
		c.settle(ctx, batch)
	}
}

// under is x as it goes on under r.
func (x *race) under(r *routing) race {
	next := race{key: x.key, r: r, owners: r.owners(nil, x.key), tries: x.tries}
	for n, i := range x.owners {
		for m, j := range next.owners {
			if same(x.r.servers[i], r.servers[j]) {
				next.made[m] = x.made[n]
			}
		}
	}
	return next
}

// settle reads the copies at each key, and gives what the first owner has to the
// others that differ. A key is done with when nothing was to be given.
//
// Where the first owner has nothing, whatever was copied from it is taken back.
func (c *converger) settle(ctx context.Context, batch []*race) {
	reads := &c.group
	reads.Reset()
	for _, x := range batch {
		for _, i := range x.owners {
			reads.Get(x.r.servers[i].client, x.key)
		}
	}
	reads.Wait(ctx)

	var changes memcache.Group
	type copied struct {
		x *race
		n int
	}
	var made []copied
	request := 0
	for _, x := range batch {
		first, err := reads.Item(request)
		others := request + 1
		request += len(x.owners)
		if err != nil && err != memcache.ErrNotFound {
			continue // next turn
		}
		delete(c.races, x.key) // unless something is changed
		if err != nil {
			for n, i := range x.owners {
				if x.made[n] != 0 {
					changes.Delete(x.r.servers[i].client, x.key, x.made[n])
					made = append(made, copied{nil, n})
				}
			}
			continue
		}
		if !x.r.judge(x.key, x.owners[0], true, &first).ends() || x.r.expiresSoon(&first) {
			continue
		}
		if slices.ContainsFunc(x.owners[1:], func(i int) bool {
			other, err := reads.Item(request - len(x.owners) + slices.Index(x.owners, i))
			return err == nil && x.r.judge(x.key, i, true, &other) == ahead
		}) {
			continue // who wrote that knows who the owners are by now, and sees to them
		}
		item := x.r.restamped(x.key, &first)
		for n, i := range x.owners[1:] {
			other, err := reads.Item(others + n)
			mode := memcache.ModeCAS
			switch {
			case err == memcache.ErrNotFound:
				mode = memcache.ModeAdd
			case err != nil:
				c.races[x.key] = x // it may differ: next turn
				continue
			case x.r.sameContent(&first, &other) && x.r.judge(x.key, i, true, &other).ends():
				continue
			}
			item.CAS = other.CAS
			changes.Set(x.r.servers[i].client, item, mode)
			made = append(made, copied{x, n + 1})
			c.races[x.key] = x
		}
	}
	changes.Wait(ctx)
	for request, m := range made {
		if m.x == nil {
			continue
		}
		if cas, err := changes.CAS(request); err == nil {
			m.x.made[m.n] = cas
			c.t.metrics.inc(convergeCorrect)
		}
	}
}
