package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/fleet/watchdog"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
)

func newWatchdog(g *globals) *cobra.Command {
	var (
		announce string
		weight   uint32
		noFlush  bool
	)
	cmd := &cobra.Command{
		Use:   "watchdog [flags] HOST:PORT",
		Short: "Announce the memcached at HOST:PORT while it answers",
		Long: `watchdog keeps the memcached at HOST:PORT announced in the table's ZooKeeper
while it answers, and takes the announcement back when it doesn't: one watchdog
runs beside each memcached. HOST:PORT is the address that clients use, and it is
checked over that. It never starts or stops the memcached.

A memcached that was away may hold values that have changed since. The stamps on
the values tell clients which. In a fleet without stamps (stamp=off) the
watchdog empties it before it announces it again.

What happens is one line each on standard error. It runs until it is
interrupted, and then takes the announcement back.`,
		Example: `  torc --table zk://127.0.0.1:2181/torc fleet watchdog 127.0.0.1:11211
  torc --table zk://zk1:2181/torc fleet watchdog --weight 2 10.0.0.7:11211`,
		Args:              exactly("HOST:PORT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			directory, shared, err := g.zooKeeper(cmd)
			if err != nil {
				return err
			}
			if weight == 0 {
				return usage(cmd, "--weight 0: a server that shall hold no keys is drained, see torc fleet drain")
			}
			out := cmd.ErrOrStderr()
			style := terminal.StyleFor(out, g.plain)
			cfg := watchdog.Config{
				Addr: args[0], Announce: announce, Weight: weight,
				Directory: directory, NoFlush: noFlush,
				Report: func(e watchdog.Event) {
					fmt.Fprintf(out, "%s  %s\n", style.Dim(textform.Clock(e.Time)), paintEvent(e, style))
				},
			}
			cfg.Probe.TLS = shared.TLS
			return watchdog.Run(cmd.Context(), cfg)
		},
	}
	cmd.Flags().StringVar(&announce, "announce", "", "announce this `host:port`, where clients reach the memcached by another address")
	cmd.Flags().Uint32Var(&weight, "weight", 1, "the server's share of the keys, against the others' weights")
	cmd.Flags().BoolVar(&noFlush, "no-flush", false, "announce the memcached with what it holds, stale or not")
	return cmd
}

// newWatchdogProgram is the program watchdog: torc fleet watchdog, for the fleet
// on this machine's ZooKeeper.
func newWatchdogProgram() *cobra.Command {
	var g globals
	cmd := newWatchdog(&g)
	cmd.Example = `  watchdog 127.0.0.1:11211
  watchdog --table zk://zk1:2181,zk2:2181/torc --weight 2 10.0.0.7:11211`
	prepare(cmd, &g, defaultFleet)
	return cmd
}

func paintEvent(e watchdog.Event, style terminal.Style) string {
	switch e.Kind {
	case watchdog.Announced:
		return style.Good(e.String())
	case watchdog.Withdrawn, watchdog.Down:
		return style.Bad(e.String())
	case watchdog.LostContact, watchdog.Expired, watchdog.FlushFailed, watchdog.Vanished, watchdog.Failed:
		return style.Warn(e.String())
	}
	return e.String()
}
