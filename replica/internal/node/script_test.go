package node

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

var rewrite = flag.Bool("rewrite", false, "write what TestScripts sees into testdata; read the diff before you commit it")

// script is nodes whose every event is in a file of testdata. A message takes half
// a millisecond.
//
//	nodes N            addresses; none is started
//	start S...         starts nodes
//	kill S...          kills them, at one instant
//	freeze S, thaw S
//	cut S T, mend S T  the link between two
//	put S KEY VALUE    asks node S, and goes on when it has answered
//	get S KEY
//	forget S T         asks node S to give T up
//	run MS             time passes
//	settle             until all that run are members of one normal epoch
//	status             how each node sees things
//
// What follows ---- is what came of it; times count from the block's beginning.
type script struct {
	t    *testing.T
	w    *little
	from time.Duration
	out  strings.Builder
}

func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t}
			var seen strings.Builder
			for _, block := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n\n") {
				asked, _, _ := strings.Cut(block, "----")
				if seen.Len() > 0 {
					seen.WriteString("\n")
				}
				fmt.Fprintf(&seen, "%s----\n%s", asked, s.block(asked))
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(seen.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if seen.String() != string(data) {
				t.Errorf("%s says otherwise; this is what was seen (-rewrite writes it):\n%s", file, seen.String())
			}
		})
	}
}

func (s *script) block(asked string) string {
	s.out.Reset()
	if s.w != nil {
		s.from = s.w.now
	}
	for lines := bufio.NewScanner(strings.NewReader(asked)); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
			s.do(strings.Fields(line))
		}
	}
	return s.out.String()
}

func (s *script) say(format string, args ...any) {
	at := float64(s.w.now-s.from) / float64(time.Millisecond)
	fmt.Fprintf(&s.out, "%7.1f ms  %s\n", at, fmt.Sprintf(format, args...))
}

func (s *script) do(words []string) {
	var n []int
	for _, w := range words[1:] {
		if k, err := strconv.Atoi(w); err == nil {
			n = append(n, k)
		}
	}
	switch words[0] {
	case "nodes":
		s.w = newLittle(s.t, n[0])
		s.w.tell = func(slot int, text string) { s.say("%d: %s", slot, text) }
	case "start":
		for _, k := range n {
			s.w.start(k)
		}
	case "kill":
		for _, k := range n {
			s.w.nodes[k] = nil
		}
		for _, k := range n {
			s.w.kill(k)
		}
	case "freeze":
		s.w.frozen[n[0]] = true
	case "thaw":
		delete(s.w.frozen, n[0])
	case "cut":
		s.w.sever(n[0], n[1])
	case "mend":
		s.w.mend(n[0], n[1])
	case "run":
		s.w.run(time.Duration(n[0]) * time.Millisecond)
	case "settle":
		s.w.settle(10 * time.Second)
		s.say("all are in")
	case "put":
		s.answer(s.w.want(s.w.put(n[0], words[2], words[3]), 3*time.Second))
	case "get":
		s.answer(s.w.want(s.w.get(n[0], words[2]), 3*time.Second))
	case "forget":
		s.w.ref++
		s.w.nodes[n[0]].Do(s.w.now, s.w.ref, &msg.Op{ID: msg.OpID{Client: 1, Seq: s.w.ref}, Kind: msg.Forget, Version: msg.Version{Seq: uint64(n[1])}})
		if a := s.w.want(s.w.ref, 3*time.Second); a.Err != nil || a.Result.Status != msg.OK {
			s.say("refused")
		}
	case "status":
		for slot, k := range s.w.nodes {
			if k == nil {
				s.say("%d: down", slot)
				continue
			}
			st := k.Status()
			var roles []string
			for _, m := range st.Members {
				roles = append(roles, string(m.Role))
			}
			s.say("%d: epoch %d (normal %v), view %d: %s", slot, st.Lineage.Epoch.Number, st.Lineage.Normal, st.View, strings.Join(roles, " "))
		}
	default:
		s.t.Fatalf("what is %q?", words[0])
	}
}

func (s *script) answer(a Answer) {
	switch {
	case a.Err != nil:
		s.say("    %v", a.Err)
	case !a.Result.Found:
		s.say("    NIL%s", label(a.Result.Degraded))
	default:
		s.say("    %s%s", a.Result.Old, label(a.Result.Degraded))
	}
}

func label(epoch uint64) string {
	if epoch == 0 {
		return ""
	}
	return fmt.Sprintf("  [degraded: %d]", epoch)
}
