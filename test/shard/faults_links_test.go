package shard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/shard"
)

// TestCutFromMaster cuts a server off from the master, not from anybody else:
// others take over, and once it is back it has its share again.
func TestCutFromMaster(t *testing.T) {
	l := start(t, cluster.Options{Namespaces: true}, 3)
	for i := range times(1) {
		d := l.load()
		victim := l.servers[i%3]
		keys := l.keysOf(victim, 64)
		began := time.Now()
		l.must(l.cluster.Cut(l.master.Host(), victim.Host()))
		l.await("others to take over", func(st *shard.Status) string {
			for _, s := range st.Servers {
				if s.Addr == victim.addr && s.Primaries > 0 {
					return "it is still primary"
				}
			}
			return ""
		})
		seen.Add(t, "link to the master cut: served by others", 0, max(l.servedAgain(keys, began), time.Since(began)))
		l.must(l.cluster.Heal(l.master.Host(), victim.Host()))
		healed := time.Now()
		l.settled()
		seen.Add(t, "link to the master healed: settled", 0, time.Since(healed))
		d.answered(d.finish())
	}
}

// TestCutBetweenServers cuts two servers off from each other: the copies that each
// has of the other's slots are taken off, and made anew once the link is good.
func TestCutBetweenServers(t *testing.T) {
	l := start(t, cluster.Options{Namespaces: true}, 3)
	for i := range times(1) {
		d := l.load()
		a, b := l.servers[i%3], l.servers[(i+1)%3]
		keys := append(l.keysOf(a, 64), l.keysOf(b, 64)...)
		began := time.Now()
		l.must(l.cluster.Cut(a.Host(), b.Host()))
		seen.Add(t, "link between two servers cut: written again", 0, l.servedAgain(keys, began))
		<-time.After(time.Until(began.Add(3 * time.Second))) // the fault itself
		l.must(l.cluster.Heal(a.Host(), b.Host()))
		healed := time.Now()
		l.settled()
		seen.Add(t, "link between two servers healed: all copies there", 0, time.Since(healed))
		d.answered(d.finish())
	}
}

// TestCutFromClient cuts a client off from one server: its calls there end at
// their deadline, and say who can't be reached. Nobody else notices.
func TestCutFromClient(t *testing.T) {
	l := start(t, cluster.Options{Namespaces: true}, 3)
	const deadline = 500 * time.Millisecond
	d := l.load()
	cut := l.open("c2", shard.TableOptions{})
	d.callers(cut, 2, deadline)
	for i := range times(2) {
		victim := l.servers[i%3]
		keys := l.keysOf(victim, 4)
		l.servedAgain(keys, time.Now())
		l.must(l.cluster.Cut(l.cluster.Host("c2"), victim.Host()))
		for _, key := range keys {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			_, err := cut.Get(ctx, key)
			cancel()
			if !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(err.Error(), victim.addr) {
				t.Errorf("GET at a server that can't be reached: %v", err)
			}
		}
		l.servedAgain(keys, time.Now()) // by the other client
		l.must(l.cluster.Heal(l.cluster.Host("c2"), victim.Host()))
		healed := time.Now()
		for _, key := range keys {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err := cut.Get(ctx, key)
			cancel()
			l.must(err)
		}
		seen.Add(t, "link of a client healed: served", 0, time.Since(healed))
	}
	l.settled()
	h := d.finish()
	var others check.History
	for _, o := range h {
		if o.Client < loadClients {
			others = append(others, o)
		}
	}
	d.answered(others)
}
