package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/internal/crash"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/urlparam"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard"
)

type shardServerFlags struct {
	listenFlags
	master           masterFlags
	memory, maxValue size
	conns            int
}

// newSvr is the program svr: torc shard server.
func newSvr() *cobra.Command {
	var g globals
	return asShardProgram(newShardServer(&g), &g, "svr", `  svr -p 1026 -m 1025
  svr -p 1026 -m 1025 --memory 2G
  svr -p 7001 --host 10.0.0.8 --master 10.0.0.7:7000`)
}

func newShardServer(g *globals) *cobra.Command {
	f := shardServerFlags{maxValue: memcache.DefaultMaxItemSize, conns: memcache.DefaultMaxConns}
	cmd := &cobra.Command{
		Use:   "server -p PORT -m MASTER_PORT",
		Short: "Run a server of a sharded table",
		Long: `A server joins the master and gets its share of the keys; it prints "joined" on
standard output when it has it. If there is no master yet, it waits for one.

It keeps keys in its memory, and never drops any for want of room: when --memory
is used up, writes that need more are refused.

Interrupted, it hands over all it has and ends. Killed, its copies on other
servers take over.`,
		Example: `  torc shard server -p 7001 -m 7000
  torc shard server -p 7001 --host 10.0.0.8 --master 10.0.0.7:7000 --memory 2G`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return runShardServer(cmd, g, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.add(cmd)
	flags.StringVarP(&f.master.port, "master-port", "m", "", "the `PORT` on which the master listens, on --host")
	addMasterFlags(cmd, &f.master)
	flags.Var(&f.memory, "memory", "how much memory to fill; without it a quarter of the machine's")
	flags.Var(&f.maxValue, "max-value", "the largest value; the same at all servers")
	flags.IntVar(&f.conns, "max-conns", f.conns, "how many clients at once")
	return cmd
}

func (f *shardServerFlags) check() error {
	errs := []error{f.listenFlags.check(), f.master.tls.check()}
	if f.maxValue > maxItemSize {
		errs = append(errs, fmt.Errorf("--max-value %s: at most 1G", &f.maxValue))
	}
	if f.conns < 1 {
		errs = append(errs, fmt.Errorf("--max-conns %d: at least 1", f.conns))
	}
	return errors.Join(errs...)
}

func runShardServer(cmd *cobra.Command, g *globals, f shardServerFlags) error {
	if err := f.check(); err != nil {
		return usage(cmd, "%w", err)
	}
	oneThread()
	f.master.host = f.host
	u, err := f.master.url(cmd, g)
	if err != nil {
		return err
	}
	p := urlparam.Parser{URL: u}
	s := &shard.Server{
		Masters: u.Hosts, Addr: f.announce,
		Memory: uint64(f.memory), MaxValue: int(f.maxValue), MaxConns: f.conns, TLS: p.TLS(),
		Log: newLog(cmd.ErrOrStderr(), terminal.StyleFor(cmd.ErrOrStderr(), g.plain)),
	}
	if p.Err != nil {
		return p.Err
	}
	l, err := f.listen()
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: listens on %s, of the master at %s\n", cmd.CommandPath(), l.Addr(), strings.Join(s.Masters, ", "))
	return serveAndTell(cmd, s, l)
}

// serveAndTell serves, and prints "joined" when the server has its share.
func serveAndTell(cmd *cobra.Command, s *shard.Server, l net.Listener) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	told := make(chan struct{})
	go func() {
		defer crash.Guard()
		defer close(told)
		select {
		case <-s.Joined():
			fmt.Fprintln(cmd.OutOrStdout(), "joined")
		case <-ctx.Done():
		}
	}()
	err := s.Serve(ctx, l)
	cancel()
	<-told
	return err
}
