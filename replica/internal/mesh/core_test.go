package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

func TestRedial(t *testing.T) {
	t.Parallel()
	type step struct {
		lost   time.Duration // that the connection lived
		boot   uint64        // to this process; or
		failed outcome
		pause  time.Duration
		report bool
	}
	const long = time.Hour
	for name, steps := range map[string][]step{
		"a process is killed": {
			{lost: long},
			{failed: refused, pause: atOncePause},
			{failed: refused, pause: restPause, report: true},
			{failed: refused, pause: restPause, report: true},
		},
		"its listener is closed last, and drops a call": {
			{lost: long},
			{failed: silent, pause: atOncePause},
			{failed: refused, pause: atOncePause},
			{failed: refused, pause: restPause, report: true},
			{failed: silent, pause: restPause, report: true},
		},
		"its listener is closed last": {
			{lost: long},
			{failed: hungUp, pause: atOncePause},
			{failed: refused, pause: atOncePause},
			{failed: refused, pause: restPause, report: true},
		},
		"a machine is lost, and its process when it is back": {
			{lost: long},
			{failed: silent, pause: atOncePause},
			{failed: silent, pause: atOncePause},
			{failed: silent, pause: atOncePause},
			{failed: silent, pause: restPause, report: true},
			{failed: silent, pause: restPause, report: true},
			{failed: refused, pause: atOncePause},
			{failed: refused, pause: restPause, report: true},
			{failed: silent, pause: restPause, report: true},
			{failed: refused, pause: atOncePause},
		},
		"nobody was ever there": {
			{failed: refused, pause: atOncePause},
			{failed: refused, pause: restPause, report: true},
		},
		"somebody hangs up again and again": {
			{failed: hungUp, pause: restPause, report: true},
			{lost: long},
			{failed: hungUp, pause: atOncePause},
			{failed: hungUp, pause: atOncePause},
			{failed: hungUp, pause: atOncePause},
			{failed: hungUp, pause: restPause, report: true},
			{failed: hungUp, pause: restPause, report: true},
		},
		"connections break as soon as they are made": {
			{lost: time.Millisecond, pause: restPause},
			{lost: long}, {lost: 1}, {lost: 1}, {lost: 1},
			{lost: 1, pause: restPause},
			{lost: 1, pause: restPause},
			{lost: restPause},
		},
		"processes die as soon as they have started": {
			{lost: time.Millisecond, boot: 1}, {failed: refused, pause: atOncePause},
			{lost: time.Millisecond, boot: 2}, {failed: refused, pause: atOncePause},
			{lost: time.Millisecond, boot: 3}, {failed: refused, pause: atOncePause},
			{lost: time.Millisecond, boot: 4}, {failed: refused, pause: atOncePause},
			{lost: time.Millisecond, boot: 5}, {failed: refused, pause: atOncePause},
		},
		"another list": {
			{failed: rejected, pause: rejectedPause, report: true},
			{failed: rejected, pause: rejectedPause, report: true},
		},
	} {
		var r redial
		for i, s := range steps {
			var pause time.Duration
			var report bool
			if s.lost > 0 {
				pause = r.lost(s.lost, s.boot)
			} else {
				pause, report = r.failed(s.failed)
			}
			if pause != s.pause || report != s.report {
				t.Errorf("%s, step %d: pause %s, report %v; want %s, %v", name, i, pause, report, s.pause, s.report)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	op := func(errno error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	for err, want := range map[error]outcome{
		op(syscall.ECONNREFUSED):                             refused,
		op(syscall.ECONNRESET):                               hungUp,
		op(syscall.EHOSTUNREACH):                             silent,
		op(syscall.ENETUNREACH):                              silent,
		op(syscall.ETIMEDOUT):                                silent,
		op(syscall.EADDRNOTAVAIL):                            silent,
		op(syscall.EMFILE):                                   silent,
		op(syscall.EPERM):                                    silent,
		&net.DNSError{Err: "no such host", IsNotFound: true}: silent,
		context.DeadlineExceeded:                             silent,
	} {
		if got := dialOutcome(err); got != want {
			t.Errorf("connecting ended with %v: %d, want %d", err, got, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for err, want := range map[error]outcome{
		io.EOF:                    hungUp,
		io.ErrUnexpectedEOF:       hungUp,
		op(syscall.ECONNRESET):    hungUp,
		op(syscall.EPIPE):         hungUp,
		op(syscall.ETIMEDOUT):     silent,
		os.ErrDeadlineExceeded:    silent,
		errors.New("certificate"): rejected,
		op(syscall.ECONNREFUSED):  rejected, // nobody says that to who is connected
	} {
		if got := talkOutcome(t.Context(), err); got != want {
			t.Errorf("talking ended with %v: %d, want %d", err, got, want)
		}
		if got := talkOutcome(ended, err); got != silent {
			t.Errorf("talking took too long and ended with %v: %d", err, got)
		}
	}
}

func TestHello(t *testing.T) {
	t.Parallel()
	addrs := []string{"a:1", "b:2", "c:3"}
	good := hello{version: protocol, from: 2, to: 1, boot: 1 << 63, number: 7, addrs: addrs}
	for name, c := range map[string]struct {
		change func(*hello)
		want   verdict
	}{
		"welcome":           {func(*hello) {}, welcome},
		"another list":      {func(h *hello) { h.addrs = []string{"a:1", "b:2"} }, otherList},
		"no list":           {func(h *hello) { h.addrs = []string{} }, otherList},
		"another version":   {func(h *hello) { *h = hello{version: 2} }, otherVersion},
		"somebody else":     {func(h *hello) { h.to = 0 }, otherNode},
		"from this node":    {func(h *hello) { h.from = 1 }, otherNode},
		"from no such slot": {func(h *hello) { h.from = 3 }, otherNode},
	} {
		h := good
		c.change(&h)
		got, err := parseHello(h.append(nil))
		if err != nil || h.version == protocol && !reflect.DeepEqual(got, h) || got.version != h.version {
			t.Errorf("%s: %+v became %+v, %v", name, h, got, err)
		}
		a := got.judge(1, 1<<62, addrs)
		if a.verdict != c.want {
			t.Errorf("%s: verdict %d, want %d", name, a.verdict, c.want)
		}
		if back, err := parseAnswer(a.append(nil)); err != nil || !reflect.DeepEqual(back, a) {
			t.Errorf("%s: answer %+v became %+v, %v", name, a, back, err)
		}
	}
	other := answer{verdict: welcome, version: 2}
	if a, err := parseAnswer(other.append(nil)); err != nil || a.verdict != otherVersion {
		t.Errorf("welcomed by another version: %+v, %v", a, err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	got := otherList.explain([]string{"a:1", "b:2"}, protocol, []string{"a:1", "evil\n:3"})
	for _, want := range []string{"[a:1 b:2]", `"a:1 evil\n:3"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %s", got, want)
		}
	}
}

func FuzzHello(f *testing.F) {
	h := hello{version: protocol, from: 2, to: 1, boot: 5, number: 7, addrs: []string{"a:1", "b:2"}}
	a := h.judge(0, 3, []string{"c:1"})
	f.Add(h.append(nil))
	f.Add(a.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHello(b); err == nil && h.version == protocol {
			if back, err := parseHello(h.append(nil)); err != nil || !reflect.DeepEqual(back, h) {
				t.Errorf("%+v became %+v, %v", h, back, err)
			}
			if v := h.judge(0, 3, []string{"a:1", "b:2"}); v.verdict == welcome && (h.from != 1 || h.to != 0) {
				t.Errorf("%+v was welcome", h)
			}
		}
		if a, err := parseAnswer(b); err == nil && a.version == protocol {
			if back, err := parseAnswer(a.append(nil)); err != nil || !reflect.DeepEqual(back, a) {
				t.Errorf("%+v became %+v, %v", a, back, err)
			}
		}
	})
}

// However a stream is cut into reads, the frames are those that a plain walk finds,
// up to the first that isn't one.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00a\x03\x00\x00\x00bcd"), uint16(40), uint8(3), uint8(2))
	f.Add([]byte("\x00\x00\x00\x00"), uint16(4), uint8(1), uint8(0))
	f.Add([]byte("\xff\xff\xff\xff"), uint16(1000), uint8(1), uint8(9))
	f.Fuzz(func(t *testing.T, stream []byte, limit uint16, step, early uint8) {
		limit++
		var want [][]byte
		broken := false
		for rest := stream; len(rest) >= 4; {
			n := int(rest[0]) | int(rest[1])<<8 | int(rest[2])<<16 | int(rest[3])<<24
			if n == 0 || n > int(limit) {
				broken = true
				break
			}
			if len(rest) < 4+n {
				break
			}
			want, rest = append(want, rest[4:4+n]), rest[4+n:]
		}

		k := min(int(early), len(stream))
		fr := newFrames(int(limit), stream[:k])
		rest := stream[k:]
		var got [][]byte
		for {
			body, err := fr.next()
			if err != nil {
				if !broken {
					t.Fatalf("%v", err)
				}
				broken = false
				break
			}
			if body != nil {
				got = append(got, slices.Clone(body))
				continue
			}
			if len(rest) == 0 {
				break
			}
			room := fr.room()
			if len(room) == 0 || len(fr.buf) > max(frameHead+int(limit), k) {
				t.Fatalf("room for %d bytes in a buffer of %d", len(room), len(fr.buf))
			}
			n := copy(room[:min(len(room), int(step)+1)], rest)
			fr.arrived(n)
			rest = rest[n:]
		}
		if broken || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%d frames %q, want %d %q; missed the broken one: %v", len(got), got, len(want), want, broken)
		}
	})
}

// A length that is announced takes no memory before the bytes come.
func TestAnnouncedLength(t *testing.T) {
	t.Parallel()
	f := newFrames(msg.MaxMessage, []byte{0, 0, 0x80, 0}) // 8 MiB
	f.arrived(copy(f.room(), "some"))
	if _ = f.room(); len(f.buf) > smallBuffer {
		t.Errorf("%d bytes of buffer for 8 of data", len(f.buf))
	}
}

func TestRemarks(t *testing.T) {
	t.Parallel()
	var r remarks
	start := time.Now()
	if !r.due(remark{"a", "x"}, start) || !r.due(remark{"b", "x"}, start) || r.due(remark{"a", "x"}, start.Add(remarkEvery-1)) || !r.due(remark{"a", "x"}, start.Add(remarkEvery)) {
		t.Error("a remark is made once a minute about each")
	}
	for i := range 2 * maxRemarks {
		r.due(remark{fmt.Sprint(i), "x"}, start.Add(remarkEvery))
	}
	if len(r.mu.said) > maxRemarks {
		t.Errorf("%d remarks are remembered", len(r.mu.said))
	}
}
