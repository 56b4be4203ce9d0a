package watchdog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/fleet/zookeeper"
)

// TestCore plays sequences. A step is what happens and the action that it leads
// to. What happens is said of the server (up, down), of ZooKeeper (session N,
// disconnect, expire, disturbed), of the action under way: ok, with what stands
// then for a look (own=x other=y) or the znode's name for an announcement; lost,
// gone or refused; and woken.
func TestCore(t *testing.T) {
	t.Parallel()
	type step struct{ happens, action string }
	begin := []step{{"session 1", "look"}, {"ok", ""}}
	announced := []step{
		{"session 1", "look"}, {"ok", ""}, {"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x1", "look"}, {"ok own=x1", ""},
	}
	tests := []struct {
		name    string
		noFlush bool
		begin   []step
		steps   []step
		events  string // of all kinds that were reported
	}{
		{"the server is up first", false, nil, []step{
			{"up", ""}, {"session 1", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x1", "look"}, {"ok own=x1", ""},
		}, "up session flushed announced"},
		{"ZooKeeper is there first", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x1", "look"}, {"ok own=x1", ""},
		}, "session up flushed announced"},
		{"down and up", false, announced, []step{
			{"down", "withdraw x1"}, {"ok", "look"}, {"ok", ""},
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x2", "look"}, {"ok own=x2", ""},
		}, "session up flushed announced down withdrawn up flushed announced"},
		{"no flush when told so", true, begin, []step{
			{"up", "look"}, {"ok", "announce"}, {"ok x1", "look"}, {"ok own=x1", ""},
		}, "session up announced"},
		{"a killed watchdog's announcement still stands", false, begin, []step{
			{"up", "look"}, {"ok other=x0", "announce x0"}, {"ok x1", "look"}, {"ok own=x1 other=x0", ""},
		}, "session up announced"},
		{"it goes before it is taken over", false, begin, []step{
			{"up", "look"}, {"ok other=x0", "announce x0"}, {"gone", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x1", "look"}, {"ok own=x1", ""},
		}, "session up flushed announced"},
		{"it goes, and another comes", false, begin, []step{
			{"up", "look"}, {"ok other=x0", "announce x0"}, {"gone", "look"}, {"ok other=x2", "announce x2"},
		}, "session up"},
		{"the session expires", false, announced, []step{
			{"disconnect", ""}, {"expire", ""}, {"session 2", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x2", "look"}, {"ok own=x2", ""},
		}, "session up flushed announced expired session flushed announced"},
		{"the session expires, and its announcement is seen for a moment still", false, announced, []step{
			{"disconnect", ""}, {"session 2", "look"}, {"ok other=x1", "announce x1"}, {"gone", "look"}, {"ok", "flush"},
		}, "session up flushed announced expired session"},
		{"the connection breaks and comes back", false, announced, []step{
			{"disconnect", ""}, {"session 1", "look"}, {"ok own=x1", ""},
		}, "session up flushed announced"},
		{"the connection breaks and comes back unseen, and nothing is watched over the new one", false, announced, []step{
			{"reconnected 1", "look"}, {"ok own=x1", ""},
		}, "session up flushed announced"},
		{"somebody deletes the announcement while the connection is broken", false, announced, []step{
			{"disconnect", ""}, {"session 1", "look"}, {"ok", "flush"},
		}, "session up flushed announced vanished"},
		{"somebody deletes the announcement", false, announced, []step{
			{"disturbed", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x2", "look"}, {"ok own=x2", ""},
		}, "session up flushed announced vanished flushed announced"},
		{"somebody only touches it", false, announced, []step{
			{"disturbed", "look"}, {"ok own=x1", ""},
		}, "session up flushed announced"},
		{"the answer to the announcement is lost, and it stands", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"disconnect", ""}, {"lost", ""},
			{"session 1", "look"}, {"ok own=x1", ""},
		}, "session up flushed announced"},
		{"the answer to the announcement is lost, and it does not stand", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"disconnect", ""}, {"lost", ""},
			{"session 1", "look"}, {"ok", "flush"}, {"ok", "announce"},
		}, "session up flushed flushed"},
		{"the answer to the announcement is lost, with a connection that is back before we hear of it", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"lost", "look"}, {"ok", "flush"},
		}, "session up flushed"},
		{"the answer to the announcement is lost with its session", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"session 2", ""}, {"ok x1", "look"}, {"ok", "flush"},
		}, "session up flushed expired session"},
		{"the connection breaks during the flush", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"disconnect", ""}, {"ok", ""}, {"session 1", "look"}, {"ok", "flush"}, {"ok", "announce"},
		}, "session up flushed flushed"},
		{"down during the flush", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"down", ""}, {"ok", "look"}, {"ok", ""},
			{"up", "look"}, {"ok", "flush"},
		}, "session up down flushed up"},
		{"down during the announcement", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"down", ""}, {"ok x1", "withdraw x1"}, {"ok", "look"}, {"ok", ""},
		}, "session up flushed down announced withdrawn"},
		{"down, up and down during the announcement, its answer lost", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"down", ""}, {"up", ""}, {"down", ""}, {"lost", "look"}, {"ok own=x1", "withdraw x1"},
		}, "session up flushed down up down announced"},
		{"down while ZooKeeper is away", false, announced, []step{
			{"disconnect", ""}, {"down", ""}, {"session 1", "withdraw x1"},
		}, "session up flushed announced down"},
		{"down and up while ZooKeeper is away: what it held may be gone", false, announced, []step{
			{"disconnect", ""}, {"down", ""}, {"up", ""}, {"session 1", "withdraw x1"}, {"ok", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x2", "look"}, {"ok own=x2", ""},
		}, "session up flushed announced down up withdrawn flushed announced"},
		{"down and up while ZooKeeper is away, and the session expires", false, announced, []step{
			{"disconnect", ""}, {"down", ""}, {"up", ""}, {"session 2", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x2", "look"}, {"ok own=x2", ""},
		}, "session up flushed announced down up expired session flushed announced"},
		{"down and up during the announcement", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"down", ""}, {"up", ""}, {"ok x1", "withdraw x1"}, {"ok", "look"}, {"ok", "flush"},
		}, "session up flushed down up announced withdrawn"},
		{"down and up during the announcement, its answer lost", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"down", ""}, {"up", ""}, {"lost", "look"}, {"ok own=x1", "withdraw x1"},
		}, "session up flushed down up announced"},
		{"with stamps nothing is flushed", false, begin, []step{
			{"up", "look"}, {"ok stamped", "announce stamped"}, {"ok x1", "look"}, {"ok own=x1 stamped", ""},
			{"down", "withdraw x1"}, {"ok", "look"}, {"ok stamped", ""}, {"up", "look"}, {"ok stamped", "announce stamped"},
		}, "session up announced down withdrawn up"},
		{"with stamps, taking over", false, begin, []step{
			{"up", "look"}, {"ok other=x0 stamped", "announce x0"}, {"ok x1", "look"}, {"ok own=x1 stamped", ""},
		}, "session up announced"},
		{"the stamps go before the announcement", false, begin, []step{
			{"up", "look"}, {"ok stamped", "announce stamped"}, {"gone", "look"}, {"ok", "flush"}, {"ok", "announce"},
		}, "session up flushed"},
		{"the stamps go after it: it may hold stale values", false, begin, []step{
			{"up", "look"}, {"ok stamped", "announce stamped"}, {"ok x1", "look"}, {"ok own=x1 stamped", ""},
			{"disturbed", "look"}, {"ok own=x1", "withdraw x1"}, {"ok", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"ok x2", "look"}, {"ok own=x2", ""},
		}, "session up announced withdrawn flushed announced"},
		{"the stamps go, and the answer to the announcement is lost", false, begin, []step{
			{"up", "look"}, {"ok stamped", "announce stamped"}, {"lost", "look"}, {"ok own=x1", "withdraw x1"},
		}, "session up announced"},
		{"the stamps go, when it was told not to flush", true, begin, []step{
			{"up", "look"}, {"ok stamped", "announce"}, {"ok x1", "look"}, {"ok own=x1 stamped", ""}, {"disturbed", "look"}, {"ok own=x1", ""},
		}, "session up announced"},
		{"stamps come", false, announced, []step{
			{"disturbed", "look"}, {"ok own=x1 stamped", ""}, {"disturbed", "look"}, {"ok own=x1", ""},
		}, "session up flushed announced"},
		{"the answer to the withdrawal is lost, and it went", false, announced, []step{
			{"down", "withdraw x1"}, {"disconnect", ""}, {"lost", ""}, {"session 1", "withdraw x1"}, {"ok", "look"}, {"ok", ""},
		}, "session up flushed announced down withdrawn"},
		{"up again during the withdrawal", false, announced, []step{
			{"down", "withdraw x1"}, {"up", ""}, {"ok", "look"}, {"ok", "flush"},
		}, "session up flushed announced down up withdrawn"},
		{"the flush fails", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"refused", ""}, {"woken", "flush"}, {"ok", "announce"},
		}, "session up flush-failed flushed"},
		{"ZooKeeper refuses", false, begin, []step{
			{"up", "look"}, {"ok", "flush"}, {"ok", "announce"}, {"refused", ""}, {"woken", "look"}, {"ok", "flush"},
		}, "session up flushed failed"},
		{"ZooKeeper refuses for long, which is said once", false, begin, []step{
			{"up", "look"}, {"ok other=x0", "announce x0"}, {"refused", ""}, {"woken", "look"}, {"ok other=x0", "announce x0"}, {"refused", ""},
		}, "session up failed"},
		{"ZooKeeper is away for long", false, announced, []step{
			{"disconnect", ""}, {"silence", ""}, {"silence", ""}, {"session 1", "look"}, {"silence", ""},
		}, "session up flushed announced lost-contact back-in-contact"},
		{"ZooKeeper isn't there at all", false, nil, []step{
			{"up", ""}, {"silence", ""}, {"session 1", "look"},
		}, "up lost-contact session"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := core{noFlush: test.noFlush}
			var doing action
			var kinds []string
			for i, s := range append(test.begin, test.steps...) {
				happen(t, &c, doing, s.happens)
				got := ""
				if a := c.next(); a.verb != nothing {
					doing = a
					got = strings.TrimSpace(a.verb.String() + " " + a.znode)
					if a.stamped {
						got += " stamped"
					}
				}
				for _, e := range c.take() {
					kinds = append(kinds, string(e.Kind))
				}
				if got != s.action {
					t.Fatalf("step %d, %q: action %q, want %q", i, s.happens, got, s.action)
				}
			}
			if got := strings.Join(kinds, " "); got != test.events {
				t.Errorf("reported %s\n    want %s", got, test.events)
			}
		})
	}
}

func happen(t *testing.T, c *core, doing action, what string) {
	t.Helper()
	verb, rest, _ := strings.Cut(what, " ")
	switch verb {
	case "up":
		c.probed(true, nil)
	case "down":
		c.probed(false, errors.New("connection refused"))
	case "session":
		at := zookeeper.Contact{Connected: true}
		if _, err := fmt.Sscan(rest, &at.Session); err != nil {
			t.Fatal(err)
		}
		c.contact(at)
		c.contact(at)
	case "reconnected":
		c.contact(zookeeper.Contact{Session: c.session, Connected: true, Since: c.since.Add(1)})
	case "disconnect":
		c.contact(zookeeper.Contact{Session: c.session})
	case "expire":
		c.contact(zookeeper.Contact{})
	case "disturbed":
		c.disturbed()
	case "woken":
		c.woken()
	case "silence":
		c.outOfTouch("refused")
	case "ok":
		var s zookeeper.Standing
		for _, word := range strings.Fields(rest) {
			if own, ok := strings.CutPrefix(word, "own="); ok {
				s.Own = own
			}
			if other, ok := strings.CutPrefix(word, "other="); ok {
				s.Other = other
			}
			s.Stamped = s.Stamped || word == "stamped"
		}
		if c.done(doing, s, rest, nil) {
			t.Fatal("a pause after success")
		}
	case "lost":
		c.done(doing, zookeeper.Standing{}, "", zookeeper.ErrLost)
	case "gone":
		c.done(doing, zookeeper.Standing{}, "", zookeeper.ErrGone)
	case "refused":
		if !c.done(doing, zookeeper.Standing{}, "", errors.New("refused")) {
			t.Fatal("no pause after a failure")
		}
	default:
		t.Fatalf("what is %q?", what)
	}
}

// That a look or a flush goes well in between does not end the row of failures.
func TestPausesGrow(t *testing.T) {
	t.Parallel()
	var c core
	var doing action
	var pauses []time.Duration
	for _, what := range []string{"session 1", "up", "ok", "refused", "woken", "refused", "woken", "ok", "refused", "woken", "ok", "ok", "ok x1", "disturbed", "refused"} {
		happen(t, &c, doing, what)
		if what == "refused" {
			pauses = append(pauses, backoff(c.failures)/minPause)
		}
		if a := c.next(); a.verb != nothing {
			doing = a
		}
	}
	if want := []time.Duration{1, 2, 4, 1}; !slices.Equal(pauses, want) {
		t.Errorf("pauses of %v times minPause, want %v", pauses, want)
	}
}

// world is a memcached and a ZooKeeper for a core to act on. Anything may happen
// to either at any time, and any answer may be lost.
type world struct {
	rnd *rand.Rand

	session   int64 // 0 while expired, until the next
	sessions  int64
	connected bool
	up        bool
	znodes    map[string]int64 // name to session; negative ones are others'
	created   int
	stamped   bool           // the fleet's values are
	falls     int            // how often the core was told that the server is down
	begun     int            // falls when the action under way began
	fell      map[string]int // for each znode: falls when its announcement began

	deaf  bool // something happened to the announcement while nobody could be told
	clean bool // nothing that the server holds is older than its last absence
	torn  bool // somebody else came and went between flush and announcement

	doing   action
	flushes int
}

func (w *world) remove(name string) {
	delete(w.znodes, name)
	if len(w.znodes) == 0 {
		w.clean = false // from here on others take its keys
	}
}

func (w *world) create(session int64) string {
	w.created++
	name := fmt.Sprintf("x%d", w.created)
	w.znodes[name], w.fell[name] = session, w.begun
	return name
}

// carryOut does what the core wants, and returns the answer.
func (w *world) carryOut(t *testing.T) (s zookeeper.Standing, name string, err error) {
	a := w.doing
	if a.verb == flush {
		if !w.up {
			return s, "", errors.New("connection refused")
		}
		w.flushes++
		if len(w.znodes) == 0 {
			w.torn = false
		}
		w.clean = true
		return s, "", nil
	}
	lostBefore, lostAfter := !w.connected || w.rnd.IntN(10) == 0, w.rnd.IntN(10) == 0
	if lostBefore {
		return s, "", zookeeper.ErrLost
	}
	switch a.verb {
	case look:
		for i := range w.created + 1 {
			n := fmt.Sprintf("x%d", i)
			switch session, ok := w.znodes[n]; {
			case !ok:
			case session == w.session:
				s.Own = n
			default:
				s.Other = n
			}
		}
		s.Stamped = w.stamped
	case announce:
		if a.stamped && !w.stamped {
			return s, "", zookeeper.ErrGone
		}
		if _, stands := w.znodes[a.znode]; a.znode != "" && !stands {
			return s, "", zookeeper.ErrGone
		}
		if len(w.znodes) == 0 && !w.clean && !w.torn && !w.stamped {
			t.Error("announced with stale values")
		}
		name = w.create(w.session)
	case withdraw:
		for n, session := range w.znodes {
			if session == w.session {
				w.remove(n)
			}
		}
	}
	if lostAfter {
		return zookeeper.Standing{}, "", zookeeper.ErrLost
	}
	return s, name, nil
}

// TestCoreAtRandom checks, whatever happens in whatever order: nothing is
// announced that is down or holds stale values, unless they are stamped; nothing
// in use is flushed; and when things come to rest, what stands in ZooKeeper is
// the truth, and was announced after the server was last down.
func TestCoreAtRandom(t *testing.T) {
	t.Parallel()
	announcements, flushes, takeovers := 0, 0, 0
	for seed := range uint64(5000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var c core
		w := world{rnd: rnd, znodes: make(map[string]int64), fell: make(map[string]int), stamped: seed%3 == 0}
		flips := seed%3 == 1
		changed := func() { // somebody makes the config another one
			w.stamped = !w.stamped
			if w.connected {
				c.disturbed()
			} else {
				w.deaf = true
			}
		}
		paused := false
		tell := func() {
			c.contact(zookeeper.Contact{Session: w.session, Connected: w.connected})
		}
		ask := func() {
			a := c.next()
			if a.verb == nothing {
				return
			}
			w.doing, w.begun = a, w.falls
			switch {
			case a.verb == announce && !c.up:
				t.Fatalf("seed %d: announces what is down", seed)
			case a.verb == flush && c.own != "":
				t.Fatalf("seed %d: flushes what is announced", seed)
			}
		}
		answer := func() {
			if !c.busy {
				return
			}
			a := w.doing
			s, name, err := w.carryOut(t)
			if c.done(a, s, name, err) {
				paused = true
			}
			if err == nil && a.verb == announce {
				announcements++
				if a.znode != "" {
					takeovers++
				}
			}
		}
		for range 150 {
			switch rnd.IntN(12) {
			case 0:
				w.up = !w.up
				var reason error
				if !w.up {
					reason = errors.New("refused")
					w.falls++
				}
				c.probed(w.up, reason)
			case 1: // the connection breaks
				w.connected = false
				tell()
			case 2: // the session expires, known at once or with the next
				w.connected = false
				for n, session := range w.znodes {
					if session == w.session {
						w.remove(n)
					}
				}
				w.session = 0
				if rnd.IntN(2) == 0 {
					tell()
				}
			case 3, 4, 5: // a connection
				if w.session == 0 {
					w.sessions++
					w.session = w.sessions
				}
				w.connected = true
				if rnd.IntN(4) > 0 {
					tell()
				}
				if w.deaf { // package zk sets the watches again
					w.deaf = false
					c.disturbed()
				}
			case 6: // somebody deletes one
				for n, session := range w.znodes {
					w.remove(n)
					if session == w.session && w.connected {
						c.disturbed()
					} else if session == w.session {
						w.deaf = true
					}
					if session < 0 && (c.flushed || c.busy && (w.doing.verb == flush || w.doing.verb == announce)) {
						w.torn = true
					}
					break
				}
			case 7: // another watchdog
				if rnd.IntN(3) == 0 {
					if len(w.znodes) == 0 {
						w.clean = true // it has flushed
					}
					w.create(-1)
				}
			default:
				answer()
			}
			if flips && rnd.IntN(20) == 0 {
				changed()
			}
			if paused && rnd.IntN(3) == 0 {
				paused = false
				c.woken()
			}
			ask()
			flushes = max(flushes, w.flushes)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		// To rest: connected, and every answer comes.
		if w.session == 0 {
			w.sessions++
			w.session = w.sessions
		}
		w.connected = true
		tell()
		if w.deaf {
			c.disturbed()
		}
		for i := 0; ; i++ {
			if paused {
				paused = false
				c.woken()
			}
			ask()
			if !c.busy {
				break
			}
			answer()
			if i == 200 {
				t.Fatalf("seed %d: does not come to rest", seed)
			}
		}
		own := 0
		for n, session := range w.znodes {
			if session == w.session {
				own++
				if n != c.own {
					t.Fatalf("seed %d: %s stands, and the core believes in %q", seed, n, c.own)
				}
				if w.fell[n] != w.falls {
					t.Fatalf("seed %d: %s stands for a server that has been down since", seed, n)
				}
			}
		}
		if w.up && !w.stamped && !w.clean && !w.torn && len(w.znodes) == own {
			t.Fatalf("seed %d: stale values that carry no stamp", seed)
		}
		if w.stamped && !flips && w.flushes > 0 {
			t.Fatalf("seed %d: flushed in spite of the stamps", seed)
		}
		if want := map[bool]int{true: 1, false: 0}[w.up]; own != want {
			t.Fatalf("seed %d: up = %v, and %d announcements", seed, w.up, own)
		}
	}
	if announcements == 0 || flushes == 0 || takeovers == 0 {
		t.Errorf("%d announcements, %d flushes, %d takeovers: the test tests nothing", announcements, flushes, takeovers)
	}
}
