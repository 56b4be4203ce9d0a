package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	h := c.Host("h")
	for _, tc := range []struct {
		name string
		end  func(*Proc) error
		want int
	}{
		{"exit 0", nil, 0},
		{"exit 3", nil, 3},
		{"exec sleep 600", (*Proc).Term, 128 + int(syscall.SIGTERM)},
		{"exec sleep 600", (*Proc).Kill, 128 + int(syscall.SIGKILL)},
		{"exec sleep 600", func(p *Proc) error { return p.Signal(syscall.SIGINT) }, 128 + int(syscall.SIGINT)},
	} {
		p := must[*Proc](t)(h.Start(ctx, shell(tc.name)))
		if tc.end != nil {
			if !p.Running() {
				t.Errorf("%s: doesn't run", tc.name)
			}
			if err := tc.end(p); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
		if code, err := p.Wait(ctx); code != tc.want || err != nil {
			t.Errorf("%s: Wait = %d, %v; want %d", tc.name, code, err, tc.want)
		}
		if p.Running() {
			t.Errorf("%s: runs after its end", tc.name)
		}
		for what, err := range map[string]error{"Kill": p.Kill(), "Term": p.Term(), "Freeze": p.Freeze(), "Thaw": p.Thaw()} {
			if !errors.Is(err, ErrNotRunning) {
				t.Errorf("%s: %s after the end: %v, want ErrNotRunning", tc.name, what, err)
			}
		}
	}
}

func TestWaitGivesUp(t *testing.T) {
	t.Parallel()
	c := ForTest(t, Options{})
	p := must[*Proc](t)(c.Host("h").Start(testContext(t), shell("exec sleep 600")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "sh@h: still runs") {
		t.Errorf("Wait: %v", err)
	}
}

func TestOutputIsKept(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	p := must[*Proc](t)(c.Host("h").Start(ctx, shell(`echo out; echo err >&2; printf 'crlf\r\nunfinished'`)))
	if _, err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	var out, errs []string
	for _, l := range p.Output() {
		if l.Stderr {
			errs = append(errs, l.Text)
		} else {
			out = append(out, l.Text)
		}
	}
	if got := strings.Join(out, "|"); got != "out|crlf|unfinished" {
		t.Errorf("standard output: %q", got)
	}
	if got := strings.Join(errs, "|"); got != "err" {
		t.Errorf("standard error: %q", got)
	}
	log := must[[]byte](t)(os.ReadFile(filepath.Join(p.Dir(), "output.log")))
	if n := strings.Count(string(log), "\n"); n != 4 {
		t.Errorf("the log has %d lines, want 4:\n%s", n, log)
	}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	p := must[*Proc](t)(c.Host("h").Start(ctx, shell(fmt.Sprintf("seq %d; head -c %d /dev/zero | tr '\\0' x", keptLines+500, 2*maxLine+10))))
	if _, err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	lines := p.Output()
	if len(lines) != keptLines {
		t.Fatalf("%d lines kept, want %d", len(lines), keptLines)
	}
	if got, want := lines[0].Text, strconv.Itoa(500+3+1); got != want {
		t.Errorf("oldest line kept: %q, want %q", got, want)
	}
	for i, want := range []int{maxLine, maxLine, 10} {
		if got := len(lines[keptLines-3+i].Text); got != want {
			t.Errorf("piece %d of a long line has %d bytes, want %d", i, got, want)
		}
	}
}

func TestWaitLine(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	p := must[*Proc](t)(c.Host("h").Start(ctx, shell(`echo one; trap 'echo term' TERM; echo two; while :; do sleep 0.01; done`)))

	one := must[Line](t)(p.WaitLine(ctx, time.Time{}, Containing("one")))
	two := must[Line](t)(p.WaitLine(ctx, one.At, Containing("two")))
	if two.At.Before(one.At) {
		t.Error("two came before one")
	}
	asked := time.Now()
	if err := p.Term(); err != nil {
		t.Fatal(err)
	}
	term := must[Line](t)(p.WaitLine(ctx, asked, func(text string) bool { return text == "term" }))

	// A line from before the time given isn't taken.
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := p.WaitLine(short, term.At.Add(1), Containing("term"))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "two") {
		t.Errorf("WaitLine for what never comes: %v; want the deadline and the last lines", err)
	}

	waiting := make(chan error)
	go func() {
		_, err := p.WaitLine(ctx, time.Time{}, Containing("never"))
		waiting <- err
	}()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err == nil || !strings.Contains(err.Error(), "ended without the line") {
		t.Errorf("WaitLine on a process that ends: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("TORC_TABLE", "zk://somebody/else")
	ctx, c := testContext(t), ForTest(t, Options{})
	spec := self(t, "environment")
	spec.Env = append(spec.Env, "TORC_MINE=1")
	p := must[*Proc](t)(c.Host("h").Start(ctx, spec))
	if code, err := p.Wait(ctx); code != 7 || err != nil {
		t.Fatalf("Wait = %d, %v", code, err)
	}
	var lines []string
	for _, l := range p.Output() {
		lines = append(lines, l.Text)
	}
	if got, want := strings.Join(lines, "|"), "TORC_MINE=1|in "+p.Dir(); got != want {
		t.Errorf("it sees %q, want %q", got, want)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	h := c.Host("h")
	if _, err := h.Start(ctx, Spec{Path: "no-such-program"}); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("a program that isn't there: %v", err)
	}

	never := func(context.Context) error { return errors.New("not yet") }
	s := shell("echo oops; exit 4")
	s.Ready = never
	if _, err := h.Start(ctx, s); err == nil || !strings.Contains(err.Error(), "ended with code 4") || !strings.Contains(err.Error(), "oops") {
		t.Errorf("a program that ends: %v; want its code and what it printed", err)
	}

	s = shell("echo $$; exec sleep 600")
	s.Ready = never
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := h.Start(short, s); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("a program that doesn't get ready: %v; want the deadline and what it lacks", err)
	}
	for _, p := range c.Procs() {
		if p.Running() {
			t.Errorf("%s still runs", p.Name)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	for _, want := range []string{"sh@h", "sh@h#2", "sh@h#3"} {
		if p := must[*Proc](t)(c.Host("h").Start(ctx, shell("exit 0"))); p.Name != want {
			t.Errorf("named %q, want %q", p.Name, want)
		}
	}
	if h := c.Host("h"); h != c.Host("h") || h == c.Host("g") {
		t.Error("a host is not known by its name")
	}
	for _, name := range []string{"", "a/b", "sixteen-letters-", "with space", ".."} {
		if _, err := c.Host(name).Start(ctx, shell("exit 0")); err == nil {
			t.Errorf("a host may be called %q", name)
		}
	}
}

// A process is killed with what it started in its group, and Kill and Wait
// return only then; so nothing of it holds the port.
func TestKillTakesGrandchildren(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	for _, how := range []func(*Proc) error{(*Proc).Kill, (*Proc).Term} {
		p := must[*Proc](t)(c.Host("h").Start(ctx, shell("sleep 600 & echo $!; wait")))
		line := must[Line](t)(p.WaitLine(ctx, time.Time{}, func(string) bool { return true }))
		child := must[int](t)(strconv.Atoi(line.Text))
		if err := how(p); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		eventuallyDead(t, child)
	}
}

// A grandchild that left the group and holds the output open doesn't hold up
// the end of the process.
func TestOutputHeldOpen(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	p := must[*Proc](t)(c.Host("h").Start(ctx, shell(`setsid sh -c 'echo $$; exec sleep 60' & wait`)))
	line := must[Line](t)(p.WaitLine(ctx, time.Time{}, func(string) bool { return true }))
	stray := must[int](t)(strconv.Atoi(line.Text))
	defer func() { _ = syscall.Kill(stray, syscall.SIGKILL) }()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(ctx); code != 128+int(syscall.SIGKILL) || err != nil {
		t.Errorf("Wait = %d, %v", code, err)
	}
	if !alive(stray) {
		t.Error("the grandchild is gone, so nothing was held open")
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	p := must[*Proc](t)(c.Host("h").Start(ctx, shell("echo life; exec sleep 600")))
	for range 3 {
		before := p.Pid()
		if err := p.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		if alive(before) || !p.Running() || p.Pid() == before {
			t.Error("Restart left the old process, or none")
		}
	}
	must[Line](t)(p.WaitLine(ctx, time.Time{}, Containing("life")))
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(ctx); err != nil || !p.Running() {
		t.Errorf("Restart of a killed process: %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	ctx, c := testContext(t), ForTest(t, Options{})
	p := must[*Proc](t)(c.Host("h").Start(ctx, shell("while :; do echo x; sleep 0.001; done")))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				switch i % 4 {
				case 0:
					if err := p.Restart(ctx); err != nil && !strings.Contains(err.Error(), "runs already") {
						t.Error(err)
					}
				case 1:
					if err := p.Kill(); err != nil && !errors.Is(err, ErrNotRunning) {
						t.Error(err)
					}
				case 2:
					p.Output()
					p.Running()
				case 3:
					_, _ = p.WaitLine(ctx, time.Now(), Containing("x")) // its end is as well
				}
			}
		})
	}
	wg.Wait()
}

func TestClose(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	c := must[*Cluster](t)(New(Options{}))
	h := c.Host("h")
	var pids []int
	for range 5 {
		p := must[*Proc](t)(h.Start(ctx, shell("trap '' TERM; sleep 600 & wait")))
		pids = append(pids, p.Pid())
	}
	frozen := c.Procs()[0]
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d lives", pid)
		}
	}
	if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	for what, err := range map[string]error{
		"Start":   second(h.Start(ctx, shell("exit 0"))),
		"new":     second(c.Host("new").Start(ctx, shell("exit 0"))),
		"Restart": frozen.Restart(ctx),
		"Do":      h.Do(func() error { return nil }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", what, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// Close while processes are being started: each is either never started or
// killed.
func TestCloseWhileStarting(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	for range 10 {
		c := must[*Cluster](t)(New(Options{}))
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for {
					_, err := c.Host(fmt.Sprint("h", i)).Start(ctx, shell("exec sleep 600"))
					if err != nil {
						return
					}
				}
			})
		}
		Eventually(t, DefaultWait, "a process", func() error {
			if len(c.Procs()) == 0 {
				return errors.New("none")
			}
			return nil
		})
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		for _, p := range c.Procs() {
			if p.Running() {
				t.Errorf("%s runs", p.Name)
			}
		}
	}
}
