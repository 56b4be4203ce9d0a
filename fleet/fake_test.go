package fleet

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeDirectory reports what a test tells it to, and remembers its views.
type fakeDirectory struct {
	config Config
	views  chan Membership
	fail   chan error
	mu     struct {
		sync.Mutex
		version uint64
		done    uint64
		past    []Past
	}
}

func newFakeDirectory() *fakeDirectory {
	return &fakeDirectory{views: make(chan Membership), fail: make(chan error)}
}

func (d *fakeDirectory) Follow(ctx context.Context, report func(Membership)) error {
	for {
		select {
		case m := <-d.views:
			report(m)
		case err := <-d.fail:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// set makes the servers at addrs the members, all of weight 1, in their first
// stay, and in use. It returns when the directory has taken that in.
func (d *fakeDirectory) set(addrs ...string) {
	var servers []Server
	for _, a := range addrs {
		servers = append(servers, Server{Addr: a})
	}
	d.setServers(servers...)
}

// setServers makes servers the members. Their weight is 1 and their incarnation
// "1" unless they say otherwise.
func (d *fakeDirectory) setServers(servers ...Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.version++
	m := Membership{
		Generation: 1,
		Version:    d.mu.version,
		Config:     d.config.WithDefaults(),
		Servers:    slices.Clone(servers),
		Done:       d.mu.done,
	}
	for i := range m.Servers {
		m.Servers[i].Weight = cmp.Or(m.Servers[i].Weight, 1)
		m.Servers[i].Incarnation = cmp.Or(m.Servers[i].Incarnation, "1")
	}
	slices.SortFunc(m.Servers, func(a, b Server) int { return cmp.Compare(a.Addr, b.Addr) })
	if m.Config.Stamps == StampsOn {
		m.Past = slices.Clone(d.mu.past)
		d.mu.past = append(d.mu.past, Past{Version: m.Version, Recorded: time.Now(), Servers: m.Servers})
	}
	d.views <- m
}

// newTestTable returns a table over a fake directory that begins with addrs.
func newTestTable(t *testing.T, opts Options, addrs ...string) (*Table, *fakeDirectory) {
	t.Helper()
	d := newFakeDirectory()
	d.config = opts.Config
	go d.set(addrs...)
	table, err := New(t.Context(), d, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table, d
}

// waitVersion waits until the table goes by the view of the given version.
func waitVersion(t testing.TB, table *Table, version uint64) {
	t.Helper()
	for v, err := range table.Members(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if v.Version >= version {
			return
		}
	}
	t.Fatalf("the view %d never came", version)
}

// listen returns a listener on a free port of loopback, closed at the test's end.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// afterGreeting is serve for a server that answers a client's greeting first.
func afterGreeting(serve func(c net.Conn, line string) bool) func(net.Conn, string) bool {
	return func(c net.Conn, line string) bool {
		switch line {
		case "version":
			_, err := io.WriteString(c, "VERSION 1.6.18\r\n")
			return err == nil
		case "mn":
			_, err := io.WriteString(c, "MN\r\n")
			return err == nil
		}
		return serve(c, line)
	}
}

// opaqueOf is the mark that a meta command carries, and its answer has to.
func opaqueOf(line string) string {
	for _, f := range strings.Fields(line) {
		if f[0] == 'O' {
			return f
		}
	}
	return ""
}

// refusing returns an address that refuses connections.
func refusing(t *testing.T) string {
	l := listen(t)
	l.Close()
	return l.Addr().String()
}

// answering serves connections with serve, which gets each line that comes, and
// answers by writing to the connection; it returns false to end the connection.
func answering(t *testing.T, serve func(c net.Conn, line string) bool) string {
	l := listen(t)
	var wg sync.WaitGroup
	conns := make(map[net.Conn]bool)
	var mu sync.Mutex
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if err != nil || !serve(c, strings.TrimRight(line, "\r\n")) {
						return
					}
					if f := strings.Fields(line); len(f) > 2 && f[0] == "ms" {
						n, _ := strconv.Atoi(f[2])
						if _, err := r.Discard(n + 2); err != nil {
							return
						}
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}
