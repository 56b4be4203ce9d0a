package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
)

// reader reads the directory, and remembers what needs no reading again.
type reader struct {
	directory *Directory
	asked     fleet.Config

	conn    *connection // over which the watches below are set
	session int64       // from which the weights below are
	synced  bool        // what is read now can't be behind what anybody knew when reading began
	config  watch
	members watch
	has     configData
	stat    zk.Stat           // of config
	weights map[string]uint32 // by name of the child; 0 if it can't be read
	strange map[string]bool   // names that were spoken of
}

// watch is a watch on a znode: it fires once, and then has to be set again.
type watch struct{ events <-chan zk.Event }

func (w watch) fired() <-chan zk.Event { return w.events }

// armed says whether the watch is set and has not fired.
func (w watch) armed() bool {
	if w.events == nil {
		return false
	}
	select {
	case <-w.events:
		return false
	default:
		return true
	}
}

// stale says whether what was read may have changed since.
func (r *reader) stale() bool {
	if !r.config.armed() {
		r.config = watch{}
	}
	if !r.members.armed() {
		r.members = watch{}
	}
	return r.config.events == nil || r.members.events == nil
}

// forget makes what was read stale, and the next read one of everything.
func (r *reader) forget() { r.session, r.config, r.members = 0, watch{}, watch{} }

// read reads what has changed, and watches it. It returns nil if there was a
// change while it read, and then the reader is stale.
//
// ZooKeeper delivers a watch's event before any answer that shows the change.
// So if config has not changed by the time the members' list is there, the two
// belong together.
func (r *reader) read(ctx context.Context, at contact) (*reading, error) {
	if r.conn != at.conn {
		r.conn, r.config, r.members = at.conn, watch{}, watch{}
	}
	if r.session != at.session.id {
		// The next generation may give the same names again.
		r.session, r.weights = at.session.id, nil
	}
	r.synced = !r.config.armed() && !r.members.armed()
	if r.synced {
		// The server that we are connected to may lag behind the one before.
		if _, err := call(ctx, at, func(conn *zk.Conn) (string, error) { return conn.Sync(r.directory.layout.root) }); err != nil {
			return nil, r.directory.failed("sync", err)
		}
	}
	if !r.config.armed() {
		if err := r.readConfig(ctx, at); err != nil {
			return nil, err
		}
	}
	names, stat, err := r.readMembers(ctx, at)
	if err != nil {
		return nil, err
	}
	alive, drained, strange := living(names)
	if whole, err := r.readWeights(ctx, at, alive); err != nil || !whole {
		return nil, err
	}
	if !r.config.armed() {
		return nil, nil
	}
	r.warn(strange)
	got := &reading{generation: r.has.Generation, version: uint64(uint32(stat.Cversion)), config: r.has.config()}
	for _, c := range alive {
		if r.weights[c.name] == 0 {
			continue
		}
		got.servers = append(got.servers, fleet.Server{
			Addr:        c.addr,
			Weight:      r.weights[c.name],
			Incarnation: fmt.Sprintf("%x/%d", r.has.Generation, c.sequence),
			Drained:     drained[c.addr],
		})
	}
	return got, nil
}

// readConfig reads config and watches it, or writes it where there is none.
func (r *reader) readConfig(ctx context.Context, at contact) error {
	d := r.directory
	type answer struct {
		data   []byte
		stat   *zk.Stat
		events <-chan zk.Event
	}
	for {
		got, err := call(ctx, at, func(conn *zk.Conn) (a answer, err error) {
			a.data, a.stat, a.events, err = conn.GetW(d.layout.config())
			return a, err
		})
		if errors.Is(err, zk.ErrNoNode) {
			if err := d.makeMembers(ctx, at); err != nil {
				return err
			}
			fresh := newConfig(newGeneration(), r.asked)
			err := create(ctx, at, d.layout.config(), fresh.encode())
			if err != nil && !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrNoNode) {
				return d.failed("writing config", err)
			}
			continue
		}
		if err != nil {
			return d.failed("reading config", err)
		}
		has, err := parseConfig(got.data)
		if err != nil {
			return d.failed("reading config", hopeless{fmt.Errorf("%s holds %.100q, which is no fleet's config (%w): choose another path, or delete it and the clients will write it anew", d.layout.config(), got.data, err)})
		}
		if err := contradiction(d.opts.Config, has.config()); err != nil {
			return hopeless{fmt.Errorf("%w: %w", torc.ErrInvalid, d.failed("opening the fleet", fmt.Errorf("%w: leave that out of the URL, or give the fleet a path of its own", err)))}
		}
		r.has, r.stat, r.config = has, *got.stat, watch{got.events}
		r.asked = has.config() // what to write if ZooKeeper loses it
		return nil
	}
}

func newGeneration() uint64 { return 1 + rand.Uint64N(1<<53-1) }

// renew begins a new generation, unless somebody else has.
func (r *reader) renew(ctx context.Context, at contact) error {
	fresh := newConfig(newGeneration(), r.asked)
	_, err := call(ctx, at, func(conn *zk.Conn) (*zk.Stat, error) {
		return conn.Set(r.directory.layout.config(), fresh.encode(), r.stat.Version)
	})
	if errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNoNode) {
		err = nil
	}
	return r.directory.failed("writing config", err)
}

// readMembers lists the members and watches them.
func (r *reader) readMembers(ctx context.Context, at contact) ([]string, *zk.Stat, error) {
	d := r.directory
	type answer struct {
		names  []string
		stat   *zk.Stat
		events <-chan zk.Event
	}
	for {
		got, err := call(ctx, at, func(conn *zk.Conn) (a answer, err error) {
			a.names, a.stat, a.events, err = conn.ChildrenW(d.layout.members())
			return a, err
		})
		if errors.Is(err, zk.ErrNoNode) {
			if err := d.makeMembers(ctx, at); err != nil {
				return nil, nil, err
			}
			continue
		}
		if err != nil {
			return nil, nil, d.failed("reading the members", err)
		}
		r.members = watch{got.events}
		return got.names, got.stat, nil
	}
}

// readWeights reads the data of the children that are new. It returns false if
// one of them is gone again.
func (r *reader) readWeights(ctx context.Context, at contact, alive []childName) (whole bool, err error) {
	weights := make([]uint32, len(alive))
	var group errgroup.Group
	group.SetLimit(16)
	for i, c := range alive {
		if known, ok := r.weights[c.name]; ok {
			weights[i] = known
			continue
		}
		group.Go(func() error {
			data, _, err := get(ctx, at, r.directory.layout.member(c.name))
			if err == nil {
				weights[i], err = parseWeight(data)
			} else if !errors.Is(err, zk.ErrNoAuth) {
				return err
			}
			if err != nil {
				r.directory.opts.Logger.Warn("a member is passed over: its data can't be read", "znode", c.name, "data", string(data[:min(len(data), 100)]), "error", err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		if errors.Is(err, zk.ErrNoNode) {
			return false, nil
		}
		return false, r.directory.failed("reading a member", err)
	}
	r.weights = make(map[string]uint32, len(alive))
	for i, c := range alive {
		r.weights[c.name] = weights[i]
	}
	return true, nil
}

// warn speaks of the children that are none of ours, once.
func (r *reader) warn(strange []string) {
	spoken := make(map[string]bool, len(strange))
	for _, name := range strange {
		if !r.strange[name] {
			r.directory.opts.Logger.Warn("a child of the members is passed over: its name is neither host:port-NNNNNNNNNN nor drain-host:port", "znode", name)
		}
		spoken[name] = true
	}
	r.strange = spoken
}

// create makes a persistent znode that everybody may change.
func create(ctx context.Context, at contact, path string, data []byte) error {
	_, err := call(ctx, at, func(conn *zk.Conn) (string, error) {
		return conn.Create(path, data, zk.FlagPersistent, zk.WorldACL(zk.PermAll))
	})
	return err
}

func get(ctx context.Context, at contact, path string) ([]byte, *zk.Stat, error) {
	type answer struct {
		data []byte
		stat *zk.Stat
	}
	got, err := call(ctx, at, func(conn *zk.Conn) (a answer, err error) {
		a.data, a.stat, err = conn.Get(path)
		return a, err
	})
	return got.data, got.stat, err
}

func list(ctx context.Context, at contact, path string) ([]string, *zk.Stat, error) {
	type answer struct {
		names []string
		stat  *zk.Stat
	}
	got, err := call(ctx, at, func(conn *zk.Conn) (a answer, err error) {
		a.names, a.stat, err = conn.Children(path)
		return a, err
	})
	return got.names, got.stat, err
}
