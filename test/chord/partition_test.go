package chord

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

const (
	// agreeWithin is how long after a cut link was mended all nodes agree.
	agreeWithin = 10 * time.Second
	// contested is how many keys are written on both sides of a cut.
	contested = 60
)

// cut breaks the links between all of these hosts and all of those; heal mends them.
func (l *lab) cut(these, those []*cluster.Host) {
	l.t.Helper()
	l.eachPair(these, those, l.cluster.Cut)
}
func (l *lab) heal(these, those []*cluster.Host) {
	l.t.Helper()
	l.eachPair(these, those, l.cluster.Heal)
}

func (l *lab) eachPair(these, those []*cluster.Host, fn func(a, b *cluster.Host) error) {
	l.t.Helper()
	for _, a := range these {
		for _, b := range those {
			l.must(fn(a, b))
		}
	}
}

func hostsOf(nodes []*member) (hosts []*cluster.Host) {
	for _, m := range nodes {
		hosts = append(hosts, m.Host())
	}
	return hosts
}

// sides are two parts of a ring, each with a client that reaches that part alone.
type sides struct {
	l      *lab
	nodes  [2][]*member
	tables [2]*chord.Table
	hosts  [2][]*cluster.Host
}

// split cuts a ring in two, and waits until each part is a ring of its own.
func (l *lab) split(left, right []*member) *sides {
	l.t.Helper()
	s := &sides{l: l, nodes: [2][]*member{left, right}}
	for i, name := range []string{"left", "right"} {
		s.hosts[i] = append(hostsOf(s.nodes[i]), l.cluster.Host(name))
		s.tables[i] = l.open(name, []string{s.nodes[i][0].addr})
	}
	l.cut(s.hosts[0], s.hosts[1])
	began := time.Now()
	for _, nodes := range s.nodes {
		l.ringOf(nodes)
	}
	seen.Add(l.t, fmt.Sprintf("ring cut, %d and %d nodes: two rings", len(left), len(right)), 0, time.Since(began))
	return s
}

// mend joins the parts again.
func (s *sides) mend() { s.l.t.Helper(); s.l.heal(s.hosts[0], s.hosts[1]) }

func contestedKey(kind string, i int) string { return kind + "-" + strconv.Itoa(i) }

// contend writes on both sides, and returns what the ring is to have at each key when
// it is one again: "" is nothing. The sides write in turns, so that what is later is
// known.
func (s *sides) contend() map[string]string {
	l := s.l
	l.t.Helper()
	want := make(map[string]string)
	side := func(i int, do func(t *chord.Table, k int) error) {
		l.each(contested, func(k int) error { return do(s.tables[i], k) })
	}
	put := func(kind, value string) func(*chord.Table, int) error {
		return func(t *chord.Table, k int) error {
			return t.Put(l.within(patience), contestedKey(kind, k), []byte(value))
		}
	}
	remove := func(kind string) func(*chord.Table, int) error {
		return func(t *chord.Table, k int) error { return t.Delete(l.within(patience), contestedKey(kind, k)) }
	}
	side(0, put("both", "left, first"))
	side(1, put("both", "right, later"))
	side(1, put("turned", "right, first"))
	side(0, put("turned", "left, later"))
	side(0, put("left", "left"))
	side(1, put("right", "right"))
	side(0, put("removed", "left, first"))
	side(1, remove("removed")) // it was there before the cut
	for k := range contested {
		want[contestedKey("both", k)] = "right, later"
		want[contestedKey("turned", k)] = "left, later"
		want[contestedKey("left", k)] = "left"
		want[contestedKey("right", k)] = "right"
		want[contestedKey("removed", k)] = ""
		want[contestedKey("before", k)] = "before"
	}
	return want
}

// before writes what contend expects to be there.
func (l *lab) before() {
	l.t.Helper()
	for _, kind := range []string{"removed", "before"} {
		l.each(contested, func(k int) error {
			return l.client.Put(l.t.Context(), contestedKey(kind, k), []byte("before"))
		})
	}
}

// agree waits until all nodes are one ring, each of which gives the same answers, and
// these are what is wanted.
func (l *lab) agree(want map[string]string) {
	l.t.Helper()
	l.settled()
	clients := make([]*memcache.Client, len(l.nodes))
	for i, m := range l.nodes {
		clients[i] = l.plain("c1", m)
	}
	cluster.Eventually(l.t, patience, "all nodes to agree", func() error {
		errs := make([]error, len(clients))
		var asking sync.WaitGroup
		for i, c := range clients {
			asking.Go(func() { errs[i] = l.answers(c, want) })
		}
		asking.Wait()
		return errors.Join(errs...)
	})
}

// answers says which of a node's answers are not what is wanted.
func (l *lab) answers(c *memcache.Client, want map[string]string) error {
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	var wrong []string
	for key, value := range want {
		it, err := c.Get(ctx, key)
		if err != nil && !errors.Is(err, memcache.ErrNotFound) {
			return err
		}
		if string(it.Value) != value || (err == nil) != (value != "") {
			wrong = append(wrong, fmt.Sprintf("%s (at %v) is %q, %v, and it should be %q", key, placeOf(key), it.Value, err, value))
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return fmt.Errorf("%d of %d keys are wrong by way of a node: %s", len(wrong), len(want), strings.Join(wrong, "; "))
	}
	return nil
}

// placeOf is where a key lies that is no number.
func placeOf(key string) uint64 {
	sum := sha1.Sum([]byte(key))
	return uint64(binary.BigEndian.Uint32(sum[len(sum)-bits/8:]))
}

// overwritten is how many entries have lost against later ones, as the nodes count.
func (l *lab) overwritten() (n uint64) {
	l.t.Helper()
	all, err := l.statuses(l.nodes)
	l.must(err)
	for _, st := range all {
		n += st.Overwritten
	}
	return n
}

// tidied waits until who held copies for a node that it was parted from has found out,
// by a look at one of its spans every 5 s, that it is to hold them no more. That is
// long for `make test`.
func (l *lab) tidied() {
	l.t.Helper()
	if soak() || *faults > 0 {
		l.counted()
	}
}

// TestCutInTwo cuts a ring in two for a while. Both parts go on; when they meet they
// are one ring with what is latest.
func TestCutInTwo(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{Namespaces: true}, 6, 1, 500)
	lasts := 4 * time.Second
	if soak() {
		lasts = time.Minute
	}
	for i := range times(1) {
		l.before()
		began := time.Now()
		var left, right []*member
		for k, m := range l.nodes {
			if (k/(1+i%3))%2 == 0 { // every other one, or the like
				left = append(left, m)
			} else {
				right = append(right, m)
			}
		}
		s := l.split(left, right)
		want := s.contend()
		<-time.After(time.Until(began.Add(lasts))) // the fault itself
		before := l.overwritten()
		mended := time.Now()
		s.mend()
		l.agree(want)
		seen.Add(t, fmt.Sprintf("ring cut in two for %v, mended: one ring, all agree", lasts), 0, time.Since(mended))
		l.present()
		l.tidied()
		n := l.overwritten() - before
		t.Logf("%d overwritten", n)
		// Each side's write of a contested key that is not the last, at least.
		if n < 3*contested {
			t.Errorf("%d entries were counted as overwritten, and %d at least were", n, 3*contested)
		}
		l.clear(want)
	}
}

// clear removes keys.
func (l *lab) clear(keys map[string]string) {
	l.t.Helper()
	all := slices.Sorted(maps.Keys(keys))
	l.each(len(all), func(i int) error {
		if err := l.client.Delete(l.t.Context(), all[i]); !errors.Is(err, torc.ErrNotFound) {
			return err
		}
		return nil
	})
}

// TestIsolatedNode pulls a node's cable and puts it back: it was alone in a ring of its
// own, and is one of all again.
func TestIsolatedNode(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{Namespaces: true}, 4, 1, 500)
	for i := range times(1) {
		l.before()
		m := l.nodes[i%len(l.nodes)]
		var others []*member
		for _, other := range l.nodes {
			if other != m {
				others = append(others, other)
			}
		}
		s := l.split([]*member{m}, others)
		want := s.contend()
		before := l.overwritten()
		mended := time.Now()
		s.mend()
		l.agree(want)
		seen.Add(t, "node isolated, back again: one ring, all agree", 0, time.Since(mended))
		l.present()
		l.tidied()
		if n := l.overwritten() - before; n < 3*contested {
			t.Errorf("%d entries were counted as overwritten, and %d at least were", n, 3*contested)
		}
		l.clear(want)
	}
}

// TestCutLink cuts the link between two neighbours, which clients reach all the same,
// and those between other pairs. Whatever the two take each other for, everybody agrees
// soon after it is mended, and what was written last by a client that waits for its
// answers is there.
func TestCutLink(t *testing.T) {
	l := start(t, cluster.Options{Namespaces: true}, 5, 1, 500)
	for i := range times(1) {
		a := l.nodes[(i*2)%len(l.nodes)]
		b := l.after(a, 1+i%2) // neighbours, and those next to them
		before := l.overwritten()
		l.must(l.cluster.Cut(a.Host(), b.Host()))
		began := time.Now()
		want := make(map[string]string)
		for round := 0; time.Since(began) < 3*time.Second; round++ {
			l.each(contested, func(k int) error {
				return l.client.Put(l.within(patience), contestedKey("link", k), []byte(strconv.Itoa(round)))
			})
			for k := range contested {
				want[contestedKey("link", k)] = strconv.Itoa(round)
			}
		}
		mended := time.Now()
		l.must(l.cluster.Heal(a.Host(), b.Host()))
		l.agree(want)
		seen.Add(t, "link between two nodes cut, mended: all agree", allowed(agreeWithin), time.Since(mended))
		l.present()
		l.counted()
		t.Logf("%d overwritten", l.overwritten()-before)
	}
}
