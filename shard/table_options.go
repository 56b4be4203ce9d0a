package shard

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/internal/link"
)

// Defaults of TableOptions.
const (
	// DefaultReadTimeout outlives a server's death: its master notices after a
	// second, and who takes its place serves when the last promise to it has run
	// out, a second and a half later at the most.
	DefaultReadTimeout = 5 * time.Second
	// DefaultTryTimeout is what a master gives a silent server before it takes it
	// for dead: sooner, there is nobody else to ask.
	DefaultTryTimeout = time.Second
)

// TableOptions say how a Table treats its callers and its servers; the zero value
// is what most callers want.
type TableOptions struct {
	// ReadTimeout bounds a Get whose context has no deadline; 0 means
	// DefaultReadTimeout.
	ReadTimeout time.Duration
	// WriteTimeout bounds a Put or Delete whose context has no deadline; 0 means
	// torc.DefaultPutTimeout.
	WriteTimeout time.Duration
	// TryTimeout is how long one server has to answer before it, or whoever has
	// the slot by then, is asked again; 0 means DefaultTryTimeout.
	TryTimeout time.Duration
	// Conns is the number of connections to each server; 0 leaves it to package
	// memcache.
	Conns int
	// TLS, if not nil, is how masters and servers are spoken to.
	TLS *tls.Config
	// Dialer, if not nil, makes the connections in place of a net.Dialer; TLS goes
	// on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

func (o TableOptions) withDefaults() TableOptions {
	o.ReadTimeout = cmp.Or(o.ReadTimeout, DefaultReadTimeout)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, torc.DefaultPutTimeout)
	o.TryTimeout = cmp.Or(o.TryTimeout, DefaultTryTimeout)
	return o
}

// maxBackoff is how long a server may be back before a table finds out: it is the
// only one that has the slots.
const maxBackoff = 200 * time.Millisecond

// stallTimeout is how long a connection may bring nothing that is waited for before
// another is made: a server that is silent for so long has lost its slots, or what
// is between takes ever longer to send again what it dropped.
const stallTimeout = 5 * time.Second

// maxValue is the largest value that is sent or taken, in bytes: all that a server may
// be told to take. What each does take is its own affair.
const maxValue = 1 << 30

func (o *TableOptions) client() memcache.Config {
	return memcache.Config{
		Conns:        o.Conns,
		ReadTimeout:  min(o.TryTimeout, o.ReadTimeout),
		WriteTimeout: min(o.TryTimeout, o.WriteTimeout),
		StallTimeout: stallTimeout,
		MaxValue:     maxValue,
		BackoffMax:   maxBackoff,
		TLS:          o.TLS,
		Dialer:       o.Dialer,
	}
}

func (o *TableOptions) link() link.Options { return link.Options{TLS: o.TLS, Dialer: o.Dialer} }
