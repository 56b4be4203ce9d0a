package keep

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// handshakeTimeout bounds the dialling of one of ZooKeeper's servers, and then
	// its first answer: one that is frozen does not keep us from the next.
	handshakeTimeout = time.Second
	// minBackoff and maxBackoff bound the pause before each attempt, once every
	// server has been tried.
	minBackoff = 20 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// dialer makes the connections of one session. It takes the place of what package zk
// has for this, which resolves names once and for all, sleeps a whole second between
// rounds, and waits up to ten times its receive time-out for a frozen server.
type dialer struct {
	hosts []string
	now   func() int64
	ctx   context.Context // no connection is made after it
	stop  context.CancelFunc

	mu struct {
		sync.Mutex
		next     int
		attempts int // in vain
		wire     *wire
		trouble  error
	}
}

func newDialer(hosts []string, now func() int64) *dialer {
	d := &dialer{hosts: slices.Clone(hosts), now: now}
	rand.Shuffle(len(d.hosts), func(i, j int) { d.hosts[i], d.hosts[j] = d.hosts[j], d.hosts[i] })
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.mu.trouble = errors.New("no answer yet")
	return d
}

// Init, Len, Next and Connected make a dialer a zk.HostProvider. Package zk looks
// whether it has been closed only when told that a round is over, which then costs it
// a second: so it is told so when the dialer is stopped, and never before.
func (d *dialer) Init([]string) error { return nil }
func (d *dialer) Len() int            { return len(d.hosts) }

func (d *dialer) Next() (host string, over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	host = d.hosts[d.mu.next%len(d.hosts)]
	d.mu.next++
	return host, d.ctx.Err() != nil
}

func (d *dialer) Connected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.attempts, d.mu.trouble = 0, nil
}

// dial is a zk.Dialer.
func (d *dialer) dial(_, host string, _ time.Duration) (net.Conn, error) {
	select {
	case <-time.After(d.pause()):
	case <-d.ctx.Done():
		return nil, d.ctx.Err()
	}
	began := d.now()
	nd := net.Dialer{Timeout: handshakeTimeout}
	conn, err := nd.DialContext(d.ctx, "tcp", host)
	if err != nil {
		d.failed(host, err)
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		conn.Close()
		return nil, d.ctx.Err()
	}
	d.mu.wire = &wire{Conn: conn, dialer: d, host: host, began: began, by: time.Now().Add(handshakeTimeout)}
	return d.mu.wire, nil
}

// pause is how long to wait before the attempt that now begins.
func (d *dialer) pause() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	rounds := d.mu.attempts / len(d.hosts)
	d.mu.attempts++
	if rounds == 0 {
		return 0
	}
	p := min(maxBackoff, minBackoff<<min(rounds-1, 10))
	return p - rand.N(p/2)
}

func (d *dialer) failed(host string, err error) {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the address, which is said already
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.trouble = fmt.Errorf("%s: %w", host, err)
}

// trouble is what went wrong last, nil while there is a connection.
func (d *dialer) trouble() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.trouble
}

// cut closes the connection, without a word to ZooKeeper.
func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.wire != nil {
		d.mu.wire.Close()
	}
}

// granted is the session's time-out, from the last handshake, and when that began.
func (d *dialer) granted() (timeout time.Duration, began int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.wire.granted, d.mu.wire.began
}

// wire is a connection that sees to it that the handshake ends in time, and that the
// first packet is a ZooKeeper's: package zk would make room for one of gigabytes, and
// panic at a time-out of nothing. It takes from the packet what package zk does not
// tell, the time-out:
//
//	length(4)  version(4)  time-out in ms(4)  session(8)  ...      big-endian
//
// Session 0 says that the session has expired.
type wire struct {
	net.Conn
	dialer  *dialer
	host    string
	began   int64 // by the dialer's clock
	by      time.Time
	hello   []byte
	granted time.Duration
}

const (
	helloLen    = 4 + 4 + 4 + 8
	maxHelloLen = 1024
	minGranted  = 10 * time.Millisecond
)

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	missing := helloLen - len(w.hello)
	if missing <= 0 {
		return n, err
	}
	w.hello = append(w.hello, b[:min(missing, n)]...)
	bad := len(w.hello) >= 4 && binary.BigEndian.Uint32(w.hello) > maxHelloLen
	if len(w.hello) == helloLen {
		w.granted = time.Duration(int32(binary.BigEndian.Uint32(w.hello[8:]))) * time.Millisecond
		bad = bad || w.granted < minGranted && binary.BigEndian.Uint64(w.hello[12:]) != 0
	}
	if bad {
		n, err = 0, errors.New("it answers what no ZooKeeper does")
	}
	if err != nil {
		w.dialer.failed(w.host, fmt.Errorf("it took the connection, and then: %w", err))
	}
	return n, err
}

// SetReadDeadline keeps the handshake within its time, whatever t is.
func (w *wire) SetReadDeadline(t time.Time) error {
	if len(w.hello) < helloLen && (t.IsZero() || t.After(w.by)) {
		t = w.by
	}
	return w.Conn.SetReadDeadline(t)
}
