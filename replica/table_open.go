package replica

import (
	"context"
	"fmt"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/urlparam"
)

func init() { torc.Register("replica", open) }

// parameters that a URL knows, besides those of TLS.
var parameters = []string{"read-timeout", "write-timeout", "hedge", "conns"}

// open opens replica://host:port,host:port?read-timeout=5s.
func open(ctx context.Context, u *torc.URL) (torc.Table, error) {
	hosts, opts, err := parseURL(u)
	if err != nil {
		return nil, &torc.Error{Op: opOpen, Err: err}
	}
	t, err := New(ctx, hosts, opts)
	if err != nil {
		return nil, err // and not a nil *Table that is a torc.Table
	}
	return t, nil
}

func parseURL(u *torc.URL) (hosts []string, o TableOptions, err error) {
	if err := u.Known(append(parameters, urlparam.TLSNames...)...); err != nil {
		return nil, o, err
	}
	if len(u.Hosts) == 0 || strings.Trim(u.Path, "/") != "" {
		return nil, o, fmt.Errorf("%w: %s: write replica://host:port, of one server or, better, of each with commas between", torc.ErrInvalid, u)
	}
	if err := checkHosts(u.Hosts); err != nil {
		return nil, o, fmt.Errorf("%w: %s: %w", torc.ErrInvalid, u, err)
	}
	p := urlparam.Parser{URL: u}
	o = TableOptions{
		ReadTimeout:  p.Duration("read-timeout"),
		WriteTimeout: p.Duration("write-timeout"),
		Hedge:        p.Duration("hedge"),
		Conns:        p.Number("conns", 1, 1024),
		TLS:          p.TLS(),
	}
	return u.Hosts, o, p.Err
}
