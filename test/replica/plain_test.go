package replica

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/torc-dht/torc"
)

const (
	// answerWithin is how long a plain client waits for an answer: longer than a
	// server takes until it says that it can't.
	answerWithin = 2500 * time.Millisecond
	dialWithin   = 500 * time.Millisecond
	// homeAgain is how long a plain client stays away from its own server once that
	// has failed it.
	homeAgain = 500 * time.Millisecond
)

// dialer makes connections, as net.Dialer.DialContext does.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// plain is a client that knows no more than the requirement says: it sends GET key
// or GET key=value to a server, and what comes back is the answer. It makes one
// attempt for each call. When one fails it goes on to the next server, and after a
// while it comes back to its own. It is one goroutine's.
type plain struct {
	torc.Table // nil: it has no more than what is here
	dial       dialer
	hosts      []string
	home, at   int
	left       time.Time // when it left its own server
	conns      []*wire   // by host; nil: none
	labelled   bool      // the last answer was
}

// wire is a connection.
type wire struct {
	net.Conn
	r *bufio.Reader
}

// newPlain returns a client whose own server is hosts[home].
func newPlain(dial dialer, hosts []string, home int) *plain {
	return &plain{dial: dial, hosts: hosts, home: home, at: home, conns: make([]*wire, len(hosts))}
}

func (p *plain) Close() error {
	for at := range p.conns {
		p.drop(at)
	}
	return nil
}

func (p *plain) drop(at int) {
	if c := p.conns[at]; c != nil {
		_ = c.Close() // nothing is owed
		p.conns[at] = nil
	}
}

// Get reads.
func (p *plain) Get(ctx context.Context, key string) (torc.Entry, error) {
	e, err := p.ask(ctx, "GET /"+url.PathEscape(key), key)
	switch {
	case err != nil && !errors.Is(err, torc.ErrUnavailable):
		return e, fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
	case err == nil && e.Version == torc.Version{}:
		return e, torc.ErrNotFound
	}
	return e, err
}

// Swap writes.
func (p *plain) Swap(ctx context.Context, key string, value []byte) (torc.Entry, error) {
	e, err := p.ask(ctx, "GET /"+url.PathEscape(key)+"="+url.PathEscape(string(value)), key)
	if err != nil && !errors.Is(err, torc.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", torc.ErrUnknownOutcome, err)
	}
	return e, err
}

// ask sends a request and reads the answer. ErrUnavailable says that nothing was
// sent; with any other error the server may have done what it was asked.
func (p *plain) ask(ctx context.Context, request, key string) (torc.Entry, error) {
	p.labelled = false
	if p.at != p.home && time.Since(p.left) > homeAgain {
		p.at = p.home
	}
	at := p.at
	e, again, err := p.attempt(ctx, at, request, key)
	if err != nil || !again {
		p.drop(at)
	}
	if err != nil {
		if at == p.home {
			p.left = time.Now()
		}
		p.at = (at + 1) % len(p.hosts)
		err = fmt.Errorf("%s: %w", p.hosts[at], err)
	}
	return e, err
}

// attempt asks one server. The connection can be used again if it says so.
func (p *plain) attempt(ctx context.Context, at int, request, key string) (e torc.Entry, again bool, err error) {
	if p.conns[at] == nil {
		dialing, cancel := context.WithTimeout(ctx, dialWithin)
		conn, err := p.dial(dialing, "tcp", p.hosts[at])
		cancel()
		if err != nil {
			return e, false, fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
		}
		p.conns[at] = &wire{conn, bufio.NewReader(conn)}
	}
	c := p.conns[at]
	if err := c.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return e, false, err
	}
	if _, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\n\r\n", request, p.hosts[at]); err != nil {
		return e, false, err
	}
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return e, false, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // there is nothing of it left
	if err != nil {
		return e, false, err
	}
	if answer.StatusCode != http.StatusOK {
		return e, !answer.Close, fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(body)))
	}
	p.labelled = answer.Header.Get("X-Torc-Degraded") != ""
	value, ok := strings.CutPrefix(string(body), key+"=")
	if !ok {
		return e, false, fmt.Errorf("%s was asked for, and the answer is %q", key, body)
	}
	if value != "NIL" { // no client here writes that
		e = torc.Entry{Value: []byte(value), Version: torc.Version{Seq: 1}}
	}
	return e, !answer.Close, nil
}

// refused says that nobody listens where a call went.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
