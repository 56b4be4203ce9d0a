package zookeeper

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// handshakeTimeout bounds the dialling of one of ZooKeeper's servers, and
	// then its first answer, so that one that is frozen does not keep us from
	// the next.
	handshakeTimeout = time.Second
	// minBackoff and maxBackoff bound the pause before each attempt, once every
	// server has been tried. Half a second keeps the promise that a fleet is
	// whole again within seconds of ZooKeeper's return, at two attempts a
	// second from each client.
	minBackoff = 20 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// ensemble is ZooKeeper's servers, and how the attempts to reach them went. It
// outlives sessions, so that a server which ends each session at once isn't
// asked for the next without a pause.
//
// It takes the place of what package zk has for this: that resolves names once
// and for all, sleeps a whole second between rounds, and waits up to ten times
// its receive time-out for a frozen server's handshake.
type ensemble struct {
	hosts []string // in the order of attempts: not everybody's the same

	mu struct {
		sync.Mutex
		next     int
		attempts int              // since something was last heard after a handshake
		failed   map[string]error // of each server, the last attempt's; nil entries went well
	}
}

func newEnsemble(hosts []string) *ensemble {
	e := &ensemble{hosts: slices.Clone(hosts)}
	rand.Shuffle(len(e.hosts), func(i, j int) { e.hosts[i], e.hosts[j] = e.hosts[j], e.hosts[i] })
	e.mu.failed = make(map[string]error)
	return e
}

// host returns the server to try next.
func (e *ensemble) host() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.hosts[e.mu.next%len(e.hosts)]
	e.mu.next++
	return h
}

// pause says how long to wait before the attempt that now begins.
func (e *ensemble) pause() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	rounds := e.mu.attempts/len(e.hosts) - 1
	e.mu.attempts++
	return backoff(rounds, rand.Float64())
}

// backoff is the pause after so many rounds in vain; jitter is from 0 to 1.
func backoff(rounds int, jitter float64) time.Duration {
	if rounds < 0 {
		return 0
	}
	d := min(maxBackoff, minBackoff<<min(rounds, 10))
	return d - time.Duration(jitter*float64(d/2))
}

func (e *ensemble) heard() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.attempts = 0
}

func (e *ensemble) outcome(host string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.failed[host] = err
}

// trouble says in one line what is wrong with whom.
func (e *ensemble) trouble() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var lines []string
	for host, err := range e.mu.failed {
		if err != nil {
			lines = append(lines, fmt.Sprintf("%s: %v", host, err))
		}
	}
	if lines == nil {
		return "no answer yet"
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// dial makes the next attempt. Package zk calls it again at once when it fails.
func (e *ensemble) dial(ctx context.Context, host string, greeted func(granted time.Duration)) (*wire, error) {
	select {
	case <-time.After(e.pause()):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	dialer := net.Dialer{Timeout: handshakeTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		e.outcome(host, err)
		return nil, err
	}
	return &wire{Conn: conn, host: host, ensemble: e, greeted: greeted, handshakeBy: time.Now().Add(handshakeTimeout)}, nil
}

// wire is a connection to one of ZooKeeper's servers that watches the handshake
// go by: it keeps that within its time, and takes from it what package zk does
// not tell, the session time-out that was granted.
//
// The first packet that a server sends is, big-endian: its length (4 bytes), the
// protocol's version (4), the granted time-out in milliseconds (4), the
// session's number (8, zero when the session has expired), and what doesn't
// matter here.
type wire struct {
	net.Conn
	host        string
	ensemble    *ensemble
	greeted     func(granted time.Duration)
	handshakeBy time.Time

	hello    []byte // what came, up to helloLen bytes
	received int    // bytes in all
}

const helloLen = 4 + 4 + 4 + 8

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.take(b[:n])
	}
	if err != nil && len(w.hello) < helloLen {
		w.ensemble.outcome(w.host, fmt.Errorf("it took the connection, and then: %w", err))
	}
	return n, err
}

func (w *wire) take(b []byte) {
	w.received += len(b)
	if missing := helloLen - len(w.hello); missing > 0 {
		w.hello = append(w.hello, b[:min(missing, len(b))]...)
		if len(w.hello) < helloLen {
			return
		}
		w.ensemble.outcome(w.host, nil)
		if binary.BigEndian.Uint64(w.hello[12:]) != 0 {
			w.greeted(time.Duration(binary.BigEndian.Uint32(w.hello[8:])) * time.Millisecond)
		}
	}
	if w.received > 4+int(binary.BigEndian.Uint32(w.hello)) {
		w.ensemble.heard()
	}
}

// SetReadDeadline keeps the handshake within its time, whatever t is.
func (w *wire) SetReadDeadline(t time.Time) error {
	if len(w.hello) < helloLen && (t.IsZero() || t.After(w.handshakeBy)) {
		t = w.handshakeBy
	}
	return w.Conn.SetReadDeadline(t)
}
