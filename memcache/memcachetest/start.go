package memcachetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startTimeout is how long a memcached may take until it listens.
const startTimeout = 10 * time.Second

// Start starts a memcached on a free port of 127.0.0.1, with args besides, and
// returns its address. It is killed when the test ends.
//
// Where memcached is not installed the test is skipped, and the skip names the
// package to install; with CI=true in the environment it fails instead.
func Start(t testing.TB, args ...string) (addr string) {
	t.Helper()
	return StartServer(t, args...).Addr
}

// Program returns where the program of that name is. Where it is not installed
// the test is skipped, with the name of its Debian package; with CI=true in the
// environment it fails instead.
func Program(t testing.TB, name, pkg string) (path string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing := name + " is not installed: apt-get install " + pkg
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return path
}

// Server is a memcached under test.
type Server struct {
	Addr string
	// Process is the server's, for signals.
	Process *os.Process
}

// StartServer is Start for tests that do more to the server than ask it.
func StartServer(t testing.TB, args ...string) *Server {
	t.Helper()
	path := Program(t, "memcached", "memcached")
	portFile := filepath.Join(t.TempDir(), "port")
	// Port -1 lets the kernel choose, and the server tells by the file.
	all := []string{"-l", "127.0.0.1", "-p", "-1"}
	if os.Geteuid() == 0 {
		all = append(all, "-u", "root") // it refuses root otherwise
	}
	cmd := exec.Command(path, append(all, args...)...)
	cmd.Env = append(os.Environ(), "MEMCACHED_PORT_FILENAME="+portFile)
	cmd.SysProcAttr = dieWithParent()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting memcached: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // killed, so it fails
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-ended
	})
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(time.Millisecond) {
		port, err := readPort(portFile)
		if err == nil {
			return &Server{Addr: "127.0.0.1:" + port, Process: cmd.Process}
		}
		select {
		case <-ended:
			t.Fatalf("memcached %s ended at once: %s", strings.Join(all, " "), said.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("memcached does not listen after %v: %v", startTimeout, err)
		}
	}
}

// readPort reads the port from the file that memcached renames into place.
func readPort(file string) (string, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("no port yet")
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if port, ok := strings.CutPrefix(strings.TrimSpace(line), "TCP INET: "); ok {
			return port, nil
		}
	}
	return "", fmt.Errorf("no port in %q", b)
}
