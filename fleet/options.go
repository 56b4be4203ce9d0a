package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/ring"
)

// Defaults of Options.
const (
	// DefaultReadTimeout is how long a Get waits for a server. A server in the
	// same building answers in well under a millisecond, so that half a second
	// means that it is in trouble; and a cache that answers later than this is
	// no faster than what it stands in front of.
	DefaultReadTimeout = 500 * time.Millisecond
	// DefaultHedge is how long a Get waits for one copy before it asks the next.
	// A server that does well answers a hundred times sooner, also while a
	// collector of garbage or a lost packet holds something up; sooner would
	// double the load of servers that are merely busy, and make them busier.
	// And a caller hardly feels it.
	DefaultHedge = 30 * time.Millisecond
)

// Limits of a fleet's Config.
const (
	// MaxCopies is the most copies that a fleet keeps of each key.
	MaxCopies = 8
	// MaxVNodes is the most virtual nodes of a server of weight 1.
	MaxVNodes = 10000
)

// Values of Options.Offline.
const (
	OfflineServe  = "serve"
	OfflineRefuse = "refuse"
)

// Options of a table; the zero value is what most callers want.
type Options struct {
	// Config is what the caller says about placement. Zero fields stand for
	// what the directory says, or the default where it says nothing.
	Config Config
	// ReadTimeout bounds one server's answer to a Get; 0 means
	// DefaultReadTimeout. A context's deadline bounds it further.
	ReadTimeout time.Duration
	// WriteTimeout bounds a Put or Delete whose context has no deadline; 0
	// means torc.DefaultPutTimeout.
	WriteTimeout time.Duration
	// Hedge is how long a Get waits for one copy before it asks the next as well;
	// 0 means DefaultHedge. It matters where there are several copies.
	Hedge time.Duration
	// Offline says what a table does whose directory has been out of reach for
	// OfflineAfter: OfflineServe, or empty, goes on by the last view known,
	// OfflineRefuse fails every Get, Put and Delete with ErrUnavailable until
	// there is contact again. By an old view a read may be stale, and what is
	// written may be lost.
	Offline      string
	OfflineAfter time.Duration
	// Conns is the number of connections to each server; 0 leaves it to package
	// memcache.
	Conns int
	// TLS, if not nil, is how the servers are spoken to.
	TLS *tls.Config
	// Dialer, if not nil, makes the connections to the servers in place of a
	// net.Dialer; TLS goes on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

// parameters that every fleet's URL knows, whatever its directory.
var parameters = []string{
	"copies", "hash", "vnodes",
	"read-timeout", "write-timeout", "hedge", "conns",
	"tls", "tls-ca", "tls-cert", "tls-key", "tls-name",
}

// ParseOptions reads what a URL's query says about the fleet itself. Own names
// the parameters that the directory's kind knows besides; any other one is an
// error.
func ParseOptions(u *torc.URL, own ...string) (Options, error) {
	if err := u.Known(append(own, parameters...)...); err != nil {
		return Options{}, err
	}
	p := paramParser{u: u}
	o := Options{
		Config: Config{
			Hash:   u.Query.Get("hash"),
			VNodes: p.number("vnodes", 1, MaxVNodes),
			Copies: p.number("copies", 1, MaxCopies),
		},
		ReadTimeout:  p.duration("read-timeout"),
		WriteTimeout: p.duration("write-timeout"),
		Hedge:        p.duration("hedge"),
		Conns:        p.number("conns", 1, 64),
		TLS:          p.tls(),
	}
	if u.Query.Has("hash") && !slices.Contains(ring.Kinds(), o.Config.Hash) {
		p.fail("hash", "it takes "+strings.Join(ring.Kinds(), ", "))
	}
	return o, p.err
}

// paramParser keeps the first error, so that its callers read as a list.
type paramParser struct {
	u   *torc.URL
	err error
}

func (p *paramParser) fail(name, want string) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s=%s in %s: %s", torc.ErrInvalid, name, p.u.Query.Get(name), p.u, want)
	}
}

func (p *paramParser) number(name string, low, high int) int {
	if !p.u.Query.Has(name) {
		return 0
	}
	n, err := strconv.Atoi(p.u.Query.Get(name))
	if err != nil || n < low || n > high {
		p.fail(name, fmt.Sprintf("it takes a number from %d to %d", low, high))
		return 0
	}
	return n
}

func (p *paramParser) duration(name string) time.Duration {
	if !p.u.Query.Has(name) {
		return 0
	}
	d, err := time.ParseDuration(p.u.Query.Get(name))
	if err != nil || d < time.Millisecond || d > time.Hour {
		p.fail(name, "it takes a time from 1ms to 1h, as in 250ms or 2s")
		return 0
	}
	return d
}

// tls=on speaks TLS to the servers; tls-ca names a file of certificates to
// trust in place of the system's, tls-cert and tls-key the client's own, and
// tls-name the name that the servers' certificates carry.
func (p *paramParser) tls() *tls.Config {
	q := p.u.Query
	switch q.Get("tls") {
	case "on":
	case "", "off":
		for _, name := range []string{"tls-ca", "tls-cert", "tls-key", "tls-name"} {
			if q.Has(name) {
				p.fail(name, "it goes with tls=on")
			}
		}
		return nil
	default:
		p.fail("tls", "it takes on or off")
		return nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: q.Get("tls-name")}
	if file := q.Get("tls-ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			p.fail("tls-ca", err.Error())
			return nil
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			p.fail("tls-ca", "the file holds no certificate in PEM form")
			return nil
		}
	}
	if q.Has("tls-cert") || q.Has("tls-key") {
		cert, err := tls.LoadX509KeyPair(q.Get("tls-cert"), q.Get("tls-key"))
		if err != nil {
			p.fail("tls-cert", err.Error())
			return nil
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c
}
