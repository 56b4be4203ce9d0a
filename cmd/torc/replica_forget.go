package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/replica"
)

func newReplicaForget(g *globals) *cobra.Command {
	var (
		servers, admin string
		yes            bool
	)
	cmd := &cobra.Command{
		Use:   "forget HOST:PORT",
		Short: "Give up a server of a replica table that won't come back",
		Long: `forget has a table give up the server at HOST:PORT, which is gone and won't come
back with what it had: answers that are labelled for want of it no longer are.
If it lives on, cut off, what is written there meanwhile is lost. A new process
at its address, which knows nothing, may join at any time.

It has to be called on the machine of one of the table's servers, and asks it on
its admin port: 10000 above the port of the first address in servers.txt here,
unless --admin says where. It says what it is about to do, and asks; --yes
answers beforehand. A server that shows signs of life is not given up.`,
		Example: `  torc replica forget 192.168.2.4:8081
  torc replica forget --admin 127.0.0.1:18081 --yes 192.168.2.4:8081`,
		Args: exactly("HOST:PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := adminOf(cmd, servers, admin)
			if err != nil {
				return err
			}
			return forgetReplica(cmd, g, at, args[0], yes)
		},
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, toComplete string) (addrs []string, _ cobra.ShellCompDirective) {
		if known, err := replica.ReadServers(servers); err == nil && len(args) == 0 {
			for _, addr := range known[1:] {
				if strings.HasPrefix(addr, toComplete) {
					addrs = append(addrs, addr)
				}
			}
		}
		return addrs, cobra.ShellCompDirectiveNoFileComp
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&yes, "yes", false, "don't ask")
	flags.StringVar(&admin, "admin", "", "the `host:port` of the admin port")
	flags.StringVar(&servers, "servers", serversFiles[0], "the `file` whose first address is that of a server on this machine")
	return cmd
}

// adminOf returns the admin port that the flags name.
func adminOf(cmd *cobra.Command, file, addr string) (replica.Admin, error) {
	if addr != "" {
		addr = loopbackPort(addr)
		if err := torc.CheckAddr(addr); err != nil {
			return replica.Admin{}, usage(cmd, "--admin: %w", err)
		}
		return replica.Admin{Addr: addr}, nil
	}
	servers, err := replica.ReadServers(file)
	if errors.Is(err, fs.ErrNotExist) {
		return replica.Admin{}, usage(cmd, "which server of this machine shall be asked? name its admin port with --admin, or its list of servers with --servers: there is no %s here", file)
	}
	if err != nil {
		return replica.Admin{}, err
	}
	return replica.Admin{Addr: replica.DefaultAdminAddr(servers[0])}, nil
}

func forgetReplica(cmd *cobra.Command, g *globals, at replica.Admin, addr string, yes bool) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout)
	defer cancel()
	st, err := at.Status(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(st.Members, func(m replica.MemberStatus) bool { return m.Addr == addr })
	if i < 0 {
		return fmt.Errorf("%s is no server of this table: it has %s", addr, strings.Join(st.Servers, ", "))
	}
	if !yes {
		if err := confirm(cmd, absenceText(st.Members[i]), "Forget it?"); err != nil {
			return err
		}
		ctx, cancel = context.WithTimeout(cmd.Context(), g.timeout) // a person takes long
		defer cancel()
	}
	return at.Forget(ctx, addr)
}

// absenceText says what forgetting a server means.
func absenceText(m replica.MemberStatus) string {
	since := "can't be heard"
	if m.Heard >= 0 {
		since = "was heard " + terminal.Span(time.Duration(m.Heard*float64(time.Second))) + " ago"
	}
	return fmt.Sprintf("%s %s: if it lives on, cut off, what is written there is lost", m.Addr, since)
}
