package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/zookeeper"
)

func newFleet(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "What only a fleet of memcached servers has",
		Long: `A fleet is memcached servers that announce themselves in ZooKeeper, each by a
watchdog beside it. These commands take a table with a zk:// URL; rebalance
takes a list of servers too.`,
		Example: `  torc --table zk://127.0.0.1:2181/torc fleet watchdog 127.0.0.1:11211`,
		Args:    commandsOnly,
		RunE:    showUsage,
	}
	cmd.AddCommand(newWatchdog(g), newDrain(g), newUndrain(g), newRebalance(g))
	return cmd
}

// parsedURL returns the table's URL.
func (g *globals) parsedURL() (*torc.URL, error) {
	raw, err := g.url()
	if err != nil {
		return nil, err
	}
	return torc.ParseURL(raw)
}

// zooKeeper returns what the table's URL says of its directory in ZooKeeper.
func (g *globals) zooKeeper(cmd *cobra.Command) (zookeeper.Options, fleet.Options, error) {
	u, err := g.parsedURL()
	if err != nil {
		return zookeeper.Options{}, fleet.Options{}, err
	}
	if u.Scheme != zookeeper.Scheme {
		return zookeeper.Options{}, fleet.Options{}, fmt.Errorf("%s keeps its members in no ZooKeeper, and %s needs one: name a table like %s", u, cmd.CommandPath(), defaultFleet)
	}
	return zookeeper.ParseURL(u)
}
