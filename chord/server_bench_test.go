package chord

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/torc-dht/torc/internal/versus"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// childVariable is set in a process that a benchmark has started: to "store", for a
// memcache.Server over a store, or to a node's contact, "first" for none.
const childVariable = "TORC_CHORD_BENCH"

// runChild serves until standard input ends. It prints its address when it does.
func runChild(what string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if what == "store" {
		s := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{MaxBytes: 256 << 20}))}
		go func() { _ = s.Serve(l) }()
	} else {
		s := &Server{Contact: what, Memory: 256 << 20, Log: quiet()}
		if what == "first" {
			s.Contact = ""
		}
		go func() {
			if err := s.Serve(context.Background(), l); err != nil {
				panic(err)
			}
		}()
		<-s.Joined()
	}
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// child starts such a process, until the benchmark ends.
func child(b *testing.B, what string) (addr string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+what, "GOMAXPROCS=1")
	if what == "store" {
		cmd.Env[len(cmd.Env)-1] = "GOMAXPROCS=" + os.Getenv("GOMAXPROCS")
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	addr, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatalf("%s says nothing: %v", what, err)
	}
	return strings.TrimSpace(addr)
}

// BenchmarkNodes puts a Table over some nodes, a process each, beside a memcached client
// of a memcache.Server, in a process of its own, too.
//
//	go test -run '^$' -bench Nodes ./chord
func BenchmarkNodes(b *testing.B) {
	plain := child(b, "store")
	for _, n := range []int{1, 8} {
		addrs := []string{child(b, "first")}
		for len(addrs) < n {
			addrs = append(addrs, child(b, addrs[0]))
		}
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) { benchNodes(b, addrs, plain) })
	}
}

func benchNodes(b *testing.B, addrs []string, plain string) {
	const keyCount = 1024
	ctx := b.Context()
	table, err := New(ctx, addrs[:1], TableOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()
	c := memcache.NewClient(plain, table.opts.client())
	defer c.Close()
	value := bytes.Repeat([]byte("v"), 100)
	keys := make([]string, keyCount)
	set := func(i int) error {
		_, err := c.Set(ctx, memcache.Item{Key: keys[i%keyCount], Value: value}, memcache.ModeSet)
		return err
	}
	for i := range keys {
		keys[i] = fmt.Sprintf("bench-key-%d", i)
		if err := table.Put(ctx, keys[i], value); err != nil {
			b.Fatal(err)
		}
		if err := set(i); err != nil {
			b.Fatal(err)
		}
	}
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("get/goroutines=%d", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "chord", Call: func(i int) error { _, err := table.Get(ctx, keys[i%keyCount]); return err }},
				versus.Side{Name: "memcached", Call: func(i int) error { _, err := c.Get(ctx, keys[i%keyCount]); return err }})
		})
		b.Run(fmt.Sprintf("put/goroutines=%d", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "chord", Call: func(i int) error { return table.Put(ctx, keys[i%keyCount], value) }},
				versus.Side{Name: "memcached", Call: set})
		})
	}
}
