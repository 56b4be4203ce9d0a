package memcache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Get returns the item at key, or ErrNotFound. The caller owns its value.
// ErrTooLarge says that the value is over Config.MaxValue.
func (c *Client) Get(ctx context.Context, key string) (Item, error) {
	return c.get(ctx, query{op: opGet, key: key})
}

// GetAndTouch is Get, and gives the item a new time to live; 0 means for ever,
// and a negative one that it expires at once.
func (c *Client) GetAndTouch(ctx context.Context, key string, ttl time.Duration) (Item, error) {
	return c.get(ctx, query{op: opGetAndTouch, key: key, exp: exptime(ttl, time.Now)})
}

// Head is Get without the value: it returns the item's flags, CAS and TTL. To the
// server it is no use of the item, so that looking after items while a Metadump
// walks over them moves none of them to where the walk has been already.
func (c *Client) Head(ctx context.Context, key string) (Item, error) {
	return c.get(ctx, query{op: opHead, key: key})
}

// Peek is Get that is no use of the item, as Head.
func (c *Client) Peek(ctx context.Context, key string) (Item, error) {
	return c.get(ctx, query{op: opGet, key: key, unused: true})
}

func (c *Client) get(ctx context.Context, q query) (Item, error) {
	a, err := c.ask(ctx, &q)
	if err != nil {
		return Item{}, err
	}
	return a.item(q.key), nil
}

// item is what a found at key.
func (a *answer) item(key string) Item {
	item := Item{Key: key, Value: a.value, Flags: a.flags, CAS: a.cas}
	if a.ttl >= 0 {
		// A server that counts down to 0 has not let it expire yet, and 0 would
		// mean for ever.
		item.TTL = time.Duration(max(a.ttl, 1)) * time.Second
	}
	return item
}

// Set stores item as mode says, and returns the CAS of what is stored then. The
// item's CAS matters to ModeCAS alone, its flags and TTL not to ModeAppend and
// ModePrepend; a negative TTL is one that has passed. The value is the caller's
// again when Set returns.
//
// Besides the errors that Mode names, ErrTooLarge says that the value is larger
// than Config.MaxValue, and nothing was sent; or, with a *ServerError inside,
// that the server doesn't take it, and then no longer has the item that it had
// before.
func (c *Client) Set(ctx context.Context, item Item, mode Mode) (cas uint64, err error) {
	return c.SetOp(ctx, item, mode, OpID{})
}

// SetOp is Set with an id, by which a server that knows of those carries it out
// once, however often it is sent. To send it again is the caller's affair.
func (c *Client) SetOp(ctx context.Context, item Item, mode Mode, id OpID) (cas uint64, err error) {
	q, err := c.setQuery(item, mode, id)
	if err != nil {
		return 0, err
	}
	a, err := c.ask(ctx, &q)
	return a.cas, err
}

// setQuery asks to store item, or says why that can't be asked.
func (c *Client) setQuery(item Item, mode Mode, id OpID) (query, error) {
	if int(mode) >= len(modeFlags) {
		return query{}, fmt.Errorf("memcache: Mode(%d) is none", mode)
	}
	if len(item.Value) > c.cfg.MaxValue {
		return query{}, fmt.Errorf("%w: %d bytes, and Config.MaxValue is %d", ErrTooLarge, len(item.Value), c.cfg.MaxValue)
	}
	return query{
		op: opSet, mode: mode, key: item.Key, value: item.Value,
		flags: item.Flags, cas: item.CAS, exp: exptime(item.TTL, time.Now), id: id,
	}, nil
}

// Delete removes the item at key. ErrNotFound says that there was none; with a
// cas that is not 0, ErrExists says that the item there has another.
func (c *Client) Delete(ctx context.Context, key string, cas uint64) error {
	return c.DeleteOp(ctx, key, cas, OpID{})
}

// DeleteOp is Delete with an id, as SetOp.
func (c *Client) DeleteOp(ctx context.Context, key string, cas uint64, id OpID) error {
	_, err := c.ask(ctx, &query{op: opDelete, key: key, cas: cas, id: id})
	return err
}

// Touch gives the item at key a new time to live, as GetAndTouch does, or
// returns ErrNotFound.
func (c *Client) Touch(ctx context.Context, key string, ttl time.Duration) error {
	_, err := c.ask(ctx, &query{op: opTouch, key: key, exp: exptime(ttl, time.Now)})
	return err
}

// Incr adds delta to the decimal number that is the value at key, and returns
// the sum: modulo 2^64 upwards, and not below 0 downwards. ErrNotFound says that
// there is no item, a *ServerError that it is not a number.
func (c *Client) Incr(ctx context.Context, key string, delta int64) (uint64, error) {
	a, err := c.ask(ctx, &query{op: opIncr, key: key, delta: delta})
	if err != nil {
		return 0, err
	}
	digits := strings.TrimRight(string(a.value), " ")
	sum, n := number([]byte(digits))
	if n == 0 || n != len(digits) {
		return 0, &ServerError{Addr: c.addr, Line: "a sum that is not a number: " + digits}
	}
	return sum, nil
}

// FlushAll makes the server forget every item.
func (c *Client) FlushAll(ctx context.Context) error {
	_, err := c.ask(ctx, &query{op: opFlushAll})
	return err
}

// Version returns the server's version, "1.6.18" say.
func (c *Client) Version(ctx context.Context) (string, error) {
	a, err := c.ask(ctx, &query{op: opVersion})
	return a.text, err
}

// Stats returns the server's statistics, of the kind that args name ("items",
// say), or the general ones.
func (c *Client) Stats(ctx context.Context, args ...string) (map[string]string, error) {
	line := strings.Join(args, " ")
	if len(line) > MaxKeyLen || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, errors.New("memcache: stats takes printable ASCII words, 250 bytes in all")
	}
	a, err := c.ask(ctx, &query{op: opStats, args: line})
	if err != nil {
		return nil, err
	}
	stats := make(map[string]string)
	for stat := range strings.Lines(a.text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(stat, "\n"), " ")
		stats[name] = value
	}
	return stats, nil
}

// Ping asks the server for a sign of life, which costs it nothing.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.ask(ctx, &query{op: opNoop})
	return err
}

// ask is do with the key checked, and with an error for every answer that says
// that what q asks was not done.
func (c *Client) ask(ctx context.Context, q *query) (answer, error) {
	switch q.op {
	case opNoop, opFlushAll, opVersion, opStats:
	default:
		var err error
		if q.encoded, err = checkKey(q.key); err != nil {
			return answer{}, err
		}
	}
	a, err := c.do(ctx, q)
	if err == nil {
		err = c.refusal(q, &a)
	}
	if err != nil {
		return answer{}, err
	}
	return a, nil
}

// refusal is the error that a, the answer to q, says; nil if it is done.
func (c *Client) refusal(q *query, a *answer) error {
	switch a.code {
	case codeEN, codeNF:
		return ErrNotFound
	case codeNS:
		return ErrNotStored
	case codeEX:
		return ErrExists
	case codeError:
		err := &ServerError{Addr: c.addr, Line: a.text}
		if q.op == opSet && strings.HasPrefix(a.text, "SERVER_ERROR object too large") {
			return fmt.Errorf("%w: %d bytes: %w", ErrTooLarge, len(q.value), err)
		}
		return err
	}
	if a.tooLarge {
		return fmt.Errorf("%w: the value at %s has %d bytes, and Config.MaxValue is %d", ErrTooLarge, c.addr, a.size, c.cfg.MaxValue)
	}
	return nil
}
