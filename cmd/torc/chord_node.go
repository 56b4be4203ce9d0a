package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/crash"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/memcache"
)

// nodeFlags are a node's own.
type nodeFlags struct {
	ring             string
	listen, announce string
	replicas         int
	detach, detached bool
	readyFile        string
	memory, maxValue size
	conns            int
	tls              tlsFlags
}

// newNode is the program node: torc chord node.
func newNode() *cobra.Command { return asChordProgram(newChordNode) }

func newChordNode(g *globals) *cobra.Command {
	f := nodeFlags{maxValue: memcache.DefaultMaxItemSize, conns: memcache.DefaultMaxConns}
	cmd := &cobra.Command{
		Use:   "node N ID [CONNECT]",
		Short: "Run a node of a ring",
		Long: `node runs the node ID of a ring of 2^N places, N from 1 to 160, and ID from 0 to
2^N - 1. It joins the ring that the node CONNECT is of, for which it waits 5 s;
without CONNECT it begins a ring. CONNECT is an identifier, which the nodes of
this machine are found by, or ID@HOST:PORT.

It stays in the foreground, and says in one line when it has joined; with
--detach it returns then. It prints nothing else, but for what goes wrong.

SIGTERM has it hand over all that it owns, and end. By Ctrl-C or SIGKILL it is
gone without a word, and so it is by the program fail; the ring goes on with the
copies that other nodes have.`,
		Example: `  torc chord node 8 1
  torc chord node 8 136 1 --detach
  torc chord node 160 7 --listen 10.0.0.7:7100
  torc chord node 160 8 7@10.0.0.7:7100 --listen 10.0.0.8:7100`,
		Args:              atMost(2, "N", "ID", "CONNECT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			oneThread()
			return chordError(runNode(cmd, g, f, args))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.ring, "ring", defaultRing, "the `name` of the ring on this machine")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "listen on this `host:port`; port 0 is any free one")
	flags.StringVar(&f.announce, "announce", "", "announce this `host:port`, if others reach it by another than it listens on")
	flags.IntVar(&f.replicas, "replicas", chord.DefaultReplicas, "how many nodes besides its owner hold each pair; the same at all nodes")
	flags.BoolVar(&f.detach, "detach", false, "go on in the background once it has joined")
	flags.StringVar(&f.readyFile, "ready-file", "", "write ID@HOST:PORT into this `file` when it has joined")
	flags.Var(&f.memory, "memory", "how much memory to fill; without it a quarter of the machine's")
	flags.Var(&f.maxValue, "max-value", "the largest value; the same at all nodes")
	flags.IntVar(&f.conns, "max-conns", f.conns, "how many clients at once")
	f.tls.add(flags)
	flags.BoolVar(&f.detached, detachedFlag, false, "")
	if err := flags.MarkHidden(detachedFlag); err != nil {
		panic(err) // it is not there
	}
	return cmd
}

// nodeSpec is which node is to be run.
type nodeSpec struct {
	bits    int
	id      string
	contact *chord.NodeName // nil: it begins a ring
}

func parseNodeSpec(args []string) (n nodeSpec, err error) {
	if n.bits, err = strconv.Atoi(args[0]); err != nil {
		return n, fmt.Errorf("a ring has 2^N places, and N is %q: it can be 1 to 160", args[0])
	}
	if n.id, err = chord.ParseID(n.bits, args[1]); err != nil {
		return n, err
	}
	if len(args) < 3 {
		return n, nil
	}
	contact, err := chord.ParseNodeName(args[2])
	if err == nil && contact.ID == n.id {
		err = fmt.Errorf("node %s can't join a ring through itself: name another one, or none to begin a ring", n.id)
	}
	n.contact = &contact
	return n, err
}

func (f *nodeFlags) check() error {
	errs := []error{f.tls.check()}
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := checkListen(f.listen); err != nil {
		fail("--listen: %w", err)
	}
	if f.announce != "" {
		if err := torc.CheckAddr(f.announce); err != nil {
			fail("--announce: %w", err)
		}
	}
	if f.replicas < 0 || f.replicas > chord.MaxReplicas {
		fail("--replicas %d: from 0 to %d", f.replicas, chord.MaxReplicas)
	}
	if f.maxValue > maxItemSize {
		fail("--max-value %s: at most 1G", &f.maxValue)
	}
	if f.conns < 1 {
		fail("--max-conns %d: at least 1", f.conns)
	}
	return errors.Join(errs...)
}

func runNode(cmd *cobra.Command, g *globals, f nodeFlags, args []string) error {
	n, err := parseNodeSpec(args)
	if err := errors.Join(err, f.check()); err != nil {
		return usage(cmd, "%w", err)
	}
	if f.detach {
		return runDetached(cmd, args)
	}
	defer interruptKills()()
	find := chordFlags{ring: f.ring, tls: f.tls}
	admin, err := find.admin()
	if err != nil {
		return err
	}
	rt, err := find.folder(admin)
	if err != nil {
		return err
	}
	l, err := listen("listen", f.listen)
	if err != nil {
		return err
	}
	s := &chord.Server{
		Bits: n.bits, ID: n.id, Boot: rand.Uint64() | 1, Replicas: f.replicas, Addr: f.announce,
		Memory: uint64(f.memory), MaxValue: int(f.maxValue), MaxConns: f.conns, TLS: admin.TLS,
		Log: slog.New(onlyWarnings{newLog(cmd.ErrOrStderr(), terminal.StyleFor(cmd.ErrOrStderr(), g.plain)).Handler()}),
	}
	if s.Addr == "" {
		s.Addr = l.Addr().String()
	}
	switch {
	case s.Replicas == 0 && (n.contact == nil || cmd.Flags().Changed("replicas")):
		s.Replicas = chord.NoReplicas
	case n.contact != nil && !cmd.Flags().Changed("replicas"):
		s.Replicas = 0 // what the ring has
	}
	life := &nodeLife{cmd: cmd, f: &f, n: n, server: s, runtime: rt}
	if err := life.enter(cmd.Context(), admin); err != nil {
		_ = l.Close()
		return err
	}
	return life.serve(l)
}

// nodeLife is a node from when it is in the folder of nodes until it ends.
type nodeLife struct {
	cmd     *cobra.Command
	f       *nodeFlags
	n       nodeSpec
	server  *chord.Server
	runtime *chord.Runtime
	entry   *chord.Registration
}

// enter enters the node into the folder, and finds its contact.
func (l *nodeLife) enter(ctx context.Context, admin *chord.Admin) (err error) {
	within, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	w := chord.Whereabouts{ID: l.n.id, Addr: l.server.Addr, Boot: l.server.Boot, Pid: os.Getpid(), Joined: l.n.contact == nil}
	l.entry, err = l.runtime.Register(within, w)
	switch {
	case errors.Is(err, chord.ErrRingLives):
		return fmt.Errorf("%w: join it by naming a node behind %s, or give another ring a name with --ring", err, l.n.id)
	case err != nil:
		return err
	case l.n.contact == nil:
		return nil
	}
	if l.server.Contact = l.n.contact.Addr; l.server.Contact == "" {
		var at chord.Whereabouts
		if at, err = l.runtime.Await(within, l.n.contact.ID, true); err == nil {
			l.server.Contact = at.Addr
		}
	}
	if err == nil {
		err = l.fits(within, admin)
	}
	if err != nil {
		return errors.Join(err, l.leave())
	}
	return nil
}

// fits waits for the contact, and checks that it is who it is to be, and of a ring that
// this node can be of.
func (l *nodeLife) fits(ctx context.Context, admin *chord.Admin) error {
	for {
		err := awaitNodeAt(ctx, admin, chord.NodeName{ID: l.n.contact.ID, Addr: l.server.Contact})
		if err == nil {
			break
		}
		if !errors.Is(err, chord.ErrNobody) {
			return err
		}
		select { // it may be just starting
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
	info, err := admin.Info(ctx, l.server.Contact)
	switch {
	case err != nil:
		return err
	case info.Bits != l.n.bits:
		return fmt.Errorf("node %s is of a ring with n = %d, not %d", info.ID, info.Bits, l.n.bits)
	case l.server.Replicas != 0 && info.Replicas != max(l.server.Replicas, 0):
		return fmt.Errorf("node %s is of a ring with --replicas %d, not %d", info.ID, info.Replicas, max(l.server.Replicas, 0))
	case info.MaxValue != l.server.MaxValue:
		return fmt.Errorf("node %s is of a ring with --max-value %d, not %d", info.ID, info.MaxValue, l.server.MaxValue)
	}
	return nil
}

// leave takes the node out of the folder.
func (l *nodeLife) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return l.entry.Remove(ctx)
}

// serve runs the node until it ends.
func (l *nodeLife) serve(on net.Listener) error {
	ctx, stop := context.WithCancel(l.cmd.Context())
	defer stop()
	served := make(chan error, 1)
	go func() {
		defer crash.Guard()
		served <- l.server.Serve(ctx, on)
	}()
	var unready error
	select {
	case err := <-served:
		return errors.Join(err, l.leave())
	case <-l.server.Joined():
		if unready = l.ready(); unready != nil {
			stop()
		}
	}
	err := <-served
	if err == nil && unready == nil && l.cmd.Context().Err() == nil {
		fmt.Fprintf(l.cmd.ErrOrStderr(), "%s: %s was told to go\n", l.cmd.CommandPath(), l.n.id)
	}
	return errors.Join(unready, err, l.leave())
}

// ready says that the node has joined, to all that are to know.
func (l *nodeLife) ready() error {
	ctx, cancel := context.WithTimeout(l.cmd.Context(), joinWithin)
	defer cancel()
	if err := l.entry.Joined(ctx); err != nil {
		return err
	}
	how := "has joined"
	if l.n.contact == nil {
		how = fmt.Sprintf("begins a ring of 2^%d places", l.n.bits)
	}
	fmt.Fprintf(l.cmd.ErrOrStderr(), "%s: %s %s, at %s\n", l.cmd.CommandPath(), l.n.id, how, l.server.Addr)
	if l.f.readyFile != "" {
		if err := writeWhole(l.f.readyFile, l.n.id+"@"+l.server.Addr+"\n"); err != nil {
			return fmt.Errorf("--ready-file: %w", err)
		}
	}
	if l.f.detached {
		return goOn(filepath.Join(l.runtime.Dir(), l.n.id+".log"))
	}
	return nil
}

// writeWhole writes a file that nobody sees half of.
func writeWhole(path, text string) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// interruptKills has SIGINT end this process at once: for a node it is the hard
// failure, as Ctrl-C is meant in the ring's requirement. It is called before there is
// anything to lose, and stop undoes it.
func interruptKills() (stop func()) {
	signal.Reset(os.Interrupt)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt) // a shell has what it runs with & ignore it
	done := make(chan struct{})
	go func() {
		defer crash.Guard()
		select {
		case <-signals:
			os.Exit(128 + int(syscall.SIGINT))
		case <-done:
			signal.Stop(signals)
		}
	}()
	return func() { close(done) }
}

// onlyWarnings keeps a log to what goes wrong.
type onlyWarnings struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (h onlyWarnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs implements [slog.Handler].
func (h onlyWarnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return onlyWarnings{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h onlyWarnings) WithGroup(name string) slog.Handler {
	return onlyWarnings{h.Handler.WithGroup(name)}
}
