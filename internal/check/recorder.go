package check

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/torc-dht/torc"
)

// Recorder makes a [History]. Clients share nothing while they record: each
// keeps its own operations, and History puts them together.
type Recorder struct {
	start time.Time

	mu struct {
		sync.Mutex
		clients []*Client
	}
}

// NewRecorder returns a recorder whose time begins now.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Client returns a new client of table for one goroutine.
func (r *Recorder) Client(table torc.Table) *Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Client{table: table, start: r.start, id: len(r.mu.clients)}
	r.mu.clients = append(r.mu.clients, c)
	return c
}

// History returns what all clients did. No client may be at work.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	var h History
	for _, c := range r.mu.clients {
		h = append(h, c.ops...)
	}
	return h
}

// Client calls a table and records. It is not safe for concurrent use. Its
// methods return what the table returned.
//
// Each value has to be written once only, or a history says less than it seems.
type Client struct {
	// Labelled, if not nil, is asked after each call whether its answer came with
	// a label.
	Labelled func() bool

	table torc.Table
	start time.Time
	id    int
	ops   History
}

// Get reads the entry at key.
func (c *Client) Get(ctx context.Context, key string) (torc.Entry, error) {
	o := c.begin(Get, key, "")
	e, err := c.table.Get(ctx, key)
	o.Value = Text(e.Value)
	return e, c.end(o, err)
}

// Put writes value at key.
func (c *Client) Put(ctx context.Context, key, value string) error {
	o := c.begin(Put, key, value)
	return c.end(o, c.table.Put(ctx, key, []byte(value)))
}

// PutIfAbsent writes value at key if there is no entry.
func (c *Client) PutIfAbsent(ctx context.Context, key, value string) error {
	o := c.begin(PutIfAbsent, key, value)
	return c.end(o, c.table.Put(ctx, key, []byte(value), torc.IfAbsent()))
}

// Update writes value at key if there is an entry.
func (c *Client) Update(ctx context.Context, key, value string) error {
	o := c.begin(Update, key, value)
	return c.end(o, c.table.Put(ctx, key, []byte(value), torc.IfPresent()))
}

// Swap writes value at key if old, which was read there, still is the entry.
func (c *Client) Swap(ctx context.Context, key string, old torc.Entry, value string) error {
	o := c.begin(Swap, key, value)
	o.Expect = Text(old.Value)
	return c.end(o, c.table.Put(ctx, key, []byte(value), torc.IfVersion(old.Version)))
}

// Exchange writes value at key and returns what was there; the table has to be a
// torc.Swapper.
func (c *Client) Exchange(ctx context.Context, key, value string) (torc.Entry, error) {
	o := c.begin(Exchange, key, value)
	s, ok := c.table.(torc.Swapper)
	if !ok {
		return torc.Entry{}, c.end(o, torc.ErrUnsupported)
	}
	e, err := s.Swap(ctx, key, []byte(value))
	if err == nil {
		o.Expect, o.Found = Text(e.Value), e.Version != torc.Version{}
	}
	return e, c.end(o, err)
}

// Delete removes the entry at key.
func (c *Client) Delete(ctx context.Context, key string) error {
	o := c.begin(Delete, key, "")
	return c.end(o, c.table.Delete(ctx, key))
}

func (c *Client) begin(op Op, key, value string) Operation {
	return Operation{Client: c.id, Op: op, Key: Text(key), Value: Text(value), Call: time.Since(c.start)}
}

func (c *Client) end(o Operation, err error) error {
	o.Return = time.Since(c.start)
	o.Outcome = outcome(o.Op, err)
	if err != nil {
		o.Err = err.Error()
	}
	o.Labelled = c.Labelled != nil && c.Labelled()
	c.ops = append(c.ops, o)
	return err
}

// outcome is what err says about an operation. A miss that is one because nobody
// could be asked says nothing of the entry; an error of a write that the table's
// contract doesn't know says nothing of the write.
func outcome(op Op, err error) Outcome {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return OK
	case is(torc.ErrUnknownOutcome):
		return Unknown
	case is(torc.ErrUnavailable), is(torc.ErrInvalid), is(torc.ErrTooLarge), is(torc.ErrUnsupported), is(torc.ErrClosed):
		return Failed
	case is(torc.ErrNotFound) && op != Exchange:
		return Missing
	case is(torc.ErrExists) && op == PutIfAbsent:
		return Exists
	case is(torc.ErrConflict) && op == Swap:
		return Conflict
	case op == Get:
		return Failed
	default:
		return Unknown
	}
}
