package cluster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// MemcachedPort is the port that Memcached listens on.
const MemcachedPort = 11211

// Memcached starts Debian's memcached on the host's address with 64 MB and one
// thread, and args after that. It is ready when it answers. It comes back empty
// from each restart, as memcached does.
func (h *Host) Memcached(ctx context.Context, args ...string) (*Proc, error) {
	addr := h.Addr(MemcachedPort)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	all := []string{"-l", host, "-p", port, "-U", "0", "-m", "64", "-t", "1"}
	if os.Geteuid() == 0 {
		// It refuses to be root unasked. As another user it would lose the
		// signal that ends it with this process.
		all = append(all, "-u", "root")
	}
	return h.Start(ctx, Spec{
		Name: "memcached", Path: "memcached", Args: append(all, args...), Addr: addr,
		Ready: func(ctx context.Context) error {
			return h.ask(ctx, addr, "version\r\n", "VERSION ")
		},
	})
}

// ask sends a question to addr from the host and reports anything but an answer
// that begins with want.
func (h *Host) ask(ctx context.Context, addr, question, want string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := h.Dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, want) {
		return fmt.Errorf("%s answers %q", addr, answer)
	}
	return nil
}
