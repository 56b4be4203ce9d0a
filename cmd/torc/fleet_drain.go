package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/zookeeper"
	"github.com/torc-dht/torc/memcache"
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
	var noFlush bool
	cmd := &cobra.Command{
		Use:   "undrain HOST:PORT",
		Short: "Give a drained server keys again",
		Long: `undrain takes back what drain said of the server at HOST:PORT. It is no failure
if nobody has said it.

A server that was drained holds what it held before, and others took its keys
meanwhile. The stamps on the values tell what is stale. A fleet without stamps
(stamp=off) has the server emptied first, and one that can't be emptied stays
drained.`,
		Example:           `  torc fleet undrain 10.0.0.7:11211`,
		Args:              exactly("HOST:PORT"),
		ValidArgsFunction: completeMember(g),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, shared, err := g.zooKeeper(cmd)
			if err != nil {
				return err
			}
			return g.withDirectory(cmd, func(ctx context.Context, d *zookeeper.Directory) error {
				config, _, err := d.Config(ctx)
				if err != nil {
					return err
				}
				if config.Stamps == fleet.StampsOff && !noFlush {
					if err := flushDrained(ctx, d, args[0], shared.TLS); err != nil {
						return fmt.Errorf("%s stays drained, since it can't be flushed: %w: --no-flush gives it keys all the same", args[0], err)
					}
				}
				return d.Undrain(ctx, args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&noFlush, "no-flush", false, "give it keys with what it holds, stale or not")
	return cmd
}

// flushDrained empties the server at addr if it is drained and announced. One
// that isn't announced its watchdog flushes before it announces it.
func flushDrained(ctx context.Context, d *zookeeper.Directory, addr string, secure *tls.Config) error {
	_, children, err := d.List(ctx)
	if err != nil {
		return err
	}
	is := func(kind zookeeper.Kind) bool {
		return slices.ContainsFunc(children, func(c zookeeper.Child) bool { return c.Kind == kind && c.Addr == addr })
	}
	if !is(zookeeper.Drain) || !is(zookeeper.Announcement) {
		return nil
	}
	client := memcache.NewClient(addr, memcache.Config{Conns: 1, TLS: secure})
	defer client.Close()
	return client.FlushAll(ctx)
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
