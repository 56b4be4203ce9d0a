package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/zookeeper"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
)

func newRebalance(g *globals) *cobra.Command {
	var (
		options rebalanceFlags
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "Copy every entry to where it should be",
		Long: `rebalance copies every entry to the servers that should hold it and lack it, and
removes it from those that hold it and should not. It may be interrupted at any
time and run again, and what is put or deleted meanwhile wins over what it
copies. It takes lists of servers too, not zk:// tables alone.

With --follow it is a service beside the fleet: it does so when it begins and
after each change of the members, until it is interrupted. Where it runs several
times for one fleet in ZooKeeper, one does the work and the others stand by.

--metrics serves /metrics for Prometheus, /livez and /readyz. :PORT is a port of
loopback; other machines reach what listens on an address of the network.`,
		Example: `  torc fleet rebalance --dry-run
  torc fleet rebalance --rate 20000
  torc --table zk://zk1:2181/torc fleet rebalance --follow --metrics :9150`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.validate(cmd); err != nil {
				return err
			}
			return runRebalance(cmd, g, options, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&options.dryRun, "dry-run", false, "say how much would be done, and change nothing")
	flags.IntVar(&options.rate, "rate", 0, "copy at most so many `keys` a second")
	flags.BoolVar(&options.follow, "follow", false, "go on: rebalance after each change of the members")
	flags.StringVar(&options.metrics, "metrics", "", "serve metrics and health on this `host:port`")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// rebalanceFlags are the flags of rebalance that say what is to be done.
type rebalanceFlags struct {
	dryRun, follow bool
	rate           int
	metrics        string
}

func (f *rebalanceFlags) validate(cmd *cobra.Command) error {
	if f.rate < 0 || f.rate == 0 && cmd.Flags().Changed("rate") {
		return usage(cmd, "--rate %d: give a number above 0", f.rate)
	}
	return exclusive(cmd, "dry-run", "follow")
}

func runRebalance(cmd *cobra.Command, g *globals, f rebalanceFlags, asJSON bool) (err error) {
	ctx := cmd.Context()
	table, err := g.open(ctx)
	if err != nil {
		return &finalError{err}
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	r := &rebalancing{
		table: table,
		rate:  f.rate, dryRun: f.dryRun,
		out: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(),
		style: terminal.StyleFor(cmd.ErrOrStderr(), g.plain),
		json:  asJSON,
	}
	var ok bool
	if r.rebalancer, ok = table.(torc.Rebalancer); !ok {
		return fmt.Errorf("%w: this table's entries are where they should be without anybody's doing", torc.ErrUnsupported)
	}
	if f.metrics != "" {
		m, err := startMonitor(cmd, "metrics", f.metrics, monitored(table, registryOf(table, &r.counts)))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.Close()) }()
	}
	if f.follow {
		return r.lead(ctx, g)
	}
	v, err := viewNow(ctx, table)
	if err != nil {
		return err
	}
	if why := textform.NobodyUp(v); why != "" { // there is nobody to move anything to
		return fmt.Errorf("%w: the fleet can't be rebalanced: %s", torc.ErrUnavailable, why)
	}
	done, err := r.rebalance(ctx)
	return r.tell(done, err, "", rebalanceJSON{})
}

// rebalancing is a table that is rebalanced, and where it is told of.
type rebalancing struct {
	table      torc.Table
	rebalancer torc.Rebalancer
	rate       int
	dryRun     bool

	out, stderr io.Writer
	style       terminal.Style // of stderr
	json        bool

	counts rebalanceCounts
}

// rebalanceJSON is what rebalance has to say with --json.
type rebalanceJSON struct {
	Time    time.Time `json:"time"`
	Version uint64    `json:"version,omitempty"`
	DryRun  bool      `json:"dry_run,omitempty"`
	jsonform.Progress
	Error string `json:"error,omitempty"`
}

// rebalance rebalances with a bar.
func (r *rebalancing) rebalance(ctx context.Context) (torc.Progress, error) {
	bar := terminal.NewProgress(r.stderr, r.style, "rebalance")
	defer bar.End()
	done, err := r.rebalancer.Rebalance(ctx, torc.RebalanceOptions{
		DryRun: r.dryRun, Rate: r.rate,
		Report: func(p torc.Progress) { bar.Show(textform.RebalanceStep(p)) },
	})
	r.counts.ended(err, time.Now())
	return done, err
}

// tell says what a rebalance has done that ended with err, behind the words given
// or in the object given, and returns err, or why that could not be said.
func (r *rebalancing) tell(done torc.Progress, err error, words string, object rebalanceJSON) error {
	if r.json {
		object.Time, object.DryRun, object.Progress = time.Now(), r.dryRun, jsonform.ProgressOf(done)
		if err != nil {
			object.Error = oneLine(err)
		}
		return errors.Join(err, jsonform.Print(r.out, object))
	}
	text := words + textform.Rebalanced(done, r.dryRun)
	if err != nil {
		text += ", and more is to be done"
	}
	_, lost := fmt.Fprintln(r.out, text)
	return errors.Join(err, lost)
}

// lead follows the table's members; where the table is a fleet in ZooKeeper, and
// others do so as well, only while it leads.
func (r *rebalancing) lead(ctx context.Context, g *globals) error {
	u, err := g.parsedURL()
	if err != nil {
		return err
	}
	if u.Scheme != zookeeper.Scheme {
		return r.follow(ctx)
	}
	o, _, err := zookeeper.ParseURL(u)
	if err != nil {
		return err
	}
	d, err := zookeeper.New(o)
	if err != nil {
		return err
	}
	r.say("stands by until it leads")
	var failure error
	err = d.Lead(ctx, "rebalance", func(leading context.Context) {
		r.counts.leads.Store(true)
		defer r.counts.leads.Store(false)
		r.say("leads")
		failure = r.follow(leading)
		if ctx.Err() == nil && leading.Err() != nil {
			r.say("leads no more, and stands by")
			failure = nil // whoever leads now goes on with it
		}
	})
	return errors.Join(err, failure)
}

// say writes a line for a person who watches the service.
func (r *rebalancing) say(what string) {
	fmt.Fprintf(r.stderr, "%s  rebalance %s\n", r.style.Dim(textform.Clock(time.Now())), what)
}
