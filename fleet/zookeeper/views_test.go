package zookeeper

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/internal/cluster"
)

// checkPasts checks what several followers of one fleet were told: whatever view
// anybody may have written under is in the past of all later ones, and all have
// the same servers in it. It is for fleets with fewer changes than are kept.
func checkPasts(t *testing.T, follows ...*follow) {
	t.Helper()
	type id struct{ generation, version uint64 }
	views := make(map[id][]fleet.Server)
	see := func(v id, servers []fleet.Server, where string) {
		if other, seen := views[v]; seen && (len(other) > 0 || len(servers) > 0) && !reflect.DeepEqual(other, servers) {
			t.Errorf("view %d of %d is %v, and in %s %v", v.version, v.generation, other, where, servers)
		}
		views[v] = servers
	}
	var all []fleet.Membership
	for _, f := range follows {
		f.mu.Lock()
		for _, m := range f.reports {
			see(id{m.Generation, m.Version}, m.Servers, "a report")
			all = append(all, m)
		}
		f.mu.Unlock()
	}
	for _, m := range all {
		in := make(map[uint64]bool)
		for i, p := range m.Past {
			in[p.Version] = true
			see(id{m.Generation, p.Version}, p.Servers, "a past")
			if p.Version >= m.Version || i > 0 && m.Past[i-1].Version >= p.Version {
				t.Errorf("the past of %d is out of order: %d", m.Version, p.Version)
			}
			if time.Since(p.Recorded).Abs() > time.Hour {
				t.Errorf("view %d was recorded at %v", p.Version, p.Recorded)
			}
		}
		for _, before := range all {
			if before.Generation == m.Generation && before.Version < m.Version && !in[before.Version] {
				t.Errorf("view %d was reported, and is not in the past of %d", before.Version, m.Version)
			}
		}
	}
}

func samePast(a, b fleet.Membership) bool {
	return slices.EqualFunc(a.Past, b.Past, func(a, b fleet.Past) bool { return a.Version == b.Version })
}

// swap counts up the version by two.
func swap(t *testing.T, d *Directory, addr string) {
	t.Helper()
	if err := d.Drain(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	if err := d.Undrain(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
}

// awaitVersion waits until the follower has got to the version.
func (f *follow) awaitVersion(version uint64) fleet.Membership {
	f.t.Helper()
	cluster.Eventually(f.t, 15*time.Second, fmt.Sprintf("version %d", version), func() error {
		if m := f.last(); f.count() == 0 || m.Version < version {
			return fmt.Errorf("it is %d", m.Version)
		}
		return nil
	})
	return f.last()
}

func (f *follow) awaitGeneration(other uint64) fleet.Membership {
	f.t.Helper()
	cluster.Eventually(f.t, 15*time.Second, "a new generation", func() error {
		if f.last().Generation == other {
			return errors.New("it is the old one")
		}
		return nil
	})
	return f.last()
}

func TestEveryViewThatIsReportedIsInThePastOfTheNext(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	follows := []*follow{startFollow(t, o), startFollow(t, o), startFollow(t, o)}
	var wg sync.WaitGroup
	for i := range 4 {
		addr := fmt.Sprintf("10.0.0.%d:11211", i)
		a := announcer(t, o, addr, uint32(i+1))
		d := mustNew(t, o)
		wg.Go(func() {
			for range 8 {
				a.announce(t)
				swap(t, d, addr)
				a.withdraw(t)
			}
			a.announce(t)
		})
	}
	wg.Wait()
	late := startFollow(t, o) // knows nothing but what is written
	follows = append(follows, late)
	for _, f := range follows {
		f.awaitVersion(4 * (8*4 + 1))
	}
	checkPasts(t, follows...)
	if last := late.last(); len(last.Past) < 10 {
		t.Errorf("%d views of the past: the test tests nothing", len(last.Past))
	}
}

func TestOldViewsAreRemoved(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f, d, conn := startFollow(t, o), mustNew(t, o), rawConn(t, o)
	f.expect("[]")
	generation := f.last().Generation
	for f.last().Version < keptViews+40 {
		before := f.last().Version
		swap(t, d, "10.0.0.1:11211")
		f.awaitVersion(before + 2)
	}
	names, _, err := conn.Children(o.Path + "/views")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != keptViews+1 {
		t.Errorf("%d views are kept, want %d and the present one", len(names), keptViews)
	}
	m := f.last()
	if m.Generation != generation {
		t.Error("removing old views began a new generation")
	}
	if len(m.Past) != keptViews {
		t.Errorf("%d views in the past", len(m.Past))
	}
	if late := startFollow(t, o).awaitVersion(m.Version); !samePast(late, m) {
		t.Error("a client that comes later has another past")
	}
}

// A view that somebody knows of and that isn't there means that ZooKeeper was set
// back, even if its members' version has grown past it by now.
func TestViewLost(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f, other := startFollow(t, o), startFollow(t, o)
	d, conn := mustNew(t, o), rawConn(t, o)
	announcer(t, o, "10.0.0.1:11211", 0).announce(t)
	f.expect("[10.0.0.1:11211]")
	before := other.expect("[10.0.0.1:11211]")
	if err := d.SetDone(t.Context(), before.Generation, before.Version); err != nil {
		t.Fatal(err)
	}
	if err := conn.Delete(o.Path+"/views/"+viewName(before.Version), -1); err != nil {
		t.Fatal(err)
	}
	if err := d.Drain(t.Context(), "10.0.0.1:11211"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*follow{f, other} {
		f.awaitGeneration(before.Generation)
		m := f.expect("[10.0.0.1:11211 (drained)]")
		if fence.GenerationMark(m.Generation) == fence.GenerationMark(before.Generation) || len(m.Past) != 0 || m.Done != 0 {
			t.Errorf("generation %d after %d, with the past %v and %d done", m.Generation, before.Generation, m.Past, m.Done)
		}
	}
	if f.last().Generation != other.last().Generation {
		t.Error("not one generation")
	}
	checkPasts(t, f, other)
}

// What is left behind by another generation is no part of this one's past.
func TestLeftoversOfAnotherGeneration(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	d, conn := mustNew(t, o), rawConn(t, o)
	_, generation, err := d.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	foreign := []fleet.Server{{Addr: "10.9.9.9:11211", Weight: 1, Incarnation: "x"}}
	swap(t, d, "10.0.0.1:11211") // version 2
	for _, left := range []struct {
		path string
		data []byte
	}{
		{"/views", nil},
		{"/views/" + viewName(1), encodeView(generation+1, foreign)},
		{"/views/" + viewName(2), encodeView(generation+1, foreign)}, // in place of the one to come
		{"/views/" + viewName(3), encodeView(generation+1, foreign)},
		{"/views/" + viewName(9), encodeView(generation+1, foreign)},
		{"/views/strange", nil},
		{"/done", doneData{Generation: generation + 1, Version: 9}.encode()},
	} {
		if _, err := conn.Create(o.Path+left.path, left.data, 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	f, other := startFollow(t, o), startFollow(t, o)
	for range 6 {
		swap(t, d, "10.0.0.1:11211")
	}
	for _, f := range []*follow{f, other} {
		m := f.awaitVersion(14)
		if m.Generation != generation || m.Done != 0 {
			t.Errorf("generation %d, want %d; %d done, want none", m.Generation, generation, m.Done)
		}
		for _, p := range m.Past {
			if len(p.Servers) > 0 {
				t.Errorf("view %d: %v", p.Version, p.Servers)
			}
		}
	}
	checkPasts(t, f, other)
}

// A generation counts no further than a stamp can carry.
func TestVersionsBeginAgainBeforeTheyAreTooHigh(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	d, conn := mustNew(t, o), rawConn(t, o)
	if _, _, err := d.Config(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := newConfig(0, fleet.Config{}, 0)
	wraps := uint32(fence.MaxVersion - 3)
	config.Base = -wraps
	if _, err := conn.Set(o.Path+"/config", config.encode(), -1); err != nil {
		t.Fatal(err)
	}
	follows := []*follow{startFollow(t, o), startFollow(t, o)}
	for _, f := range follows {
		if m := f.expect("[]"); m.Version != fence.MaxVersion-3 || m.Generation != config.Generation {
			t.Fatalf("view %d of %d", m.Version, m.Generation)
		}
	}
	a := announcer(t, o, "10.0.0.1:11211", 0)
	a.announce(t)
	for range 5 {
		swap(t, d, "10.0.0.1:11211")
		time.Sleep(time.Millisecond) // so that not all is one change to the followers
	}
	for _, f := range follows {
		f.awaitGeneration(config.Generation)
	}
	swap(t, d, "10.0.0.1:11211")
	for _, f := range follows {
		cluster.Eventually(t, 15*time.Second, "one view for all", func() error {
			if m := f.last(); m.Version != follows[0].last().Version || m.Version > 20 || m.Version < 2 {
				return fmt.Errorf("it is %d", m.Version)
			}
			return nil
		})
		f.expect("[10.0.0.1:11211]")
		for _, m := range f.reports {
			if m.Version > fence.MaxVersion {
				t.Errorf("version %d is reported", m.Version)
			}
		}
	}
	checkPasts(t, follows...)
	if version, _, err := d.List(t.Context()); err != nil || version != follows[0].last().Version {
		t.Errorf("List has version %d, %v; Follow %d", version, err, follows[0].last().Version)
	}
}

func TestDoneIsFollowed(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	d := mustNew(t, o)
	swap(t, d, "10.0.0.1:11211")
	swap(t, d, "10.0.0.1:11211")
	f := startFollow(t, o)
	m := f.awaitVersion(4)
	expect := func(want uint64) {
		t.Helper()
		cluster.Eventually(t, 10*time.Second, fmt.Sprintf("%d done", want), func() error {
			if got := f.last(); got.Done != want || got.Version != m.Version || !samePast(got, m) {
				return fmt.Errorf("%+v", got)
			}
			return nil
		})
	}
	set := func(generation, version uint64) {
		t.Helper()
		if err := d.SetDone(t.Context(), generation, version); err != nil {
			t.Fatal(err)
		}
	}
	expect(0)
	set(m.Generation+1, 3)
	set(m.Generation, 2)
	expect(2)
	var wg sync.WaitGroup
	for v := range uint64(5) {
		wg.Go(func() {
			if err := mustNew(t, o).SetDone(t.Context(), m.Generation, v); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	expect(4)
	set(m.Generation, 3)
	set(m.Generation+1, 9)
	if _, after, _ := mustNew(t, o).Config(t.Context()); after != m.Generation {
		t.Error("another generation")
	}
	if late := startFollow(t, o).awaitVersion(4); late.Done != 4 {
		t.Errorf("%d done, for a client that comes later", late.Done)
	}
	expect(4)
}

func TestViewsNeedTheRightToWrite(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	d, conn := mustNew(t, o), rawConn(t, o)
	swap(t, d, "10.0.0.1:11211")
	f := startFollow(t, o)
	f.awaitVersion(2)
	mayWrite := func(perms int32) {
		t.Helper()
		if _, err := conn.SetACL(o.Path+"/views", zk.WorldACL(perms|zk.PermAdmin), -1); err != nil {
			t.Fatal(err)
		}
	}
	mayWrite(zk.PermRead)
	swap(t, d, "10.0.0.1:11211")
	err := mustNew(t, o).Follow(t.Context(), func(m fleet.Membership) { t.Errorf("view %d is reported, and not recorded", m.Version) })
	if err == nil || !strings.Contains(err.Error(), "access rules") || !strings.Contains(err.Error(), "recording view 4") {
		t.Errorf("without the right to write: %v", err)
	}
	f.expect("[lost]")
	mayWrite(zk.PermAll)
	f.expect("[]")
	f.awaitVersion(4)
	checkPasts(t, f)
}

// Without stamps nobody asks about the past, and clients write nothing.
func TestNoViewsWithoutStamps(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	o.Config = fleet.Config{Stamps: fleet.StampsOff}
	d := mustNew(t, o)
	swap(t, d, "10.0.0.1:11211")
	f := startFollow(t, o)
	f.awaitVersion(2)
	swap(t, d, "10.0.0.1:11211")
	m := f.awaitVersion(4)
	if m.Config != o.Config.WithDefaults() || len(m.Past) > 0 {
		t.Errorf("%+v", m)
	}
	if exists, _, err := rawConn(t, o).Exists(o.Path + "/views"); exists || err != nil {
		t.Errorf("views are written: %v, %v", exists, err)
	}
	if err := d.SetDone(t.Context(), m.Generation, 4); err != nil {
		t.Fatal(err)
	}
	cluster.Eventually(t, 10*time.Second, "4 done", func() error {
		if got := f.last().Done; got != 4 {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
	for asked, says := range map[fleet.Config]string{
		{Stamps: fleet.StampsOn}:   "stamp=off, not on",
		{Rejoin: fleet.RejoinDrop}: "stamp=off, with which",
	} {
		o.Config = asked
		if _, _, err := mustNew(t, o).Config(t.Context()); !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("asking for %+v: %v", asked, err)
		}
	}
}

// A fleet that an older torc began goes on without stamps.
func TestConfigOfAnOlderTorc(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	d, conn := mustNew(t, o), rawConn(t, o)
	if err := d.Drain(t.Context(), "a:1"); err != nil { // makes the way
		t.Fatal(err)
	}
	if _, err := conn.Create(o.Path+"/config", []byte(`{"generation":1024,"hash":"ketama","vnodes":40,"copies":1}`), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if m := startFollow(t, o).expect("[]"); m.Config != (fleet.Config{}).WithDefaults() || m.Generation != 1024 {
		t.Errorf("%+v", m)
	}
}

func TestNewGeneration(t *testing.T) {
	t.Parallel()
	var before uint64
	for range 5000 {
		g := newGeneration(before)
		if g == 0 || g >= 1<<53 || fence.GenerationMark(g) == 0 || fence.GenerationMark(g) == fence.GenerationMark(before) || !fence.NewStamp(g, 1).Of(g) || fence.NewStamp(g, 1).Of(before) {
			t.Fatalf("generation %d after %d", g, before)
		}
		before = g
	}
}

func TestVersionOfAConfig(t *testing.T) {
	t.Parallel()
	for _, cversion := range []int32{0, 1, fence.MaxVersion, fence.MaxVersion + 1, 1<<31 - 1, -1 << 31, -1} {
		c := newConfig(0, fleet.Config{}, cversion)
		first, fits := c.version(cversion)
		second, fitsToo := c.version(cversion + 1)
		if !fits || !fitsToo && first != fence.MaxVersion || second != first+1 {
			t.Errorf("a generation that begins at cversion %d has the versions %d and %d", cversion, first, second)
		}
		if _, fits := c.version(cversion - 2); c.Base > 0 && fits {
			t.Errorf("cversion %d is before base %d, and fits", cversion-2, c.Base)
		}
	}
	if versions := parseViewNames([]string{viewName(fence.MaxVersion)}); !slices.Equal(versions, []uint64{fence.MaxVersion}) {
		t.Errorf("%v", versions)
	}
}
