package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/torc-dht/torc/shard"
)

func newShardForget(g *globals) *cobra.Command {
	var (
		master masterFlags
		yes    bool
	)
	cmd := &cobra.Command{
		Use:   "forget HOST:PORT",
		Short: "Give up a server that won't come back",
		Long: `forget has the master give up the server at HOST:PORT, which is dead and won't
come back with what it had. Slots that only it had begin anew, empty: what they
held is lost. Slots of which there is a copy elsewhere need no forget.

It says what would be lost and asks; --yes answers beforehand. The master
refuses while the server shows signs of life, or its address is answered at.`,
		Example: `  torc shard forget 127.0.0.1:7002
  torc shard forget --yes 127.0.0.1:7002`,
		Args: exactly("HOST:PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.Contains(args[0], ",") {
				return usage(cmd, "%q: one server at a time", args[0])
			}
			admin, err := master.admin(cmd, g)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout)
			defer cancel()
			st, err := statusNow(ctx, admin)
			if err != nil {
				return err
			}
			if stateOf(st, args[0]) == "" {
				return fmt.Errorf("the table has no server %s: it has %s", args[0], serversText(st))
			}
			if !yes {
				if err := confirm(cmd, lossText(st, args[0]), "Forget it?"); err != nil {
					return err
				}
				ctx, cancel = context.WithTimeout(cmd.Context(), g.timeout) // a person takes long
				defer cancel()
			}
			return admin.Forget(ctx, args[0])
		},
	}
	cmd.ValidArgsFunction = completeMember(g)
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	addMasterFlags(cmd, &master)
	return cmd
}

// serversText lists the servers of a table, as many as a line has room for.
func serversText(st shard.Status) string {
	const most = 5
	if len(st.Servers) == 0 {
		return "none"
	}
	var addrs []string
	for _, s := range st.Servers {
		if len(addrs) == most {
			addrs = append(addrs, fmt.Sprintf("%d more", len(st.Servers)-most))
			break
		}
		addrs = append(addrs, s.Addr)
	}
	return strings.Join(addrs, ", ")
}

// confirm says what would come of a command, asks a person, and fails if he doesn't
// want that.
func confirm(cmd *cobra.Command, outcome, question string) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return fmt.Errorf("%s, and there is no terminal to ask on: say --yes", outcome)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s. %s [y/N] ", outcome, question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && answer == "" {
		fmt.Fprintln(cmd.ErrOrStderr())
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// lossText says what a table loses by forgetting a server.
func lossText(st shard.Status, addr string) string {
	for _, f := range st.Failed {
		if f.Addr == addr && f.Slots > 0 {
			return fmt.Sprintf("%s of %s that only %s has: what they hold is lost for good", count(f.Slots), plural(uint64(st.Slots), "slot", "slots"), addr)
		}
	}
	return "no slot waits for " + addr + ": nothing is lost"
}
