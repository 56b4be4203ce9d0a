package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/fleet/zookeeper"
)

func newDrain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "drain HOST:PORT",
		Short: "Take a server's keys away until undrain",
		Long: `drain makes clients place no keys on the server at HOST:PORT, although it is
there: before it is taken out of service, say. It holds until undrain, whatever
becomes of server and watchdog meanwhile, and it may be said before the server
announces itself.`,
		Example:           `  torc fleet drain 10.0.0.7:11211`,
		Args:              exactly("HOST:PORT"),
		ValidArgsFunction: completeMember(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withDirectory(cmd, func(ctx context.Context, d *zookeeper.Directory) error {
				return d.Drain(ctx, args[0])
			})
		},
	}
}

func newUndrain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "undrain HOST:PORT",
		Short: "Give a drained server keys again",
		Long: `undrain takes back what drain said of the server at HOST:PORT. It is no failure
if nobody has said it.`,
		Example:           `  torc fleet undrain 10.0.0.7:11211`,
		Args:              exactly("HOST:PORT"),
		ValidArgsFunction: completeMember(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withDirectory(cmd, func(ctx context.Context, d *zookeeper.Directory) error {
				return d.Undrain(ctx, args[0])
			})
		},
	}
}

// withDirectory calls do with the table's directory in ZooKeeper, under a
// context that the timeout bounds.
func (g *globals) withDirectory(cmd *cobra.Command, do func(context.Context, *zookeeper.Directory) error) error {
	o, _, err := g.zooKeeper(cmd)
	if err != nil {
		return err
	}
	d, err := zookeeper.New(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout)
	defer cancel()
	return do(ctx, d)
}
