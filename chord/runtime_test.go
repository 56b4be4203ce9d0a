package chord

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// machine answers in place of the nodes of a machine.
type machine struct {
	folder string

	mu    sync.Mutex
	ports map[string]func() (greeting, error) // who listens, by address
}

func newMachine(t *testing.T) *machine {
	return &machine{folder: t.TempDir(), ports: map[string]func() (greeting, error){}}
}

// runtime is the folder as one program has it.
func (m *machine) runtime(t *testing.T) *Runtime {
	t.Helper()
	r, err := OpenRuntime(m.folder, "default", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.greet = func(_ context.Context, addr string) (greeting, error) {
		m.mu.Lock()
		answer := m.ports[addr]
		m.mu.Unlock()
		if answer == nil {
			return greeting{}, errRefused
		}
		return answer()
	}
	return r
}

func (m *machine) listen(addr string, answer func() (greeting, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ports[addr] = answer
}

// start has a node listen, and returns what it has to say of itself.
func (m *machine) start(id string, boot uint64, joined bool) Whereabouts {
	w := Whereabouts{ID: id, Addr: fmt.Sprintf("127.0.0.1:%d", boot), Boot: boot, Pid: os.Getpid(), Joined: joined}
	m.listen(w.Addr, func() (greeting, error) { return greeting{id, boot, joined}, nil })
	return w
}

func register(t *testing.T, r *Runtime, w Whereabouts) *Registration {
	t.Helper()
	g, err := r.Register(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNodesAreFound(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.runtime(t)
	one := m.start("1", 1001, true)
	register(t, r, one)
	if got, err := r.Find(t.Context(), "1"); err != nil || got != one {
		t.Errorf("found %+v, %v", got, err)
	}
	if _, err := r.Find(t.Context(), "2"); !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), "default: 1") {
		t.Errorf("a node that nobody started: %v", err)
	}

	two := m.start("2", 1002, false)
	g := register(t, r, two)
	if _, err := r.Find(t.Context(), "2"); !errors.Is(err, ErrJoining) {
		t.Errorf("a node on its way in: %v", err)
	}
	if all, err := r.Joining(t.Context()); err != nil || len(all) != 1 || all[0] != two {
		t.Errorf("on their way in are %v, %v", all, err)
	}
	long := time.Now().Add(-2 * joinsWithin)
	if err := os.Chtimes(filepath.Join(r.Dir(), "2"), long, long); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Joining(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("on their way in, for ever: %v, %v", all, err)
	}
	two = m.start("2", 1002, true)
	if err := g.Joined(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Find(t.Context(), "2"); err != nil || got != two {
		t.Errorf("found %+v, %v", got, err)
	}
	if all, err := r.Joining(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("on their way in are %v, %v", all, err)
	}

	if err := g.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Find(t.Context(), "2"); !errors.Is(err, ErrNoNode) {
		t.Errorf("a node that has left: %v", err)
	}
	if all, err := r.Living(t.Context()); err != nil || len(all) != 1 || all[0] != one {
		t.Errorf("living are %v, %v", all, err)
	}
}

// Of many nodes of one identifier that start at once one is in, and the others are told
// by whom they were forestalled.
func TestOneOfAnIdentifier(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	stale := Whereabouts{ID: "35", Addr: "127.0.0.1:1", Boot: 1, Pid: os.Getpid()}
	register(t, m.runtime(t), stale) // of a node that is dead: it doesn't listen
	var (
		all sync.WaitGroup
		in  atomic.Uint64
		n   atomic.Int64
	)
	for i := range uint64(16) {
		r, w := m.runtime(t), m.start("35", 1000+i, false)
		all.Go(func() {
			_, err := r.Register(t.Context(), w)
			switch {
			case err == nil:
				in.Store(w.Boot)
				n.Add(1)
			case !errors.Is(err, ErrTaken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n.Load() != 1 {
		t.Fatalf("%d nodes have the identifier", n.Load())
	}
	if w, ok := m.runtime(t).read("35"); !ok || w.Boot != in.Load() {
		t.Errorf("%d is in, and the folder says %+v", in.Load(), w)
	}
}

// Of many that found a ring at once, one does.
func TestOneFounds(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for i := range uint64(4) { // a ring that died out
		w := Whereabouts{ID: fmt.Sprint(100 + i), Addr: "127.0.0.1:1", Boot: 1 + i, Pid: os.Getpid(), Joined: true}
		if err := m.runtime(t).write(w); err != nil {
			t.Fatal(err)
		}
	}
	var (
		all sync.WaitGroup
		n   atomic.Int64
	)
	for i := range uint64(16) {
		r, w := m.runtime(t), m.start(fmt.Sprint(i), 1000+i, true)
		all.Go(func() {
			_, err := r.Register(t.Context(), w)
			if err == nil {
				n.Add(1)
			} else if !errors.Is(err, ErrRingLives) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	left, err := m.runtime(t).Nodes()
	if n.Load() != 1 || err != nil || len(left) != 1 {
		t.Errorf("%d rings were founded; in the folder are %v, %v", n.Load(), left, err)
	}
}

// Who waits to get into a ring doesn't keep it from being founded.
func TestWhoWaitsIsNoRing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.runtime(t)
	register(t, r, m.start("136", 1001, false))
	register(t, r, m.start("1", 1002, true))
	if _, err := r.Register(t.Context(), m.start("2", 1003, true)); !errors.Is(err, ErrRingLives) || !strings.Contains(err.Error(), "node 1 at 127.0.0.1:1002") {
		t.Errorf("a second ring: %v", err)
	}
	register(t, r, m.start("2", 1004, false))
}

// What dead nodes left behind counts for nothing, whoever has their ports and their
// process numbers now; a node that is but silent is there.
func TestStaleEntries(t *testing.T) {
	t.Parallel()
	answers := func(g greeting, err error) func() (greeting, error) {
		return func() (greeting, error) { return g, err }
	}
	for what, c := range map[string]struct {
		pid   int
		there func() (greeting, error)
		err   error
	}{
		"nobody listens":                         {os.Getpid(), nil, nil},
		"another life of it":                     {os.Getpid(), answers(greeting{"35", 2, true}, nil), nil},
		"another node":                           {os.Getpid(), answers(greeting{"36", 1, true}, nil), nil},
		"another program":                        {os.Getpid(), answers(greeting{}, errForeign), nil},
		"somebody mute, and the process is gone": {1 << 30, answers(greeting{}, context.DeadlineExceeded), nil},
		"it is frozen":                           {os.Getpid(), answers(greeting{}, context.DeadlineExceeded), ErrTaken},
		"it is there":                            {os.Getpid(), answers(greeting{"35", 1, true}, nil), ErrTaken},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			r := m.runtime(t)
			old := Whereabouts{ID: "35", Addr: "127.0.0.1:1", Boot: 1, Pid: c.pid, Joined: true}
			if err := r.write(old); err != nil {
				t.Fatal(err)
			}
			m.listen(old.Addr, c.there)
			if _, err := r.Find(t.Context(), "35"); errors.Is(err, ErrNoNode) != (c.err == nil) {
				t.Errorf("looked for: %v", err)
			}
			next := m.start("35", 1002, false)
			g, err := r.Register(t.Context(), next)
			if !errors.Is(err, c.err) {
				t.Fatalf("registered: %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			// The dead one's own registration touches nobody else's.
			late := &Registration{runtime: r}
			late.mu.w = old
			if err := errors.Join(late.Joined(t.Context()), late.Remove(t.Context())); err != nil {
				t.Error(err)
			}
			if w, ok := r.read("35"); !ok || w != next {
				t.Errorf("the folder says %+v", w)
			}
			if err := g.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.runtime(t)
	soon, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := r.Await(soon, "35", true); !errors.Is(err, ErrNoNode) {
		t.Errorf("nobody came: %v", err)
	}
	if _, err := r.Await(t.Context(), "35", false); !errors.Is(err, ErrNoNode) {
		t.Errorf("nobody is waited for: %v", err)
	}
	ready := make(chan struct{})
	m.listen("127.0.0.1:1001", func() (greeting, error) {
		select {
		case <-ready:
			return greeting{"35", 1001, true}, nil
		default:
			return greeting{"35", 1001, false}, nil
		}
	})
	found := make(chan error)
	go func() {
		_, err := r.Await(t.Context(), "35", true)
		found <- err
	}()
	register(t, r, Whereabouts{ID: "35", Addr: "127.0.0.1:1001", Boot: 1001, Pid: os.Getpid()})
	soon, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := r.Await(soon, "35", false); !errors.Is(err, ErrJoining) {
		t.Errorf("on its way in: %v", err)
	}
	close(ready)
	if err := <-found; err != nil {
		t.Error(err)
	}

	// One that is silent may only be slow.
	asked := 0
	m.listen("127.0.0.1:1036", func() (greeting, error) {
		if asked++; asked < 3 {
			return greeting{}, context.DeadlineExceeded
		}
		return greeting{"36", 1036, true}, nil
	})
	register(t, r, Whereabouts{ID: "36", Addr: "127.0.0.1:1036", Boot: 1036, Pid: os.Getpid()})
	if _, err := r.Await(t.Context(), "36", false); err != nil {
		t.Error(err)
	}
}

// Nobody else may say where nodes are.
func TestFolderIsPrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fresh := filepath.Join(dir, "fresh")
	r, err := OpenRuntime(fresh, "mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{fresh, r.Dir()} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
	open, file, link := filepath.Join(dir, "open"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(open, 0o777), os.Chmod(open, 0o777), os.WriteFile(file, nil, 0o600), os.Symlink(fresh, link)); err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{open: "chmod 700", file: "no folder", link: "no folder", filepath.Join(dir, "no", "such"): "no such file"} {
		if _, err := OpenRuntime(folder, "mine", nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "TORC_RUN") {
			t.Errorf("%s: %v", folder, err)
		}
	}
	if _, err := OpenRuntime(fresh, "../theirs", nil); err == nil {
		t.Error("a ring's folder is elsewhere")
	}
	if os.Getuid() != 0 {
		return // only root can give a folder away
	}
	theirs := filepath.Join(dir, "theirs")
	if err := errors.Join(os.Mkdir(theirs, 0o700), os.Chown(theirs, 65534, -1)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRuntime(theirs, "mine", nil); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("another user's folder: %v", err)
	}
}

// Whatever lies in the folder, it is no node.
func TestRubbishInTheFolder(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.runtime(t)
	good := m.start("7", 1007, true)
	for name, text := range map[string]string{"35": "", "36": "{", "x": string(good.encode()), "007": string(good.encode()), "8": string(good.encode()), "35.log": "hello"} {
		if err := os.WriteFile(filepath.Join(r.Dir(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := r.Nodes(); err != nil || len(all) != 0 {
		t.Errorf("nodes are %v, %v", all, err)
	}
	register(t, r, m.start("35", 1035, true))
	if all, err := r.Nodes(); err != nil || len(all) != 1 {
		t.Errorf("nodes are %v, %v", all, err)
	}
}

// The folder is locked for as long as it takes, and no longer than whoever asked
// waits.
func TestLock(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.runtime(t)
	unlock, err := r.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Register(soon, m.start("1", 1001, true)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("registered in a locked folder: %v", err)
	}
	unlock()
	register(t, r, m.start("1", 1001, true))
}
