package chord

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// These tests run in virtual time, over connections in memory.

// inBubble runs a test with a table of one node, that answers as answer does to each
// write and read.
func inBubble(t *testing.T, o TableOptions, answer memcache.HandlerFunc, test func(*testing.T, *Table)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		n := newFakeRing().addOn(t, 35, l)
		n.answers(func(w *memcache.ResponseWriter, r *memcache.Request) bool {
			answer(w, r)
			return true
		})
		dial := o.Dialer
		o.Dialer = l.dial
		table, err := New(t.Context(), []string{n.addr()}, o)
		if err != nil {
			t.Fatal(err)
		}
		if dial != nil {
			table.opts.Dialer = dial
		}
		test(t, table)
		_ = table.Close()
		n.stop()
	})
}

// pipeListener accepts what is dialled with it.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "node:1"} }

// silent answers nothing for as long as anybody waits.
func silent(w *memcache.ResponseWriter, _ *memcache.Request) {
	time.Sleep(time.Hour)
	w.Error("SERVER_ERROR unavailable: nobody waits any more")
}

// A call ends with its context's deadline or, without one, with the table's; and a write
// before nodes may have forgotten it.
func TestHowLongCallsTake(t *testing.T) {
	inBubble(t, TableOptions{}, silent, func(t *testing.T, table *Table) {
		get := func(ctx context.Context) error { _, err := table.Get(ctx, "k"); return err }
		put := func(ctx context.Context) error { return table.Put(ctx, "k", nil) }
		for _, of := range []struct {
			call            func(context.Context) error
			unknown         bool // its outcome
			deadline, takes time.Duration
		}{
			{get, false, 0, DefaultReadTimeout},
			{put, true, 0, torc.DefaultPutTimeout},
			{get, false, time.Minute, time.Minute},
			{put, true, time.Minute, time.Minute},
			{put, true, 300 * time.Millisecond, 300 * time.Millisecond},
			{put, true, time.Hour, repeatFor + DefaultTryTimeout},
		} {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if of.deadline > 0 {
				ctx, cancel = context.WithTimeout(ctx, of.deadline)
			}
			began := time.Now()
			err := of.call(ctx)
			cancel()
			took := time.Since(began)
			if early := of.takes - took; early > DefaultTryTimeout/4 || early < -2*DefaultTryTimeout {
				t.Errorf("with a deadline of %v it took %v, want %v: %v", of.deadline, took, of.takes, err)
			}
			if !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) != of.unknown {
				t.Errorf("with a deadline of %v: %v", of.deadline, err)
			}
		}
	})
}

// A node that refuses connections is tried a few times a second, and nothing is said to
// be in doubt.
func TestPauses(t *testing.T) {
	var dials atomic.Int32
	refuse := func(context.Context, string) (net.Conn, error) {
		dials.Add(1)
		return nil, syscall.ECONNREFUSED
	}
	inBubble(t, TableOptions{Dialer: refuse}, silent, func(t *testing.T, table *Table) {
		err := table.Put(t.Context(), "k", nil)
		if !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) {
			t.Errorf("Put: %v", err)
		}
		if n := dials.Load(); n < 10 || n > 300 {
			t.Errorf("%d dials in %v", n, torc.DefaultPutTimeout)
		}
	})
}

// A node that holds a call for as long as it may, and then says "not now", is asked again
// soon, however often it says so.
func TestNotNowIsAskedAgainSoon(t *testing.T) {
	const held = 40 * time.Millisecond
	var asked atomic.Int32
	notNow := func(w *memcache.ResponseWriter, _ *memcache.Request) {
		asked.Add(1)
		time.Sleep(held)
		w.Error("SERVER_ERROR unavailable: nothing was done")
	}
	inBubble(t, TableOptions{}, notNow, func(t *testing.T, table *Table) {
		const deadline = 2 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		err := table.Put(ctx, "k", nil)
		if n := time.Duration(asked.Load()); n < deadline/(held+heldPause) {
			t.Errorf("it was asked %d times in %v: %v", n, deadline, err)
		}
	})
}

// A write that had no answer may have happened, whatever is said of it later.
func TestUnheardThenRefused(t *testing.T) {
	var asked atomic.Int32
	answer := func(w *memcache.ResponseWriter, _ *memcache.Request) {
		if asked.Add(1) == 1 {
			w.Error("SERVER_ERROR outcome unknown: the write was sent to copies and may stand or not")
			return
		}
		w.Error("SERVER_ERROR out of memory storing object")
	}
	inBubble(t, TableOptions{}, answer, func(t *testing.T, table *Table) {
		if err := table.Put(t.Context(), "k", nil); !errors.Is(err, torc.ErrUnknownOutcome) || !errors.Is(err, torc.ErrUnavailable) {
			t.Errorf("Put: %v", err)
		}
	})
}

// A connection that brings nothing any more doesn't keep calls from a node that has
// others.
func TestStalledConnectionIsLeft(t *testing.T) {
	var served atomic.Int32
	answer := func(w *memcache.ResponseWriter, _ *memcache.Request) {
		if served.Add(1) == 1 {
			time.Sleep(time.Hour)
		}
		w.Status(memcache.StatusDone, 1)
	}
	inBubble(t, TableOptions{Conns: 1}, answer, func(t *testing.T, table *Table) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*stallTimeout)
		defer cancel()
		if err := table.Put(ctx, "k", nil); err != nil {
			t.Error(err)
		}
	})
}
