package main

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write docs/cli and docs/man anew")

// The reference in docs is what the commands say of themselves. When this fails:
// go generate ./cmd/torc
func TestReference(t *testing.T) {
	for dir, want := range map[string]map[string]string{
		"../../docs/cli": markdownPages(t),
		"../../docs/man": manPages(t),
	} {
		if *update {
			rewrite(t, dir, want)
		}
		have := readPages(t, dir)
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if have[name] != want[name] {
				t.Errorf("%s does not say what the command says: go generate ./cmd/torc", filepath.Join(dir, name))
			}
			delete(have, name)
		}
		for name := range have {
			t.Errorf("%s is of no command: go generate ./cmd/torc", filepath.Join(dir, name))
		}
	}
}

// trees returns the command tree of each program.
func trees() []*cobra.Command {
	all := []*cobra.Command{newTorc()}
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		all = append(all, program(name))
	}
	for _, root := range all {
		root.DisableAutoGenTag = true
	}
	return all
}

// asPages indents what help shows as a table as far as Markdown wants it.
func asPages(c *cobra.Command) {
	c.Long = strings.ReplaceAll(c.Long, "\n  ", "\n    ")
	for _, sub := range c.Commands() {
		asPages(sub)
	}
}

func markdownPages(t *testing.T) map[string]string {
	dir := t.TempDir()
	for _, root := range trees() {
		asPages(root)
		if err := doc.GenMarkdownTree(root, dir); err != nil {
			t.Fatal(err)
		}
	}
	pages := readPages(t, dir)
	pages["environment.md"] = "## Variables that stand for flags\n\n```\n" + environmentText(newTorc()) + "```\n"
	pages["json.md"] = "## What --json prints\n\n```\n" + jsonText() + "```\n"
	return pages
}

func manPages(t *testing.T) map[string]string {
	dir := t.TempDir()
	for _, root := range trees() {
		asPages(root)
		header := doc.GenManHeader{Section: "1", Source: "torc", Manual: "torc", Date: &time.Time{}}
		if err := doc.GenManTree(root, &header, dir); err != nil {
			t.Fatal(err)
		}
	}
	pages := readPages(t, dir)
	for name, page := range pages {
		// A date would change pages whose command has not changed.
		pages[name] = strings.Replace(page, `"Jan 0001"`, `""`, 1)
	}
	return pages
}

func readPages(t *testing.T, dir string) map[string]string {
	t.Helper()
	pages := make(map[string]string)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		pages[f.Name()] = string(b)
	}
	return pages
}

func rewrite(t *testing.T, dir string, pages map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever asks for help wants to see the command at work, and what it takes.
func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.IsAdditionalHelpTopicCommand() {
			return
		}
		if c.Short == "" && c.HasParent() {
			t.Errorf("%s: no short help", c.CommandPath())
		}
		if c.Example == "" {
			t.Errorf("%s: no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 81 {
				t.Errorf("%s: a line of help has more than 80 columns: %s", c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	for _, root := range trees() {
		walk(root)
	}
}
