package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is servers and their table in this process, with a fault planted if a
// test wants one.
type fake struct {
	url   string
	addrs []string
	fault string

	mu struct {
		sync.Mutex
		up      []bool
		held    []map[string]string
		version uint64
		changed chan struct{}
	}
}

var fakes struct {
	sync.Mutex
	byHost map[string]*fake
	next   atomic.Int64
}

func init() {
	fakes.byHost = make(map[string]*fake)
	torc.Register("fake", func(_ context.Context, u *torc.URL) (torc.Table, error) {
		fakes.Lock()
		defer fakes.Unlock()
		return fakes.byHost[u.Hosts[0]], nil
	})
}

func newFake(fault string) *fake {
	f := &fake{fault: fault}
	host := fmt.Sprintf("demo%d:1", fakes.next.Add(1))
	f.url = "fake://" + host
	f.mu.changed = make(chan struct{})
	for i := range serverCount {
		f.addrs = append(f.addrs, fmt.Sprintf("s%d:1", i+1))
		f.mu.up = append(f.mu.up, true)
		f.mu.held = append(f.mu.held, make(map[string]string))
	}
	fakes.Lock()
	defer fakes.Unlock()
	fakes.byHost[host] = f
	return f
}

func (f *fake) What() string    { return "fakes" }
func (f *fake) URL() string     { return f.url }
func (f *fake) Addrs() []string { return f.addrs }
func (f *fake) Close() error    { return nil }

func (f *fake) Kill(i int) error                       { return f.set(i, false) }
func (f *fake) Restart(_ context.Context, i int) error { return f.set(i, true) }

func (f *fake) set(i int, up bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.up[i] = up
	clear(f.mu.held[i])
	if f.fault == "forgets" { // the others lose what they hold as well
		for _, held := range f.mu.held {
			clear(held)
		}
	}
	f.mu.version++
	close(f.mu.changed)
	f.mu.changed = make(chan struct{})
	return nil
}

// ownerLocked places a key by rendezvous, or as a planted fault has it.
func (f *fake) ownerLocked(key string) int {
	hash := func(s string) uint64 {
		h := fnv.New64a()
		h.Write([]byte(s))
		v := h.Sum64()
		v ^= v >> 29
		return v * 0x9e3779b97f4a7c15
	}
	var live []int
	for i, up := range f.mu.up {
		if up {
			live = append(live, i)
		}
	}
	if f.fault == "modulo" {
		return live[hash(key)%uint64(len(live))]
	}
	best := live[0]
	for _, i := range live {
		if hash(key+f.addrs[i]) > hash(key+f.addrs[best]) {
			best = i
		}
	}
	return best
}

func (f *fake) Get(_ context.Context, key string) (torc.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := f.mu.held[f.ownerLocked(key)]
	value, ok := held[key]
	if !ok {
		return torc.Entry{}, &torc.Error{Op: "get", Key: key, Err: torc.ErrNotFound}
	}
	if f.fault == "mixes up" && key == "key-007" && f.mu.version > 0 {
		value = valueOf("key-008")
	}
	return torc.Entry{Value: []byte(value)}, nil
}

func (f *fake) Put(_ context.Context, key string, value []byte, _ ...torc.PutOption) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.held[f.ownerLocked(key)][key] = string(value)
	return nil
}

func (f *fake) Delete(context.Context, string) error { return torc.ErrUnsupported }

func (f *fake) Locate(_ context.Context, key string) (torc.Placement, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return torc.Placement{Owners: []torc.Member{{Addr: f.addrs[f.ownerLocked(key)]}}}, nil
}

func (f *fake) Members(ctx context.Context) iter.Seq2[torc.View, error] {
	return func(yield func(torc.View, error) bool) {
		for {
			f.mu.Lock()
			v := torc.View{Version: f.mu.version}
			for i, up := range f.mu.up {
				m := torc.Member{Addr: f.addrs[i]}
				if !up {
					m.State, m.Reason = torc.Down, "refused"
				}
				v.Members = append(v.Members, m)
			}
			changed := f.mu.changed
			f.mu.Unlock()
			if !yield(v, nil) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
			if f.fault == "late" {
				select {
				case <-time.After(seenWithin + 200*time.Millisecond):
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

func play(t *testing.T, f *fake, style terminal.Style) (string, error) {
	t.Helper()
	commands, err := script.Parse("test", strings.NewReader(
		"PUT Ada, first\nGET Ada\nSLEEP 60\nGET Ada\nSLEEP 60\nGET Grace\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Run(t.Context(), Config{Out: &out, Style: style, Commands: commands, Keys: 100}, f)
	return out.String(), err
}

func TestDemoTellsWhatItSaw(t *testing.T) {
	t.Parallel()
	out, err := play(t, newFake(""), terminal.Style{})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"100 keys", "is killed", "(refused)", "runs again", "Promised and seen", "100 of 100",
		"GET Ada", "(no value)", // Ada's server is the one that is killed; nobody put Grace
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the story lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "NOT") || strings.ContainsAny(out, "\x1b█▁") {
		t.Errorf("a plain story that went well has a broken promise, colour or bars:\n%s", out)
	}
}

func TestDemoDrawsOnATerminal(t *testing.T) {
	t.Parallel()
	out, err := play(t, newFake(""), terminal.Rich())
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "█") || !strings.Contains(out, "\x1b[") {
		t.Errorf("no bars or no colour:\n%s", out)
	}
}

// A demo that can't fail shows nothing.
func TestDemoSeesBrokenPromises(t *testing.T) {
	t.Parallel()
	for fault, broken := range map[string]string{
		"modulo":   "the other servers' keys stay where they are",
		"forgets":  "the other servers' keys go on hitting",
		"mixes up": "",
		"late":     "the table sees that a server is gone",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			out, err := play(t, newFake(fault), terminal.Style{})
			if err == nil {
				t.Fatalf("the demo went well with a planted fault:\n%s", out)
			}
			if broken == "" {
				return // it ends at once
			}
			if !errors.Is(err, ErrNotAsPromised) {
				t.Errorf("the error is %v", err)
			}
			for line := range strings.Lines(out) {
				if strings.Contains(line, broken) && strings.Contains(line, "NOT") {
					return
				}
			}
			t.Errorf("the promise %q is not marked:\n%s", broken, out)
		})
	}
}

func TestDemoEndsWhenInterrupted(t *testing.T) {
	t.Parallel()
	commands, err := script.Parse("test", strings.NewReader("PUT a, b\nSLEEP 60000\n"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	err = Run(ctx, Config{Out: new(bytes.Buffer), Commands: commands, Keys: 10}, newFake(""))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}
