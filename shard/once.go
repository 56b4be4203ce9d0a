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
	// Pauses between attempts double from the one to the other. They begin short,
	// since who is awaited is mostly there in a moment.
	shortestRest = 5 * time.Millisecond
	longestRest  = 100 * time.Millisecond
)

// ErrElsewhere says that the one server that was to be asked doesn't answer for
// the key.
var ErrElsewhere = errors.New("the key lies elsewhere")

// Once is a client that carries out one request at a time and knows nothing of the
// one before: it asks a master where the key lies, and the server there. It is for
// programs that do one thing and end; a [Table] keeps the map and its connections.
//
// While there is nobody to ask, the master doesn't know of a server yet, or the
// key moves, it tries again until its context is done; so the context should have
// a deadline. A write is carried out once all the same.
type Once struct {
	// Masters are where a master listens, host:port: the one, or all of those of
	// which one leads.
	Masters []string
	// Server, if not "", is asked instead, and nobody else; a key that it doesn't
	// answer for is ErrElsewhere.
	Server string
	// TLS, if not nil, is what connections are made with.
	TLS *tls.Config
}

// Get returns the value at key. torc.ErrNotFound says that there is none, any
// other error that this could not be found out.
func (o *Once) Get(ctx context.Context, key string) ([]byte, error) {
	item, err := o.carryOut(ctx, &call{verb: opGet, key: key})
	return item.Value, err
}

// Put stores value at key. An error wraps torc.ErrUnknownOutcome if the write was
// sent and may stand all the same.
func (o *Once) Put(ctx context.Context, key string, value []byte) error {
	_, err := o.carryOut(ctx, &call{
		verb: opPut, key: key, item: memcache.Item{Key: key, Value: value},
		id: memcache.OpID{Client: rand.Uint64(), Number: 1, Oldest: 1},
	})
	return err
}

// carryOut makes the call, at whoever answers for the key, until something final
// comes of it.
func (o *Once) carryOut(ctx context.Context, c *call) (item memcache.Item, err error) {
	fail := func(at string, err error) (memcache.Item, error) {
		return memcache.Item{}, &torc.Error{Op: c.verb, Key: c.key, Member: at, Err: err}
	}
	if err := memcache.CheckKey(c.key); err != nil {
		return fail("", judge(err).err)
	}
	server, hops, pause := o.Server, 0, shortestRest
	var past tries
	at := "" // whose failure is told of
	note := func(server string, j judgement) {
		if past.note(ctx, c, &j) {
			at = server
		}
	}
	for {
		if server == "" {
			if server, err = o.locate(ctx, c.key); err != nil {
				note("", judgement{err: err})
				return fail(at, past.gaveUp(nil))
			}
		}
		if item, err = o.try(ctx, server, c); err == nil {
			return item, nil
		}
		j := judge(err)
		note(server, j)
		switch {
		case j.verdict == final && errors.Is(j.err, torc.ErrNotFound):
			return fail("", j.err)
		case j.verdict == final:
			return fail(server, past.outcome(j.err))
		case j.verdict == elsewhere && o.Server != "":
			return fail(server, past.outcome(fmt.Errorf("%w, at %s", ErrElsewhere, j.addr)))
		case j.verdict == elsewhere && hops < maxHops:
			server = j.addr
			hops++
			continue
		case j.verdict == notNow:
			pause = min(pause, heldPause)
		}
		if past.tooLate() || !rest(ctx, &pause) {
			return fail(at, past.gaveUp(nil))
		}
		server, hops = o.Server, 0
	}
}

// try asks one server once.
func (o *Once) try(ctx context.Context, server string, c *call) (memcache.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptWithin)
	defer cancel()
	client := memcache.NewClient(server, memcache.Config{Conns: 1, MaxValue: maxValue, TLS: o.TLS})
	defer client.Close()
	return c.try(ctx, client)
}

// locate asks the masters for the key's server until they know.
func (o *Once) locate(ctx context.Context, key string) (string, error) {
	admin := Admin{Masters: o.Masters, TLS: o.TLS}
	pause := shortestRest
	var last error
	for {
		at, err := admin.Locate(ctx, key)
		switch {
		case err == nil && at.Primary != "":
			return at.Primary, nil
		case err == nil:
			err = fmt.Errorf("the master at %s: %w", strings.Join(o.Masters, ", "), errNoServer)
		case errors.Is(err, link.ErrForeign), errors.Is(err, link.ErrVersion):
			return "", err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if !rest(ctx, &pause) {
			return "", last
		}
	}
}

// rest waits before the next attempt, each time longer, and says whether there is
// to be one.
func rest(ctx context.Context, pause *time.Duration) bool {
	t := time.NewTimer(*pause)
	defer t.Stop()
	*pause = min(2**pause, longestRest)
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
