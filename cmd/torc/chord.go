package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/urlparam"
)

const (
	// chordScheme is that of a ring's URL.
	chordScheme = "chord"
	// joinWithin is how long a node's contact, or a node that is to carry something
	// out, is waited for while it is on its way into the ring.
	joinWithin = 5 * time.Second
	// defaultRing is the name of the ring of who gives it none.
	defaultRing = "default"
)

func newChord(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "chord",
		Short: "What only a chord ring has",
		Long: `A chord ring is nodes that keep keys in their memory, and nobody who leads them.
Each node has an identifier, which is its place on a circle of 2^n places, and
owns the keys whose places are between the node before it and itself; the nodes
that follow it hold copies. Nodes may come and go, fail, or be killed.

A node is named by its identifier, which the nodes of this machine write into a
folder: $TORC_RUN, or else torc-UID in /tmp. ID@HOST:PORT names one anywhere.
node, add, get, remove, update and fail are programs of their own, too.`,
		Example: `  torc chord node 8 1 --detach
  torc chord node 8 136 1 --detach
  torc chord add 1 291 hello
  torc chord get 136 291
  torc chord ring`,
		Args: commandsOnly,
		RunE: showUsage,
	}
	cmd.AddCommand(newChordNode(g), newChordAdd(g), newChordGet(g), newChordRemove(g), newChordUpdate(g), newChordFail(g),
		newChordRing(g), newChordLookup(g), newChordStatus(g), newChordFigures(g))
	return cmd
}

// asChordProgram makes cmd a program of its own, by the name that the ring's
// requirement gives it.
func asChordProgram(build func(*globals) *cobra.Command) *cobra.Command {
	var g globals
	cmd := build(&g)
	name, args, _ := strings.Cut(cmd.Use, " ")
	cmd.Use = name + " [flags] " + args
	cmd.Example = strings.ReplaceAll(cmd.Example, "torc chord "+name, name)
	prepareBare(cmd, &g)
	return cmd
}

// chordFlags say how nodes are found and reached.
type chordFlags struct {
	ring    string
	timeout time.Duration
	tls     tlsFlags
}

func (f *chordFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.ring, "ring", defaultRing, "the `name` of the ring on this machine")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to go on trying")
	f.tls.add(flags)
}

func (f *chordFlags) check(cmd *cobra.Command) error {
	if f.timeout <= 0 {
		return usage(cmd, "--timeout %v: give a time above 0", f.timeout)
	}
	return nil
}

// admin asks nodes.
func (f *chordFlags) admin() (*chord.Admin, error) {
	u := &torc.URL{Scheme: chordScheme}
	f.tls.addTo(u)
	p := urlparam.Parser{URL: u}
	a := &chord.Admin{TLS: p.TLS()}
	return a, p.Err
}

// folder is where the nodes of this machine are found.
func (f *chordFlags) folder(a *chord.Admin) (*chord.Runtime, error) {
	return chord.OpenRuntime(chord.RuntimeFolder(), f.ring, a)
}

// find returns where a node is that has joined its ring. It waits for one that is on
// its way in, and for others that were just being started: in a shell's next command
// they are part of the ring.
func (f *chordFlags) find(ctx context.Context, a *chord.Admin, name chord.NodeName) (addr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	if name.Addr != "" {
		return name.Addr, awaitNodeAt(ctx, a, name)
	}
	rt, err := f.folder(a)
	if err != nil {
		return "", err
	}
	if err := awaitStarting(ctx, rt); err != nil {
		return "", err
	}
	w, err := rt.Await(ctx, name.ID, false)
	return w.Addr, err
}

// awaitNodeAt waits until the node of that name and address has joined.
func awaitNodeAt(ctx context.Context, a *chord.Admin, name chord.NodeName) error {
	for {
		info, err := a.Info(ctx, name.Addr)
		switch {
		case err != nil:
			return err
		case info.ID != name.ID:
			return fmt.Errorf("%w: at %s is node %s, not %s", chord.ErrNoNode, name.Addr, info.ID, name.ID)
		case info.Joined:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: node %v", chord.ErrJoining, name)
		case <-time.After(startingEvery):
		}
	}
}

// startingEvery is how often it is looked whether a node has joined.
const startingEvery = 5 * time.Millisecond

// awaitStarting waits until nobody is on his way into the ring any more; or until ctx
// is done, which is no failure: the ring goes on without them.
func awaitStarting(ctx context.Context, rt *chord.Runtime) error {
	started := newStarting()
	for {
		all, err := rt.Nodes()
		if err != nil {
			return err
		}
		if !started.any(all) {
			joining, err := rt.Joining(ctx)
			if err != nil {
				return err
			}
			if len(joining) == 0 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(startingEvery):
		}
	}
}

// anyNode returns where a node of the ring is: the one that is named, or that --table
// names, or else any of this machine.
func (f *chordFlags) anyNode(cmd *cobra.Command, g *globals, a *chord.Admin, args []string) (addr string, err error) {
	if len(args) > 0 {
		name, err := chord.ParseNodeName(args[0])
		if err != nil {
			return "", usage(cmd, "%w", err)
		}
		return f.find(cmd.Context(), a, name)
	}
	if g.table != "" && !cmd.Flags().Changed("ring") {
		u, err := torc.ParseURL(g.table)
		if err != nil {
			return "", err
		}
		if u.Scheme != chordScheme || len(u.Hosts) == 0 {
			return "", fmt.Errorf("%s is no ring, and %s asks one: name a table like chord://127.0.0.1:7100", u, cmd.CommandPath())
		}
		return u.Hosts[0], nil
	}
	rt, err := f.folder(a)
	if err != nil {
		return "", err
	}
	living, err := rt.Living(cmd.Context())
	if err != nil {
		return "", err
	}
	living = slices.DeleteFunc(living, func(w chord.Whereabouts) bool { return !w.Joined })
	if len(living) == 0 {
		return "", fmt.Errorf("no node lives in %s: start one with torc chord node 8 1, or name one ID@HOST:PORT", rt.Dir())
	}
	return slices.MinFunc(living, func(a, b chord.Whereabouts) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	}).Addr, nil
}

// completeNode completes the identifier of a node of this machine, as a command's
// first argument.
func completeNode(f *chordFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) (ids []string, _ cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 || bindEnvironment(cmd) != nil {
			return nil, directive
		}
		a, err := f.admin()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		rt, err := f.folder(a)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		living, err := rt.Living(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		for _, w := range living {
			if strings.HasPrefix(w.ID, toComplete) {
				ids = append(ids, w.ID+"\t"+w.Addr)
			}
		}
		slices.Sort(ids)
		return ids, directive
	}
}

// atMost is the check of a command whose last arguments may be missing.
func atMost(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		n := min(max(len(args), least), len(names))
		return exactly(names[:n]...)(cmd, args)
	}
}

// chordError is err for a person who called a program of the ring: without the name of
// the package.
func chordError(err error) error {
	var said *saidError
	if err == nil || errors.As(err, &said) {
		return err
	}
	if text, ok := strings.CutPrefix(err.Error(), "chord: "); ok {
		return &rewordedError{text, err}
	}
	return err
}

// rewordedError is an error in other words.
type rewordedError struct {
	text string
	err  error
}

func (e *rewordedError) Error() string { return e.text }
func (e *rewordedError) Unwrap() error { return e.err }
