package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/torc-dht/torc"
)

var _ torc.Roster = (*Table)(nil)

// Drainer is a [Directory] in which a person's word decides that a server that is
// there holds no keys. What it holds then counts until it has been overwritten,
// deleted, or moved by a rebalance.
type Drainer interface {
	Drain(ctx context.Context, addr string) error
	Undrain(ctx context.Context, addr string) error
}

// joinTimeout bounds how long AddMember waits for a server that it has added to
// come into use: a few checks and, where it has to be, a flush.
const joinTimeout = 5 * time.Second

// AddMember implements [torc.Roster]. A server that a list has not goes on the
// list, which clients of the same process alone see, and on its file. Where the
// members announce themselves (zk://), a server that is there and drained is taken
// back into use, and any other is for its watchdog to announce: then the error is
// torc.ErrUnsupported.
//
// It returns when the table places keys on the server. In a fleet with stamps
// RefuseContents does not refuse what a drained server holds: what is stale of it
// is known to be.
func (t *Table) AddMember(ctx context.Context, addr string, o torc.AddOptions) error {
	return t.rosterError("add", addr, t.addMember(ctx, addr, o))
}

func (t *Table) addMember(ctx context.Context, addr string, o torc.AddOptions) error {
	if err := torc.CheckAddr(addr); err != nil {
		return fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	r := t.routing.Load()
	m, is := r.member(addr)
	if is && m.State != torc.Drained {
		return fmt.Errorf("%w: it is a member already", torc.ErrInvalid)
	}
	list, isList := t.dir.(*List)
	drainer, drains := t.dir.(Drainer)
	if is && !drains || !is && !isList {
		return fmt.Errorf("%w: the members of this fleet announce themselves; run there: watchdog %s", torc.ErrUnsupported, addr)
	}
	if err := t.prepare(ctx, addr, o.Contents, is && r.stamped); err != nil {
		return err
	}
	var err error
	switch {
	case is:
		err = drainer.Undrain(ctx, addr)
	default:
		if o.Contents == torc.KeepContents {
			list.forget(addr)
		}
		err = list.Add(addr, o.Weight)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	return t.await(ctx, func(r *routing) error {
		if m, is := r.member(addr); !is {
			return errors.New("the table doesn't know of it yet")
		} else if m.State != torc.Up {
			return fmt.Errorf("it is %v: %s", m.State, m.Reason)
		}
		return nil
	})
}

// prepare looks whether the server at addr answers, and does with what it holds
// as it is told to. It does not refuse anything that is fenced.
func (t *Table) prepare(ctx context.Context, addr string, what torc.Contents, fenced bool) error {
	c := t.connect(addr)
	defer c.Close()
	stats, err := c.Stats(ctx)
	if err != nil {
		return err
	}
	switch {
	case what == torc.FlushContents:
		return c.FlushAll(ctx)
	case what == torc.KeepContents, fenced, stats["curr_items"] == "0":
		return nil
	}
	for _, err := range keysOf(ctx, c) { // others of its items may be flushed or expired
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: it holds %s entries", torc.ErrNotEmpty, stats["curr_items"])
	}
	return nil
}

// RemoveMember implements [torc.Roster]. The server is drained: it holds no keys
// any more, and the next rebalance moves away what it has. A list then forgets
// it, at once if it is down or drained already; where the members announce
// themselves (zk://) it leaves when its watchdog is ended.
func (t *Table) RemoveMember(ctx context.Context, addr string) error {
	return t.rosterError("remove", addr, t.removeMember(ctx, addr))
}

func (t *Table) removeMember(ctx context.Context, addr string) error {
	m, is := t.routing.Load().member(addr)
	_, isList := t.dir.(*List)
	switch {
	case !is:
		return fmt.Errorf("%w: it is no member", torc.ErrInvalid)
	case m.State == torc.Drained && !isList:
		return fmt.Errorf("%w: it is drained already, and leaves when its watchdog is ended", torc.ErrInvalid)
	}
	drainer, drains := t.dir.(Drainer)
	if !drains {
		return fmt.Errorf("%w: the members of this fleet announce themselves; end its watchdog", torc.ErrUnsupported)
	}
	if err := drainer.Drain(ctx, addr); err != nil {
		return err
	}
	wasDrained := m.State == torc.Drained
	return t.await(ctx, func(r *routing) error {
		if m, is := r.member(addr); is && (m.State != torc.Drained || wasDrained) {
			return errors.New("the table doesn't know of it yet")
		}
		return nil
	})
}

// await waits until the table goes by a view that is fine by lacks. When ctx is
// done before, the error has what it lacked.
func (t *Table) await(ctx context.Context, lacks func(*routing) error) error {
	for {
		r := t.routing.Load()
		lack := lacks(r)
		if lack == nil {
			return nil
		}
		select {
		case <-r.replaced:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w: %w", torc.ErrUnavailable, brief{context.Cause(ctx)}, lack)
		case <-t.closed:
			return torc.ErrClosed
		}
	}
}

// rosterError is what the caller hears of err.
func (t *Table) rosterError(op, addr string, err error) error {
	if err == nil {
		return nil
	}
	if t.isClosed() {
		return failure(op, "", nil, torc.ErrClosed)
	}
	return failure(op, "", &server{Server: Server{Addr: addr}}, err)
}
