package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/replica"
)

// port is where each server listens, and adminPort where it tells of itself. Hosts may
// share one loopback interface, so both are on the host's own address.
const port, adminPort = 8081, 18081

// lab is kv-servers as processes, and a host for clients.
type lab struct {
	t       *testing.T
	cluster *cluster.Cluster
	servers []*server // by address
	up      []*server // that were one table when last waited for
	clients *cluster.Host
	http    *http.Client // from there
}

// server is a process and where it listens.
type server struct {
	*cluster.Proc
	addr, admin string
}

// start runs so many servers, and waits until they are one table.
func start(t *testing.T, o cluster.Options, n int, flags ...string) *lab {
	t.Helper()
	l := &lab{t: t, cluster: cluster.ForTest(t, o)}
	l.clients = l.cluster.Host("c")
	l.http = &http.Client{
		Timeout:   time.Second,
		Transport: &http.Transport{DialContext: l.clients.Dial, DisableKeepAlives: true},
	}
	var hosts []*cluster.Host
	var addrs []string
	for i := range n {
		hosts = append(hosts, l.cluster.Host("s"+strconv.Itoa(i+1)))
		addrs = append(addrs, hosts[i].Addr(port))
	}
	for i, addr := range addrs {
		dir := t.TempDir()
		// Each has itself first, so no two lists are the same.
		list := append([]string{addr}, slices.Concat(addrs[i+1:], addrs[:i])...)
		l.must(os.WriteFile(filepath.Join(dir, replica.ServersFile), []byte(strings.Join(list, "\n")+"\n"), 0o644))
		admin := hosts[i].Addr(adminPort)
		p, err := hosts[i].Start(t.Context(), cluster.Spec{
			Path: filepath.Join(bin, "kv-server"), Args: append([]string{"--admin", admin}, flags...), Dir: dir, Addr: addr,
		})
		l.must(err)
		l.servers = append(l.servers, &server{p, addr, admin})
	}
	l.settled(l.servers...)
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// addrs are where all servers listen.
func (l *lab) addrs() (addrs []string) {
	for _, s := range l.servers {
		addrs = append(addrs, s.addr)
	}
	return addrs
}

// status asks a server how it stands.
func (l *lab) status(s *server) (st replica.Status, err error) {
	r, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, "http://"+s.addr+"/", nil)
	if err != nil {
		return st, err
	}
	r.Header.Set("X-Torc-Op", "0-0-0")
	r.Header.Set("X-Torc-Members", "1")
	answer, err := l.http.Do(r)
	if err != nil {
		return st, err
	}
	defer func() { _ = answer.Body.Close() }()
	return st, json.NewDecoder(answer.Body).Decode(&st)
}

// await waits until cond returns nil.
func (l *lab) await(what string, cond func() error) {
	l.t.Helper()
	cluster.Eventually(l.t, patience, what, cond)
}

// settled waits until these servers, and no others, are one table, as each of them
// says, and no answer is labelled.
func (l *lab) settled(servers ...*server) {
	l.t.Helper()
	l.one(servers, func(st *replica.Status) bool { return !st.Degraded })
}

// joined waits until these servers, and no others, are one table.
func (l *lab) joined(servers ...*server) {
	l.t.Helper()
	l.one(servers, func(*replica.Status) bool { return true })
}

// one waits until these servers are one table, and each says ok of itself.
func (l *lab) one(servers []*server, ok func(*replica.Status) bool) {
	l.t.Helper()
	l.await("all to be one table", func() error {
		var first replica.Status
		for i, s := range servers {
			st, err := l.status(s)
			if err != nil {
				return err
			}
			if i == 0 {
				first = st
			}
			up := 0
			for _, m := range st.Members {
				if m.State != replica.MemberDown && m.State != replica.MemberJoining {
					up++
				}
			}
			switch {
			case !ok(&st), st.Leader == "", up != len(servers),
				st.Epoch != first.Epoch, st.View != first.View, st.Leader != first.Leader:
				return fmt.Errorf("%s says %+v, %s says %+v", first.Self, first, st.Self, st)
			}
		}
		return nil
	})
	l.up = servers
}

// leader returns the server that leads, and the others.
func (l *lab) leader() (leader *server, others []*server) {
	l.t.Helper()
	return l.leaderOf(l.servers)
}

// leaderOf returns the one of these that leads, and the others of them.
func (l *lab) leaderOf(servers []*server) (leader *server, others []*server) {
	l.t.Helper()
	l.await("a leader", func() error {
		var term uint64
		for _, s := range servers {
			st, err := l.status(s)
			if err == nil && st.Leader == s.addr && st.Term >= term {
				leader, term = s, st.Term
			}
		}
		if leader == nil {
			return errors.New("none leads")
		}
		return nil
	})
	return leader, slices.DeleteFunc(slices.Clone(servers), func(s *server) bool { return s == leader })
}

// load starts clients of all servers, and returns once they have been at work for a
// while.
func (l *lab) load() *load {
	l.t.Helper()
	d := startLoad(l.t, l.clients.Dial, l.addrs())
	for range 2 {
		table, err := replica.New(l.t.Context(), l.addrs(), replica.TableOptions{Dialer: l.dial})
		l.must(err)
		l.t.Cleanup(func() { _ = table.Close() }) // returns nil
		d.table(table, func() bool { _, degraded := table.Degraded(); return degraded })
	}
	d.warm()
	l.joined(l.up...) // whatever the machine did meanwhile
	return d
}

// dial connects from the clients' host.
func (l *lab) dial(ctx context.Context, addr string) (net.Conn, error) {
	return l.clients.Dial(ctx, "tcp", addr)
}

// together runs fn for each of the servers at once.
func (l *lab) together(servers []*server, fn func(s *server) error) {
	l.t.Helper()
	errs := make([]error, len(servers))
	var running sync.WaitGroup
	for i, s := range servers {
		running.Go(func() { errs[i] = fn(s) })
	}
	running.Wait()
	l.must(errors.Join(errs...))
}

func kill(s *server) error    { return s.Kill() }
func restart(s *server) error { return s.Restart(context.Background()) }
func unplug(s *server) error  { return s.Host().Unplug() }
func plug(s *server) error    { return s.Host().Plug() }

// cut breaks the links between all of these and all of those; heal mends them.
func (l *lab) cut(these, those []*server)  { l.t.Helper(); l.pairs(these, those, l.cluster.Cut) }
func (l *lab) heal(these, those []*server) { l.t.Helper(); l.pairs(these, those, l.cluster.Heal) }

func (l *lab) pairs(these, those []*server, fn func(a, b *cluster.Host) error) {
	l.t.Helper()
	for _, a := range these {
		for _, b := range those {
			if a != b {
				l.must(fn(a.Host(), b.Host()))
			}
		}
	}
}
