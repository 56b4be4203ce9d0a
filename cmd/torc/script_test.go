package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/cluster"
)

// TestMain makes the test binary act as the programs when a script calls them:
// the real main, in processes of their own.
func TestMain(m *testing.M) {
	commands := map[string]func(){
		"torc":              main,
		"torc-that-panics":  func() { os.Exit(execute(panicking(), nil)) },
		"torc-that-lingers": func() { os.Exit(execute(lingering(), nil)) },
	}
	for name := range programs {
		commands[name] = main
	}
	testscript.Main(leakChecked{m}, commands)
}

type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs testdata/script, a file a command and some for what all
// commands have. Its README says which commands a script has besides
// testscript's own.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Values["stage"] = &stage{procs: make(map[string]*actor)}
			env.Setenv("TERM", "xterm")
			run := filepath.Join(env.WorkDir, "run")
			env.Setenv("TORC_RUN", run)
			env.Defer(func() { killNodes(run) })
			path, err := exec.LookPath("torc")
			env.Setenv("torc", path)
			return err
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "memcached", "zookeeper":
				installed := len(cluster.Missing(cond)) == 0
				if !installed && os.Getenv("CI") == "true" {
					return false, fmt.Errorf("%s is not installed: apt-get install %s", cond, cond)
				}
				return installed, nil
			}
			return false, fmt.Errorf("no condition %q", cond)
		},
		Cmds: scriptCommands,
	})
}

// killNodes kills what nodes of rings a script has left in the background.
func killNodes(run string) {
	rings, _ := os.ReadDir(run) // there may be none
	for _, ring := range rings {
		rt, err := chord.OpenRuntime(run, ring.Name(), nil)
		if err != nil {
			continue
		}
		nodes, _ := rt.Living(context.Background())
		for _, w := range nodes {
			if p, err := os.FindProcess(w.Pid); err == nil {
				_ = p.Kill() // it may have ended just now
			}
		}
	}
}

// patience bounds each wait of a script, on a machine that has much else to do.
const patience = 20 * time.Second

// stage is where a script's processes are: a cluster, once one is wanted.
type stage struct {
	cluster *cluster.Cluster
	procs   map[string]*actor
	servers []string // addresses
}

// actor is a process of a script, and until when its output has been awaited.
type actor struct {
	*cluster.Proc
	seen time.Time
}

func stageOf(ts *testscript.TestScript) *stage {
	s := ts.Value("stage").(*stage)
	if s.cluster == nil {
		c, err := cluster.New(cluster.Options{})
		ts.Check(err)
		ts.Defer(func() { _ = c.Close() })
		s.cluster = c
	}
	return s
}

func (s *stage) proc(ts *testscript.TestScript, name string) *actor {
	p := s.procs[name]
	if p == nil {
		ts.Fatalf("nothing was started by the name %s", name)
	}
	return p
}

// start starts a program, in the script's folder and with its table.
func (s *stage) start(ts *testscript.TestScript, name string, spec cluster.Spec) *actor {
	path, err := exec.LookPath(spec.Path)
	ts.Check(err)
	spec.Path, spec.Dir = path, ts.MkAbs(".")
	for _, name := range []string{"TORC_TABLE", "TORC_RUN"} {
		if value := ts.Getenv(name); value != "" {
			spec.Env = append(spec.Env, name+"="+value)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := s.cluster.Host(name).Start(ctx, spec)
	ts.Check(err)
	s.procs[name] = &actor{Proc: p}
	return s.procs[name]
}

func (s *stage) serve(ts *testscript.TestScript, name string) string {
	addr := s.cluster.Host(name).Addr(cluster.MemcachedPort)
	s.start(ts, name, cluster.Spec{Path: "torc", Args: []string{"serve", "--listen", addr}}).await(ts, "listens on "+addr)
	return addr
}

// await waits for a line that the expression matches, behind the last one that
// was awaited.
func (a *actor) await(ts *testscript.TestScript, expression string) {
	re, err := regexp.Compile(expression)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	line, err := a.WaitLine(ctx, a.seen, re.MatchString)
	ts.Check(err)
	a.seen = line.At.Add(1)
}
