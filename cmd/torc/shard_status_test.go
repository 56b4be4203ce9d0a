package main

import (
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/shard"
)

// moving is a table between whose servers slots move, and of which one is dead.
func moving() shard.Status {
	return shard.Status{
		Epoch: "7.2a", Placement: "minimal", Copies: 2, MinCopies: 1, Slots: 27720,
		Servers: []shard.ServerStatus{
			{Addr: "h:1", Number: 1, State: shard.ServerUp, Keys: 1234567, Bytes: 98765432, Limit: 2e9, Primaries: 13860, Backups: 9240},
			{Addr: "h:2", Number: 2, State: shard.ServerDead, Primaries: 4620, Full: true},
			{Addr: "h:3", Number: 3, State: shard.ServerUp, Filling: 9240},
		},
		Moves:  []shard.Move{{From: "h:1", To: "h:3", Slots: 9240, Left: 6930, Keys: 308642, Bytes: 24691358, Rate: 310000}},
		Single: 9240,
		Failed: []shard.FailedSlots{{Addr: "h:2", Slots: 4620}},
	}
}

func TestStatusForAPerson(t *testing.T) {
	t.Parallel()
	want := `map 7.2a, placement minimal, 2 copies
SERVER  STATE       KEYS       BYTES    OF      PRIMARY  BACKUP  FILLING
h:1     up          1,234,567  98.8 MB  2.0 GB  13,860   9,240   0
h:2     dead, full  0          0 B      0 B     4,620    0       0
h:3     up          0          0 B      0 B     0        0       9,240
h:1 -> h:3  2,310 of 9,240 slots  308,642 keys  24.7 MB  310,000 keys/s
4,620 slots wait for h:2, which alone has them; if that process is gone for good: torc shard forget h:2
9,240 slots have one copy only
`
	if got := statusText(moving(), terminal.Style{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := statusText(moving(), terminal.Rich()); !strings.Contains(got, "████            ") {
		t.Errorf("a quarter is no bar of a quarter:\n%s", got)
	}
	if got, want := statusText(shard.Status{Epoch: "0.0", Placement: "modulo", Copies: 1}, terminal.Style{}), "map 0.0, placement modulo, 1 copy\nno server has joined yet\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	unheard := moving()
	unheard.Servers[1].State, unheard.Held, unheard.Since = shard.ServerUnheard, 4620, time.Now()
	if got := statusText(unheard, terminal.Style{}); !strings.Contains(got, "4,620 slots wait for h:2, which this master hasn't heard yet\n") || strings.Contains(got, "forget") {
		t.Errorf("a server that may come yet is given up:\n%s", got)
	}
	unheard.Since = time.Now().Add(-time.Minute)
	if got := statusText(unheard, terminal.Style{}); !strings.Contains(got, "hasn't heard yet; if that process is gone for good: torc shard forget h:2\n") {
		t.Errorf("nothing is said to do about a server that doesn't come:\n%s", got)
	}
}

// On a terminal a status takes the place of the one before; elsewhere it stands
// below; and nothing is printed while nothing changes.
func TestStatusIsFollowed(t *testing.T) {
	t.Parallel()
	first, second := moving(), moving()
	second.Moves[0].Left = 0
	for name, style := range map[string]terminal.Style{"\x1b[8A\r\x1b[J": terminal.Rich(), "\nmap": {}} {
		var out strings.Builder
		p := statusPrinter{out: &out, style: style}
		for _, st := range []shard.Status{first, first, second} {
			if err := p.printChange(st); err != nil {
				t.Fatal(err)
			}
		}
		before, after := statusText(first, style), statusText(second, style)
		got, ok := strings.CutPrefix(out.String(), before)
		if !ok || !strings.HasPrefix(got, name) || !strings.HasSuffix(got, after) || len(got) > len(name)+len(after) {
			t.Errorf("printed were %q", out.String())
		}
	}
}

func TestWhatForgetLoses(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"h:2": "4,620 of 27,720 slots that only h:2 has: what they hold is lost for good",
		"h:1": "no slot waits for h:1: nothing is lost",
	} {
		if got := lossText(moving(), addr); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	many := shard.Status{Servers: make([]shard.ServerStatus, 7)}
	for i := range many.Servers {
		many.Servers[i].Addr = "h"
	}
	if got, want := serversText(many), "h, h, h, h, h, 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Moves that are over count with all they had to move.
func TestMovesAddUp(t *testing.T) {
	t.Parallel()
	var m shard.Moved
	m.Note([]shard.Move{{From: "a", To: "c", Slots: 10, Left: 4, Keys: 60, Bytes: 600}, {From: "b", To: "c", Slots: 5, Left: 5}})
	m.Note([]shard.Move{{From: "b", To: "c", Slots: 5, Left: 2, Keys: 30, Bytes: 300}})
	step := moveStep(&m, moving())
	if want := (terminal.Step{Done: 13, Total: 15, Unit: "slots", Bytes: 900, Note: "90 keys"}); step != want {
		t.Errorf("got %+v, want %+v", step, want)
	}
	m.Note(nil)
	var out strings.Builder
	if err := tellMoved(&out, &m, 1500*time.Millisecond, false); err != nil {
		t.Fatal(err)
	}
	if want := "everything is where it shall be: 15 slots moved, with 90 keys and 900 B, in 1.5 s\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
