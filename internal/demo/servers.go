package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// serverCount is how many servers a demo has: the fewest with which one can go
// and keys still have to choose.
const serverCount = 3

// clusterServers are servers that are processes of a cluster.
type clusterServers struct {
	what    string
	url     string
	cluster *cluster.Cluster
	procs   []*cluster.Proc
}

func (s *clusterServers) What() string { return s.what }
func (s *clusterServers) URL() string  { return s.url }

func (s *clusterServers) Addrs() []string {
	addrs := make([]string, len(s.procs))
	for i, p := range s.procs {
		addrs[i] = p.Addr
	}
	return addrs
}

func (s *clusterServers) Kill(i int) error { return s.procs[i].Kill() }

func (s *clusterServers) Restart(ctx context.Context, i int) error { return s.procs[i].Restart(ctx) }

func (s *clusterServers) Close() error { return s.cluster.Close() }

// StartOwn starts three of our own servers, as child processes that run the
// torc binary at the path given. They are gone when this process is, however it
// ends.
func StartOwn(ctx context.Context, torcBinary string) (Servers, error) {
	s := &clusterServers{what: "our own, a process each"}
	err := s.start(cluster.Options{Torc: torcBinary}, func() error {
		for i := range serverCount {
			host := s.cluster.Host(fmt.Sprintf("s%d", i+1))
			addr := host.Addr(cluster.MemcachedPort)
			p, err := host.Start(ctx, cluster.Spec{
				Name: "torc", Path: torcBinary, Args: []string{"serve", "--listen", addr}, Addr: addr,
				Ready: func(ctx context.Context) error { return answers(ctx, addr) },
			})
			if err != nil {
				return err
			}
			s.procs = append(s.procs, p)
		}
		s.url = "memcached://" + strings.Join(s.Addrs(), ",")
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// StartMemcached starts three memcached, a watchdog beside each, and a
// ZooKeeper. If some of that is not installed, the error says how to install it.
func StartMemcached(ctx context.Context, torcBinary string) (Servers, error) {
	if missing := cluster.Missing("memcached", "zookeeper"); len(missing) > 0 {
		return nil, fmt.Errorf("not installed: %s; on Debian: apt-get install %s; or without them: torc demo",
			strings.Join(missing, " and "), strings.Join(missing, " "))
	}
	s := &clusterServers{what: "memcached, with a watchdog each and a ZooKeeper"}
	err := s.start(cluster.Options{Torc: torcBinary}, func() error {
		zk, err := s.cluster.Host("zk").ZooKeeper(ctx, cluster.ZooKeeperOptions{})
		if err != nil {
			return err
		}
		s.url = "zk://" + zk.Addr + "/torc"
		for i := range serverCount {
			host := s.cluster.Host(fmt.Sprintf("s%d", i+1))
			p, err := host.Memcached(ctx)
			if err != nil {
				return err
			}
			s.procs = append(s.procs, p)
			if _, err := host.Start(ctx, cluster.Spec{
				Name: "watchdog", Path: torcBinary,
				Args: []string{"--table", s.url, "fleet", "watchdog", p.Addr},
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// start makes the cluster and lets begin fill it; nothing is left of it if that
// fails.
func (s *clusterServers) start(o cluster.Options, begin func() error) error {
	c, err := cluster.New(o)
	if err != nil {
		return err
	}
	s.cluster = c
	if err := begin(); err != nil {
		return errors.Join(err, c.Close())
	}
	return nil
}

// answers says why the server at addr does not answer, if it doesn't.
func answers(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "version\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "VERSION ") {
		return fmt.Errorf("%s answers %q", addr, line)
	}
	return nil
}
