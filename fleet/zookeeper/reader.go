package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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
	stat    zk.Stat // of config
	// cversion of the members.
	cversion  int32
	weights   map[string]uint32 // by name of the child; 0 if it can't be read
	strange   map[string]bool   // names that were spoken of
	doneWatch watch
	done      doneData
	history   history
	// latest is valid while config and members are armed, and listed and unread
	// with it: which views there are, and those of them to be read.
	latest         reading
	listed, unread []uint64
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
	if !r.doneWatch.armed() {
		r.doneWatch = watch{}
	}
	return r.config.events == nil || r.members.events == nil || r.doneWatch.events == nil
}

// forget makes what was read stale, and the next read one of everything.
func (r *reader) forget() {
	r.session, r.config, r.members, r.doneWatch = 0, watch{}, watch{}, watch{}
}

// read reads what has changed, and watches it. It fails with errChanged if there
// was a change while it read, and with setBack if ZooKeeper has lost changes.
//
// ZooKeeper delivers a watch's event before any answer that shows the change.
// So if config has not changed by the time the members' list is there, the two
// belong together. Views are listed after the members have been read: all that
// anybody recorded before this one are among them.
func (r *reader) read(ctx context.Context, at contact) (reading, error) {
	if r.conn != at.conn {
		r.conn, r.config, r.members, r.doneWatch = at.conn, watch{}, watch{}, watch{}
	}
	if r.session != at.session.id {
		// The next generation may give the same names again.
		r.session, r.weights = at.session.id, nil
	}
	r.synced = !r.config.armed() && !r.members.armed()
	if r.synced {
		// The server that we are connected to may lag behind the one before.
		if _, err := call(ctx, at, func(conn *zk.Conn) (string, error) { return conn.Sync(r.directory.layout.root) }); err != nil {
			return reading{}, r.directory.failed("sync", err)
		}
	}
	if !r.config.armed() || !r.members.armed() {
		if err := r.readAll(ctx, at); err != nil {
			r.members = watch{} // latest isn't what they were
			return reading{}, err
		}
	} else if err := r.readDone(ctx, at); err != nil {
		return reading{}, err
	}
	if !r.config.armed() || !r.members.armed() {
		return reading{}, errChanged
	}
	r.latest.done = r.done.of(r.has.Generation)
	return r.latest, nil
}

// readAll reads everything.
func (r *reader) readAll(ctx context.Context, at contact) error {
	if !r.config.armed() {
		if err := r.readConfig(ctx, at); err != nil {
			return err
		}
	}
	names, err := r.readMembers(ctx, at)
	if err != nil {
		return err
	}
	version, fits := r.has.version(r.cversion)
	if !fits {
		r.directory.opts.Logger.Warn("the members have changed more often than a generation can count: beginning a new one", "changes", version)
		return cmp.Or(r.renew(ctx, at), errChanged)
	}
	alive, drained, strange := living(names)
	var group errgroup.Group
	r.listed = nil
	group.Go(func() error { return r.readWeights(ctx, at, alive) })
	group.Go(func() error { return r.readDone(ctx, at) })
	if r.has.stamped() {
		group.Go(func() (err error) {
			r.listed, err = r.listViews(ctx, at)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	r.warn(strange)
	got := reading{generation: r.has.Generation, version: version, config: r.has.config(), recorded: !r.has.stamped()}
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
	if r.has.stamped() {
		r.history.begin(r.has.Generation)
		var lost bool
		if r.unread, lost = r.history.listed(r.listed, version); lost {
			return setBack("a view of the past is missing")
		}
	}
	r.latest = got
	return nil
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
			fresh := newConfig(r.has.Generation, r.asked, 0)
			if err := r.begin(ctx, at, createRequest(d.layout.config(), fresh.encode())); err != nil {
				return err
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

// renew begins a new generation, unless somebody else has.
func (r *reader) renew(ctx context.Context, at contact) error {
	fresh := newConfig(r.has.Generation, r.asked, r.cversion)
	return r.begin(ctx, at, &zk.SetDataRequest{Path: r.directory.layout.config(), Data: fresh.encode(), Version: r.stat.Version})
}

// readMembers lists the members and watches them.
func (r *reader) readMembers(ctx context.Context, at contact) ([]string, error) {
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
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, d.failed("reading the members", err)
		}
		r.members, r.cversion = watch{got.events}, got.stat.Cversion
		return got.names, nil
	}
}

// readWeights reads the data of the children that are new.
func (r *reader) readWeights(ctx context.Context, at contact, alive []childName) error {
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
		if errors.Is(err, zk.ErrNoNode) { // gone again
			return errChanged
		}
		return r.directory.failed("reading a member", err)
	}
	r.weights = make(map[string]uint32, len(alive))
	for i, c := range alive {
		r.weights[c.name] = weights[i]
	}
	return nil
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
