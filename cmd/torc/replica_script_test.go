package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// replicaScript is scripts/replica.sh in a folder of its own.
type replicaScript struct {
	t    *testing.T
	path string
	dir  string
}

func newReplicaScript(t *testing.T) replicaScript {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	path, err := filepath.Abs("../../scripts/replica.sh")
	if err != nil {
		t.Fatal(err)
	}
	return replicaScript{t, path, t.TempDir()}
}

// run runs the script, and returns what it printed, on both its outputs, and its
// exit code.
func (s replicaScript) run(args ...string) (printed string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", append([]string{s.path}, args...)...)
	cmd.Dir = s.dir
	// A file, and no pipe, which the servers would hold open.
	out, err := os.CreateTemp(s.t.TempDir(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return readFile(s.t, out.Name()), cmd.ProcessState.ExitCode()
}

// expect runs the script, and checks its exit code and a part of what it printed.
func (s replicaScript) expect(code int, part string, args ...string) {
	s.t.Helper()
	printed, got := s.run(args...)
	if got != code || !strings.Contains(printed, part) {
		s.t.Fatalf("replica.sh %s: exit code %d, %q; want %d and %q", strings.Join(args, " "), got, printed, code, part)
	}
}

// freePorts returns the first of n free ports of loopback in a row.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		var held []net.Listener
		first := 0
		for i := range n {
			addr := "127.0.0.1:0"
			if i > 0 {
				addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(first+i))
			}
			l, err := net.Listen("tcp", addr)
			if err != nil {
				break
			}
			held = append(held, l)
			if i == 0 {
				first = l.Addr().(*net.TCPAddr).Port
			}
		}
		for _, l := range held {
			_ = l.Close()
		}
		if len(held) == n {
			return first
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

func TestReplicaScriptOnOneFolder(t *testing.T) {
	t.Parallel()
	s := newReplicaScript(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePorts(t, 1)))
	s.expect(1, "there is no servers.txt", "start")
	s.expect(1, "there is no servers.txt", "status")
	s.expect(1, "h is no address", "configure", "h")
	s.expect(1, "h:1 is there twice", "configure", "h:1", "h:2", "h:1")
	s.expect(1, "1 to 4 addresses", "configure")
	s.expect(0, "", "configure", addr)
	if got := readFile(t, filepath.Join(s.dir, "servers.txt")); got != addr+"\n" {
		t.Errorf("configure wrote %q, want %s", got, addr)
	}
	s.expect(1, addr+" doesn't run", "status")
	t.Cleanup(func() { s.run("stop") })
	s.expect(1, "there is no flag --nosuch", "start", "--nosuch")
	s.expect(0, addr+" runs, process ", "start", "--admin", "off")
	s.expect(0, "runs already", "start")
	s.expect(0, addr+" runs", "status")
	s.expect(0, "", "stop")
	if _, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		t.Error("a server that was stopped listens")
	}
	s.expect(0, "no server of ", "stop")

	// The number in the file may be another process's by now.
	if err := os.WriteFile(filepath.Join(s.dir, "kv-server.pid"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		t.Fatal(err)
	}
	s.expect(1, addr+" doesn't run", "status")
	s.expect(0, "no server of ", "stop")
	s.expect(1, "there is no command nosuch", "nosuch")
	s.expect(1, "usage: ")
}

func TestReplicaScriptOnOneMachine(t *testing.T) {
	t.Parallel()
	s := newReplicaScript(t)
	s.expect(1, "from 1 to 4", "local", "5")
	s.expect(1, "65535 is no port for the first", "local", "2", "65535")
	s.expect(1, "no servers were set up", "local", "status")
	first := freePorts(t, 3)
	port := strconv.Itoa(first)
	t.Cleanup(func() { s.run("local", "stop") })
	s.expect(0, "replica-3/kv-server.log", "local", "3", port)
	second := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+1))
	printed, err := exec.Command("kv", "--hosts", second, "foo", "bar").CombinedOutput()
	if err != nil || string(printed) != "foo=NIL\n" {
		t.Errorf("kv foo bar: %q, %v", printed, err)
	}
	s.expect(0, second+" runs", "local", "status")

	// With fewer there are no others left.
	s.expect(0, "replica-2/kv-server.log", "local", "2", port)
	s.expect(0, "127.0.0.1:"+port+" runs", "local", "status")
	if printed, _ := s.run("local", "status"); strings.Contains(printed, strconv.Itoa(first+2)) {
		t.Errorf("of two servers it tells %q", printed)
	}
	s.expect(0, "", "local", "stop")
	s.expect(1, second+" doesn't run", "local", "status")
}
