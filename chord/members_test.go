package chord

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc"
)

// views has what a table tells of its members, as it comes.
func views(t *testing.T, table *Table) (next func() torc.View) {
	ctx, cancel := context.WithCancel(t.Context())
	came := make(chan torc.View)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for v, err := range table.Members(ctx) {
			if err != nil {
				t.Errorf("Members: %v", err)
				return
			}
			select {
			case came <- v:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return func() torc.View {
		t.Helper()
		select {
		case v := <-came:
			return v
		case <-time.After(10 * time.Second):
			t.Fatal("no view within 10 s")
			return torc.View{}
		}
	}
}

// are says whether the members are these nodes, in the state given.
func are(v torc.View, states map[*fakeNode]torc.State) bool {
	if len(v.Members) != len(states) {
		return false
	}
	for n, want := range states {
		if m, ok := memberAt(&v, n.addr()); !ok || m.State != want || (want == torc.Down) != (m.Reason != "") {
			return false
		}
	}
	return true
}

// All members are found from one of them. There is a view for each change, and none
// while there is none; who is named by others and doesn't answer is down.
func TestMembers(t *testing.T) {
	t.Parallel()
	ring, nodes := fakeRingOf(t, 1, 32, 35, 99, 136)
	table := newTable(t, TableOptions{}, nodes[2])
	next := views(t, table)
	states := map[*fakeNode]torc.State{}
	for _, n := range nodes {
		states[n] = torc.Up
	}
	first := next()
	if !are(first, states) || first.Generation != ring.id || first.Version == 0 || !first.LostContact.IsZero() {
		t.Fatalf("the first view is %+v", first)
	}
	nodes[0].deafens(true)
	states[nodes[0]] = torc.Down
	second := next()
	if !are(second, states) || second.Version <= first.Version {
		t.Fatalf("when one is deaf the view is %+v", second)
	}
	nodes[0].stop()
	delete(states, nodes[0])
	third := next()
	if !are(third, states) {
		t.Fatalf("when one is gone the view is %+v", third)
	}
	states[ring.add(t, 200)] = torc.Up
	if v := next(); !are(v, states) || !slices.ContainsFunc(v.Members, func(m torc.Member) bool { return m.Since.Equal(first.Members[0].Since) }) {
		t.Fatalf("when one is new the view is %+v", v)
	}
	// Nobody answers: the last that is known, and since when.
	for n := range states {
		n.deafens(true)
	}
	lost := next()
	if !are(lost, states) || lost.LostContact.IsZero() {
		t.Fatalf("when nobody answers the view is %+v", lost)
	}
	for n := range states {
		n.deafens(false)
	}
	if v := next(); !are(v, states) || !v.LostContact.IsZero() {
		t.Fatalf("when they answer again the view is %+v", v)
	}
}

// Whoever looks at the members has the table know all ranges.
func TestMembersTellRanges(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 1, 32, 35, 99, 136)
	table := newTable(t, TableOptions{}, nodes[2])
	views(t, table)()
	for i := range 256 {
		if table.routing.Load().find(small(i)) == nil {
			t.Fatalf("nobody is known to own place %d", i)
		}
	}
}

// Who has joined no ring yet is no member, and is waited for by who opens a table.
func TestNodeThatJoins(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 1, 32)
	joining := func(is bool) {
		nodes[0].mu.Lock()
		defer nodes[0].mu.Unlock()
		nodes[0].mu.joining = is
	}
	joining(true)
	v := views(t, newTable(t, TableOptions{}, nodes...))()
	if !are(v, map[*fakeNode]torc.State{nodes[1]: torc.Up}) {
		t.Errorf("%+v", v)
	}
	opened := make(chan error, 1)
	go func() {
		table, err := New(t.Context(), []string{nodes[0].addr()}, TableOptions{})
		if err == nil {
			err = table.Close()
		}
		opened <- err
	}()
	time.AfterFunc(50*time.Millisecond, func() { joining(false) })
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// Locate names the owner and who has all copies, by the owner's word; of two that
// differ the later has the later version.
func TestLocate(t *testing.T) {
	t.Parallel()
	ring, nodes := fakeRingOf(t, 35, 99, 136)
	table := newTable(t, TableOptions{}, nodes[2])
	check := func(key string, owners ...*fakeNode) torc.Placement {
		t.Helper()
		p, err := table.Locate(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, m := range p.Owners {
			got = append(got, m.Addr)
			if m.State != torc.Up || m.Weight != 1 || m.Since.IsZero() {
				t.Errorf("owner %+v", m)
			}
		}
		for _, n := range owners {
			want = append(want, n.addr())
		}
		if !slices.Equal(got, want) || p.Generation != ring.id {
			t.Errorf("%s is at %v, want %v", key, got, want)
		}
		return p
	}
	first := check("30", nodes[0], nodes[1])
	if first.Hops < 2 {
		t.Errorf("found by %d hops", first.Hops)
	}
	if again := check("30", nodes[0], nodes[1]); again.Hops != 1 || again.Version != first.Version {
		t.Errorf("found again: %+v, after %+v", again, first)
	}
	n := ring.add(t, 60)
	if p := check("30", nodes[0], n); p.Version <= first.Version {
		t.Errorf("%+v, after %+v", p, first)
	}
	check("50", n, nodes[1])
	n.stop()
	check("50", nodes[1], nodes[2])
	if _, err := table.Locate(t.Context(), ""); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("no key: %v", err)
	}
	_ = table.Close()
	if _, err := table.Locate(t.Context(), "50"); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("of a closed table: %v", err)
	}
}

// Connections to nodes that own nothing any more are not kept for ever.
func TestNodesAreForgotten(t *testing.T) {
	t.Parallel()
	ring, nodes := fakeRingOf(t, 35, 99, 136)
	table := newTable(t, TableOptions{}, nodes[2])
	put(t, table, "30", "v")
	nodes[0].stop()
	put(t, table, "30", "v")
	known := func() int {
		table.mu.Lock()
		defer table.mu.Unlock()
		return len(table.mu.nodes)
	}
	if n := known(); n != 3 {
		t.Fatalf("%d nodes are known", n)
	}
	table.mu.Lock()
	table.changeLocked(time.Now().Add(2*idleFor), func(*routing) {})
	table.mu.Unlock()
	if n := known(); n != 2 {
		t.Errorf("%d nodes are known when one has been gone for long", n)
	}
	if owner, _ := ring.owned(small(30)); owner != nodes[1] {
		t.Fatal("whose it is")
	}
	put(t, table, "30", "v")
}
