package master

import (
	"flag"
	"fmt"
	"testing"

	"github.com/torc-dht/torc/shard/slots"
)

var (
	seeds = flag.Int("seeds", 0, "how many seeds TestAnything runs; 0 is a few")
	seed  = flag.Uint64("seed", 0, "the one seed that TestAnything runs, with its trace")
	from  = flag.Uint64("from", 1, "the first of the seeds that TestAnything runs")
)

// kindOf is what may happen in a run.
type kindOf struct {
	copies, servers int
	placement       slots.Placement
	persist         bool
	masters         bool // the master is killed, too
}

// chaos runs one seed: a while in which anything happens, and then quiet, in which
// all settles.
func chaos(seed uint64, plant planted, log func(string, ...any)) *world {
	kind := kindOf{
		copies: 1 + int(seed%3), servers: 2 + int(seed/3%4), placement: slots.Placement(seed / 12 % 2),
		persist: seed/24%2 == 1, masters: seed%5 < 3,
	}
	w := newWorld(seed, Config{Copies: kind.copies, Placement: kind.placement, Persist: kind.persist, planted: plant})
	if log != nil {
		w.log = log
		log("%+v", kind)
	}
	for i := range kind.servers {
		w.start(fmt.Sprint("s", i, ":1"))
	}
	steps := 300 + w.rng.IntN(900)
	for range steps {
		if w.rng.IntN(12) == 0 {
			w.trouble(kind)
		}
		w.step(int64(1+w.rng.IntN(20)) * ms)
		w.calls()
		if w.err != nil {
			return w
		}
	}
	w.heal(kind)
	return w
}

// calls tries some reads and writes.
func (w *world) calls() {
	all := sampled()
	for range 6 {
		s := all[w.rng.IntN(len(all))]
		for _, f := range w.servers {
			f.write(s, w.rng.IntN(2) == 0)
		}
	}
}

// trouble makes something happen.
func (w *world) trouble(kind kindOf) {
	f := w.servers[w.rng.IntN(len(w.servers))]
	g := w.servers[w.rng.IntN(len(w.servers))]
	if f == w.witness && w.now < w.witnessed {
		return
	}
	switch w.rng.IntN(16) {
	case 0:
		if f.alive {
			w.log("%d ms: kill %s", w.now/ms, f.addr)
			w.breakConn(f)
			f.alive = false
			if w.rng.IntN(2) == 0 && !w.down {
				w.m.Gone(w.now, f.boot)
				w.drain()
			}
		}
	case 1, 2:
		if !f.alive {
			w.log("%d ms: start %s again", w.now/ms, f.addr)
			f.alive, f.frozen = true, false
			f.reset()
		}
	case 3, 4:
		w.log("%d ms: connection of %s breaks", w.now/ms, f.addr)
		w.breakConn(f)
	case 5:
		f.frozen = !f.frozen
		w.log("%d ms: %s frozen: %v", w.now/ms, f.addr, f.frozen)
	case 6:
		f.frozen = false
	case 7:
		f.linked = !f.linked
		w.log("%d ms: %s may reach the master: %v", w.now/ms, f.addr, f.linked)
		if !f.linked {
			w.breakConn(f)
		}
	case 8:
		f.linked = true
	case 9:
		f.cut[g.addr] = !f.cut[g.addr]
		w.log("%d ms: link %s-%s cut: %v", w.now/ms, f.addr, g.addr, f.cut[g.addr])
	case 10:
		for _, f := range w.servers {
			clear(f.cut)
		}
	case 11:
		if f.running() && f.conn != nil && w.rng.IntN(3) == 0 {
			w.log("%d ms: %s leaves", w.now/ms, f.addr)
			f.leave()
		}
	case 12:
		if f.running() && f.linked && !w.down && f.conn != nil {
			w.log("%d ms: %s connects twice", w.now/ms, f.addr)
			w.connect(f)
		}
	case 13:
		if kind.masters && !w.down {
			w.log("%d ms: kill the master", w.now/ms)
			w.killMaster()
		}
	case 14, 15:
		if w.down {
			w.restart(kind)
		}
	}
}

func (w *world) restart(kind kindOf) {
	w.log("%d ms: start a master", w.now/ms)
	if kind.persist && w.rng.IntN(3) > 0 {
		w.startMaster(w.state)
		return
	}
	w.startMaster(nil)
	// A master that hears nobody of an earlier reign begins a new table: somebody
	// who knows it, if anybody lives who does, comes in time.
	var know []*fake
	for _, f := range w.servers {
		if f.alive && f.cur != nil && f.me != slots.None {
			know = append(know, f)
		}
	}
	if len(know) == 0 {
		clear(w.answered)
		return
	}
	w.witness, w.witnessed = know[w.rng.IntN(len(know))], w.now+700*ms
	w.witness.frozen, w.witness.linked = false, true
}

// heal ends all trouble, and waits until everything is where it should be.
func (w *world) heal(kind kindOf) {
	w.log("%d ms: peace", w.now/ms)
	if w.down {
		w.restart(kind)
	}
	for _, f := range w.servers {
		f.frozen, f.linked = false, true
		clear(f.cut)
		if f.freed {
			f.alive = true
			f.reset()
		}
	}
	n := 0
	for _, f := range w.servers {
		if f.alive && !f.leaving {
			n++
		}
	}
	ok := w.until(40*second, func() bool {
		w.calls()
		w.forgetDead()
		return w.err != nil || w.isSettled(n) && w.balanced(kind)
	})
	if w.err == nil && !ok {
		w.fail("not settled: %s; %+v", summary(w.m.Map()), w.m.Status(w.now))
	}
}

// forgetDead forgets servers that won't come back.
func (w *world) forgetDead() {
	if w.rng.IntN(100) != 0 {
		return
	}
	before := w.m.Map()
	for _, s := range w.m.Status(w.now).Servers {
		f := w.byBoot(s.Boot)
		for i := range before.Servers { // Forget is for all at an address
			if before.Servers[i].Addr == s.Addr && f == nil {
				f = w.byBoot(before.Servers[i].Boot)
				if f != nil && w.m.byBoot[f.boot].vitality == lively {
					f = nil
				}
			}
		}
		if f != nil || s.State == Up {
			continue
		}
		err := w.m.Forget(w.now, s.Addr, 0)
		if err != nil {
			w.drain()
		} else {
			w.log("%d ms: forget %s", w.now/ms, s.Addr)
			w.giveUpHeld(before)
			for i := range before.Servers {
				if v := &before.Servers[i]; v.Addr == s.Addr && w.byBoot(v.Boot) == nil {
					w.forgot[v.Boot] = true
				}
			}
			w.drain()
		}
	}
}

// giveUpHeld expects nothing of slots any more that were held for a server that a
// person forgot: it may have been the only one to know better.
func (w *world) giveUpHeld(before *slots.Map) {
	for _, s := range sampled() {
		if before.Rows[s].Held != 0 {
			delete(w.answered, s)
		}
	}
}

// balanced says whether everybody has as much as everybody else.
func (w *world) balanced(kind kindOf) bool {
	st := w.m.Status(w.now)
	least, most := slots.Count, 0
	for _, s := range st.Servers {
		least, most = min(least, s.Primaries), max(most, s.Primaries)
	}
	return len(st.Servers) == 0 || most-least <= 1 && (st.Single == 0 || kind.copies == 1 || len(st.Servers) == 1)
}

// TestAnything holds every map against the rules, every answer against those before
// it, and the end against the goal, whatever happens.
func TestAnything(t *testing.T) {
	t.Parallel()
	if *seed != 0 {
		if w := chaos(*seed, planted{}, t.Logf); w.err != nil {
			t.Fatal(w.err)
		}
		return
	}
	n := 24
	if testing.Short() {
		n = 8
	}
	if *seeds != 0 {
		n = *seeds
	}
	maps, answers := 0, 0
	for s := range uint64(n) {
		w := chaos(*from+s, planted{}, nil)
		if w.err != nil {
			t.Errorf("seed %d: %v", *from+s, w.err)
		}
		maps, answers = maps+w.maps, answers+w.reads
	}
	t.Logf("%d seeds, %d maps, %d answers", n, maps, answers)
}
