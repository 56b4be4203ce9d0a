package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/replica"
)

// members are the servers of a store: where clients call them, and their processes.
type members struct {
	addrs []string
	pids  []int
	procs []*cluster.Proc
}

func (m *members) add(p *cluster.Proc) {
	m.procs, m.pids = append(m.procs, p), append(m.pids, p.Pid())
}

// stop ends them, so that they take no time from others.
func (m *members) stop() error {
	var errs []error
	for _, p := range m.procs {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

// startOurs runs so many kv-servers, and returns once each answers, without a label.
func startOurs(ctx context.Context, c *cluster.Cluster, program, name string, n int) (m members, err error) {
	for i := range n {
		m.addrs = append(m.addrs, c.Host(name+strconv.Itoa(i)).Addr(8081))
	}
	for i, addr := range m.addrs {
		h := c.Host(name + strconv.Itoa(i))
		dir := filepath.Join(c.Dir(), h.Name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return m, err
		}
		list := append([]string{addr}, slices.Concat(m.addrs[i+1:], m.addrs[:i])...)
		if err := os.WriteFile(filepath.Join(dir, "servers.txt"), []byte(strings.Join(list, "\n")+"\n"), 0o644); err != nil {
			return m, err
		}
		p, err := h.Start(ctx, cluster.Spec{Path: program, Args: []string{"--admin", "off"}, Dir: dir, Addr: addr})
		if err != nil {
			return m, err
		}
		m.add(p)
	}
	for _, addr := range m.addrs {
		if err := cluster.WaitFor(ctx, addr+" to answer", func() error {
			c, err := dial(addr)
			if err != nil {
				return err
			}
			defer c.conn.Close()
			return c.ask("GET /ready")
		}); err != nil {
			return m, err
		}
	}
	return m, nil
}

// leader is which of the servers leads.
func (m *members) leader(ctx context.Context) (string, error) {
	s, err := replica.Ask(ctx, m.addrs[0], nil)
	if err == nil && s.Leader == "" {
		err = errors.New("nobody leads")
	}
	return s.Leader, err
}

// conn is a client of one server, on one connection. It knows just as much of HTTP
// as the answers have, so that what is measured is the server.
type conn struct {
	conn    net.Conn
	host    string
	r       *bufio.Reader
	request []byte
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{conn: c, host: addr, r: bufio.NewReader(c)}, nil
}

// clients returns so many, the i-th of which is connected to addrs[i mod all of
// them].
func clients(n int, addrs []string) (cs []*conn, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range cs {
			_ = c.conn.Close()
		}
	}
	for i := range n {
		c, err := dial(addrs[i%len(addrs)])
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		cs = append(cs, c)
	}
	return cs, closeAll, nil
}

var (
	contentLength = []byte("Content-Length: ")
	okStatus      = []byte(" 200 ")
	label         = []byte("X-Torc-Degraded")
)

// ask sends a request and reads the answer, which has to be a good one.
func (c *conn) ask(request string) error {
	c.request = append(append(append(append(c.request[:0], request...), " HTTP/1.1\r\nHost: "...), c.host...), "\r\n\r\n"...)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.Contains(status, okStatus) {
		return fmt.Errorf("%s: %s: %s", c.host, request, bytes.TrimSpace(status))
	}
	length := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if bytes.HasPrefix(line, label) {
			err = errors.New("the answer is labelled")
		} else if text, ok := bytes.CutPrefix(line, contentLength); ok {
			length, err = strconv.Atoi(string(text))
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.host, request, err)
		}
	}
	_, err = io.CopyN(io.Discard, c.r, int64(length))
	return err
}

// swaps and reads make callers of clients.
func swaps(cs []*conn) (out []caller) {
	for _, c := range cs {
		out = append(out, func(_ context.Context, i int) error { return c.ask("GET /" + keyOf(i) + "=" + value) })
	}
	return out
}

func reads(cs []*conn) (out []caller) {
	for _, c := range cs {
		out = append(out, func(_ context.Context, i int) error { return c.ask("GET /" + keyOf(i)) })
	}
	return out
}

// keys is how many keys there are; value is what all of them get.
const (
	keys  = 1000
	value = "abcdefghijklmnopqrstuvwxyz012345"
)

// keyOf is the i-th key.
func keyOf(i int) string { return "key-" + strconv.Itoa(keys+i%keys) }
