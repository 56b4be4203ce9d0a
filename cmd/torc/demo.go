package main

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/examples"
	"github.com/torc-dht/torc/internal/demo"
	"github.com/torc-dht/torc/script"
)

func newDemo(g *globals) *cobra.Command {
	var memcached bool
	var keys int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a table at work: three servers, and one is killed",
		Long: `demo starts three servers on this machine and runs a commands file on them.
While it runs, a server is killed and brought back; demo shows what moved and
what did not. It takes a few seconds, needs nothing but this binary, and leaves
nothing behind.

With --memcached the servers are real ones, with a watchdog each and a
ZooKeeper, which Debian's packages memcached and zookeeper bring.

All that it says is measured as it happens. If it is not what torc promises, the
exit code is 1.`,
		Example: `  torc demo
  torc demo --memcached`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if keys < 1 || keys > 100_000 {
				return usage(cmd, "--keys %d: a demo has 1 to 100000 keys", keys)
			}
			commands, err := script.Parse("commands.txt", strings.NewReader(examples.Commands))
			if err != nil {
				return err
			}
			binary, err := os.Executable()
			if err != nil {
				return err
			}
			start := demo.StartOwn
			if memcached {
				start = demo.StartMemcached
			}
			servers, err := start(cmd.Context(), binary)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, servers.Close()) }()
			return demo.Run(cmd.Context(), demo.Config{
				Out: cmd.OutOrStdout(), Style: g.style(cmd), Commands: commands, Keys: keys,
			}, servers)
		},
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.Flags().BoolVar(&memcached, "memcached", false, "with real memcached, watchdogs and a ZooKeeper")
	cmd.Flags().IntVar(&keys, "keys", 600, "how many keys to put")
	return cmd
}
