package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/replica/internal/msg"
)

func TestNothingHappens(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 4} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			bears(t, config{nodes: nodes, mixed: true, impatient: true, latency: quickly}, func(w *world, _ *rand.Rand) {
				began := w.net.Now()
				w.run(5 * time.Second)
				if got := w.since(began); got.failed+got.unknown+got.labelled > 0 || got.wait() > 50*ms {
					w.fail("without any fault: %v", got)
				}
			})
		})
	}
}

// do carries out one operation by a client and returns what became of it.
func (w *world) do(c *client, op msg.Op, at ...simnet.Addr) *call {
	if len(at) > 0 {
		c.use(at...)
		defer c.use(w.servers...)
	}
	var got *call
	c.done = func(q *call) {
		if q.op.Key == op.Key {
			got = q
		}
	}
	c.script = append(c.script, op)
	if !w.until(2*giveUpAfter, func() bool { return got != nil }) && !w.failed() {
		w.fail("%s is not over", describeOp(&op))
	}
	c.done = nil
	if got == nil {
		got = new(call)
	}
	return got
}

// One of four starts alone, and answers with the label. The others come later,
// with nothing, and join it.
func TestOneStartsAlone(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		w := newWorld(config{seed: seed + 1, nodes: 4, pace: 5 * ms, clients: 3})
		rng := rand.New(rand.NewPCG(seed, 6))
		first := w.servers[rng.IntN(4)]
		w.net.Start(first)
		w.startClients()
		if !w.until(2*time.Second, func() bool { return w.since(0).labelled > 0 }) {
			w.fail("alone it does not answer: %v", w.since(0))
		}
		w.run(time.Duration(rng.IntN(1000)) * ms)
		if got := w.since(0); got.answered > 0 {
			w.fail("alone it answers without the label: %v", got)
		}
		for _, a := range w.others(first) {
			w.net.Start(a)
			w.run(time.Duration(rng.IntN(2)*rng.IntN(1000)) * ms)
		}
		w.end()
		w.report(t)
	}
}

// Without a quorum nobody answers who was told not to.
func TestMinoritiesRefuse(t *testing.T) {
	bears(t, config{nodes: 3, pace: 5 * ms, refuse: true, forks: true}, func(w *world, _ *rand.Rand) {
		follower := w.follower(0)
		side := []simnet.Addr{follower, "c0", "c1", "c2"}
		began := w.net.Now() + ms
		w.faultFor(simnet.Fault{Kind: simnet.Split, Groups: [][]simnet.Addr{side}}, 10*time.Second)
		if got := w.since(began + 50*ms); got.answered+got.labelled > 0 || got.failed+got.unknown == 0 {
			w.fail("a minority that is to refuse: %v", got)
		}
	})
}

// The leader of two dies for good. What is left answers with the label until a
// person says that the other is gone for ever.
func TestForgotten(t *testing.T) {
	bears(t, config{nodes: 2, pace: 5 * ms}, func(w *world, _ *rand.Rand) {
		dead := w.leading()
		left := w.others(dead)[0]
		start := w.net.Kill(dead)
		w.run(2 * time.Second)
		began := w.net.Now()
		w.run(time.Second)
		if got := w.since(began); got.labelled == 0 || got.answered > 0 {
			w.fail("after the leader's death: %v", got)
		}
		w.do(w.clients[0], msg.Op{Kind: msg.Forget, Version: msg.Version{Seq: uint64(w.slotOf(dead))}}, left)
		w.run(500 * ms)
		began = w.net.Now()
		w.run(time.Second)
		if got := w.since(began); got.answered == 0 || got.labelled > 0 {
			w.fail("after the other was forgotten: %v", got)
		}
		start()
		w.run(time.Second)
	})
}

// What was written on the side without a quorum is handed over where the other
// side has not written since, and given up where it has.
func TestWritesOfAMinorityAreHandedOver(t *testing.T) {
	bears(t, config{nodes: 4, clients: 2, pace: -1, forks: true}, func(w *world, rng *rand.Rand) {
		w.resting = true
		put := func(key, value string, at ...simnet.Addr) *call {
			return w.do(w.clients[rng.IntN(2)], msg.Op{Kind: msg.Put, Key: key, Value: []byte(value)}, at...)
		}
		get := func(key string, at ...simnet.Addr) string {
			return string(w.do(w.clients[0], msg.Op{Kind: msg.Get, Key: key}, at...).result.Old)
		}
		for i := range 4 {
			put(fmt.Sprintf("k%d", i), "before")
		}
		put("gone", "before")
		out := w.follower(0)
		var undo []func()
		for _, a := range w.others(out) {
			undo = append(undo, w.net.Cut(out, a))
		}
		w.run(2 * time.Second)
		quorum := w.others(out)
		if c := put("k0", "minority", out); !c.labelled() {
			w.fail("a minority's answer has no label: %v", c)
		}
		put("k1", "minority", out)
		put("k1", "minority, later", out)
		put("new", "minority", out)
		w.do(w.clients[1], msg.Op{Kind: msg.Delete, Key: "gone"}, out)
		put("k1", "quorum", quorum...)
		if c := put("k2", "quorum", quorum...); c.labelled() {
			w.fail("a quorum's answer has the label: %v", c)
		}
		for _, f := range undo {
			f()
		}
		if !w.until(settleWithin, w.steady) {
			w.fail("not settled: %s", w.unsettled()())
			return
		}
		for _, a := range w.servers {
			for key, want := range map[string]string{"k0": "minority", "k1": "quorum", "k2": "quorum", "k3": "before", "new": "minority", "gone": ""} {
				if got := get(key, a); got != want {
					w.fail("%s is %q at %s, not %q", key, got, a, want)
				}
			}
		}
		w.resting = false
	})
}

// Entries that are to go after a time go, whoever leads, and not before.
func TestExpiry(t *testing.T) {
	bears(t, config{nodes: 3, pace: 5 * ms, latency: quickly}, func(w *world, rng *rand.Rand) {
		const ttl = 800 * ms
		for i := range 5 {
			key := fmt.Sprintf("t%d", i)
			w.do(w.clients[0], msg.Op{Kind: msg.Put, Key: key, Value: []byte("v"), TTL: ttl})
			if w.run(ttl / 2); rng.IntN(2) == 0 && w.survives(w.leading()) {
				w.killFor(w.leading(), 50*ms)
			} else {
				w.run(50 * ms)
			}
			if c := w.do(w.clients[1], msg.Op{Kind: msg.Get, Key: key}); !c.result.Found {
				w.fail("gone too early: %v", c)
			}
			w.run(ttl/2 + 50*ms)
			if c := w.do(w.clients[1], msg.Op{Kind: msg.Get, Key: key}); c.result.Found {
				w.fail("there too long: %v", c)
			}
		}
	})
}

// A node that comes back is sent everything, and nobody has to wait meanwhile.
func TestMuchIsSentToWhoComesBack(t *testing.T) {
	t.Parallel()
	w := settled(config{nodes: 3, pace: 5 * ms, latency: quickly})
	for i := range 100 {
		w.clients[i%3].script = append(w.clients[i%3].script, msg.Op{
			Kind: msg.Put, Key: fmt.Sprintf("large%d", i), Value: bytes.Repeat([]byte{byte(i)}, 100<<10),
		})
	}
	w.until(time.Minute, func() bool { return !w.busy() })
	w.run(time.Second)
	for range 3 {
		a := w.follower(0)
		start := w.net.Kill(a)
		w.run(500 * ms)
		began := w.net.Now()
		start()
		if !w.until(10*time.Second, w.steady) {
			w.fail("not back: %s", w.unsettled()())
			break
		}
		back := w.net.Now() - began
		w.run(100 * ms)
		if got := w.since(began); got.labelled+got.failed+got.unknown > 0 || got.wait() > 30*ms {
			w.fail("while %s came back, which took %v: %v; %v", a, back, got, got.longest)
		}
		t.Logf("back with 10 MB after %v; calls took up to %v", back, w.since(began).wait())
	}
	w.end()
	w.report(t)
}
