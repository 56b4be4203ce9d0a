package chord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

// What went wrong elsewhere, tried here. Each test bears the name under which the
// system's own people know it.

// TestOlric258AllStartAtOnce starts all nodes in the same millisecond, among them the
// one that begins the ring: they become one ring, not two.
func TestOlric258AllStartAtOnce(t *testing.T) {
	beside(t)
	rounds := times(3)
	if soak() {
		rounds = 100
	}
	for range rounds {
		l := newLab(t, cluster.Options{}, 1)
		var hosts []*cluster.Host
		for i := range 6 {
			hosts = append(hosts, l.cluster.Host("n"+strconv.Itoa(i)))
		}
		// Each names the one before it, that is on its way itself.
		began := time.Now()
		l.launchOn(hosts[0], evenly(0, len(hosts)), nil)
		for i := 1; i < len(hosts); i++ {
			l.launchOn(hosts[i], evenly(i, len(hosts)), &member{id: evenly(i-1, len(hosts))})
		}
		l.settled()
		seen.Add(t, "6 nodes started at once: one ring", 0, time.Since(began))
		l.client = l.open("c1", l.addrs())
		l.fill(100)
		l.counted()
		l.present()
		l.trusted()
		l.must(l.cluster.Close())
	}
}

// TestScalaris59ThreeOfFourFrozen freezes three of four nodes, has writes be made, and
// wakes them: nothing is lost, and each key has one value.
func TestScalaris59ThreeOfFourFrozen(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{}, 4, 3, 500)
	for i := range times(1) {
		d := l.load()
		last := l.nodes[i%len(l.nodes)]
		frozen := slices.DeleteFunc(slices.Clone(l.nodes), func(m *member) bool { return m == last })
		for _, m := range frozen {
			l.must(m.Freeze())
		}
		keys := l.keysOf(frozen[1], 20)
		began := time.Now()
		seen.Add(t, "3 of 4 frozen, r = 3: the last one answers", 0, l.servedAgain(keys, began))
		<-time.After(time.Until(began.Add(frozenFor))) // the fault itself
		for _, m := range frozen {
			l.must(m.Thaw())
		}
		thawed := time.Now()
		l.settled()
		seen.Add(t, "3 of 4 go on: one ring, all copies", 0, time.Since(thawed))
		d.judged()
		l.oneValue(keys)
	}
}

// oneValue says that all nodes have the same to say of each key.
func (l *lab) oneValue(keys []string) {
	l.t.Helper()
	for _, key := range keys {
		var first memcache.Item
		for i, m := range l.nodes {
			it, err := l.plain("c1", m).Get(l.t.Context(), key)
			l.must(err)
			if i == 0 {
				first = it
			}
			if string(it.Value) != string(first.Value) || it.CAS != first.CAS {
				l.t.Errorf("node %s says that %s is %q, version %d, and another says %q, %d", m.id, key, it.Value, it.CAS, first.Value, first.CAS)
			}
		}
	}
}

// oneNode is a table whose reads ask one node and nobody else.
type oneNode struct {
	torc.Table
	at *memcache.Client
}

func (o *oneNode) Get(ctx context.Context, key string) (torc.Entry, error) {
	it, err := o.at.Get(ctx, key)
	switch {
	case err == nil:
		return torc.Entry{Value: it.Value, Version: torc.Version{Seq: it.CAS}}, nil
	case errors.Is(err, memcache.ErrNotFound):
		return torc.Entry{}, torc.ErrNotFound
	}
	return torc.Entry{}, fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
}

// TestHazelcast16732ReadAfterWaking stops a node for longer than all time-outs, again
// and again, and has it asked directly all the time: what it answers when it goes on is
// judged with all other calls, so it says neither what is old nor that nothing is there.
func TestHazelcast16732ReadAfterWaking(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{}, 4, 1, 500)
	d := l.load()
	victim := l.nodes[1]
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for range 16 { // each waits for its answer while the node stands still
		_, r := d.generator()
		c := d.recorder.Client(&oneNode{at: l.plain("c1", victim)})
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(r.IntN(8000)) * time.Microsecond):
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				_, _ = c.Get(ctx, d.key(r.IntN(loadKeys))) // recorded
				cancel()
			}
		})
	}
	for i := range times(2) {
		lasts := []time.Duration{frozenFor, 300 * time.Millisecond, 900 * time.Millisecond}[i%3]
		<-time.After(200 * time.Millisecond) // of reads before
		l.must(victim.Freeze())
		<-time.After(lasts) // the fault itself
		l.must(victim.Thaw())
		l.settled()
	}
	close(stop)
	reading.Wait()
	h := d.finish()
	check.Verify(t, h, check.Register)
	l.trusted()
}

// TestHazelcast4481AnyCopyWillDo kills all who have a pair but one, each in turn: the
// pair is there, whoever is left.
func TestHazelcast4481AnyCopyWillDo(t *testing.T) {
	beside(t)
	const r = 2
	l := start(t, cluster.Options{}, 5, r, 300)
	for range times(1) {
		for left := range r + 1 {
			owner := l.nodes[1]
			var victims []*member
			for k := range r + 1 {
				if k != left {
					victims = append(victims, l.after(owner, k))
				}
			}
			began := time.Now()
			var killing sync.WaitGroup
			errs := make([]error, len(victims))
			for i, m := range victims {
				killing.Go(func() { errs[i] = m.Kill() })
			}
			killing.Wait()
			l.must(errors.Join(errs...))
			for _, m := range victims {
				l.without(m)
			}
			if pairs := l.counted(); pairs != l.pairs {
				t.Errorf("copy %d alone is left: %d pairs of %d", left, pairs, l.pairs)
			}
			seen.Add(t, "owner and copies but one killed at once, r = 2: all copies", 0, time.Since(began))
			l.present()
			for _, m := range victims {
				l.joined(l.again(m))
			}
			l.settled()
		}
	}
	l.trusted()
}

// TestOlric225TwoRestarts starts two nodes anew, the second as soon as the first is
// back: their pairs are there.
func TestOlric225TwoRestarts(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{}, 4, 1, 500)
	for i := range times(2) {
		d := l.load()
		copies := l.nodes[(i+1)%len(l.nodes)]
		owner := l.nodes[i%len(l.nodes)] // whose copies the other one has
		for _, m := range []*member{copies, owner} {
			l.kill(m)
			l.settled() // with one copy only one may go at a time
			l.joined(l.again(m))
		}
		l.settled()
		d.judged()
	}
}

// TestAnotherRingsPort has a node of another ring listen where one of this ring was:
// neither ring takes the other's nodes for its own, and clients that knew the port
// don't take the one's answers for the other's.
func TestAnotherRingsPort(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{}, 4, 1, 200)
	other := newLab(t, cluster.Options{}, 1)
	other.cluster, other.hosts = l.cluster, 100 // its hosts are others
	d := l.load()
	gone := l.nodes[2]
	l.kill(gone)
	first := other.launchOn(gone.Host(), gone.id, nil)
	other.joined(first)
	other.launch("77", first) // on a host that none of the others is on
	other.joined(other.nodes[0])
	other.client = other.open("c1", other.addrs())
	other.fill(50)
	l.settled()
	other.settled()
	d.judged()
	if pairs := other.counted(); pairs != other.pairs {
		t.Errorf("the other ring has %d pairs and should have %d", pairs, other.pairs)
	}
	all, err := l.statuses(slices.Concat(l.nodes, other.nodes))
	l.must(err)
	for _, st := range all[1:len(l.nodes)] {
		if st.Ring != all[0].Ring {
			t.Errorf("node %s is of ring %s, and should be of %s", st.ID, st.Ring, all[0].Ring)
		}
	}
	for _, st := range all[len(l.nodes):] {
		if st.Ring == all[0].Ring {
			t.Errorf("node %s of the other ring is of this one", st.ID)
		}
	}
}

// TestLibp2p811Forgotten cuts a node off until it knows of nobody, and for as long
// again: it finds the others when it can.
func TestLibp2p811Forgotten(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{Namespaces: true}, 4, 1, 100)
	for range times(1) {
		m := l.nodes[2]
		others := slices.DeleteFunc(slices.Clone(l.nodes), func(other *member) bool { return other == m })
		l.must(m.Host().Unplug())
		l.ringOf(others)
		<-time.After(frozenFor) // the fault itself
		l.must(m.Host().Plug())
		plugged := time.Now()
		l.settled()
		seen.Add(t, "cut off until all its lists are empty, mended: one ring", allowed(agreeWithin), time.Since(plugged))
		l.present()
		l.counted()
	}
}

// TestLoss has the network lose a part of what it carries, under load. While so much is
// lost that the living are taken for dead this kind promises no more than that all is
// one again afterwards, with nothing missing.
func TestLoss(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{Namespaces: true}, 4, 1, 200)
	for _, percent := range []int{1, 10, 30} {
		for range times(1) {
			d := l.load()
			for _, m := range l.nodes {
				l.must(m.Host().Lose(float64(percent) / 100))
			}
			<-time.After(2 * time.Second) // the fault itself
			for _, m := range l.nodes {
				l.must(m.Host().Lose(0))
			}
			mended := time.Now()
			l.settled()
			seen.Add(t, fmt.Sprintf("%d %% of frames lost, then none: one ring, all copies", percent), 0, time.Since(mended))
			if h := d.finish(); percent == 1 {
				check.Verify(t, h, check.Register)
				d.answered(h)
			}
		}
	}
}
