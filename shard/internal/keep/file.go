package keep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/torc-dht/torc/shard/slots"
)

// File keeps the map in a file, for one master at a time.
type File struct {
	path   string
	lock   *os.File
	writer uint64

	// saved, if set, is told after each step of a write, and can end the write there.
	saved func(step) error

	// mu is held while the file is written: nobody may unlock the file meanwhile.
	mu struct {
		sync.Mutex
		closed bool
		number uint64
		last   *slots.Map
		broken error // the folder could not be synced: what is on the disk isn't known
		reign  *fileReign
	}
}

var _ Keeper = (*File)(nil)

// What is beside the file.
const (
	lockSuffix = ".lock"
	newSuffix  = ".new"
)

// OpenFile opens the file at path and locks it; it need not be there, but its folder
// must. It fails when another process has it, and when what is there is not whole or
// not a map.
func OpenFile(path string) (*File, error) {
	target, err := filepath.EvalSymlinks(path)
	switch {
	case err == nil:
		path = target // since it will be replaced, and the link should not
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	lock, err := lockFile(path + lockSuffix)
	if err != nil {
		var used inUseError
		switch {
		case errors.As(err, &used):
			return nil, fmt.Errorf("state file %s is in use by %w: each table needs a file of its own, and has one master at a time", path, err)
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("state file %s: there is no folder %s: make it first", path, filepath.Dir(path))
		}
		return nil, fmt.Errorf("state file %s can't be locked: %w", path, err)
	}
	f := &File{path: path, lock: lock, writer: newMark()}
	if f.mu.last, err = readFile(path); err != nil {
		_ = unlockFile(lock)
		return nil, err
	}
	return f, nil
}

// readFile returns the map in the file at path, nil if there is no file.
func readFile(path string) (*slots.Map, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state file %s can't be read: %w", path, err)
	}
	r, err := decode(data)
	if err == nil && r.last == nil {
		err = fmt.Errorf("%w: it has no map", errDamaged)
	}
	switch {
	case err == nil:
		return r.last, nil
	case errors.Is(err, errForeign):
		return nil, fmt.Errorf("state file %s: %w: name another file, or one that isn't there for a new table", path, err)
	case errors.Is(err, errNewer):
		return nil, fmt.Errorf("state file %s: %w: start that torc on it", path, err)
	}
	return nil, fmt.Errorf("state file %s: %w: move it away, and the master will ask the table's servers instead", path, err)
}

// Lead returns at once: whoever has the file leads.
func (f *File) Lead(ctx context.Context) (Reign, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed {
		return nil, fmt.Errorf("state file %s: closed", f.path)
	}
	f.mu.reign = &fileReign{file: f, last: f.mu.last, over: make(chan struct{})}
	return f.mu.reign, nil
}

// Leader returns "": a file's only master is who asks.
func (f *File) Leader() (string, error) { return "", nil }

// Close ends a reign and unlocks the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed {
		return nil
	}
	f.mu.closed = true
	if f.mu.reign != nil {
		f.mu.reign.Resign()
	}
	return unlockFile(f.lock)
}

// inUseError says who has a lock.
type inUseError struct{ pid string }

func (e inUseError) Error() string {
	if e.pid == "" {
		return "another process"
	}
	return "process " + e.pid
}

// save writes m, unless r is over.
func (f *File) save(r *fileReign, m *slots.Map) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := r.Err(); err != nil {
		return err
	}
	if f.mu.broken != nil {
		return f.mu.broken
	}
	f.mu.number++
	data, err := record{writer: f.writer, number: f.mu.number, last: m}.encode()
	if err != nil {
		return err
	}
	if err := f.replaceLocked(data); err != nil {
		return fmt.Errorf("state file %s: the map %s can't be written: %w", f.path, m.Epoch, err)
	}
	f.mu.last = m
	return nil
}

// step is a thing done in the course of a write, in this order.
type step int

const (
	created step = iota
	written
	synced
	renamed
	folderSynced
	steps
)

// replaceLocked makes data the content of the file, all of it or nothing.
func (f *File) replaceLocked(data []byte) error {
	done := func(s step, err error) error {
		if err == nil && f.saved != nil {
			err = f.saved(s)
		}
		return err
	}
	file, err := os.OpenFile(f.path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer file.Close() // again, or after an error
	if err := done(created, nil); err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := done(written, err); err != nil {
		return err
	}
	if err := done(synced, file.Sync()); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := done(renamed, os.Rename(f.path+newSuffix, f.path)); err != nil {
		return err
	}
	if err := done(folderSynced, syncFolder(filepath.Dir(f.path))); err != nil {
		// To sync again would tell of what was written since, and not of this.
		f.mu.broken = fmt.Errorf("state file %s: its folder couldn't be synced (%w), so what the disk has isn't known: start the master again", f.path, err)
		return err
	}
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// fileReign lasts until it is resigned.
type fileReign struct {
	file *File
	last *slots.Map
	once sync.Once
	over chan struct{}
}

func (r *fileReign) Last() *slots.Map      { return r.last }
func (r *fileReign) Leads() bool           { return r.Err() == nil }
func (r *fileReign) Over() <-chan struct{} { return r.over }
func (r *fileReign) Resign()               { r.once.Do(func() { close(r.over) }) }

func (r *fileReign) Err() error {
	select {
	case <-r.over:
		return fmt.Errorf("%w: %w", ErrOver, ErrResigned)
	default:
		return nil
	}
}

func (r *fileReign) Save(ctx context.Context, m *slots.Map) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return r.file.save(r, m)
}
