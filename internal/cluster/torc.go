package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Torc starts the torc binary under one of its names ("torc", "watchdog",
// "fleet-client"): it acts by the name that it is called by. It counts as ready
// at once; WaitLine waits for what it says.
func (h *Host) Torc(ctx context.Context, name string, args ...string) (*Proc, error) {
	if err := h.usable(); err != nil {
		return nil, err
	}
	path, err := h.cluster.torcAs(ctx, name)
	if err != nil {
		return nil, err
	}
	return h.Start(ctx, Spec{Name: name, Path: path, Args: args})
}

// torcAs returns the path of a link of that name to the torc binary.
func (c *Cluster) torcAs(ctx context.Context, name string) (string, error) {
	c.torc.Lock()
	defer c.torc.Unlock()
	if c.torc.path == "" {
		path, err := c.findTorc(ctx)
		if err != nil {
			return "", err
		}
		c.torc.path = path
	}
	link := filepath.Join(c.dir, ".bin", name)
	if err := os.Mkdir(filepath.Dir(link), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("cluster: %w", err)
	}
	if err := os.Symlink(c.torc.path, link); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("cluster: %w", err)
	}
	return link, nil
}

func (c *Cluster) findTorc(ctx context.Context) (string, error) {
	if path := c.options.Torc; path != "" {
		return filepath.Abs(path)
	}
	return findTorc(ctx, c.dir)
}

// Programs puts torc into dir, a folder of the caller's, under each of the names: it
// acts by the one that it is called by. It is the torc that the environment's
// TORC_BIN names, and without that one that is built from this module's source and
// stays as it is, whoever builds at the same time.
func Programs(ctx context.Context, dir string, names ...string) error {
	torc, err := findTorc(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Symlink(torc, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
	}
	return nil
}

// findTorc returns the path of the torc that TORC_BIN names, or of one that it
// builds and keeps in dir.
func findTorc(ctx context.Context, dir string) (string, error) {
	if path := os.Getenv("TORC_BIN"); path != "" {
		return filepath.Abs(path)
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	// Kept in the module's own build folder, so that the go command need not
	// link it again when nothing has changed. It replaces the file as a whole
	// while others run the old one; two at once would get into each other's way.
	path := filepath.Join(root, "build", "test", "torc")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("cluster: %w", err)
	}
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return "", fmt.Errorf("cluster: %w", err)
	}
	defer unlock()
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/torc")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cluster: building torc in %s (TORC_BIN names one that is built): %w\n%s", root, err, out)
	}
	// Who asked goes on with this one, whatever is built later.
	own, err := filepath.Abs(filepath.Join(dir, ".torc"))
	if err != nil {
		return "", fmt.Errorf("cluster: %w", err)
	}
	if err := copyFile(own, path); err != nil {
		return "", fmt.Errorf("cluster: %w", err)
	}
	return own, nil
}

// moduleRoot is the folder of torc's go.mod, above the folder that this process
// runs in: a test's is its package.
func moduleRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cluster: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/torc-dht/torc\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("cluster: no source of torc above %s to build it from: set TORC_BIN to the torc binary", wd)
		}
	}
}

// copyFile copies a program. No process is started meanwhile: it would have the
// copy open for writing for a moment, and the kernel runs no such file.
func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(to, b, 0o755)
}
