package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/urlparam"
	"github.com/torc-dht/torc/replica"
)

// replicaScheme is that of a replica table's URL.
const replicaScheme = "replica"

// serversFiles are where the servers of a replica table are listed, in the current
// folder: the first that is there. Its requirement calls it by both names.
var serversFiles = []string{"servers.txt", "server.txt"}

func newReplica(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replica",
		Short: "What only a replica table has",
		Long: `A replica table is one to four servers that each hold all of it. They agree on
each write before it is answered, so any one that is left has every one of them;
clients ask any server, over HTTP.

Each server reads servers.txt in its current folder: its own address, then those
of the others.`,
		Example: `  torc replica serve
  curl http://127.0.0.1:8081/greeting=hello
  torc replica client -h 127.0.0.1:8081,127.0.0.1:8082 greeting
  torc replica status`,
		Args: commandsOnly,
		RunE: showUsage,
	}
	cmd.AddCommand(newReplicaServe(g), newReplicaClient(g), newReplicaStatus(g), newReplicaForget(g))
	return cmd
}

// asReplicaProgram makes cmd a program of its own, by the name that the issue of the
// replicated store gives it. It has no table: servers are in its options or a file.
func asReplicaProgram(cmd *cobra.Command, g *globals, use, example string) *cobra.Command {
	cmd.Use = use
	cmd.Example = example
	prepareBare(cmd, g)
	return cmd
}

// hostsFlags say where the servers of a table are, for who asks them.
type hostsFlags struct {
	hosts, file string
	tls         tlsFlags
}

// add gives cmd the flags; shorthand is that of --hosts, or "".
func (f *hostsFlags) add(cmd *cobra.Command, shorthand string) {
	flags := cmd.Flags()
	flags.StringVarP(&f.hosts, "hosts", shorthand, "", "servers, `host:port,...`; some of the table's will do")
	flags.StringVar(&f.file, "servers", "", "the `file` that lists them; without it servers.txt or server.txt here")
	f.tls.add(flags)
	for _, name := range []string{"hosts", "servers"} {
		flags.Lookup(name).Annotations = map[string][]string{insteadOf: {"hosts", "servers", "table"}}
	}
}

// url returns the URL of the table whose servers the flags name, else --table, else
// the file in the current folder.
func (f *hostsFlags) url(cmd *cobra.Command, g *globals) (*torc.URL, error) {
	u := &torc.URL{Scheme: replicaScheme}
	switch {
	case f.hosts != "":
		for addr := range strings.SplitSeq(f.hosts, ",") {
			if addr = strings.TrimSpace(addr); slices.Contains(u.Hosts, addr) {
				continue
			}
			if err := torc.CheckAddr(addr); err != nil {
				return nil, usage(cmd, "--hosts: %w", err)
			}
			u.Hosts = append(u.Hosts, addr)
		}
	case f.file != "":
		var err error
		if u.Hosts, err = replica.ReadServers(f.file); err != nil {
			return nil, fmt.Errorf("--servers: %w", err)
		}
	case g.table != "":
		var err error
		if u, err = torc.ParseURL(g.table); err != nil {
			return nil, err
		}
		if u.Scheme != replicaScheme || len(u.Hosts) == 0 {
			return nil, fmt.Errorf("%s is no replica table, and %s asks one: name a table like replica://127.0.0.1:8081", u, cmd.CommandPath())
		}
	default:
		var err error
		if u.Hosts, err = serversHere(); err != nil {
			return nil, err
		}
		if u.Hosts == nil {
			return nil, usage(cmd, "where are the servers? name some with --hosts HOST:PORT,..., or list them in servers.txt here")
		}
	}
	f.tls.addTo(u)
	return u, nil
}

// serversHere reads the file in the current folder; nil if there is none.
func serversHere() ([]string, error) {
	for _, file := range serversFiles {
		servers, err := replica.ReadServers(file)
		if !errors.Is(err, fs.ErrNotExist) {
			return servers, err
		}
	}
	return nil, nil
}

// reach returns the addresses of servers, and the TLS that they speak, nil for none.
func (f *hostsFlags) reach(cmd *cobra.Command, g *globals) ([]string, *tls.Config, error) {
	u, err := f.url(cmd, g)
	if err != nil {
		return nil, nil, err
	}
	p := urlparam.Parser{URL: u}
	config := p.TLS()
	return u.Hosts, config, p.Err
}
