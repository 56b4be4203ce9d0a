package simnet

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQueueSorts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var model []event
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if len(model) > 0 && rapid.IntRange(0, 2).Draw(t, "pop") == 0 {
				if got := q.pop(); got != model[0] {
					t.Fatalf("popped %+v, not %+v", got, model[0])
				}
				model = model[1:]
				continue
			}
			e := event{at: int64(rapid.IntRange(0, 9).Draw(t, "at"))}
			q.push(e)
			e.seq = q.seq
			i, _ := slices.BinarySearchFunc(model, e, func(a, b event) int {
				if a.before(&b) {
					return -1
				}
				return 1
			})
			model = slices.Insert(model, i, e)
		}
		for _, want := range model {
			if got := q.pop(); got != want {
				t.Fatalf("popped %+v, not %+v", got, want)
			}
		}
	})
}

// A clock never goes back, and when is the first instant at which it shows what
// is asked for.
func TestClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := clock{rate: million}
		var now int64
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			before := c.at(now)
			c.setRate(now, rapid.SampledFrom([]int64{0, 1, 500_000, 999_999, million, 1_000_001, 3_333_333, 100 * million}).Draw(t, "rate"))
			if c.at(now) != before {
				t.Fatalf("a new rate set the clock from %d to %d", before, c.at(now))
			}
			want := before + rapid.Int64Range(-10, 1e12).Draw(t, "ahead")
			if at, ok := c.when(now, want); !ok {
				if c.rate > 1 {
					t.Fatalf("at rate %d it never shows %d", c.rate, want)
				}
			} else if at < now || c.at(at) < want || at > now && c.at(at-1) >= want {
				t.Fatalf("at rate %d it shows %d at %d, %d before", c.rate, c.at(at), at, c.at(at-1))
			}
			now += rapid.Int64Range(0, 1e12).Draw(t, "later")
			if c.at(now) < before {
				t.Fatal("the clock went back")
			}
		}
	})
}

func TestClockFaults(t *testing.T) {
	t.Parallel()
	n := newBench(Config[int]{}, "a", "b")
	a := n.at["a"]
	n.Run(10 * time.Second)
	slow := n.ClockRate("a", 0.5)
	n.Run(20 * time.Second)
	if n.Clock("a") != 15*time.Second || n.Clock("b") != 20*time.Second || a.port.Now() != n.Clock("a") {
		t.Fatalf("%v and %v", n.Clock("a"), n.Clock("b"))
	}
	// Set at half the rate, for 16 s: due at 22 s; at full rate from 21 s on, at
	// 21.5 s; but the clock stands still for a second meanwhile.
	a.port.Alarm(16 * time.Second)
	n.Run(21 * time.Second)
	slow()
	n.ClockStop("a", time.Second)
	n.Run(22400 * time.Millisecond)
	if len(a.tick) > 0 {
		t.Fatalf("ticked at %v", a.tick)
	}
	n.Run(22500 * time.Millisecond)
	if len(a.tick) != 1 || a.tick[0] != 16*time.Second {
		t.Fatalf("ticked at %v", a.tick)
	}
	// While a node is killed its clock goes on.
	start := n.Kill("a")
	n.Run(30 * time.Second)
	start()
	if got := n.at["a"].port.Now(); got != 23500*time.Millisecond {
		t.Errorf("started at %v", got)
	}
}

func TestAlarm(t *testing.T) {
	t.Parallel()
	n := newBench(Config[int]{}, "a")
	a := n.at["a"]
	for i := range 1000 { // put off, as a lease is
		a.port.Alarm(time.Duration(i) * time.Second)
	}
	a.port.Alarm(5 * time.Second)
	a.port.Alarm(7 * time.Second)
	n.Run(time.Minute)
	a.port.Alarm(2 * time.Minute)
	a.port.Alarm(Never)
	n.Run(time.Hour)
	if !slices.Equal(a.tick, []time.Duration{7 * time.Second}) {
		t.Errorf("ticked at %v", a.tick)
	}
	if e := n.Stats().Events; e > 10 {
		t.Errorf("%d events for one tick", e)
	}
	a.port.Alarm(0)
	n.Run(n.Now())
	if len(a.tick) != 2 {
		t.Error("an alarm for a time gone by is not due at once")
	}
}

func TestAlarmsMayBeLate(t *testing.T) {
	t.Parallel()
	n := newBench(Config[int]{Lateness: 10 * time.Millisecond, ClockSpread: time.Hour}, "a", "b")
	if n.Clock("a") == n.Clock("b") {
		t.Error("all clocks are alike")
	}
	a := n.at["a"]
	late := time.Duration(0)
	for range 100 {
		at := a.port.Now() + 20*time.Millisecond
		a.port.Alarm(at)
		n.runFor(30 * time.Millisecond)
		d := a.tick[len(a.tick)-1] - at
		if d < 0 || d > 10*time.Millisecond {
			t.Fatalf("%v late", d)
		}
		late = max(late, d)
	}
	if len(a.tick) != 100 || late < time.Millisecond {
		t.Errorf("%d ticks, at most %v late", len(a.tick), late)
	}
}

func TestTimeThatStandsStillPanics(t *testing.T) {
	t.Parallel()
	n := New(Config[int]{})
	n.Add("a", func(p *Port[int]) Node[int] { return &restless{} })
	n.StartAll()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	n.Run(time.Second)
}

// restless wants to be called again at once, always.
type restless struct{ recorder }

func (r *restless) Drain(p *Port[int]) { p.Alarm(0) }
