package shell

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/tabletest"
)

// pipe runs lines from a pipe over t.
func pipe(t *testing.T, table torc.Table, lines string) (stdout, stderr string, tally Tally) {
	t.Helper()
	in := NewStream("in", strings.NewReader(lines))
	defer in.Close()
	var out, errs bytes.Buffer
	s := &Shell{Table: table, Input: in, Stdout: &out, Stderr: &errs, Timeout: 10 * time.Second}
	tally, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), tally
}

// byHand runs lines that a person types, who answers what they are asked.
func byHand(t *testing.T, table torc.Table, p *typist) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	s := &Shell{Table: table, Input: p, Stdout: &out, Stderr: &errs, Timeout: 10 * time.Second}
	if _, err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String()
}

func TestKeys(t *testing.T) {
	t.Parallel()
	stdout, stderr, tally := pipe(t, newFakeRing("a:1"), `
# a comment
put greeting hello,   world
GET greeting
put "two words" "  kept  "
get 'two words'
put --ttl 1h --if-absent other -5
get other
keys
keys --limit 2
keys gr
delete other
get other
put --if-absent greeting x
put --if-present nosuch x
delete nosuch
quit
get greeting
`)
	want := "hello, world\n  kept  \n-5\n" +
		strings.Repeat("greeting\nother\n\"two words\"\n", 2) + "greeting\nother\n" + "greeting\ngreeting\n"
	if stdout != want {
		t.Errorf("stdout\n%swant\n%s", stdout, want)
	}
	want = `in:13: get "other": no such key
in:14: put "greeting": the key exists already
in:15: put "nosuch": no such key
in:16: delete "nosuch": no such key
`
	if stderr != want || tally != (Tally{Failed: 1, Missing: 3}) {
		t.Errorf("%+v, stderr\n%swant\n%s", tally, stderr, want)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	table := newFakeRing("a:1")
	version, _, _ := pipe(t, table, "put k 1\nget --version k\n")
	version = strings.TrimSpace(version)
	stdout, stderr, _ := pipe(t, table, "put --if-version "+version+" k 2\nput --if-version "+version+" k 3\nget k\n")
	if stdout != "2\n" || stderr != "in:2: put \"k\": the entry has changed\n" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

// A line that is wrong says what is right.
func TestWrongLines(t *testing.T) {
	t.Parallel()
	table := newFakeRing("a:1")
	for line, want := range map[string]string{
		"gte k":                            `there is no command "gte": did you mean get?; help lists them`,
		"nonsense":                         `there is no command "nonsense"; help lists them`,
		"exit":                             `there is no command "exit": did you mean quit?; help lists them`,
		"get":                              "KEY is missing; write: get [FLAGS] KEY",
		"get a b":                          `"b" is too much: put quotes around what holds blanks; write: get [FLAGS] KEY`,
		"get a --version":                  `"--version" is too much: flags go before KEY; write: get [FLAGS] KEY`,
		"put k":                            "VALUE is missing; write: put [FLAGS] KEY VALUE...",
		"put --ttl soon k v":               `--ttl "soon": write a time, as 90s or 1h30m; write: put [FLAGS] KEY VALUE...`,
		"put --ttl -1s k v":                `put "k": invalid: a TTL is more than 0 and at most 10 years; without one, an entry does not expire`,
		"put --tll 1s k v":                 "there is no flag --tll: did you mean --ttl?; write: put [FLAGS] KEY VALUE...",
		"put -k v":                         "there is no flag -k (what begins with a hyphen and is none goes behind --); write: put [FLAGS] KEY VALUE...",
		"put --if-absent --if-present k v": `put "k": invalid: IfAbsent, IfPresent and IfVersion exclude each other: give one`,
		"put --if-version x k v":           "invalid: \"x\" is not a version: two hexadecimal numbers with a hyphen between, as `torc get --json` prints them",
		`put k "v`:                         `a " has no other behind it: "two words" is one argument`,
		"nodes x":                          `"x" is too much: nodes takes no arguments; write: nodes`,
		"keys a b":                         `"b" is too much: put quotes around what holds blanks; write: keys [PREFIX] [FLAGS]`,
		"keys --limit 0":                   "--limit 0: give a number above 0; write: keys [PREFIX] [FLAGS]",
		"keys --limit x":                   `--limit "x": write a whole number; write: keys [PREFIX] [FLAGS]`,
		"fill":                             "N is missing; write: fill N [FLAGS]",
		"fill 0":                           "0 is no number of pairs from 1 to 1000000000; write: fill N [FLAGS]",
		"fill many":                        "many is no number of pairs from 1 to 1000000000; write: fill N [FLAGS]",
		"fill 1 --size 2000000":            "--size 2000000: from 0 to 1000000 bytes; write: fill N [FLAGS]",
		"add":                              "HOST:PORT is missing; write: add HOST:PORT [FLAGS]",
		"add b":                            `"b" has no port: write host:port; write: add HOST:PORT [FLAGS]`,
		"add b:1 2 3":                      `"2" is too much: put quotes around what holds blanks; write: add HOST:PORT [FLAGS]`,
		"add b 99999":                      `"b:99999" is not an address: the port is a number from 1 to 65535; write: add HOST:PORT [FLAGS]`,
		"add b:1 --flush --keep":           "--flush and --keep exclude each other; write: add HOST:PORT [FLAGS]",
		"add b:1 --weight 0":               "--weight 0: give a number above 0; write: add HOST:PORT [FLAGS]",
		"add a:1":                          "add a:1: invalid: it is a member already",
		"add " + deadAddr:                  "add dead:1: unavailable: connection refused",
		"add " + fullAddr:                  "add full:1: the server is not empty: say --flush to empty it first, or --keep to have what it holds count as the table's",
		"remove":                           "HOST:PORT is missing; write: remove HOST:PORT [FLAGS]",
		"remove b:1":                       "remove b:1: invalid: it is no member",
		"remove a:1":                       "a:1 is the last node, without which no key can be reached: say --yes to remove it all the same",
		"rebalance --rate 0":               "--rate 0: give a number above 0; write: rebalance [FLAGS]",
		"rebalance --rate -1":              "--rate -1: give a number above 0; write: rebalance [FLAGS]",
		"help nonsense":                    `there is no command "nonsense"; write: help [COMMAND]`,
	} {
		stdout, stderr, tally := pipe(t, table, line+"\n")
		if stdout != "" || stderr != "in:1: "+want+"\n" || tally != (Tally{Failed: 1}) {
			t.Errorf("%s: %+v, stdout %q, stderr\n%swant\nin:1: %s", line, tally, stdout, stderr, want)
		}
	}
}

func TestEmptyRing(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"put k v", "get k", "delete k", "locate k", "fill 5", "rebalance"} {
		stdout, stderr, tally := pipe(t, newFakeRing(), line)
		if stdout != "" || stderr != "in:1: there are no nodes: add a node first, with add HOST:PORT\n" || tally.Failed != 1 {
			t.Errorf("%s: stdout %q, stderr %q", line, stdout, stderr)
		}
	}
	stdout, stderr, _ := pipe(t, newFakeRing(), "nodes\nstats\n")
	if want := "no members\nmurmur3, 3 copies, 120 virtual nodes a node, view 7\nno nodes\n"; stdout != want || stderr != "" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	bare := struct{ torc.Table }{newFakeRing()}
	if _, stderr, _ = pipe(t, bare, "get k"); stderr != "in:1: unavailable: there are no nodes\n" {
		t.Errorf("where nobody can add any: %q", stderr)
	}
}

// What a kind of table can't do, it says.
func TestPlainTable(t *testing.T) {
	t.Parallel()
	stdout, stderr, tally := pipe(t, tabletest.NewMemory(), "put k v\nget k\nkeys\nadd a:1\nremove memory:1\nrebalance\nstats\nlocate k\n")
	const un = ": not supported by this kind of table: "
	want := "in:3" + un + "its keys can't be listed\n" +
		"in:4" + un + "no person decides on its nodes\n" +
		"in:5" + un + "no person decides on its nodes\n" +
		"in:6" + un + "its entries are where they should be without anybody's doing\n" +
		"in:7" + un + "it does not say how its entries are spread\n"
	if stdout != "v\n1  memory:1  up\n" || stderr != want || tally.Failed != 5 {
		t.Errorf("%+v, stdout %q, stderr\n%swant\n%s", tally, stdout, stderr, want)
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	table := newFakeRing("a:1")
	stdout, stderr, _ := pipe(t, table, `add b 1 --weight 2
add --flush full:1
nodes
remove full 1
rebalance --dry-run
remove a:1
remove b:1 --yes
`)
	want := `b:1 added: 2,500 copied (250.0 kB), 2,000 removed, in 50 ms
full:1 added: 2,500 copied (250.0 kB), 2,000 removed, in 50 ms
ADDRESS  WEIGHT  STATE  REASON
a:1      1       up
b:1      2       up
full:1   1       up
full:1 removed: 2,500 copied (250.0 kB), 2,000 removed, in 50 ms
2,500 would be copied (250.0 kB), 2,000 would be removed, in 50 ms
a:1 removed: 2,500 copied (250.0 kB), 2,000 removed, in 50 ms
b:1 removed: it was the last node
`
	if stdout != want || stderr != "" {
		t.Errorf("stderr %q, stdout\n%swant\n%s", stderr, stdout, want)
	}
	if got := table.mu.added[fullAddr]; got != (torc.AddOptions{Weight: 1, Contents: torc.FlushContents}) {
		t.Errorf("added with %+v", got)
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, answer   string
		asked          string
		stdout, stderr string
	}{
		{"add full:1", "y", "full:1 is not empty. Empty it first?", "full:1 added: 2,500 copied (250.0 kB), 2,000 removed, in 50 ms\n", ""},
		{"add full:1", "n", "full:1 is not empty. Empty it first?", "", "not added: add --keep takes what it holds for the table's\n"},
		{"add full:1", "^C", "full:1 is not empty. Empty it first?", "", "interrupted\n"},
		{"remove a:1", "y", "a:1 is the last node: without it no key can be reached. Remove it?", "a:1 removed: it was the last node\n", ""},
		{"remove a:1", "n", "a:1 is the last node: without it no key can be reached. Remove it?", "", "not removed\n"},
	} {
		p := &typist{lines: []string{c.line}, answers: []string{c.answer}}
		stdout, stderr := byHand(t, newFakeRing("a:1"), p)
		if len(p.asked) != 1 || p.asked[0] != c.asked || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%s, %s: asked %q, stdout %q, stderr %q", c.line, c.answer, p.asked, stdout, stderr)
		}
	}
}

func TestByHand(t *testing.T) {
	t.Parallel()
	stdout, stderr := byHand(t, newFakeRing("a:1", "b:1"), &typist{lines: []string{"put k v", "^C", "", "get k", "get x", "delete k", "nosuch"}})
	want := "stored at a:1\n(no such key)\ndeleted\nthere is no command \"nosuch\"; help lists them\n"
	if stdout != "v\n" || stderr != want {
		t.Errorf("stdout %q, stderr\n%swant\n%s", stdout, stderr, want)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	table := newFakeRing("a:1", "b:1", brokenAddr)
	stdout, stderr, _ := pipe(t, table, "put k v\nstats\n")
	want := `murmur3, 3 copies, 120 virtual nodes a node, view 7
ADDRESS   STATE  ENTRIES  BYTES   HOLDS   PLACED  EVEN    REASON
a:1       up     1        1.0 kB  33.3 %  33.3 %  33.3 %
b:1       up     2        2.0 kB  66.7 %  33.3 %  33.3 %
broken:1  up                                              it doesn't answer
all              3        3.0 kB
the fullest, b:1, holds 100.0 % more than its even share
`
	if stdout != want || stderr != "" {
		t.Errorf("stderr %q, stdout\n%swant\n%s", stderr, stdout, want)
	}
	stdout, _, _ = pipe(t, newFakeRing("a:1", "b:1"), "stats\n")
	if want := "on a:1 0.0 % more keys are placed than on an even share\n"; !strings.HasSuffix(stdout, want) {
		t.Errorf("of an empty ring:\n%s", stdout)
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	table := newFakeRing("a:1")
	stdout, stderr, _ := pipe(t, table, "fill 1000 --size 10\n")
	if !regexp.MustCompile(`^1,000 pairs put in [0-9.]+ (µs|ms|s): [0-9,]+ a second\n$`).MatchString(stdout) || stderr != "" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	if len(table.mu.keys) != 1000 {
		t.Errorf("%d keys", len(table.mu.keys))
	}
	for key := range table.mu.keys {
		e, err := table.Get(t.Context(), key)
		if err != nil || !regexp.MustCompile(`^[-_a-zA-Z0-9]{10}$`).Match(e.Value) || !strings.HasPrefix(key, "fill-") {
			t.Fatalf("%s: %q, %v", key, e.Value, err)
		}
	}
}

// failing fails its puts after some.
type failing struct {
	*fakeRing
	after int
}

func (f *failing) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	f.mu.Lock()
	full := len(f.mu.keys) >= f.after
	f.mu.Unlock()
	if full {
		return &torc.Error{Op: "put", Key: "k", Err: torc.ErrUnavailable}
	}
	return f.fakeRing.Put(ctx, key, value, opts...)
}

func TestFillStopsAtAFailure(t *testing.T) {
	t.Parallel()
	stdout, stderr, tally := pipe(t, &failing{newFakeRing("a:1"), 100}, "fill 1000000\n")
	if stdout != "" || tally.Failed != 1 || !regexp.MustCompile(`^in:1: 1[0-9][0-9] of 1,000,000 pairs were put, in .*: put "k": unavailable\n$`).MatchString(stderr) {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

// Elsewhere than on a terminal a long command says now and then how far it is.
func TestLongCommandsTellHowFarTheyAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newFakeRing("a:1")
		table.slow = 64 * time.Millisecond // 1000 puts a second
		stdout, stderr, _ := pipe(t, table, "fill 5000\nrebalance --rate 50\n")
		if !strings.HasPrefix(stdout, "5,000 pairs put in 5.1 s: 9") || !strings.HasSuffix(stdout, "\n2,500 copied (250.0 kB), 2,000 removed, in 2.5 s\n") {
			t.Errorf("stdout %q", stdout)
		}
		if !regexp.MustCompile(`^fill:  40 %, 1,9\d\d of 5,000 keys, 19\d\.\d kB, 3\.\d s left\nfill:  \d\d %, .*\nrebalance:  \d\d %, 8,\d00 of 10,000 keys, .* copied, .* removed\n$`).MatchString(stderr) {
			t.Errorf("stderr\n%s", stderr)
		}
	})
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newFakeRing("a:1", brokenAddr)
		table.slow = 64 * time.Millisecond
		interrupts := make(chan os.Signal, 1)
		interrupts <- os.Interrupt // one from before, which must end nothing
		p := &typist{lines: []string{"get nosuch", "fill 1000000", "rebalance", "add c:1", "put k v", "get k"}}
		p.before = func(line string) {
			if line == "fill 1000000" || line == "rebalance" || line == "add c:1" {
				time.AfterFunc(time.Second, func() { interrupts <- os.Interrupt })
			}
		}
		var out, errs bytes.Buffer
		s := &Shell{Table: table, Input: p, Stdout: &out, Stderr: &errs, Timeout: 10 * time.Second, Interrupts: interrupts}
		if _, err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := `(no such key)
interrupted: 960 of 1,000,000 pairs were put, in 1.0 s
interrupted: 2,500 copied (250.0 kB), 2,000 removed, in 50 ms, and more is to be done
interrupted: c:1 was added, but not all entries were moved (2,500 copied (250.0 kB), 2,000 removed, in 50 ms); rebalance goes on with it
stored at a:1
`
		if out.String() != "v\n" || errs.String() != want {
			t.Errorf("stdout %q, stderr\n%swant\n%s", &out, &errs, want)
		}
	})
}

// stuck answers when its context is done.
type stuck struct{ *fakeRing }

func (stuck) Get(ctx context.Context, key string) (torc.Entry, error) {
	<-ctx.Done()
	return torc.Entry{}, &torc.Error{Op: "get", Key: key, Err: fmt.Errorf("%w: %w", torc.ErrUnavailable, ctx.Err())}
}

func (stuck) Delete(ctx context.Context, key string) error {
	<-ctx.Done()
	return &torc.Error{Op: "delete", Key: key, Err: fmt.Errorf("%w: %w", torc.ErrUnknownOutcome, ctx.Err())}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, stderr, tally := pipe(t, stuck{newFakeRing("a:1")}, "get k\ndelete k\n")
		want := "in:1: get \"k\": unavailable: context deadline exceeded\nin:2: delete \"k\": the write may or may not have happened: context deadline exceeded\n"
		if stderr != want || tally.Failed != 2 || time.Since(start) != 20*time.Second {
			t.Errorf("%+v, after %v, stderr\n%s", tally, time.Since(start), stderr)
		}
	})
}

func TestInterruptedWriteSaysWhatItMayHaveDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		interrupts := make(chan os.Signal, 1)
		p := &typist{lines: []string{"delete k"}, before: func(string) { time.AfterFunc(time.Second, func() { interrupts <- os.Interrupt }) }}
		var errs bytes.Buffer
		s := &Shell{Table: stuck{newFakeRing("a:1")}, Input: p, Stdout: io.Discard, Stderr: &errs, Interrupts: interrupts}
		if _, err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := errs.String(); got != "interrupted: the write may or may not have happened\n" {
			t.Errorf("stderr %q", got)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, w := io.Pipe()
		in := NewStream("in", r)
		_, err := (&Shell{Table: newFakeRing(), Input: in, Stdout: io.Discard, Stderr: io.Discard}).Run(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run = %v", err)
		}
		in.Close()
		_ = w.Close()
	})
}

// Each line runs, and its answer can be read, before the next one has come.
func TestStreamAnswersEachLine(t *testing.T) {
	t.Parallel()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	in := NewStream("in", inR)
	defer in.Close()
	done := make(chan error, 1)
	go func() {
		_, err := (&Shell{Table: newFakeRing("a:1"), Input: in, Stdout: outW, Stderr: io.Discard}).Run(t.Context())
		done <- err
	}()
	answers := bufio.NewReader(outR)
	for i := range 3 {
		if _, err := fmt.Fprintf(inW, "put k %d\nget k\n", i); err != nil {
			t.Fatal(err)
		}
		if got, err := answers.ReadString('\n'); err != nil || got != fmt.Sprintf("%d\n", i) {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	_ = inW.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStreamLimits(t *testing.T) {
	t.Parallel()
	table := newFakeRing("a:1")
	value := strings.Repeat("v", 1<<20)
	stdout, stderr, _ := pipe(t, table, "\ufeffput k "+value+"\r\nget k")
	if stdout != value+"\n" || stderr != "" {
		t.Errorf("%d bytes came back, stderr %.100q", len(stdout), stderr)
	}
	in := NewStream("in", strings.NewReader("get k\nput k "+strings.Repeat("v", MaxLineLen)+"\nget k\n"))
	defer in.Close()
	_, err := (&Shell{Table: table, Input: in, Stdout: io.Discard, Stderr: io.Discard}).Run(t.Context())
	if err == nil || err.Error() != "in:2: the line has more than 2097152 bytes" {
		t.Errorf("a line that is too long: %v", err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestRunStopsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	in := NewStream("in", strings.NewReader("put a 1\nkeys\nput b 1\n"))
	defer in.Close()
	table := newFakeRing("a:1")
	_, err := (&Shell{Table: table, Input: in, Stdout: brokenWriter{broken}, Stderr: io.Discard}).Run(t.Context())
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "in:2: ") || table.mu.keys["b"] {
		t.Errorf("Run = %v", err)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	stdout, _, _ := pipe(t, newFakeRing(), "help\n")
	for _, d := range commands() {
		if !strings.Contains(stdout, "\n"+d.name) && !strings.HasPrefix(stdout, d.name) {
			t.Errorf("help does not know %s:\n%s", d.name, stdout)
		}
		text, _, _ := pipe(t, newFakeRing(), "help "+d.name+"\n")
		again, _, _ := pipe(t, newFakeRing(), d.name+" --help\n")
		if !strings.HasPrefix(text, d.usage()+"\n  "+d.short+"\n") || again != text {
			t.Errorf("help %s:\n%s", d.name, text)
		}
		for line := range strings.Lines(text) {
			if len(line) > 88 {
				t.Errorf("help %s has a line of %d columns: %s", d.name, len(line), line)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	table := newFakeRing("a:1", "b:1")
	in := NewStream("in", strings.NewReader(`put k v
get k
get nosuch
locate k
keys
keys nosuch
nodes
stats
add c:1
remove a:1
rebalance
fill 3 --size 2
help
# no object
put "\xff" "\xfe"
get "\xff"
nonsense
quit
`))
	defer in.Close()
	var out, errs bytes.Buffer
	s := &Shell{Table: table, Input: in, Stdout: &out, Stderr: &errs, JSON: true}
	if _, err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	changing := regexp.MustCompile(`"(seconds|since)":("[^"]*"|[-+.e0-9]+)`)
	got := changing.ReplaceAllString(out.String(), `"$1":0`)
	const ab = `{"addr":"a:1","weight":1,"state":"up","since":0},{"addr":"b:1","weight":1,"state":"up","since":0}`
	const progress = `"pass":1,"looked":10000,"copied":2500,"removed":2000,"bytes":250000,"seconds":0`
	want := `{"line":1,"command":"put","key":"k","bytes":1,"outcome":"done","seconds":0}
{"line":2,"command":"get","key":"k","value":"v","version":"1-1","outcome":"done","seconds":0}
{"line":3,"command":"get","key":"nosuch","outcome":"missing","reason":"get \"nosuch\": no such key","seconds":0}
{"line":4,"command":"locate","key":"k","owners":[{"addr":"a:1","weight":1,"state":"up","since":0}],"hops":0,"generation":1,"version":2,"outcome":"done","seconds":0}
{"line":5,"command":"keys","keys":[{"key":"k"},{"key":"k"}],"outcome":"done","seconds":0}
{"line":6,"command":"keys","keys":[],"outcome":"done","seconds":0}
{"line":7,"command":"nodes","generation":1,"version":2,"members":[` + ab + `],"outcome":"done","seconds":0}
{"line":8,"command":"stats","placement":"murmur3","copies":3,"vnodes":120,"version":7,"members":[{"addr":"a:1","weight":1,"state":"up","since":0,"entries":1,"bytes":1000,"share":0.5},{"addr":"b:1","weight":1,"state":"up","since":0,"entries":2,"bytes":2000,"share":0.5}],"outcome":"done","seconds":0}
{"line":9,"command":"add","addr":"c:1","rebalance":{` + progress + `},"outcome":"done","seconds":0}
{"line":10,"command":"remove","addr":"a:1","rebalance":{` + progress + `},"outcome":"done","seconds":0}
{"line":11,"command":"rebalance","rebalance":{` + progress + `},"outcome":"done","seconds":0}
{"line":12,"command":"fill","pairs":3,"bytes":6,"outcome":"done","seconds":0}
{"line":13,"command":"help","outcome":"done","seconds":0}
{"line":15,"command":"put","key_base64":"/w==","bytes":1,"outcome":"done","seconds":0}
{"line":16,"command":"get","key_base64":"/w==","value_base64":"/g==","version":"1-5","outcome":"done","seconds":0}
{"line":17,"command":"","outcome":"failed","reason":"there is no command \"nonsense\"; help lists them","seconds":0}
{"line":18,"command":"quit","outcome":"done","seconds":0}
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	if want := "in:3: get \"nosuch\": no such key\nin:17: there is no command \"nonsense\"; help lists them\n"; errs.String() != want {
		t.Errorf("stderr %q", &errs)
	}
}

// What would do nothing while nobody is up fails, and says why nobody is.
func TestNobodyIsUp(t *testing.T) {
	t.Parallel()
	table := newFakeRing()
	table.SetMembers(torc.Member{Addr: "a:1", Weight: 1, State: torc.Down, Reason: "EOF"})
	stdout, stderr, tally := pipe(t, table, "keys\nrebalance\nrebalance --dry-run\n")
	const why = ": unavailable: no member is up: a:1 (down: EOF)\n"
	if want := "in:1" + why + "in:2" + why + "in:3" + why; stdout != "" || stderr != want || tally.Failed != 3 {
		t.Errorf("%+v, stdout %q, stderr\n%swant\n%s", tally, stdout, stderr, want)
	}
}

// A command that is stopped because the program ends says just that, and how far
// it was; and nobody is asked for another line.
func TestEndOfTheProgramInterrupts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	table := newFakeRing("a:1")
	table.slow = time.Minute
	p := &typist{lines: []string{"fill 10", "get k"}, before: func(string) { time.AfterFunc(10*time.Millisecond, cancel) }}
	var out, errs bytes.Buffer
	s := &Shell{Table: table, Input: p, Stdout: &out, Stderr: &errs}
	_, err := s.Run(ctx)
	if !errors.Is(err, ErrInterrupted) || len(p.lines) != 1 {
		t.Errorf("Run = %v, and %q are left", err, p.lines)
	}
	if got := errs.String(); !strings.HasPrefix(got, "interrupted: 0 of 10 pairs were put, in ") || strings.Contains(got, "context") {
		t.Errorf("it says %q", got)
	}
}

// Nobody is less than even by a rounding error.
func TestStatsOfOne(t *testing.T) {
	t.Parallel()
	one := torc.MemberSurvey{Member: torc.Member{Addr: "a:1", Weight: 1}, Share: 0.9999999999}
	text := surveyText(torc.Survey{Placement: "ketama", Copies: 1, Members: []torc.MemberSurvey{one}}, terminal.Style{})
	if want := "on a:1 0.0 % more keys are placed than on an even share\n"; !strings.HasSuffix(text, want) {
		t.Errorf("%s\nlacks %s", text, want)
	}
}
