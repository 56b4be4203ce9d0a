package shell

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/textform"
)

var nodesCommand = command{
	name:  "nodes",
	short: "list the nodes and how they stand",
	prepare: func(*pflag.FlagSet) action {
		return func(ctx context.Context, c *call, _ []string) error {
			v, err := c.view(ctx)
			if err != nil {
				return err
			}
			c.result = v
			c.print(textform.View(v, c.style()))
			return nil
		}
	},
}

var addCommand = command{
	name: "add", args: "HOST:PORT",
	short:   "make a server a node, and move to it what it should hold",
	arrange: address,
	long: `HOST PORT is HOST:PORT. A server that doesn't answer is refused. What becomes of
the entries of one that isn't empty is asked; where there is nobody to ask, one
of the flags says it.
`,
	complete: completeDrained,
	prepare: func(flags *pflag.FlagSet) action {
		weight := flags.Uint32("weight", 1, "its share of the keys against the others' `weights`")
		flush := flags.Bool("flush", false, "empty it first")
		keep := flags.Bool("keep", false, "what it holds counts as the table's")
		return func(ctx context.Context, c *call, args []string) error {
			o := torc.AddOptions{Weight: *weight}
			switch {
			case *flush && *keep:
				return usageErrorf("--flush and --keep exclude each other")
			case *weight == 0:
				return usageErrorf("--weight 0: give a number above 0")
			case *flush:
				o.Contents = torc.FlushContents
			case *keep:
				o.Contents = torc.KeepContents
			}
			return c.add(ctx, args[0], o)
		}
	},
}

func (c *call) add(ctx context.Context, addr string, o torc.AddOptions) error {
	t, ok := c.Table.(torc.Roster)
	if !ok {
		return unsupported("no person decides on its nodes")
	}
	if err := torc.CheckAddr(addr); err != nil {
		return usageError{err}
	}
	err := c.addMember(ctx, t, addr, o)
	if o.Contents == torc.RefuseContents && errors.Is(err, torc.ErrNotEmpty) {
		if o.Contents, err = c.askContents(addr, err); err != nil {
			return err
		}
		err = c.addMember(ctx, t, addr, o)
	}
	if err != nil {
		return err
	}
	return c.follow(ctx, addr, "added")
}

func (c *call) addMember(ctx context.Context, t torc.Roster, addr string, o torc.AddOptions) error {
	ctx, cancel := c.moment(ctx)
	defer cancel()
	return t.AddMember(ctx, addr, o)
}

// askContents asks what is to become of the entries of the server at addr.
func (c *call) askContents(addr string, notEmpty error) (torc.Contents, error) {
	flush, err := c.ask(addr + " is not empty. Empty it first?")
	switch {
	case errors.Is(err, ErrNobody):
		return 0, fmt.Errorf("%w: say --flush to empty it first, or --keep to have what it holds count as the table's", notEmpty)
	case err != nil:
		return 0, err
	case flush:
		return torc.FlushContents, nil
	}
	return 0, errors.New("not added: add --keep takes what it holds for the table's")
}

var removeCommand = command{
	name: "remove", args: "HOST:PORT",
	short:   "take a node out, and move what it held to the others",
	arrange: address,
	long: `HOST PORT is HOST:PORT. The server goes on running, outside the table.
`,
	complete: completeMembers,
	prepare: func(flags *pflag.FlagSet) action {
		yes := flags.Bool("yes", false, "remove the last node too")
		return func(ctx context.Context, c *call, args []string) error {
			return c.remove(ctx, args[0], *yes)
		}
	},
}

func (c *call) remove(ctx context.Context, addr string, yes bool) error {
	t, ok := c.Table.(torc.Roster)
	if !ok {
		return unsupported("no person decides on its nodes")
	}
	v, err := c.view(ctx)
	if err != nil {
		return err
	}
	last := isLast(v, addr)
	if last && !yes {
		yes, err := c.ask(addr + " is the last node: without it no key can be reached. Remove it?")
		switch {
		case errors.Is(err, ErrNobody):
			return fmt.Errorf("%s is the last node, without which no key can be reached: say --yes to remove it all the same", addr)
		case err != nil:
			return err
		case !yes:
			return errors.New("not removed")
		}
	}
	removing, cancel := c.moment(ctx)
	defer cancel()
	if err := t.RemoveMember(removing, addr); err != nil {
		return err
	}
	if last {
		c.result = movedJSON{Addr: addr}
		c.print(addr + " removed: it was the last node\n")
		return nil
	}
	return c.follow(ctx, addr, "removed")
}

// isLast tells whether addr is the only member of v that holds keys, or could if
// it answered.
func isLast(v torc.View, addr string) bool {
	is := false
	for _, m := range v.Members {
		switch {
		case m.State == torc.Drained:
		case m.Addr == addr:
			is = true
		default:
			return false
		}
	}
	return is
}

// movedJSON is what add, remove and rebalance have to say with --json.
type movedJSON struct {
	Addr      string             `json:"addr,omitempty"`
	Rebalance *jsonform.Progress `json:"rebalance,omitempty"`
}

// follow lets the entries follow a change of the members that was made, where
// the table has them do so, and says what was done.
func (c *call) follow(ctx context.Context, addr, what string) error {
	c.result = movedJSON{Addr: addr}
	t, ok := c.Table.(torc.Rebalancer)
	if !ok {
		c.print(addr + " " + what + "\n")
		return nil
	}
	done, err := c.rebalance(ctx, t, torc.RebalanceOptions{})
	form := jsonform.ProgressOf(done)
	c.result = movedJSON{addr, &form}
	switch {
	case errors.Is(err, torc.ErrUnsupported):
		c.print(addr + " " + what + "\n")
		return nil
	case err != nil:
		return &partial{addr + " was " + what + ", but not all entries were moved (" + textform.Rebalanced(done, false) + "); rebalance goes on with it", err}
	}
	c.print(addr + " " + what + ": " + textform.Rebalanced(done, false) + "\n")
	if v, err := c.view(ctx); err == nil && slices.ContainsFunc(v.Members, func(m torc.Member) bool { return m.Addr == addr && m.State == torc.Drained }) {
		c.note("it stays, drained, until its watchdog ends; add takes it back")
	}
	return nil
}

// rebalance rebalances t with a bar.
func (c *call) rebalance(ctx context.Context, t torc.Rebalancer, o torc.RebalanceOptions) (torc.Progress, error) {
	bar := c.progress("rebalance")
	defer bar.End()
	o.Report = func(p torc.Progress) { bar.Show(textform.RebalanceStep(p)) }
	return t.Rebalance(ctx, o)
}

var rebalanceCommand = command{
	name:  "rebalance",
	short: "copy every entry to where it should be",
	long: `What is surplus is removed. add and remove do so themselves: it is for when they
were interrupted, and for what has changed otherwise. It may be interrupted at any
time and run again.
`,
	prepare: func(flags *pflag.FlagSet) action {
		dry := flags.Bool("dry-run", false, "say what would be done, and change nothing")
		rate := flags.Int("rate", 0, "copy at most so many `keys` a second")
		return func(ctx context.Context, c *call, _ []string) error {
			if *rate < 0 || flags.Changed("rate") && *rate == 0 {
				return usageErrorf("--rate %d: give a number above 0", *rate)
			}
			t, ok := c.Table.(torc.Rebalancer)
			if !ok {
				return unsupported("its entries are where they should be without anybody's doing")
			}
			if err := c.needUp(ctx); err != nil {
				return err
			}
			done, err := c.rebalance(ctx, t, torc.RebalanceOptions{DryRun: *dry, Rate: *rate})
			form := jsonform.ProgressOf(done)
			c.result = movedJSON{Rebalance: &form}
			if err != nil {
				return &partial{textform.Rebalanced(done, *dry) + ", and more is to be done", err}
			}
			c.print(textform.Rebalanced(done, *dry) + "\n")
			return nil
		}
	},
}

// address puts the two words HOST PORT together, if these are such.
func address(args []string) []string {
	if len(args) != 2 || strings.HasPrefix(args[1], "-") {
		return args
	}
	host := strings.TrimSuffix(strings.TrimPrefix(args[0], "["), "]")
	return []string{net.JoinHostPort(host, args[1])}
}
