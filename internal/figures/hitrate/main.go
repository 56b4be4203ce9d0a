// Hitrate measures what callers of a cache see while one of its servers is
// killed and comes back empty: torc, gomemcache and twemproxy, each over real
// memcached servers of its own, under the same load in the same moment. It
// writes hitrate.md, a page with a table, hitrate.svg, the plot in it, and
// hitrate.csv, what both were made of:
//
//	go run ./internal/figures/hitrate -out docs/figures
//
// It needs the Debian packages memcached, zookeeper and nutcracker. What else
// the machine does shows in the figures.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/torc-dht/torc/internal/cluster"
)

func main() {
	out := flag.String("out", "docs/figures", "`directory` to write hitrate.md, hitrate.svg and hitrate.csv to")
	png := flag.Bool("png", false, "write hitrate.png as well")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "hitrate: unexpected argument %q: see -help\n", flag.Arg(0))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *out, fullPlan, *png)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hitrate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, p plan, png bool) error {
	if missing := cluster.Missing("memcached", "zookeeper", "nutcracker"); len(missing) > 0 {
		return fmt.Errorf("not installed: %v: scripts/packages.sh installs them", missing)
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	curves, err := measure(ctx, p)
	if err != nil {
		return err
	}
	for name, write := range map[string]func(*os.File){
		"hitrate.md":  func(f *os.File) { writePage(f, p, curves) },
		"hitrate.csv": func(f *os.File) { writeCSV(f, p, curves) },
	} {
		f, err := os.Create(filepath.Join(out, name))
		if err != nil {
			return err
		}
		write(f)
		if err := f.Close(); err != nil {
			return err
		}
	}
	if err := draw(p, curves, filepath.Join(out, "hitrate.svg")); err != nil || !png {
		return err
	}
	return draw(p, curves, filepath.Join(out, "hitrate.png"))
}
