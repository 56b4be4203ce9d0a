package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
)

// step is one thing that a schedule does, After the one before was begun.
type step struct {
	After   time.Duration
	Do      deed
	Client  int
	Machine int
	Key     int
	N       int
}

// deed is what a step does.
type deed string

// The deeds.
const (
	get      deed = "get"
	put      deed = "put"
	putTTL   deed = "put with a TTL of N s"
	del      deed = "delete"
	add      deed = "put if absent"
	replace  deed = "put if present"
	swap     deed = "put over what was read"
	crashing deed = "put, and crash after N requests"
	leave    deed = "watchdog dies"
	cutLink  deed = "link is cut"
	freeze   deed = "freezes"
	die      deed = "memcached dies"
	back     deed = "comes back"
	drain    deed = "is drained"
	undrain  deed = "is undrained"
	evict    deed = "evicts"
	loses    deed = "loses the directory"
	regains  deed = "has the directory again"
	wipe     deed = "directory loses its data"
	balance  deed = "rebalances"
)

func (s step) String() string {
	switch s.Do {
	case get, put, del, add, replace, swap:
		return fmt.Sprintf("+%v client %d: %s %s", s.After, s.Client, s.Do, keyName(s.Key))
	case putTTL, crashing:
		return fmt.Sprintf("+%v client %d: %s %s, N=%d", s.After, s.Client, s.Do, keyName(s.Key), s.N)
	case loses, regains, balance:
		return fmt.Sprintf("+%v client %d %s", s.After, s.Client, s.Do)
	case evict:
		return fmt.Sprintf("+%v machine %d evicts %s", s.After, s.Machine+1, keyName(s.Key))
	case wipe:
		return fmt.Sprintf("+%v the %s", s.After, s.Do)
	}
	return fmt.Sprintf("+%v machine %d %s", s.After, s.Machine+1, s.Do)
}

func keyName(i int) string { return fmt.Sprintf("k%d", i) }

// schedule is a world and what happens in it.
type schedule struct {
	setup
	Steps []step
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v", s.setup)
	for _, x := range s.Steps {
		fmt.Fprintf(&b, "\n\t%v", x)
	}
	return b.String()
}

// mode is what a world is told about copies and stamps.
type mode struct {
	copies int
	stamps string
	rejoin string
}

func (m mode) String() string {
	return fmt.Sprintf("copies=%d&stamp=%s&rejoin=%s", m.copies, m.stamps, m.rejoin)
}

// randomSchedule draws a schedule from a seed. Those of one seed in other modes
// are the same.
func randomSchedule(seed uint64, m mode) schedule {
	r := rand.New(rand.NewPCG(seed, 1))
	s := schedule{setup: setup{
		Seed: seed, Clients: 1 + r.IntN(2), Keys: 1 + r.IntN(2),
		Copies: m.copies, Stamps: m.stamps, Rejoin: m.rejoin,
		Hash: [...]string{"ketama", "murmur3"}[r.IntN(2)],
	}}
	s.Machines = m.copies + 1 + r.IntN(3)
	weights := []struct {
		deed
		n int
	}{
		{get, 30}, {put, 16}, {putTTL, 4}, {del, 5}, {add, 3}, {replace, 2}, {swap, 3}, {crashing, 2},
		{leave, 7}, {cutLink, 3}, {freeze, 2}, {die, 2}, {back, 13}, {drain, 3}, {undrain, 4}, {evict, 4},
		{loses, 1}, {regains, 3}, {wipe, 1}, {balance, 3},
	}
	// Each schedule leaves some deeds out, so that others come into their own.
	var deeds []deed
	for _, w := range weights {
		if w.deed != get && w.deed != put && w.deed != back && r.IntN(3) == 0 {
			continue
		}
		for range w.n {
			deeds = append(deeds, w.deed)
		}
	}
	pauses := []time.Duration{
		0, 0, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond,
		100 * time.Millisecond, 100 * time.Millisecond, time.Second, time.Second, 3 * time.Second,
	}
	if r.IntN(4) == 0 {
		pauses = append(pauses, 2*time.Hour)
	}
	for range 15 + r.IntN(45) {
		s.Steps = append(s.Steps, step{
			After: pauses[r.IntN(len(pauses))], Do: deeds[r.IntN(len(deeds))],
			Client: r.IntN(s.Clients), Machine: r.IntN(s.Machines), Key: r.IntN(s.Keys), N: 1 + r.IntN(5),
		})
	}
	return s
}

// outcome is what came of a schedule.
type outcome struct {
	err          error // what breaks the promise
	trace        []string
	gets, hits   int
	judged       int // of the gets that hit
	failedWrites int
}

// play plays s, and at its end lets everything come back and reads every key.
func play(t *testing.T, s schedule, b bug) (o outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(s.setup, b)
		for _, x := range s.Steps {
			time.Sleep(x.After)
			w.do(x)
		}
		w.finish()
		o.err = w.judge()
		if o.err == nil && s.Copies > 1 && b == "" {
			o.err = w.alike(w.clients()[0])
		}
		w.mu.Lock()
		o.hits, o.judged = check.Judged(w.mu.history)
		for i := range w.mu.history {
			op := &w.mu.history[i]
			switch {
			case op.Op == check.Get:
				o.gets++
			case op.Outcome == check.Failed || op.Outcome == check.Unknown:
				o.failedWrites++
			}
		}
		o.trace = w.mu.trace
		w.mu.Unlock()
		w.close()
	})
	return o
}

func (w *world) machine(addr string) *machine {
	return w.machines[slices.IndexFunc(w.machines, func(m *machine) bool { return m.addr == addr })]
}

func (w *world) clients() []*simClient {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.clients)
}

// client is the one that plays the part of the i-th: the newest there is for it.
func (w *world) client(i int) *simClient {
	all := w.clients()
	for n := len(all) - 1; n >= 0; n-- {
		if n%w.setup.Clients == i && all[n].life.Err() == nil {
			return all[n]
		}
	}
	for { // its part is played by one that starts now
		c := w.addClient()
		if c.id%w.setup.Clients == i {
			return c
		}
	}
}

// do begins what x says, without waiting for calls to return.
func (w *world) do(x step) {
	m, key := w.machines[x.Machine], keyName(x.Key)
	w.tracef("%v", x)
	m.mu.Lock()
	in, ill, drained := m.mu.announced, m.mu.fault != well, m.mu.drained
	m.mu.Unlock()
	switch x.Do {
	case leave:
		if in {
			m.leave()
		}
	case cutLink, freeze, die:
		if !in || ill {
			return
		}
		m.ail(map[deed]fault{cutLink: cut, freeze: frozen, die: dead}[x.Do])
		w.ops.Go(func() { // noticed a little later
			time.Sleep(time.Duration(w.draw(200, x.Do, w.now())) * time.Millisecond)
			m.mu.Lock()
			still := m.mu.fault != well && m.mu.announced
			m.mu.Unlock()
			if still {
				m.leave()
			}
		})
	case back:
		if !in || ill {
			if in {
				m.leave()
			}
			m.back()
		}
	case drain, undrain:
		if drained != (x.Do == drain) {
			m.drain(x.Do == drain)
		}
	case evict:
		m.evict(key)
	case loses, regains:
		w.client(x.Client).contact(x.Do == regains)
	case wipe:
		w.wipe()
	case balance:
		c := w.client(x.Client)
		w.ops.Go(func() { c.rebalance() })
	case crashing:
		c := w.client(x.Client)
		c.mu.Lock()
		c.mu.budget = x.N
		c.mu.Unlock()
		w.ops.Go(func() {
			c.call(put, key, 0) //nolint:errcheck // the history has how it ended
			c.crash()
		})
	default:
		c := w.client(x.Client)
		ttl := time.Duration(0)
		if x.Do == putTTL {
			ttl = time.Duration(x.N) * time.Second
		}
		w.ops.Go(func() { c.call(x.Do, key, ttl) }) //nolint:errcheck // the history has how it ended
	}
}

// rebalance has the table rebalance itself, if it can.
func (c *simClient) rebalance() {
	r, ok := any(c.table).(torc.Rebalancer)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(c.life, 10*time.Second)
	defer cancel()
	_, err := r.Rebalance(ctx, torc.RebalanceOptions{})
	c.world.tracef("client %d has rebalanced: %v", c.id, err)
}

// call makes one call and records it.
func (c *simClient) call(do deed, key string, ttl time.Duration) error {
	w := c.world
	ctx, cancel := context.WithTimeout(c.life, 3*time.Second)
	defer cancel()
	o := check.Seen{TTL: ttl, Behind: true}
	o.Client, o.Key, o.Call = c.id, check.Text(key), w.now()
	w.mu.Lock()
	w.mu.serial++
	o.Value = check.Text(fmt.Sprintf("%s.%d", key, w.mu.serial))
	w.mu.Unlock()
	var opts []torc.PutOption
	if ttl > 0 {
		opts = append(opts, torc.TTL(ttl))
	}
	c.mu.Lock()
	last, read := c.mu.last[key]
	c.mu.Unlock()
	var err error
	switch do {
	case get:
		var e torc.Entry
		o.Op, o.Value = check.Get, ""
		if e, err = c.table.Get(ctx, key); err == nil {
			o.Value = check.Text(e.Value)
			c.mu.Lock()
			c.mu.last[key] = e
			c.mu.Unlock()
		}
	case del:
		o.Op, o.Value = check.Delete, ""
		err = c.table.Delete(ctx, key)
	case add:
		o.Op = check.PutIfAbsent
		opts = append(opts, torc.IfAbsent())
	case replace:
		o.Op = check.Put
		opts = append(opts, torc.IfPresent())
	case swap:
		if !read {
			return nil
		}
		o.Op, o.Expect = check.Swap, check.Text(last.Value)
		opts = append(opts, torc.IfVersion(last.Version))
	default:
		o.Op = check.Put
	}
	if do != get && do != del {
		err = c.table.Put(ctx, key, []byte(o.Value), opts...)
	}
	o.Return = w.now()
	o.Outcome = simOutcome(o.Op, err)
	if err != nil {
		o.Err = err.Error()
	}
	c.locate(&o)
	w.mu.Lock()
	w.mu.history = append(w.mu.history, o)
	w.mu.Unlock()
	w.tracef("  %v (behind: %v; %v)", o.Operation, o.Behind, o.Err)
	return err
}

// locate notes what the client knew when o returned.
func (c *simClient) locate(o *check.Seen) {
	p, err := c.table.Locate(context.Background(), string(o.Key))
	if err != nil {
		return
	}
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	o.Behind = p.Generation < w.mu.seen[0] || p.Generation == w.mu.seen[0] && p.Version < w.mu.seen[1]
	for _, owner := range p.Owners {
		m := w.machine(owner.Addr)
		m.mu.Lock()
		o.Takers = append(o.Takers, spellName(m.addr, m.mu.stay))
		m.mu.Unlock()
	}
}

// simOutcome is what err says of an operation: the contract of torc.Table.
func simOutcome(op check.Op, err error) check.Outcome {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return check.OK
	case is(torc.ErrUnknownOutcome):
		return check.Unknown
	case is(torc.ErrUnavailable), is(torc.ErrClosed):
		return check.Failed
	case is(torc.ErrNotFound):
		return check.Missing
	case is(torc.ErrExists):
		return check.Exists
	case is(torc.ErrConflict):
		return check.Conflict
	}
	return check.Unknown
}

// finish lets what was begun end and everybody come back, one after the other,
// and has every key read in between.
func (w *world) finish() {
	w.tracef("the end")
	w.ops.Wait()
	for i := range w.setup.Clients {
		w.client(i).contact(true)
	}
	readAll := func() {
		time.Sleep(time.Second)
		for k := range w.setup.Keys {
			for i := range w.setup.Clients {
				_ = w.client(i).call(get, keyName(k), 0)
			}
		}
	}
	for _, m := range w.machines {
		m.mu.Lock()
		ill := m.mu.fault != well
		in := m.mu.announced
		m.mu.Unlock()
		if ill && in {
			m.leave()
		}
	}
	readAll()
	for _, m := range w.machines {
		m.mu.Lock()
		in, drained := m.mu.announced, m.mu.drained
		m.mu.Unlock()
		if drained {
			m.drain(false)
		}
		if !in {
			m.back()
		}
		if !in || drained {
			readAll()
		}
	}
	time.Sleep(time.Second)
}

// smallest takes steps out of s as long as it goes on failing, and returns what
// is left. Which goroutine of several goes first is not the seed's to say, so
// that each attempt is made a few times.
func smallest(t *testing.T, s schedule, b bug, fails func(outcome) bool) schedule {
	t.Helper()
	attempts := 400
	still := func(c schedule) bool {
		for range 2 {
			attempts--
			if fails(play(t, c, b)) {
				return true
			}
		}
		return false
	}
	for size := len(s.Steps) / 2; size > 0 && attempts > 0; {
		shrunk := false
		for at := 0; at+size <= len(s.Steps) && attempts > 0; {
			c := s
			c.Steps = slices.Concat(s.Steps[:at], s.Steps[at+size:])
			if still(c) {
				s, shrunk = c, true
			} else {
				at += size
			}
		}
		if !shrunk || size > len(s.Steps) {
			size /= 2
		}
	}
	return s
}
