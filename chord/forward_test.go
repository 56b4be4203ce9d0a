package chord

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// session sends lines to a server, all at once or each after the answer to the one
// before, and returns all that it says.
func session(t *testing.T, addr string, lines []string, atOnce bool) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	var said strings.Builder
	r := bufio.NewReader(conn)
	exchange := func(text string) {
		if _, err := io.WriteString(conn, text+"mn\r\n"); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("after %q: %v", said.String(), err)
			}
			if line == "MN\r\n" {
				return
			}
			said.WriteString(line)
		}
	}
	if atOnce {
		exchange(strings.Join(lines, ""))
		return said.String()
	}
	for _, line := range lines {
		exchange(line)
	}
	return said.String()
}

// versions are what is of a server's own making in answers.
var versions = regexp.MustCompile(`(?m)^(VALUE \S+ \d+ \d+) \d+\r$| c\d+`)

// A node that doesn't own a key answers a plain client as if it did: as a server with a
// memory of its own, whatever form and order requests come in.
func TestForwardedIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	first := start(t, &Server{Bits: 8, ID: "128", Memory: 64 << 20}).awaitJoined()
	start(t, &Server{Bits: 8, ID: "0", Memory: 64 << 20, Contact: first.addr}).awaitJoined()
	other := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{}))}
	l := listen(t, "127.0.0.1:0")
	go func() { _ = other.Serve(l) }()
	defer other.Close()

	script := func(k string) []string { // k is one node's, k+128 the other's
		return strings.SplitAfter(strings.NewReplacer("K", k, "\n", "\r\n").Replace(`get K
set K 5 0 5
hello
get K
gets K K9 K
add K 0 0 1
x
replace K 6 0 3
abc
append K 0 0 2
de
prepend K 0 0 1
z
gets K
cas K 0 0 1 1
x
delete K
delete K
replace K 0 0 1
x
append K 0 0 1
x
incr K 1
set K 0 0 2
10
incr K 5
decr K 100
incr K 9223372036854775807
incr K x
touch K 100
gat 100 K
gats 0 K
touch K9 100
set K 0 0 3 noreply
abc
get K
incr K 1
delete K noreply
get K
set K 0 -1 1
x
get K
ms K 2 c F7 T100
hi
mg K v f t k Oabc
mg K
mg K9 v
mg K9 v q
ms K 1 ME
x
ms K 1 MR q
y
ms K 1 MA
z
mg K v s
md K q
md K
mg K v
`), "\r\n")
	}
	for _, k := range []string{"3", "131"} {
		lines := slices.DeleteFunc(script(k), func(s string) bool { return s == "" })
		// A value belongs to the line before it.
		for i := 0; i < len(lines); i++ {
			word, _, _ := strings.Cut(lines[i], " ")
			if slices.Contains([]string{"set", "add", "replace", "append", "prepend", "cas", "ms"}, word) {
				lines[i] += lines[i+1]
				lines = slices.Delete(lines, i+1, i+2)
			}
		}
		for _, atOnce := range []bool{false, true} {
			want := versions.ReplaceAllString(session(t, l.Addr().String(), lines, atOnce), "$1")
			for _, p := range []*process{first} {
				got := versions.ReplaceAllString(session(t, p.addr, lines, atOnce), "$1")
				if got != want {
					t.Errorf("key %s, at once: %v:\n%s\nand a server of its own says:\n%s", k, atOnce, got, want)
				}
			}
		}
	}
	// Keys of both in one get, in their order.
	session(t, first.addr, []string{"set 3 0 0 1\r\na\r\n", "set 131 0 0 1\r\nb\r\n"}, true)
	if got := session(t, first.addr, []string{"get 131 3 4 131\r\n"}, true); got != "VALUE 131 0 1\r\nb\r\nVALUE 3 0 1\r\na\r\nVALUE 131 0 1\r\nb\r\nEND\r\n" {
		t.Errorf("keys of two nodes: %q", got)
	}
}

// What can't be asked in a client's stead, it is told to ask there.
func TestNotForwarded(t *testing.T) {
	t.Parallel()
	first := start(t, &Server{Bits: 8, ID: "128", Memory: 64 << 20}).awaitJoined()
	second := start(t, &Server{Bits: 8, ID: "0", Memory: 64 << 20, Contact: first.addr}).awaitJoined()
	for _, line := range []string{"me 131\r\n", "mg 131 v N60\r\n", "md 131 I\r\n", "ma 131\r\n", "mg 131 v R30\r\n"} {
		got := session(t, first.addr, []string{line}, true)
		span, owner, ok := parseMoved(strings.TrimSuffix(got, "\r\n"))
		if !ok || owner.Addr != second.addr || span.From.String() != "128" || span.To.String() != "0" {
			t.Errorf("%q is answered %q", line, got)
		}
	}
}

// A large value, and one that is too large, by way of a node that doesn't own the key.
func TestForwardedValues(t *testing.T) {
	t.Parallel()
	first := start(t, &Server{Bits: 8, ID: "128", MaxValue: 1 << 20, Memory: 64 << 20}).awaitJoined()
	start(t, &Server{Bits: 8, ID: "0", MaxValue: 1 << 20, Memory: 64 << 20, Contact: first.addr}).awaitJoined()
	for size, want := range map[int]string{1 << 20: "STORED\r\n", 1<<20 + 1: "SERVER_ERROR object too large for cache\r\n"} {
		line := fmt.Sprintf("set 131 0 0 %d\r\n%s\r\n", size, strings.Repeat("x", size))
		if got := session(t, first.addr, []string{line}, true); got != want {
			t.Errorf("%d bytes: %q", size, got)
		}
	}
	if got := session(t, first.addr, []string{"get 131\r\n"}, true); len(got) != len("VALUE 131 0 1048576\r\n\r\nEND\r\n")+1<<20 {
		t.Errorf("%d bytes came: %.60q", len(got), got)
	}
}
