package replica

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/check"
)

// fake is servers of one map in this process, and what is wrong with them.
type fake struct {
	fault string // "", or what is wrong from the hundredth swap on

	mu struct {
		sync.Mutex
		values   map[string]string
		replaced map[string]string // by key, what its value came over
		swaps    int
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key, value, write := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "=")
	wrong := f.mu.swaps > 100
	old, ok := f.mu.values[key]
	if !ok {
		old = "NIL"
	}
	switch {
	case write:
		f.mu.swaps++
		if wrong && f.fault == "lost" && f.mu.swaps%50 == 0 {
			break
		}
		f.mu.values[key], f.mu.replaced[key] = value, old
	case wrong && strings.HasPrefix(f.fault, "stale"):
		old = f.mu.replaced[key]
		if f.fault == "stale and labelled" {
			w.Header().Set("X-Torc-Degraded", "2")
		}
	}
	fmt.Fprintf(w, "%s=%s", key, old)
}

// The load finds what is wrong with servers, where something is.
func TestLoad(t *testing.T) {
	t.Parallel()
	for fault, wrong := range map[string]bool{"": false, "lost": true, "stale": true, "stale and labelled": false} {
		t.Run("fault: "+fault, func(t *testing.T) {
			t.Parallel()
			f := &fake{fault: fault}
			f.mu.values, f.mu.replaced = make(map[string]string), make(map[string]string)
			var addrs []string
			for range 2 {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				s := &http.Server{Handler: f}
				go func() { _ = s.Serve(l) }() // until it is closed
				t.Cleanup(func() { _ = s.Close() })
				addrs = append(addrs, l.Addr().String())
			}
			refusing, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_ = refusing.Close()
			d := startLoad(t, (&net.Dialer{}).DialContext, append(addrs, refusing.Addr().String()))
			for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				f.mu.Lock()
				swaps := f.mu.swaps
				f.mu.Unlock()
				if swaps > 500 {
					break
				}
			}
			h := d.finish()
			if err := check.Linearizable(h, check.Register, check.DefaultTimeout); (err != nil) != wrong {
				t.Errorf("the history is judged %v", err)
			}
			failed, labelled := 0, 0
			for _, o := range h {
				if !answered(o) {
					failed++
				} else if o.Labelled {
					labelled++
				}
			}
			if failed == 0 || failed > len(h)/4 {
				t.Errorf("%d of %d calls failed: only those of a server that isn't there should", failed, len(h))
			}
			if (labelled > 0) != (fault == "stale and labelled") {
				t.Errorf("%d of %d are labelled", labelled, len(h))
			}
		})
	}
}

func TestGap(t *testing.T) {
	t.Parallel()
	var h check.History
	for _, ms := range []int{0, 10, 20, 100, 110, 120} {
		for _, op := range []check.Op{check.Get, check.Exchange} {
			at := time.Duration(ms) * time.Millisecond
			if op == check.Get {
				at += time.Millisecond
			}
			h = append(h, check.Operation{Op: op, Return: at, Outcome: check.OK})
		}
	}
	h = append(h, check.Operation{Op: check.Get, Return: 60 * time.Millisecond, Outcome: check.Failed})
	for _, c := range []struct{ from, to, want int }{
		{0, 15, 10}, {30, 50, 20}, {0, 120, 80}, {101, 120, 10}, {105, 300, 180}, {200, 300, 100}, {50, 120, 51},
	} {
		if got := gap(h, time.Duration(c.from)*time.Millisecond, time.Duration(c.to)*time.Millisecond); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("from %d to %d: %v, want %dms", c.from, c.to, got, c.want)
		}
	}
	// Reads don't stand in for writes.
	for ms := range 100 {
		h = append(h, check.Operation{Op: check.Get, Return: time.Duration(ms) * time.Millisecond, Outcome: check.OK})
	}
	if got := gap(h, 0, 100*time.Millisecond); got != 80*time.Millisecond {
		t.Errorf("with reads all the time: %v", got)
	}
}
