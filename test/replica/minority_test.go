package replica

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// TestTwoServers kills one of two: while the leader is left nothing is labelled; the
// other one goes on alone, labelled, until it is two again.
func TestTwoServers(t *testing.T) {
	l := start(t, cluster.Options{}, 2)
	for range times() {
		leader, others := l.leader()
		d := l.load()
		d.onlyCrashes = true
		follower := others[0]

		var steps []step
		begin := func(what string, reach time.Duration, labels bool) {
			steps = append(steps, step{what: "2 servers: " + what, reach: reach, labels: labels, at: d.now()})
		}
		begin("follower killed", noDowntime, false)
		l.must(follower.Kill())
		<-time.After(aftermath)
		begin("follower killed, and started again", noDowntime, false)
		l.must(restart(follower))
		l.settled(l.servers...)
		begin("leader killed", 300*time.Millisecond, true)
		l.must(leader.Kill())
		<-time.After(aftermath)
		if st, err := l.status(follower); err != nil || !st.Degraded {
			t.Errorf("one that followed is left of two, and says %+v, %v", st, err)
		}
		begin("leader killed, and started again", noDowntime, true)
		l.must(restart(leader))
		l.settled(l.servers...)
		seen.judged(t, d, steps...)
	}
}

// get asks a server for a key as anybody would.
func (l *lab) get(s *server, key string) (code int, body, label string) {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, "http://"+s.addr+"/"+key, nil)
	l.must(err)
	c := *l.http
	c.Timeout = patience
	answer, err := c.Do(r)
	l.must(err)
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	l.must(err)
	return answer.StatusCode, string(b), answer.Header.Get("X-Torc-Degraded")
}

// TestRefuse has servers told not to serve alone: the last one refuses until the
// others are back, and has kept everything.
func TestRefuse(t *testing.T) {
	l := start(t, cluster.Options{}, 3, "--on-minority", "refuse")
	l.get(l.servers[0], "foo=bar")
	l.together(l.servers[1:], kill)
	if code, body, _ := l.get(l.servers[0], "foo"); code != http.StatusServiceUnavailable {
		t.Errorf("the last one, told to refuse, answered %d, %q", code, body)
	}
	l.together(l.servers[1:], restart)
	l.settled(l.servers...)
	for _, s := range l.servers {
		if code, body, label := l.get(s, "foo"); code != http.StatusOK || body != "foo=bar" || label != "" {
			t.Errorf("back again, %s answers %d, %q, label %q", s.addr, code, body, label)
		}
	}
}

// TestForget has a person give up two of three servers: the last one's answers are
// no longer labelled, and the two may come back with nothing.
func TestForget(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	l.get(l.servers[0], "foo=bar")
	l.together(l.servers[1:], kill)
	l.joined(l.servers[0])
	if _, body, label := l.get(l.servers[0], "foo"); body != "foo=bar" || label == "" {
		t.Errorf("the last one answers %q, label %q", body, label)
	}
	for _, s := range l.servers[1:] {
		if out, code := call(t, t.TempDir(), "torc", "replica", "forget", "--yes", "--admin", l.servers[0].admin, s.addr); code != 0 {
			t.Fatalf("torc replica forget %s exited with %d and printed %q", s.addr, code, out)
		}
	}
	l.await("no label any more", func() error {
		if _, body, label := l.get(l.servers[0], "foo"); body != "foo=bar" || label != "" {
			return fmt.Errorf("it answers %q, label %q", body, label)
		}
		return nil
	})
	l.together(l.servers[1:], restart)
	l.settled(l.servers...)
	if _, body, label := l.get(l.servers[2], "foo"); body != "foo=bar" || label != "" {
		t.Errorf("one that has come back answers %q, label %q", body, label)
	}
}
