package main

import (
	"fmt"
	"io/fs"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/torc-dht/torc/chord"
)

// procs is a /proc. A shell, 100, has started 101, a shell in whose place 102 was
// started: this process.
type procs struct{ fstest.MapFS }

func newProcs() procs {
	p := procs{fstest.MapFS{}}
	p.add(100, 1, 7, 0, "/bin/bash", "bash")
	p.add(101, 100, 7, 5000, "/bin/bash", "bash")
	p.add(102, 101, 7, 5000, "/bin/torc", "add", "1", "291", "hello")
	p.children(100, 101)
	p.children(101, 102)
	return p
}

// add adds a process that started that many milliseconds after the machine.
func (p procs) add(pid, parent, session, start int, exe string, args ...string) {
	dir := strconv.Itoa(pid)
	text := ""
	for _, a := range args {
		text += a + "\x00"
	}
	// The name has a parenthesis, and the state is S.
	p.MapFS[dir+"/stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d (a) b) S %d %d %d 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0", pid, parent, parent, session, start/10)}
	p.MapFS[dir+"/cmdline"] = &fstest.MapFile{Data: []byte(text)}
	p.MapFS[dir+"/environ"] = &fstest.MapFile{Data: []byte("HOME=/\x00TORC_RUN=/run/here\x00")}
	p.MapFS[dir+"/exe"] = &fstest.MapFile{Data: []byte(exe), Mode: fs.ModeSymlink}
}

func (p procs) children(pid int, children ...int) {
	text := ""
	for _, c := range children {
		text += strconv.Itoa(c) + " "
	}
	p.MapFS[fmt.Sprintf("%d/task/%d/children", pid, pid)] = &fstest.MapFile{Data: []byte(text)}
}

func TestStartingNodesAreSeen(t *testing.T) {
	t.Parallel()
	registered := []chord.Whereabouts{{ID: "35", Pid: 103}}
	for what, c := range map[string]struct {
		prepare func(procs)
		nodes   []chord.Whereabouts
		want    bool
	}{
		"nobody": {func(procs) {}, nil, false},
		"a node": {func(p procs) { p.add(103, 100, 7, 4990, "/bin/torc", "/bin/node", "8", "35", "1") }, nil, true},
		"a node by its long name": {func(p procs) {
			p.add(103, 100, 7, 4990, "/bin/torc", "torc", "chord", "--ring=x", "node", "8", "35")
		}, nil, true},
		"a node that has registered":   {func(p procs) { p.add(103, 100, 7, 4990, "/bin/torc", "node", "8", "35", "1") }, registered, false},
		"another one has registered":   {func(p procs) { p.add(103, 100, 7, 4990, "/bin/torc", "node", "8", "35", "1") }, []chord.Whereabouts{{Pid: 99}}, true},
		"a node of long ago":           {func(p procs) { p.add(103, 100, 7, 10, "/bin/torc", "node", "8", "35", "1") }, nil, false},
		"another program":              {func(p procs) { p.add(103, 100, 7, 4990, "/bin/torc", "get", "35", "15") }, nil, false},
		"nodejs":                       {func(p procs) { p.add(103, 100, 7, 4990, "/usr/bin/node", "node", "x.js") }, nil, false},
		"a shell that may become one":  {func(p procs) { p.add(103, 100, 7, 4990, "/bin/bash", "bash") }, nil, true},
		"a shell that has had time to": {func(p procs) { p.add(103, 100, 7, 4000, "/bin/bash", "bash") }, nil, false},
		"a node of another folder": {func(p procs) {
			p.add(103, 100, 7, 4990, "/bin/torc", "node", "8", "35", "1")
			p.MapFS["103/environ"] = &fstest.MapFile{Data: []byte("TORC_RUN=/run/there\x00")}
		}, nil, false},
		"a node that has ended": {func(p procs) {
			p.add(103, 100, 7, 4990, "/bin/torc", "node", "8", "35", "1")
			delete(p.MapFS, "103/stat")
		}, nil, false},
		"another session's": {func(p procs) {
			p.add(100, 1, 6, 0, "/bin/bash", "bash")
			p.add(103, 100, 7, 4990, "/bin/torc", "node", "8", "35", "1")
		}, nil, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := newProcs()
			p.children(100, 101, 103)
			c.prepare(p)
			if got := startingIn(p, 102, "/run/here").any(c.nodes); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if startingIn(fstest.MapFS{}, 102, "").any(nil) {
		t.Error("seen without a /proc")
	}
}
