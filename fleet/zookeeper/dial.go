package zookeeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
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
		hangUps  int              // handshakes in a row that were met by the end of the connection
		failed   map[string]error // what is wrong with which server
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

func (e *ensemble) failed(host string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the address, which is said already
	}
	e.mu.failed[host] = err
}

func (e *ensemble) hungUp(host string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.hangUps++
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("said nothing for %v", handshakeTimeout)
	}
	e.mu.failed[host] = fmt.Errorf("it took the connection, and then: %w", err)
}

func (e *ensemble) greeted(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.hangUps = 0
	delete(e.mu.failed, host)
}

// unwelcome says whether each server hung up when it was last greeted.
func (e *ensemble) unwelcome() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.hangUps >= len(e.hosts)
}

// trouble says in one line what is wrong with whom.
func (e *ensemble) trouble() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var lines []string
	for host, err := range e.mu.failed {
		lines = append(lines, fmt.Sprintf("%s: %v", host, err))
	}
	if lines == nil {
		return "no answer yet"
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// dial makes the next attempt. Package zk calls it again at once when it fails.
func (e *ensemble) dial(ctx context.Context, host string, granted func(time.Duration)) (*wire, error) {
	select {
	case <-time.After(e.pause()):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	dialer := net.Dialer{Timeout: handshakeTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		e.failed(host, err)
		return nil, err
	}
	return &wire{Conn: conn, host: host, ensemble: e, granted: granted, handshakeBy: time.Now().Add(handshakeTimeout)}, nil
}

// wire is a connection to one of ZooKeeper's servers that watches the handshake
// go by, and mends what package zk gets wrong about it:
//
//   - It keeps the handshake within its time, and refuses a first packet longer
//     than any ZooKeeper's, for which package zk would make room, gigabytes of it.
//   - It takes from it the session time-out that was granted, of which package zk
//     does not tell.
//   - A server refuses, by hanging up, whoever has seen a later change than it has
//     itself. That is for servers that lag behind; but one that lost its data
//     refuses so for ever, and never says that the session is over. So after a
//     round of hang-ups the wire makes package zk claim to have seen nothing. A
//     server that knows the session goes on with it then, even if it lags (which
//     is why nobody here takes a step back without a sync); one that doesn't says
//     so.
//
// The first packet that goes out is, big-endian: its length (4 bytes), the
// protocol's version (4), the last change seen (8), and more that doesn't matter
// here. The first that comes in is: its length (4), the protocol's version (4),
// the granted time-out in milliseconds (4), the session's number (8, zero when
// the session has expired), and more.
type wire struct {
	net.Conn
	host        string
	ensemble    *ensemble
	granted     func(time.Duration)
	handshakeBy time.Time

	sent     bool   // the first packet
	hello    []byte // of the first that came, up to helloLen bytes
	received int    // bytes in all
}

const (
	helloLen    = 4 + 4 + 4 + 8
	maxHelloLen = 1024
)

func (w *wire) Write(b []byte) (int, error) {
	if !w.sent && len(b) >= 16 && w.ensemble.unwelcome() {
		b = slices.Clone(b)
		clear(b[8:16])
	}
	w.sent = true
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	greeting := len(w.hello) < helloLen
	if n > 0 && !w.take(b[:n]) {
		err = errors.New("it answers what no ZooKeeper does")
		n = 0
	}
	if err != nil && greeting {
		w.ensemble.hungUp(w.host, err)
	}
	return n, err
}

// take looks at what came in, and returns false if that is no ZooKeeper's.
func (w *wire) take(b []byte) bool {
	w.received += len(b)
	if missing := helloLen - len(w.hello); missing > 0 {
		w.hello = append(w.hello, b[:min(missing, len(b))]...)
		if len(w.hello) >= 4 && binary.BigEndian.Uint32(w.hello) > maxHelloLen {
			return false
		}
		if len(w.hello) < helloLen {
			return true
		}
		w.ensemble.greeted(w.host)
		if binary.BigEndian.Uint64(w.hello[12:]) != 0 {
			w.granted(time.Duration(binary.BigEndian.Uint32(w.hello[8:])) * time.Millisecond)
		}
	}
	if w.received > 4+int(binary.BigEndian.Uint32(w.hello)) {
		w.ensemble.heard()
	}
	return true
}

// SetReadDeadline keeps the handshake within its time, whatever t is.
func (w *wire) SetReadDeadline(t time.Time) error {
	if len(w.hello) < helloLen && (t.IsZero() || t.After(w.handshakeBy)) {
		t = w.handshakeBy
	}
	return w.Conn.SetReadDeadline(t)
}
