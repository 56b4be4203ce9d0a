package check

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// parse makes a history from lines such as
//
//	1  5-9  put k v ok
//
// client, call and return in milliseconds, operation, key, value, outcome; "-"
// is an empty value, a swap's value is written old>new, and so is that of an
// exchange, whose old value is "-" if it found none. An outcome with a star behind
// is labelled.
func parse(t *testing.T, text string) History {
	t.Helper()
	var h History
	for line := range strings.Lines(strings.TrimSpace(text)) {
		f := strings.Fields(line)
		if len(f) != 6 {
			t.Fatalf("%q is not an operation", line)
		}
		var o Operation
		var call, ret int
		if _, err := fmt.Sscanf(f[0]+" "+f[1], "%d %d-%d", &o.Client, &call, &ret); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		o.Call, o.Return = time.Duration(call)*time.Millisecond, time.Duration(ret)*time.Millisecond
		o.Op, o.Key, o.Value, o.Outcome = Op(f[2]), Text(f[3]), Text(f[4]), Outcome(strings.TrimSuffix(f[5], "*"))
		o.Labelled = strings.HasSuffix(f[5], "*")
		if old, value, ok := strings.Cut(f[4], ">"); ok {
			o.Expect, o.Value = Text(old), Text(value)
		}
		if o.Op == Exchange {
			if o.Found = o.Expect != "-" && o.Outcome == OK; !o.Found {
				o.Expect = ""
			}
		}
		if o.Value == "-" {
			o.Value = ""
		}
		h = append(h, o)
	}
	return h
}

// Each history and which rules hold for it: v Values, f Fresh, c Linearizable as
// a cache, r Linearizable as a register.
var histories = []struct{ name, hold, text string }{
	{"one client", "vfcr", `
		1 0-1 get k - missing
		1 2-3 put k a ok
		1 4-5 get k a ok
		1 6-7 put k b ok
		1 8-9 get k b ok
		1 10-11 delete k - ok
		1 12-13 get k - missing
		1 14-15 delete k - missing`},
	{"keys are independent", "vfcr", `
		1 0-1 put k a ok
		1 2-3 get other - missing
		1 4-5 put other b ok
		1 6-7 get k a ok`},
	{"a read beside a write sees either", "vfcr", `
		1 0-1 put k a ok
		1 2-9 put k b ok
		2 3-4 get k a ok
		2 5-6 get k b ok`},
	{"conditions", "vfcr", `
		1 0-1 put-if-absent k a ok
		2 2-3 put-if-absent k b exists
		1 4-5 swap k a>c ok
		2 6-7 swap k a>d conflict
		2 8-9 get k c ok
		1 10-11 delete k - ok
		1 12-13 swap k c>e missing`},
	{"an unknown write that happened", "vfcr", `
		1 0-1 put k a ok
		1 2-3 put k b unknown
		2 4-5 get k b ok`},
	{"an unknown write that happened later", "vfcr", `
		1 0-1 put k a ok
		1 2-3 put k b unknown
		2 4-5 get k a ok
		2 6-7 get k b ok`},
	{"an unknown write that never happened", "vfcr", `
		1 0-1 put k a ok
		1 2-3 put k b unknown
		2 4-5 get k a ok`},
	{"an unknown write that came behind a later one", "vfcr", `
		1 0-1 put k a unknown
		1 2-3 put k b ok
		2 4-5 get k b ok
		2 6-7 get k a ok`},
	{"an unknown delete", "vfcr", `
		1 0-1 put k a ok
		1 2-3 delete k - unknown
		2 4-5 get k a ok
		2 6-7 get k - missing`},
	{"an unknown condition that held later", "vfcr", `
		1 0-1 put k a ok
		1 2-3 swap k b>c unknown
		1 4-5 put k b ok
		2 6-7 get k c ok`},
	{"failed operations are nothing", "vfcr", `
		1 0-1 put k a ok
		1 2-3 put k b failed
		2 4-5 get k - failed
		2 6-7 get k a ok`},
	{"an entry that was evicted", "vfc", `
		1 0-1 put k a ok
		1 2-3 get k - missing
		1 4-5 put-if-absent k b ok
		1 6-7 get k b ok`},
	{"an entry that was away", "vfc", `
		1 0-1 put k a ok
		1 2-3 get k - missing
		1 4-5 get k a ok`},
	{"an entry that moved", "vfc", `
		1 0-1 put k a ok
		1 2-3 swap k a>b conflict
		1 4-5 get k a ok`},

	{"exchanges", "vfcr", `
		1 0-1 get k - missing
		1 2-3 exchange k ->a ok
		2 4-5 exchange k a>b ok
		1 6-7 get k b ok
		1 8-9 exchange k b>c ok`},
	{"exchanges in any order that fits", "vfcr", `
		1 0-9 exchange k b>c ok
		2 0-9 exchange k ->a ok
		3 0-9 exchange k a>b ok
		4 0-9 get k a ok`},
	{"an exchange over a put", "vfcr", `
		1 0-1 put k a ok
		1 2-3 exchange k a>b ok
		2 2-9 put k c ok
		1 10-11 get k c ok`},
	{"an unknown exchange that happened", "vfcr", `
		1 0-1 exchange k ->a ok
		2 2-3 exchange k ?>b unknown
		1 4-5 exchange k a>c ok
		1 6-7 exchange k b>d ok`},
	{"an unknown exchange that never happened", "vfcr", `
		1 0-1 exchange k ->a ok
		2 2-3 exchange k ?>b unknown
		1 4-5 exchange k a>c ok`},
	{"exchanges and a delete", "vfcr", `
		1 0-1 exchange k ->a ok
		1 2-3 delete k - ok
		2 4-5 exchange k ->b ok`},
	{"a labelled read is nothing", "vfcr", `
		1 0-1 put k a ok
		1 2-3 put k b ok
		2 4-5 get k a ok*
		2 6-7 get k x ok*
		2 8-9 get k - missing*`},
	{"labelled writes happened", "vfcr", `
		1 0-1 exchange k ->a ok
		2 2-3 exchange k a>b ok*
		1 2-3 exchange k a>c ok
		2 4-5 get k b ok`},
	{"labelled writes happened later", "vfcr", `
		1 0-1 exchange k ->a ok
		2 2-3 exchange k a>b ok*
		2 4-5 exchange k b>c ok*
		1 6-7 exchange k a>d ok
		2 8-9 exchange k c>e ok`},
	{"labelled writes never happened", "vfcr", `
		1 0-1 put k a ok
		2 2-3 put-if-absent k b ok*
		2 4-5 delete k - ok*
		2 6-7 get k a ok`},
	{"a labelled condition counts for nothing later", "vfcr", `
		1 0-1 put k a ok
		2 2-3 put-if-absent k b exists*
		2 6-7 get k b ok`},
	{"an exchange of an entry that was evicted", "vfc", `
		1 0-1 put k a ok
		1 2-3 exchange k ->b ok`},

	{"two exchanges of one value", "vf", `
		1 0-1 put k a ok
		1 2-9 exchange k a>b ok
		2 3-8 exchange k a>c ok`},
	{"two exchanges of nothing", "vfc", `
		1 2-9 exchange k ->b ok
		2 3-8 exchange k ->c ok`},
	{"an exchange that was lost", "v", `
		1 0-1 exchange k ->a ok
		1 2-3 exchange k a>b ok
		2 4-5 exchange k a>c ok`},
	{"an exchange with a value that nobody wrote", "f", `
		1 0-1 exchange k x>a ok`},
	{"an exchange with the value of one that failed", "f", `
		1 0-1 exchange k ?>a failed
		1 2-3 exchange k a>b ok`},
	{"a read of what was exchanged", "v", `
		1 0-1 exchange k ->a ok
		1 2-3 exchange k a>b ok
		2 4-5 get k a ok`},
	{"exchanges in a circle", "vf", `
		1 0-9 exchange k b>a ok
		2 0-9 exchange k a>b ok`},
	{"an exchange with itself", "vf", `
		1 0-9 exchange k a>a ok`},
	{"a labelled value that comes and goes", "v", `
		1 0-1 exchange k ->a ok
		2 2-3 exchange k a>b ok*
		1 4-5 get k b ok
		1 6-7 exchange k b>c ok
		2 8-9 get k b ok`},
	{"a labelled value before it was written", "f", `
		1 0-1 get k b ok
		2 2-3 exchange k ->b ok*`},

	{"a value that nobody wrote", "f", `
		1 0-1 put k a ok
		1 2-3 get k x ok`},
	{"a value from the future", "", `
		1 0-1 get k a ok
		1 2-3 put k a ok
		1 4-5 put k b ok
		1 6-7 get k a ok`},
	{"a value of another key", "f", `
		1 0-1 put k a ok
		1 2-3 put other b ok
		1 4-5 get k b ok`},
	{"a value of a failed write", "f", `
		1 0-1 put k a ok
		1 2-3 put k b failed
		1 4-5 get k b ok`},
	{"a value of a refused write", "f", `
		1 0-1 put k a ok
		1 2-3 put-if-absent k b exists
		1 4-5 get k b ok`},
	{"a stale read", "v", `
		1 0-1 put k a ok
		1 2-3 put k b ok
		2 4-5 get k a ok`},
	{"reads that go backwards", "v", `
		1 0-1 put k a ok
		1 2-9 put k b unknown
		2 4-5 get k b ok
		3 6-7 get k a ok`},
	{"a deleted value comes back", "v", `
		1 0-1 put k a ok
		1 2-3 delete k - ok
		2 4-5 get k a ok`},
	{"a lost write", "vfc", `
		1 0-1 put k a ok
		2 2-3 get k - missing`},
	{"a write lost to an older one", "v", `
		1 0-1 put k a ok
		1 2-3 put k b ok
		1 4-5 get k b ok
		1 6-7 get k a ok`},
	{"an absent entry that existed", "vf", `
		1 0-1 put-if-absent k a exists
		1 2-3 put k b ok`},
	{"two winners", "vf", `
		1 0-1 put k a ok
		1 2-5 swap k a>b ok
		2 3-6 swap k a>c ok`},
	{"two who found it absent", "vfc", `
		1 0-5 put-if-absent k a ok
		2 1-6 put-if-absent k b ok`},
	{"a delete of what is gone", "vf", `
		1 0-1 put k a ok
		1 2-5 delete k - ok
		2 3-6 delete k - ok`},
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, c := range histories {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := parse(t, c.text)
			for rule, err := range map[string]error{
				"v": Values(h), "f": Fresh(h),
				"c": Linearizable(h, Cache, DefaultTimeout), "r": Linearizable(h, Register, DefaultTimeout),
			} {
				if hold := strings.Contains(c.hold, rule); hold != (err == nil) {
					t.Errorf("rule %s should hold: %v; it says: %v", rule, hold, err)
				}
				var v *Violation
				if err != nil && (!errors.As(err, &v) || v.Key != "k") {
					t.Errorf("rule %s: %v is no violation at k", rule, err)
				}
			}
		})
	}
}

func TestViolationsSayWhatHappened(t *testing.T) {
	t.Parallel()
	h := parse(t, `
		1 0-1 put k a ok
		1 2-3 put k b ok
		2 4-5 get k a ok`)
	want := `key "k": a value was read after it had been replaced
	client 1, 0s to 1ms: put "k" to "a": ok
	client 1, 2ms to 3ms: put "k" to "b": ok
	client 2, 4ms to 5ms: get "k": ok "a"`
	if got := Fresh(h).Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for text, says := range map[string]string{
		"1 0-1 put k a ok\n1 2-3 get k x ok":                        "that nobody wrote",
		"1 0-1 get k a ok\n1 2-3 put k a ok":                        "before it was written",
		"1 0-1 put j a ok\n1 2-3 get k a ok":                        "written to another key",
		"1 0-1 put k a failed\n1 2-3 get k a ok":                    "said that it did nothing",
		"1 0-1 put k a failed\n1 2-3 put k a ok\n1 4-5 get k a ok":  "",
		"1 0-1 put k a ok\n1 2-3 put k a failed\n1 4-5 get k a ok":  "",
		"1 2-3 put k a unknown\n1 6-7 put k a ok\n1 4-5 get k a ok": "",
		"1 0-1 put k a ok\n1 4-5 put k a ok\n1 2-3 get other a ok":  "written to another key",
	} {
		err := Values(parse(t, text))
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	if err := Fresh(parse(t, "1 0-1 put k a ok\n1 4-5 put k a ok")); err == nil || !strings.Contains(err.Error(), "written twice") {
		t.Errorf("a value written twice: %v", err)
	}
}

// A search that can't be ended in time is no pass.
func TestUndecidedIsAViolation(t *testing.T) {
	t.Parallel()
	var h History
	for i := range 200 { // all at once, and a read that none explains
		h = append(h, Operation{Client: i, Return: time.Second, Op: Put, Key: "k", Value: Text(fmt.Sprint(i)), Outcome: OK})
	}
	h = append(h, Operation{Client: 200, Return: time.Second, Op: PutIfAbsent, Key: "k", Value: "x", Outcome: OK},
		Operation{Client: 201, Call: 2 * time.Second, Return: 3 * time.Second, Op: Get, Key: "k", Outcome: Missing})
	err := Linearizable(h, Register, 10*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "undecided") {
		t.Errorf("Linearizable: %v", err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	h := parse(t, histories[3].text)
	for _, s := range []Text{"", "\x00\xff", "base64:", "base64:!", "é\u2028<&>\n", "\xed\xa0\x80"} {
		h = append(h, Operation{Client: 3, Op: Get, Key: "k" + s, Value: s, Outcome: OK, Err: "why"})
	}
	var b bytes.Buffer
	if err := h.Save(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != len(h) {
		t.Errorf("%d operations took %d lines", len(h), n)
	}
	got, err := Load(&b)
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("%v\n%v\n%v", err, got, h)
	}
	for _, text := range []string{"nonsense", `{"client":1}{`, `{"clint":1}`, `{"key":"base64:!"}`} {
		if h, err := Load(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), "check: loading operation ") {
			t.Errorf("Load(%q) = %v, %v", text, h, err)
		}
	}
}

// notes is a TB that notes what Verify says.
type notes struct{ errors, log []string }

func (n *notes) Helper() {}
func (n *notes) Errorf(format string, args ...any) {
	n.errors = append(n.errors, fmt.Sprintf(format, args...))
}
func (n *notes) Logf(format string, args ...any) {
	n.log = append(n.log, fmt.Sprintf(format, args...))
}

// Verify fails a test for each history that breaks a rule, and leaves files that
// show why.
func TestVerify(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, c := range histories {
		for semantics, name := range map[Semantics]string{Register: "r", Cache: "c"} {
			var n notes
			h := parse(t, c.text)
			Verify(&n, h, semantics)
			passes := strings.Contains(c.hold, "v") && strings.Contains(c.hold, "f") && strings.Contains(c.hold, name)
			if passes && len(n.errors)+len(n.log) > 0 || !passes && (len(n.errors) != 1 || len(n.log) != 1) {
				t.Errorf("%s: passes: %v, but Verify said %q and %q", c.name, passes, n.errors, n.log)
			}
			if passes || len(n.log) == 0 {
				continue
			}
			dir := n.log[0][strings.LastIndexByte(n.log[0], ' ')+1:]
			f, err := os.Open(filepath.Join(dir, "history.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			if saved, err := Load(f); err != nil || !reflect.DeepEqual(saved, h) {
				t.Errorf("%s: saved %v, %v", c.name, saved, err)
			}
			_ = f.Close()
			page, err := os.ReadFile(filepath.Join(dir, "history.html"))
			drawn := strings.Contains(c.hold, "v") && strings.Contains(c.hold, "f")
			if drawn && !bytes.Contains(page, []byte("<html")) || !drawn && !os.IsNotExist(err) {
				t.Errorf("%s: the drawing: %.40q, %v", c.name, page, err)
			}
		}
	}
}
