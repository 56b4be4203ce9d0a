package chord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc"
)

func integers(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint(i))
	}
	return keys
}

// walked returns how often each key came.
func walked(t *testing.T, table *Table, meanwhile func(key string)) map[string]int {
	t.Helper()
	seen := make(map[string]int)
	for k, err := range table.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		seen[k]++
		if meanwhile != nil {
			meanwhile(k)
		}
	}
	return seen
}

// A walk finds each key where its owner has it, and what others have of it, as copies
// do, not again.
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, ids := range [][]int{{35}, {0}, {35, 99, 136}, {0, 255}} {
		_, nodes := fakeRingOf(t, ids...)
		for _, n := range nodes {
			n.hold(integers(1000)...)
		}
		table := newTable(t, TableOptions{}, nodes[0])
		seen := walked(t, table, nil)
		for _, k := range integers(1000) {
			if seen[k] != 1 {
				t.Fatalf("nodes %v: %s came %d times", ids, k, seen[k])
			}
		}
		if len(seen) != 1000 {
			t.Errorf("nodes %v: %d keys of 1000", ids, len(seen))
		}
		for _, err := range table.Keys(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			break // the walk ends when nobody wants more
		}
	}
}

// Places that change hands while the one node or the other lists its own are listed
// where they are then: no key is missed.
func TestKeysWhileNodesComeAndGo(t *testing.T) {
	t.Parallel()
	keys := integers(1000)
	for name, change := range map[string]func(t *testing.T, ring *fakeRing, nodes []*fakeNode){
		"a node joins in each span": func(t *testing.T, ring *fakeRing, _ []*fakeNode) {
			for _, id := range []int{20, 60, 120, 250} {
				ring.add(t, id).hold(keys...)
			}
		},
		"a node leaves":   func(_ *testing.T, ring *fakeRing, nodes []*fakeNode) { ring.remove(nodes[0]) },
		"a node dies":     func(_ *testing.T, _ *fakeRing, nodes []*fakeNode) { nodes[1].stop() },
		"another is left": func(_ *testing.T, _ *fakeRing, nodes []*fakeNode) { nodes[1].stop(); nodes[2].stop() },
	} {
		for _, after := range []int{1, 500} {
			t.Run(fmt.Sprint(name, " after ", after), func(t *testing.T) {
				t.Parallel()
				ring, nodes := fakeRingOf(t, 35, 99, 136)
				for _, n := range nodes {
					n.hold(keys...)
				}
				n := 0
				seen := walked(t, newTable(t, TableOptions{}, nodes...), func(string) {
					if n++; n == after {
						change(t, ring, nodes)
					}
				})
				for _, k := range keys {
					if seen[k] == 0 {
						t.Fatalf("%s was missed, of %d seen", k, len(seen))
					}
				}
			})
		}
	}
}

// A list that a node made while it gave something up and got it back is not believed.
func TestKeysOfAnotherTerm(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	nodes[0].hold("a", "b")
	var got []string
	for k, err := range newTable(t, TableOptions{}, nodes...).Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, k); len(got) == 1 {
			nodes[0].mu.Lock()
			nodes[0].mu.term++
			nodes[0].mu.Unlock()
			nodes[0].hold("c")
		}
	}
	if !slices.Contains(got, "c") || len(got) != 5 {
		t.Errorf("the keys came as %q", got)
	}
}

// What can't be listed is an error, not an empty list.
func TestKeysThatCannotBeListed(t *testing.T) {
	t.Parallel()
	ring, nodes := fakeRingOf(t, 35, 99)
	nodes[0].hold("k")
	table := newTable(t, TableOptions{ReadTimeout: 100 * time.Millisecond}, nodes...)
	walk := func(ctx context.Context) (last error) {
		for _, err := range table.Keys(ctx) {
			last = err
		}
		return last
	}
	if err := walk(t.Context()); err != nil {
		t.Fatal(err)
	}
	nodes[1].stop()
	ring.insert(nodes[1]) // nobody has noticed
	var e *torc.Error
	if err := walk(t.Context()); !errors.As(err, &e) || e.Op != "keys" || e.Member != nodes[1].addr() || !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("a walk over a node that is gone: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := walk(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("a walk that was cancelled: %v", err)
	}
	_ = table.Close()
	if err := walk(t.Context()); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("a walk over a closed table: %v", err)
	}
}
