package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/shard"
)

// startWithin is how long a process may take until it can be used, and a table
// until all is settled.
const startWithin = 2 * time.Minute

// start starts a program of torc's on a host, with its environment, and waits for
// a line that has text in it.
func (m *machine) start(ctx context.Context, host, text string, env []string, args ...string) (*cluster.Proc, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	p, err := m.Host(host).Start(ctx, cluster.Spec{Path: filepath.Join(m.bin, "torc"), Args: args, Env: env})
	if err != nil {
		return nil, err
	}
	if text != "" {
		_, err = p.WaitLine(ctx, time.Time{}, cluster.Containing(text))
	}
	return p, err
}

// sharded is a sharded table of processes.
type sharded struct {
	machine *machine
	name    string
	master  string // host:port
	servers int
	admin   *shard.Admin
}

// startTable starts a master and servers, which have their shares then.
func (m *machine) startTable(ctx context.Context, name string, servers, copies int) (*sharded, error) {
	host := name + "-m"
	s := &sharded{machine: m, name: name, master: m.Host(host).Addr(1025)}
	ip, port, err := net.SplitHostPort(s.master)
	if err != nil {
		return nil, err
	}
	if _, err := m.start(ctx, host, "listens on", nil, "shard", "master", "--host", ip, "-p", port, "--copies", strconv.Itoa(copies)); err != nil {
		return nil, err
	}
	s.admin = &shard.Admin{Masters: []string{s.master}}
	for range servers {
		if _, err := s.join(ctx, "joined"); err != nil {
			return nil, err
		}
	}
	return s, s.settled(ctx)
}

// join starts one more server, and waits for a line that has text in it.
func (s *sharded) join(ctx context.Context, text string) (addr string, err error) {
	s.servers++
	host := s.name + "-" + strconv.Itoa(s.servers)
	addr = s.machine.Host(host).Addr(1026)
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	_, err = s.machine.start(ctx, host, text, nil, "shard", "server", "--host", ip, "-p", port, "--master", s.master)
	return addr, err
}

// settled waits until all servers have their shares.
func (s *sharded) settled(ctx context.Context) error {
	return s.await(ctx, func(st *shard.Status) bool { return st.Settled && len(st.Servers) == s.servers })
}

// await waits until the table's status is one for which ok holds.
func (s *sharded) await(ctx context.Context, ok func(*shard.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var last shard.Status
	for st, err := range s.admin.Status(ctx, 50*time.Millisecond) {
		if err != nil {
			return fmt.Errorf("waiting for the table, which is %+v: %w", last, err)
		}
		if last = st; ok(&st) {
			return nil
		}
	}
	return fmt.Errorf("waiting for the table, which is %+v: its status ended", last)
}
