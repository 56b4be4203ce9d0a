package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/internal/cluster"
)

func TestTakeOver(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f := startFollow(t, o)
	f.expect("[]")
	first := announcer(t, o, "10.0.0.1:11211", 2)
	old := first.announce(t)
	f.expect("[10.0.0.1:11211*2]")

	second := announcer(t, o, "10.0.0.1:11211", 3)
	s, err := second.Look(t.Context())
	if err != nil || s.Own != "" || s.Other != old {
		t.Fatalf("%+v, %v; want the other's %s", s, err, old)
	}
	name, err := second.Announce(t.Context(), s.Other, false)
	if err != nil {
		t.Fatal(err)
	}
	f.expect("[10.0.0.1:11211*3]")
	if s, err = second.Look(t.Context()); err != nil || s.Own != name || s.Other != old {
		t.Errorf("%+v, %v; want our own %s beside %s", s, err, name, old)
	}
	first.withdraw(t)
	select {
	case <-s.Disturbed:
		t.Error("our own was disturbed when the other went")
	default:
	}
	version := f.last().Version
	cluster.Eventually(t, 5*time.Second, "the next version", func() error {
		if f.last().Version == version {
			return errors.New("none yet")
		}
		return nil
	})
	for _, m := range f.reports[1:] {
		if len(m.Servers) != 1 {
			t.Errorf("version %d has %s: it was never out", m.Version, describe(m))
		}
	}

	// The other one is gone by the time we take over from it.
	third := announcer(t, o, "10.0.0.1:11211", 0)
	if _, err := third.Announce(t.Context(), old, false); !errors.Is(err, ErrGone) {
		t.Errorf("over one that is gone: %v", err)
	}
	if s, err := third.Look(t.Context()); err != nil || s.Own != "" || s.Other != name {
		t.Errorf("%+v, %v; want nothing of our own", s, err)
	}
}

// An announcement that clients pass over keeps no server in the fleet: there is
// nothing to take over.
func TestNothingToTakeOverFromGarbage(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	a := announcer(t, o, "10.0.0.1:11211", 0)
	if _, err := a.Look(t.Context()); err != nil { // makes the place
		t.Fatal(err)
	}
	conn := rawConn(t, o)
	for i, data := range []string{`{"weight":1}`, "garbage"} {
		name := fmt.Sprintf("10.0.0.1:11211-000000000%d", i)
		if _, err := conn.Create(o.Path+"/members/"+name, []byte(data), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"garbage": ""}
		if data != "garbage" {
			want[data] = name
		}
		if s, err := a.Look(t.Context()); err != nil || s.Other != want[data] {
			t.Errorf("with the newest %s: %+v, %v; want %q to take over", data, s, err, want[data])
		}
	}
}

func TestZnodeDeletedBySomebody(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	a := announcer(t, o, "10.0.0.1:11211", 0)
	name := a.announce(t)
	s, err := a.Look(t.Context())
	if err != nil || s.Own != name {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := rawConn(t, o).Delete(o.Path+"/members/"+name, -1); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Disturbed:
	case <-time.After(5 * time.Second):
		t.Fatal("nobody noticed")
	}
	if s, err := a.Look(t.Context()); err != nil || s.Own != "" {
		t.Errorf("%+v, %v; want none", s, err)
	}
}

// TestAnswerLost loses the answer to an announcement: the next Look finds what
// came of it, over the same session, and nothing is announced twice.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	l, frail := linked(t, o)
	a := announcer(t, frail, "10.0.0.1:11211", 0)
	if _, err := a.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	session := a.awaitConnected(t).Session
	l.CutAnswers()
	_, err := a.Announce(t.Context(), "", false)
	if !errors.Is(err, ErrLost) {
		t.Fatalf("an announcement whose answer is lost: %v", err)
	}
	l.Heal()
	c := a.awaitConnected(t)
	s, err := a.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Session == session && s.Own == "" {
		t.Errorf("%+v; want the znode that was made", s)
	}
	_, children, err := mustNew(t, o).List(t.Context())
	if err != nil || len(children) != 1 {
		t.Errorf("%d children, %v; want the one", len(children), err)
	}
}

// TestSessionExpires cuts the link for longer than the session lasts.
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	f := startFollow(t, o)
	l, frail := linked(t, o)
	frail.SessionTimeout = 2 * time.Second
	a := announcer(t, frail, "10.0.0.1:11211", 0)
	a.announce(t)
	f.expect("[10.0.0.1:11211]")
	session := a.awaitConnected(t).Session
	l.Cut()
	cut := time.Now()
	f.expect("[]")
	t.Logf("out %v after the link was cut", time.Since(cut))
	l.Heal()
	healed := time.Now()
	cluster.Eventually(t, 10*time.Second, "another session", func() error {
		if c, _ := a.Contact(); !c.Connected || c.Session == session {
			return errors.New("not yet")
		}
		return nil
	})
	t.Logf("a new session %v after the link was whole", time.Since(healed))
	if s, err := a.Look(t.Context()); err != nil || s.Own != "" || s.Other != "" {
		t.Errorf("%+v, %v; want nothing", s, err)
	}
	a.announce(t)
	f.expect("[10.0.0.1:11211]")
}

func TestGranted(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	for asked, granted := range map[time.Duration]time.Duration{
		2 * time.Second:        2 * time.Second,
		100 * time.Millisecond: 400 * time.Millisecond, // two ticks
		time.Minute:            4 * time.Second,        // twenty
	} {
		o.SessionTimeout = asked
		a := announcer(t, o, "10.0.0.1:11211", 0)
		if c := a.awaitConnected(t); c.Granted != granted {
			t.Errorf("asked for %v: granted %v, want %v", asked, c.Granted, granted)
		}
	}
}

func TestAnnouncerArguments(t *testing.T) {
	t.Parallel()
	o := Options{Hosts: []string{"127.0.0.1:2181"}}
	for _, addr := range []string{"", "10.0.0.1", "10.0.0.1:0", "a/b:1"} {
		if _, err := NewAnnouncer(o, addr, 1); !errors.Is(err, torc.ErrInvalid) {
			t.Errorf("address %q: %v", addr, err)
		}
	}
	if _, err := NewAnnouncer(o, "10.0.0.1:11211", 1_000_001); !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), "weight") {
		t.Errorf("weight: %v", err)
	}
	if _, err := NewAnnouncer(Options{}, "10.0.0.1:11211", 1); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("no ZooKeeper: %v", err)
	}
}

func TestAnnouncerCloseWithoutZooKeeper(t *testing.T) {
	t.Parallel()
	a, err := NewAnnouncer(Options{Hosts: []string{"127.0.0.1:1"}}, "10.0.0.1:11211", 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := a.client.await(ctx); err == nil {
		t.Error("connected to nothing")
	}
	a.Close() // returns
	a.Close()
}

// An announcement that goes by the stamps stands and falls with the config in
// which they are.
func TestAnnounceByStamps(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	a := announcer(t, o, "10.0.0.1:11211", 0)
	look := func() (s Standing) {
		t.Helper()
		a.insist(t, func() (err error) {
			s, err = a.Look(t.Context())
			return err
		})
		return s
	}
	if s := look(); s.Stamped || s.Reconfigured != nil {
		t.Errorf("%+v without a config", s)
	}
	if _, err := a.Announce(t.Context(), "", true); !errors.Is(err, ErrGone) {
		t.Errorf("announced by stamps without a config: %v", err)
	}
	d := mustNew(t, o)
	if _, _, err := d.Config(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := look()
	if !s.Stamped || s.Reconfigured == nil {
		t.Fatalf("%+v", s)
	}
	if again := look(); again.Reconfigured != s.Reconfigured {
		t.Error("another watch on the config at each look")
	}
	conn := rawConn(t, o)
	off := newConfig(0, fleet.Config{Stamps: fleet.StampsOff}, 0)
	if _, err := conn.Set(o.Path+"/config", off.encode(), -1); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Announce(t.Context(), "", true); !errors.Is(err, ErrGone) {
		t.Errorf("announced by stamps that are gone: %v", err)
	}
	select {
	case <-s.Reconfigured:
	case <-time.After(10 * time.Second):
		t.Fatal("the watch on the config does not fire")
	}
	if s := look(); s.Stamped || s.Own != "" {
		t.Errorf("%+v with stamps off", s)
	}
	if _, err := conn.Set(o.Path+"/config", []byte("hello"), -1); err != nil {
		t.Fatal(err)
	}
	if s := look(); s.Stamped {
		t.Errorf("%+v with a config that is none", s)
	}
	on := newConfig(0, fleet.Config{}, 0)
	if _, err := conn.Set(o.Path+"/config", on.encode(), -1); err != nil {
		t.Fatal(err)
	}
	a.insist(t, func() error {
		if _, err := a.Look(t.Context()); err != nil {
			return err
		}
		_, err := a.Announce(t.Context(), "", true)
		return err
	})
	if s := look(); !s.Stamped || s.Own == "" {
		t.Errorf("%+v", s)
	}
}
