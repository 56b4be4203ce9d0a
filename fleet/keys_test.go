package fleet

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// fillRaw puts an item at each server from number n on, past any table.
func fillRaw(t *testing.T, g *group, n int) error {
	t.Helper()
	for i, c := range g.clients[n:] {
		if _, err := c.Set(t.Context(), memcache.Item{Key: fmt.Sprintf("raw-%d", i)}, memcache.ModeSet); err != nil {
			return err
		}
	}
	return nil
}

// Keys has each key once, wherever its copies are, and none that was deleted or
// does not count.
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, stamps := range []string{StampsOn, StampsOff} {
		for _, copies := range []int{1, 3} {
			g := startGroup(t, 4)
			l := newLedger(Config{Stamps: stamps, Copies: copies})
			l.set(g.servers[:3]...)
			table := l.open(t)
			entries := fill(t, table, 500)
			n := 0
			for key := range entries {
				if n++; n%5 == 0 {
					if err := table.Delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
					delete(entries, key)
				}
			}
			if stamps == StampsOn {
				if err := fillRaw(t, g, 0); err != nil {
					t.Fatal(err)
				}
			}
			waitVersion(t, table, l.set(g.servers...)) // and not rebalanced
			seen := make(map[string]int)
			for key, err := range table.Keys(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				seen[key]++
			}
			for key := range entries {
				if seen[key] != 1 {
					t.Errorf("%q comes %d times", key, seen[key])
				}
				delete(seen, key)
			}
			for key := range seen {
				t.Errorf("%q should be nowhere", key)
			}
		}
	}
}

func TestKeysEnds(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 2)
	table := openListOf(t, ListConfig{}, g.servers[0].Addr, g.servers[1].Addr)
	fill(t, table, 50)
	n := 0
	for _, err := range table.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d keys were yielded", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for key, err := range table.Keys(ctx) {
		if key != "" || !errors.Is(err, context.Canceled) {
			t.Errorf("Keys yields %q, %v", key, err)
		}
	}
	table.Close()
	for key, err := range table.Keys(t.Context()) {
		if key != "" || !errors.Is(err, torc.ErrClosed) {
			t.Errorf("Keys of a closed table yields %q, %v", key, err)
		}
	}
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	list, err := NewList(ListConfig{Config: Config{Copies: 2, Hash: "murmur3", VNodes: 200}}, []Server{
		{Addr: g.servers[0].Addr}, {Addr: g.servers[1].Addr}, {Addr: g.servers[2].Addr, Weight: 2}, {Addr: refusing(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	table := openDirectory(t, list)
	fill(t, table, 400)
	s, err := table.Survey(t.Context())
	if err != nil || s.Placement != "murmur3" || s.Copies != 2 || s.VNodes != 200 || len(s.Members) != 4 {
		t.Fatalf("Survey = %+v, %v", s, err)
	}
	var entries uint64
	var share float64
	for _, m := range s.Members {
		entries += m.Entries
		share += m.Share
		if (m.Err != nil) != (m.State == torc.Down) {
			t.Errorf("%s: %v", m.Addr, m.Err)
		}
		if want := float64(m.Weight) / 4; m.State == torc.Up && (m.Share < 0.8*want || m.Share > 1.2*want) {
			t.Errorf("%s of weight %d has %.3f of the keys, want %.3f", m.Addr, m.Weight, m.Share, want)
		}
	}
	if entries != 800 || share < 0.999 || share > 1.001 {
		t.Errorf("%d entries in shares of %v, want 800 of 1", entries, share)
	}
}
