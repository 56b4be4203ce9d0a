package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// README shows what the demo prints. Figures and places differ from run to run;
// the rest must not. To put a new run there:
// go test ./cmd/torc -run TestReadmeShowsTheDemo -update
func TestReadmeShowsTheDemo(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../../README.md", "<!-- demo -->\n```\n", "```\n<!-- /demo -->"
	printed, err := exec.Command("torc", "demo").Output()
	if err != nil {
		t.Fatalf("torc demo: %v\n%s", err, printed)
	}
	output := strings.TrimPrefix(string(printed), "\n")
	readme := readFile(t, file)
	before, rest, _ := strings.Cut(readme, begin)
	shown, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no block between its demo marks", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+output+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		shown = output
	}
	if got, want := unfigured(output), unfigured(shown); got != want {
		t.Errorf("torc demo tells another story than %s: run this test with -update, and read what changes.\nNow, without figures:\n%s\nThere:\n%s", file, got, want)
	}
}

// unfigured returns what the demo tells without that which differs from run to
// run.
func unfigured(demo string) string {
	for _, r := range []struct{ what, with string }{
		{`(?m)((?:PUT|GET) \w+) .*$`, "$1"},   // a key's place, and whether it is still there
		{`(?m)(^  server .* keys),.*$`, "$1"}, // which of the three was not killed
		{`(?m)^  [0-9]+ keys hit, .*\n`, ""},  // some that nobody had read since its return
		{`(?m) \(.*\)$`, ""},                  // how it was noticed
		{`[0-9][0-9.]*`, "0"},
		{`\b0 (µs|ms|s)\b`, "0 s"},
		{` +`, " "},
	} {
		demo = regexp.MustCompile(r.what).ReplaceAllString(demo, r.with)
	}
	return demo
}

// The commands that the documents tell people to type are commands.
func TestDocumentedCommandsExist(t *testing.T) {
	t.Parallel()
	makefile := readFile(t, "../../Makefile")
	seen := 0
	for _, file := range []string{"../../README.md", "../../docs/fleet.md", "../../docs/shard.md", "../../docs/replica.md"} {
		for line := range strings.Lines(readFile(t, file)) {
			typed, ok := strings.CutPrefix(line, "$ ")
			if !ok {
				continue
			}
			typed, _, _ = strings.Cut(typed, "#")
			for _, command := range strings.Split(typed, "&&") {
				words := strings.Fields(strings.TrimSuffix(strings.TrimSpace(command), " &")) // in the background
				seen++
				switch name, args := strings.TrimPrefix(words[0], "build/dev/"), words[1:]; {
				case name == "torc" || programs[name] != nil:
					if err := understands(program(name), args); err != nil {
						t.Errorf("%s: %s: %v", file, command, err)
					}
				case name == "make" && len(args) == 1 && !strings.Contains(makefile, "\n"+args[0]+":"):
					t.Errorf("%s: %s: there is no such target", file, command)
				case !slices.Contains([]string{"make", "git", "cd", "export", "./build.sh", "scripts/replica.sh", "curl", "printf"}, name):
					t.Errorf("%s: %s: nobody has this command", file, command)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were found", seen)
	}
}

// understands returns what is wrong with a command line, without running it.
func understands(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// Every parameter that a fleet's URL may have is explained.
func TestURLParametersAreExplained(t *testing.T) {
	t.Parallel()
	text := readFile(t, "../../docs/fleet.md")
	for _, url := range []string{"memcached://h:1?nosuch=1", "memcached+file:f?nosuch=1", "zk://h:1/t?nosuch=1"} {
		_, err := torc.Open(t.Context(), url)
		_, known, ok := strings.Cut(fmt.Sprint(err), "it knows ")
		if !ok {
			t.Errorf("%s: the error lists no parameters: %v", url, err)
		}
		for name := range strings.SplitSeq(known, ", ") {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("docs/fleet.md does not explain the parameter %s", name)
			}
		}
	}
}
