package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lab is a memcached on one host and two hosts that may talk to it.
func lab(t *testing.T) (ctx context.Context, c *Cluster, server *Proc, a, b *Host) {
	NeedNamespaces(t)
	Need(t, "memcached")
	t.Parallel()
	ctx, c = testContext(t), ForTest(t, Options{Namespaces: true})
	server = must[*Proc](t)(c.Host("server").Memcached(ctx))
	return ctx, c, server, c.Host("a"), c.Host("b")
}

// reaches waits until a new connection from h to the server is answered.
func reaches(t *testing.T, h *Host, server *Proc) {
	t.Helper()
	Eventually(t, 5*time.Second, h.Name+" to reach the server", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := say(ctx, h, server.Addr, "version\r\n")
		return err
	})
}

// silence says that h gets neither an answer nor a refusal.
func silence(t *testing.T, h *Host, server *Proc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := say(ctx, h, server.Addr, "version\r\n")
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s: %v, want silence", h.Name, err)
	}
}

func TestCutOneWay(t *testing.T) {
	ctx, c, server, a, b := lab(t)
	reaches(t, a, server)
	for _, way := range [][2]*Host{{a, server.Host()}, {server.Host(), a}} {
		if err := c.CutOneWay(way[0], way[1]); err != nil {
			t.Fatal(err)
		}
		silence(t, a, server) // a question and an answer need both
		reaches(t, b, server)
		if err := c.Heal(a, server.Host()); err != nil {
			t.Fatal(err)
		}
		reaches(t, a, server)
	}

	// Of two that only send, one is heard.
	got := must[*net.UDPConn](t)(listenUDP(server.Host()))
	defer func() { _ = got.Close() }()
	if err := c.CutOneWay(server.Host(), a); err != nil {
		t.Fatal(err)
	}
	conn := must[net.Conn](t)(a.Dial(ctx, "udp", got.LocalAddr().String()))
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := got.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := got.ReadFrom(make([]byte, 1)); err != nil {
		t.Errorf("what is sent the other way: %v", err)
	}
}

func listenUDP(h *Host) (conn *net.UDPConn, err error) {
	err = h.Do(func() error {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(h.IP)})
		return err
	})
	return conn, err
}

func TestLoss(t *testing.T) {
	ctx, _, server, a, _ := lab(t)
	got := must[*net.UDPConn](t)(listenUDP(server.Host()))
	defer func() { _ = got.Close() }()
	conn := must[net.Conn](t)(a.Dial(ctx, "udp", got.LocalAddr().String()))
	defer func() { _ = conn.Close() }()
	const sent = 1000
	for _, c := range []struct {
		part        float64
		least, most int
	}{{0, sent * 98 / 100, sent}, {0.1, sent * 85 / 100, sent * 95 / 100}, {0.5, sent * 4 / 10, sent * 6 / 10}, {1, 0, 0}, {0, sent * 98 / 100, sent}} {
		if err := server.Host().Lose(c.part); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range sent {
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			// It has arrived by now, or nearly so, or never will.
			_ = got.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, _, err := got.ReadFrom(make([]byte, 1)); err == nil {
				n++
			}
		}
		if n < c.least || n > c.most {
			t.Errorf("with a loss of %v, %d of %d arrived", c.part, n, sent)
		}
	}
	for _, part := range []float64{-0.1, 1.1} {
		if err := a.Lose(part); err == nil {
			t.Errorf("a loss of %v was taken", part)
		}
	}
	reaches(t, a, server)
}

func TestCutAndHeal(t *testing.T) {
	ctx, c, server, a, b := lab(t)
	for range 3 {
		reaches(t, a, server)
		conn := must[net.Conn](t)(a.Dial(ctx, "tcp", server.Addr))
		if err := c.Cut(a, server.Host()); err != nil {
			t.Fatal(err)
		}
		silence(t, a, server)
		reaches(t, b, server)
		reaches(t, server.Host(), server)

		// A connection that stood before the cut is silent, and goes on after it.
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		if got, err := sayOn(short, conn, "version\r\n"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("over the cut: %q, %v", got, err)
		}
		cancel()
		if err := c.Heal(server.Host(), a); err != nil { // in either order
			t.Fatal(err)
		}
		if got, err := sayOn(ctx, conn, ""); !strings.HasPrefix(got, "VERSION") {
			t.Errorf("after the cut: %q, %v", got, err)
		}
		_ = conn.Close()
	}
	if err := c.Heal(a, b); err != nil {
		t.Errorf("healing what was never cut: %v", err)
	}
	if err := c.Cut(a, a); err == nil {
		t.Error("a host was cut from itself")
	}
}

func TestUnplug(t *testing.T) {
	_, _, server, a, b := lab(t)
	for range 2 {
		reaches(t, a, server)
		if err := server.Host().Unplug(); err != nil {
			t.Fatal(err)
		}
		silence(t, a, server)
		silence(t, b, server)
		reaches(t, server.Host(), server) // its own address is still there
		plugged := time.Now()
		if err := server.Host().Plug(); err != nil {
			t.Fatal(err)
		}
		reaches(t, a, server)
		t.Logf("reached %s after the cable was back", time.Since(plugged).Round(time.Millisecond))
	}
}

func TestInterfaceDown(t *testing.T) {
	ctx, c, server, a, b := lab(t)
	if err := c.Cut(server.Host(), b); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		reaches(t, a, server)
		if err := server.Host().InterfaceDown(); err != nil {
			t.Fatal(err)
		}
		silence(t, a, server)
		// The host itself is told.
		if _, err := server.Host().Dial(ctx, "tcp", a.Addr(1)); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("from the host that has no network: %v, want ENETUNREACH", err)
		}
		if err := server.Host().InterfaceUp(); err != nil {
			t.Fatal(err)
		}
		reaches(t, a, server)
		silence(t, b, server) // a cut outlives it
	}
	if err := c.Heal(server.Host(), b); err != nil {
		t.Fatal(err)
	}
	reaches(t, b, server)
}

// A process that is frozen, killed and restarted in a namespace is the same
// there as elsewhere, and so is ZooKeeper.
func TestServersInNamespaces(t *testing.T) {
	ctx, c, server, a, _ := lab(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := say(ctx, a, server.Addr, "version\r\n"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a killed server: %v, want a refusal", err)
	}
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	reaches(t, a, server)
	if len(Missing("zookeeper")) == 0 {
		z := must[*ZooKeeper](t)(c.Host("zk").ZooKeeper(ctx, ZooKeeperOptions{}))
		if _, err := say(ctx, a, z.Addr, "srvr"); err != nil {
			t.Error(err)
		}
	}
}

func TestDoStaysOnTheHost(t *testing.T) {
	NeedNamespaces(t)
	t.Parallel()
	c := ForTest(t, Options{Namespaces: true})
	names := func() string {
		var all []string
		for _, i := range must[[]net.Interface](t)(net.Interfaces()) {
			all = append(all, i.Name)
		}
		return strings.Join(all, " ")
	}
	outside := names()
	err := c.Host("a").Do(func() error {
		if got := names(); got != "lo eth0" {
			return fmt.Errorf("interfaces %q, want lo and eth0", got)
		}
		return errors.New("mine")
	})
	if err == nil || err.Error() != "mine" {
		t.Errorf("Do: %v", err)
	}
	if got := names(); got != outside {
		t.Errorf("after Do the interfaces are %q, before they were %q", got, outside)
	}
	// Whoever is stopped in there gets out as well.
	func() {
		defer func() { _ = recover() }()
		_ = c.Host("a").Do(func() error { panic("in there") })
	}()
	if got := names(); got != outside {
		t.Errorf("after a panic in Do the interfaces are %q, before they were %q", got, outside)
	}
}

// namespaces returns the network namespaces that any process is in or holds
// open.
func namespaces(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/self/fd/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "net:[") {
				found[to] = true
			}
		}
	}
	return found
}

// Not parallel: other tests have namespaces while they run.
func TestNamespacesAreGoneAfterClose(t *testing.T) {
	NeedNamespaces(t)
	ctx := testContext(t)
	before := namespaces(t)
	c := must[*Cluster](t)(New(Options{Namespaces: true}))
	var own []string
	for _, name := range []string{"a", "b", "c"} {
		p := must[*Proc](t)(c.Host(name).Start(ctx, shell("exec sleep 600")))
		own = append(own, must[string](t)(os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.Pid()))))
	}
	for i, ns := range own {
		if before[ns] || ns == own[(i+1)%3] {
			t.Errorf("host %d has a namespace that isn't its own", i)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 5*time.Second, "the namespaces to be gone", func() error {
		now := namespaces(t)
		for _, ns := range own {
			if now[ns] {
				return fmt.Errorf("%s is still there", ns)
			}
		}
		return nil
	})
	if now := namespaces(t); len(now) > len(before) {
		t.Logf("other programs' namespaces have come meanwhile: %d before, %d now", len(before), len(now))
	}
}

func TestLoopbackHasNoLinks(t *testing.T) {
	t.Parallel()
	c := ForTest(t, Options{})
	a, b := c.Host("a"), c.Host("b")
	for what, err := range map[string]error{
		"Cut": c.Cut(a, b), "Heal": c.Heal(a, b), "Unplug": a.Unplug(), "Plug": a.Plug(),
		"InterfaceDown": a.InterfaceDown(), "InterfaceUp": a.InterfaceUp(),
	} {
		if !errors.Is(err, ErrSharedNetwork) {
			t.Errorf("%s: %v, want ErrSharedNetwork", what, err)
		}
	}
}
