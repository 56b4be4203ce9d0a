package torc

import (
	"context"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		raw  string
		want URL
	}{
		{"zk://127.0.0.1:2181/torc", URL{Scheme: "zk", Hosts: []string{"127.0.0.1:2181"}, Path: "/torc"}},
		{"ZK://zk1:2181,zk2:2181/a/b?copies=1", URL{Scheme: "zk", Hosts: []string{"zk1:2181", "zk2:2181"}, Path: "/a/b", Query: url.Values{"copies": {"1"}}}},
		{"memcached://h1:11211,h2?copies=3&hash=ketama", URL{Scheme: "memcached", Hosts: []string{"h1:11211", "h2"}, Query: url.Values{"copies": {"3"}, "hash": {"ketama"}}}},
		{"memcached://[::1]:11211,[fe80::1%eth0]", URL{Scheme: "memcached", Hosts: []string{"[::1]:11211", "[fe80::1%eth0]"}}},
		{"memcached+file:///etc/members.txt", URL{Scheme: "memcached+file", Path: "/etc/members.txt"}},
		{"memcached+file:members.txt?hash=jump", URL{Scheme: "memcached+file", Path: "members.txt", Query: url.Values{"hash": {"jump"}}}},
		{"file:/etc/members.txt", URL{Scheme: "file", Path: "/etc/members.txt"}},
		{"memcached://", URL{Scheme: "memcached"}},
		{"x://h?name=a%20b%2C%3F", URL{Scheme: "x", Hosts: []string{"h"}, Query: url.Values{"name": {"a b,?"}}}},
	} {
		if c.want.Query == nil {
			c.want.Query = url.Values{}
		}
		u, err := ParseURL(c.raw)
		if err != nil {
			t.Errorf("ParseURL(%q): %v", c.raw, err)
		} else if !reflect.DeepEqual(*u, c.want) {
			t.Errorf("ParseURL(%q) = %+v, want %+v", c.raw, *u, c.want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ raw, says string }{
		{"", "needs a scheme"},
		{"127.0.0.1:2181", "needs a scheme"},
		{"://h", "needs a scheme"},
		{"z k://h", "needs a scheme"},
		{"localhost:2181/torc", "needs a scheme"},
		{"h1:11211,h2:11211?copies=2", "needs a scheme"},
		{"[::1]:11211", "needs a scheme"},
		{"zk://a,,b", `"" is not an address`},
		{"zk://a,", `"" is not an address`},
		{"zk://a b:1", `"a b:1" is not an address`},
		{"zk://user:secret@h:1", "is not an address"},
		{"zk://h:port/", "from 1 to 65535"},
		{"zk://h:0", "from 1 to 65535"},
		{"zk://h:65536", "from 1 to 65535"},
		{"zk://::1/torc", "is not an address"},
		{"zk://h:1,g:1,h:1", "names h:1 twice"},
		{"zk://h:1?a=1&a=2", `"a" more than once`},
		{"zk://h:1?a=%zz", "its query"},
	} {
		u, err := ParseURL(c.raw)
		if err == nil {
			t.Errorf("ParseURL(%q) = %+v, want an error", c.raw, *u)
		} else if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("ParseURL(%q): %v: want ErrInvalid that says %q", c.raw, err, c.says)
		}
	}
}

// What was parsed is put together so that it parses to the same, and whatever
// an address looks like, it is one that a dialler can be given.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"zk://127.0.0.1:2181/torc", "memcached://h1:11211,h2?copies=3&hash=ketama",
		"m://[::1]:1,[fe80::1%eth0]", "a+b://", "x://h/?%3D=%26&b", "x://h#f", "zk://h:01", "f:a/b", "f:////a", "f:", "x://[::1%2]:3",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := ParseURL(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("ParseURL(%q): %v is not ErrInvalid", raw, err)
			}
			return
		}
		again, err := ParseURL(u.String())
		if err != nil || !reflect.DeepEqual(u, again) {
			t.Fatalf("ParseURL(%q) = %+v; its String %q parses to %+v, %v", raw, u, u, again, err)
		}
		for _, h := range u.Hosts {
			if strings.ContainsAny(h, " \t\r\n\x00/,?#@\"'\\") || strings.HasPrefix(h, "-") {
				t.Fatalf("ParseURL(%q) has host %q", raw, h)
			}
		}
	})
}

func TestURLKnown(t *testing.T) {
	t.Parallel()
	u, err := ParseURL("zk://h?copies=2&hsah=ketama")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"hash", "copies"}
	err = u.Known(names...)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `no parameter "hsah": it knows copies, hash`) {
		t.Errorf("Known: %v", err)
	}
	if !slices.Equal(names, []string{"hash", "copies"}) {
		t.Errorf("Known changed its argument: %q", names)
	}
	if err := u.Known("hsah", "copies", "hash"); err != nil {
		t.Errorf("Known: %v", err)
	}
	if err := u.Known(); err == nil || !strings.HasSuffix(err.Error(), "it knows none") {
		t.Errorf("Known: %v", err)
	}
}

func TestCheckAddr(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"h:1", "127.0.0.1:65535", "[::1]:11211", "[fe80::1%eth0]:1", "a-b.c_d:80", "localhost:8080"} {
		if err := CheckAddr(addr); err != nil {
			t.Errorf("CheckAddr(%q): %v", addr, err)
		}
	}
	for addr, says := range map[string]string{
		"h":           "has no port",
		"[::1]":       "has no port",
		"127.0.0.1":   "has no port",
		"":            "not an address: write host:port",
		":1":          "not an address: write host:port",
		"::1":         "not an address: write host:port",
		"::1:80":      "not an address: write host:port",
		"[h]:80":      "not an address: write host:port",
		"[::1:80":     "not an address: write host:port",
		"[1.2.3.4]:1": "not an address: write host:port",
		"-h:80":       "not an address: write host:port",
		"a b:80":      "not an address: write host:port",
		"a\x00:80":    "not an address: write host:port",
		"http://h:80": "not an address: write host:port",
		"h:":          "from 1 to 65535",
		"h:0":         "from 1 to 65535",
		"h:080":       "from 1 to 65535",
		"h:+80":       "from 1 to 65535",
		"h:-1":        "from 1 to 65535",
		"h:65536":     "from 1 to 65535",
		"h:80 ":       "from 1 to 65535",
		"h:http":      "from 1 to 65535",
	} {
		if err := CheckAddr(addr); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("CheckAddr(%q): %v, want it to say %q", addr, err, says)
		}
	}
}

type noTable struct{ Table }

func TestOpen(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() { // for the next run in this process
		schemes.Lock()
		defer schemes.Unlock()
		delete(schemes.openers, "open-test")
	})
	var opened *URL
	Register("open-test", func(_ context.Context, u *URL) (Table, error) {
		opened = u
		return noTable{}, nil
	})
	table, err := Open(t.Context(), "Open-Test://h:1/p?q=r")
	if err != nil || table != (noTable{}) {
		t.Fatalf("Open = %v, %v", table, err)
	}
	if got := opened.String(); got != "open-test://h:1/p?q=r" {
		t.Errorf("the opener was given %q", got)
	}
	if s := Schemes(); !slices.Contains(s, "open-test") || !slices.IsSorted(s) {
		t.Errorf("Schemes() = %q", s)
	}

	for raw, says := range map[string]string{
		"nothing://h": `no kind of table has the scheme "nothing": this program knows`,
		"h:1":         "needs a scheme",
	} {
		_, err := Open(t.Context(), raw)
		var e *Error
		if !errors.As(err, &e) || e.Op != "open" || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("Open(%q): %v", raw, err)
		}
	}

	defer func() {
		if recover() == nil {
			t.Error("a second Register of one scheme did not panic")
		}
	}()
	Register("open-test", nil)
}

func TestAddrs(t *testing.T) {
	u, err := ParseURL("zk://zk1,zk2:2182,[fd00::1],[fd00::2]:2183/torc")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"zk1:2181", "zk2:2182", "[fd00::1]:2181", "[fd00::2]:2183"}
	if got := u.Addrs("2181"); !slices.Equal(got, want) {
		t.Errorf("Addrs = %q, want %q", got, want)
	}
}
