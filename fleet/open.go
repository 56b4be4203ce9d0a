package fleet

import (
	"context"
	"fmt"
	"strings"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/ring"
)

// DefaultPort is memcached's.
const DefaultPort = "11211"

func init() {
	torc.Register("memcached", openList)
	torc.Register("memcached+file", openFileList)
}

// openList opens memcached://host:port,host:port?weights=1,2&names=a,b&rejoin=flush.
func openList(ctx context.Context, u *torc.URL) (torc.Table, error) {
	opts, cfg, err := parseListURL(u, "weights", "names")
	if err != nil {
		return nil, openError(err)
	}
	if len(u.Hosts) == 0 || strings.Trim(u.Path, "/") != "" {
		return nil, openError(fmt.Errorf("%w: %s: write memcached://host:port,host:port", torc.ErrInvalid, u))
	}
	servers, err := parseServers(u)
	if err != nil {
		return nil, openError(err)
	}
	list, err := NewList(cfg, servers)
	if err != nil {
		return nil, openError(err)
	}
	return table(New(ctx, list, opts))
}

func parseServers(u *torc.URL) ([]Server, error) {
	weights, err := perHost(u, "weights")
	if err != nil {
		return nil, err
	}
	names, err := perHost(u, "names")
	if err != nil {
		return nil, err
	}
	servers := make([]Server, len(u.Hosts))
	for i, addr := range u.Addrs(DefaultPort) {
		servers[i] = Server{Addr: addr, Name: names[i], Weight: 1}
		if weights[i] == "" {
			continue
		}
		if servers[i].Weight, err = parseWeight(weights[i]); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", torc.ErrInvalid, u, err)
		}
	}
	return servers, nil
}

// perHost reads a parameter that has one part for each host, or is absent.
func perHost(u *torc.URL, name string) ([]string, error) {
	if !u.Query.Has(name) {
		return make([]string, len(u.Hosts)), nil
	}
	parts := strings.Split(u.Query.Get(name), ",")
	if len(parts) != len(u.Hosts) {
		return nil, fmt.Errorf("%w: %s has %d servers and %d %s", torc.ErrInvalid, u, len(u.Hosts), len(parts), name)
	}
	return parts, nil
}

// openFileList opens memcached+file:path?rejoin=flush.
func openFileList(ctx context.Context, u *torc.URL) (torc.Table, error) {
	opts, cfg, err := parseListURL(u)
	if err != nil {
		return nil, openError(err)
	}
	if len(u.Hosts) > 0 || u.Path == "" {
		return nil, openError(fmt.Errorf("%w: %s: write memcached+file:members.txt", torc.ErrInvalid, u))
	}
	list, err := NewFileList(cfg, u.Path)
	if err != nil {
		return nil, openError(err)
	}
	return table(New(ctx, list, opts))
}

// table keeps a nil *Table from becoming a torc.Table that isn't nil.
func table(t *Table, err error) (torc.Table, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

func parseListURL(u *torc.URL, own ...string) (Options, ListConfig, error) {
	opts, err := ParseOptions(u, append(own, "rejoin")...)
	if err != nil {
		return Options{}, ListConfig{}, err
	}
	if opts.Config.VNodes > 0 && opts.Config.Hash != ring.Murmur3 {
		return Options{}, ListConfig{}, fmt.Errorf("%w: vnodes=%d in %s: it goes with hash=%s", torc.ErrInvalid, opts.Config.VNodes, u, ring.Murmur3)
	}
	cfg := ListConfig{Config: opts.Config, TLS: opts.TLS}
	switch rejoin := u.Query.Get("rejoin"); rejoin {
	case "", "flush":
	case "keep":
		cfg.Keep = true
	default:
		return Options{}, ListConfig{}, fmt.Errorf("%w: rejoin=%s in %s: it takes flush (a server that was away is emptied before it is used again) or keep", torc.ErrInvalid, rejoin, u)
	}
	return opts, cfg, nil
}
