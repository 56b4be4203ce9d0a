package shell

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHistoryFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ state, home, want string }{
		{"/s", "/h", "/s/torc/shell_history"},
		{"", "/h", "/h/.local/state/torc/shell_history"},
		{"relative", "/h", "/h/.local/state/torc/shell_history"},
		{"/s", "", "/s/torc/shell_history"},
		{"", "", ""},
	} {
		env := map[string]string{"XDG_STATE_HOME": c.state, "HOME": c.home}
		if got := HistoryFile(func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestHistoryIsShortened(t *testing.T) {
	t.Parallel()
	h := history{path: filepath.Join(t.TempDir(), "torc", "shell_history")}
	if lines, err := h.load(); lines != nil || err != nil {
		t.Fatalf("of no file: %q, %v", lines, err)
	}
	for i := range 2*historyLines + 1 {
		if err := h.add(fmt.Sprint("get ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.add("put k \xff"); err != nil { // can't be shown, and is passed over
		t.Fatal(err)
	}
	lines, err := h.load()
	if err != nil || len(lines) != historyLines || lines[0] != "get 1001" || lines[historyLines-1] != "get 2000" {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	text, err := os.ReadFile(h.path)
	if err != nil || strings.Count(string(text), "\n") != historyLines {
		t.Errorf("the file has %d lines, %v", strings.Count(string(text), "\n"), err)
	}
	if info, err := os.Stat(h.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
