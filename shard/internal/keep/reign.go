package keep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc/shard/slots"
)

// maxRecord is what a znode has room for, less what a request has besides:
// ZooKeeper takes none of 1 MiB or more, unless told to (jute.maxbuffer).
const maxRecord = 1<<20 - 4<<10

// win waits until the candidacy stands first, and makes the map its own.
func (c *candidacy) win(ctx context.Context) (*electionReign, error) {
	select {
	case <-c.first:
	case <-c.over:
		return nil, c.cause()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r := &electionReign{c: c}
	for {
		err := r.claim(ctx)
		switch {
		case err == nil:
			return r, nil
		case c.cause() != nil:
			return nil, c.cause()
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errReplaced) || isLoss(err):
			// By a predecessor, who had it on the way; or it isn't known what happened.
		default:
			return nil, err
		}
	}
}

// electionReign is a reign by election.
type electionReign struct {
	c    *candidacy
	last *slots.Map

	number  uint64 // of the last record that it tried to write
	version int32  // of the znode, as it was left
}

// claim takes what is there for the last map, and writes it again, so that nobody
// else's writes, who read it before, can be done any more.
func (r *electionReign) claim(ctx context.Context) error {
	c, path := r.c, r.c.election.o.mapPath()
	k, err := r.read(ctx)
	if errors.Is(err, zk.ErrNoNode) {
		r.number++
		empty, _ := record{writer: c.mark, number: r.number}.encode() // has no map to refuse
		_, err := call(ctx, c, func() (string, error) {
			return c.conn.Create(path, empty, zk.FlagPersistent, openACL)
		})
		if err == nil || errors.Is(err, zk.ErrNodeExists) {
			return errReplaced // there is something to be read now
		}
		return c.failed("making "+path, err)
	}
	if err != nil {
		return err
	}
	r.last, r.version = k.last, k.version
	return r.write(ctx, k.last)
}

// kept is what a read found.
type kept struct {
	record
	version int32
}

func (r *electionReign) read(ctx context.Context) (kept, error) {
	type answer struct {
		data    []byte
		version int32
	}
	c, path := r.c, r.c.election.o.mapPath()
	got, err := call(ctx, c, func() (answer, error) {
		data, stat, err := c.conn.Get(path)
		if err != nil {
			return answer{}, err
		}
		return answer{data, stat.Version}, nil
	})
	if err != nil {
		return kept{}, c.failed("reading "+path, err)
	}
	k := kept{version: got.version}
	if k.record, err = decode(got.data); err != nil {
		what := "delete it, and the next master will ask the table's servers instead"
		if errors.Is(err, errForeign) {
			what = "choose another path"
		} else if errors.Is(err, errNewer) {
			what = "start that torc here"
		}
		return kept{}, hopelessError{fmt.Errorf("what %s has can't be used: %w: %s", path, err, what)}
	}
	return k, nil
}

// write makes m the content of the znode, if that is still what this reign left. It
// waits for an answer as long as the candidacy lasts. The error is errReplaced when
// the content is somebody else's.
func (r *electionReign) write(ctx context.Context, m *slots.Map) error {
	c, o := r.c, &r.c.election.o
	r.number++
	data, err := record{writer: c.mark, number: r.number, last: m}.encode()
	if err != nil {
		return err
	}
	if len(data) > maxRecord {
		return fmt.Errorf("the map %s of %d servers has %d bytes, and a znode has room for %d: shorten the servers' addresses, or have fewer of them", m.Epoch, len(m.Servers), len(data), maxRecord)
	}
	for {
		version, err := r.set(ctx, data)
		switch {
		case err == nil:
			r.version = version
			return nil
		case c.cause() != nil:
			return c.cause()
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isLoss(err):
			if err := c.wait(ctx, time.Millisecond); err != nil {
				return err
			}
			continue // over the next connection; if it was done, it is refused
		case !errors.Is(err, zk.ErrBadVersion):
			return c.failed("writing "+o.mapPath(), err)
		}
		k, err := r.read(ctx)
		switch {
		case isLoss(err):
		case err != nil:
			return err
		case k.writer != c.mark:
			return errReplaced
		case k.number == r.number:
			r.version = k.version
			return nil
		default: // an earlier one of this reign, that wasn't waited for
			r.version = k.version
		}
	}
}

// set writes data if the znode is as this reign left it, and the candidacy stands.
func (r *electionReign) set(ctx context.Context, data []byte) (version int32, err error) {
	c, o, before := r.c, &r.c.election.o, r.version
	return call(ctx, c, func() (int32, error) {
		done, err := c.conn.Multi(
			&zk.CheckVersionRequest{Path: o.electionPath() + "/" + c.name, Version: -1},
			&zk.SetDataRequest{Path: o.mapPath(), Data: data, Version: before})
		switch {
		case err == nil:
			return done[1].Stat.Version, nil
		case errors.Is(err, zk.ErrNoNode) && len(done) > 0 && errors.Is(done[0].Error, zk.ErrNoNode):
			return 0, errRemoved
		case errors.Is(err, zk.ErrNoNode):
			return 0, fmt.Errorf("somebody has deleted it: %w", err)
		}
		return 0, err
	})
}

// wait waits, unless the candidacy is over or ctx done.
func (c *candidacy) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-c.over:
		return c.cause()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *electionReign) Last() *slots.Map      { return r.last }
func (r *electionReign) Leads() bool           { return r.c.stands() }
func (r *electionReign) Over() <-chan struct{} { return r.c.over }

func (r *electionReign) Err() error {
	if cause := r.c.cause(); cause != nil {
		return fmt.Errorf("%w: %w", ErrOver, cause)
	}
	return nil
}

// Save implements Reign. Where another master has written, or the znodes were
// removed, the reign is over.
func (r *electionReign) Save(ctx context.Context, m *slots.Map) error {
	if !r.Leads() {
		return r.Err()
	}
	err := r.write(ctx, m)
	if errors.Is(err, errReplaced) || errors.Is(err, errRemoved) || errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrSessionExpired) {
		r.c.end(err)
	}
	if over := r.Err(); err != nil && over != nil {
		return over
	}
	return err
}

func (r *electionReign) Resign() {
	r.c.end(ErrResigned)
	<-r.c.gone
}
