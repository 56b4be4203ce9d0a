package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/urlparam"
	"github.com/torc-dht/torc/shard"
	"github.com/torc-dht/torc/shard/slots"
)

// listenFlags say where a process of a sharded table listens.
type listenFlags struct{ host, port, announce string }

func (f *listenFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.port, "port", "p", "", "the `PORT` to listen on")
	flags.StringVar(&f.host, "host", "127.0.0.1", "the `host` to listen on")
	flags.StringVar(&f.announce, "announce", "", "the `host:port` by which others reach it, if that is another")
}

func (f *listenFlags) check() error {
	var errs []error
	if f.port == "" {
		errs = append(errs, errors.New("-p is missing: the port to listen on"))
	} else if err := checkPort("-p", f.port); err != nil {
		errs = append(errs, err)
	}
	if f.announce != "" {
		if err := torc.CheckAddr(f.announce); err != nil {
			errs = append(errs, fmt.Errorf("--announce: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (f *listenFlags) listen() (net.Listener, error) {
	return listen("port", net.JoinHostPort(f.host, f.port))
}

type shardMasterFlags struct {
	listenFlags
	placement         string
	copies, minCopies int
	state, election   string
	tls               tlsFlags
}

func newShardMaster(g *globals) *cobra.Command { return buildShardMaster(g, slots.Minimal) }

// newMasterSvr is the program master-svr: torc shard master, with the placement
// that its requirement writes down.
func newMasterSvr() *cobra.Command {
	var g globals
	return asShardProgram(buildShardMaster(&g, slots.Modulo), &g, "master-svr", `  master-svr -p 1025
  master-svr -p 1025 --copies 1
  master-svr -p 7000 --host 10.0.0.7 --placement minimal`)
}

func buildShardMaster(g *globals, placement slots.Placement) *cobra.Command {
	f := shardMasterFlags{copies: 2, minCopies: 1}
	cmd := &cobra.Command{
		Use:   "master -p PORT",
		Short: "Run the master of a sharded table",
		Long: `The master knows which server has which keys, tells clients, and has keys moved
when servers come and go. It is on the way of no request, and it needs no disk:
killed and started again it learns from the servers what is where.

Placement minimal gives a server that joins an equal share from each other and
moves nothing else. Placement modulo puts the key N, a number, on server
(N % servers) + 1 in the order in which they joined, and other keys by a hash;
most keys move when a server joins.

With --state it keeps its map in a file as well, and with --election in
ZooKeeper, where several masters agree on which of them leads: then one that is
started again, or takes over, waits for no server.

Each key has --copies copies, on as many servers. A write is answered when all
that are there have it; with --min-copies 2 it waits while there is but one.

It runs until it is interrupted.`,
		Example: `  torc shard master -p 7000
  torc shard master -p 7000 --host 10.0.0.7 --copies 3 --min-copies 2
  torc shard master -p 7000 --election zk://zk1:2181,zk2:2181/torc-shard`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return runShardMaster(cmd, g, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.add(cmd)
	flags.StringVar(&f.placement, "placement", placement.String(), "how keys are spread: `minimal` or modulo")
	flags.IntVar(&f.copies, "copies", f.copies, "how many copies of each key, all counted")
	flags.IntVar(&f.minCopies, "min-copies", f.minCopies, "with fewer copies of a key writes to it wait")
	flags.StringVar(&f.state, "state", "", "keep the map in this `file`, which is this master's alone")
	flags.StringVar(&f.election, "election", "", "keep the map at this zk:// `URL`; of the masters that do, one leads")
	f.tls.add(flags)
	completeFlag(cmd, "placement", slots.Minimal.String(), slots.Modulo.String())
	return cmd
}

func (f *shardMasterFlags) check() error {
	errs := []error{f.listenFlags.check(), f.tls.check()}
	if _, err := slots.ParsePlacement(f.placement); err != nil {
		errs = append(errs, fmt.Errorf("--placement %q: minimal or modulo", f.placement))
	}
	if f.copies < 1 || f.copies > slots.MaxCopies {
		errs = append(errs, fmt.Errorf("--copies %d: from 1 to %d", f.copies, slots.MaxCopies))
	} else if f.minCopies < 1 || f.minCopies > f.copies {
		errs = append(errs, fmt.Errorf("--min-copies %d: from 1 to the %d of --copies", f.minCopies, f.copies))
	}
	if f.state != "" && f.election != "" {
		errs = append(errs, errors.New("--state and --election exclude each other: the map is kept in one place"))
	}
	return errors.Join(errs...)
}

func runShardMaster(cmd *cobra.Command, g *globals, f shardMasterFlags) error {
	if err := f.check(); err != nil {
		return usage(cmd, "%w", err)
	}
	oneThread()
	placement, err := slots.ParsePlacement(f.placement)
	if err != nil {
		return err
	}
	u := &torc.URL{Scheme: shardScheme}
	f.tls.addTo(u)
	p := urlparam.Parser{URL: u}
	m := &shard.Master{
		Addr: f.announce, Placement: placement, Copies: f.copies, MinCopies: f.minCopies,
		State: f.state, Election: f.election, TLS: p.TLS(),
		Log: newLog(cmd.ErrOrStderr(), terminal.StyleFor(cmd.ErrOrStderr(), g.plain)),
	}
	if p.Err != nil {
		return p.Err
	}
	l, err := f.listen()
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: listens on %s, placement %v\n", cmd.CommandPath(), l.Addr(), placement)
	return m.Serve(cmd.Context(), l)
}

// completeFlag completes a flag that takes one of a few words.
func completeFlag(cmd *cobra.Command, flag string, words ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag is not there
	}
}
