package cluster

import "runtime"

// launcher starts processes, all from one thread. It has to be one, and one
// that lives as long as they may: Linux sends a child its parent-death signal
// when the thread ends that started it, not only when the process does, and the
// Go runtime ends threads now and then.
type launcher struct {
	jobs chan func()
	quit chan struct{} // closed by close

	lives []*life // owned by the launcher's goroutine
}

func newLauncher() *launcher {
	la := &launcher{jobs: make(chan func()), quit: make(chan struct{})}
	go la.run()
	return la
}

func (la *launcher) run() {
	runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
	for job := range la.jobs {
		job()
		if la.isClosed() {
			break
		}
	}
	for _, l := range la.lives {
		<-l.done
	}
}

// launch starts l's command in host's network.
func (la *launcher) launch(l *life, host *Host) error {
	result := make(chan error, 1)
	job := func() {
		start := l.cmd.Start
		if host.nic != nil {
			start = func() error { return host.nic.do(l.cmd.Start) }
		}
		l.cmd.SysProcAttr = sysProcAttr()
		err := start()
		if err == nil {
			l.pid = l.cmd.Process.Pid
			la.remember(l)
		}
		result <- err
	}
	select {
	case la.jobs <- job:
		return <-result
	case <-la.quit:
		return ErrClosed
	}
}

func (la *launcher) remember(l *life) {
	alive := la.lives[:0]
	for _, old := range la.lives {
		if !old.ended() {
			alive = append(alive, old)
		}
	}
	la.lives = append(alive, l)
}

// close lets no process start any more and returns those that may still run.
// The thread stays until they are gone. To be called once.
func (la *launcher) close() []*life {
	var lives []*life
	stopped := make(chan struct{})
	la.jobs <- func() {
		lives = append(lives, la.lives...)
		close(la.quit)
		close(stopped)
	}
	<-stopped
	return lives
}

func (la *launcher) isClosed() bool {
	select {
	case <-la.quit:
		return true
	default:
		return false
	}
}
