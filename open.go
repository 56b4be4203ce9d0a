package torc

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
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
// kinds call it from init. The scheme is lower case; a second registration of it
// panics.
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
	return slices.Sorted(maps.Keys(schemes.openers))
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
		return nil, &Error{Op: "open", Err: invalid(fmt.Errorf("no kind of table has the scheme %q: this program knows %s", u.Scheme, list(Schemes())))}
	}
	return open(ctx, u)
}

// URL is a table's URL: scheme://host:port,host:port/path?name=value, or
// scheme:path?name=value for a kind that needs no host. It is not a net/url.URL
// because that has room for one host.
type URL struct {
	Scheme string   // lower case
	Hosts  []string // none twice; host:port each, or host where the kind has a default port
	Path   string   // where there are Hosts, empty or begins with a slash
	Query  url.Values
}

// ParseURL parses a table's URL. It does not ask whether the kind exists.
// The error, if any, wraps ErrInvalid.
func ParseURL(raw string) (*URL, error) {
	bad := func(format string, args ...any) (*URL, error) {
		return nil, invalid(fmt.Errorf("%q is not a table's URL: %w", raw, fmt.Errorf(format, args...)))
	}
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok || !isScheme(scheme) || isAddrFirst(raw) {
		return bad("it needs a scheme, as in zk://127.0.0.1:2181/torc or memcached://127.0.0.1:11211")
	}
	u := &URL{Scheme: strings.ToLower(scheme)}
	rest, query, _ := strings.Cut(rest, "?")
	var err error
	if u.Query, err = url.ParseQuery(query); err != nil {
		return bad("its query: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(u.Query)) {
		if len(u.Query[name]) > 1 {
			return bad("it has the parameter %q more than once", name)
		}
	}
	hosts, ok := strings.CutPrefix(rest, "//")
	if !ok {
		u.Path = rest
		return u, nil
	}
	if i := strings.IndexByte(hosts, '/'); i >= 0 {
		hosts, u.Path = hosts[:i], hosts[i:]
	}
	if hosts != "" {
		u.Hosts = strings.Split(hosts, ",")
	}
	seen := make(map[string]bool)
	for _, h := range u.Hosts {
		if !isHost(h) {
			if err := CheckAddr(h); err != nil {
				return bad("%w", err)
			}
		}
		if seen[h] {
			return bad("it names %s twice", h)
		}
		seen[h] = true
	}
	return u, nil
}

// Addrs returns the hosts as host:port, with defaultPort where the URL has none.
func (u *URL) Addrs(defaultPort string) []string {
	addrs := make([]string, len(u.Hosts))
	for i, h := range u.Hosts {
		addrs[i] = h
		if isHost(h) {
			addrs[i] = h + ":" + defaultPort
		}
	}
	return addrs
}

// String puts the URL together again, its parameters sorted.
func (u *URL) String() string {
	s := u.Scheme + ":"
	if len(u.Hosts) > 0 || u.Path == "" || strings.HasPrefix(u.Path, "//") {
		s += "//"
	}
	s += strings.Join(u.Hosts, ",") + u.Path
	if len(u.Query) > 0 {
		s += "?" + u.Query.Encode()
	}
	return s
}

// Known returns an error that names a parameter that is not among names, so
// that a misspelt one is not passed over in silence.
func (u *URL) Known(names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(u.Query)) {
		if !slices.Contains(names, name) {
			return invalid(fmt.Errorf("%s:// has no parameter %q: it knows %s", u.Scheme, name, list(names)))
		}
	}
	return nil
}

// CheckAddr says what is wrong with addr as a member's host:port, if anything.
// It asks no name server. An address has one spelling of its port, no leading
// zeros, because addresses are compared as names.
func CheckAddr(addr string) error {
	if isHost(addr) {
		return fmt.Errorf("%q has no port: write host:port", addr)
	}
	i := strings.LastIndexByte(addr, ':')
	if i < 0 || !isHost(addr[:i]) {
		return fmt.Errorf("%q is not an address: write host:port, or [host]:port for IPv6", addr)
	}
	if n, err := strconv.ParseUint(addr[i+1:], 10, 16); err != nil || n == 0 || addr[i+1] == '0' {
		return fmt.Errorf("%q is not an address: the port is a number from 1 to 65535", addr)
	}
	return nil
}

// isHost tells whether s is a host's name, an IPv4 address or an IPv6 address
// in brackets.
func isHost(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return ok && err == nil && ip.Is6() && (ip.Zone() == "" || isHost(ip.Zone()))
	}
	for _, c := range []byte(s) {
		if !isAlnum(c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return s != "" && s[0] != '-' // nothing that a command line could take for a flag
}

// isAddrFirst tells whether raw begins as a URL does whose scheme was forgotten:
// with host:port, which would pass for scheme:path.
func isAddrFirst(raw string) bool {
	addr := raw
	if i := strings.IndexAny(raw, ",/?"); i >= 0 {
		addr = raw[:i]
	}
	return CheckAddr(addr) == nil
}

func isScheme(s string) bool {
	for _, c := range []byte(s) {
		if !isAlnum(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && s[0] > '9' // a letter first: an address without a scheme is none
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// list writes names for a person.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}
