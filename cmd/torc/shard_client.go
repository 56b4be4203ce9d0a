package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/urlparam"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard"
)

type shardClientFlags struct {
	host, port            string
	operation, key, value string
	direct                string
	master                masterFlags
	timeout               time.Duration
}

// newClt is the program clt: torc shard client.
func newClt() *cobra.Command {
	var g globals
	return asShardProgram(newShardClient(&g), &g, "clt", `  clt -p 1026 -o PUT -k 1 -v 1000 -m 1025 -d 0
  clt -p 1026 -o GET -k 1 -m 1025 -d 0
  clt -p 1026 -o GET -k 1 -d 1`)
}

func newShardClient(g *globals) *cobra.Command {
	var f shardClientFlags
	cmd := &cobra.Command{
		Use:   "client -o GET|PUT -k KEY [-v VALUE] -m MASTER_PORT [-d 0|1] [-p PORT]",
		Short: "Put or get one key of a sharded table",
		Long: `The client puts or gets one key. With -d 0, which is the default, it asks the
master where the key lies, and with -d 1 the server at -p and nobody else. What
a mode doesn't use is ignored: -p with -d 0, -m with -d 1, -v with GET.

GET prints the value and a newline on standard output. Exit codes: 0 done; 2 GET
found no such key, with -d 1 also where another server has it; 1 anything else.

While the master or the server refuses connections, no server has joined yet, or
the key moves, it tries again until --timeout.`,
		Example: `  torc shard client -o PUT -k 1 -v 1000 -m 7000
  torc shard client -o GET -k 1 -m 7000
  torc shard client -o GET -k 1 -p 7001 -d 1`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return runShardClient(cmd, g, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.operation, "operation", "o", "", "`GET|PUT`")
	flags.StringVarP(&f.key, "key", "k", "", "the `KEY`, of 1 to 250 bytes")
	flags.StringVarP(&f.value, "value", "v", "", "the `VALUE` to put; '' is an empty one")
	flags.StringVarP(&f.master.port, "master-port", "m", "", "the `PORT` on which the master listens, on --host")
	flags.StringVarP(&f.direct, "direct", "d", "0", "ask the server at -p directly: `0|1`")
	flags.StringVarP(&f.port, "port", "p", "", "the `PORT` on which the server listens, on --host")
	flags.StringVar(&f.host, "host", "127.0.0.1", "the `host` of -m and -p")
	addMasterFlags(cmd, &f.master)
	flags.DurationVar(&f.timeout, "timeout", 2*time.Second, "how long to go on trying")
	completeFlag(cmd, "operation", "GET", "PUT")
	completeFlag(cmd, "direct", "0", "1")
	return cmd
}

func (f *shardClientFlags) check(cmd *cobra.Command) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	f.operation = strings.ToUpper(f.operation)
	switch f.operation {
	case "GET":
	case "PUT":
		if !cmd.Flags().Changed("value") {
			fail("-v is missing: the value to put")
		}
	case "":
		fail("-o is missing: GET or PUT")
	default:
		fail("-o %q: GET or PUT", f.operation)
	}
	if f.key == "" {
		fail("-k is missing: the key")
	} else if err := memcache.CheckKey(f.key); err != nil {
		fail("-k: %s", strings.TrimPrefix(err.Error(), memcache.ErrKey.Error()+": "))
	}
	switch f.direct {
	case "0":
	case "1":
		if f.port == "" {
			fail("-p is missing: with -d 1 the server's port")
		} else if err := checkPort("-p", f.port); err != nil {
			fail("%w", err)
		}
	default:
		fail("-d %q: 0 or 1", f.direct)
	}
	if f.timeout <= 0 {
		fail("--timeout %v: give a time above 0", f.timeout)
	}
	return errors.Join(errs...)
}

func runShardClient(cmd *cobra.Command, g *globals, f shardClientFlags) error {
	if err := f.check(cmd); err != nil {
		return usage(cmd, "%w", err)
	}
	client, err := f.client(cmd, g)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	if f.operation == "PUT" {
		return client.Put(ctx, f.key, []byte(f.value))
	}
	value, err := client.Get(ctx, f.key)
	if errors.Is(err, shard.ErrElsewhere) {
		return fmt.Errorf("%w: %w here", err, torc.ErrNotFound)
	}
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(append(value, '\n'))
	return err
}

func (f *shardClientFlags) client(cmd *cobra.Command, g *globals) (*shard.Once, error) {
	u := &torc.URL{Scheme: shardScheme}
	once := new(shard.Once)
	if f.direct == "1" {
		once.Server = net.JoinHostPort(f.host, f.port)
		u.Hosts = []string{once.Server}
		f.master.tls.addTo(u)
	} else {
		var err error
		f.master.host = f.host
		if u, err = f.master.url(cmd, g); err != nil {
			return nil, err
		}
		once.Masters = u.Hosts
	}
	p := urlparam.Parser{URL: u}
	once.TLS = p.TLS()
	return once, p.Err
}
