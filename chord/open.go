package chord

import (
	"context"
	"fmt"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/urlparam"
)

func init() { torc.Register("chord", open) }

// parameters that a URL knows, besides those of TLS.
var parameters = []string{"read-timeout", "write-timeout", "try-timeout", "conns"}

// open opens chord://host:port,host:port?read-timeout=5s; the hosts are nodes, any.
func open(ctx context.Context, u *torc.URL) (torc.Table, error) {
	nodes, opts, err := parseURL(u)
	if err != nil {
		return nil, failure(opOpen, "", nil, err)
	}
	t, err := New(ctx, nodes, opts)
	if err != nil {
		return nil, err // and not a nil *Table that is a torc.Table
	}
	return t, nil
}

func parseURL(u *torc.URL) (nodes []string, o TableOptions, err error) {
	if err := u.Known(append(parameters, urlparam.TLSNames...)...); err != nil {
		return nil, o, err
	}
	if len(u.Hosts) == 0 || strings.Trim(u.Path, "/") != "" {
		return nil, o, fmt.Errorf("%w: %s: write chord://host:port, of any node, or of several with commas between", torc.ErrInvalid, u)
	}
	for _, host := range u.Hosts {
		if err := torc.CheckAddr(host); err != nil {
			return nil, o, fmt.Errorf("%w: %s: %w; a node has no port of its own", torc.ErrInvalid, u, err)
		}
	}
	p := urlparam.Parser{URL: u}
	o = TableOptions{
		ReadTimeout:  p.Duration("read-timeout"),
		WriteTimeout: p.Duration("write-timeout"),
		TryTimeout:   p.Duration("try-timeout"),
		Conns:        p.Number("conns", 1, 64),
		TLS:          p.TLS(),
	}
	return u.Hosts, o, p.Err
}
