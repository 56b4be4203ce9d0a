package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// ProbeConfig says how a server is checked. The zero value is the default: a
// frozen server is down within 0.9 s (a check that just came through, then
// three silent ones), a server that is back is up 0.3 s later, and it costs the
// server ten commands a second from each who checks.
type ProbeConfig struct {
	// Interval is the time from the beginning of one check to that of the next,
	// when the first is over by then; 0 means 100 ms. It is jittered by a tenth.
	Interval time.Duration
	// Timeout is how long a check waits, for dialling, TLS and answer together;
	// 0 means 200 ms. A TCP segment that is lost is sent again after 200 ms at
	// the earliest, so that one lost packet can make one check silent but never
	// Fall of them.
	Timeout time.Duration
	// Fall is how many silent checks in a row take the server down, Rise how
	// many answers in a row bring it up; 0 means 3.
	Fall, Rise int
	// TrustFirst makes the first answer of a server of which nothing is known
	// enough to call it up: for a client that was told of the server and has no
	// reason to doubt it yet.
	TrustFirst bool
	// Restarts makes a server that was restarted count as down for a moment,
	// however quickly it came back: for who has to know that what it held is
	// gone. It costs a "stats" for each connection. A server that tells neither
	// its process number nor its age is not found out.
	Restarts bool
	// TLS, when not nil, is what the connection is wrapped in.
	TLS *tls.Config
	// Dial replaces the net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c ProbeConfig) withDefaults() ProbeConfig {
	if c.Interval <= 0 {
		c.Interval = 100 * time.Millisecond
	}
	if c.Timeout <= 0 {
		c.Timeout = 200 * time.Millisecond
	}
	if c.Fall <= 0 {
		c.Fall = 3
	}
	if c.Rise <= 0 {
		c.Rise = 3
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	return c
}

// slack is how late a time-out may fire before the check is void.
func (c ProbeConfig) slack() time.Duration { return c.Timeout / 2 }

// Verdict is a change in what is known of a server's health.
type Verdict struct {
	Up bool
	// Reason says why it is not Up; nil when it is.
	Reason error
	// At is when the check that decided it ended.
	At time.Time
}

// Probe checks the memcached at addr until ctx is done, and calls report, from
// the goroutine that called Probe, with the first verdict and then with each
// that differs from the one before. [Health] has the rules.
//
// It holds one connection, and checks over that with the command "version",
// which also tells whether a client can use the server. When the server closes
// that connection, as the kernel does for a process that was killed, the next
// check is made at once: so a killed server is down within a millisecond or two.
// After a silent check the next dials anew, since a connection that hung through
// a cut link takes long to come back to life.
//
// report must not block for long: no check is made meanwhile.
func Probe(ctx context.Context, addr string, cfg ProbeConfig, report func(Verdict)) {
	p := prober{addr: addr, cfg: cfg.withDefaults()}
	p.health = Health{cfg: p.cfg}
	defer p.hangUp()
	for {
		began := time.Now()
		finding, reason := p.check(ctx)
		now := time.Now()
		if ctx.Err() != nil {
			return
		}
		if p.health.Observe(finding, now.Sub(began)) {
			v := Verdict{Up: p.health.Up(), At: now}
			if !v.Up {
				v.Reason = reason
				if finding == Silent {
					v.Reason = fmt.Errorf("%d checks in a row failed, the last: %w", p.cfg.Fall, reason)
				}
			}
			report(v)
		}
		if !p.pause(ctx, began.Add(p.jittered())) {
			return
		}
	}
}

type prober struct {
	addr   string
	cfg    ProbeConfig
	health Health

	conn    net.Conn
	dialled time.Time
	answers chan answer // of conn; closed by its reader when conn breaks
	broken  error       // why, valid once answers is closed
	well    bool        // the last check was answered

	process   process // that answered last
	restarted bool    // it is another one than before, which is to be said
}

type answer string

// check makes one check: on the connection that is there, or a new one. When
// that is closed instead of answered, and the check before went well, it tries
// again at once, and after 2 and 4 milliseconds: a server may close an idle
// connection, and one that is being killed still takes a connection while its
// others are closed already, and then refuses the next.
func (p *prober) check(ctx context.Context) (Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	retries := []time.Duration{0, 2 * time.Millisecond, 4 * time.Millisecond}
	for try := 0; ; try++ {
		finding, reason := p.ask(ctx)
		if finding == Answered || finding == Restarted {
			p.well = true
			return finding, reason
		}
		p.hangUp()
		if !p.well || !errors.Is(reason, errHungUp) || try == len(retries) {
			p.well = false
			return finding, reason
		}
		select {
		case <-time.After(retries[try]):
		case <-ctx.Done():
			return finding, reason
		}
	}
}

// Why a connection broke: the server closed it before an answer, or sent what
// can't be one; or why there is none.
var (
	errHungUp  = errors.New("it closed the connection")
	errNoLines = errors.New("it sends lines that are too long for a memcached")
	errRefused = errors.New("connection refused: nobody listens there")
)

// errRestarted is why a server that answers is down all the same.
var errRestarted = errors.New("it was restarted, and what it held is gone")

func (p *prober) ask(ctx context.Context) (Finding, error) {
	if p.conn == nil {
		if err := p.dial(ctx); err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) {
				return Refused, errRefused
			}
			return Silent, p.late(ctx, "connecting", err)
		}
		if p.cfg.Restarts {
			if err := p.identify(ctx); err != nil {
				return Silent, err
			}
		}
	}
	if err := p.send(ctx, "version"); err != nil {
		return Silent, err
	}
	line, err := p.receive(ctx)
	if err != nil {
		return Silent, err
	}
	version, told := strings.CutPrefix(line, "VERSION ")
	if !told {
		return Silent, fmt.Errorf("it answers %.80q to the command version, which a memcached does not", line)
	}
	if err := memcache.CheckVersion(version); err != nil {
		return Silent, err
	}
	if p.restarted {
		p.restarted = false
		return Restarted, errRestarted
	}
	return Answered, nil
}

// identify finds out which process is at the other end of a new connection.
func (p *prober) identify(ctx context.Context) error {
	if err := p.send(ctx, "stats"); err != nil {
		return err
	}
	var is process
	for {
		line, err := p.receive(ctx)
		if err != nil {
			return err
		}
		stat, ok := strings.CutPrefix(line, "STAT ")
		if !ok { // END, or an error of one that has no stats
			break
		}
		is.learn(stat)
	}
	p.restarted = p.restarted || is.follows(p.process)
	p.process = is
	return nil
}

func (p *prober) send(ctx context.Context, command string) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = p.conn.SetWriteDeadline(deadline)
	}
	if _, err := io.WriteString(p.conn, command+"\r\n"); err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", errHungUp, err)
		}
		return p.late(ctx, "asking", err)
	}
	return nil
}

func (p *prober) receive(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
		return "", p.late(ctx, "waiting for an answer", ctx.Err())
	case line, ok := <-p.answers:
		switch {
		case ok:
			return string(line), nil
		case p.broken == errNoLines:
			return "", p.broken
		default:
			return "", fmt.Errorf("%w: %w", errHungUp, p.broken)
		}
	}
}

// late says in words what took too long, or what else went wrong.
func (p *prober) late(ctx context.Context, doing string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s took longer than %v", doing, p.cfg.Timeout)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (p *prober) dial(ctx context.Context) error {
	conn, err := p.cfg.Dial(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// A connection that is given up leaves nothing behind, here or in the
		// backlog of a server that is frozen.
		_ = tcp.SetLinger(0)
	}
	if p.cfg.TLS != nil {
		cfg := p.cfg.TLS
		if cfg.ServerName == "" {
			cfg = cfg.Clone()
			cfg.ServerName, _, _ = net.SplitHostPort(p.addr)
		}
		secured := tls.Client(conn, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return err
		}
		conn = secured
	}
	p.conn, p.dialled, p.answers = conn, time.Now(), make(chan answer)
	go p.read(conn, p.answers)
	return nil
}

// read passes on conn's lines until it breaks. It ends with the connection: the
// prober closes that and then waits for answers to be closed.
func (p *prober) read(conn net.Conn, answers chan<- answer) {
	defer close(answers)
	buf := make([]byte, 0, 256)
	for {
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for {
			end := bytes.IndexByte(buf, '\n')
			if end < 0 {
				break
			}
			answers <- answer(bytes.TrimSuffix(buf[:end], []byte("\r")))
			buf = buf[:copy(buf, buf[end+1:])]
		}
		if err == nil && len(buf) == cap(buf) {
			err = errNoLines
		}
		if err != nil {
			p.broken = err
			return
		}
	}
}

// hangUp closes the connection, if there is one, and waits for its reader.
func (p *prober) hangUp() {
	if p.conn == nil {
		return
	}
	p.conn.Close()
	for range p.answers {
	}
	p.conn, p.answers = nil, nil
}

func (p *prober) jittered() time.Duration {
	tenth := int64(p.cfg.Interval / 10)
	if tenth == 0 {
		return p.cfg.Interval
	}
	return p.cfg.Interval - time.Duration(rand.Int64N(tenth+1))
}

// pause waits until the next check is due: at the time given, or at once when
// the server closes a connection that it had kept for a while. (One that closes
// each connection after its answer is not checked without a pause.) It returns
// false when ctx is done.
func (p *prober) pause(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case _, ok := <-p.answers: // nil, and so never ready, without a connection
			kept := time.Since(p.dialled) >= p.cfg.Interval
			if !ok && kept {
				p.hangUp()
				return true
			}
			// Closed soon after it was made; or an answer to nothing, and the
			// next check would take what follows for its own. Either way this
			// connection is of no use.
			p.hangUp()
		}
	}
}
