package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/standin"
)

// once asks as kv does, and fails its test if that takes too long.
func once(t *testing.T, o *Once, key string, value ...string) (Reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if len(value) > 0 {
		return o.Swap(ctx, key, []byte(value[0]))
	}
	return o.Get(ctx, key)
}

func TestOnce(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 3)
	o := &Once{Hosts: stand.Addrs(), Memory: t.TempDir()}
	long := strings.Repeat("k", 4096)
	for _, step := range []struct{ key, value, want string }{
		{"foo", "", "foo=NIL"},
		{"foo", "bar", "foo=NIL"},
		{"foo", "", "foo=bar"},
		{"foo", "a=b\n", "foo=bar"},
		{"foo", "", "foo=a=b\n"},
		{"a=b/c %", "x", "a=b/c %=NIL"},
		{"a=b/c %", "", "a=b/c %=x"},
		{long, "v", long + "=NIL"},
		{long, "", long + "=v"},
	} {
		var value []string
		if step.value != "" {
			value = append(value, step.value)
		}
		if r, err := once(t, o, step.key, value...); err != nil || r.String() != step.want {
			t.Errorf("%.20q %q: %q, %v, want %q", step.key, step.value, r.String(), err, step.want)
		}
	}
	if r, err := once(t, o, "foo", ""); err != nil || string(r.Value) != "a=b\n" {
		t.Errorf("an empty value: %+v, %v", r, err)
	}
	if r, err := once(t, o, "foo"); err != nil || r.String() != "foo=" || !r.Found {
		t.Errorf("an empty value: %+v, %v", r, err)
	}
	for key, value := range map[string]string{"": "", long + "k": "too long", "k": strings.Repeat("v", 1<<20+1)} {
		if r, err := once(t, o, key, value); !errors.Is(err, torc.ErrInvalid) && !errors.Is(err, torc.ErrTooLarge) {
			t.Errorf("%.10q: %+v, %v", key, r, err)
		}
	}
	stand.Degrade(3)
	if r, err := once(t, o, "foo"); err != nil || r.Degraded != 3 {
		t.Errorf("degraded: %+v, %v", r, err)
	}
}

// The host that answered last is asked first, as long as it answers.
func TestOnceRemembers(t *testing.T) {
	t.Parallel()
	stand := standin.New(t, 3)
	o := &Once{Hosts: stand.Addrs(), Memory: filepath.Join(t.TempDir(), "new")}
	first, err := once(t, o, "k", "v")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if r, err := once(t, o, "k"); err != nil || r.Host != first.Host {
			t.Errorf("%s answered after %s, %v", r.Host, first.Host, err)
		}
	}
	for _, s := range stand.Servers {
		if s.Addr == first.Host {
			s.Kill()
		}
	}
	next, err := once(t, o, "k", "w")
	if err != nil || next.Host == first.Host || next.String() != "k=v" {
		t.Errorf("%+v, %v", next, err)
	}
	if r, err := once(t, o, "k"); err != nil || r.Host != next.Host {
		t.Errorf("%s answered after %s, %v", r.Host, next.Host, err)
	}
	if stand.Writes("k") != 2 {
		t.Errorf("%d writes", stand.Writes("k"))
	}

	// The file is a help, and no more.
	for _, memory := range []string{"/dev/null/x", filepath.Join(o.Memory, "file")} {
		if err := os.WriteFile(filepath.Join(o.Memory, "file"), []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := once(t, &Once{Hosts: o.Hosts, Memory: memory}, "k"); err != nil || r.String() != "k=w" {
			t.Errorf("with the memory %s: %+v, %v", memory, r, err)
		}
	}
	l := lastHost{folder: o.Memory, hosts: []string{"a:1", "b:2"}}
	l.write(1)
	if other := (&lastHost{folder: o.Memory, hosts: []string{"b:2", "a:1"}}); l.read() != 1 || other.read() != 0 {
		t.Errorf("read %d, and in another order %d", l.read(), other.read())
	}
	if err := os.WriteFile(l.path(), []byte("c:3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l.read() != -1 {
		t.Errorf("a host that is not among them is read as %d", l.read())
	}
}

// Whatever the one host does, another one answers soon, and a write happens once.
func TestOnceWithABadHost(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*standin.Server){
		"killed":      func(s *standin.Server) { s.Kill() },
		"frozen":      func(s *standin.Server) { s.Freeze() },
		"lost answer": func(s *standin.Server) { s.LoseAnswers(1) },
		"unable":      func(s *standin.Server) { s.Refuse(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stand := standin.New(t, 2)
			o := &Once{Hosts: stand.Addrs(), Memory: t.TempDir()}
			bad := stand.Servers[1]
			(&lastHost{folder: o.Memory, hosts: o.Hosts}).write(1)
			fault(bad)
			if r, err := once(t, o, "k", "v"); err != nil || r.String() != "k=NIL" || r.Host == bad.Addr {
				t.Errorf("%+v, %v", r, err)
			}
			if n := stand.Writes("k"); n != 1 {
				t.Errorf("%d writes", n)
			}
			if r, err := once(t, o, "k"); err != nil || r.String() != "k=v" {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestOnceFails(t *testing.T) {
	t.Parallel()
	dead := []string{nobody(t), nobody(t)}
	o := &Once{Hosts: dead, Memory: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := o.Swap(ctx, "k", nil)
	if !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody is there: %v", err)
	}
	for _, hosts := range [][]string{nil, {"h"}, {"h:1", "h:1"}} {
		if _, err := (&Once{Hosts: hosts}).Get(t.Context(), "k"); !errors.Is(err, torc.ErrInvalid) {
			t.Errorf("%q: %v", hosts, err)
		}
	}
}
