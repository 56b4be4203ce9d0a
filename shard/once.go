package shard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/internal/link"
)

const (
	// attemptWithin is how long a server may take over one attempt. One that is
	// silent for so long is dead to its master, too, which knows who is next.
	attemptWithin = time.Second
	// Between attempts is a pause that begins short, since who is awaited is
	// mostly there in a moment.
	shortestPause = 5 * time.Millisecond
	longestPause  = 100 * time.Millisecond
	// hops is how often "moved" is followed before the master is asked again.
	hops = 3
)

// Once is a client that carries out one request at a time and knows nothing of the
// one before: it asks a master where the key lies, and the server there. It is for
// programs that do one thing and end; a [torc.Table] keeps the map and its
// connections.
//
// While there is nobody to ask, the master doesn't know of a server yet, or the
// key moves, it tries again until its context is done; so the context should have
// a deadline. A write is carried out once all the same.
type Once struct {
	// Masters are where a master listens, host:port: the one, or all of those of
	// which one leads.
	Masters []string
	// Server, if not "", is asked instead, and nobody else: see [ErrElsewhere].
	Server string
	// TLS, if not nil, is what connections are made with.
	TLS *tls.Config
}

// ErrElsewhere says that the one server that was to be asked doesn't answer for
// the key.
var ErrElsewhere = errors.New("the key lies elsewhere")

// Get returns the value at key. torc.ErrNotFound says that there is none, any
// other error that this could not be found out.
func (o *Once) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := o.do(ctx, "get", key, func(ctx context.Context, c *memcache.Client) error {
		item, err := c.Get(ctx, key)
		value = item.Value
		return err
	})
	return value, err
}

// Put stores value at key. An error wraps torc.ErrUnknownOutcome if the write was
// sent and may stand all the same.
func (o *Once) Put(ctx context.Context, key string, value []byte) error {
	id := memcache.OpID{Client: rand.Uint64(), Number: 1, Oldest: 1}
	sent := false
	err := o.do(ctx, "put", key, func(ctx context.Context, c *memcache.Client) error {
		_, err := c.SetOp(ctx, memcache.Item{Key: key, Value: value}, memcache.ModeSet, id)
		sent = sent || maySent(err)
		return err
	})
	if e := (*torc.Error)(nil); sent && errors.As(err, &e) {
		e.Err = fmt.Errorf("%w: %w", torc.ErrUnknownOutcome, e.Err)
	}
	return err
}

// maySent says whether a write that failed so may have been carried out, or may
// yet be.
func maySent(err error) bool {
	if lost := (*memcache.ConnError)(nil); errors.As(err, &lost) {
		return lost.Sent
	}
	a := answerOf(err)
	return a.kind == answerUnknown
}

// do calls act with a client of the server that answers for the key, until it
// says something final.
func (o *Once) do(ctx context.Context, op, key string, act func(context.Context, *memcache.Client) error) error {
	fail := func(member string, err error) error { return &torc.Error{Op: op, Key: key, Member: member, Err: err} }
	if err := memcache.CheckKey(key); err != nil {
		return fail("", fmt.Errorf("%w: %s", torc.ErrInvalid, plain(err)))
	}
	server := o.Server
	pause := shortestPause
	for moved := 0; ; {
		if server == "" {
			at, err := o.locate(ctx, key)
			if err != nil {
				return fail("", fmt.Errorf("%w: %w", torc.ErrUnavailable, err))
			}
			server, moved = at, 0
		}
		err := o.attempt(ctx, server, act)
		a := answerOf(err)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, memcache.ErrNotFound):
			return fail("", torc.ErrNotFound)
		case errors.Is(err, memcache.ErrTooLarge):
			return fail(server, fmt.Errorf("%w: %s", torc.ErrTooLarge, plain(err)))
		case a.kind == answerMoved && o.Server != "":
			return fail(server, fmt.Errorf("%w, at %s", ErrElsewhere, a.addr))
		case a.kind == answerMoved && moved < hops && a.addr != "":
			server = a.addr
			moved++
			continue
		case a.kind == answerFinal:
			return fail(server, fmt.Errorf("%w: %s", torc.ErrUnavailable, a.text))
		}
		if !rest(ctx, &pause) {
			return fail(server, fmt.Errorf("%w: %s", torc.ErrUnavailable, plain(err)))
		}
		server = o.Server
	}
}

// attempt asks one server once.
func (o *Once) attempt(ctx context.Context, server string, act func(context.Context, *memcache.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptWithin)
	defer cancel()
	c := memcache.NewClient(server, memcache.Config{Conns: 1, TLS: o.TLS})
	defer c.Close()
	return act(ctx, c)
}

// locate asks the masters for the key's server until they know.
func (o *Once) locate(ctx context.Context, key string) (string, error) {
	admin := Admin{Masters: o.Masters, TLS: o.TLS}
	pause := shortestPause
	for {
		at, err := admin.Locate(ctx, key)
		switch {
		case err == nil && at.Primary != "":
			return at.Primary, nil
		case err == nil:
			err = fmt.Errorf("the master at %s: no server has joined yet", strings.Join(o.Masters, ", "))
		case errors.Is(err, link.ErrForeign), errors.Is(err, link.ErrVersion):
			return "", err
		}
		if !rest(ctx, &pause) {
			return "", err
		}
	}
}

// rest waits before the next attempt, each time a bit longer, and says whether
// there is to be one.
func rest(ctx context.Context, pause *time.Duration) bool {
	t := time.NewTimer(*pause)
	defer t.Stop()
	*pause = min(2**pause, longestPause)
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// plain is an error's text without the name of the library that it comes from.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "memcache: ") }

// answer is what a server's refusal means.
type answer struct {
	kind answerKind
	addr string // of answerMoved, where known
	text string
}

type answerKind uint8

const (
	answerNone    answerKind = iota // there was none, or one that passes
	answerMoved                     // another server is asked
	answerUnknown                   // the write may stand
	answerFinal                     // asking again is no use
)

// answerOf reads a server's own words. They are those of failureLine.
func answerOf(err error) answer {
	var said *memcache.ServerError
	if !errors.As(err, &said) {
		return answer{}
	}
	text := strings.TrimPrefix(said.Line, "SERVER_ERROR ")
	word, rest, _ := strings.Cut(text, " ")
	switch strings.TrimSuffix(word, ":") {
	case "moved":
		_, addr, _ := strings.Cut(rest, " ")
		return answer{kind: answerMoved, addr: addr, text: text}
	case "outcome":
		return answer{kind: answerUnknown, text: text}
	case "unavailable":
		return answer{text: text}
	}
	return answer{kind: answerFinal, text: text}
}
