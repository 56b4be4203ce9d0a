package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// say sends a question to a server and returns the first line of its answer.
func say(ctx context.Context, h *Host, addr, question string) (string, error) {
	conn, err := h.Dial(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return sayOn(ctx, conn, question)
}

func sayOn(ctx context.Context, conn net.Conn, question string) (string, error) {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, question); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

func TestMemcached(t *testing.T) {
	Need(t, "memcached")
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	h := c.Host("s1")
	p := must[*Proc](t)(h.Memcached(ctx, "-I", "2m"))
	if want := h.Addr(MemcachedPort); p.Addr != want {
		t.Errorf("Addr = %q, want %q", p.Addr, want)
	}
	for range 3 {
		if got, err := say(ctx, h, p.Addr, "set k 0 0 1\r\nv\r\n"); got != "STORED" {
			t.Fatalf("set: %q, %v", got, err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		var refused *net.OpError
		if _, err := say(ctx, h, p.Addr, "version\r\n"); !errors.As(err, &refused) {
			t.Fatalf("a killed memcached: %v, want a refused connection", err)
		}
		if err := p.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		if got, err := say(ctx, h, p.Addr, "get k\r\n"); got != "END" {
			t.Fatalf("get after a restart: %q, %v; want a miss", got, err)
		}
	}

	if _, err := h.Memcached(ctx); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second memcached on the port: %v, want EADDRINUSE", err)
	}
}

func TestFreeze(t *testing.T) {
	Need(t, "memcached")
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	h := c.Host("s1")
	p := must[*Proc](t)(h.Memcached(ctx))
	conn := must[net.Conn](t)(h.Dial(ctx, "tcp", p.Addr))
	defer func() { _ = conn.Close() }()
	for range 3 {
		if err := p.Freeze(); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if got, err := sayOn(short, conn, "version\r\n"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a frozen memcached: %q, %v; want silence", got, err)
		}
		if !p.Running() {
			t.Fatal("frozen is not ended")
		}
		if err := p.Thaw(); err != nil {
			t.Fatal(err)
		}
		// It answers what it was asked while it was frozen.
		if got, err := sayOn(ctx, conn, ""); !strings.HasPrefix(got, "VERSION") {
			t.Fatalf("a thawed memcached: %q, %v", got, err)
		}
	}
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("killing a frozen process: %v", err)
	}
}

// session opens a ZooKeeper session and waits until it stands.
func session(ctx context.Context, t testing.TB, z *ZooKeeper) *zk.Conn {
	t.Helper()
	conn, events, err := zk.Connect([]string{z.Addr}, 2*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	for {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return conn
			}
		case <-ctx.Done():
			t.Fatal("no session")
		}
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func TestZooKeeper(t *testing.T) {
	Need(t, "zookeeper")
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	start := time.Now()
	z := must[*ZooKeeper](t)(c.Host("zk").ZooKeeper(ctx, ZooKeeperOptions{}))
	t.Logf("started in %s", time.Since(start).Round(time.Millisecond))
	conn := session(ctx, t, z)
	if _, err := conn.Create("/kept", []byte("v"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if err := z.WipeData(); err == nil {
		t.Error("WipeData of a server that runs")
	}

	exists := func(want bool) {
		t.Helper()
		got, _, err := session(ctx, t, z).Exists("/kept")
		if got != want || err != nil {
			t.Errorf("/kept exists: %v, %v; want %v", got, err, want)
		}
	}
	start = time.Now()
	if err := z.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("restarted in %s", time.Since(start).Round(time.Millisecond))
	exists(true)

	if err := z.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := z.WipeData(); err != nil {
		t.Fatal(err)
	}
	if err := z.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	exists(false)
}

// The tick time bounds the session time-outs that are granted.
func TestZooKeeperTickTime(t *testing.T) {
	Need(t, "zookeeper")
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	z := must[*ZooKeeper](t)(c.Host("zk").ZooKeeper(ctx, ZooKeeperOptions{TickTime: 150 * time.Millisecond}))
	conf := must[net.Conn](t)(z.Host().Dial(ctx, "tcp", z.Addr))
	defer func() { _ = conf.Close() }()
	if _, err := io.WriteString(conf, "conf"); err != nil {
		t.Fatal(err)
	}
	answer := must[[]byte](t)(io.ReadAll(conf))
	for _, want := range []string{"tickTime=150\n", "minSessionTimeout=300\n", "maxSessionTimeout=3000\n"} {
		if !strings.Contains(string(answer), want) {
			t.Errorf("no %q in its configuration:\n%s", want, answer)
		}
	}
	for _, bad := range []time.Duration{-1, time.Microsecond, 1500 * time.Microsecond} {
		if _, err := c.Host("zk2").ZooKeeper(ctx, ZooKeeperOptions{TickTime: bad}); err == nil {
			t.Errorf("a tick of %s was taken", bad)
		}
	}
}

// Clusters have addresses of their own, so the same ports don't collide.
func TestManyClusters(t *testing.T) {
	Need(t, "memcached")
	t.Parallel()
	ctx := testContext(t)
	var mu sync.Mutex
	seen := make(map[string]bool)
	var wg sync.WaitGroup
	for range 6 {
		c := ForTest(t, Options{})
		for i := range 3 {
			wg.Go(func() {
				p, err := c.Host(fmt.Sprint("s", i)).Memcached(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[p.Addr] {
					t.Errorf("%s twice", p.Addr)
				}
				seen[p.Addr] = true
			})
		}
	}
	wg.Wait()
	if len(seen) != 18 {
		t.Errorf("%d servers", len(seen))
	}
}

// What a cluster started ends with the program that made it, however that
// program ends.
func TestChildrenDieWithTheParent(t *testing.T) {
	Need(t, "memcached")
	for _, kind := range []string{"loopback", "namespaces"} {
		t.Run(kind, func(t *testing.T) {
			if kind == "namespaces" {
				NeedNamespaces(t)
			}
			t.Parallel()
			ctx, c := testContext(t), ForTest(t, Options{})
			spec := self(t, "parent", kind)
			spec.Env = append(spec.Env, "TMPDIR="+t.TempDir()) // what it leaves is removed
			p := must[*Proc](t)(c.Host("h").Start(ctx, spec))
			line := must[Line](t)(p.WaitLine(ctx, time.Time{}, Containing("children")))
			var mc, sleeper int
			var dir string
			if _, err := fmt.Sscanf(line.Text, "children %d %d %s", &mc, &sleeper, &dir); err != nil {
				t.Fatal(err)
			}
			if !alive(mc) || !alive(sleeper) {
				t.Fatal("the children don't live")
			}
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			eventuallyDead(t, mc, sleeper)
		})
	}
}
