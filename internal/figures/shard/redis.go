package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

// redisClient puts the requests of many goroutines on few connections, as package
// memcache does, so that what differs is the server.
type redisClient struct{ conns []*redisConn }

// redisConn is one connection. Whoever finds nobody writing writes what there is.
type redisConn struct {
	conn net.Conn
	want chan chan error // of the requests in buf or on their way, in order
	done chan struct{}   // closed when nothing is read any more
	err  error           // why; set before that

	mu      sync.Mutex
	writing bool
	buf     []byte
	spare   []byte
}

func dialRedis(ctx context.Context, addr string, conns int) (*redisClient, error) {
	c := &redisClient{}
	for range conns {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		r := &redisConn{conn: conn, want: make(chan chan error, 16*callers), done: make(chan struct{})}
		go r.read()
		c.conns = append(c.conns, r)
	}
	return c, nil
}

// Close ends the connections.
func (c *redisClient) Close() error {
	var errs []error
	for _, r := range c.conns {
		errs = append(errs, r.conn.Close())
		<-r.done
	}
	return errors.Join(errs...)
}

var answers = sync.Pool{New: func() any { return make(chan error, 1) }}

var errNil = errors.New("no such key")

// do makes a request about the key that is its first argument. No more than 16
// times callers may be under way.
func (c *redisClient) do(verb, key string, args ...[]byte) error {
	r := c.conns[int(crc16(key))%len(c.conns)]
	answer := answers.Get().(chan error)
	r.mu.Lock()
	r.buf = append(strconv.AppendInt(append(r.buf, '*'), int64(2+len(args)), 10), "\r\n"...)
	r.buf = appendBulk(appendBulk(r.buf, verb), key)
	for _, a := range args {
		r.buf = appendBulk(r.buf, a)
	}
	r.want <- answer
	idle := !r.writing
	r.writing = true
	r.mu.Unlock()
	if idle {
		runtime.Gosched() // others may have something for the same write
		r.write()
	}
	select {
	case err := <-answer:
		answers.Put(answer)
		return err
	case <-r.done:
		return r.err
	}
}

func appendBulk[T string | []byte](to []byte, arg T) []byte {
	to = append(strconv.AppendInt(append(to, '$'), int64(len(arg)), 10), "\r\n"...)
	return append(append(to, arg...), "\r\n"...)
}

// write writes until there is nothing left.
func (r *redisConn) write() {
	for {
		r.mu.Lock()
		out := r.buf
		if len(out) == 0 {
			r.writing = false
			r.mu.Unlock()
			return
		}
		r.buf, r.spare = r.spare[:0], nil
		r.mu.Unlock()
		if _, err := r.conn.Write(out); err != nil {
			_ = r.conn.Close() // read fails, and says so to all
			return
		}
		r.mu.Lock()
		r.spare = out
		r.mu.Unlock()
	}
}

func (r *redisConn) read() {
	defer close(r.done)
	in := bufio.NewReaderSize(r.conn, 64<<10)
	for {
		answer, err := readReply(in)
		if err != nil {
			r.err = err
			return
		}
		(<-r.want) <- answer
	}
}

// readReply reads a reply that is no list. err is that the connection is of no
// use any more, answer that Redis refuses.
func readReply(in *bufio.Reader) (answer, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	switch text := strings.TrimSuffix(string(line), "\r\n"); text[0] {
	case '+', ':':
		return nil, nil
	case '-':
		return errors.New(text[1:]), nil
	case '$':
		n, err := strconv.Atoi(text[1:])
		if err != nil {
			return nil, err
		}
		if n < 0 {
			return errNil, nil
		}
		_, err = in.Discard(n + 2)
		return nil, err
	default:
		return nil, fmt.Errorf("a reply that begins with %q", text[0])
	}
}

// runRedis starts a Redis that keeps nothing on disk.
func runRedis(ctx context.Context, m *machine, host string, args ...string) (addr string, err error) {
	h := m.Host(host)
	addr = h.Addr(6379)
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	_, err = h.Start(ctx, cluster.Spec{
		Path: "redis-server", Addr: addr,
		Args: append([]string{"--bind", ip, "--port", port, "--cluster-announce-ip", ip, "--save", "", "--appendonly", "no"}, args...),
		Ready: func(ctx context.Context) error {
			c, err := dialRedis(ctx, addr, 1)
			if err == nil {
				err = errors.Join(c.do("ECHO", "ready"), c.Close())
			}
			return err
		},
	})
	return addr, err
}

func startRedis(ctx context.Context, m *machine) (*contender, error) {
	addr, err := runRedis(ctx, m, "redis")
	if err != nil {
		return nil, err
	}
	client, err := dialRedis(ctx, addr, memcache.DefaultConns)
	if err != nil {
		return nil, err
	}
	return &contender{
		name:  "Redis, one server",
		get:   func(_ context.Context, key string) error { return client.do("GET", key) },
		put:   func(_ context.Context, key string, value []byte) error { return client.do("SET", key, value) },
		close: client.Close,
	}, nil
}

// redisBenchmark has Redis's own program ask the Redis that startRedis has started:
// as many requests at a time as our callers make, over as many connections.
func redisBenchmark(ctx context.Context, m *machine, p plan) (get, put float64, err error) {
	ip, port, err := net.SplitHostPort(m.Host("redis").Addr(6379))
	if err != nil {
		return 0, 0, err
	}
	const conns = memcache.DefaultConns
	n := int(200_000 * p.turn.Seconds()) // takes about a turn
	out, err := exec.CommandContext(ctx, "redis-benchmark", "-h", ip, "-p", port, "--csv", "-t", "set,get",
		"-c", strconv.Itoa(conns), "-P", strconv.Itoa(callers/conns), "-n", strconv.Itoa(n),
		"-d", strconv.Itoa(valueSize), "-r", strconv.Itoa(requestKeys)).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("redis-benchmark: %w", err)
	}
	lines, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		return 0, 0, fmt.Errorf("redis-benchmark: %w", err)
	}
	for _, line := range lines {
		switch {
		case line[0] == "GET":
			get, err = strconv.ParseFloat(line[1], 64)
		case line[0] == "SET":
			put, err = strconv.ParseFloat(line[1], 64)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("redis-benchmark: %w", err)
		}
	}
	if get == 0 || put == 0 {
		return 0, 0, fmt.Errorf("redis-benchmark says %q", out)
	}
	return get, put, nil
}

// resharding is what came of a fourth master that got its share of a Redis
// cluster of three.
type resharding struct {
	moved uint64
	took  time.Duration
}

func measureResharding(ctx context.Context, m *machine, p plan) (*resharding, error) {
	var addrs []string
	for i := range 4 {
		addr, err := runRedis(ctx, m, fmt.Sprintf("redis%d", i+1), "--cluster-enabled", "yes")
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	if _, err := redisCLI(ctx, append(append([]string{"create"}, addrs[:3]...), "--cluster-yes")...); err != nil {
		return nil, err
	}
	if err := agree(ctx, addrs[:3]); err != nil {
		return nil, err
	}
	if err := fillRedis(ctx, addrs[:3], p.keys); err != nil {
		return nil, err
	}
	if _, err := redisCLI(ctx, "add-node", addrs[3], addrs[0]); err != nil {
		return nil, err
	}
	if err := agree(ctx, addrs); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := redisCLI(ctx, "rebalance", addrs[0], "--cluster-use-empty-masters", "--cluster-pipeline", "1000"); err != nil {
		return nil, err
	}
	took := time.Since(began)
	ip, port, err := net.SplitHostPort(addrs[3])
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "redis-cli", "-h", ip, "-p", port, "dbsize").Output()
	if err != nil {
		return nil, err
	}
	moved, err := strconv.ParseUint(strings.TrimSpace(string(out)), 10, 64)
	return &resharding{moved, took}, err
}

// agree waits until the masters of a cluster, which are all that there are, know
// each other and serve.
func agree(ctx context.Context, addrs []string) error {
	known := fmt.Sprintf("cluster_known_nodes:%d", len(addrs))
	return cluster.WaitFor(ctx, "all masters of Redis to know each other", func() error {
		for _, addr := range addrs {
			out, err := redisCLI(ctx, "call", addr, "cluster", "info")
			if err != nil {
				return err
			}
			if strings.Count(out, known) < len(addrs) || strings.Count(out, "cluster_state:ok") < len(addrs) {
				return fmt.Errorf("asked by way of %s, they say: %s", addr, out)
			}
		}
		return nil
	})
}

func redisCLI(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"--cluster"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("redis-cli --cluster %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

// fillRedis puts keys into a cluster of masters that have even shares of the
// slots, in order.
func fillRedis(ctx context.Context, addrs []string, n int) error {
	var clients []*redisClient
	for _, addr := range addrs {
		c, err := dialRedis(ctx, addr, memcache.DefaultConns)
		if err != nil {
			return err
		}
		defer c.Close()
		clients = append(clients, c)
	}
	ends := []int{5461, 10923, 16384} // as --cluster create has them
	c := &contender{put: func(_ context.Context, key string, value []byte) error {
		slot := int(crc16(key) % 16384)
		at := slices.IndexFunc(ends, func(end int) bool { return slot < end })
		return clients[at].do("SET", key, value)
	}}
	return c.fill(ctx, n)
}

// crc16 is the one by which Redis has its slots: CRC-16/XMODEM.
func crc16(key string) (crc uint16) {
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
