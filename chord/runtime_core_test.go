package chord

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWhereaboutsAreRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := Whereabouts{
			ID:   rapid.StringMatching(`0|[1-9][0-9]{0,48}`).Draw(t, "id"),
			Addr: rapid.SampledFrom([]string{"127.0.0.1:4711", "[::1]:1", "node.example:65535"}).Draw(t, "addr"),
			Boot: rapid.Uint64Min(1).Draw(t, "boot"), Pid: rapid.IntRange(1, 1<<22).Draw(t, "pid"),
			Joined: rapid.Bool().Draw(t, "joined"),
		}
		if got, err := decodeWhereabouts(w.encode()); err != nil || got != w {
			t.Fatalf("%+v is read as %+v, %v", w, got, err)
		}
	})
	for _, text := range []string{
		"", "{", "null", "{}", `{"id":"35"}`,
		`{"id":"035","addr":"h:1","boot":"1","pid":1}`,
		`{"id":"-1","addr":"h:1","boot":"1","pid":1}`,
		`{"id":"35","addr":"h","boot":"1","pid":1}`,
		`{"id":"35","addr":"h:1","boot":"0","pid":1}`,
		`{"id":"35","addr":"h:1","boot":"g","pid":1}`,
		`{"id":"35","addr":"h:1","boot":"1","pid":0}`,
	} {
		if w, err := decodeWhereabouts([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", text, w)
		}
	}
}

func FuzzWhereabouts(f *testing.F) {
	f.Add(Whereabouts{ID: "35", Addr: "127.0.0.1:1", Boot: 7, Pid: 1}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decodeWhereabouts(b)
		if err != nil {
			return
		}
		if again, err := decodeWhereabouts(w.encode()); err != nil || again != w {
			t.Errorf("%q is %+v, and that %+v, %v", b, w, again, err)
		}
	})
}

func TestJudge(t *testing.T) {
	t.Parallel()
	w := Whereabouts{ID: "35", Addr: "h:1", Boot: 7, Pid: 99}
	for _, c := range []struct {
		what     string
		g        greeting
		err      error
		pidLives bool
		want     standing
	}{
		{"it answers", greeting{"35", 7, true}, nil, true, member},
		{"it answers on its way in", greeting{"35", 7, false}, nil, true, joining},
		{"it answers, from where its process can't be seen", greeting{"35", 7, true}, nil, false, member},
		{"it was started again at the same port", greeting{"35", 8, true}, nil, true, gone},
		{"another node has its port", greeting{"36", 9, true}, nil, true, gone},
		{"its port is closed, its process number another's", greeting{}, errRefused, true, gone},
		{"its port is another program's", greeting{}, errForeign, true, gone},
		{"it is frozen", greeting{}, context.DeadlineExceeded, true, mute},
		{"its port is a silent program's", greeting{}, context.DeadlineExceeded, false, gone},
	} {
		if got := judge(w, c.g, c.err, c.pidLives); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

func TestNodeNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]NodeName{
		"35": {"35", ""}, "0": {"0", ""}, "007": {"7", ""}, "000": {"0", ""},
		"35@127.0.0.1:7100":     {"35", "127.0.0.1:7100"},
		"35@[::1]:7100":         {"35", "[::1]:7100"},
		strings.Repeat("9", 49): {strings.Repeat("9", 49), ""},
	} {
		if got, err := ParseNodeName(text); err != nil || got != want {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "decimal", "-1": "decimal", "x": "decimal", "3 5": "decimal", "1e3": "decimal", "@h:1": "decimal",
		"35@": "ID@HOST:PORT", "35@h": "ID@HOST:PORT", "35@h:0": "ID@HOST:PORT", "35@h:1@h:1": "ID@HOST:PORT",
		strings.Repeat("9", 50): "so large",
	} {
		if got, err := ParseNodeName(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
}

func TestKeysOfThePrograms(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("9", 250)
	for text, want := range map[string]string{"291": "291", "0": "0", "00291": "291", long: long, "0" + long: long} {
		if got, err := ParseKey(text); err != nil || got != want {
			t.Errorf("%s is read as %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-5", "+5", "1.5", "x", "0x1f", " 1", "٣", long + "9"} {
		if got, err := ParseKey(text); err == nil {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

func TestRingNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"default", "a", "A-1_b.c", strings.Repeat("r", 64)} {
		if err := checkRingName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", ".hidden", "-x", "a/b", "a b", "ä", strings.Repeat("r", 65)} {
		if checkRingName(name) == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

func TestRivalry(t *testing.T) {
	t.Parallel()
	w := Whereabouts{ID: "35", Addr: "h:1", Boot: 7, Pid: 99, Joined: true}
	for want, living := range map[error][]Whereabouts{
		nil:          nil,
		ErrTaken:     {{ID: "1"}, {ID: "35"}},
		ErrRingLives: {{ID: "1"}, {ID: "2"}},
	} {
		if err := rivalry(w, living); !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", living, err, want)
		}
	}
}
