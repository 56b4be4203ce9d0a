package fleet_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/memcache"
)

// scene is a calm world with the parts of an example given out: s owns key, and
// t does in s's place while s is away.
type scene struct {
	*world
	t      *testing.T
	mode   mode
	client *simClient
	other  *simClient
	s, in  *machine
	key    string
	others []*machine // neither s nor its stand-in
}

// inEachMode plays an example in every mode that promises something.
func inEachMode(t *testing.T, play func(*scene)) {
	for _, m := range modes {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(setup{
					Machines: m.copies + 1, Clients: 2, Keys: 1,
					Copies: m.copies, Stamps: m.stamps, Rejoin: m.rejoin, Calm: true,
				}, "")
				defer w.close()
				sc := &scene{world: w, t: t, mode: m, client: w.client(0), other: w.client(1)}
				for i := 0; ; i++ {
					sc.key = fmt.Sprintf("key-%d", i)
					p, err := sc.client.table.Locate(t.Context(), sc.key)
					if err != nil {
						t.Fatal(err)
					}
					// Nobody else but one machine can stand in.
					if p.Owners[0].Addr == w.machines[0].addr {
						sc.s = w.machines[0]
						for _, x := range w.machines[1:] {
							if slices.ContainsFunc(p.Owners, func(o torc.Member) bool { return o.Addr == x.addr }) {
								sc.others = append(sc.others, x)
							} else {
								sc.in = x
							}
						}
						break
					}
				}
				play(sc)
				if t.Failed() {
					w.mu.Lock()
					defer w.mu.Unlock()
					t.Logf("%s", strings.Join(w.mu.trace, "\n"))
				}
			})
		})
	}
}

// settle lets everybody hear of the view, and checks of racing puts be made.
func (sc *scene) settle() { time.Sleep(100 * time.Millisecond) }

func (sc *scene) leave(m *machine) { m.leave(); sc.settle() }

func (sc *scene) back(m *machine) { m.back(); sc.settle() }

func (sc *scene) put(value string, opts ...torc.PutOption) {
	sc.t.Helper()
	if err := sc.client.table.Put(sc.client.life, sc.key, []byte(value), opts...); err != nil {
		sc.t.Fatalf("put %s: %v", value, err)
	}
	sc.settle()
}

func (sc *scene) delete() {
	sc.t.Helper()
	if err := sc.client.table.Delete(sc.client.life, sc.key); simOutcome(check.Delete, err) != check.OK && simOutcome(check.Delete, err) != check.Missing {
		sc.t.Fatalf("delete: %v", err)
	}
	sc.settle()
}

// reads checks what both clients read, twice: "" is a miss.
func (sc *scene) reads(want ...string) {
	sc.t.Helper()
	for range 2 {
		for _, c := range []*simClient{sc.client, sc.other} {
			e, err := c.table.Get(c.life, sc.key)
			if err != nil && simOutcome(check.Get, err) != check.Missing {
				sc.t.Errorf("get: %v", err)
			}
			if !slices.Contains(want, string(e.Value)) {
				sc.t.Errorf("read %q, want one of %q", e.Value, want)
			}
		}
	}
	sc.settle()
}

// only is want where the mode has several copies, so that owners remain who know
// it, and otherwise a miss is right as well.
func (sc *scene) only(want string) []string {
	if sc.mode.copies > 1 {
		return []string{want}
	}
	return []string{want, ""}
}

// kept is want where the mode promises that what was not touched is found again.
func (sc *scene) kept(want string) []string {
	if sc.mode.rejoin == "check" {
		return []string{want}
	}
	return sc.only(want)
}

func TestStillTrueWhenItsServerReturns(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.back(sc.s)
		sc.reads(sc.kept("v1")...)
	})
}

func TestOverwrittenMeanwhile(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.back(sc.s)
		sc.reads(sc.kept("v2")...)
		sc.leave(sc.in)
		sc.reads("v2", "")
	})
}

func TestDeletedMeanwhile(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.delete()
		sc.reads("")
		sc.back(sc.s)
		sc.reads("")
	})
}

func TestOverwrittenAndDeletedMeanwhile(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.delete()
		sc.back(sc.s)
		sc.reads("")
	})
}

func TestExpiredMeanwhile(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2", torc.TTL(time.Second))
		time.Sleep(3 * time.Second)
		sc.reads("")
		sc.back(sc.s)
		sc.reads("")
	})
}

func TestEvictedOnTheStandIn(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.in.evict(sc.key)
		sc.back(sc.s)
		switch {
		case sc.mode.copies > 1:
			sc.reads("v2")
		case sc.mode.rejoin == "drop":
			sc.reads("")
		default:
			sc.reads("v1") // the price of its hits: check trusts that nothing is evicted
		}
	})
}

// The stand-in took the key, and then everything changed again; it has been
// there all the time, and what it holds is stale all the same.
func TestStandInThatNeverLeftIsStale(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.back(sc.s)
		sc.put("v4")
		sc.leave(sc.s)
		sc.reads(sc.only("v4")...)
		sc.back(sc.s)
		sc.reads(sc.kept("v4")...)
	})
}

// The same, when the server that returns found nobody to tell: the stand-in was
// away itself while the key was written.
func TestStandInThatWasAwayIsStale(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.back(sc.s)
		sc.leave(sc.in)
		sc.put("v4")
		sc.back(sc.in)
		sc.leave(sc.s)
		sc.reads(sc.only("v4")...)
		sc.back(sc.s)
		sc.reads(sc.kept("v4")...)
	})
}

func TestNewcomerTakesKeyAndDies(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		// s is the newcomer here, and in holds what it has had before.
		sc.leave(sc.s)
		sc.put("v1")
		sc.back(sc.s)
		sc.reads(sc.kept("v1")...)
		sc.put("v2")
		sc.s.ail(dead)
		sc.leave(sc.s)
		sc.reads(sc.only("v2")...)
		sc.back(sc.s)
		sc.reads(sc.only("v2")...)
	})
}

func TestStandInGoneForGood(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.in.ail(dead)
		sc.leave(sc.in)
		sc.back(sc.s)
		sc.reads(sc.only("v2")...)
		// A stand-in of the same address that has nothing proves nothing.
		sc.back(sc.in)
		sc.reads(sc.only("v2")...)
	})
}

func TestStandInRestartedEmpty(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.in.ail(dead)
		sc.leave(sc.in)
		sc.back(sc.in)
		sc.back(sc.s)
		sc.reads(sc.only("v2")...)
	})
}

func TestDirectoryLosesItsData(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.back(sc.s)
		sc.wipe()
		sc.settle()
		sc.reads("v2", "")
		sc.put("v3")
		sc.leave(sc.s)
		sc.reads(sc.only("v3")...)
		sc.back(sc.s)
		sc.reads(sc.kept("v3")...)
	})
}

func TestDirectoryLosesItsDataWhileTheServerIsAway(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.wipe()
		sc.settle()
		sc.back(sc.s)
		sc.reads("v2", "")
		sc.put("v3")
		sc.reads("v3")
	})
}

// After a delete nobody may come back with the key, in whatever order they do.
func TestDeletedThenEverybodyReturns(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.back(sc.s)
		sc.put("v3")
		sc.leave(sc.in)
		sc.delete()
		sc.reads("")
		for _, m := range sc.machines {
			if m != sc.in {
				sc.leave(m)
			}
			sc.back(m)
			sc.reads("")
		}
		sc.leave(sc.s)
		sc.reads("")
		sc.back(sc.s)
		sc.reads("")
	})
}

// Who was away for longer than tombstones last comes back to keys whose fate
// nobody knows.
func TestAwayForLongerThanTombstonesLast(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.delete()
		time.Sleep(61 * time.Minute)
		sc.back(sc.s)
		sc.reads("")
	})
}

func TestExpiredLongAgo(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2", torc.TTL(time.Minute))
		time.Sleep(62 * time.Minute)
		sc.back(sc.s)
		sc.reads("")
	})
}

// A server is drained, the rebalance takes its keys away, and in the middle it
// is undrained.
func TestUndrainedInTheMiddleOfARebalance(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		sc.s.drain(true)
		sc.settle()
		sc.reads("v1")
		go sc.client.rebalance()
		time.Sleep(time.Millisecond)
		sc.put("v2")
		sc.s.drain(false)
		sc.settle()
		sc.reads("v2")
		sc.put("v3")
		time.Sleep(time.Second)
		sc.reads("v3")
		sc.s.drain(true)
		sc.settle()
		sc.reads("v3")
		sc.client.rebalance()
		sc.reads("v3")
		sc.s.drain(false)
		sc.settle()
		sc.reads("v3")
	})
}

// What a read writes back meets a put on the way: the put wins, whichever comes
// first.
func TestWriteBackAgainstPut(t *testing.T) {
	for _, late := range []time.Duration{0, 2 * time.Millisecond, 8 * time.Millisecond} {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			inEachMode(t, func(sc *scene) {
				sc.put("v1")
				sc.leave(sc.s)
				sc.put("v2")
				sc.back(sc.s)
				sc.slowed(func(g *gate, r *memcache.Request) time.Duration {
					if g.client == sc.other && r.Op != memcache.OpGet {
						return 5 * time.Millisecond
					}
					return time.Millisecond
				})
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _ = sc.other.table.Get(sc.other.life, sc.key)
				}()
				time.Sleep(late)
				sc.put("v3")
				<-done
				sc.settle()
				sc.reads("v3")
				sc.leave(sc.s)
				sc.reads(sc.only("v3")...)
			})
		})
	}
}

// A client that has not heard of the view writes by the old one, and finds that the
// copies differ: it must not put its own in the place of what others wrote since.
func TestWhoIsBehindDoesNotSpreadItsValue(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		if sc.mode.copies == 1 {
			return // there is nothing to spread
		}
		sc.put("v1")
		sc.client.contact(false)
		sc.settle()
		sc.leave(sc.s)
		sc.slowed(func(g *gate, r *memcache.Request) time.Duration {
			if g.client == sc.client && g.machine == sc.s && r.Op == memcache.OpSet {
				return 15 * time.Millisecond // so long that it looks at every copy
			}
			return 0
		})
		if err := sc.client.table.Put(sc.client.life, sc.key, []byte("behind")); err != nil {
			sc.t.Fatal(err)
		}
		if err := sc.other.table.Put(sc.other.life, sc.key, []byte("v2")); err != nil {
			sc.t.Fatal(err)
		}
		sc.settle()
		sc.client.contact(true)
		sc.settle()
		sc.reads("v2")
		sc.back(sc.s)
		sc.reads("v2")
	})
}

// Servers that are busy, and so slower than a Get waits before it asks another,
// cost no value where a stale one is at hand: many reads at once, all of which have
// to find what is true.
func TestBusyServersCostNoValue(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		if sc.mode.copies == 1 && sc.mode.rejoin == "drop" {
			return // has no other copy
		}
		sc.put("v1")
		sc.leave(sc.s)
		sc.put("v2")
		sc.back(sc.s)
		busy := time.Now().Add(60 * time.Millisecond)
		sc.slowed(func(g *gate, r *memcache.Request) time.Duration {
			if g.machine == sc.s {
				return 0
			}
			return time.Until(busy)
		})
		var reads sync.WaitGroup
		for range 50 {
			reads.Go(func() {
				if e, err := sc.client.table.Get(sc.client.life, sc.key); err != nil || string(e.Value) != "v2" {
					sc.t.Errorf("read %q, %v", e.Value, err)
				}
			})
			time.Sleep(time.Millisecond)
		}
		reads.Wait()
	})
}

// All of them at once, as it looks when it is the client itself that stood still.
func TestAllServersBusyAtOnceCostNoValue(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		sc.put("v1")
		busy := time.Now().Add(80 * time.Millisecond)
		sc.slowed(func(*gate, *memcache.Request) time.Duration { return time.Until(busy) })
		var reads sync.WaitGroup
		for range 70 {
			reads.Go(func() {
				if e, err := sc.client.table.Get(sc.client.life, sc.key); err != nil || string(e.Value) != "v1" {
					sc.t.Errorf("read %q, %v", e.Value, err)
				}
			})
			time.Sleep(time.Millisecond)
		}
		reads.Wait()
	})
}

// Two puts race to several owners, in every order that fits into their spans.
func TestRacingPutsConverge(t *testing.T) {
	inEachMode(t, func(sc *scene) {
		w := sc.world
		for round := range 200 {
			sc.slowed(func(g *gate, r *memcache.Request) time.Duration {
				return time.Duration(w.draw(40, round, g.client.id, g.machine.addr, r.Op)) * time.Millisecond
			})
			done := make(chan error)
			go func() {
				done <- sc.other.table.Put(sc.other.life, sc.key, fmt.Appendf(nil, "b%d", round))
			}()
			err := sc.client.table.Put(sc.client.life, sc.key, fmt.Appendf(nil, "a%d", round))
			if other := <-done; err != nil || other != nil {
				sc.t.Fatal(err, other)
			}
			time.Sleep(time.Second)
			p, err := sc.client.table.Locate(sc.client.life, sc.key)
			if err != nil {
				sc.t.Fatal(err)
			}
			first, _ := w.machine(p.Owners[0].Addr).holds(sc.key)
			for _, o := range p.Owners {
				if it, _ := w.machine(o.Addr).holds(sc.key); string(it.Value) != string(first.Value) {
					sc.t.Fatalf("round %d: %s has %q, %s has %q", round, p.Owners[0].Addr, first.Value, o.Addr, it.Value)
				}
			}
		}
	})
}
