package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/crash"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// shutdownWithin is how long a server that is told to end waits for the requests
// under way. A request takes microseconds once it has arrived; what takes longer
// is a client that sends or reads slowly, and whoever stops a server does not
// wait for that one.
const shutdownWithin = 2 * time.Second

// maxItemSize is the largest --max-item-size, as in memcached.
const maxItemSize = 1 << 30

type serveFlags struct {
	listen           string
	memory, itemSize size
	conns            int
	cert, key        string
}

func newServe(*globals) *cobra.Command {
	f := serveFlags{memory: store.DefaultMaxBytes, itemSize: memcache.DefaultMaxItemSize}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run one memcached-compatible server",
		Long: `serve runs one server that speaks memcached's protocol, text and meta commands,
and keeps what it is given in this process's memory. When the memory is full it
evicts what was least recently used. It serves until it is interrupted.

It listens on loopback unless it is told otherwise: whoever reaches its port can
read and write everything in it.`,
		Example: `  torc serve
  torc serve --listen 10.0.0.7:11211 --memory 2G
  torc serve --listen 127.0.0.1:0 --tls-cert cert.pem --tls-key key.pem`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return serve(cmd, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", "127.0.0.1:11211", "where to listen, `host:port`; port 0 is any free one")
	flags.Var(&f.memory, "memory", "how much memory to fill before evicting")
	flags.Var(&f.itemSize, "max-item-size", "the largest value")
	flags.IntVar(&f.conns, "max-conns", memcache.DefaultMaxConns, "how many clients at once")
	flags.StringVar(&f.cert, "tls-cert", "", "speak TLS with the certificate in this PEM `file`")
	flags.StringVar(&f.key, "tls-key", "", "the certificate's key, a PEM `file`")
	return cmd
}

// validate reports every flag that can't be.
func (f *serveFlags) validate() error {
	var errs []error
	if err := checkListen(f.listen); err != nil {
		errs = append(errs, fmt.Errorf("--listen: %w", err))
	}
	if f.itemSize > maxItemSize {
		errs = append(errs, fmt.Errorf("--max-item-size %s: at most 1G", &f.itemSize))
	}
	if f.conns < 1 {
		errs = append(errs, fmt.Errorf("--max-conns %d: at least 1", f.conns))
	}
	if (f.cert == "") != (f.key == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key go together"))
	}
	return errors.Join(errs...)
}

// checkListen says what is wrong with addr as one to listen on, where port 0 is
// any free one.
func checkListen(addr string) error {
	if host, port, err := net.SplitHostPort(addr); err == nil && port == "0" {
		return torc.CheckAddr(net.JoinHostPort(host, "1"))
	}
	return torc.CheckAddr(addr)
}

// listen listens on addr, which the flag of that name gave.
func listen(flag, addr string) (net.Listener, error) {
	if err := checkListen(addr); err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	l, err := net.Listen(network(addr), addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program: choose another address with --%s", addr, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is no address of this machine: choose another with --%s", addr, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("this user may not listen on %s: choose a port above 1023 with --%s", addr, flag)
	case err != nil:
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return l, nil
}

// network is what to listen on for addr: Go takes 0.0.0.0 for every IPv6 address
// too.
func network(addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

func serve(cmd *cobra.Command, f serveFlags) error {
	if err := f.validate(); err != nil {
		return usage(cmd, "%w", err)
	}
	items := store.New(store.Config{MaxBytes: int64(f.memory)})
	if most := items.MaxItemBytes(); int64(f.itemSize) > most {
		return usage(cmd, "--max-item-size %s does not fit --memory %s, which takes values up to %d bytes: give it more memory", &f.itemSize, &f.memory, most)
	}
	var config *tls.Config
	if f.cert != "" {
		cert, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		config = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	}
	l, err := listen("listen", f.listen)
	if err != nil {
		return err
	}
	addr, with := l.Addr().String(), ""
	if config != nil {
		l, with = tls.NewListener(l, config), ", with TLS"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "torc: serve listens on %s%s\n", addr, with)

	server := &memcache.Server{
		Handler:     memcache.NewHandler(items),
		MaxConns:    f.conns,
		MaxItemSize: int(f.itemSize),
		ErrorLog:    log.New(cmd.ErrOrStderr(), "torc: ", log.LstdFlags|log.Lmsgprefix),
	}
	ended := make(chan error, 1)
	go func() {
		defer crash.Guard()
		ended <- server.Serve(l)
	}()
	select {
	case err := <-ended:
		return errors.Join(err, server.Close())
	case <-cmd.Context().Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownWithin)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // cuts off who is still at it
	}
	if err := <-ended; !errors.Is(err, memcache.ErrServerClosed) {
		return err
	}
	return nil
}
