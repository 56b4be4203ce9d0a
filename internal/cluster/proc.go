package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Spec says how a process is started, the first time and again.
type Spec struct {
	// Name is what the process is called in logs and errors, with the host's
	// name after it. Empty, it is the last part of Path.
	Name string
	// Path is the program: a file, or a name to be found in PATH.
	Path string
	// Args are its arguments, without the program's own name.
	Args []string
	// Env is NAME=value each, on top of this process's environment without
	// its TORC_ variables, which are meant for a person's own commands.
	Env []string
	// Dir is the folder it runs in. Empty, it is the process's own.
	Dir string
	// Addr is the address that it serves, if it serves one: IP:port on its
	// host, which has to be free when it starts.
	Addr string
	// Ready says what the process still lacks before it can be used. It is
	// called again and again until it returns nil. Without one, a process is
	// ready when it runs.
	Ready func(context.Context) error

	prepare func(dir string) error // puts into the process's folder what it needs
}

// Proc is a process of a cluster. It may be started many times. Safe for
// concurrent use.
type Proc struct {
	// Name is unique in the cluster: "memcached@s1".
	Name string
	// Addr is the address that it serves; empty if it serves none.
	Addr string

	spec Spec
	host *Host
	dir  string
	out  output

	starting sync.Mutex // held while it is started: one start at a time
	mu       struct {
		sync.Mutex
		life *life // the present life or the last one; nil before the first
	}
}

// life is one run of a process, from its start to its end.
type life struct {
	cmd   *exec.Cmd
	pid   int // also its process group
	start time.Time
	done  chan struct{} // closed when the process is gone and its output read
	code  int           // of its end; set before done is closed

	mu struct {
		sync.Mutex
		gone bool // its pid may belong to somebody else now
	}
}

// Host is the host that it runs on.
func (p *Proc) Host() *Host { return p.host }

// Dir is the process's own folder.
func (p *Proc) Dir() string { return p.dir }

// Pid is the present or last life's process id.
func (p *Proc) Pid() int {
	if l := p.life(); l != nil {
		return l.pid
	}
	return 0
}

// Running says whether the process has been started and hasn't ended. A frozen
// one is running.
func (p *Proc) Running() bool {
	l := p.life()
	return l != nil && !l.ended()
}

func (p *Proc) life() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.life
}

func (l *life) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Kill ends the process and what it started in its process group by SIGKILL,
// and returns when they are gone, so that the port is free again.
func (p *Proc) Kill() error {
	l, err := p.alive()
	if err != nil {
		return err
	}
	if err := l.killGroup(); err != nil {
		return p.errorf(err)
	}
	<-l.done
	return nil
}

// Freeze stops the process and its process group by SIGSTOP: their connections
// stay, and nobody answers on them. It returns when the process stands still.
func (p *Proc) Freeze() error {
	l, err := p.alive()
	if err != nil {
		return err
	}
	if err := l.freezeGroup(); err != nil {
		return p.errorf(err)
	}
	return nil
}

// Thaw lets a frozen process go on.
func (p *Proc) Thaw() error {
	l, err := p.alive()
	if err != nil {
		return err
	}
	if err := l.thawGroup(); err != nil {
		return p.errorf(err)
	}
	return nil
}

// Term asks the process to end, by SIGTERM to it alone. It doesn't wait: Wait
// does.
func (p *Proc) Term() error { return p.Signal(syscall.SIGTERM) }

// Signal sends sig to the process alone, as `kill` does.
func (p *Proc) Signal(sig os.Signal) error {
	l, err := p.alive()
	if err != nil {
		return err
	}
	if err := l.cmd.Process.Signal(sig); errors.Is(err, os.ErrProcessDone) {
		return p.errorf(ErrNotRunning)
	} else if err != nil {
		return p.errorf(err)
	}
	return nil
}

// Wait waits for the end of the process's present life and returns its exit
// code: 128 and the signal's number if a signal ended it, as in a shell. All it
// printed has been read then.
func (p *Proc) Wait(ctx context.Context) (code int, err error) {
	l := p.life()
	if l == nil {
		return 0, p.errorf(ErrNotRunning)
	}
	select {
	case <-l.done:
		return l.code, nil
	case <-ctx.Done():
		return 0, p.errorf(fmt.Errorf("still runs: %w", ctx.Err()))
	}
}

// Restart kills the process if it runs, starts it again in the same way, and
// waits until it is ready, as Host.Start does. What it printed before is kept.
func (p *Proc) Restart(ctx context.Context) error {
	if err := p.Kill(); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	return p.start(ctx)
}

func (p *Proc) alive() (*life, error) {
	l := p.life()
	if l == nil || l.ended() {
		return nil, p.errorf(ErrNotRunning)
	}
	return l, nil
}

func (p *Proc) errorf(err error) error { return fmt.Errorf("cluster: %s: %w", p.Name, err) }

func (p *Proc) start(ctx context.Context) error {
	p.starting.Lock()
	defer p.starting.Unlock()
	if p.host.cluster.launcher.isClosed() {
		return ErrClosed
	}
	if p.Running() {
		return p.errorf(errors.New("runs already"))
	}
	if err := p.addrFree(ctx); err != nil {
		return p.errorf(err)
	}
	cmd := exec.Command(p.spec.Path, p.spec.Args...)
	cmd.Env = p.spec.environ()
	cmd.Dir = p.spec.Dir
	if cmd.Dir == "" {
		cmd.Dir = p.dir
	}
	// A grandchild outside the process group may hold the output open.
	cmd.WaitDelay = time.Second
	stdout, stderr := p.out.writer(false), p.out.writer(true)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := p.out.open(); err != nil {
		return p.errorf(err)
	}
	l := &life{cmd: cmd, start: time.Now(), done: make(chan struct{})}
	if err := p.host.cluster.launcher.launch(l, p.host); err != nil {
		p.out.close()
		return p.errorf(err)
	}
	p.mu.Lock()
	p.mu.life = l
	p.mu.Unlock()
	go func() {
		l.reap()
		stdout.flush()
		stderr.flush()
		p.out.close()
		close(l.done)
	}()
	return p.awaitReady(ctx, l)
}

// addrFree keeps a process from being taken for ready because another one
// answers at its address.
func (p *Proc) addrFree(ctx context.Context) error {
	if p.Addr == "" {
		return nil
	}
	return p.host.Do(func() error {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.Addr)
		if err != nil {
			return err
		}
		return ln.Close()
	})
}

func (p *Proc) awaitReady(ctx context.Context, l *life) error {
	if p.spec.Ready == nil {
		return nil
	}
	var early error
	err := WaitFor(ctx, p.Name+" to be ready", func() error {
		if l.ended() {
			early = fmt.Errorf("ended with code %d before it was ready", l.code)
			return nil
		}
		return p.spec.Ready(ctx)
	})
	if err = errors.Join(early, err); err == nil {
		return nil
	}
	_ = l.killGroup() // ErrNotRunning is as well
	<-l.done
	if p.host.cluster.launcher.isClosed() {
		return ErrClosed
	}
	return p.errorf(fmt.Errorf("%w; it printed:\n%s", err, p.Tail(20)))
}

func (s *Spec) environ() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TORC_") {
			env = append(env, e)
		}
	}
	return append(env, s.Env...)
}
