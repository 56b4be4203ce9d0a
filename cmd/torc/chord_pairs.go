package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord"
)

// The programs that add, get, remove and update a pair. What they print is their
// requirement's, to the letter.
func newAdd() *cobra.Command    { return asChordProgram(newChordAdd) }
func newGetOf() *cobra.Command  { return asChordProgram(newChordGet) }
func newRemove() *cobra.Command { return asChordProgram(newChordRemove) }
func newUpdate() *cobra.Command { return asChordProgram(newChordUpdate) }

// pairsHelp is what the help of all of them ends with.
const pairsHelp = `

NODE is any node of the ring: its identifier, or ID@HOST:PORT. One that is still
joining is waited for, for 5 s. KEY is a decimal number of up to 250 digits.
Exit codes: 0 done; 2 %s; 1 anything else.`

func newChordAdd(*globals) *cobra.Command {
	return newPairCommand("add", true, &cobra.Command{
		Short: "Add a pair of key and value to a ring",
		Long: `add adds a pair, unless there is one with that key. It prints where the pair
lies: the key's place on the ring, and the node that owns it.` + fmt.Sprintf(pairsHelp, "there is a pair with that key already"),
		Example: `  torc chord add 1 291 hello
  torc chord add 1@10.0.0.7:7100 291 hello`,
	}, func(ctx context.Context, p *pair) error {
		switch err := p.table.Put(ctx, p.key, []byte(p.value), torc.IfAbsent()); {
		case errors.Is(err, torc.ErrExists):
			return p.without("Key %s is already in the hashtable.", p.key)
		case err != nil:
			return err
		}
		hash, owner, ok := p.table.Owner(p.key)
		if !ok {
			return fmt.Errorf("key %s was added, but the node that took it is gone", p.key)
		}
		return p.say(`Added "%s" to hashtable with key %s, hash %s, node %s.`, p.value, p.key, hash, owner.ID)
	})
}

func newChordGet(*globals) *cobra.Command {
	return newPairCommand("get", false, &cobra.Command{
		Short:   "Get the value of a key in a ring",
		Long:    `get prints the value of a pair.` + fmt.Sprintf(pairsHelp, "there is no pair with that key"),
		Example: `  torc chord get 35 15`,
	}, func(ctx context.Context, p *pair) error {
		e, err := p.table.Get(ctx, p.key)
		if err != nil {
			return p.orMissing(err)
		}
		return p.say(`Retrieved "%s" from the hashtable.`, e.Value)
	})
}

func newChordRemove(*globals) *cobra.Command {
	return newPairCommand("remove", false, &cobra.Command{
		Short:   "Remove a pair from a ring",
		Long:    `remove removes a pair, and prints its value.` + fmt.Sprintf(pairsHelp, "there is no pair with that key"),
		Example: `  torc chord remove 136 291`,
	}, func(ctx context.Context, p *pair) error {
		e, err := p.table.Take(ctx, p.key)
		if err != nil {
			return p.orMissing(err)
		}
		return p.say(`Removed "%s" with key %s from the hashtable.`, e.Value, p.key)
	})
}

func newChordUpdate(*globals) *cobra.Command {
	return newPairCommand("update", true, &cobra.Command{
		Short:   "Update the value of a key in a ring",
		Long:    `update gives a pair that is there another value.` + fmt.Sprintf(pairsHelp, "there is no pair with that key"),
		Example: `  torc chord update 99 15 "hello"`,
	}, func(ctx context.Context, p *pair) error {
		if err := p.table.Put(ctx, p.key, []byte(p.value), torc.IfPresent()); err != nil {
			return p.orMissing(err)
		}
		return p.say(`Updated value for key %s to "%s".`, p.key, p.value)
	})
}

// pair is what one of the commands works on.
type pair struct {
	cmd        *cobra.Command
	table      *chord.Table
	key, value string
}

// newPairCommand completes a command that works on one pair.
func newPairCommand(name string, valued bool, cmd *cobra.Command, do func(context.Context, *pair) error) *cobra.Command {
	var f chordFlags
	names := []string{"NODE", "KEY", "VALUE"}
	cmd.Use = name + " NODE KEY VALUE"
	if !valued {
		names, cmd.Use = names[:2], name+" NODE KEY"
	}
	cmd.Args = exactly(names...)
	cmd.ValidArgsFunction = completeNode(&f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		node, err := chord.ParseNodeName(args[0])
		if err != nil {
			return usage(cmd, "%w", err)
		}
		p := &pair{cmd: cmd}
		if p.key, err = chord.ParseKey(args[1]); err != nil {
			return usage(cmd, "%w", err)
		}
		if valued {
			p.value = args[2]
		}
		return chordError(f.pair(cmd.Context(), node, p, do))
	}
	f.add(cmd)
	flagsFirst(cmd)
	return cmd
}

// pair finds the node, and does what there is to do with the ring that it is of.
func (f *chordFlags) pair(ctx context.Context, node chord.NodeName, p *pair, do func(context.Context, *pair) error) (err error) {
	admin, err := f.admin()
	if err != nil {
		return err
	}
	addr, err := f.find(ctx, admin, node)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if p.table, err = chord.New(ctx, []string{addr}, chord.TableOptions{TLS: admin.TLS}); err != nil {
		return err
	}
	return errors.Join(do(ctx, p), p.table.Close())
}

// say prints a line.
func (p *pair) say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.cmd.OutOrStdout(), format+"\n", args...)
	return err
}

// without prints a line that says that nothing was done, and returns what makes the
// exit code say so.
func (p *pair) without(format string, args ...any) error {
	if err := p.say(format, args...); err != nil {
		return err
	}
	return &saidError{torc.ErrNotFound}
}

// orMissing prints that there is no such pair, if that is what err says.
func (p *pair) orMissing(err error) error {
	if errors.Is(err, torc.ErrNotFound) {
		return p.without("No key/value pair for key %s was found in the hashtable.", p.key)
	}
	return err
}
