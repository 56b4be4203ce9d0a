package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/torc-dht/torc"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	miss := &torc.Error{Op: "get", Key: "k", Err: torc.ErrNotFound}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{miss, 2},
		{fmt.Errorf("around it: %w", miss), 2},
		{errors.Join(miss, nil), 2},
		// A fleet is a cache: a key that can't be asked for is not there.
		{&torc.Error{Op: "get", Err: fmt.Errorf("%w: %w", torc.ErrNotFound, torc.ErrUnavailable)}, 2},
		{&torc.Error{Op: "put", Err: torc.ErrUnavailable}, 1},
		{&finalError{err: miss}, 1},
		{&saidError{miss}, 2},
		{errors.New("anything"), 1},
		{torc.ErrExists, 1},
		{torc.ErrConflict, 1},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v exits with %d, want %d", c.err, got, c.want)
		}
	}
}

func TestComplaintIsOneLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{torc.ErrExists, "torc: the key exists already\n"},
		{&torc.Error{Op: "get", Key: "k", Err: torc.ErrNotFound}, "torc: get \"k\": no such key\n"},
		{errors.Join(errors.New("one"), errors.New("two")), "torc: one; two\n"},
		{&saidError{errors.New("said before")}, ""},
	} {
		var b strings.Builder
		complain(&b, "torc", c.err)
		if b.String() != c.want {
			t.Errorf("got %q, want %q", b.String(), c.want)
		}
	}
}

func TestProgramsByName(t *testing.T) {
	t.Parallel()
	for arg0, want := range map[string]string{
		"torc":                        "torc",
		"./build/dev/fleet-client":    "fleet-client",
		"/usr/local/bin/watchdog":     "watchdog",
		"a-name-that-nobody-gave-it":  "torc",
		"/somewhere/torc-1.2.3-linux": "torc",
		"":                            "torc",
	} {
		if got := program(arg0).Name(); got != want {
			t.Errorf("called as %q it acts as %s, want %s", arg0, got, want)
		}
	}
}

// A variable that two commands share must not be a time for one and a switch
// for the other.
func TestVariablesTakeOneTypeEach(t *testing.T) {
	t.Parallel()
	types := make(map[string]string)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !hasVariable(f) {
				return
			}
			v := variable(f.Name)
			if known, seen := types[v]; seen && known != f.Value.Type() {
				t.Errorf("%s is a %s of one command and a %s of %s", v, known, f.Value.Type(), c.CommandPath())
			}
			types[v] = f.Value.Type()
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	for _, root := range trees() {
		walk(root)
	}
}

// build.sh has to know the names before there is a binary to ask.
func TestBuildLinksEveryProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("builds torc")
	}
	t.Parallel()
	if out, err := exec.Command("../../build.sh").CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	names := []string{"torc"}
	for name := range programs {
		names = append(names, name)
		link := filepath.Join("../../build/dev", name)
		if to, err := os.Readlink(link); err != nil || to != "torc" {
			t.Errorf("%s is no relative link to torc: %q, %v", link, to, err)
		}
		help, err := exec.Command(link, "--help").Output()
		if err != nil || !strings.Contains(string(help), "\n  "+name+" [flags]") {
			t.Errorf("%s --help: %v\n%s", link, err, help)
		}
	}
	version, err := exec.Command("../../build/dev/torc", "version").Output()
	if err != nil || strings.Contains(string(version), "unknown") {
		t.Errorf("torc version: %v, %s", err, version)
	}
}

func TestBuildSaysWhatGoIsMissing(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"none": "", "old": "#!" + bash + "\necho go1.19.8\n"} {
		dir := filepath.Join(bin, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if script != "" {
			if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(bash, "../../build.sh")
		cmd.Env = []string{"PATH=" + dir}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "https://go.dev/dl") {
			t.Errorf("with %s go command, build.sh: %v\n%s", name, err, out)
		}
	}
}
