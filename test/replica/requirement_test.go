package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/cluster"
)

// TestRequirement has each of four servers asked as the requirement says it: what
// one was told, all the others know.
func TestRequirement(t *testing.T) {
	l := start(t, cluster.Options{}, 4)
	old := "NIL"
	for i, s := range l.servers {
		value := fmt.Sprint("bar", i)
		for _, ask := range []struct{ request, body string }{
			{"GET foo=" + value + " HTTP/1.1\r\n\r\n", "foo=" + old},
			{"GET foo HTTP/1.1\r\n\r\n", "foo=" + value},
			{"GET nothing HTTP/1.1\r\n\r\n", "nothing=NIL"},
		} {
			want := regexp.MustCompile(fmt.Sprintf(`^HTTP/1\.0 200 OK\r\nServer: [^\r]+\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n(Connection: close\r\n)?\r\n%s$`,
				len(ask.body), regexp.QuoteMeta(ask.body)))
			if got := l.say(s, ask.request); !want.MatchString(got) {
				t.Errorf("%s was sent %q and answered\n%q, which is not\n%s", s.addr, ask.request, got, want)
			}
		}
		for _, other := range l.servers {
			answer, err := l.http.Get("http://" + other.addr + "/foo")
			l.must(err)
			body, err := io.ReadAll(answer.Body)
			l.must(err)
			_ = answer.Body.Close()
			if string(body) != "foo="+value || answer.Header.Get("Content-Type") != "text/plain" {
				t.Errorf("%s was told, and %s says %q, %v", s.addr, other.addr, body, answer.Header)
			}
		}
		old = value
	}
}

// say sends a server some bytes and returns all that it sends until it closes the
// connection.
func (l *lab) say(s *server, request string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	c, err := l.dial(ctx, s.addr)
	l.must(err)
	defer func() { _ = c.Close() }()
	l.must(c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, request)
	l.must(err)
	b, err := io.ReadAll(c)
	l.must(err)
	return string(b)
}

// TestHeavyLoad has each of four servers asked by 64 clients that make no pause, one
// server after another, as the requirement's own test does, and judges what all of
// them got.
func TestHeavyLoad(t *testing.T) {
	const clients, lasts = 64, 2 * time.Second
	l := start(t, cluster.Options{}, 4)
	for i, s := range l.servers {
		d := newLoad(t, l.clients.Dial, l.addrs())
		for range clients {
			d.plain(newPlain(l.clients.Dial, []string{s.addr}, 0), 0)
		}
		for home := range l.servers { // what it was told is to be seen everywhere
			d.plain(newPlain(l.clients.Dial, l.addrs(), home), 2*time.Millisecond)
		}
		<-time.After(lasts) // the load itself
		h := d.finish()
		n := count(h, 0, d.now())
		t.Logf("server %d of 4: %v in %v", i+1, n, lasts)
		if n.failed > 0 || n.labelled > 0 || n.requests < clients {
			t.Errorf("server %d of 4, asked by %d clients: %v", i+1, clients, n)
		}
		check.Verify(t, h, check.Register)
	}
}

// kv runs kv in a folder, and returns what it printed on standard output and its
// exit code.
func kv(t *testing.T, dir string, args ...string) (stdout string, code int) {
	t.Helper()
	return call(t, dir, "kv", args...)
}

// call runs one of the programs.
func call(t *testing.T, dir, program string, args ...string) (stdout string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir()) // kv remembers who answered
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestKV calls kv as the requirement calls it, with a host that is dead among those
// that it is given.
func TestKV(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	dead := freeAddr(t)
	hosts := strings.Join([]string{dead, l.servers[1].addr, l.servers[2].addr}, ",")
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-h", hosts, "foo"}, "foo=NIL\n"},
		{[]string{"-h", hosts, "foo", "bar"}, "foo=NIL\n"},
		{[]string{"-h", hosts, "foo"}, "foo=bar\n"},
		{[]string{"-h", hosts, "foo=baz"}, "foo=bar\n"},
		{[]string{"-h", hosts, "foo"}, "foo=baz\n"},
		{[]string{"-h", l.servers[0].addr, "foo"}, "foo=baz\n"},
		{[]string{"-h", hosts, "--value", "foo"}, "baz\n"},
		{[]string{"-h", hosts, "--value", "nothing"}, "NULL\n"},
	} {
		began := time.Now()
		if got, _ := kv(t, dir, c.args...); got != c.want {
			t.Errorf("kv %q printed %q, want %q", c.args, got, c.want)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("kv %q took %v: a refused connection is no reason to wait", c.args, took)
		}
	}

	// Without -h it reads servers.txt, which is in the folder of each server.
	l.must(os.WriteFile(filepath.Join(dir, "servers.txt"), []byte(strings.Join(l.addrs(), "\n")), 0o644))
	if got, code := kv(t, dir, "foo"); got != "foo=baz\n" || code != 0 {
		t.Errorf("kv foo beside servers.txt printed %q and exited with %d", got, code)
	}
	if got, code := kv(t, dir, "-h", dead, "foo"); !regexp.MustCompile(`^ERROR: .+\n$`).MatchString(got) || code != 1 {
		t.Errorf("kv with nobody to ask printed %q and exited with %d", got, code)
	}
}

// freeAddr is an address at which nobody listens at this moment.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
