package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/torc-dht/torc/fleet"
)

// errChanged: what was read has changed meanwhile, and has to be read again.
var errChanged = errors.New("the directory changed while it was read")

// guarded carries out the operations in one transaction, if config is still the
// one that was read: nobody writes what belongs to a generation into the next
// one. Otherwise it fails with errChanged. Other errors are of the first
// operation that can't be carried out.
func (r *reader) guarded(ctx context.Context, at contact, operations ...any) error {
	check := &zk.CheckVersionRequest{Path: r.directory.layout.config(), Version: r.stat.Version}
	first, err := multi(ctx, at, append([]any{check}, operations...)...)
	if first == 0 && (errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNoNode)) {
		return errChanged
	}
	return err
}

// multi carries out the operations in one transaction. With an error it says at
// which of them it failed.
func multi(ctx context.Context, at contact, operations ...any) (failed int, err error) {
	return call(ctx, at, func(conn *zk.Conn) (int, error) {
		results, err := conn.Multi(operations...)
		return slices.IndexFunc(results, func(r zk.MultiResponse) bool { return r.Error != nil }), err
	})
}

func createRequest(path string, data []byte) *zk.CreateRequest {
	return &zk.CreateRequest{Path: path, Data: data, Acl: zk.WorldACL(zk.PermAll), Flags: zk.FlagPersistent}
}

// listViews returns which views there are, sorted.
func (r *reader) listViews(ctx context.Context, at contact) ([]uint64, error) {
	d := r.directory
	for {
		names, _, err := list(ctx, at, d.layout.views())
		if errors.Is(err, zk.ErrNoNode) {
			if err := d.makeWay(ctx, at, d.layout.views()); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, d.failed("reading the views", err)
		}
		return parseViewNames(names), nil
	}
}

// record sees to it that the view which was read last is recorded, and returns it
// with its past. It fails with errChanged if it may not have been the present one
// any more by then: had it changed before, ZooKeeper would have delivered that
// before the answer that it stands recorded.
//
// What isn't listed and exists a moment later was written under the same config,
// so it is of this generation; and the same version of a generation has the same
// servers, whoever writes it.
func (r *reader) record(ctx context.Context, at contact) (reading, error) {
	if !r.latest.recorded {
		err := r.writeView(ctx, at)
		if err == nil && (!r.config.armed() || !r.members.armed()) {
			err = errChanged
		}
		if err != nil {
			r.members = watch{} // read again
			return reading{}, err
		}
		r.latest.past, r.latest.recorded = r.history.before(r.latest.version), true
	}
	return r.latest, nil
}

// writeView writes the view that was read last, unless it is there, removes what
// is surplus then, and reads those of the past that aren't known.
func (r *reader) writeView(ctx context.Context, at contact) error {
	d, version, servers := r.directory, r.latest.version, r.latest.servers
	var group errgroup.Group
	group.SetLimit(16)
	_, known := r.history.views[version]
	_, listed := slices.BinarySearch(r.listed, version)
	if !known && !listed {
		group.Go(func() error {
			err := r.guarded(ctx, at, createRequest(d.layout.view(version), encodeView(r.has.Generation, servers)))
			switch {
			case errors.Is(err, zk.ErrNodeExists):
				return nil
			case errors.Is(err, zk.ErrNoNode): // nor are there any views
				return errChanged
			}
			return d.failed(fmt.Sprintf("recording view %d, which has to be done before anything is written under it,", version), err)
		})
		for _, v := range surplus(r.listed) {
			group.Go(func() error { return r.deleteView(ctx, at, v, -1) })
		}
	}
	read := make([]fleet.Past, len(r.unread))
	for i, v := range r.unread {
		if v <= version {
			group.Go(func() (err error) {
				read[i], err = r.readView(ctx, at, v)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, p := range read {
		if !p.Recorded.IsZero() {
			r.history.views[p.Version] = p
		}
	}
	if _, known := r.history.views[version]; !known {
		if listed {
			return errChanged // somebody has removed what another generation had left
		}
		r.history.views[version] = fleet.Past{Version: version, Servers: servers}
	}
	return nil
}

// readView returns nothing if the view is gone: then it was surplus.
func (r *reader) readView(ctx context.Context, at contact, version uint64) (fleet.Past, error) {
	d := r.directory
	data, stat, err := get(ctx, at, d.layout.view(version))
	if errors.Is(err, zk.ErrNoNode) {
		return fleet.Past{}, nil
	}
	if err != nil {
		return fleet.Past{}, d.failed(fmt.Sprintf("reading view %d", version), err)
	}
	generation, servers, err := parseView(data)
	switch {
	case err != nil:
		return fleet.Past{}, setBack(fmt.Sprintf("view %d can't be read (%v)", version, err))
	case generation != r.has.Generation:
		// Left behind by one who wrote while this generation began.
		if err := r.deleteView(ctx, at, version, stat.Version); err != nil {
			return fleet.Past{}, err
		}
		return fleet.Past{}, errChanged
	}
	return fleet.Past{Version: version, Recorded: time.UnixMilli(stat.Ctime), Servers: servers}, nil
}

func (r *reader) deleteView(ctx context.Context, at contact, version uint64, as int32) error {
	err := r.guarded(ctx, at, &zk.DeleteRequest{Path: r.directory.layout.view(version), Version: as})
	if errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrBadVersion) {
		return nil
	}
	return r.directory.failed(fmt.Sprintf("deleting view %d", version), err)
}

// readDone reads done and watches it.
func (r *reader) readDone(ctx context.Context, at contact) error {
	if r.doneWatch.armed() {
		return nil
	}
	type answer struct {
		data   []byte
		events <-chan zk.Event
	}
	got, err := call(ctx, at, func(conn *zk.Conn) (a answer, err error) {
		for {
			a.data, _, a.events, err = conn.GetW(r.directory.layout.done())
			if !errors.Is(err, zk.ErrNoNode) {
				return a, err
			}
			exists, _, events, err := conn.ExistsW(r.directory.layout.done())
			if err != nil || !exists {
				return answer{events: events}, err
			}
		}
	})
	if err != nil {
		return r.directory.failed("reading done", err)
	}
	r.done, r.doneWatch = parseDone(got.data), watch{got.events}
	return nil
}

// begin begins a generation, with the operation that writes its config and
// without the views and the done of another one. It does nothing if somebody
// else changes something at the same time: reading again tells.
func (r *reader) begin(ctx context.Context, at contact, config any) error {
	d := r.directory
	operations := []any{config}
	names, _, err := list(ctx, at, d.layout.views())
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return d.failed("reading the views", err)
	}
	for _, v := range parseViewNames(names) {
		operations = append(operations, &zk.DeleteRequest{Path: d.layout.view(v), Version: -1})
	}
	done, err := call(ctx, at, func(conn *zk.Conn) (exists bool, err error) {
		exists, _, err = conn.Exists(d.layout.done())
		return exists, err
	})
	if err != nil {
		return d.failed("reading done", err)
	}
	if done {
		operations = append(operations, &zk.DeleteRequest{Path: d.layout.done(), Version: -1})
	}
	_, err = multi(ctx, at, operations...)
	if errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return d.failed("writing config", err)
}

// SetDone takes note that a rebalance for the given version of the view has
// finished, so that nobody looks for values where they were before it. It does
// nothing if a later one has, or if the generation is over.
func (d *Directory) SetDone(ctx context.Context, generation, version uint64) error {
	r := reader{directory: d, asked: d.opts.Config}
	return d.with(ctx, func(ctx context.Context, at contact) error {
		for {
			r.forget()
			if err := r.readConfig(ctx, at); err != nil {
				return err
			}
			if r.has.Generation != generation {
				return nil
			}
			data := doneData{Generation: generation, Version: version}.encode()
			before, stat, err := get(ctx, at, d.layout.done())
			switch {
			case errors.Is(err, zk.ErrNoNode):
				err = r.guarded(ctx, at, createRequest(d.layout.done(), data))
			case err == nil && parseDone(before).of(generation) >= version:
				return nil
			case err == nil:
				err = r.guarded(ctx, at, &zk.SetDataRequest{Path: d.layout.done(), Data: data, Version: stat.Version})
			}
			if errors.Is(err, errChanged) || errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNodeExists) || errors.Is(err, zk.ErrNoNode) {
				continue
			}
			return d.failed("writing done", err)
		}
	})
}
