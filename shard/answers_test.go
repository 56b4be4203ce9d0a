package shard

import (
	"errors"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
)

func TestJudgeLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]verdict{
		"SERVER_ERROR moved 7.1 127.0.0.1:1026":        elsewhere,
		"SERVER_ERROR moved 7.1 host.name:1026":        elsewhere,
		"SERVER_ERROR moved 07.1 127.0.0.1:1026":       final, // not as an epoch is written
		"SERVER_ERROR moved 7 127.0.0.1:1026":          final,
		"SERVER_ERROR moved 7.1 127.0.0.1":             final,
		"SERVER_ERROR moved 7.1 127.0.0.1:1026 x":      final,
		"SERVER_ERROR moved 7.1  127.0.0.1:1026":       final,
		"SERVER_ERROR moved":                           final,
		"moved 7.1 127.0.0.1:1026":                     final,
		"CLIENT_ERROR moved 7.1 127.0.0.1:1026":        final,
		"SERVER_ERROR unavailable: for a moment":       notNow,
		"SERVER_ERROR failed: nobody has it":           final,
		"SERVER_ERROR outcome unknown: it was moved":   unheard,
		"SERVER_ERROR out of memory storing object":    final,
		"SERVER_ERROR answered before: so it was said": final,
		"ERROR": final,
	} {
		j := judgeLine(line)
		if j.verdict != want {
			t.Errorf("%s: %v, want %v", line, j.verdict, want)
		}
		if is := errors.Is(j.err, torc.ErrUnavailable); is != (want == final) {
			t.Errorf("%s: %v: ErrUnavailable is %v", line, j.err, is)
		}
	}
	j := judgeLine("SERVER_ERROR moved 7a.1b 127.0.0.1:1026")
	if j.addr != "127.0.0.1:1026" || j.epoch != (slots.Epoch{Term: 0x7a, Counter: 0x1b}) {
		t.Errorf("moved: %+v", j)
	}
}

// What servers say of a failure is understood.
func TestServersLines(t *testing.T) {
	t.Parallel()
	epoch := slots.Epoch{Term: 1795275549589396400, Boot: 9, Counter: 12}
	for kind, want := range map[server.Kind]verdict{
		server.Moved: elsewhere, server.Lost: final, server.Unavailable: notNow, server.Unknown: unheard, server.Answered: final,
	} {
		line := failureLine(server.Failure{Kind: kind, Epoch: epoch, Addr: "127.0.0.1:1026"})
		if j := judgeLine(line); j.verdict != want || strings.Contains(j.err.Error(), line) {
			t.Errorf("%s: %v, %v", line, j.verdict, j.err)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	lost := &memcache.ConnError{Addr: "h:1", Sent: true, Err: errors.New("it broke")}
	if j := judge(lost); j.verdict != unheard || !j.sent || !strings.Contains(j.err.Error(), "it broke") {
		t.Errorf("%+v", j)
	}
	for err, want := range map[error]error{
		memcache.ErrNotFound:  torc.ErrNotFound,
		memcache.ErrTooLarge:  torc.ErrTooLarge,
		memcache.ErrKey:       torc.ErrInvalid,
		errors.New("strange"): torc.ErrUnavailable,
	} {
		if j := judge(err); j.verdict != final || !errors.Is(j.err, want) {
			t.Errorf("%v: %+v, want %v", err, j, want)
		}
	}
}

// Only what says itself again in the same words is taken for a move.
func FuzzParseMoved(f *testing.F) {
	f.Add("7.1 127.0.0.1:1026")
	f.Add("18ea197e542f12f0.ff [::1]:7")
	f.Add("7.1 h")
	f.Fuzz(func(t *testing.T, s string) {
		epoch, addr, ok := parseMoved(s)
		if !ok {
			return
		}
		if again := epoch.String() + " " + addr; again != s || torc.CheckAddr(addr) != nil {
			t.Errorf("%q was taken for %q", s, again)
		}
	})
}
