package replica

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
)

func TestParseServers(t *testing.T) {
	t.Parallel()
	four := Servers{"192.168.2.2:8081", "192.168.2.3:8081", "192.168.2.4:8081", "192.168.2.5:8081"}
	for text, want := range map[string]Servers{
		"192.168.2.2:8081 192.168.2.3:8081 192.168.2.4:8081 192.168.2.5:8081":                                       four, // as the requirement has it
		"192.168.2.2:8081\n192.168.2.3:8081\n192.168.2.4:8081\n192.168.2.5:8081\n":                                  four,
		"192.168.2.2:8081\r\n192.168.2.3:8081\r\n\r\n192.168.2.4:8081\r\n192.168.2.5:8081\r\n":                      four,
		"\ufeff# us\n\n 192.168.2.2:8081 # this one\n\t192.168.2.3:8081\t192.168.2.4:8081#\n#h:1\n192.168.2.5:8081": four,
		"localhost:1":        {"localhost:1"},
		"[::1]:80 h-1.x_y:2": {"[::1]:80", "h-1.x_y:2"},
	} {
		if got, err := ParseServers([]byte(text)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %q, %v, want %q", text, got, err, want)
		}
	}
	s := Servers{"b:1", "a:2", "a:10"}
	if got := s.Sorted(); s.Self() != "b:1" || !slices.Equal(got, []string{"a:10", "a:2", "b:1"}) {
		t.Errorf("sorted: %q", got)
	}
}

// Every mistake is told of, with its line.
func TestWrongServers(t *testing.T) {
	t.Parallel()
	for text, wants := range map[string][]string{
		"":                                 {"names no server"},
		"# h:1\n\n":                        {"names no server"},
		"h:1\nh\n":                         {`line 2: "h" has no port`},
		"h:1\n\nx:99999 h:0\nh:1":          {`line 3: "x:99999"`, `line 3: "h:0"`, "line 4: h:1 is on line 1 already"},
		"h:1 h:1":                          {"line 1: h:1 is on line 1 already"},
		"a:1 b:1\nc:1 d:1\ne:1\nf:1":       {"line 3: e:1 is one server too many: a table has 4 at most"},
		"http://h:1":                       {`line 1: "http://h:1" is not an address`},
		"h:1,h:2":                          {`line 1: "h:1,h:2" is not an address`},
		"\xff\xfeh\x00:\x001\x00":          {"line 1:"},
		"h:1\n" + strings.Repeat("x\n", 3): {"line 2:", "line 3:", "line 4:"},
	} {
		s, err := ParseServers([]byte(text))
		if err == nil {
			t.Errorf("%q is %q", text, s)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", text, err, want)
			}
		}
	}
}

func TestReadServers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ServersFile)
	if _, err := ReadServers(path); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("there is none: %v", err)
	}
	for text, want := range map[string]string{"h:1\nx": path + ": line 2: ", strings.Repeat("#", maxServersFile+1): "64 KiB"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadServers(path); !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("h:1\nh:2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := ReadServers(path); err != nil || !slices.Equal(s, []string{"h:1", "h:2"}) {
		t.Errorf("read %q, %v", s, err)
	}
}

// A list that is taken has what a table needs, and reads the same when it is written
// down again.
func FuzzServers(f *testing.F) {
	f.Add("192.168.2.2:8081 192.168.2.3:8081\n# x\r\n[::1]:1")
	f.Add("\ufeffa:1\ta:2\va:3\u00a0a:4")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseServers([]byte(text))
		if err != nil {
			if s != nil {
				t.Errorf("%q is wrong, and %q", text, s)
			}
			return
		}
		if err := checkHosts(s); err != nil {
			t.Errorf("%q is %q: %v", text, s, err)
		}
		again, err := ParseServers([]byte(strings.Join(s, "\n")))
		if err != nil || !slices.Equal(s, again) {
			t.Errorf("%q is %q, and then %q, %v", text, s, again, err)
		}
	})
}
