package ringpicture

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/terminal"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew: read what changes")

// requirement is the ring of the requirement's transcript, when 136 has just died.
func requirement() chord.Ring {
	ref := func(id int) chord.NodeRef {
		return chord.NodeRef{ID: fmt.Sprint(id), Addr: fmt.Sprintf("127.0.0.1:%d", 7000+id), Boot: uint64(id)}
	}
	status := func(id, from int, keys uint64, successors ...int) chord.Status {
		st := chord.Status{
			Info: chord.Info{NodeRef: ref(id), Ring: "8f3a", Bits: 8, Replicas: 1, Joined: true},
			Owns: &chord.Span{From: fmt.Sprint(from), To: fmt.Sprint(id)}, Keys: keys, Serving: true, Whole: true,
		}
		for _, s := range successors {
			st.Successors = append(st.Successors, ref(s))
		}
		st.Holders = []chord.Holder{{NodeRef: ref(successors[0]), Complete: true}}
		return st
	}
	r := chord.Ring{Ring: "8f3a", Bits: 8, Replicas: 1, Nodes: []chord.Status{
		status(1, 99, 0, 32, 35, 99), status(32, 1, 1, 35, 99, 136), status(35, 32, 1, 99, 136, 1), status(99, 35, 0, 136, 1, 32),
	}}
	r.Nodes[3].Whole = false
	r.Nodes[2].Holders[0].Complete = false
	r.Nodes[0].Fingers = []chord.Finger{{K: 0, Start: "2", Node: ref(32)}, {K: 5, Start: "33", Node: ref(35)}, {K: 6, Start: "65", Node: ref(99)}, {K: 7, Start: "129", Node: ref(1)}}
	r.Missing = []chord.Missing{{NodeRef: ref(136), Reason: "nobody listens there", SuspectedBy: []string{"99"}, ListedBy: []string{"32", "35", "99"}}}
	return r
}

// crowd is a ring of n nodes among 2^160.
func crowd(n int) chord.Ring {
	r := chord.Ring{Ring: "1", Bits: 160, Replicas: 2}
	for i := range n {
		id := fmt.Sprintf("%d%045d", 100+1300*i/n, i)
		r.Nodes = append(r.Nodes, chord.Status{Info: chord.Info{NodeRef: chord.NodeRef{ID: id, Addr: "h:1", Boot: uint64(i + 1)}, Joined: true}, Serving: true, Whole: true, Keys: uint64(i)})
	}
	for i := range r.Nodes {
		r.Nodes[i].Owns = &chord.Span{From: r.Nodes[(i+n-1)%n].ID, To: r.Nodes[i].ID}
	}
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is another (to write it anew: go test -run %s -rewrite); now\n%s", file, t.Name(), got)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	golden(t, "plain.txt", []byte(Text(requirement(), terminal.Style{})))
	golden(t, "rich.txt", []byte(Text(requirement(), terminal.Rich())))
	golden(t, "crowd.txt", []byte(Text(crowd(30), terminal.Rich())))
}

func TestTextIsPlain(t *testing.T) {
	t.Parallel()
	if text := Text(requirement(), terminal.Style{}); strings.ContainsAny(text, "\x1b●⣀") {
		t.Errorf("drawn where nobody sees it:\n%s", text)
	}
}

func TestSVG(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]chord.Ring{"fingers.svg": requirement(), "crowd.svg": crowd(30)} {
		of := r.Nodes[0].ID
		b, err := SVG(r, of)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, b)
		for d := xml.NewDecoder(strings.NewReader(string(b))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s is no XML: %v", name, err)
			}
		}
	}
	if _, err := SVG(requirement(), "136"); err == nil || !strings.Contains(err.Error(), "136") {
		t.Errorf("the fingers of a node that is gone: %v", err)
	}
	hostile := requirement()
	hostile.Nodes[0].Addr = `<script>"&`
	if b, err := SVG(hostile, ""); err != nil || strings.Contains(string(b), "<script>") {
		t.Errorf("an address is no markup: %v", err)
	}
}

// Rings that are hardly one are drawn all the same.
func TestOddRings(t *testing.T) {
	t.Parallel()
	alone := chord.Ring{Bits: 1, Nodes: []chord.Status{{Info: chord.Info{NodeRef: chord.NodeRef{ID: "0", Boot: 1}, Joined: true}, Owns: &chord.Span{From: "0", To: "0"}}}}
	early := chord.Ring{Bits: 160, Nodes: []chord.Status{{Info: chord.Info{NodeRef: chord.NodeRef{ID: "5", Boot: 1}}}}}
	for _, r := range []chord.Ring{{Bits: 8}, alone, early, crowd(1), crowd(2), crowd(1000)} {
		for _, style := range []terminal.Style{{}, terminal.Rich()} {
			if text := Text(r, style); !strings.HasSuffix(text, "\n") || len(strings.Split(text, "\n")) < len(r.Nodes)+3 {
				t.Errorf("drawn are\n%s", text)
			}
		}
		if _, err := SVG(r, ""); err != nil {
			t.Error(err)
		}
	}
	if text := Text(alone, terminal.Style{}); !strings.Contains(text, "100.0 %") {
		t.Errorf("a node alone owns all:\n%s", text)
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	for s, want := range map[chord.Span]float64{{From: "0", To: "64"}: 0.25, {From: "192", To: "64"}: 0.5, {From: "7", To: "7"}: 1, {From: "1", To: "0"}: 255. / 256} {
		if got := share(&s, 8); got != want {
			t.Errorf("%v is %v, want %v", s, got, want)
		}
	}
	if got := share(nil, 8); got != 0 {
		t.Errorf("nothing is %v", got)
	}
	if got := share(&chord.Span{From: "1", To: "0"}, 160); got < 0.999 {
		t.Errorf("all but one is %v", got)
	}
	if got := share(&chord.Span{From: "1" + strings.Repeat("0", 48), To: "1" + strings.Repeat("0", 47) + "1"}, 160); got <= 0 || got > 1e-40 {
		t.Errorf("one of 2^160 is %v", got)
	}
}
