package zookeeper

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/fleet"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// servers reads "a b@2": a in its first stay, and b in its second.
func servers(addrs string) []fleet.Server {
	var s []fleet.Server
	for _, a := range strings.Fields(addrs) {
		addr, stay, _ := strings.Cut(a, "@")
		s = append(s, fleet.Server{Addr: addr, Weight: 1, Incarnation: stay})
	}
	return s
}

// TestFollower reads each step as: at this time this happened, and then this is
// reported (nothing, if empty) as generation.version: servers, with a ! and the
// time at which contact was lost.
func TestFollower(t *testing.T) {
	t.Parallel()
	type step struct {
		at     string // since the start
		what   string // "read generation.version servers", "lose", "regain", "tick"
		report string
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"each change is reported once", []step{
			{"0s", "read 1.3 a b", "1.3: a b"},
			{"1s", "read 1.3 a b", ""},
			{"2s", "read 1.4 a b c", "1.4: a b c"},
			{"3s", "read 1.6 a b c", "1.6: a b c"},
		}},
		{"within a generation it never goes back", []step{
			{"0s", "read 1.3 a b", "1.3: a b"},
			{"1s", "read 1.2 a", "behind"},
			{"2s", "read 1.3 a", "behind"},
			{"3s", "read 2.1 a b", "2.1: a b"},
		}},
		{"a broken connection is spoken of when it lasts", []step{
			{"0s", "read 1.3 a b", "1.3: a b"},
			{"1s", "lose", ""},
			{"1.4s", "tick", ""},
			{"1.5s", "tick", "1.3: a b !1s"},
			{"9s", "tick", ""},
			{"10s", "regain", "1.3: a b"},
		}},
		{"a short one never is", []step{
			{"0s", "read 1.3 a b", "1.3: a b"},
			{"1s", "lose", ""},
			{"1.3s", "regain", ""},
			{"9s", "tick", ""},
		}},
		{"a new session that finds another view", []step{
			{"0s", "read 1.3 a b", "1.3: a b"},
			{"1s", "lose", ""},
			{"2s", "tick", "1.3: a b !1s"},
			{"5s", "read 1.4 a", "1.4: a !1s"},
			{"5s", "regain", "1.4: a"},
		}},
		{"data lost: the old members stay until all are back", []step{
			{"0s", "read 1.9 a b c", "1.9: a b c"},
			{"1s", "lose", ""},
			{"2s", "tick", "1.9: a b c !1s"},
			{"31s", "read 2.0", ""},
			{"31s", "regain", ""},
			{"31.2s", "read 2.1 b", ""},
			{"31.3s", "read 2.2 a b", ""},
			{"31.4s", "read 2.3 a b c", "2.3: a b c"},
		}},
		{"data lost: a new server does not stand for an old one", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "read 2.2 a d", "1.9: a b !1s"},
			{"1.5s", "read 2.3 a b d", "2.3: a b d"},
		}},
		{"data lost: who isn't back when the grace is over is out", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "read 2.1 a", "1.9: a b !1s"},
			{"3.9s", "tick", ""},
			{"4s", "tick", "2.1: a"},
		}},
		{"data lost: no grace runs while ZooKeeper is away again", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "read 2.1 a", "1.9: a b !1s"},
			{"2s", "lose", ""},
			{"20s", "tick", ""},
			{"21s", "regain", ""},
			{"23.9s", "tick", ""},
			{"23.95s", "read 2.2 a b", "2.2: a b"},
		}},
		{"data lost twice: the grace begins again", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "read 2.1 a", "1.9: a b !1s"},
			{"3s", "read 3.1 b", ""},
			{"4.5s", "tick", ""},
			{"6s", "tick", "3.1: b"},
		}},
		{"data lost in the middle of it", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "read 2.5 a", "1.9: a b !1s"},
			{"2s", "read 2.4 a", "behind"},
		}},
		{"all sessions expired while ZooKeeper was away: as if its data were lost", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "lose", ""},
			{"9s", "read 1.11", "1.9: a b !1s"},
			{"9s", "regain", ""},
			{"9.2s", "read 1.12 b@2", ""},
			{"9.3s", "read 1.13 a@2 b@2", "1.13: a b"},
		}},
		{"all sessions expired, and one server does not come back", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "lose", ""},
			{"9s", "read 1.11 c", "1.9: a b !1s"},
			{"9s", "regain", ""},
			{"9.2s", "read 1.12 b@2 c", ""},
			{"11.9s", "tick", ""},
			{"12s", "tick", "1.12: b c"},
			{"13s", "read 1.13 c", "1.13: c"},
		}},
		{"all sessions expired, and the data is lost as well", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "lose", ""},
			{"9s", "read 1.11 a@2", "1.9: a b !1s"},
			{"10s", "read 2.1 a@3", ""},
			{"10s", "regain", ""},
			{"12.9s", "tick", ""},
			{"13s", "tick", "2.1: a"},
		}},
		{"all have gone, but ZooKeeper was there all the time", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"9s", "read 1.11", "1.11:"},
		}},
		{"all sessions expired, and all are back already", []step{
			{"0s", "read 1.9 a b", "1.9: a b"},
			{"1s", "lose", ""},
			{"9s", "read 1.13 a@2 b@2", "1.9: a b !1s"},
			{"9s", "regain", "1.13: a b"},
		}},
		{"an empty fleet has nothing to wait for", []step{
			{"0s", "read 1.9", "1.9:"},
			{"1s", "read 2.1 a", "2.1: a"},
		}},
		{"an empty fleet that grew while contact was lost", []step{
			{"0s", "read 1.9", "1.9:"},
			{"1s", "lose", ""},
			{"9s", "read 1.10 a", "1.9: !1s"},
			{"9s", "regain", "1.10: a"},
		}},
		{"contact lost before anything is known", []step{
			{"0s", "lose", ""},
			{"5s", "tick", ""},
			{"6s", "read 1.1 a", "1.1: a !0s"},
			{"6s", "regain", "1.1: a"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := follower{grace: grace(2 * time.Second), patience: patience}
			for _, s := range test.steps {
				after, err := time.ParseDuration(s.at)
				if err != nil {
					t.Fatal(err)
				}
				now := start.Add(after)
				got := play(&f, s.what, now)
				if got != s.report {
					t.Errorf("at %s, %s: reported %q, want %q", s.at, s.what, got, s.report)
				}
			}
		})
	}
}

// record does what is due.
func record(f *follower, now time.Time) {
	if f.due(now) {
		r := *f.young
		r.recorded = true
		f.recorded(r)
	}
}

func play(f *follower, what string, now time.Time) string {
	verb, rest, _ := strings.Cut(what, " ")
	switch verb {
	case "read":
		var r reading
		version, addrs, _ := strings.Cut(rest, " ")
		if _, err := fmt.Sscanf(version, "%d.%d", &r.generation, &r.version); err != nil {
			panic(err)
		}
		r.servers = servers(addrs)
		if f.observe(r, now) == behind {
			return "behind"
		}
	case "lose":
		f.lose(now)
	case "regain":
		f.regain(now)
	}
	record(f, now)
	m, report, _ := f.current(now)
	if !report {
		return ""
	}
	line := fmt.Sprintf("%d.%d:", m.Generation, m.Version)
	for _, s := range m.Servers {
		line += " " + s.Addr
	}
	if !m.LostContact.IsZero() {
		line += " !" + m.LostContact.Sub(start).String()
	}
	return line
}

// Nobody writes under a view before it is recorded, and one that is only on its
// way to the next never is.
func TestFollowerWaitsForTheRecord(t *testing.T) {
	t.Parallel()
	f := follower{grace: 3 * time.Second, patience: patience}
	expect := func(now time.Time, due bool, version uint64) {
		t.Helper()
		if f.due(now) != due {
			t.Errorf("due = %v", !due)
		}
		if m, _, _ := f.current(now); m.Version != version {
			t.Errorf("version %d, want %d", m.Version, version)
		}
	}
	first := reading{generation: 1, version: 3, servers: servers("a b")}
	f.observe(first, start)
	expect(start, true, 0)
	first.recorded = true
	f.recorded(first)
	expect(start, false, 3)
	f.observe(reading{generation: 1, version: 4, servers: servers("b")}, start)
	expect(start, true, 3)
	second := reading{generation: 1, version: 5, servers: servers("a b")}
	f.observe(second, start)
	expect(start, true, 3)
	second.recorded = true
	f.recorded(second)
	expect(start, false, 5)
	f.observe(reading{generation: 2, version: 1, servers: servers("a")}, start)
	expect(start, false, 5)
	expect(start.Add(3*time.Second), true, 5)
}

// TestFollowerAtRandom lets a directory live, lose its data and be out of reach,
// and checks what any order of that must keep.
func TestFollowerAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		f := follower{grace: 3 * time.Second, patience: patience}
		now := start
		truth := reading{generation: 1}
		connected := true
		stay := 0
		var reported []fleet.Membership
		var youngSince time.Time
		for range 200 {
			now = now.Add(time.Duration(rnd.IntN(700)) * time.Millisecond)
			switch rnd.IntN(8) {
			case 0:
				connected = !connected
				if connected {
					f.observe(truth, now)
					f.regain(now)
					youngSince = now
				} else {
					f.lose(now)
				}
			case 1:
				if rnd.IntN(4) == 0 {
					truth = reading{generation: truth.generation + 1}
					youngSince = now
				}
			case 2, 3, 4:
				var up []string
				if rnd.IntN(4) == 0 {
					stay++
				}
				for _, a := range []string{"a", "b", "c", "d"} {
					if rnd.IntN(3) > 0 {
						up = append(up, fmt.Sprintf("%s@%d", a, stay))
					}
				}
				truth.version++
				truth.servers = servers(strings.Join(up, " "))
			}
			if connected && f.observe(truth, now) == behind {
				t.Fatalf("seed %d: behind, without going back", seed)
			}
			record(&f, now)
			m, report, again := f.current(now)
			if !again.IsZero() && !again.After(now) {
				t.Fatalf("seed %d: asks to be asked again at once", seed)
			}
			if _, twice, _ := f.current(now); twice {
				t.Fatalf("seed %d: reports the same twice", seed)
			}
			if report {
				reported = append(reported, m)
			}
			if connected && m.LostContact.IsZero() && (m.Generation != truth.generation || m.Version != truth.version) {
				t.Fatalf("seed %d: %+v passes for the present state %+v", seed, m, truth)
			}
			if connected && now.Sub(youngSince) > f.grace && (m.Generation != truth.generation || m.Version != truth.version) {
				t.Fatalf("seed %d: still in view %d.%d, %v after %d began or contact was regained", seed, m.Generation, m.Version, now.Sub(youngSince), truth.generation)
			}
		}
		if !slices.IsSortedFunc(reported, func(a, b fleet.Membership) int {
			if a.Generation != b.Generation {
				return int(a.Generation) - int(b.Generation)
			}
			return int(a.Version) - int(b.Version)
		}) {
			t.Fatalf("seed %d: the reports go back", seed)
		}
	}
}
