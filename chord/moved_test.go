package chord

import (
	"strings"
	"testing"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

func at(t testing.TB, id string) place.Place {
	t.Helper()
	p, err := everywhere.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMovedLine(t *testing.T) {
	t.Parallel()
	const line = "SERVER_ERROR moved 35 99 ab54a98ceb1f0ad2 127.0.0.1:7103"
	span := msg.Span{From: at(t, "35"), To: at(t, "99")}
	owner := ring.Ref{Place: span.To, Boot: 0xab54a98ceb1f0ad2, Addr: "127.0.0.1:7103"}
	if got := movedLine(span, owner); got != line {
		t.Errorf("got %q, want %q", got, line)
	}
	if s, o, ok := parseMoved(line); !ok || s != span || o != owner {
		t.Errorf("%q is read as %v, %v, %v", line, s, o, ok)
	}
}

func TestNotMoved(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"",
		"SERVER_ERROR moved",
		"SERVER_ERROR moved ",
		"SERVER_ERROR moved 1 2 3",
		"SERVER_ERROR moved 1 2 0 h:1",
		"SERVER_ERROR moved 1 2 3 h",
		"SERVER_ERROR moved 1 2 3 h:1 ",
		"SERVER_ERROR moved 01 2 3 h:1",
		"SERVER_ERROR moved 1 -2 3 h:1",
		"SERVER_ERROR moved 1 2 0x3 h:1",
		"SERVER_ERROR moved 1 2 A h:1",
		"SERVER_ERROR moved 1 2 11111111111111111 h:1",
		"SERVER_ERROR moved 1 " + strings.Repeat("9", 49) + " 3 h:1",
		"SERVER_ERROR unavailable: nothing was done",
	} {
		if _, _, ok := parseMoved(line); ok {
			t.Errorf("%q is read as if a node had written it", line)
		}
	}
}

// A line is read back as the values that it was made of, or not at all.
func FuzzMoved(f *testing.F) {
	f.Add("SERVER_ERROR moved 35 99 ab54a98ceb1f0ad2 127.0.0.1:7103")
	f.Add("SERVER_ERROR moved 0 0 1 [::1]:7103")
	f.Add("SERVER_ERROR moved 1461501637330902918203684832716283019655932542975 7 ffffffffffffffff h.example:1")
	f.Fuzz(func(t *testing.T, line string) {
		if span, owner, ok := parseMoved(line); ok && movedLine(span, owner) != line {
			t.Errorf("%q is read, and written as %q", line, movedLine(span, owner))
		}
	})
}
