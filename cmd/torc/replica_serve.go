package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/urlparam"
	"github.com/torc-dht/torc/replica"
)

const (
	// minorityServe and minorityRefuse are what --on-minority takes.
	minorityServe  = "serve"
	minorityRefuse = "refuse"
	// minMemory is the least that --memory takes: 64 without an M is a slip.
	minMemory = 16 << 10
	// adminOff is what --admin takes for none.
	adminOff = "off"
)

type replicaServeFlags struct {
	servers, listen, admin, onMinority string
	peerPort, conns                    int
	tick                               time.Duration
	memory, maxValue                   size
	tls                                tlsFlags
}

// newKVServer is the program kv-server: torc replica serve.
func newKVServer() *cobra.Command {
	var g globals
	return asReplicaProgram(newReplicaServe(&g), &g, "kv-server [flags]", `  kv-server
  kv-server --servers /etc/torc/servers.txt --on-minority refuse
  kv-server --listen 0.0.0.0:8081`)
}

func newReplicaServe(g *globals) *cobra.Command {
	f := replicaServeFlags{
		servers: serversFiles[0], onMinority: minorityServe, tick: 10 * time.Millisecond,
		memory: replica.DefaultMemory, maxValue: replica.DefaultMaxValue, conns: replica.DefaultMaxConns,
	}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a server of a replica table",
		Long: `serve runs one of the one to four servers of a replica table. They are listed in
servers.txt, apart by white space: this one first, then the others. It listens
on the port of the first, for clients, by HTTP, and for the other servers.

  GET /foo HTTP/1.1       answers foo=value, or foo=NIL if there is none
  GET /foo=bar HTTP/1.1   sets foo to bar, and answers foo=what was there

The slash may be missing. Whichever servers die, each that is left has all that
was answered. While too few are left to be sure that there is one history,
answers carry the header X-Torc-Degraded; with --on-minority refuse there are
none then.

It keeps all in memory, and runs until it is interrupted. On a port of loopback
it has /status, /metrics, /livez, /readyz and /healthz.`,
		Example: `  torc replica serve
  torc replica serve --servers /etc/torc/servers.txt --on-minority refuse
  torc replica serve --listen 0.0.0.0:8081 --admin 127.0.0.1:9100`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return runReplicaServe(cmd, g, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.servers, "servers", f.servers, "the `file` that lists the servers, this one first")
	flags.StringVar(&f.listen, "listen", "", "listen on this `host:port`, if not on the first in the file")
	flags.IntVar(&f.peerPort, "peer-port", 0, "the `port` on which servers talk to each other, if not the clients'")
	flags.StringVar(&f.onMinority, "on-minority", f.onMinority, "what to do when too few servers are left: `serve` (labelled) or refuse")
	flags.DurationVar(&f.tick, "tick", f.tick, "what all time-outs are counted in; the same at all servers")
	flags.Var(&f.memory, "memory", "how much the table may hold; the same at all servers")
	flags.Var(&f.maxValue, "max-value", "the largest value, up to 4M")
	flags.IntVar(&f.conns, "max-conns", f.conns, "how many clients at once")
	flags.StringVar(&f.admin, "admin", "", "`host:port` of /status, /metrics and forget, or off; without it 10000 above the server's port, on loopback")
	f.tls.add(flags)
	completeFlag(cmd, "on-minority", minorityServe, minorityRefuse)
	return cmd
}

func (f *replicaServeFlags) check() error {
	errs := []error{f.tls.check()}
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if f.listen != "" {
		if err := checkListen(f.listen); err != nil {
			fail("--listen: %w", err)
		}
	}
	if f.admin != "" && f.admin != adminOff {
		if err := checkListen(loopbackPort(f.admin)); err != nil {
			fail("--admin: %w", err)
		}
	}
	if f.peerPort < 0 || f.peerPort > 65535 {
		fail("--peer-port %d: a port is a number from 1 to 65535", f.peerPort)
	}
	if f.onMinority != minorityServe && f.onMinority != minorityRefuse {
		fail("--on-minority %q: serve or refuse", f.onMinority)
	}
	if f.tick < time.Millisecond || f.tick > time.Second {
		fail("--tick %v: from 1ms to 1s", f.tick)
	}
	if f.memory < minMemory {
		fail("--memory %s: at least 16K", &f.memory)
	}
	if f.maxValue > replica.MaxMaxValue {
		fail("--max-value %s: at most 4M", &f.maxValue)
	}
	if f.conns < 1 {
		fail("--max-conns %d: at least 1", f.conns)
	}
	return errors.Join(errs...)
}

func runReplicaServe(cmd *cobra.Command, g *globals, f replicaServeFlags) error {
	if err := f.check(); err != nil {
		return usage(cmd, "%w", err)
	}
	servers, err := replica.ReadServers(f.servers)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s: it lists the servers, this one first, one a line; or name another with --servers", f.servers)
	}
	if err != nil {
		return err
	}
	u := &torc.URL{Scheme: replicaScheme, Hosts: servers}
	f.tls.addTo(u)
	p := urlparam.Parser{URL: u}
	log := newLog(cmd.ErrOrStderr(), terminal.StyleFor(cmd.ErrOrStderr(), g.plain))
	s := &replica.Server{
		Servers: servers, PeerPort: f.peerPort, RefuseMinority: f.onMinority == minorityRefuse, Tick: f.tick,
		Memory: uint64(f.memory), MaxValue: int(f.maxValue), MaxConns: f.conns, TLS: p.TLS(), Log: log,
	}
	if p.Err != nil {
		return p.Err
	}
	addr := servers[0]
	if f.listen != "" {
		addr = f.listen
	}
	l, err := listen("listen", addr)
	if err != nil {
		return err
	}
	of := "the only server"
	if n := len(servers); n > 1 {
		of = fmt.Sprintf("one of %d servers", n)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: listens on %s, as %s, %s\n", cmd.CommandPath(), l.Addr(), servers[0], of)
	if trap := loopbackTrap(l.Addr(), servers); trap != "" {
		log.Warn(trap)
	}
	m, err := f.startAdmin(cmd, s)
	if err != nil {
		_ = l.Close()
		return err
	}
	err = s.Serve(cmd.Context(), l)
	if m != nil {
		err = errors.Join(err, m.Close())
	}
	return err
}

// startAdmin serves the admin port. That the port nobody asked for is somebody
// else's keeps no server from serving.
func (f *replicaServeFlags) startAdmin(cmd *cobra.Command, s *replica.Server) (*monitor, error) {
	addr := f.admin
	switch addr {
	case adminOff:
		return nil, nil
	case "":
		addr = replica.DefaultAdminAddr(s.Servers[0])
	}
	m, err := startMonitor(cmd, "admin", addr, administered(s))
	if err != nil && f.admin == "" {
		s.Log.Warn("there are no /status, /metrics and forget: " + err.Error())
		return nil, nil
	}
	return m, err
}

// loopbackTrap says that other machines can't reach a server whose name means
// loopback on its own, as Debian's /etc/hosts has it; "" if all is well.
func loopbackTrap(at net.Addr, servers []string) string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() {
		return ""
	}
	for _, addr := range servers {
		host, _, _ := net.SplitHostPort(addr)
		ips, err := net.DefaultResolver.LookupIP(context.Background(), "ip", host)
		if err == nil && len(ips) > 0 && !ips[0].IsLoopback() {
			own, port, _ := net.SplitHostPort(servers[0])
			return fmt.Sprintf("%s is this machine's loopback address, where %s can't reach it: listen elsewhere with --listen 0.0.0.0:%s", strings.Trim(own, "[]"), addr, port)
		}
	}
	return ""
}
