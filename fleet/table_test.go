package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGetFromUnreachableServerIsMiss(t *testing.T) {
	t.Parallel()
	addr := refusing(t)
	table, _ := newTestTable(t, Options{}, addr)
	_, err := table.Get(t.Context(), "k")
	if !errors.Is(err, torc.ErrNotFound) || !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("Get = %v, want a miss that says unavailable", err)
	}
	var e *torc.Error
	if !errors.As(err, &e) || e.Member != addr || e.Since.IsZero() || e.Op != "get" || e.Key != "k" {
		t.Errorf("Get = %#v, want the operation, the key, the member and since when", e)
	}
}

func TestEmptyFleet(t *testing.T) {
	t.Parallel()
	table, _ := newTestTable(t, Options{WriteTimeout: 20 * time.Millisecond})
	if _, err := table.Get(t.Context(), "k"); !errors.Is(err, torc.ErrNotFound) || !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("Get = %v, want a miss that says unavailable", err)
	}
	if err := table.Put(t.Context(), "k", nil); !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) {
		t.Errorf("Put = %v, want unavailable", err)
	}
	p, err := table.Locate(t.Context(), "k")
	if err != nil || len(p.Owners) != 0 {
		t.Errorf("Locate = %v, %v, want no owner", p, err)
	}
}

func TestPutWaitsForView(t *testing.T) {
	t.Parallel()
	good := memcachetest.Start(t)
	table, dir := newTestTable(t, Options{}, refusing(t))
	put := make(chan error)
	go func() { put <- table.Put(t.Context(), "k", []byte("v")) }()
	select {
	case err := <-put:
		t.Fatalf("Put = %v while its server could not be reached", err)
	case <-time.After(50 * time.Millisecond):
	}
	dir.set(good)
	if err := <-put; err != nil {
		t.Fatalf("Put = %v after the view has changed", err)
	}
	e, err := table.Get(t.Context(), "k")
	if err != nil || string(e.Value) != "v" {
		t.Fatalf("Get = %q, %v", e.Value, err)
	}
}

// A write that hangs in a server which answers nothing goes to the next server
// as soon as the view says so, however long its own time-out is.
func TestPendingWriteFollowsView(t *testing.T) {
	t.Parallel()
	good := memcachetest.Start(t)
	asked := make(chan struct{}, 64)
	silent := answering(t, afterGreeting(func(net.Conn, string) bool { asked <- struct{}{}; return true }))
	table, dir := newTestTable(t, Options{WriteTimeout: time.Minute}, silent)
	put := make(chan error)
	go func() { put <- table.Put(t.Context(), "k", []byte("v")) }()
	<-asked
	dir.set(good)
	if err := <-put; err != nil {
		t.Fatalf("Put = %v", err)
	}
}

func TestConditionalPutIsSentOnce(t *testing.T) {
	t.Parallel()
	good := memcachetest.Start(t)
	asked := make(chan struct{}, 64)
	silent := answering(t, afterGreeting(func(net.Conn, string) bool { asked <- struct{}{}; return true }))
	table, dir := newTestTable(t, Options{}, silent)
	put := make(chan error)
	go func() { put <- table.Put(t.Context(), "k", []byte("v"), torc.IfAbsent()) }()
	<-asked
	dir.set(good)
	if err := <-put; !errors.Is(err, torc.ErrUnknownOutcome) || !errors.Is(err, torc.ErrUnavailable) {
		t.Fatalf("Put = %v, want an unknown outcome", err)
	}
	if _, err := table.Get(t.Context(), "k"); !errors.Is(err, torc.ErrNotFound) {
		t.Fatalf("Get = %v: it was sent again", err)
	}
}

// One that was never sent may go to the next server.
func TestConditionalPutThatWasNotSentIsTriedAgain(t *testing.T) {
	t.Parallel()
	good := memcachetest.Start(t)
	table, dir := newTestTable(t, Options{}, refusing(t))
	put := make(chan error)
	go func() { put <- table.Put(t.Context(), "k", []byte("v"), torc.IfAbsent()) }()
	select {
	case err := <-put:
		t.Fatalf("Put = %v while its server could not be reached", err)
	case <-time.After(20 * time.Millisecond):
	}
	dir.set(good)
	if err := <-put; err != nil {
		t.Fatal(err)
	}
}

// Nor was one of which only the server's limit was asked.
func TestConditionalPutIsTriedAgainWhenOnlyTheLimitWasAsked(t *testing.T) {
	t.Parallel()
	good := memcachetest.Start(t)
	asked := make(chan struct{}, 64)
	silent := answering(t, afterGreeting(func(net.Conn, string) bool { asked <- struct{}{}; return true }))
	table, dir := newTestTable(t, Options{}, silent)
	put := make(chan error)
	go func() { put <- table.Put(t.Context(), "k", make([]byte, smallestItemMax), torc.IfAbsent()) }()
	<-asked
	dir.set(good)
	if err := <-put; err != nil {
		t.Fatal(err)
	}
}

func TestWriteGivesUpWithReason(t *testing.T) {
	t.Parallel()
	addr := refusing(t)
	table, _ := newTestTable(t, Options{WriteTimeout: 30 * time.Millisecond}, addr)
	for op, err := range map[string]error{
		"put":    table.Put(t.Context(), "k", []byte("v")),
		"delete": table.Delete(t.Context(), "k"),
	} {
		var e *torc.Error
		if !errors.As(err, &e) || e.Op != op || e.Member != addr || e.Since.IsZero() {
			t.Errorf("%s = %#v, want who and since when", op, err)
		}
		if !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrNotFound) || errors.Is(err, torc.ErrUnknownOutcome) {
			t.Errorf("%s = %v, want unavailable alone: nothing was sent", op, err)
		}
		if !strings.Contains(fmt.Sprint(err), "refused") {
			t.Errorf("%s = %v does not say why", op, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := table.Put(ctx, "k", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put = %v, want the context's error too", err)
	}
}

func TestCloseEndsWaitingWrites(t *testing.T) {
	t.Parallel()
	table, _ := newTestTable(t, Options{}, refusing(t))
	put := make(chan error)
	go func() { put <- table.Put(context.Background(), "k", nil) }()
	table.Close()
	if err := <-put; !errors.Is(err, torc.ErrClosed) {
		t.Fatalf("Put = %v, want ErrClosed", err)
	}
	if err := table.Close(); err != nil {
		t.Fatal("a second Close:", err)
	}
}

func TestVersionOfAnotherServerConflicts(t *testing.T) {
	t.Parallel()
	a, b := memcachetest.Start(t), memcachetest.Start(t)
	table, dir := newTestTable(t, Options{}, a)
	if err := table.Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	e, err := table.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	dir.set(b)
	waitVersion(t, table, 2)
	if err := table.Put(t.Context(), "k", []byte("other")); err != nil {
		t.Fatal(err)
	}
	if err := table.Put(t.Context(), "k", []byte("w"), torc.IfVersion(e.Version)); !errors.Is(err, torc.ErrConflict) {
		t.Fatalf("Put = %v, want ErrConflict", err)
	}
}

// A server that speaks nonsense costs errors and misses, never another key's
// value, and never a hang.
func TestBadServers(t *testing.T) {
	t.Parallel()
	// say answers with text each time; half ends the connection after that.
	say := func(text func(line string) string) func(net.Conn, string) bool {
		return func(c net.Conn, line string) bool { _, err := io.WriteString(c, text(line)); return err == nil }
	}
	half := func(text func(line string) string) func(net.Conn, string) bool {
		return func(c net.Conn, line string) bool { say(text)(c, line); return false }
	}
	for name, serve := range map[string]func(net.Conn, string) bool{
		"closes":        func(net.Conn, string) bool { return false },
		"silent":        func(net.Conn, string) bool { return true },
		"rubbish":       say(func(string) string { return "HTTP/1.1 400 Bad Request\r\n\r\n" }),
		"endless":       say(func(string) string { return strings.Repeat("\x00", 1<<16) }),
		"half a value":  half(func(l string) string { return "VA 10 " + opaqueOf(l) + "\r\nabc" }),
		"huge":          say(func(l string) string { return "VA 99999999999 " + opaqueOf(l) + "\r\n" }),
		"others' value": say(func(string) string { return "VA 5 O999999\r\nwrong\r\n" }),
		"no terminator": say(func(l string) string { return "VA 2 " + opaqueOf(l) + "\r\nabcd\r\n" }),
		"server error":  say(func(string) string { return "SERVER_ERROR out of memory\r\n" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, serve := range []func(net.Conn, string) bool{serve, afterGreeting(serve)} {
				opts := Options{ReadTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond}
				table, _ := newTestTable(t, opts, answering(t, serve))
				for range 3 {
					if e, err := table.Get(t.Context(), "k"); err == nil {
						t.Errorf("Get = %q", e.Value)
					} else if !errors.Is(err, torc.ErrUnavailable) {
						t.Errorf("Get = %v, want unavailable", err)
					}
					if err := table.Put(t.Context(), "k", []byte("v")); !errors.Is(err, torc.ErrUnavailable) {
						t.Errorf("Put = %v, want unavailable", err)
					}
				}
			}
		})
	}
}

func TestDirectoryThatGivesUp(t *testing.T) {
	t.Parallel()
	d := newFakeDirectory()
	wrong := errors.New("wrong")
	go func() { d.fail <- wrong }()
	if _, err := New(t.Context(), d, Options{}); !errors.Is(err, wrong) {
		t.Errorf("New = %v", err)
	}

	table, d := newTestTable(t, Options{}, refusing(t))
	go func() { d.fail <- wrong }()
	var last error
	for _, err := range table.Members(t.Context()) {
		last = err
	}
	if !errors.Is(last, wrong) {
		t.Errorf("Members ended with %v", last)
	}
}

func TestOpenGivesUpWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := New(ctx, newFakeDirectory(), Options{}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("New = %v", err)
	}
}

// Servers that stay keep their connections through a change of view, and so do
// versions that were read from them.
func TestViewChangeKeepsConnections(t *testing.T) {
	t.Parallel()
	a, b := memcachetest.Start(t), memcachetest.Start(t)
	table, dir := newTestTable(t, Options{}, a)
	before := table.routing.Load().servers[0].client
	dir.set(a, b)
	waitVersion(t, table, 2)
	for _, s := range table.routing.Load().servers {
		if s.Addr == a && s.client != before {
			t.Error("the server that stayed has new connections")
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	table, _ := newTestTable(t, Options{}, memcachetest.Start(t))
	for _, key := range []string{"", strings.Repeat("k", 251), strings.Repeat("ü", 94)} {
		if _, err := table.Get(t.Context(), key); !errors.Is(err, torc.ErrInvalid) || errors.Is(err, torc.ErrNotFound) {
			t.Errorf("Get of a key of %d bytes = %v, want ErrInvalid", len(key), err)
		}
		if _, err := table.Locate(t.Context(), key); !errors.Is(err, torc.ErrInvalid) {
			t.Errorf("Locate of a key of %d bytes = %v, want ErrInvalid", len(key), err)
		}
	}
	if err := table.Put(t.Context(), "k", []byte("small")); err != nil {
		t.Fatal(err)
	}
	if err := table.Put(t.Context(), "k", make([]byte, 2<<20)); !errors.Is(err, torc.ErrTooLarge) {
		t.Errorf("Put of 2 MiB = %v, want ErrTooLarge", err)
	}
}

// A membership that no ring can be made of does not end the table, nor the
// following of the directory.
func TestMembersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	good := memcachetest.Start(t)
	table, dir := newTestTable(t, Options{}, good)
	if err := table.Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for i, config := range []Config{
		{Hash: "unheard-of"},
		{Copies: 9},
		{Hash: "murmur3", VNodes: 1 << 30},
	} {
		dir.views <- Membership{Version: uint64(2 + i), Config: config, Servers: []Server{{Addr: good, Weight: 1, Incarnation: "1"}}}
		v := waitView(t, table, func(v torc.View) bool { return !v.LostContact.IsZero() })
		if v.Version != 1 {
			t.Errorf("config %+v: the view is %+v, want the one before", config, v)
		}
		if e, err := table.Get(t.Context(), "k"); err != nil || string(e.Value) != "v" {
			t.Errorf("config %+v: Get = %q, %v", config, e.Value, err)
		}
	}
	dir.mu.version = 9
	dir.set(good)
	waitView(t, table, func(v torc.View) bool { return v.Version == 10 && v.LostContact.IsZero() })
}

// A write that one server carried out, and which the key's next server can't be
// given, may count or not: the key may come back.
func TestWriteCarriedOutWhereTheKeyIsNoMore(t *testing.T) {
	t.Parallel()
	w := write{progress: progress{op: "put", key: "k", took: true}}
	if err := w.gaveUp(new(routing).noServer(), context.DeadlineExceeded); !errors.Is(err, torc.ErrUnavailable) || !errors.Is(err, torc.ErrUnknownOutcome) {
		t.Errorf("%v, want unavailable, the outcome unknown", err)
	}
}

func TestCloseEndsConditionalPut(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 64)
	silent := answering(t, afterGreeting(func(net.Conn, string) bool { asked <- struct{}{}; return true }))
	table, _ := newTestTable(t, Options{}, silent)
	put := make(chan error)
	go func() { put <- table.Put(context.Background(), "k", nil, torc.IfAbsent()) }()
	<-asked
	table.Close()
	if err := <-put; !errors.Is(err, torc.ErrClosed) || !errors.Is(err, torc.ErrUnknownOutcome) {
		t.Errorf("Put = %v, want ErrClosed, the outcome unknown", err)
	}
}

func TestWrongKeyWithoutServers(t *testing.T) {
	t.Parallel()
	table, _ := newTestTable(t, Options{WriteTimeout: time.Hour})
	if _, err := table.Get(t.Context(), ""); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("Get = %v, want ErrInvalid", err)
	}
	if err := table.Put(t.Context(), "", nil); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("Put = %v, want ErrInvalid", err)
	}
}
