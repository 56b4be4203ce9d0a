package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == memberCommand {
		if err := member(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A turn of each side is enough to see that all that is measured works.
func TestCompare(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	text, err := compare(ctx, options{clients: 4, turns: 1, turn: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| swaps, 3 servers, asked of their leader as torc's clients do | ", "| swaps, 3 servers, asked of all alike | ", "| etcd's puts, 3 members | ", "| from server 4 of 4 |", "times etcd's puts"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	t.Log("\n" + text)
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := grouped(x); got != want {
			t.Errorf("%v is %q, want %q", x, got, want)
		}
	}
}

func TestEtcd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := cluster.ForTest(t, cluster.Options{})
	e, err := startEtcd(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	cs, closeAll, err := e.clients(64, e.addrs)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	write := &side{name: "puts", callers: puts(cs)}
	read := &side{name: "gets", callers: gets(cs)}
	o := options{turns: 3, turn: time.Second}
	if err := play(ctx, o, write); err != nil {
		t.Fatal(err)
	}
	if err := play(ctx, o, read); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f puts/s, p50 %v; %.0f gets/s, p50 %v", write.rate(), write.p50(), read.rate(), read.p50())
}
