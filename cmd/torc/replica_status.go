package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/internal/crash"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
	"github.com/torc-dht/torc/replica"
)

// replicaStatusJSON is what replica status has to say of one server with --json.
type replicaStatusJSON struct {
	Time time.Time `json:"time"`
	replica.Status
	Error string `json:"error,omitempty"`
}

// silentWithin is how long a server may take to tell how it stands: one that is
// frozen would else have the others wait for it.
const silentWithin = 2 * time.Second

// replicaAnswer is what one server told, or why it didn't.
type replicaAnswer struct {
	addr   string
	status replica.Status
	err    error
}

func newReplicaStatus(g *globals) *cobra.Command {
	var (
		hosts  hostsFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show a replica table's servers, who leads, and whether answers are labelled",
		Long: `status asks each server how the table stands, and shows what the one says that
leads: who takes part, how far each is behind, whether answers are labelled and
since when, and how many writes of labelled epochs were taken over or dropped.
Servers that are cut off from each other say different things; then it shows
them all.

With --json it prints an object for each server.`,
		Example: `  torc replica status
  torc replica status --hosts 127.0.0.1:8081,127.0.0.1:8082
  torc replica status --json | jq -r 'select(.degraded) | .self'`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addrs, config, err := hosts.reach(cmd, g)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), min(g.timeout, silentWithin))
			defer cancel()
			answers := askReplicas(ctx, addrs, config)
			if err := printReplicas(cmd.OutOrStdout(), answers, g.style(cmd), asJSON); err != nil {
				return err
			}
			return noReplica(answers)
		},
	}
	cmd.Flags().SortFlags = false
	jsonFlag(cmd, &asJSON)
	hosts.add(cmd, "")
	return cmd
}

// askReplicas asks servers, and those that they name, all at once. The answers are
// in the order of the addresses.
func askReplicas(ctx context.Context, addrs []string, config *tls.Config) []replicaAnswer {
	answers := askEach(ctx, addrs, config)
	var more []string
	for _, a := range answers {
		for _, addr := range a.status.Servers {
			if !slices.Contains(addrs, addr) && !slices.Contains(more, addr) {
				more = append(more, addr)
			}
		}
	}
	answers = append(answers, askEach(ctx, more, config)...)
	slices.SortFunc(answers, func(a, b replicaAnswer) int { return strings.Compare(a.addr, b.addr) })
	return answers
}

func askEach(ctx context.Context, addrs []string, config *tls.Config) []replicaAnswer {
	answers := make([]replicaAnswer, len(addrs))
	var asked sync.WaitGroup
	for i, addr := range addrs {
		asked.Go(func() {
			defer crash.Guard()
			st, err := replica.Ask(ctx, addr, config)
			answers[i] = replicaAnswer{addr, st, err}
		})
	}
	asked.Wait()
	return answers
}

// noReplica is the error of a table none of whose servers answers.
func noReplica(answers []replicaAnswer) error {
	var texts []string
	for _, a := range answers {
		if a.err == nil {
			return nil
		}
		texts = append(texts, replicaErrorText(a.err))
	}
	return errors.New("no server answers: " + strings.Join(texts, "; "))
}

func printReplicas(out io.Writer, answers []replicaAnswer, style terminal.Style, asJSON bool) error {
	if !asJSON {
		_, err := io.WriteString(out, replicasText(answers, style))
		return err
	}
	for _, a := range answers {
		object := replicaStatusJSON{Time: time.Now(), Status: a.status}
		if a.err != nil {
			object.Self, object.Error = a.addr, oneLine(a.err)
		}
		if err := jsonform.Print(out, object); err != nil {
			return err
		}
	}
	return nil
}

// replicasText is what servers told, for a person: once for each epoch that one of
// them belongs to, by who leads it or else by who is furthest.
func replicasText(answers []replicaAnswer, style terminal.Style) string {
	var best []replicaAnswer
	for _, a := range answers {
		if a.err != nil {
			continue
		}
		i := slices.IndexFunc(best, func(b replicaAnswer) bool { return b.status.Epoch == a.status.Epoch })
		switch {
		case i < 0:
			best = append(best, a)
		case knowsMore(&a.status, &best[i].status):
			best[i] = a
		}
	}
	var b strings.Builder
	for i, a := range best {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(replicaText(&a.status, style))
	}
	if len(best) > 0 {
		for _, a := range answers {
			if a.err != nil {
				b.WriteString(style.Warn(replicaErrorText(a.err)) + "\n")
			}
		}
	}
	return b.String()
}

// replicaErrorText is why a server didn't answer, which begins with its address.
func replicaErrorText(err error) string { return strings.TrimPrefix(oneLine(err), "replica: ") }

// knowsMore tells whether a is to be shown rather than b, of the same epoch.
func knowsMore(a, b *replica.Status) bool {
	if leads := a.Leader == a.Self; leads != (b.Leader == b.Self) {
		return leads
	}
	return a.Applied > b.Applied
}

// replicaText is one server's answer, for a person.
func replicaText(st *replica.Status, style terminal.Style) string {
	var b strings.Builder
	switch {
	case st.Epoch == replica.Epoch{}:
		fmt.Fprintf(&b, "%s is of no epoch yet: it looks for the others\n", st.Self)
	case st.Degraded:
		then := "answers are labelled"
		if !st.Serving {
			then = "nothing is answered"
		}
		fmt.Fprintf(&b, "epoch %s, %s\n", style.Accent(strconv.FormatUint(st.Epoch.Number, 10)), style.Bad("degraded since "+textform.Clock(st.Since)+": "+then))
	default:
		fmt.Fprintf(&b, "epoch %s, normal since %s\n", style.Accent(strconv.FormatUint(st.Epoch.Number, 10)), textform.Clock(st.Since))
	}
	if st.Epoch != (replica.Epoch{}) {
		fmt.Fprintf(&b, "view %s, %s, %s, %s of the log\n", terminal.Count(st.View),
			plural(st.Keys, "key", "keys"), terminal.Bytes(st.Bytes), plural(st.Applied, "entry", "entries"))
	}
	table := terminal.Table{Paint: paintReplica(style)}
	table.Add("SERVER", "STATE", "BEHIND", "HEARD")
	for _, m := range st.Members {
		behind := "-"
		if m.State != replica.MemberDown && st.Leader == st.Self {
			behind = terminal.Count(m.Lag)
		}
		table.Add(m.Addr, string(m.State), behind, heardText(m, st.Self))
	}
	b.WriteString(table.String())
	if st.Leader == "" {
		b.WriteString(style.Bad("no leader: nothing is answered") + "\n")
	}
	if st.Merged+st.Dropped > 0 {
		text := fmt.Sprintf("of labelled epochs that were given up: %s taken over, %s dropped", plural(st.Merged, "write", "writes"), terminal.Count(st.Dropped))
		if st.Dropped > 0 {
			text = style.Warn(text)
		}
		b.WriteString(text + "\n")
	}
	if len(st.Forgotten) > 0 {
		b.WriteString("forgotten: " + strings.Join(st.Forgotten, ", ") + "\n")
	}
	return b.String()
}

func heardText(m replica.MemberStatus, self string) string {
	switch {
	case m.Addr == self:
		return "itself"
	case m.Heard < 0:
		return "-"
	case m.Heard < 1:
		return "now"
	}
	return terminal.Span(time.Duration(m.Heard*float64(time.Second))) + " ago"
}

// paintReplica paints the states in the table of a table's servers.
func paintReplica(style terminal.Style) func(row, column int, cell string) string {
	return func(row, column int, cell string) string {
		switch {
		case row == 0:
			return style.Bold(cell)
		case column != 1:
			return cell
		case cell == string(replica.MemberDown):
			return style.Bad(cell)
		case cell == string(replica.MemberJoining):
			return style.Warn(cell)
		}
		return style.Good(cell)
	}
}
