// Shard measures a sharded table's servers as processes on one machine: requests,
// beside a memcached-compatible server of torc's own and beside Redis, each asked
// by the same 64 goroutines in turns; a server that joins a table of a million
// keys, beside a Redis cluster that reshards the same data; and how long clt takes
// from start to exit. It writes shard.md:
//
//	go run ./internal/figures/shard -out docs/figures
//
// Redis is left out where the Debian packages redis-server and redis-tools aren't
// installed. What else the machine does shows in the figures.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// plan is how much is measured.
type plan struct {
	turn     time.Duration // of each kind of request, at each server
	rounds   int           // of turns
	keys     int           // that lie in a table before a server joins
	calm     time.Duration // for which reads are timed before that
	programs int           // how often clt is run
}

var fullPlan = plan{turn: time.Second, rounds: 7, keys: 1_000_000, calm: 5 * time.Second, programs: 100}

func main() {
	out := flag.String("out", "docs/figures", "`directory` to write shard.md to")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "shard: unexpected argument %q: see -help\n", flag.Arg(0))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *out, fullPlan)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "shard:", err)
		os.Exit(1)
	}
}

// figures are all that was measured.
type figures struct {
	requests []requests
	joins    []joining
	reshard  *resharding // nil without Redis
	programs []program
}

func run(ctx context.Context, out string, p plan) error {
	dir, err := os.MkdirTemp("", "torc-figures-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := cluster.Programs(ctx, dir, "torc", "clt"); err != nil {
		return err
	}
	redis := len(cluster.Missing("redis-server", "redis-tools")) == 0
	var f figures
	for _, measure := range []func(*machine) error{
		func(m *machine) (err error) { f.requests, err = measureRequests(ctx, m, p, redis); return err },
		func(m *machine) (err error) { f.programs, err = measurePrograms(ctx, m, p, redis); return err },
		func(m *machine) error { return f.join(ctx, m, p, 1, 1) },
		func(m *machine) error { return f.join(ctx, m, p, 2, 2) },
		func(m *machine) (err error) {
			if redis {
				f.reshard, err = measureResharding(ctx, m, p)
			}
			return err
		},
	} {
		if err := onMachine(dir, measure); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(out, "shard.md"))
	if err != nil {
		return err
	}
	writePage(file, p, f)
	return file.Close()
}

// machine runs what is measured together.
type machine struct {
	*cluster.Cluster
	bin string
}

// onMachine runs measure on a machine of its own.
func onMachine(bin string, measure func(*machine) error) error {
	c, err := cluster.New(cluster.Options{})
	if err != nil {
		return err
	}
	err = measure(&machine{c, bin})
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}
