//go:build unix

package shell

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/torc-dht/torc/internal/console"
)

// open starts a shell whose home is at home.
func open(t *testing.T, home string, env ...string) *console.Console {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append([]string{"SHELL_TEST_CHILD=1", "TERM=xterm", "HOME=" + home}, env...)
	c := console.Start(t, cmd)
	c.Sees("> ")
	return c
}

func TestTerminalSession(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	c := open(t, home)
	c.Types("put greeting \"hello, world\"\r")
	c.Sees("stored at a:1\r\n> ")
	c.Types("get greeting\r")
	c.Sees("\r\nhello, world\r\n> ")

	// The line is edited: "gex k" to "get k".
	c.Types("gex nosuch" + strings.Repeat(console.Left, 7) + console.Del + "t\r")
	c.Sees("(no such key)\r\n> ")
	c.Types(console.Up + console.Up + "\r") // the one before the last
	c.Sees("hello, world\r\n> ")

	// Ctrl-C gives up a line, Ctrl-D in an empty one ends the shell.
	c.GivesUp("put greeting lost")
	c.Sees("> ")
	c.Types("get greeting\r")
	c.Sees("hello, world\r\n> ")
	c.Types(console.CtrlD)
	c.Sees("end: {0 1} <nil>")
	c.Ends()

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
	c.Types(console.Up + console.Up + console.Up + console.Up + "\r")
	c.Sees("stored at a:1")
	c.Types("quit\r")
	c.Sees("end: {0 0} <nil>")
	c.Ends()
}

func TestTerminalIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*console.Console){
		"quit":    func(c *console.Console) { c.Types("quit\r") },
		"ctrl-D":  func(c *console.Console) { c.Types(console.CtrlD) },
		"SIGTERM": func(c *console.Console) { c.Signal(syscall.SIGTERM) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := open(t, t.TempDir())
			if reflect.DeepEqual(c.Mode(), c.First()) {
				t.Fatal("at the prompt the terminal is as ever")
			}
			end(c)
			c.Ends()
			if !reflect.DeepEqual(c.Mode(), c.First()) {
				t.Errorf("the terminal was %+v and is %+v", c.First(), c.Mode())
			}
		})
	}
}

func TestTerminalCompletes(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	c.Types("rem\t")
	c.Sees("> remove ")
	c.Types("\t") // the one member there is
	c.Sees("> remove a:1 ")
	c.Types(console.CtrlC)
	c.Sees("> ")
	c.Types("put --t\t1h k v\r")
	c.Sees("> put --ttl 1h k v")
	c.Sees("stored")
	c.Types("re\t\t")
	c.Sees("\nremove")
	c.Sees("rebalance")
	c.Types(console.CtrlC)
	c.Sees("^C")
	c.Types("\x15" + "help re\tm\t\r")
	c.Sees("take a node out")
	c.Types("quit\r")
	c.Ends()
}

func TestTerminalInterrupt(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	c.Types("fill 1000000\r")
	c.Sees("of 1,000,000 keys") // the bar
	c.Types(console.CtrlC)
	c.Sees("interrupted: ")
	c.Sees("of 1,000,000 pairs were put")
	c.Sees("> ")
	c.Types("put k v\r")
	c.Sees("stored")
	c.Types("get k\r")
	c.Sees("\r\nv\r\n> ")
	c.Types(console.CtrlD)
	c.Sees("end: {1 0} <nil>")
	c.Ends()
}

func TestTerminalAsks(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	c.Resize(40) // less than a question takes
	c.Types("add full 1\r")
	c.Sees("full:1 is not empty. Empty it first?\r\n[y/N] ")
	c.Types("what\r")
	c.Sees("Write y or n.")
	c.Types("n\r")
	c.Sees("not added")
	c.Types("add full:1\r")
	c.Sees("[y/N] ")
	c.GivesUp("what")
	c.Sees("interrupted")
	c.Types("add full:1\r")
	c.Sees("[y/N] ")
	c.Types("y\r")
	c.Sees("full:1 added: 2,500 copied")
	c.Types("remove full:1\r")
	c.Sees("full:1 removed: ")
	c.Types("remove a:1\r")
	c.Sees("a:1 is the last node")
	c.Sees("[y/N] ")
	c.Types(console.CtrlD)
	c.Sees("not removed")
	c.Types("quit\r")
	c.Ends()
}

// A bar fits in the terminal, however wide that has become.
func TestTerminalResize(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	c.Types("rebalance --rate 200\r") // takes 10 s
	c.Sees("copied, ")
	c.Resize(40)
	// What was on its way was for 80 columns; after two more draws all is for 40.
	c.Sees("\r")
	c.Sees("\r")
	c.Sees("\r")
	for range 5 {
		if line := strings.TrimSuffix(c.Sees("\r"), "\r"); len([]rune(line)) > 39 || !strings.Contains(line, "of 10,000 keys") {
			t.Errorf("in 40 columns: %q", line)
		}
	}
	c.Types(console.CtrlC)
	c.Sees("interrupted")
	c.Sees("> ")

	// A line longer than the terminal is wide is typed, and comes whole.
	c.Resize(30)
	long := strings.Repeat("0123456789", 9)
	c.Types("put k " + long)
	c.Sees("789")
	c.Resize(50)
	c.Types("x\r")
	c.Sees("stored")
	c.Types("get k\r")
	c.Sees("\n" + long + "x\r\n")
	c.Types("quit\r")
	c.Ends()
}

// Where there is no home there is no history, and all else works. On a dumb
// terminal there is neither colour nor bar.
func TestTerminalWithoutHome(t *testing.T) {
	t.Parallel()
	c := open(t, "", "TERM=dumb")
	c.Types("put k v\r")
	c.Sees("stored at a:1")
	c.Types("fill 1000000\r")
	if got := c.Sees("of 1,000,000 keys"); strings.Contains(got, "█") {
		t.Errorf("%q", got)
	}
	c.Types(console.CtrlC)
	c.Sees("interrupted: ")
	c.Types("quit\r")
	c.Sees("end: ")
	c.Ends()
}

func TestHistoryThatCannotBeKept(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".local"), nil, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	c := open(t, home)
	c.Types("get k\rget k\rget k\r")
	c.Sees("the history is not kept: ")
	c.Types("quit\r")
	if text := c.Sees("end: "); strings.Contains(text, "history") {
		t.Errorf("it was said again: %q", text)
	}
	c.Ends()
}

// A value is no command to the terminal.
func TestTerminalValues(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir())
	for value, want := range map[string]string{
		`"\x1b]0;title\x07"`: `"\x1b]0;title\a"`,
		`"\xff\x00"`:         `"\xff\x00"`,
		`"two\nlines"`:       "two\r\nlines",
		"héllo":              "héllo",
	} {
		c.Types("put k " + value + "\r")
		c.Sees("stored")
		c.Types("get k\r")
		c.Sees("\n" + want + "\r\n")
	}
	c.Types("quit\r")
	c.Ends()
}
