package shard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/shard"
)

// settleWithin is how long a table may take until everything is where it shall
// be: many times what it takes on an idle machine.
const settleWithin = 60 * time.Second

// bulk is how many keys lie in a table, so that moves take their time, and how
// long their values are.
const (
	bulk     = 20000
	bulkSize = 1000
)

// lab is a master and servers as processes, and a client of their table.
type lab struct {
	t       *testing.T
	cluster *cluster.Cluster
	master  *member
	servers []*member // that are to be in the table
	admin   *shard.Admin
	client  *shard.Table
	hosts   int // servers there ever were
}

// member is a process and where it listens.
type member struct {
	*cluster.Proc
	addr string
}

// start runs a master, servers and a client, and fills the table.
func start(t *testing.T, o cluster.Options, servers int, masterFlags ...string) *lab {
	t.Helper()
	l := &lab{t: t, cluster: cluster.ForTest(t, o)}
	host := l.cluster.Host("m")
	addr := host.Addr(1025)
	l.master = l.run(host, addr, append([]string{"master"}, masterFlags...)...)
	_, err := l.master.WaitLine(l.within(settleWithin), time.Time{}, cluster.Containing("listens on"))
	l.must(err)
	l.admin = &shard.Admin{Masters: []string{addr}, Dialer: dialer(l.cluster.Host("c1"))}
	var joining sync.WaitGroup
	for range servers {
		s := l.server()
		joining.Go(func() { l.joined(s, time.Time{}) })
	}
	joining.Wait()
	l.settled()
	l.client = l.open("c1", shard.TableOptions{})
	l.fill()
	l.settled() // so many writes may have been too much for a copy on a busy machine
	return l
}

// run starts torc shard with these arguments, and where to listen.
func (l *lab) run(host *cluster.Host, addr string, args ...string) *member {
	l.t.Helper()
	ip, port, err := net.SplitHostPort(addr)
	l.must(err)
	p, err := host.Start(l.t.Context(), cluster.Spec{
		Path: filepath.Join(bin, "torc"), Args: slices.Concat([]string{"shard", args[0], "--host", ip, "-p", port}, args[1:]),
	})
	l.must(err)
	return &member{Proc: p, addr: addr}
}

// server starts one more server, on a host of its own.
func (l *lab) server() *member {
	l.t.Helper()
	l.hosts++
	host := l.cluster.Host("s" + strconv.Itoa(l.hosts))
	s := l.run(host, host.Addr(1026), "server", "--master", l.master.addr)
	l.servers = append(l.servers, s)
	return s
}

// joined waits until the server has said, since then, that it has its share.
func (l *lab) joined(s *member, since time.Time) {
	l.t.Helper()
	_, err := s.WaitLine(l.within(settleWithin), since, func(line string) bool { return line == "joined" })
	if err != nil {
		l.t.Error(err)
	}
}

// without takes a server out of those that are to be in the table.
func (l *lab) without(s *member) {
	l.servers = slices.DeleteFunc(l.servers, func(other *member) bool { return other == s })
}

// dialer makes a host's connections.
func dialer(h *cluster.Host) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) { return h.Dial(ctx, "tcp", addr) }
}

// open opens the table from a host.
func (l *lab) open(host string, o shard.TableOptions) *shard.Table {
	l.t.Helper()
	o.Dialer = dialer(l.cluster.Host(host))
	table, err := shard.New(l.within(settleWithin), []string{l.master.addr}, o)
	l.must(err)
	l.t.Cleanup(func() { _ = table.Close() }) // returns nil
	return table
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

// await waits until the table's status is one for which lacks returns "".
func (l *lab) await(what string, lacks func(*shard.Status) string) {
	l.t.Helper()
	ctx := l.within(settleWithin)
	why := "no status"
	for ctx.Err() == nil {
		for st, err := range l.admin.Status(ctx, 50*time.Millisecond) {
			if err != nil {
				if ctx.Err() == nil {
					why = err.Error()
				}
				break
			}
			if why = lacks(&st); why == "" {
				return
			}
		}
		select { // no master: again
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	l.t.Fatalf("%s: not within %v: %s", what, settleWithin, why)
}

// settled waits until the table has all of the servers, and no others, and each
// its share: no two differ by more than one slot.
func (l *lab) settled() {
	l.t.Helper()
	l.await("settled", func(st *shard.Status) string {
		var primaries, backups []int
		for _, s := range st.Servers {
			if s.State != shard.ServerUp || !slices.ContainsFunc(l.servers, func(m *member) bool { return m.addr == s.Addr }) {
				return fmt.Sprintf("%s is %s", s.Addr, s.State)
			}
			primaries = append(primaries, s.Primaries)
			backups = append(backups, s.Backups)
		}
		switch {
		case len(st.Servers) != len(l.servers):
			return fmt.Sprintf("%d servers, not %d", len(st.Servers), len(l.servers))
		case !st.Settled, len(st.Moves) > 0:
			return fmt.Sprintf("not settled: %d moves, %+v", len(st.Moves), st.Servers)
		case len(st.Failed) > 0, st.Held > 0, st.Single > 0 && len(l.servers) > 1:
			return fmt.Sprintf("slots failed: %v, held: %d, with one copy: %d", st.Failed, st.Held, st.Single)
		case slices.Max(primaries)-slices.Min(primaries) > 1, slices.Max(backups)-slices.Min(backups) > 1:
			return fmt.Sprintf("out of balance: %v primaries, %v backups", primaries, backups)
		}
		return ""
	})
}

// moving waits until s is being filled, or has been.
func (l *lab) moving(s *member) {
	l.t.Helper()
	l.await(s.addr+" to be filled", func(st *shard.Status) string {
		for _, of := range st.Servers {
			if of.Addr == s.addr && (of.Filling > 0 || of.Backups > 0) {
				return ""
			}
		}
		return "it isn't"
	})
}

func bulkKey(i int) string { return "bulk-" + strconv.Itoa(i) }

func bulkValue(i int) []byte {
	return fmt.Appendf(make([]byte, 0, bulkSize), "%0*d", bulkSize, i)
}

// fill puts the bulk into the table.
func (l *lab) fill() {
	l.t.Helper()
	l.each(bulk, func(i int) error {
		return l.client.Put(l.t.Context(), bulkKey(i), bulkValue(i))
	})
}

// whole says that each key of the bulk is readable.
func (l *lab) whole() {
	l.t.Helper()
	l.each(bulk, func(i int) error {
		e, err := l.client.Get(l.t.Context(), bulkKey(i))
		if err == nil && string(e.Value) != string(bulkValue(i)) {
			err = errors.New("another value")
		}
		return err
	})
}

// each calls fn for 0 to n-1, several at a time, and fails the test at the first
// error.
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

// keysOf returns keys that the server is primary of.
func (l *lab) keysOf(s *member, n int) []string {
	l.t.Helper()
	var keys []string
	for i := 0; len(keys) < n; i++ {
		if i == 100000 {
			l.t.Fatalf("no %d keys are on %s", n, s.addr)
		}
		key := "probe-" + strconv.Itoa(i)
		p, err := l.client.Locate(l.t.Context(), key)
		l.must(err)
		if len(p.Owners) > 0 && p.Owners[0].Addr == s.addr {
			keys = append(keys, key)
		}
	}
	return keys
}

// servedAgain waits until each key has been written and read, and says how long
// that took since then.
func (l *lab) servedAgain(keys []string, since time.Time) time.Duration {
	l.t.Helper()
	ctx := l.within(settleWithin)
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
