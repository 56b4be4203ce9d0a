package script

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/torc-dht/torc"
)

func TestParseLine(t *testing.T) {
	t.Parallel()
	k250 := strings.Repeat("k", torc.MaxKeyLen)
	for line, want := range map[string]Command{
		"":                        {},
		" \t\r\n":                 {},
		"#":                       {},
		"  # GET k":               {},
		"GET k":                   {Op: Get, Key: "k"},
		"get k\n":                 {Op: Get, Key: "k"},
		"\tGeT\t k \t\r\n":        {Op: Get, Key: "k"},
		"GET a b":                 {Op: Get, Key: "a b"},
		"GET a,b":                 {Op: Get, Key: "a,b"},
		"GET #":                   {Op: Get, Key: "#"},
		"GET " + k250:             {Op: Get, Key: k250},
		"DELETE k":                {Op: Delete, Key: "k"},
		"delete  a  b ":           {Op: Delete, Key: "a  b"},
		"PUT k, v":                {Op: Put, Key: "k", Value: "v"},
		"PUT k,v":                 {Op: Put, Key: "k", Value: "v"},
		"put\tk k ,\tv  w \r\n":   {Op: Put, Key: "k k", Value: "v  w"},
		"PUT k, a,b, c":           {Op: Put, Key: "k", Value: "a,b, c"},
		"PUT k,":                  {Op: Put, Key: "k"},
		"PUT k,,":                 {Op: Put, Key: "k", Value: ","},
		"PUT k, \x00\xff\x7f # x": {Op: Put, Key: "k", Value: "\x00\xff\x7f # x"},
		"SLEEP 0":                 {Op: Sleep},
		"sleep 1500 ":             {Op: Sleep, Sleep: 1500 * time.Millisecond},
		"SLEEP 0010":              {Op: Sleep, Sleep: 10 * time.Millisecond},
		"SLEEP 86400000":          {Op: Sleep, Sleep: MaxSleep},
	} {
		if got, err := ParseLine(line); err != nil || got != want {
			t.Errorf("ParseLine(%q) = %+v, %v, want %+v", line, got, err, want)
		}
	}
}

func TestParseLineRefuses(t *testing.T) {
	t.Parallel()
	k251 := strings.Repeat("k", torc.MaxKeyLen+1)
	for line, says := range map[string]string{
		"GET":                          "GET needs a key: GET key",
		"get ":                         "GET needs a key: GET key",
		"DELETE":                       "DELETE needs a key: DELETE key",
		"GET " + k251:                  "the key has 251 bytes: at most 250",
		"DELETE " + k251:               "the key has 251 bytes: at most 250",
		"PUT " + k251 + ", v":          "the key has 251 bytes: at most 250",
		"PUT":                          "PUT needs a comma: PUT key, value",
		"PUT k v":                      "PUT needs a comma: PUT key, value",
		"PUT , v":                      "PUT needs a key before the comma",
		"SLEEP":                        "SLEEP needs a time: SLEEP milliseconds",
		"SLEEP soon":                   `a whole number of milliseconds, not "soon"`,
		"SLEEP 1.5":                    `a whole number of milliseconds, not "1.5"`,
		"SLEEP -1":                     `a whole number of milliseconds, not "-1"`,
		"SLEEP 1 2":                    `a whole number of milliseconds, not "1 2"`,
		"SLEEP 86400001":               "at most 86400000 milliseconds",
		"SLEEP 9999999999999999999999": "at most 86400000 milliseconds",
		"FETCH k":                      `"FETCH" is not a command: write GET key`,
		"GETk":                         `"GETk" is not a command`,
		"PUT,k,v":                      `"PUT,k,v" is not a command`,
		"\x1b]0;boo\a":                 `"\x1b]0;boo\a" is not a command`,
		"PUT k, " + strings.Repeat("v", MaxLineLen): "the line has more than 2097152 bytes",
	} {
		got, err := ParseLine(line)
		if err == nil || !strings.Contains(err.Error(), says) || got != (Command{}) {
			t.Errorf("ParseLine(%.40q) = %+v, %v, want an error that says %q", line, got, err, says)
		}
	}
}

// Whatever a line holds, a command that was parsed is within its limits and is
// written so that it parses to the same.
func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"GET k", "put\tk k ,\tv  w \r\n", "PUT k,,", "SLEEP 10", "DELETE k", "# x", "PUT k v", "\ufeffGET k", "PUT a,\r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseLine(line)
		if err != nil {
			if c != (Command{}) {
				t.Fatalf("ParseLine(%q) = %+v and %v", line, c, err)
			}
			return
		}
		if c.Op != Nothing && c.Op != Sleep && torc.CheckKey(c.Key) != nil || c.Sleep < 0 || c.Sleep > MaxSleep {
			t.Fatalf("ParseLine(%q) = %+v", line, c)
		}
		if again, err := ParseLine(c.String()); err != nil || again != c {
			t.Fatalf("ParseLine(%q) = %+v; its String %q parses to %+v, %v", line, c, c.String(), again, err)
		}
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	text := "\ufeffPUT a, 1\r\n\r\n# a comment\n\tget a\nSLEEP 5\nDELETE a"
	want := Script{
		{1, Command{Op: Put, Key: "a", Value: "1"}},
		{4, Command{Op: Get, Key: "a"}},
		{5, Command{Op: Sleep, Sleep: 5 * time.Millisecond}},
		{6, Command{Op: Delete, Key: "a"}},
	}
	got, err := Parse("f", iotest.OneByteReader(strings.NewReader(text)))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = %+v, %v, want %+v", got, err, want)
	}
	if got, err := Parse("f", strings.NewReader("")); err != nil || len(got) != 0 {
		t.Errorf("Parse of an empty file = %+v, %v", got, err)
	}
}

func TestParseReportsEveryWrongLine(t *testing.T) {
	t.Parallel()
	text := "GET a\nPUT k v\nGET b\nnonsense\n" + strings.Repeat("x", MaxLineLen+3) + "\nGET c\nSLEEP x"
	s, err := Parse("cmds.txt", strings.NewReader(text))
	if s != nil || err == nil {
		t.Fatalf("Parse = %+v, %v", s, err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i, prefix := range []string{
		"cmds.txt:2: PUT needs a comma: PUT key, value", `cmds.txt:4: "nonsense" is not`, "cmds.txt:5: the line has more", "cmds.txt:7: SLEEP takes",
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], prefix) {
			t.Errorf("line %d of the error lacks %q:\n%v", i+1, prefix, err)
		}
	}
	var le *LineError
	if !errors.As(err, &le) || le.Name != "cmds.txt" || le.Number != 2 {
		t.Errorf("errors.As found %+v", le)
	}

	_, err = Parse("f", strings.NewReader(strings.Repeat("nonsense\n", 1000)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxLineErrors+1 || !strings.HasSuffix(err.Error(), "only the first 20 wrong lines are listed") {
		t.Errorf("an error of %d lines: %v", n, err)
	}
}

func TestParseLimits(t *testing.T) {
	t.Parallel()
	// The longest line passes, whether it has an end or not.
	value := strings.Repeat("v", MaxLineLen-len("PUT k, "))
	for _, end := range []string{"", "\n", "\r\n"} {
		s, err := Parse("f", strings.NewReader("PUT k, "+value+end))
		if err != nil || len(s) != 1 || s[0].Value != value {
			t.Errorf("a line of MaxLineLen with the end %q: %v", end, err)
		}
		if _, err := Parse("f", strings.NewReader("PUT k, "+value+"v"+end)); err == nil {
			t.Errorf("a line of MaxLineLen+1 with the end %q passed", end)
		}
	}
	for _, bom := range []string{"\xff\xfe", "\xfe\xff"} {
		if _, err := Parse("f", strings.NewReader(bom+"G\x00E\x00")); err == nil || !strings.Contains(err.Error(), "f: the file is UTF-16: save it as UTF-8") {
			t.Errorf("UTF-16: %v", err)
		}
	}
	broken := errors.New("disk on fire")
	if s, err := Parse("f", iotest.ErrReader(broken)); s != nil || !errors.Is(err, broken) {
		t.Errorf("Parse from a broken reader = %v, %v", s, err)
	}
	// A line without end takes no memory beyond its limit.
	in := newLineReader(bytes.NewReader(make([]byte, 20*MaxLineLen)))
	if _, err := in.next(); err != errLineTooLong {
		t.Errorf("a line of 20 times MaxLineLen: %v", err)
	}
}
