//go:build unix

package shell

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
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
const patience = 20 * time.Second

// console is a shell at a terminal, and the person before it.
type console struct {
	t    *testing.T
	cmd  *exec.Cmd
	pty  *os.File
	tty  *os.File
	read chan struct{} // closed when all output was read

	mu struct {
		sync.Mutex
		output  string // not yet seen
		arrived chan struct{}
	}
}

// open starts a shell whose home is at home, in a terminal of 80 columns.
func open(t *testing.T, home string, env ...string) *console {
	t.Helper()
	c := &console{t: t, read: make(chan struct{})}
	c.mu.arrived = make(chan struct{}, 1)
	var err error
	if c.pty, c.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	c.resize(80)
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append([]string{"SHELL_TEST_CHILD=1", "TERM=xterm", "HOME=" + home}, env...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = c.tty, c.tty, c.tty
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.read)
		b := make([]byte, 4096)
		for {
			n, err := c.pty.Read(b)
			if err != nil {
				return
			}
			c.mu.Lock()
			c.mu.output += string(b[:n])
			c.mu.Unlock()
			select {
			case c.mu.arrived <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it has ended, if the test went well
		_ = c.cmd.Wait()
		_ = c.tty.Close()
		_ = c.pty.Close()
		<-c.read
	})
	c.sees("> ")
	return c
}

func (c *console) resize(columns uint16) {
	c.t.Helper()
	if err := pty.Setsize(c.pty, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		c.t.Fatal(err)
	}
}

// types types keys.
func (c *console) types(keys string) {
	c.t.Helper()
	if _, err := c.pty.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// givesUp types a line and then Ctrl-C. Before the line's echo, which says that
// it is being edited, Ctrl-C might come just before it becomes a key.
func (c *console) givesUp(line string) {
	c.t.Helper()
	c.types(line)
	c.sees(line[len(line)-1:])
	c.types(ctrlC)
	c.sees("^C\r\n")
}

const (
	up, left          = "\x1b[A", "\x1b[D"
	ctrlC, ctrlD, del = "\x03", "\x04", "\x7f"
)

var control = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// sees waits for text behind what was seen before, and returns all up to its
// end. Control sequences are not seen.
func (c *console) sees(text string) string {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		plain := control.ReplaceAllString(c.mu.output, "")
		if i := strings.Index(plain, text); i >= 0 {
			c.mu.output = plain[i+len(text):]
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

// ends waits until the shell has ended by itself.
func (c *console) ends() {
	c.t.Helper()
	kill := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("the shell ended with %v", err)
	}
}

func TestTerminalSession(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	c := open(t, home)
	c.types("put greeting \"hello, world\"\r")
	c.sees("stored at a:1\r\n> ")
	c.types("get greeting\r")
	c.sees("\r\nhello, world\r\n> ")

	// The line is edited: "gex k" to "get k".
	c.types("gex nosuch" + strings.Repeat(left, 7) + del + "t\r")
	c.sees("(no such key)\r\n> ")
	c.types(up + up + "\r") // the one before the last
	c.sees("hello, world\r\n> ")

	// Ctrl-C gives up a line, Ctrl-D in an empty one ends the shell.
	c.givesUp("put greeting lost")
	c.sees("> ")
	c.types("get greeting\r")
	c.sees("hello, world\r\n> ")
	c.types(ctrlD)
	c.sees("end: {0 1} <nil>")
	c.ends()

	// The next shell remembers, and nobody else may read it.
	file := filepath.Join(home, ".local", "state", "torc", "shell_history")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	text, err := os.ReadFile(file)
	if want := "put greeting \"hello, world\"\nget greeting\nget nosuch\nget greeting\nget greeting\n"; err != nil || string(text) != want {
		t.Errorf("the history has\n%s, %v", text, err)
	}
	c = open(t, home)
	c.types(up + up + up + up + "\r")
	c.sees("stored at a:1")
	c.types("quit\r")
	c.sees("end: {0 0} <nil>")
	c.ends()
}

func TestTerminalIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*console){
		"quit":    func(c *console) { c.types("quit\r") },
		"ctrl-D":  func(c *console) { c.types(ctrlD) },
		"SIGTERM": func(c *console) { _ = c.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			fresh, tty, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer fresh.Close()
			defer tty.Close()
			want, err := term.GetState(int(tty.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			c := open(t, t.TempDir())
			raw, err := term.GetState(int(c.tty.Fd()))
			if err != nil || reflect.DeepEqual(raw, want) {
				t.Fatalf("at the prompt the terminal is as ever: %v", err)
			}
			end(c)
			c.ends()
			if got, err := term.GetState(int(c.tty.Fd())); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("the terminal was %+v and is %+v, %v", want, got, err)
			}
		})
	}
}

func TestTerminalCompletes(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	c.types("rem\t")
	c.sees("> remove ")
	c.types("\t") // the one member there is
	c.sees("> remove a:1 ")
	c.types(ctrlC)
	c.sees("> ")
	c.types("put --t\t1h k v\r")
	c.sees("> put --ttl 1h k v")
	c.sees("stored")
	c.types("re\t\t")
	c.sees("\nremove")
	c.sees("rebalance")
	c.types(ctrlC)
	c.sees("^C")
	c.types("\x15" + "help re\tm\t\r")
	c.sees("take a node out")
	c.types("quit\r")
	c.ends()
}

func TestTerminalInterrupt(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	c.types("fill 1000000\r")
	c.sees("of 1,000,000 keys") // the bar
	c.types(ctrlC)
	c.sees("interrupted: ")
	c.sees("of 1,000,000 pairs were put")
	c.sees("> ")
	c.types("put k v\r")
	c.sees("stored")
	c.types("get k\r")
	c.sees("\r\nv\r\n> ")
	c.types(ctrlD)
	c.sees("end: {1 0} <nil>")
	c.ends()
}

func TestTerminalAsks(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	c.types("add full 1\r")
	c.sees("full:1 is not empty. Empty it first? [y/N] ")
	c.types("what\r")
	c.sees("Write y or n.")
	c.types("n\r")
	c.sees("not added")
	c.types("add full:1\r")
	c.sees("[y/N] ")
	c.givesUp("what")
	c.sees("interrupted")
	c.types("add full:1\r")
	c.sees("[y/N] ")
	c.types("y\r")
	c.sees("full:1 added: 2,500 copied")
	c.types("remove full:1\r")
	c.sees("full:1 removed: ")
	c.types("remove a:1\r")
	c.sees("a:1 is the last node")
	c.sees("[y/N] ")
	c.types(ctrlD)
	c.sees("not removed")
	c.types("quit\r")
	c.ends()
}

// A bar fits in the terminal, however wide that has become.
func TestTerminalResize(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	c.types("rebalance --rate 200\r") // takes 10 s
	c.sees("copied, ")
	c.resize(40)
	// What was on its way was for 80 columns; after two more draws all is for 40.
	c.sees("\r")
	c.sees("\r")
	c.sees("\r")
	for range 5 {
		if line := strings.TrimSuffix(c.sees("\r"), "\r"); len([]rune(line)) > 39 || !strings.Contains(line, "of 10,000 keys") {
			t.Errorf("in 40 columns: %q", line)
		}
	}
	c.types(ctrlC)
	c.sees("interrupted")
	c.sees("> ")

	// A line longer than the terminal is wide is typed, and comes whole.
	c.resize(30)
	long := strings.Repeat("0123456789", 9)
	c.types("put k " + long)
	c.sees("789")
	c.resize(50)
	c.types("x\r")
	c.sees("stored")
	c.types("get k\r")
	c.sees("\n" + long + "x\r\n")
	c.types("quit\r")
	c.ends()
}

// Where there is no home there is no history, and all else works. On a dumb
// terminal there is neither colour nor bar.
func TestTerminalWithoutHome(t *testing.T) {
	t.Parallel()
	c := open(t, "", "TERM=dumb")
	c.types("put k v\r")
	c.sees("stored at a:1")
	c.types("fill 1000000\r")
	if got := c.sees("of 1,000,000 keys"); strings.Contains(got, "█") {
		t.Errorf("%q", got)
	}
	c.types(ctrlC)
	c.sees("interrupted: ")
	c.types("quit\r")
	c.sees("end: ")
	c.ends()
}

func TestHistoryThatCannotBeKept(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".local"), nil, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	c := open(t, home)
	c.types("get k\rget k\rget k\r")
	c.sees("the history is not kept: ")
	c.types("quit\r")
	if text := c.sees("end: "); strings.Contains(text, "history") {
		t.Errorf("it was said again: %q", text)
	}
	c.ends()
}
