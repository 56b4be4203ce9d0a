package chord

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord"
)

// small is size in little.
var small = size{
	logs: []int{5, 4, 3}, rings: func(int) int { return 2 },
	lookups: 20, wholeLookups: 500, shares: 5,
	nodes: 60, keysRings: 2, lostLookups: 500,
	walkNodes: 60, churnNodes: 60, churnLookups: 50, crashFactor: 1, unrepairedFor: 200,
}

func TestPaper(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made")
	said := 0
	if err := paper(t.Context(), dir, small, func(line string) { said++; t.Log(line) }); err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string]int{
		"path_length": 3, "path_distribution": 12, "keys": 10, "virtual": 5, "failures": 6, "unrepaired": 6, "crashes": 4, "departures": 8,
	} {
		checkFigure(t, dir, name, rows)
	}
	checkTable(t, dir, "state", 3)
	if said < 30 {
		t.Errorf("%d lines of progress", said)
	}
}

func TestPaperCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Paper(ctx, t.TempDir(), func(string) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Paper = %v", err)
	}
}

func checkFigure(t *testing.T, dir, name string, rows int) {
	t.Helper()
	checkTable(t, dir, name, rows)
	b, err := os.ReadFile(filepath.Join(dir, name+".svg"))
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(b)), "</svg>") {
		t.Errorf("%s.svg is no picture, %v", name, err)
	}
}

func checkTable(t *testing.T, dir, name string, rows int) [][]string {
	t.Helper()
	file, err := os.Open(filepath.Join(dir, name+".csv"))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer file.Close()
	all, err := csv.NewReader(file).ReadAll()
	if err != nil || len(all) != rows+1 {
		t.Errorf("%s.csv has %d lines, want a header and %d; %v", name, len(all), rows, err)
	}
	return all
}

// here starts nodes in this process.
type here struct {
	running sync.WaitGroup
	mu      sync.Mutex
	stops   []func()
}

// thread is a node of this process.
type thread struct {
	addr  string
	fail  func()
	ended chan struct{}
}

func (p *thread) Addr() string { return p.addr }
func (p *thread) Pid() int     { return os.Getpid() }
func (p *thread) Kill() error {
	p.fail()
	<-p.ended
	return nil
}

func (h *here) Start(ctx context.Context, s Start) (Process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, contact, _ := strings.Cut(s.Contact, "@")
	server := &chord.Server{
		Bits: s.Bits, ID: s.ID, Contact: contact, Replicas: s.Replicas, Memory: 1 << 24,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	life, stop := context.WithCancel(context.Background())
	p := &thread{addr: l.Addr().String(), ended: make(chan struct{})}
	failed := make(chan error, 1)
	h.running.Go(func() {
		defer close(p.ended)
		failed <- server.Serve(life, l)
	})
	p.fail = sync.OnceFunc(func() { server.Fail(); stop() })
	h.mu.Lock()
	h.stops = append(h.stops, p.fail)
	h.mu.Unlock()
	select {
	case <-server.Joined():
		return p, nil
	case err := <-failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *here) Close() error {
	for _, stop := range h.stops {
		stop()
	}
	h.running.Wait()
	return nil
}

func TestRequired(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := new(here)
	defer h.Close()
	e := extent{nodes: []int{4}, bits: []int{10, 100}, replicas: []int{1, 2}, lookups: 40, keys: 60, failures: func(int) int { return 2 }}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := measureRequired(ctx, dir, h, e, func(line string) { t.Log(line) }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lookup_time", "addition_time", "recovery_time"} {
		checkFigure(t, dir, name, 4)
	}
	all := checkTable(t, dir, "recovery_time", 4)
	if last := all[1][len(all[1])-1]; len(strings.Fields(last)) != 6 {
		t.Errorf("%q are not the numbers of 4 processes and of 2 that came later", last)
	}
}

func TestKeysHaveTheirOwnPlaces(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 1000 {
		k := keyAt(i, 10)
		if seen[k] || strings.Trim(k, "0123456789") != "" {
			t.Fatalf("key %d is %q", i, k)
		}
		seen[k] = true
	}
}
