package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/urlparam"
	"github.com/torc-dht/torc/shard"
)

// shardScheme is that of a sharded table's URL.
const shardScheme = "shard"

func newShard(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shard",
		Short: "What only a sharded table has",
		Long: `A sharded table is servers that keep keys in their memory, and one master that
knows which of them has which. Servers may come and go, or be killed, and so may
the master: with two copies of each key, the default, nothing is lost.

status, forget and rebalance ask the master of the table, shard://HOST:PORT, or
the one that --master names.`,
		Example: `  torc shard master -p 7000
  torc shard server -p 7001 -m 7000
  torc shard server -p 7002 -m 7000
  torc --table shard://127.0.0.1:7000 put greeting hello
  torc --table shard://127.0.0.1:7000 shard status`,
		Args: commandsOnly,
		RunE: showUsage,
	}
	cmd.AddCommand(newShardMaster(g), newShardServer(g), newShardClient(g),
		newShardStatus(g), newShardForget(g), newShardRebalance(g))
	return cmd
}

// asShardProgram makes cmd a program of its own, by the name that the sharded
// store's requirement gives it. It has no table: its options say where the master
// is.
func asShardProgram(cmd *cobra.Command, g *globals, name, example string) *cobra.Command {
	cmd.Use = name + " [flags]"
	cmd.Example = example
	prepareBare(cmd, g)
	return cmd
}

// masterFlags say where a table's master is, and how TLS is spoken.
type masterFlags struct {
	host, port, master string
	tls                tlsFlags
}

// addMasterFlags gives cmd the flags that say where its master is, all but -m, which
// comes before if there is one.
func addMasterFlags(cmd *cobra.Command, f *masterFlags) {
	flags := cmd.Flags()
	flags.StringVar(&f.master, "master", "", "the master's `host:port`; of several of which one leads, all, with commas")
	f.tls.add(flags)
	for _, name := range []string{"master", "master-port"} {
		if flag := flags.Lookup(name); flag != nil {
			flag.Annotations = map[string][]string{insteadOf: {"master", "master-port", "table"}}
		}
	}
}

// url returns the URL of the table whose master the flags name, or else --table.
func (f *masterFlags) url(cmd *cobra.Command, g *globals) (*torc.URL, error) {
	u := &torc.URL{Scheme: shardScheme}
	switch {
	case f.master != "":
		u.Hosts = strings.Split(f.master, ",")
		for _, addr := range u.Hosts {
			if err := torc.CheckAddr(addr); err != nil {
				return nil, usage(cmd, "--master: %w", err)
			}
		}
	case f.port != "":
		if err := checkPort("-m", f.port); err != nil {
			return nil, usage(cmd, "%w", err)
		}
		u.Hosts = []string{net.JoinHostPort(f.host, f.port)}
	case g.table != "":
		var err error
		if u, err = torc.ParseURL(g.table); err != nil {
			return nil, err
		}
		if u.Scheme != shardScheme || len(u.Hosts) == 0 {
			return nil, fmt.Errorf("%s has no master, and %s asks one: name a table like shard://127.0.0.1:7000", u, cmd.CommandPath())
		}
		for _, addr := range u.Hosts {
			if err := torc.CheckAddr(addr); err != nil {
				return nil, fmt.Errorf("%s: %w", u, err)
			}
		}
	default:
		return nil, usage(cmd, "where is the master? %s", waysToName(cmd))
	}
	f.tls.addTo(u)
	return u, nil
}

// waysToName says by which of cmd's flags a master can be named.
func waysToName(cmd *cobra.Command) string {
	var ways []string
	if cmd.Flags().Lookup("master-port") != nil {
		ways = append(ways, "-m PORT")
	}
	ways = append(ways, "--master HOST:PORT")
	if cmd.Flags().Lookup("table") != nil {
		ways = append(ways, "--table shard://HOST:PORT")
	}
	return "name it with " + strings.Join(ways[:len(ways)-1], ", ") + " or " + ways[len(ways)-1]
}

// admin returns the table's master, to be asked.
func (f *masterFlags) admin(cmd *cobra.Command, g *globals) (*shard.Admin, error) {
	u, err := f.url(cmd, g)
	if err != nil {
		return nil, err
	}
	p := urlparam.Parser{URL: u}
	a := &shard.Admin{Masters: u.Hosts, TLS: p.TLS()}
	return a, p.Err
}

// tlsFlags say how TLS is spoken. Any of them that is set turns it on.
type tlsFlags struct {
	on                  bool
	ca, cert, key, name string
}

func (f *tlsFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.on, "tls", false, "speak TLS; the following imply it")
	flags.StringVar(&f.ca, "tls-ca", "", "trust the certificates in this PEM `file`, and not the system's")
	flags.StringVar(&f.cert, "tls-cert", "", "speak TLS with the certificate in this PEM `file`")
	flags.StringVar(&f.key, "tls-key", "", "the certificate's key, a PEM `file`")
	flags.StringVar(&f.name, "tls-name", "", "the `name` that the others' certificates carry, if not their host")
}

// addTo writes the flags that are set into a table's URL.
func (f *tlsFlags) addTo(u *torc.URL) {
	set := func(name, value string) {
		if value == "" {
			return
		}
		if u.Query == nil {
			u.Query = make(url.Values)
		}
		u.Query.Set("tls", "on")
		u.Query.Set(name, value)
	}
	set("tls-ca", f.ca)
	set("tls-cert", f.cert)
	set("tls-key", f.key)
	set("tls-name", f.name)
	if f.on {
		set("tls", "on")
	}
}

// check says what a server lacks to speak TLS.
func (f *tlsFlags) check() error {
	if (f.on || f.ca != "" || f.name != "" || f.cert != "" || f.key != "") && (f.cert == "" || f.key == "") {
		return errors.New("who listens needs --tls-cert and --tls-key for TLS")
	}
	return nil
}

// checkPort says what is wrong with what a flag gave as a port, if anything.
func checkPort(flag, text string) error {
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 || text[0] == '0' {
		return fmt.Errorf("%s %q: a port is a number from 1 to 65535", flag, text)
	}
	return nil
}

// oneThread keeps this process to one processor, unless the environment says how many:
// as the sharded store's requirement wants it of servers and master, and as a chord
// node, whose state is one goroutine's, costs least.
func oneThread() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
