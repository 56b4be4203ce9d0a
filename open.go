package torc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// An Opener opens tables of one kind. It returns when the table can be used, or
// with an error that says what to do; ctx bounds the opening alone.
type Opener func(ctx context.Context, u *URL) (Table, error)

var schemes struct {
	sync.RWMutex
	openers map[string]Opener
}

// Register makes a kind of table known to [Open] by its URL scheme. Packages of
// kinds call it from init; a second registration of a scheme panics.
func Register(scheme string, open Opener) {
	schemes.Lock()
	defer schemes.Unlock()
	if schemes.openers == nil {
		schemes.openers = make(map[string]Opener)
	}
	if _, dup := schemes.openers[scheme]; dup {
		panic("torc: Register called twice for scheme " + scheme)
	}
	schemes.openers[scheme] = open
}

// Schemes returns the registered schemes, sorted.
func Schemes() []string {
	schemes.RLock()
	defer schemes.RUnlock()
	var s []string
	for name := range schemes.openers {
		s = append(s, name)
	}
	slices.Sort(s)
	return s
}

// Open opens the table that rawURL names. The scheme chooses the kind, and the
// program has to import that kind's package, as with database/sql:
//
//	import _ "github.com/torc-dht/torc/fleet/zookeeper" // zk://
//	import _ "github.com/torc-dht/torc/fleet"           // memcached://
//
// The context bounds the opening alone. Close the table when done.
func Open(ctx context.Context, rawURL string) (Table, error) {
	u, err := ParseURL(rawURL)
	if err != nil {
		return nil, &Error{Op: "open", Err: err}
	}
	schemes.RLock()
	open := schemes.openers[u.Scheme]
	schemes.RUnlock()
	if open == nil {
		return nil, &Error{Op: "open", Err: invalid(fmt.Errorf("no kind of table has the scheme %q: this program knows %s", u.Scheme, strings.Join(Schemes(), ", ")))}
	}
	return open(ctx, u)
}

// URL is a table's URL: scheme://host:port,host:port/path?name=value. It is not
// a net/url.URL because that has room for one host.
type URL struct {
	Scheme string
	Hosts  []string // host:port each, or host where the kind has a default port
	Path   string   // "" or begins with a slash
	Query  url.Values
}

// ParseURL parses a table's URL. It does not ask whether the kind exists.
func ParseURL(raw string) (*URL, error) {
	bad := func(format string, args ...any) (*URL, error) {
		return nil, invalid(fmt.Errorf("%q is not a table's URL: %w", raw, fmt.Errorf(format, args...)))
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || scheme == "" {
		return bad("it needs a scheme, as in zk://127.0.0.1:2181/torc or memcached://127.0.0.1:11211")
	}
	u := &URL{Scheme: scheme}
	rest, query, _ := strings.Cut(rest, "?")
	var err error
	if u.Query, err = url.ParseQuery(query); err != nil {
		return bad("its query: %w", err)
	}
	for name, values := range u.Query {
		if len(values) > 1 {
			return bad("it has %s more than once", name)
		}
	}
	hosts := rest
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		hosts, u.Path = rest[:i], rest[i:]
	}
	if hosts != "" {
		u.Hosts = strings.Split(hosts, ",")
	}
	seen := make(map[string]bool)
	for _, h := range u.Hosts {
		if err := CheckAddr(h); err != nil && !errors.Is(err, errNoPort) {
			return bad("%w", err)
		}
		if seen[h] {
			return bad("it names %s twice", h)
		}
		seen[h] = true
	}
	return u, nil
}

// String puts the URL together again.
func (u *URL) String() string {
	s := u.Scheme + "://" + strings.Join(u.Hosts, ",") + u.Path
	if len(u.Query) > 0 {
		s += "?" + u.Query.Encode()
	}
	return s
}

// Known returns an error that names the first parameter that is not among
// names, so that a misspelt one is not passed over in silence.
func (u *URL) Known(names ...string) error {
	for name := range u.Query {
		if !slices.Contains(names, name) {
			slices.Sort(names)
			return invalid(fmt.Errorf("%s:// has no parameter %q: it knows %s", u.Scheme, name, strings.Join(names, ", ")))
		}
	}
	return nil
}

var errNoPort = errors.New("no port")

// CheckAddr says what is wrong with addr as a member's host:port, if anything.
// It asks no name server.
func CheckAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		var ae *net.AddrError
		if errors.As(err, &ae) && ae.Err == "missing port in address" && addr != "" && !strings.ContainsAny(addr, badHostBytes) {
			return fmt.Errorf("%q has %w: write host:port", addr, errNoPort)
		}
		return fmt.Errorf("%q is not an address: write host:port, or [host]:port for IPv6", addr)
	}
	if host == "" || strings.ContainsAny(host, badHostBytes) || strings.HasPrefix(host, "-") {
		return fmt.Errorf("%q is not an address: %q is not a host", addr, host)
	}
	if n, err := parsePort(port); err != nil || n == 0 {
		return fmt.Errorf("%q is not an address: the port is a number from 1 to 65535", addr)
	}
	return nil
}

const badHostBytes = " \t\r\n/,?#@\"'\\"

func parsePort(s string) (int, error) {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 65535 {
			return 0, errors.New("not a port")
		}
		n = n*10 + int(c-'0')
	}
	if s == "" || n > 65535 {
		return 0, errors.New("not a port")
	}
	return n, nil
}
