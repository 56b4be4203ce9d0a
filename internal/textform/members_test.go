package textform

import (
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
)

func TestMembersAtATerminal(t *testing.T) {
	t.Parallel()
	v := torc.View{
		LostContact: time.Now(),
		Members: []torc.Member{
			{Addr: "A:1", Weight: 1, State: torc.Up},
			{Addr: "B:1", Weight: 1, State: torc.Down, Reason: "EOF"},
			{Addr: "C:1", Weight: 2, State: torc.Drained},
		},
	}
	want := "\x1b[1mADDRESS\x1b[0m  \x1b[1mWEIGHT\x1b[0m  \x1b[1mSTATE\x1b[0m    \x1b[1mREASON\x1b[0m\n" +
		"A:1      1       \x1b[32mup\x1b[0m\n" +
		"B:1      1       \x1b[31mdown\x1b[0m     EOF\n" +
		"C:1      2       \x1b[33mdrained\x1b[0m\n" +
		"\x1b[33mthe last view known: out of touch since " + Clock(v.LostContact) + "\x1b[0m\n"
	if got := View(v, terminal.Rich()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := View(torc.View{}, terminal.Style{}), "no members\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
