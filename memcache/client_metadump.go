package memcache

import (
	"bytes"
	"context"
	"iter"
	"net/url"
	"time"
)

// KeyInfo is what a server tells of an item when it lists its keys.
type KeyInfo struct {
	Key string
	// Expires is when the item expires, in whole seconds; zero if never.
	Expires time.Time
	// LastAccess is when it was last read or written, in whole seconds.
	LastAccess time.Time
	CAS        uint64
	// Fetched says whether it was ever read.
	Fetched bool
	// Class is the slab class that holds it.
	Class int
	// Size is what it takes on the server, its key and header included, in bytes.
	Size int
}

// Metadump lists the server's items as the server walks over them, on a
// connection of its own; it doesn't hold up other requests. An error ends the
// sequence: a *ConnError, or a *ServerError from a server that is at another dump
// or doesn't list.
//
// The list is no snapshot: what is written, or moved from one of the server's
// queues to another, while it runs may be missed. On memcached one pass may miss
// some keys in ten thousand, and besides, whatever was read within the last second
// for the second time since it was written: that waits to be moved, and is skipped.
// Head and Peek don't count as reads.
func (c *Client) Metadump(ctx context.Context) iter.Seq2[KeyInfo, error] {
	return c.dump(ctx, "lru_crawler metadump all\r\n")
}

// MetadumpHash is Metadump by the server's hash table in place of its queues: it
// leaves out nothing that is there throughout. But it must not be kept waiting:
// memcached before 1.6.19 holds a lock while what it has listed is not taken off
// it, and other requests, those of this client too, may get no answer meanwhile.
//
// A server that makes its table larger just then lists nothing at all; the figure
// hash_is_expanding of Stats tells.
func (c *Client) MetadumpHash(ctx context.Context) iter.Seq2[KeyInfo, error] {
	return c.dump(ctx, "lru_crawler metadump hash\r\n")
}

func (c *Client) dump(ctx context.Context, command string) iter.Seq2[KeyInfo, error] {
	return func(yield func(KeyInfo, error) bool) {
		more, err := c.metadump(ctx, command, yield)
		if err != nil && more {
			yield(KeyInfo{}, err)
		}
	}
}

// metadump yields the server's items. It says whether more may be yielded.
func (c *Client) metadump(ctx context.Context, command string, yield func(KeyInfo, error) bool) (more bool, err error) {
	dialCtx, cancel := context.WithTimeoutCause(ctx, c.cfg.DialTimeout, &timeoutError{c.cfg.DialTimeout, "no connection"})
	defer cancel()
	p, err := c.open(dialCtx)
	if err != nil {
		return true, c.dumpError(ctx, err, false)
	}
	defer p.nc.Close()
	// The end of the context or of the client ends the reading.
	for _, ctx := range []context.Context{ctx, c.life} {
		stop := context.AfterFunc(ctx, func() { p.nc.Close() })
		defer stop()
	}
	patience := func() { p.nc.SetDeadline(time.Now().Add(c.cfg.StallTimeout)) } //nolint:errcheck // fails with the read
	patience()
	if _, err := p.nc.Write([]byte(command)); err != nil {
		return true, c.dumpError(ctx, err, true)
	}
	for {
		if !p.reader.ready() {
			patience()
		}
		line, err := p.reader.dumpLine()
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case err != nil:
			return true, c.dumpError(ctx, readError(err), true)
		case string(line) == "END":
			return true, nil
		case isErrorLine(line) || bytes.HasPrefix(line, []byte("BUSY")):
			return true, &ServerError{Addr: c.addr, Line: string(line)}
		}
		info, err := parseKeyInfo(line)
		if err != nil {
			return true, c.dumpError(ctx, err, true)
		}
		if !yield(info, nil) {
			return false, nil
		}
	}
}

// dumpError is the error of a dump that broke off: that of its context or of the
// client if that is why.
func (c *Client) dumpError(ctx context.Context, err error, sent bool) error {
	switch {
	case c.life.Err() != nil:
		err = ErrClosed
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return c.connError(err, sent)
}

// parseKeyInfo parses one line of a dump: name=value words, of which later
// versions may have more.
func parseKeyInfo(line []byte) (info KeyInfo, err error) {
	bad := func(what string) (KeyInfo, error) { return KeyInfo{}, badLine(line, what) }
	for rest := line; len(rest) > 0; {
		word := rest
		if i := bytes.IndexByte(rest, ' '); i >= 0 {
			word, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		if len(word) == 0 {
			continue
		}
		eq := bytes.IndexByte(word, '=')
		if eq < 0 {
			return bad("not a line of a dump")
		}
		value := word[eq+1:]
		var n uint64
		switch name := string(word[:eq]); name { // which the compiler does not allocate
		case "key":
			if info.Key, err = dumpedKey(value); err != nil {
				return bad("not a key in a dump")
			}
		case "exp", "la", "cls", "size", "cas":
			negative := len(value) > 0 && value[0] == '-'
			if negative {
				value = value[1:]
			}
			var digits int
			if n, digits = number(value); digits == 0 || digits != len(value) {
				return bad("not a number in a dump")
			}
			switch {
			case name == "exp" && !negative:
				info.Expires = time.Unix(int64(n), 0)
			case name == "exp":
			case negative:
				return bad("a number below 0 in a dump")
			case name == "la":
				info.LastAccess = time.Unix(int64(n), 0)
			case name == "cls":
				info.Class = int(n)
			case name == "size":
				info.Size = int(n)
			case name == "cas":
				info.CAS = n
			}
		case "fetch":
			info.Fetched = string(value) == "yes"
		}
	}
	if info.Key == "" {
		return bad("a line of a dump without a key")
	}
	return info, nil
}

// dumpedKey undoes the escapes of a key in a dump.
func dumpedKey(escaped []byte) (string, error) {
	if bytes.IndexByte(escaped, '%') < 0 {
		return string(escaped), nil
	}
	return url.PathUnescape(string(escaped))
}
