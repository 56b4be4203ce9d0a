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
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("said nothing for %v", handshakeTimeout)
	}
	e.mu.failed[host] = fmt.Errorf("it took the connection, and then: %w", err)
}

func (e *ensemble) greeted(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.mu.failed, host)
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
func (e *ensemble) dial(ctx context.Context, host string, resume session) (*wire, error) {
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
	if tcp, ok := conn.(*net.TCPConn); ok {
		// The kernel goes on sending what a cut link held up, for minutes after
		// the connection was closed: an announcement, say, that came to stand
		// when everybody has given it up.
		_ = tcp.SetLinger(0)
	}
	return &wire{Conn: conn, host: host, ensemble: e, session: resume, handshakeBy: time.Now().Add(handshakeTimeout)}, nil
}

// session is what ZooKeeper knows a session by, and how long it lasts without a
// connection.
type session struct {
	id       int64 // 0: none yet
	password [passwordLen]byte
	timeout  time.Duration
}

// wire is a connection to one of ZooKeeper's servers that takes part in the
// handshake:
//
//   - It makes package zk, for whom each connection is the first, go on with the
//     session that there was before.
//   - It takes the session from the answer, and with it the time-out that was
//     granted, of which package zk does not tell.
//   - It keeps the handshake within its time, and refuses a first packet longer
//     than any ZooKeeper's, for which package zk would make room, gigabytes of it.
//
// The two packets, numbers big-endian:
//
//	         length  version  last change seen  time-out, ms  session  length  password
//	out:          4        4                 8             4        8       4        16
//	in:           4        4                               4        8       4        16
//
// An answer with session 0 says that the session has expired.
type wire struct {
	net.Conn
	host        string
	ensemble    *ensemble
	handshakeBy time.Time

	session  session // to go on with, if any; then the one that there is
	sent     bool    // the first packet
	hello    []byte  // of the first that came, up to helloLen bytes
	received int     // bytes in all
}

const (
	passwordLen = 16
	requestLen  = 4 + 4 + 8 + 4 + 8 + 4 + passwordLen
	helloLen    = 4 + 4 + 4 + 8 + 4 + passwordLen
	maxHelloLen = 1024
)

func (w *wire) Write(b []byte) (int, error) {
	if !w.sent && len(b) >= requestLen && w.session.id != 0 {
		b = slices.Clone(b)
		binary.BigEndian.PutUint64(b[20:], uint64(w.session.id))
		copy(b[32:], w.session.password[:])
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
		w.session = session{
			id:       int64(binary.BigEndian.Uint64(w.hello[12:])),
			password: [passwordLen]byte(w.hello[24:]),
			timeout:  time.Duration(binary.BigEndian.Uint32(w.hello[8:])) * time.Millisecond,
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
