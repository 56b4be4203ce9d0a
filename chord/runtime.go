package chord

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc/chord/internal/link"
)

const (
	// greetWithin is how long a node may take to say what it is. Whoever listens and
	// has not answered by then is frozen, or very busy.
	greetWithin = time.Second
	// greetAtOnce is how many nodes are asked at the same time.
	greetAtOnce = 16
	// joinsWithin is how long the way into a ring may take: to wait for the contact,
	// and as long again.
	joinsWithin = 2 * ContactWithin
	// lookAgain is how often a folder is looked at while something is awaited in it.
	lookAgain = 5 * time.Millisecond
)

// Why a node can't be registered, or isn't found.
var (
	// ErrTaken: a living node has that identifier.
	ErrTaken = errors.New("the identifier is taken")
	// ErrRingLives: a ring was to be founded where one lives.
	ErrRingLives = errors.New("a ring lives here")
	// ErrNoNode: no node of that identifier lives.
	ErrNoNode = errors.New("no such node")
	// ErrNobody: nobody listens at an address.
	ErrNobody = link.ErrRefused
	// ErrJoining: the node is on its way into the ring.
	ErrJoining = errors.New("the node has not joined yet")
)

// Runtime is the folder in which the nodes of a ring on this machine say where they
// are, a file each, so that programs that know an identifier find them:
//
//	/tmp/torc-1000/default/35   {"id":"35","addr":"127.0.0.1:41234","boot":"9c2e...","pid":711,"joined":true}
//
// What a file says is not believed: a node that died left its file behind, and its
// port or its process number may be another one's by now. Who listens at the address
// is asked who it is. A lock keeps registrations apart for as long as they read and
// write, and nobody holds it while he asks.
//
// The methods are safe for concurrent use, from any number of processes.
type Runtime struct {
	dir   string
	greet func(ctx context.Context, addr string) (greeting, error)
}

// RuntimeFolder is where the rings' folders are: $TORC_RUN, or else torc-UID in /tmp,
// which is the same place whatever the login.
func RuntimeFolder() string {
	if dir := os.Getenv("TORC_RUN"); dir != "" {
		return dir
	}
	return filepath.Join("/tmp", "torc-"+strconv.Itoa(os.Getuid()))
}

// OpenRuntime opens the folder of the ring of that name in folder, and makes both if
// they aren't there. It fails if another user owns them, or may write there. Nodes are
// asked through admin; nil is one that is set to nothing.
func OpenRuntime(folder, ring string, admin *Admin) (*Runtime, error) {
	if admin == nil {
		admin = new(Admin)
	}
	if err := checkRingName(ring); err != nil {
		return nil, err
	}
	r := &Runtime{dir: filepath.Join(folder, ring), greet: admin.greet}
	for _, dir := range []string{folder, r.dir} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("no folder to find nodes by: %w (TORC_RUN names another)", err)
		}
		if err := checkPrivate(dir); err != nil {
			return nil, fmt.Errorf("no folder to find nodes by: %w (TORC_RUN names another)", err)
		}
	}
	return r, nil
}

// Dir is the folder.
func (r *Runtime) Dir() string { return r.dir }

// Nodes returns what nodes have said, those that have died since too, by no order.
func (r *Runtime) Nodes() ([]Whereabouts, error) {
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var all []Whereabouts
	for _, f := range files {
		if w, ok := r.read(f.Name()); ok {
			all = append(all, w)
		}
	}
	return all, nil
}

// read reads the file of a node. What is none is nobody's.
func (r *Runtime) read(id string) (Whereabouts, bool) {
	if canonical, err := canonicalID(id); err != nil || canonical != id {
		return Whereabouts{}, false
	}
	b, err := os.ReadFile(filepath.Join(r.dir, id))
	if err != nil {
		return Whereabouts{}, false
	}
	w, err := decodeWhereabouts(b)
	return w, err == nil && w.ID == id
}

func (r *Runtime) write(w Whereabouts) error {
	temporary := filepath.Join(r.dir, "."+w.ID+"."+strconv.Itoa(os.Getpid()))
	if err := os.WriteFile(temporary, w.encode(), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(r.dir, w.ID))
}

// standing asks how a node stands.
func (r *Runtime) standing(ctx context.Context, w Whereabouts) standing {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	g, err := r.greet(ctx, w.Addr)
	return judge(w, g, err, pidLives(w.Pid))
}

// living returns those that aren't gone, in their order.
func (r *Runtime) living(ctx context.Context, all []Whereabouts) []Whereabouts {
	lives := make([]bool, len(all))
	var (
		asking sync.WaitGroup
		next   atomic.Int64
	)
	for range min(greetAtOnce, len(all)) {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				lives[i] = r.standing(ctx, all[i]) != gone
			}
		})
	}
	asking.Wait()
	var left []Whereabouts
	for i, w := range all {
		if lives[i] {
			left = append(left, w)
		}
	}
	return left
}

// Living returns the nodes that live, as far as asking tells, by no order.
func (r *Runtime) Living(ctx context.Context) ([]Whereabouts, error) {
	all, err := r.Nodes()
	return r.living(ctx, all), err
}

// Registration is a node's own entry.
type Registration struct {
	runtime *Runtime

	mu struct {
		sync.Mutex
		w Whereabouts
	}
}

// Register enters a node that listens at its address already; a dead one's entry is
// replaced. It fails with ErrTaken if a node of that identifier lives. If w has Joined,
// it founds a ring: then it fails with ErrRingLives if another member of one lives,
// and forgets those that are dead. Of any number that register at once the first is in.
func (r *Runtime) Register(ctx context.Context, w Whereabouts) (*Registration, error) {
	var dead []Whereabouts // who was asked, and is gone
	for {
		all, err := r.Nodes()
		if err != nil {
			return nil, err
		}
		rivals := slices.DeleteFunc(all, func(o Whereabouts) bool {
			return o.ID != w.ID && !(w.Joined && o.Joined) || slices.Contains(dead, o)
		})
		if err := rivalry(w, r.living(ctx, rivals)); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		dead = append(dead, rivals...)
		if in, err := r.enter(ctx, w, dead); err != nil {
			return nil, err
		} else if in {
			g := &Registration{runtime: r}
			g.mu.w = w
			return g, nil
		}
	}
}

// rivalry says why w can't be registered while these live.
func rivalry(w Whereabouts, living []Whereabouts) error {
	for _, o := range living {
		if o.ID == w.ID {
			return fmt.Errorf("%w: %v has it", ErrTaken, o)
		}
	}
	if len(living) > 0 {
		return fmt.Errorf("%w already, of %s", ErrRingLives, nodesText(living))
	}
	return nil
}

// nodesText lists nodes, as many as a line has room for.
func nodesText(all []Whereabouts) string {
	if len(all) == 1 {
		return all[0].String()
	}
	return fmt.Sprintf("%d nodes: one is %v", len(all), all[0])
}

// enter writes w, and removes the dead, unless there is a rival that isn't among
// those: then it says false.
func (r *Runtime) enter(ctx context.Context, w Whereabouts, dead []Whereabouts) (bool, error) {
	unlock, err := r.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	all, err := r.Nodes()
	if err != nil {
		return false, err
	}
	for _, o := range all {
		rival := o.ID == w.ID || w.Joined && o.Joined
		switch known := slices.Contains(dead, o); {
		case rival && !known:
			return false, nil
		case known && o.ID != w.ID:
			if err := os.Remove(filepath.Join(r.dir, o.ID)); err != nil {
				return false, err
			}
		}
	}
	return true, r.write(w)
}

// Joined says that the node is part of the ring now.
func (g *Registration) Joined(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.w.Joined = true
	return g.change(ctx, func() error { return g.runtime.write(g.mu.w) })
}

// Remove removes the entry, unless it is another one's by now.
func (g *Registration) Remove(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.change(ctx, func() error { return os.Remove(filepath.Join(g.runtime.dir, g.mu.w.ID)) })
}

// change does something to the entry if it is this node's.
func (g *Registration) change(ctx context.Context, do func() error) error {
	unlock, err := g.runtime.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if o, ok := g.runtime.read(g.mu.w.ID); !ok || o.Boot != g.mu.w.Boot {
		return nil
	}
	return do()
}

// Find returns where the node of an identifier is. ErrNoNode: there is none that
// lives. ErrJoining: it is on its way in. Another error says that it gives no sign.
func (r *Runtime) Find(ctx context.Context, id string) (Whereabouts, error) {
	w, ok := r.read(id)
	if !ok {
		return w, fmt.Errorf("%w: nobody has the identifier %s%s", ErrNoNode, id, r.others())
	}
	switch r.standing(ctx, w) {
	case gone:
		return w, fmt.Errorf("%w: %v, is gone%s", ErrNoNode, w, r.others())
	case joining:
		return w, fmt.Errorf("%w: %v", ErrJoining, w)
	case mute:
		if !w.Joined {
			return w, fmt.Errorf("%w: %v", ErrJoining, w)
		}
		return w, fmt.Errorf("%v, gives no sign", w)
	}
	return w, nil
}

// others says which nodes there may be.
func (r *Runtime) others() string {
	all, err := r.Nodes()
	all = slices.DeleteFunc(all, func(w Whereabouts) bool { return !pidLives(w.Pid) })
	const most = 8
	switch {
	case err != nil:
		return ""
	case len(all) == 0:
		return ", and no node is known in " + r.dir
	}
	var ids string
	for i, w := range all {
		if i == most {
			ids += ", and others"
			break
		}
		if i > 0 {
			ids += ", "
		}
		ids += w.ID
	}
	return "; known in " + r.dir + ": " + ids
}

// Await is Find that waits while the node is joining or gives no sign and, with absent,
// while there is none, until ctx is done.
func (r *Runtime) Await(ctx context.Context, id string, absent bool) (Whereabouts, error) {
	var last error // before ctx was done, which may have cut the asking short
	for {
		w, err := r.Find(ctx, id)
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if err == nil || errors.Is(err, ErrNoNode) && !absent {
			return w, last
		}
		select {
		case <-ctx.Done():
			return w, last
		case <-time.After(lookAgain):
		}
	}
}

// Joining returns those that are on their way into the ring, and not for so long that
// it isn't to be counted on.
func (r *Runtime) Joining(ctx context.Context) ([]Whereabouts, error) {
	all, err := r.Nodes()
	now := time.Now()
	return r.living(ctx, slices.DeleteFunc(all, func(w Whereabouts) bool {
		info, err := os.Stat(filepath.Join(r.dir, w.ID))
		return w.Joined || err != nil || now.Sub(info.ModTime()) > joinsWithin
	})), err
}

// lock waits for the folder's lock. It is held for as long as a few files take.
func (r *Runtime) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(r.dir, ".lock")
	for {
		unlock, err := tryLock(path)
		if err != nil {
			return nil, fmt.Errorf("the lock of the folder of nodes: %w", err)
		}
		if unlock != nil {
			return unlock, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is locked for long: %w", path, ctx.Err())
		case <-time.After(lookAgain):
		}
	}
}
