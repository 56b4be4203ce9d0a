package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/internal/cluster"
)

func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f := startFollow(t, o)
	empty := f.expect("[]")
	a := announcer(t, o, "10.0.0.1:11211", 0)
	a.announce(t)
	first := f.expect("[10.0.0.1:11211]")
	if first.Version <= empty.Version || first.Generation != empty.Generation {
		t.Errorf("version %d.%d after %d.%d", first.Generation, first.Version, empty.Generation, empty.Version)
	}
	b := announcer(t, o, "10.0.0.2:11211", 600)
	b.announce(t)
	f.expect("[10.0.0.1:11211 10.0.0.2:11211*600]")
	a.withdraw(t)
	f.expect("[10.0.0.2:11211*600]")
	a.announce(t)
	again := f.expect("[10.0.0.1:11211 10.0.0.2:11211*600]")
	if again.Servers[0].Incarnation == first.Servers[0].Incarnation {
		t.Errorf("incarnation %q twice, with an absence between", again.Servers[0].Incarnation)
	}
	b.Close()
	f.expect("[10.0.0.1:11211]")

	version, children, err := f.d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if version != f.last().Version || len(children) != 1 || children[0].Weight != 1 || !children[0].Counts ||
		children[0].Session != a.awaitConnected(t).Session || time.Since(children[0].Created).Abs() > time.Minute {
		t.Errorf("version %d, children %+v", version, children)
	}
}

func TestEveryClientCallsTheSameMembersByTheSameVersion(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	follows := []*follow{startFollow(t, o), startFollow(t, o), startFollow(t, o)}
	var wg sync.WaitGroup
	for i := range 5 {
		a := announcer(t, o, fmt.Sprintf("10.0.0.%d:11211", i), 0)
		wg.Go(func() {
			for range 10 {
				a.announce(t)
				a.withdraw(t)
			}
			a.announce(t)
		})
	}
	wg.Wait()
	seen := make(map[uint64]string)
	for _, f := range follows {
		f.expect("[10.0.0.0:11211 10.0.0.1:11211 10.0.0.2:11211 10.0.0.3:11211 10.0.0.4:11211]")
		for _, m := range f.reports {
			members := fmt.Sprint(m.Servers)
			if other, ok := seen[m.Version]; ok && other != members {
				t.Errorf("version %d is %s and %s", m.Version, other, members)
			}
			seen[m.Version] = members
		}
	}
	// 5 announcers of 10 rounds: one creation and one deletion each, and one
	// creation at the end.
	if v := follows[0].last().Version; v != 5*(10*2+1) {
		t.Errorf("version %d after 105 changes", v)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	d := mustNew(t, o)
	if err := d.Drain(t.Context(), "10.0.0.1:11211"); err != nil { // in a fleet that isn't there yet
		t.Fatal(err)
	}
	f := startFollow(t, o)
	f.expect("[]")
	a := announcer(t, o, "10.0.0.1:11211", 0)
	a.announce(t)
	f.expect("[10.0.0.1:11211 (drained)]")
	for range 2 {
		if err := d.Undrain(t.Context(), "10.0.0.1:11211"); err != nil {
			t.Fatal(err)
		}
	}
	undrained := f.expect("[10.0.0.1:11211]")
	for range 2 {
		if err := d.Drain(t.Context(), "10.0.0.1:11211"); err != nil {
			t.Fatal(err)
		}
	}
	drained := f.expect("[10.0.0.1:11211 (drained)]")
	if drained.Version <= undrained.Version {
		t.Errorf("draining took version %d to %d", undrained.Version, drained.Version)
	}
	for _, f := range []func(context.Context, string) error{d.Drain, d.Undrain} {
		if err := f(t.Context(), "10.0.0.1"); !errors.Is(err, torc.ErrInvalid) {
			t.Errorf("an address without a port: %v", err)
		}
	}
}

func TestStrangeChildren(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f := startFollow(t, o)
	f.expect("[]")
	conn := rawConn(t, o)
	for name, data := range map[string]string{
		"lock": "", "10.0.0.9:11211": "", "drain-": "", "a b-0000000001": "",
		"10.0.0.3:11211-0000000007": "not json",
		"10.0.0.4:11211-0000000007": `{"weight":0}`,
		"10.0.0.5:11211-0000000001": `{"weight":5}`,
		"10.0.0.5:11211-0000000010": `{"weight":7,"rack":"x"}`,
		"10.0.0.6:11211-0000000001": "",
	} {
		if _, err := conn.Create(o.Path+"/members/"+name, []byte(data), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	f.expect("[10.0.0.5:11211*7 10.0.0.6:11211]")
}

func TestConfigIsWrittenOnce(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	var wg sync.WaitGroup
	generations := make([]uint64, 8)
	for i := range generations {
		wg.Go(func() {
			config, generation, err := mustNew(t, o).Config(t.Context())
			if err != nil {
				t.Error(err)
			}
			if want := (fleet.Config{Stamps: fleet.StampsOn}).WithDefaults(); config != want {
				t.Errorf("config %+v, want %+v", config, want)
			}
			generations[i] = generation
		})
	}
	wg.Wait()
	for _, g := range generations {
		if g == 0 || g != generations[0] {
			t.Fatalf("generations %v, want the same for all", generations)
		}
	}
	o.Config = fleet.Config{Hash: "murmur3", Copies: 1}
	_, _, err := mustNew(t, o).Config(t.Context())
	if !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), "hash=ketama, not murmur3") {
		t.Errorf("asking for murmur3: %v", err)
	}
	err = mustNew(t, o).Follow(t.Context(), func(fleet.Membership) { t.Error("a membership under another config") })
	if !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("following with murmur3: %v", err)
	}
	if _, err := torc.Open(t.Context(), "zk://"+o.Hosts[0]+o.Path+"?hash=murmur3"); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("opening with murmur3: %v", err)
	}
}

func TestConfigAsAsked(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	o.Config = fleet.Config{Hash: "murmur3", VNodes: 80}
	if _, _, err := mustNew(t, o).Config(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Config = fleet.Config{}
	m := startFollow(t, o).expect("[]")
	if want := (fleet.Config{Hash: "murmur3", VNodes: 80, Stamps: fleet.StampsOn}).WithDefaults(); m.Config != want {
		t.Errorf("config %+v, want %+v", m.Config, want)
	}
}

func TestConfigThatIsNone(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "hello", "{}", `{"generation":"x"}`} {
		o := sharedZooKeeper(t)
		conn := rawConn(t, o)
		d := mustNew(t, o)
		if err := d.Drain(t.Context(), "a:1"); err != nil { // makes the way
			t.Fatal(err)
		}
		if _, err := conn.Create(o.Path+"/config", []byte(data), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		err := d.Follow(t.Context(), func(fleet.Membership) { t.Error("a membership without a config") })
		if err == nil || !strings.Contains(err.Error(), o.Path+"/config") || !strings.Contains(err.Error(), "no fleet's config") {
			t.Errorf("config %q: %v", data, err)
		}
	}
}

func TestListOfNoFleet(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	if _, children, err := mustNew(t, o).List(t.Context()); err != nil || children != nil {
		t.Errorf("%v, %v", children, err)
	}
	if exists, _, err := rawConn(t, o).Exists(o.Path); exists || err != nil {
		t.Errorf("to list made %s: %v, %v", o.Path, exists, err)
	}
}

func TestDirectoryDeletedUnderItsFollowers(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f := startFollow(t, o)
	f.expect("[]")
	a := announcer(t, o, "10.0.0.1:11211", 0)
	a.announce(t)
	before := f.expect("[10.0.0.1:11211]")
	conn := rawConn(t, o)
	deleteAll(t, conn, o.Path+"/config")
	deleteAll(t, conn, o.Path+"/members")
	f.expect("[lost 10.0.0.1:11211]")
	a.announce(t)
	after := f.expect("[10.0.0.1:11211]")
	if after.Generation == before.Generation {
		t.Error("the same generation after all was deleted")
	}
	if after.Servers[0].Incarnation == before.Servers[0].Incarnation {
		t.Error("the same incarnation after all was deleted")
	}
}

// The members' own znode is made anew with versions from 0.
func TestMembersDeletedUnderTheirFollowers(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f := startFollow(t, o)
	f.expect("[]")
	a := announcer(t, o, "10.0.0.1:11211", 0)
	for range 5 {
		a.announce(t)
		a.withdraw(t)
	}
	a.announce(t)
	f.expect("[10.0.0.1:11211]")
	deleteAll(t, rawConn(t, o), o.Path+"/members")
	f.expect("[]") // once it is clear that nobody announces himself again
	a.announce(t)
	announcer(t, o, "10.0.0.2:11211", 0).announce(t)
	f.expect("[10.0.0.1:11211 10.0.0.2:11211]")
}

// What goes wrong with the directory under a client that follows it does not end
// the following: the members are held, and all is well when it is mended.
func TestDirectorySpoiltUnderItsFollowers(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"no config":          "hello",
		"another placement":  `{"generation":7,"hash":"jump","vnodes":40,"copies":1}`,
		"of another program": `{"a":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := sharedZooKeeper(t)
			o.Config = fleet.Config{Hash: "ketama"}
			f := startFollow(t, o)
			f.expect("[]")
			announcer(t, o, "10.0.0.1:11211", 0).announce(t)
			f.expect("[10.0.0.1:11211]")
			conn := rawConn(t, o)
			good, _, err := conn.Get(o.Path + "/config")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Set(o.Path+"/config", []byte(config), -1); err != nil {
				t.Fatal(err)
			}
			f.expect("[lost 10.0.0.1:11211]")
			announcer(t, o, "10.0.0.2:11211", 0).announce(t)
			if _, err := conn.Set(o.Path+"/config", good, -1); err != nil {
				t.Fatal(err)
			}
			f.expect("[10.0.0.1:11211 10.0.0.2:11211]")
		})
	}
}

// A member that clients may not read is passed over, and an access rule that
// comes over the directory is waited out.
func TestAccessRules(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f := startFollow(t, o)
	f.expect("[]")
	conn := rawConn(t, o)
	closed := zk.DigestACL(zk.PermAll, "somebody", "else")
	if _, err := conn.Create(o.Path+"/members/10.0.0.9:11211-0000000007", nil, 0, closed); err != nil {
		t.Fatal(err)
	}
	announcer(t, o, "10.0.0.1:11211", 0).announce(t)
	f.expect("[10.0.0.1:11211]")

	readable := append(zk.DigestACL(zk.PermAdmin, "somebody", "else"), zk.WorldACL(zk.PermAdmin)...)
	if _, err := conn.SetACL(o.Path+"/config", readable, -1); err != nil {
		t.Fatal(err)
	}
	err := mustNew(t, o).Follow(t.Context(), func(fleet.Membership) {})
	if err == nil || !strings.Contains(err.Error(), "access rules") || !strings.Contains(err.Error(), o.Path) {
		t.Errorf("following what may not be read: %v", err)
	}
	if _, err := conn.SetACL(o.Path+"/config", zk.WorldACL(zk.PermAll), -1); err != nil {
		t.Fatal(err)
	}
	announcer(t, o, "10.0.0.2:11211", 0).announce(t)
	f.expect("[10.0.0.1:11211 10.0.0.2:11211]")
}

// TestMembersOfThePast is what a ZooKeeper set back to an older state looks like:
// the same generation, with a lower version.
func TestMembersOfThePast(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	follows := []*follow{startFollow(t, o), startFollow(t, o)}
	a := announcer(t, o, "10.0.0.1:11211", 0)
	for range 5 {
		a.announce(t)
		a.withdraw(t)
	}
	a.announce(t)
	before := follows[0].expect("[10.0.0.1:11211]")
	follows[1].expect("[10.0.0.1:11211]")
	deleteAll(t, rawConn(t, o), o.Path+"/members")
	a.announce(t)
	for _, f := range follows {
		cluster.Eventually(t, 10*time.Second, "a new generation", func() error {
			if f.last().Generation == before.Generation {
				return errors.New("the old one")
			}
			return nil
		})
		f.expect("[10.0.0.1:11211]")
	}
	if a, b := follows[0].last().Generation, follows[1].last().Generation; a != b {
		t.Errorf("generations %d and %d, want one", a, b)
	}
}

// TestZooKeeperAwayAndBack restarts ZooKeeper with its data. Sessions outlive
// that, unless it takes longer to start than they last: then everybody has to be
// announced again, and the client waits for that.
func TestZooKeeperAwayAndBack(t *testing.T) {
	t.Parallel()
	for _, session := range []time.Duration{longSession, 400 * time.Millisecond} {
		z, o := ownZooKeeper(t)
		o.SessionTimeout = session
		a := announcer(t, o, "10.0.0.1:11211", 0)
		name := a.announce(t)
		o.SessionTimeout = longSession
		f := startFollow(t, o)
		before := f.expect("[10.0.0.1:11211]")
		if err := z.Kill(); err != nil {
			t.Fatal(err)
		}
		f.expect("[lost 10.0.0.1:11211]")
		if c, _ := a.Contact(); c.Connected {
			t.Error("the announcer believes itself connected")
		}
		if _, err := a.Look(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("Look without a connection: %v", err)
		}
		if err := z.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		again := a.announce(t)
		after := f.expect("[10.0.0.1:11211]")
		t.Logf("session %v: in contact %v after ZooKeeper was back, announced anew: %v", session, time.Since(back), again != name)
		if after.Generation != before.Generation || again == name && after.Version != before.Version {
			t.Errorf("view %d.%d became %d.%d", before.Generation, before.Version, after.Generation, after.Version)
		}
		// The list may be empty once a ZooKeeper that is back has ended the session
		// under the client's eyes; not because nobody is announced yet.
		seen := true
		for _, m := range f.reports {
			switch {
			case !m.LostContact.IsZero():
				seen = false
			case len(m.Servers) > 0:
				seen = true
			case m.Version >= before.Version && !seen:
				t.Error("the client took an empty list for the truth")
			}
		}
	}
}

func TestZooKeeperLosesItsData(t *testing.T) {
	t.Parallel()
	z, o := ownZooKeeper(t)
	var announcers []*Announcer
	for _, addr := range []string{"10.0.0.1:11211", "10.0.0.2:11211", "10.0.0.3:11211"} {
		a := announcer(t, o, addr, 0)
		a.announce(t)
		announcers = append(announcers, a)
	}
	asked := o
	asked.Config = fleet.Config{Hash: "murmur3"}
	f := startFollow(t, asked)
	before := f.expect("[10.0.0.1:11211 10.0.0.2:11211 10.0.0.3:11211]")
	plain := startFollow(t, o) // asked nothing, and found murmur3
	plain.expect("[10.0.0.1:11211 10.0.0.2:11211 10.0.0.3:11211]")
	sessions := []int64{announcers[0].awaitConnected(t).Session, announcers[1].awaitConnected(t).Session}
	if err := z.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := z.WipeData(); err != nil {
		t.Fatal(err)
	}
	if err := z.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for i, a := range announcers[:2] {
		cluster.Eventually(t, 10*time.Second, "another session", func() error {
			if c, _ := a.Contact(); !c.Connected || c.Session == sessions[i] {
				return fmt.Errorf("%+v", c)
			}
			return nil
		})
		a.announce(t)
	}
	for _, f := range []*follow{f, plain} {
		after := f.expect("[10.0.0.1:11211 10.0.0.2:11211]")
		t.Logf("over to the new generation without the third %v after ZooKeeper was back", time.Since(back))
		if after.Generation == before.Generation {
			t.Error("the old generation")
		}
		for _, p := range after.Past {
			t.Errorf("view %d, which nobody went by, is in the past: %v", p.Version, p.Servers)
		}
		if after.Config != before.Config {
			t.Errorf("config %+v became %+v", before.Config, after.Config)
		}
		for _, m := range f.reports {
			if len(m.Servers) < 2 {
				t.Errorf("reported %s: part of the fleet, just because it had not spoken yet", describe(m))
			}
		}
	}
	if a, b := f.last().Generation, plain.last().Generation; a != b {
		t.Errorf("generations %d and %d, want one", a, b)
	}
}

func TestOwnLinkCut(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	o.SessionTimeout = 2 * time.Second
	l, cut := linked(t, o)
	f := startFollow(t, cut)
	a := announcer(t, o, "10.0.0.1:11211", 0)
	a.announce(t)
	f.expect("[10.0.0.1:11211]")
	l.Cut()
	f.expect("[lost 10.0.0.1:11211]")
	b := announcer(t, o, "10.0.0.2:11211", 0)
	b.announce(t)
	time.Sleep(3 * time.Second) // longer than the session
	l.Heal()
	f.expect("[10.0.0.1:11211 10.0.0.2:11211]")
}

func TestConnectionsBreakAllTheTime(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	l, frail := linked(t, o)
	f := startFollow(t, frail)
	a := announcer(t, o, "10.0.0.1:11211", 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(7 * time.Millisecond):
				l.Break()
			}
		}
	})
	for range 30 {
		a.announce(t)
		a.withdraw(t)
	}
	a.announce(t)
	close(stop)
	wg.Wait()
	f.expect("[10.0.0.1:11211]")
}

// TestUnreachable opens tables in what is no ZooKeeper, or none that answers.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					defer c.Close()
					serve(c)
				})
			}
		})
		t.Cleanup(func() {
			l.Close()
			wg.Wait()
		})
		return l.Addr().String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuses := closed.Addr().String()
	closed.Close()
	for name, test := range map[string]struct{ addr, says string }{
		"refused":            {refuses, "connection refused"},
		"silent":             {listen(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), "said nothing for 1s"},
		"hangs up":           {listen(func(net.Conn) {}), "it took the connection, and then"},
		"another protocol":   {listen(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), ""},
		"no such host":       {"no-such-host.invalid:2181", "no-such-host.invalid"},
		"length beyond ours": {listen(func(c net.Conn) { _, _ = c.Write([]byte("\xff\xff\xff\xff\x00\x00\x00\x00")) }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Hosts: []string{test.addr}, ConnectTimeout: 2500 * time.Millisecond}
			began := time.Now()
			_, _, err := mustNew(t, o).Config(t.Context())
			if !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(err.Error(), test.addr) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that names %s and says %q", err, test.addr, test.says)
			}
			t.Logf("after %v: %v", time.Since(began), err)
		})
	}
	t.Run("the caller's patience counts", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := torc.Open(ctx, "zk://"+refuses)
		if !errors.Is(err, torc.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
