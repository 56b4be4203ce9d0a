package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/client"
	"github.com/torc-dht/torc/replica/internal/msg"
)

const (
	// onceHedge is after how long a silence another host is asked, too. It is more
	// than a Table gives them, whose connections are there.
	onceHedge = 100 * time.Millisecond
	// raceStagger is the head start that one host has over the next when the fastest
	// is looked for.
	raceStagger = 2 * time.Millisecond
)

// Once is a client that carries out one request and ends, as kv does; a [Table]
// keeps its connections. It asks the host that answered the one before, which a
// small file in the user's cache directory tells, and otherwise the one that is
// connected first; another one at once if that refuses, and after a short silence.
// A write is carried out once all the same.
//
// Keys and values are all that a server takes: longer keys than through a Table.
type Once struct {
	// Hosts are the servers that may be asked, host:port each: 1 to MaxServers.
	Hosts []string
	// TLS, if not nil, is what connections are made with.
	TLS *tls.Config
	// Memory is the folder of the file that names the last host; "" means torc in
	// os.UserCacheDir. What goes wrong with it is passed over.
	Memory string
}

// Reply is what a Once has for its caller.
type Reply struct {
	Key string
	// Value is the value, before the write if it was one, and Found whether there
	// was any.
	Value []byte
	Found bool
	// Host is the address of who answered.
	Host string
	// Degraded is the number of the degraded epoch that labels the answer; 0: none
	// does.
	Degraded uint64
}

// String returns KEY=VALUE as a server answers a plain request, with NIL for a value
// that isn't there.
func (r *Reply) String() string {
	if !r.Found {
		return r.Key + "=NIL"
	}
	return r.Key + "=" + string(r.Value)
}

// Get reads the value at key. That there is none is no error. Ctx should have a
// deadline; torc.DefaultPutTimeout stands in for it.
func (o *Once) Get(ctx context.Context, key string) (Reply, error) {
	return o.do(ctx, opGet, client.Request{Op: msg.Op{Kind: msg.Get, Key: key}})
}

// Swap stores value at key, and the reply has what was there before. An error wraps
// torc.ErrUnknownOutcome if the write was sent and may stand all the same.
func (o *Once) Swap(ctx context.Context, key string, value []byte) (Reply, error) {
	return o.do(ctx, opSwap, client.Request{Op: msg.Op{Kind: msg.Put, Key: key, Value: value}, Swap: true})
}

func (o *Once) do(ctx context.Context, verb string, r client.Request) (Reply, error) {
	fail := func(err error) (Reply, error) {
		return Reply{}, &torc.Error{Op: verb, Key: r.Op.Key, Err: fmt.Errorf("%w: %w", torc.ErrInvalid, err)}
	}
	switch n := len(r.Op.Key); {
	case n == 0:
		return fail(errors.New("the key is empty"))
	case n > MaxKey:
		return fail(fmt.Errorf("the key has %d bytes: at most %d", n, MaxKey))
	}
	if err := checkHosts(o.Hosts); err != nil {
		return fail(err)
	}
	c := client.New(client.Config{
		Hosts: o.Hosts, Hedge: onceHedge, HedgeWrite: onceHedge, Sticky: true, Idle: 1, TLS: o.TLS,
	})
	defer c.Close()
	last := lastHost{folder: o.Memory, hosts: o.Hosts}
	if h := last.read(); h >= 0 {
		c.Prefer(h)
	} else if len(o.Hosts) > 1 {
		soon, cancel := context.WithTimeout(ctx, onceHedge)
		c.Race(soon, raceStagger)
		cancel()
	}
	a, err := c.Do(ctx, r, torc.DefaultPutTimeout)
	if err != nil || a.Code != http.StatusOK && a.Code != http.StatusNotFound {
		return Reply{}, failure(verb, &r, &a, err, o.Hosts)
	}
	last.write(a.Host)
	reply := Reply{Key: r.Op.Key, Host: o.Hosts[a.Host], Degraded: a.Degraded}
	if found := a.Code == http.StatusOK && (!r.Swap || a.Old != (torc.Version{})); found {
		reply.Value, reply.Found = a.Body, true
	}
	return reply, nil
}
