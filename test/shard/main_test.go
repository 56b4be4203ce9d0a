package shard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
	torcshard "github.com/torc-dht/torc/shard"
)

// patience is how long a test waits for what comes in a moment on a machine that
// has nothing else to do.
const patience = 2 * time.Minute

// bin is the folder of the programs.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "torc-shard-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = cluster.Programs(context.Background(), dir, "torc", "clt", "svr", "master-svr")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	code := m.Run()
	if err := seen.Tell(*table); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// store is a sharded store of real processes on this machine.
type store struct {
	t       testing.TB
	cluster *cluster.Cluster
	master  string // its port
	servers []*server
}

type server struct {
	*cluster.Proc
	port   string
	client *memcache.Client // once it is asked for
}

func newStore(t testing.TB) *store {
	return &store{t: t, cluster: cluster.ForTest(t, cluster.Options{})}
}

// freePort returns a port that nobody listens on at this moment.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// start starts one of the programs and waits for a line that has text in it.
func (s *store) start(text, program string, args ...string) *cluster.Proc {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	p, err := s.cluster.Host("here").Start(ctx, cluster.Spec{Path: filepath.Join(bin, program), Args: args})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := p.WaitLine(ctx, time.Time{}, cluster.Containing(text)); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// startMaster starts the master: master-svr, or torc and the words behind it.
func (s *store) startMaster(program string, args ...string) *cluster.Proc {
	s.t.Helper()
	s.master = freePort(s.t)
	return s.start("listens on", program, append(args, "-p", s.master)...)
}

// join starts one more server, and waits until it has its share.
func (s *store) join() *server {
	s.t.Helper()
	port := freePort(s.t)
	v := &server{port: port}
	v.Proc = s.start("joined", "svr", "-p", port, "-m", s.master)
	s.servers = append(s.servers, v)
	return v
}

// settle waits until everything is where it shall be.
func (s *store) settle() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	admin := &torcshard.Admin{Masters: []string{"127.0.0.1:" + s.master}}
	var last torcshard.Status
	for st, err := range admin.Status(ctx, 100*time.Millisecond) {
		if err != nil {
			s.t.Fatalf("not settled: %v; last %+v", err, last)
		}
		if last = st; st.Settled {
			return
		}
	}
	s.t.Fatalf("not settled, and no more is told: %+v", last)
}

// result is what came of a program that was run to its end.
type result struct {
	code           int
	stdout, stderr string
}

// call runs one of the programs.
func call(t testing.TB, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// put puts a key as the requirement says it.
func (s *store) put(key, value string) {
	s.t.Helper()
	r := call(s.t, "clt", "-p", "0", "-o", "PUT", "-k", key, "-v", value, "-m", s.master, "-d", "0")
	if r != (result{}) {
		s.t.Fatalf("PUT of %s: %+v", key, r)
	}
}
