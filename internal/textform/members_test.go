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

func TestNobodyUp(t *testing.T) {
	t.Parallel()
	down := func(addr string) torc.Member { return torc.Member{Addr: addr, State: torc.Down, Reason: "EOF"} }
	drained := torc.Member{Addr: "D:1", State: torc.Drained}
	for want, members := range map[string][]torc.Member{
		"":                  {down("A:1"), {Addr: "B:1", State: torc.Up}},
		"it has no members": nil,
		"no member is up: A:1 (down: EOF), D:1 (drained)":                            {down("A:1"), drained},
		"no member is up: A:1 (down: EOF), B:1 (down: EOF), C:1 (down: EOF), 2 more": {down("A:1"), down("B:1"), down("C:1"), drained, drained},
	} {
		if got := NobodyUp(torc.View{Members: members}); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
