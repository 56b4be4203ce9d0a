package master

import (
	"fmt"
	"strings"
	"testing"

	"github.com/torc-dht/torc/shard/slots"
)

// settledWorld is a world of n servers, s0 and so on, in which all is well.
func settledWorld(t *testing.T, n int, cfg Config) *world {
	t.Helper()
	w := newWorld(1, cfg)
	for i := range n {
		w.start(fmt.Sprintf("s%d:1", i))
	}
	w.mustSettle(t, n)
	return w
}

func (w *world) mustSettle(t *testing.T, n int) {
	t.Helper()
	ok := w.until(30*second, func() bool { w.calls(); return w.err != nil || w.isSettled(n) })
	if w.err != nil || !ok {
		t.Fatalf("not settled: %v; %s", w.err, summary(w.m.Map()))
	}
}

// spread returns by how many slots the servers of a map differ, as primaries.
func spread(m *slots.Map) int {
	n := make([]int, len(m.Servers))
	for s := range m.Rows {
		n[m.Rows[s].Primary]++
	}
	least, most := slots.Count, 0
	for _, c := range n {
		least, most = min(least, c), max(most, c)
	}
	return most - least
}

func TestFiveJoinAtOnceWhileOneDies(t *testing.T) {
	t.Parallel()
	for _, p := range []slots.Placement{slots.Minimal, slots.Modulo} {
		w := settledWorld(t, 3, Config{Placement: p})
		for i := range 5 {
			w.connect(w.start(fmt.Sprintf("j%d:1", i)))
		}
		w.breakConn(w.servers[1])
		w.servers[1].alive = false
		w.m.Gone(w.now, w.servers[1].boot)
		w.mustSettle(t, 7)
		if d := spread(w.m.Map()); d > 1 {
			t.Errorf("%v: uneven by %d: %s", p, d, summary(w.m.Map()))
		}
	}
}

func TestAllSilentAtOnce(t *testing.T) {
	t.Parallel()
	for _, copies := range []int{1, 2, 3} {
		w := settledWorld(t, 4, Config{Copies: copies})
		for _, f := range w.servers {
			f.frozen = true
		}
		if !w.until(10*second, func() bool { return w.m.Status(w.now).Failed == slots.Count }) {
			t.Fatalf("not all is failed: %s", summary(w.m.Map()))
		}
		for i := range w.m.Map().Rows {
			if n := len(w.m.Map().Rows[i].Copies()); n != copies-1 {
				t.Fatalf("slot %d waits for its primary and %d copies", i, n)
			}
		}
		for _, f := range w.servers {
			f.frozen = false
			w.until(100*ms, func() bool { return false })
		}
		w.mustSettle(t, 4)
	}
}

// A primary and its copy die, and only the copy comes back: it is promoted.
func TestTheCopyComesBackFirst(t *testing.T) {
	t.Parallel()
	w := settledWorld(t, 2, Config{})
	for _, f := range w.servers {
		f.frozen = true
	}
	w.until(3*second, func() bool { return w.m.Status(w.now).Failed == slots.Count })
	w.servers[1].frozen = false
	if !w.until(10*second, func() bool { return w.m.Status(w.now).Failed == 0 }) {
		t.Fatalf("slots wait for nothing: %s", summary(w.m.Map()))
	}
}

// A master that was stopped for a while doesn't take that for its servers' silence.
func TestMasterThatSlept(t *testing.T) {
	t.Parallel()
	w := settledWorld(t, 3, Config{})
	epoch := w.m.Map().Epoch
	w.now += 30 * second
	w.step(2 * ms)
	w.mustSettle(t, 3)
	if e := w.m.Map().Epoch; e != epoch {
		t.Errorf("it made map %s: %s", e, summary(w.m.Map()))
	}
}

// A master that was cut off from everybody takes nothing from those who are heard
// some time after the first.
func TestMasterThatWasCutOff(t *testing.T) {
	t.Parallel()
	w := settledWorld(t, 2, Config{})
	var boots []slots.Boot
	for _, f := range w.servers {
		f.linked = false
		boots = append(boots, f.boot)
	}
	w.until(5*second, func() bool { return false })
	for _, f := range w.servers {
		f.linked = true
		w.until(400*ms, func() bool { return false })
	}
	w.mustSettle(t, 2)
	for _, b := range boots {
		if w.m.Map().Index(b) == slots.None {
			t.Errorf("%s was taken out: %s", b, summary(w.m.Map()))
		}
	}
}

// Nothing is computed, sent or changed while nothing happens.
func TestQuiet(t *testing.T) {
	t.Parallel()
	w := settledWorld(t, 3, Config{})
	w.until(second, func() bool { return false })
	epoch := w.m.Map().Epoch
	computed := w.m.ages
	w.m.ages = nil // whoever computes a map stumbles over that
	w.until(5*second, func() bool { return false })
	if w.m.ages = computed; w.m.Map().Epoch != epoch {
		t.Errorf("map %s follows %s for no reason", w.m.Map().Epoch, epoch)
	}
}

func TestChangedSettings(t *testing.T) {
	t.Parallel()
	w := settledWorld(t, 4, Config{Copies: 1})
	w.killMaster()
	w.cfg.Copies, w.cfg.Placement = 3, slots.Modulo
	w.startMaster(nil)
	w.mustSettle(t, 4)
	m := w.m.Map()
	for s := range m.Rows {
		if r := &m.Rows[s]; int(r.Primary) != s%4 || len(r.Copies()) != 2 {
			t.Fatalf("slot %d is with %d and %d copies", s, r.Primary, len(r.Copies()))
		}
	}
}

func TestRebalance(t *testing.T) {
	t.Parallel()
	w := settledWorld(t, 3, Config{})
	w.m.Rebalance(w.now)
	if w.m.Status(w.now).Settled {
		t.Error("what has not begun passes for over")
	}
	w.drain()
	w.mustSettle(t, 3)
	if d := spread(w.m.Map()); d > 1 {
		t.Errorf("uneven by %d", d)
	}
}

func TestForgetSaysWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(1, Config{})
	says := func(addr, what string) {
		t.Helper()
		if err := w.m.Forget(w.now, addr, 0); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("forget %s: %v; want %q", addr, err, what)
		}
	}
	says("s0:1", "try again in a second")
	w.start("s0:1")
	w.mustSettle(t, 1)
	says("s0:1", "stop it with SIGTERM")
	says("s9:1", "those in the map are s0:1")
	w.servers[0].frozen = true
	w.until(1200*ms, func() bool { return w.m.Status(w.now).Failed > 0 })
	says("s0:1", "may still answer for its slots")
	w.until(second, func() bool { return false })
	if err := w.m.Forget(w.now, "s0:1", 0); err != nil {
		t.Error(err)
	}
}
