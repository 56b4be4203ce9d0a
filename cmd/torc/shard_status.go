package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
	"github.com/torc-dht/torc/shard"
)

// statusEvery is how often status --watch asks: as often as an eye follows bars.
const statusEvery = 250 * time.Millisecond

// shardStatusJSON is what shard status has to say with --json.
type shardStatusJSON struct {
	Time time.Time `json:"time"`
	shard.Status
}

func newShardStatus(g *globals) *cobra.Command {
	var (
		master        masterFlags
		watch, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show a sharded table's servers, and what moves between them",
		Long: `status shows each server, how much it holds, and of how many of the 27,720 slots
it is the primary or a backup; what is moving; and how many slots have one copy
only, or wait for a server that is gone.

With --watch it goes on until it is interrupted: on a terminal in place, and
elsewhere or with --json again whenever something has changed.`,
		Example: `  torc shard status
  torc shard status --master 127.0.0.1:1025 --watch
  torc shard status --json | jq -r '.servers[] | select(.state == "dead") | .addr'`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := master.admin(cmd, g)
			if err != nil {
				return err
			}
			out := &statusPrinter{out: cmd.OutOrStdout(), style: g.style(cmd), json: asJSON}
			if watch {
				return out.follow(cmd.Context(), admin)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout)
			defer cancel()
			st, err := statusNow(ctx, admin)
			if err != nil {
				return err
			}
			return out.print(st)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&watch, "watch", false, "go on, and show each change")
	jsonFlag(cmd, &asJSON)
	addMasterFlags(cmd, &master)
	return cmd
}

// statusNow asks a master once.
func statusNow(ctx context.Context, admin *shard.Admin) (st shard.Status, err error) {
	for st, err = range admin.Status(ctx, 0) {
		break
	}
	return st, err
}

// statusPrinter shows one status after another.
type statusPrinter struct {
	out   io.Writer
	style terminal.Style // of out
	json  bool

	last  string // what is shown
	lines int    // on a terminal: of what is shown, to be drawn over
}

// follow shows each change until ctx is done or the master is lost.
func (p *statusPrinter) follow(ctx context.Context, admin *shard.Admin) error {
	for st, err := range admin.Status(ctx, statusEvery) {
		if ctx.Err() != nil {
			return nil // a person has seen enough
		}
		if err != nil {
			return err
		}
		if err := p.printChange(st); err != nil {
			return err
		}
	}
	return nil
}

// printChange prints a status if it is another than the one before: on a terminal
// in its place.
func (p *statusPrinter) printChange(st shard.Status) error {
	text := statusText(st, p.style)
	if text == p.last {
		return nil
	}
	first := p.last == ""
	p.last = text
	switch {
	case p.json:
		return p.print(st)
	case p.style.Rich():
		if p.lines > 0 {
			text = fmt.Sprintf("\x1b[%dA\r\x1b[J", p.lines) + text
		}
		p.lines = strings.Count(p.last, "\n")
	case !first:
		text = "\n" + text
	}
	_, err := io.WriteString(p.out, text)
	return err
}

func (p *statusPrinter) print(st shard.Status) error {
	if p.json {
		return jsonform.Print(p.out, shardStatusJSON{time.Now(), st})
	}
	_, err := io.WriteString(p.out, statusText(st, p.style))
	return err
}

// statusText is a status for a person.
func statusText(st shard.Status, style terminal.Style) string {
	var b strings.Builder
	fmt.Fprintf(&b, "map %s, placement %s, %s\n", style.Accent(st.Epoch), st.Placement, plural(uint64(st.Copies), "copy", "copies"))
	if len(st.Servers) == 0 {
		b.WriteString("no server has joined yet\n")
		return b.String()
	}
	table := terminal.Table{Paint: textform.PaintState(style, 1, 1)}
	table.Add("SERVER", "STATE", "KEYS", "BYTES", "OF", "PRIMARY", "BACKUP", "FILLING")
	for _, s := range st.Servers {
		state := string(s.State)
		if s.Full {
			state += ", full"
		}
		table.Add(s.Addr, state, terminal.Count(s.Keys), terminal.Bytes(s.Bytes), terminal.Bytes(s.Limit),
			count(s.Primaries), count(s.Backups), count(s.Filling))
	}
	b.WriteString(table.String())
	b.WriteString(movesText(st.Moves, style))
	b.WriteString(troubleText(st, style))
	return b.String()
}

// barWidth is how many columns the bar of a move has.
const barWidth = 16

// movesText is a line for each move.
func movesText(moves []shard.Move, style terminal.Style) string {
	var table terminal.Table
	for _, m := range moves {
		done := m.Slots - m.Left
		cells := []string{m.From + " -> " + m.To}
		if style.Rich() {
			cells = append(cells, style.Bar(float64(done)/float64(max(m.Slots, 1)), barWidth))
		}
		cells = append(cells, count(done)+" of "+plural(uint64(m.Slots), "slot", "slots"),
			plural(m.Keys, "key", "keys"), terminal.Bytes(m.Bytes))
		if m.Rate > 0 {
			cells = append(cells, terminal.Count(m.Rate)+" keys/s")
		}
		table.Add(cells...)
	}
	return table.String()
}

// soonHeard is how long after its start a master has heard all servers that run and
// can reach it.
const soonHeard = 5 * time.Second

// troubleText says which slots are not as they shall be; "" if all are.
func troubleText(st shard.Status, style terminal.Style) string {
	var b strings.Builder
	for _, f := range st.Failed {
		text := plural(uint64(f.Slots), "slot waits", "slots wait") + " for " + f.Addr + ", which alone has them; if that process is gone for good: torc shard forget " + f.Addr
		if stateOf(st, f.Addr) == shard.ServerUnheard {
			text = plural(uint64(f.Slots), "slot waits", "slots wait") + " for " + f.Addr + ", which this master hasn't heard yet"
			if time.Since(st.Since) > soonHeard {
				text += "; if that process is gone for good: torc shard forget " + f.Addr
			}
		}
		b.WriteString(style.Bad(text) + "\n")
	}
	if st.Held > 0 && len(st.Failed) == 0 {
		b.WriteString(style.Warn(plural(uint64(st.Held), "slot waits", "slots wait")+" for servers that this master hasn't heard yet") + "\n")
	}
	if st.Single > 0 && st.Copies > 1 {
		b.WriteString(style.Warn(plural(uint64(st.Single), "slot has", "slots have")+" one copy only") + "\n")
	}
	return b.String()
}

func stateOf(st shard.Status, addr string) shard.ServerState {
	for _, s := range st.Servers {
		if s.Addr == addr {
			return s.State
		}
	}
	return ""
}

// count writes a number of slots.
func count(n int) string { return terminal.Count(uint64(max(n, 0))) }

// plural writes a number of things with the word that goes with it.
func plural(n uint64, one, more string) string {
	if n == 1 {
		return strconv.Itoa(1) + " " + one
	}
	return terminal.Count(n) + " " + more
}
