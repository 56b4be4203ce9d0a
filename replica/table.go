package replica

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/client"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// OpenTimeout is how long New waits, if its context has no deadline, for a server
// that serves. Servers that are started together find that out within 1.2 s.
const OpenTimeout = 3 * time.Second

// Table is a replica table as its clients see it. It asks any of the servers that
// it was given; so that it can go on when one of them dies, it should be given all.
//
// Reads are spread over the servers, and writes go to the one that leads. One that
// refuses, breaks off or can't serve makes room for the next at once, and one that
// is silent after TableOptions.Hedge. A write that had no answer is sent again, also
// with a condition: servers tell that it is the same one, and carry it out once.
type Table struct {
	opts   TableOptions
	client *client.Client
	life   context.Context // ends with Close
	end    context.CancelFunc

	mu struct {
		sync.Mutex
		view  torc.View
		asked time.Time // when a server last told of it
	}
}

var (
	_ torc.Table    = (*Table)(nil)
	_ torc.Swapper  = (*Table)(nil)
	_ torc.Surveyor = (*Table)(nil)
)

// New makes a table of the servers at these host:ports, of which there are at most
// MaxServers. It returns when one of them serves, and fails when none does by the
// end of ctx or, if that has no deadline, within OpenTimeout.
func New(ctx context.Context, hosts []string, opts TableOptions) (*Table, error) {
	if err := checkHosts(hosts); err != nil {
		return nil, &torc.Error{Op: opOpen, Err: fmt.Errorf("%w: %w", torc.ErrInvalid, err)}
	}
	opts = opts.withDefaults()
	t := &Table{opts: opts, client: client.New(opts.client(hosts))}
	t.life, t.end = context.WithCancel(context.Background())
	if err := t.opened(ctx); err != nil {
		_ = t.Close() // returns nil
		return nil, err
	}
	return t, nil
}

// checkHosts says what is wrong with hosts as those of a table.
func checkHosts(hosts []string) error {
	if len(hosts) == 0 || len(hosts) > MaxServers {
		return fmt.Errorf("%d hosts: a table has 1 to %d servers", len(hosts), MaxServers)
	}
	for i, host := range hosts {
		if err := torc.CheckAddr(host); err != nil {
			return err
		}
		if slices.Contains(hosts[:i], host) {
			return fmt.Errorf("%s is there twice", host)
		}
	}
	return nil
}

// Close implements [torc.Table].
func (t *Table) Close() error {
	t.end()
	t.client.Close()
	return nil
}

// Degraded returns the number of the degraded epoch that the last answer was
// labelled with: the server spoke for a part of the table that may not be the whole,
// and what it said may be given up for what another part says. False: the last
// answer was not labelled.
func (t *Table) Degraded() (epoch uint64, degraded bool) {
	epoch = t.client.Degraded()
	return epoch, epoch != 0
}

// Get implements [torc.Table].
func (t *Table) Get(ctx context.Context, key string) (torc.Entry, error) {
	a, err := t.do(ctx, opGet, client.Request{Op: msg.Op{Kind: msg.Get, Key: key}}, t.opts.ReadTimeout)
	if err != nil {
		return torc.Entry{}, err
	}
	return torc.Entry{Value: a.Body, Version: a.Version}, nil
}

// Put implements [torc.Table]. It returns when every server of the view has the
// value.
func (t *Table) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	o, err := torc.ResolvePut(opts)
	if err != nil {
		return &torc.Error{Op: opPut, Key: key, Err: err}
	}
	op := msg.Op{Kind: msg.Put, Key: key, Value: value, TTL: o.TTL}
	switch o.Cond {
	case torc.CondAbsent:
		op.Cond = msg.IfAbsent
	case torc.CondPresent:
		op.Cond = msg.IfPresent
	case torc.CondVersion:
		op.Cond, op.Version = msg.IfVersion, msg.Version(o.Version)
	}
	_, err = t.do(ctx, opPut, client.Request{Op: op}, t.opts.WriteTimeout)
	return err
}

// Delete implements [torc.Table], as Put.
func (t *Table) Delete(ctx context.Context, key string) error {
	_, err := t.do(ctx, opDelete, client.Request{Op: msg.Op{Kind: msg.Delete, Key: key}}, t.opts.WriteTimeout)
	return err
}

// Swap implements [torc.Swapper].
func (t *Table) Swap(ctx context.Context, key string, value []byte) (torc.Entry, error) {
	r := client.Request{Op: msg.Op{Kind: msg.Put, Key: key, Value: value}, Swap: true}
	a, err := t.do(ctx, opSwap, r, t.opts.WriteTimeout)
	if err != nil || a.Old == (torc.Version{}) {
		return torc.Entry{}, err
	}
	return torc.Entry{Value: a.Body, Version: a.Old}, nil
}

// do makes a call of the table.
func (t *Table) do(ctx context.Context, verb string, r client.Request, timeout time.Duration) (client.Answer, error) {
	if err := torc.CheckKey(r.Op.Key); err != nil {
		return client.Answer{}, &torc.Error{Op: verb, Key: r.Op.Key, Err: err}
	}
	a, err := t.client.Do(ctx, r, timeout)
	if err == nil && a.Code == http.StatusOK {
		return a, nil
	}
	return client.Answer{}, failure(verb, &r, &a, err, t.client.Hosts())
}
