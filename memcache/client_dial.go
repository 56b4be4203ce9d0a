package memcache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// dial is the making of a connection, under way. done is closed when p or err
// is set.
type dial struct {
	done chan struct{}
	p    *pipe
	err  error
}

// backoffError is why a request failed between two attempts to reach a server.
type backoffError struct {
	until time.Time
	err   error // how the last attempt failed
}

func (e *backoffError) Error() string {
	return fmt.Sprintf("not tried again before %s: %v", e.until.Format("15:04:05.000"), e.err)
}

func (e *backoffError) Unwrap() error { return e.err }

// connect returns the pipe of s: the one that is there, or a new one that it
// has made, or it says why not. It returns errLate if the notice of cl, for which
// the pipe is, comes before that.
func (c *Client) connect(ctx context.Context, s *slot, cl *call) (*pipe, error) {
	p, d, err := c.pipeOf(s)
	if d == nil {
		return p, err
	}
	patience := cl.patience
	return c.dialled(ctx, d, waitUnsent(ctx, cl, d.done), patience)
}

// dialled is what came of d for who waited for it, with so much patience, and how
// that ended.
func (c *Client) dialled(ctx context.Context, d *dial, how signal, patience time.Duration) (*pipe, error) {
	switch how {
	case answered:
		if d.err != nil {
			return nil, c.connError(d.err, false)
		}
		return d.p, nil
	case late:
		return nil, errLate
	case overdue:
		err := &timeoutError{patience, "no connection"}
		c.bad(err)
		return nil, c.connError(err, false)
	default:
		return nil, c.gaveUp(ctx, false)
	}
}

// pipeOf returns the pipe of s, or the making of one, which it begins if need be,
// or why there is to be none now.
func (c *Client) pipeOf(s *slot) (*pipe, *dial, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, nil, c.connError(ErrClosed, false)
	}
	if p := s.pipe.Load(); p != nil {
		return p, nil, nil
	}
	if s.dialing == nil {
		if until := c.mu.retry; time.Now().Before(until) {
			_, err := c.Failing()
			if err == nil {
				err = errServerClosed
			}
			return nil, nil, c.connError(&backoffError{until, err}, false)
		}
		s.dialing = &dial{done: make(chan struct{})}
		c.wg.Add(1)
		go c.fill(s, s.dialing)
	}
	return nil, s.dialing, nil
}

// fill makes the pipe of s.
func (c *Client) fill(s *slot, d *dial) {
	defer c.wg.Done()
	ctx, cancel := context.WithTimeoutCause(c.life, c.cfg.DialTimeout, &timeoutError{c.cfg.DialTimeout, "no connection"})
	defer cancel()
	p, err := c.open(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.closed:
		err = ErrClosed
		if p != nil {
			p.nc.Close()
		}
	case err != nil:
		c.bad(err)
		c.backOffLocked()
	default:
		c.good()
		d.p = p
		s.pipe.Store(p)
		c.wg.Add(1)
		go p.run()
	}
	d.err = err
	s.dialing = nil
	close(d.done)
}

// open makes a connection to the server and sees that it answers.
func (c *Client) open(ctx context.Context) (*pipe, error) {
	nc, err := c.cfg.Dialer(ctx, c.addr)
	if err != nil {
		return nil, dialError(ctx, err)
	}
	plain := nc
	stop := context.AfterFunc(ctx, func() { plain.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // closed below
	if c.cfg.TLS != nil {
		nc, err = secure(ctx, nc, c.cfg.TLS, c.addr)
	}
	var p *pipe
	if err == nil {
		p, err = newPipe(c, nc, c.limits)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, dialError(ctx, err)
	}
	return p, nil
}

// dialError is err, or why ctx ended if it is that which err comes from.
func dialError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// secure makes nc a TLS connection.
func secure(ctx context.Context, nc net.Conn, cfg *tls.Config, addr string) (net.Conn, error) {
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nc, err
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	tc := tls.Client(nc, cfg)
	return tc, tc.HandshakeContext(ctx)
}

// lost notes that p broke, with calls under way or without.
//
// A connection that did its work for a while, or that the server closed when
// nothing was asked of it any more, is made again at once; one that broke soon
// counts as a failed attempt, or a server that accepts and then breaks would be
// dialled as often as it is asked.
func (c *Client) lost(p *pipe, err error, underWay bool) {
	for i := range c.slots {
		c.slots[i].pipe.CompareAndSwap(p, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	if underWay {
		c.bad(err)
	}
	worked := !underWay && p.answered.Load() > 0
	if worked || time.Since(p.born) >= c.cfg.BackoffMax {
		c.mu.failures = 0
		c.mu.retry = time.Time{}
		return
	}
	c.backOffLocked()
}

// backOffLocked puts off the next dial: full jitter under a bound that doubles.
func (c *Client) backOffLocked() {
	bound := c.cfg.BackoffMax
	if n := c.mu.failures; n < 32 {
		bound = min(bound, c.cfg.BackoffMin<<n)
		if bound <= 0 {
			bound = c.cfg.BackoffMax
		}
	}
	c.mu.failures++
	c.mu.retry = time.Now().Add(rand.N(bound))
}
