package chord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

const (
	// bits is the n of the rings.
	bits = 32
	// port is where each node listens, on a host of its own.
	port = 7100
	// listLength is how many successors a node knows, where there are so many.
	listLength = 8
	// slow is how long a change takes of which the log tells what was waited for.
	slow = 3 * time.Second
)

// lab is nodes as processes, and a client of their table.
type lab struct {
	t        *testing.T
	cluster  *cluster.Cluster
	replicas int
	run      string    // the folder in which nodes find each other
	nodes    []*member // that are to be in the ring, in order of their identifiers
	hosts    int       // nodes there ever were
	admin    *chord.Admin
	client   *chord.Table
	pairs    int // that were filled in
}

// member is a node's process, and where it listens.
type member struct {
	*cluster.Proc
	id   string
	addr string
}

// String is what the programs know the node by. Without an address it is to be found
// by its identifier.
func (m *member) String() string {
	if m.addr == "" {
		return m.id
	}
	return m.id + "@" + m.addr
}

// newLab makes a lab without nodes.
func newLab(t *testing.T, o cluster.Options, replicas int) *lab {
	t.Helper()
	l := &lab{t: t, cluster: cluster.ForTest(t, o), replicas: replicas, run: filepath.Join(t.TempDir(), "run")}
	l.admin = &chord.Admin{Dialer: dialer(l.cluster.Host("c1"))}
	return l
}

// start runs nodes that lie evenly in the ring, waits until they are one, and fills
// pairs in.
func start(t *testing.T, o cluster.Options, nodes, replicas, pairs int) *lab {
	t.Helper()
	l := newLab(t, o, replicas)
	l.found(evenly(0, nodes))
	var joining sync.WaitGroup
	for i := 1; i < nodes; i++ {
		m := l.launch(evenly(i, nodes), l.nodes[0])
		joining.Go(func() { l.joined(m) })
	}
	joining.Wait()
	l.settled()
	l.client = l.open("c1", l.addrs())
	l.fill(pairs)
	return l
}

// evenly is the identifier of node i of n that lie evenly, not at the ring's seam.
func evenly(i, n int) string { return strconv.FormatUint((1<<bits)/uint64(n)*uint64(i)+1000, 10) }

// found starts the first node of a ring.
func (l *lab) found(id string) *member {
	l.t.Helper()
	m := l.launch(id, nil)
	l.joined(m)
	return m
}

// launch starts a node on a host of its own, and doesn't wait for it.
func (l *lab) launch(id string, contact *member) *member {
	l.t.Helper()
	l.hosts++
	return l.launchOn(l.cluster.Host("n"+strconv.Itoa(l.hosts)), id, contact)
}

// launchOn starts a node on a host.
func (l *lab) launchOn(host *cluster.Host, id string, contact *member) *member {
	l.t.Helper()
	m := l.process(host, id, contact)
	l.nodes = append(l.nodes, m)
	slices.SortFunc(l.nodes, func(a, b *member) int { return compareIDs(a.id, b.id) })
	return m
}

// process starts a node that nothing is expected of.
func (l *lab) process(host *cluster.Host, id string, contact *member) *member {
	l.t.Helper()
	m := &member{id: id, addr: host.Addr(port)}
	args := []string{"--listen", m.addr, "--memory", "64M", strconv.Itoa(bits), id}
	if contact == nil {
		args = append(args, "--replicas", strconv.Itoa(l.replicas))
	} else {
		args = append(args, contact.String())
	}
	p, err := host.Start(l.t.Context(), cluster.Spec{Path: filepath.Join(bin, "node"), Args: args, Env: []string{"TORC_RUN=" + l.run}, Addr: m.addr})
	l.must(err)
	m.Proc = p
	return m
}

// again starts a node anew where it was, which has ended.
func (l *lab) again(m *member) *member {
	l.t.Helper()
	l.without(m)
	return l.launchOn(m.Host(), m.id, l.nodes[0])
}

// joined waits until a node has said that it has joined.
func (l *lab) joined(m *member) {
	l.t.Helper()
	_, err := m.WaitLine(l.within(patience), time.Time{}, func(line string) bool {
		return strings.Contains(line, "has joined") || strings.Contains(line, "begins a ring")
	})
	if err != nil {
		l.t.Error(err)
	}
}

// join has a node join at a place drawn by chance, and waits until it has.
func (l *lab) join() *member {
	l.t.Helper()
	m := l.launch(l.freeID(), l.nodes[rand.IntN(len(l.nodes))])
	l.joined(m)
	return m
}

// freeID draws an identifier that no node has.
func (l *lab) freeID() string {
	for {
		id := strconv.FormatUint(uint64(rand.Uint32()), 10)
		if !slices.ContainsFunc(l.nodes, func(m *member) bool { return m.id == id }) {
			return id
		}
	}
}

// without takes a node out of those that are to be in the ring.
func (l *lab) without(m *member) {
	l.nodes = slices.DeleteFunc(slices.Clone(l.nodes), func(other *member) bool { return other == m })
}

// after returns the node that follows m, k times.
func (l *lab) after(m *member, k int) *member {
	return l.nodes[(slices.Index(l.nodes, m)+k)%len(l.nodes)]
}

func (l *lab) addrs() (addrs []string) {
	for _, m := range l.nodes {
		addrs = append(addrs, m.addr)
	}
	return addrs
}

// The ways in which a node goes.

func (l *lab) kill(m *member) { l.t.Helper(); l.must(m.Kill()); l.without(m) }

func (l *lab) interrupt(m *member) {
	l.t.Helper()
	l.must(m.Signal(os.Interrupt))
	if code := l.ended(m); code == 0 {
		l.t.Error("a node that was interrupted exited with 0")
	}
}

func (l *lab) leave(m *member) {
	l.t.Helper()
	l.must(m.Term())
	if code := l.ended(m); code != 0 {
		l.t.Errorf("a node that was told to go exited with %d", code)
	}
}

func (l *lab) fail(m *member) {
	l.t.Helper()
	if r := call(l.t, "fail", m.String()); r != (result{stdout: "Node " + m.id + " failed.\n"}) {
		l.t.Errorf("fail %v: %+v", m, r)
	}
	l.ended(m)
}

func (l *lab) ended(m *member) (code int) {
	l.t.Helper()
	l.without(m)
	code, err := m.Wait(l.within(patience))
	l.must(err)
	return code
}

// dialer makes a host's connections.
func dialer(h *cluster.Host) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) { return h.Dial(ctx, "tcp", addr) }
}

// open opens the table from a host.
func (l *lab) open(host string, nodes []string) *chord.Table {
	l.t.Helper()
	table, err := chord.New(l.within(patience), nodes, chord.TableOptions{Dialer: dialer(l.cluster.Host(host))})
	l.must(err)
	l.t.Cleanup(func() { _ = table.Close() }) // returns nil
	return table
}

// plain is a client of one node that knows nothing of the ring.
func (l *lab) plain(host string, m *member) *memcache.Client {
	c := memcache.NewClient(m.addr, memcache.Config{
		Dialer: dialer(l.cluster.Host(host)), ReadTimeout: patience, WriteTimeout: patience, StallTimeout: patience,
	})
	l.t.Cleanup(func() { _ = c.Close() }) // returns nil
	return c
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// within is a context that ends then, or with the test.
func (l *lab) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(l.t.Context(), d)
	l.t.Cleanup(cancel)
	return ctx
}

// statuses asks nodes how they are, at the same time.
func (l *lab) statuses(nodes []*member) ([]chord.Status, error) {
	all := make([]chord.Status, len(nodes))
	errs := make([]error, len(nodes))
	var asking sync.WaitGroup
	for i, m := range nodes {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
			defer cancel()
			all[i], errs[i] = l.admin.Status(ctx, m.addr)
		})
	}
	asking.Wait()
	return all, errors.Join(errs...)
}

// settled waits until all the nodes are one ring that has all its copies.
func (l *lab) settled() {
	l.t.Helper()
	l.ringOf(l.nodes)
}

// ringOf waits until these nodes, and no others, are one ring that has all its copies.
func (l *lab) ringOf(nodes []*member) {
	l.t.Helper()
	began := time.Now()
	var last error
	cluster.Eventually(l.t, patience, fmt.Sprintf("%d nodes to be one ring with all copies", len(nodes)), func() error {
		all, err := l.statuses(nodes)
		if err != nil {
			return err
		}
		if err := whole(all, l.replicas); err != nil {
			last = err
			return err
		}
		return nil
	})
	if took := time.Since(began); took > slow {
		l.t.Logf("it took %v until %d nodes were one ring with all copies; at last %v", took.Round(time.Millisecond), len(nodes), last)
	}
}

// whole says what nodes, in the order of their identifiers, lack of being one ring each
// of whose pairs lies on its owner and the r nodes after it.
func whole(all []chord.Status, r int) error {
	n := len(all)
	for i := range all {
		st := &all[i]
		before := all[(i+n-1)%n].NodeRef
		lacks := func(what string) error {
			said, err := json.Marshal(st)
			return errors.Join(fmt.Errorf("node %s of %d: %s: %s", st.ID, n, what, said), err)
		}
		switch {
		case !st.Joined, !st.Serving, st.Owns == nil:
			return lacks("it doesn't serve")
		case n > 1 && (st.Predecessor == nil || *st.Predecessor != before):
			return lacks("its predecessor isn't " + before.String())
		case st.Owns.From != before.ID, st.Owns.To != st.ID:
			return lacks("it owns something else")
		case !st.Whole:
			return lacks("not all its copies are there")
		case slices.ContainsFunc(all, func(other chord.Status) bool { return slices.Contains(st.Suspects, other.NodeRef) }):
			return lacks("it suspects one of them")
		case len(st.Successors) != min(n-1, listLength), len(st.Holders) != min(n-1, r):
			return lacks("not as many as there are to be")
		}
		for k, s := range st.Successors {
			if s != all[(i+1+k)%n].NodeRef {
				return lacks("another is its successor number " + strconv.Itoa(k+1))
			}
		}
		for k := range st.Holders {
			holder := &all[(i+1+k)%n]
			if !slices.Contains(st.Holders, chord.Holder{NodeRef: holder.NodeRef, Complete: true}) {
				return lacks("its copies are elsewhere")
			}
			backs := uint64(0)
			for _, b := range holder.Backs {
				if b.Owner == st.NodeRef && b.Complete {
					backs += common(*st.Owns, b.Span)
				}
			}
			if backs != size(*st.Owns) {
				return lacks(fmt.Sprintf("%s doesn't say that it has copies, but %v", holder.ID, holder.Backs))
			}
		}
	}
	return nil
}

// trusted says that nobody was ever taken for dead who wasn't, and that there always
// was somebody to take over from.
func (l *lab) trusted() {
	l.t.Helper()
	all, err := l.statuses(l.nodes)
	l.must(err)
	for _, st := range all {
		if st.TakenEmpty > 0 || st.Overwritten > 0 {
			l.t.Errorf("node %s took over what nobody had a copy of, %d times, and overwrote %d entries", st.ID, st.TakenEmpty, st.Overwritten)
		}
	}
}

// size is how many places a span has.
func size(s chord.Span) uint64 {
	if s.From == s.To {
		return 1 << bits
	}
	return (number(s.To) - number(s.From)) % (1 << bits)
}

// common is how many places lie in both spans.
func common(a, b chord.Span) uint64 {
	from := (number(b.From) - number(a.From)) % (1 << bits) // as seen from where a begins
	to := from + size(b)
	n := min(to, size(a)) - min(from, size(a))
	if to > 1<<bits { // b goes around
		n += min(to-1<<bits, size(a))
	}
	return n
}

// counted waits until each of the pairs there are lies on r+1 nodes, as they count
// them, and says how many pairs there are. Nobody may write.
func (l *lab) counted() (pairs int) {
	l.t.Helper()
	l.settled()
	began, last := time.Now(), ""
	defer func() {
		if took := time.Since(began); took > slow {
			l.t.Logf("it took %v until each pair lay where it is to lie and nowhere else; at last %s", took.Round(time.Millisecond), last)
		}
	}()
	cluster.Eventually(l.t, patience, "each pair to lie where it is to lie and nowhere else", func() error {
		all, err := l.statuses(l.nodes)
		if err != nil {
			return err
		}
		n := len(all)
		for i := range all {
			want := uint64(0)
			for k := range min(n, l.replicas+1) {
				want += all[(i+n-k)%n].Keys
			}
			if all[i].Held != want {
				said, _ := json.Marshal(all[i])
				last = fmt.Sprintf("node %s has %d pairs, and it should be %d: %s", all[i].ID, all[i].Held, want, said)
				return errors.New(last)
			}
		}
		pairs = 0
		for _, st := range all {
			pairs += int(st.Keys)
		}
		return nil
	})
	return pairs
}

func pairKey(i int) string   { return strconv.Itoa(i*7919+1) + "00000000000" }
func pairValue(i int) string { return "value of pair " + strconv.Itoa(i) }

// fill puts pairs into the table.
func (l *lab) fill(pairs int) {
	l.t.Helper()
	l.pairs = pairs
	l.each(pairs, func(i int) error { return l.client.Put(l.t.Context(), pairKey(i), []byte(pairValue(i))) })
}

// present says that each of the pairs that were filled in is readable.
func (l *lab) present() {
	l.t.Helper()
	l.each(l.pairs, func(i int) error {
		e, err := l.client.Get(l.t.Context(), pairKey(i))
		if err == nil && string(e.Value) != pairValue(i) {
			err = fmt.Errorf("%q is there", e.Value)
		}
		return err
	})
}

// each calls fn for 0 to n-1, several at a time, and fails the test at the first error.
func (l *lab) each(n int, fn func(i int) error) {
	l.t.Helper()
	const callers = 32
	var calling sync.WaitGroup
	errs := make([]error, callers)
	for c := range callers {
		calling.Go(func() {
			for i := c; i < n && errs[c] == nil; i += callers {
				if err := fn(i); err != nil {
					errs[c] = fmt.Errorf("%d: %w", i, err)
				}
			}
		})
	}
	calling.Wait()
	l.must(errors.Join(errs...))
}

// keysOf returns keys that the node owns.
func (l *lab) keysOf(m *member, n int) []string {
	l.t.Helper()
	before := l.nodes[(slices.Index(l.nodes, m)+len(l.nodes)-1)%len(l.nodes)]
	owns := chord.Span{From: before.id, To: m.id}
	var keys []string
	for range n {
		// Beyond the ring's size, so that key and place are two things.
		at := (number(owns.From) + 1 + rand.Uint64N(size(owns))) % (1 << bits)
		keys = append(keys, strconv.FormatUint(at+(1+rand.Uint64N(1000))<<bits, 10))
	}
	return keys
}

func number(id string) uint64 {
	n, ok := new(big.Int).SetString(id, 10)
	if !ok {
		panic(id + " is no number")
	}
	return n.Uint64()
}

func compareIDs(a, b string) int {
	if x, y := number(a), number(b); x != y {
		if x < y {
			return -1
		}
		return 1
	}
	return 0
}

// servedAgain waits until each key has been written and read, and says how long that
// took since then.
func (l *lab) servedAgain(keys []string, since time.Time) time.Duration {
	l.t.Helper()
	ctx := l.within(patience)
	l.each(len(keys), func(i int) error {
		value := fmt.Sprint("after ", since)
		if err := l.client.Put(ctx, keys[i], []byte(value)); err != nil {
			return err
		}
		e, err := l.client.Get(ctx, keys[i])
		if err == nil && string(e.Value) != value {
			err = fmt.Errorf("%s: %q was put, %q is there", keys[i], value, e.Value)
		}
		return err
	})
	return time.Since(since)
}
