package main

import (
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
)

func TestChangeText(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)
	up := func(addr string) torc.Member { return torc.Member{Addr: addr, Weight: 1} }
	down := torc.Member{Addr: "b:1", Weight: 1, State: torc.Down, Reason: "connection refused"}
	drained := torc.Member{Addr: "b:1", Weight: 1, State: torc.Drained}
	heavy := torc.Member{Addr: "b:1", Weight: 3}
	view := func(version uint64, members ...torc.Member) torc.View {
		return torc.View{Generation: 7, Version: version, Members: members}
	}
	lost := view(2, up("a:1"), up("b:1"))
	lost.LostContact = when
	anew := view(1, up("a:1"), up("b:1"))
	anew.Generation = 8
	both := view(2, up("a:1"), up("b:1"))
	for _, c := range []struct {
		name    string
		last, v torc.View
		want    string
	}{
		{"the first view", torc.View{}, both, "view 2     2 up  + a:1  + b:1"},
		{"a first view without members", torc.View{}, view(1), "view 1     0 up  no change"},
		{"comes", view(1, up("a:1")), both, "view 2     2 up  + b:1"},
		{"leaves", both, view(3, up("a:1")), "view 3     1 up  - b:1"},
		{"goes down", both, view(3, up("a:1"), down), "view 3     1 up  - b:1 (down: connection refused)"},
		{"is down from the first", torc.View{}, view(1, down), "view 1     0 up  - b:1 (down: connection refused)"},
		{"comes up", view(3, up("a:1"), down), view(4, up("a:1"), up("b:1")), "view 4     2 up  + b:1"},
		{"is drained", both, view(3, up("a:1"), drained), "view 3     1 up  ~ b:1 (drained)"},
		{"is undrained", view(3, drained), view(4, up("b:1")), "view 4     1 up  + b:1"},
		{"weighs more", view(2, up("b:1")), view(3, heavy), "view 3     1 up  ~ b:1 weight 3, was 1"},
		{"one goes, one comes", view(2, up("a:1")), view(4, up("c:1")), "view 4     1 up  + c:1  - a:1"},
		{"out of touch", both, lost, "view 2     2 up  ! out of touch since 03:04:05.006"},
		{"in touch", lost, both, "view 2     2 up  in touch again"},
		{"begun anew", both, anew, "view 1     2 up  ! another generation: the directory was begun anew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := changeText(when, c.last, c.v, terminal.Style{}); got != "03:04:05.006  "+c.want {
				t.Errorf("got  %s\nwant 03:04:05.006  %s", got, c.want)
			}
		})
	}
	if got := changeText(when, both, view(3, up("a:1")), terminal.Rich()); !strings.Contains(got, "\x1b[31m- b:1\x1b[0m") {
		t.Errorf("on a terminal a member that leaves is not red: %q", got)
	}
}
