//go:build unix

package console

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// patience bounds each wait, on a machine that has much else to do.
const patience = 30 * time.Second

// Keys that have no letter.
const (
	Up, Left          = "\x1b[A", "\x1b[D"
	CtrlC, CtrlD, Del = "\x03", "\x04", "\x7f"
)

// Console is a program at a terminal, and the person before it. It is for one
// goroutine.
type Console struct {
	t     testing.TB
	cmd   *exec.Cmd
	pty   *os.File
	tty   *os.File
	first any
	read  chan struct{} // closed when all output was read

	mu struct {
		sync.Mutex
		all     string // of the output
		unseen  string
		arrived chan struct{}
	}
}

// Start starts cmd at a terminal of its own, of 80 columns. The test kills it at
// its end, if it has not ended by then.
func Start(t testing.TB, cmd *exec.Cmd) *Console {
	t.Helper()
	c := &Console{t: t, cmd: cmd, read: make(chan struct{})}
	c.mu.arrived = make(chan struct{}, 1)
	var err error
	if c.pty, c.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	c.Resize(80)
	c.first = c.Mode()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.tty, c.tty, c.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go c.listen()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		_ = c.tty.Close()
		_ = c.pty.Close()
		<-c.read
	})
	return c
}

func (c *Console) listen() {
	defer close(c.read)
	b := make([]byte, 4096)
	for {
		n, err := c.pty.Read(b)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.mu.all += string(b[:n])
		c.mu.unseen += string(b[:n])
		c.mu.Unlock()
		select {
		case c.mu.arrived <- struct{}{}:
		default:
		}
	}
}

// Resize makes the terminal as wide as that.
func (c *Console) Resize(columns uint16) {
	c.t.Helper()
	if err := pty.Setsize(c.pty, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		c.t.Fatal(err)
	}
}

// First is the Mode of the terminal before the program was started.
func (c *Console) First() any { return c.first }

// Mode is how the terminal is set up, to be compared by reflect.DeepEqual.
func (c *Console) Mode() any {
	c.t.Helper()
	state, err := term.GetState(int(c.tty.Fd()))
	if err != nil {
		c.t.Fatal(err)
	}
	return state
}

// Signal sends the program a signal.
func (c *Console) Signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// Types types keys.
func (c *Console) Types(keys string) {
	c.t.Helper()
	if _, err := c.pty.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// GivesUp types a line and then Ctrl-C. Before the line's echo, which says that
// it is being edited, Ctrl-C might come just before it becomes a key.
func (c *Console) GivesUp(line string) {
	c.t.Helper()
	c.Types(line)
	c.Sees(line[len(line)-1:])
	c.Types(CtrlC)
	c.Sees("^C\r\n")
}

var control = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// Sees waits for text behind what was seen before, and returns all up to its
// end. Control sequences are not seen.
func (c *Console) Sees(text string) string {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		plain := control.ReplaceAllString(c.mu.unseen, "")
		if i := strings.Index(plain, text); i >= 0 {
			c.mu.unseen = plain[i+len(text):]
			c.mu.Unlock()
			return plain[:i+len(text)]
		}
		c.mu.Unlock()
		select {
		case <-c.mu.arrived:
		case <-deadline.C:
			c.t.Fatalf("there is no %q in\n%q", text, plain)
		}
	}
}

// Ends waits until the program has ended, which it must with exit code 0.
func (c *Console) Ends() {
	c.t.Helper()
	kill := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("it ended with %v", err)
	}
}

// Transcript is what a person would see now who scrolls back: of a line that was
// drawn several times, the last time.
func (c *Console) Transcript() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	begun := strings.NewReplacer("\r\n", "\n", "\x1b[1G", "\r")
	for line := range strings.SplitSeq(begun.Replace(c.mu.all), "\n") {
		if i := strings.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:]
		}
		b.WriteString(control.ReplaceAllString(line, "") + "\n")
	}
	return b.String()
}
