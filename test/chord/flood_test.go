package chord

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

// mostMemory is how many bytes a node may take that is told to hold 64 MB, whatever is
// sent to it.
const mostMemory = 400 << 20

// TestFloods has one node of a ring flooded in several ways. It goes on serving, the
// ring notices nothing, and what the flood takes of the node's memory has an end.
func TestFloods(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	lasts := 500 * time.Millisecond
	if soak() {
		lasts = 10 * time.Second
	}
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	l := start(t, cluster.Options{}, 3, 1, 300)
	victim := l.nodes[1]
	for _, flood := range []struct {
		name  string
		conns int
		send  func(c net.Conn) // until it fails
	}{
		{"clients that say nothing", 700, func(net.Conn) {}},
		{"more clients than are let in", 2500, say("get 1\r\n")},
		{"values that don't end", 300, say("set 1 0 0 1000000\r\n" + strings.Repeat("x", 100000))},
		{"values that come slowly", 300, func(c net.Conn) {
			for _, err := io.WriteString(c, "set 1 0 0 1000000\r\n"); err == nil; _, err = io.WriteString(c, "x") {
				<-time.After(50 * time.Millisecond)
			}
		}},
		{"answers that nobody reads", 300, again("get 1 1 1 1 1 1 1 1\r\n")},
		{"commands that are none", 300, again("\x00\xff rubbish\r\n")},
		{"lines that don't end", 300, again(strings.Repeat("x", 10000))},
		{"gRPC that says nothing", 1500, say(preface + settings)},
		{"gRPC that asks for ever", 300, func(c net.Conn) { // pings
			if _, err := io.WriteString(c, preface+settings); err == nil {
				again("\x00\x00\x08\x06\x00\x00\x00\x00\x00" + "12345678")(c)
			}
		}},
		{"gRPC with a frame that is too long", 300, again(preface + "\xff\xff\xff\x00\x00\x00\x00\x00\x01")},
	} {
		t.Run(flood.name, func(t *testing.T) {
			stop := l.flood(t, victim, flood.conns, flood.send)
			most := 0
			for began := time.Now(); most == 0 || time.Since(began) < lasts; { // the flood itself
				l.served(t, victim)
				most = max(most, l.memory(victim))
			}
			l.settled()
			t.Logf("%d connections, %d MB at most", stop(), most>>20)
			if most > mostMemory {
				t.Errorf("the node took %d MB", most>>20)
			}
			// And whoever comes when it is over is let in.
			cluster.Eventually(t, patience, "a plain client to be served", func() error {
				c := memcache.NewClient(victim.addr, memcache.Config{})
				defer func() { _ = c.Close() }() // returns nil
				_, err := c.Get(t.Context(), pairKey(1))
				return err
			})
		})
	}
	l.present()
	l.counted()
	l.trusted()
}

// say sends once.
func say(what string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, what) } // to be refused is all right
}

// again sends the same until it fails.
func again(what string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, what); err != nil {
				return
			}
			<-time.After(time.Millisecond) // the test's own share of the machine
		}
	}
}

// flood makes connections to a node and has send go on with each, until stop, which
// says how many there were.
func (l *lab) flood(t *testing.T, m *member, conns int, send func(net.Conn)) (stop func() int) {
	t.Helper()
	var (
		sending sync.WaitGroup
		mu      sync.Mutex
		open    []net.Conn
		over    bool
	)
	for range conns {
		sending.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			c, err := l.cluster.Host("c1").Dial(ctx, "tcp", m.addr)
			if err != nil {
				return // as many as it lets in
			}
			mu.Lock()
			open = append(open, c)
			late := over
			mu.Unlock()
			if late {
				_ = c.Close()
				return
			}
			send(c)
		})
	}
	stop = func() int {
		mu.Lock()
		over = true
		for _, c := range open {
			_ = c.Close() // nothing is owed
		}
		mu.Unlock()
		sending.Wait()
		return len(open)
	}
	t.Cleanup(func() { stop() })
	return stop
}

// served says that the table's client gets what a node owns, and may write it.
func (l *lab) served(t *testing.T, m *member) {
	t.Helper()
	key := l.keysOf(m, 1)[0]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := l.client.Put(ctx, key, []byte(key)); err != nil {
		t.Fatal(err)
	}
	if e, err := l.client.Get(ctx, key); err != nil || string(e.Value) != key {
		t.Fatalf("%s is %q, %v", key, e.Value, err)
	}
	if err := l.client.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
}

// memory is how many bytes a node takes of the machine's.
func (l *lab) memory(m *member) int {
	l.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.Pid()))
	l.must(err)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, _ := strconv.Atoi(f[1])
			return kb << 10
		}
	}
	return 0
}
