package main

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc/chord"
)

// A shell starts `node ... &` and goes on with its next command at once, so that one
// may look for nodes before the node has said where it is, or is even the program that
// it is to become. What the same shell has just started can be seen in /proc.
const (
	// registersWithin is how long after its start a node says where it is, on a
	// machine that has much else to do.
	registersWithin = 2 * time.Second
	// becomesWithin is how long after its start a shell's child becomes the program
	// that it is to run.
	becomesWithin = 250 * time.Millisecond
	// ticksASecond is what /proc counts start times in.
	ticksASecond = 100
)

// starting looks for nodes that were started by who started this process, or by who
// started that one, and have not said where they are yet.
type starting struct {
	proc fs.FS // /proc
	self process
	born time.Time
	run  string // TORC_RUN
	// ancestors of this process in its session, the closest first.
	ancestors []process
}

func newStarting() *starting {
	return startingIn(os.DirFS("/proc"), os.Getpid(), os.Getenv("TORC_RUN"))
}

func startingIn(proc fs.FS, self int, run string) *starting {
	s := &starting{proc: proc, run: run, born: time.Now()}
	s.self, _ = s.look(self)
	for at := s.self; at.parent > 1; {
		parent, ok := s.look(at.parent)
		if !ok || parent.session != s.self.session {
			break
		}
		s.ancestors = append(s.ancestors, parent)
		at = parent
	}
	return s
}

// process is one of /proc.
type process struct {
	pid, parent, session int
	start                time.Duration // since the machine's
	exe                  string
}

// any tells whether there is one. Those that registered are found in nodes.
func (s *starting) any(nodes []chord.Whereabouts) bool {
	for _, ancestor := range s.ancestors {
		for _, pid := range s.children(ancestor.pid) {
			if !s.known(pid, nodes) && s.mayBecomeNode(pid, ancestor) {
				return true
			}
		}
	}
	return false
}

// known tells whether a process is this one, an ancestor, or a node that registered.
func (s *starting) known(pid int, nodes []chord.Whereabouts) bool {
	return pid == s.self.pid || slices.ContainsFunc(s.ancestors, func(p process) bool { return p.pid == pid }) ||
		slices.ContainsFunc(nodes, func(w chord.Whereabouts) bool { return w.Pid == pid })
}

// mayBecomeNode tells whether a process is a node, or what its parent was when it
// started this one and may yet become a node.
func (s *starting) mayBecomeNode(pid int, parent process) bool {
	p, ok := s.look(pid)
	age := s.self.start - p.start + time.Since(s.born)
	switch {
	case !ok:
		return false
	case p.exe == s.self.exe:
		return age < registersWithin && s.isNode(pid)
	}
	return p.exe == parent.exe && age < becomesWithin && p.start <= s.self.start
}

// look reads what /proc says of a process.
func (s *starting) look(pid int) (p process, ok bool) {
	dir := strconv.Itoa(pid)
	stat, err := fs.ReadFile(s.proc, path.Join(dir, "stat"))
	if err != nil {
		return p, false
	}
	// pid (name, which may hold anything) state parent ...
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, parent, session, start = 0, 1, 3, 19
	if len(fields) <= start || fields[state] == "Z" {
		return p, false
	}
	ticks, err := strconv.ParseInt(fields[start], 10, 64)
	if err != nil {
		return p, false
	}
	p = process{pid: pid, start: time.Duration(ticks) * time.Second / ticksASecond}
	p.parent, _ = strconv.Atoi(fields[parent])
	p.session, _ = strconv.Atoi(fields[session])
	p.exe, err = fs.ReadLink(s.proc, path.Join(dir, "exe"))
	return p, err == nil
}

func (s *starting) children(pid int) (pids []int) {
	lists, err := fs.Glob(s.proc, strconv.Itoa(pid)+"/task/*/children")
	if err != nil {
		return nil
	}
	for _, list := range lists {
		text, err := fs.ReadFile(s.proc, list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// isNode tells whether a process of this program is a node, and one that says where it
// is in the same folder.
func (s *starting) isNode(pid int) bool {
	args, run := s.strings(pid, "cmdline"), ""
	for _, v := range s.strings(pid, "environ") {
		if value, ok := strings.CutPrefix(v, "TORC_RUN="); ok {
			run = value
		}
	}
	if run != s.run || len(args) == 0 {
		return false
	}
	at := slices.Index(args, "chord")
	return path.Base(args[0]) == "node" || at >= 0 && slices.Contains(args[at:], "node")
}

// strings reads a file of strings that end with a zero byte each.
func (s *starting) strings(pid int, file string) []string {
	b, err := fs.ReadFile(s.proc, path.Join(strconv.Itoa(pid), file))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}
