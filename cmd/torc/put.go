package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
)

// maxInput bounds what put reads from a file or from standard input: above it
// no table takes a value, and a mistaken /dev/zero must not fill the memory.
const maxInput = 1 << 30

func newPut(g *globals) *cobra.Command {
	var (
		asJSON, ifAbsent, ifPresent bool
		ifVersion, file             string
		ttl                         time.Duration
	)
	cmd := &cobra.Command{
		Use:   "put [flags] KEY [VALUE]",
		Short: "Store a value at a key",
		Long: `put stores VALUE at KEY, over whatever is there. VALUE may be - for standard
input; --file names a file instead.

A condition that does not hold changes nothing. Exit codes: 0 stored, 2 if there
is no such key for --if-present or --if-version, 1 if anything else went wrong.`,
		Example: `  torc put greeting hello
  torc put --ttl 1h session-7 alice
  torc put --if-absent lock "$HOSTNAME"
  torc put --file picture.png picture
  date | torc put now -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if file != "" && len(args) != 1 {
				return exactly("KEY")(cmd, args)
			}
			if file != "" {
				return nil
			}
			return exactly("KEY", "VALUE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var opts []torc.PutOption
			if cmd.Flags().Changed("ttl") {
				opts = append(opts, torc.TTL(ttl))
			}
			if err := exclusive(cmd, "if-absent", "if-present", "if-version"); err != nil {
				return err
			}
			switch {
			case ifAbsent:
				opts = append(opts, torc.IfAbsent())
			case ifPresent:
				opts = append(opts, torc.IfPresent())
			case ifVersion != "":
				v, err := torc.ParseVersion(ifVersion)
				if err != nil {
					return err
				}
				opts = append(opts, torc.IfVersion(v))
			}
			if _, err := g.url(); err != nil {
				return err // before standard input is read in vain
			}
			value, err := putValue(cmd, args, file)
			if err != nil {
				return err
			}
			return g.with(cmd, func(ctx context.Context, t torc.Table) error {
				if err := t.Put(ctx, args[0], value, opts...); err != nil {
					return err
				}
				if asJSON {
					return jsonform.Print(cmd.OutOrStdout(), putJSON{jsonform.KeyOf(args[0]), len(value)})
				}
				return nil
			})
		},
	}
	flagsFirst(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	f := cmd.Flags()
	f.DurationVar(&ttl, "ttl", 0, "let the entry expire after this time: 90s, 1h30m (default: never)")
	f.BoolVar(&ifAbsent, "if-absent", false, "only if there is no entry at the key")
	f.BoolVar(&ifPresent, "if-present", false, "only if there is an entry at the key")
	f.StringVar(&ifVersion, "if-version", "", "only over the entry of this `version`, as get --json printed it")
	f.StringVar(&file, "file", "", "read the value from the file at `path`")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func putValue(cmd *cobra.Command, args []string, file string) ([]byte, error) {
	in := cmd.InOrStdin()
	switch {
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("the value: %w", err)
		}
		defer f.Close()
		in = f
	case args[1] != "-":
		return []byte(args[1]), nil
	}
	value, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("the value: %w", err)
	}
	if len(value) > maxInput {
		return nil, errors.New("the value: more than 1 GiB, which no table takes")
	}
	return value, nil
}
