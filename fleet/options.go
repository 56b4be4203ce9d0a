package fleet

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/urlparam"
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
}

// ParseOptions reads what a URL's query says about the fleet itself. Own names
// the parameters that the directory's kind knows besides; any other one is an
// error.
func ParseOptions(u *torc.URL, own ...string) (Options, error) {
	if err := u.Known(slices.Concat(own, parameters, urlparam.TLSNames)...); err != nil {
		return Options{}, err
	}
	p := urlparam.Parser{URL: u}
	o := Options{
		Config: Config{
			Hash:   u.Query.Get("hash"),
			VNodes: p.Number("vnodes", 1, MaxVNodes),
			Copies: p.Number("copies", 1, MaxCopies),
		},
		ReadTimeout:  p.Duration("read-timeout"),
		WriteTimeout: p.Duration("write-timeout"),
		Hedge:        p.Duration("hedge"),
		Conns:        p.Number("conns", 1, 64),
		TLS:          p.TLS(),
	}
	if u.Query.Has("hash") && !slices.Contains(ring.Kinds(), o.Config.Hash) {
		p.Fail("hash", "it takes "+strings.Join(ring.Kinds(), ", "))
	}
	return o, p.Err
}
