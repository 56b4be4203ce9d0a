package memcache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/store"
)

// promptBatches serves a batch before ServeBatch returns.
type promptBatches struct{ Handler }

func (h promptBatches) ServeBatch(b *Batch) {
	for _, call := range b.Calls() {
		h.ServeMemcache(&call.Answer, &call.Request)
		call.Done()
	}
}

// lateBatches has another goroutine serve a batch: it carries out the calls in
// their order, and then ends them in none.
type lateBatches struct{ Handler }

// InBatches makes h a BatchHandler that answers late.
func InBatches(h Handler) Handler { return lateBatches{h} }

func (h lateBatches) ServeBatch(b *Batch) {
	go func() {
		calls := slices.Clone(b.Calls())
		for i, call := range calls {
			if i%3 == 0 { // it changes its mind
				call.Answer.Error("SERVER_ERROR not so")
				call.Reset()
			}
			h.ServeMemcache(&call.Answer, &call.Request)
		}
		rand.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		for _, call := range calls {
			call.Done()
		}
	}()
}

// batchFunc makes a BatchHandler of h, with f before each batch is served.
type batchFunc struct {
	promptBatches
	before func(b *Batch)
}

func (h batchFunc) ServeBatch(b *Batch) {
	h.before(b)
	h.promptBatches.ServeBatch(b)
}

// batchSizes is how many calls the batches had that served script, whole.
func batchSizes(script string) (sizes []int, answers string) {
	got, _ := answersOf(func(h Handler) Handler {
		return batchFunc{promptBatches{h}, func(b *Batch) { sizes = append(sizes, len(b.Calls())) }}
	}, []byte(script), len(script))
	return sizes, string(got)
}

func TestWhatIsInABatch(t *testing.T) {
	t.Parallel()
	get, miss := func(n int) string { return strings.Repeat("mg a\r\n", n) }, func(n int) string { return strings.Repeat("EN\r\n", n) }
	manyKeys := "get" + strings.Repeat(" a", 2*MaxBatch+44) + "\r\n"
	value := strings.Repeat("x", 1001)
	for _, tc := range []struct {
		what, script string
		sizes        []int
		answers      string
	}{
		{"one request", get(1), []int{1}, miss(1)},
		{"all that has come", get(100), []int{100}, miss(100)},
		{"more than a batch takes", get(2*MaxBatch + 1), []int{MaxBatch, MaxBatch, 1}, miss(2*MaxBatch + 1)},
		{"keys count", "get" + strings.Repeat(" a", 100) + "\r\nget" + strings.Repeat(" a", 28) + "\r\n" + get(1), []int{2, 1}, "END\r\nEND\r\n" + miss(1)},
		{"a get of many keys", get(2) + manyKeys + get(3), []int{2, 1, 1, 1, 3}, miss(2) + "END\r\n" + miss(3)},
		{"a noop between", get(2) + "mn\r\n" + get(1), []int{2, 1}, miss(2) + "MN\r\n" + miss(1)},
		{"a wrong line between", get(2) + "oh\r\n" + get(1), []int{2, 1}, miss(2) + "ERROR\r\n" + miss(1)},
		{"a value that ends wrongly", get(2) + "set a 0 0 1\r\nxyz\r\n" + get(1), []int{2, 1}, miss(2) + "CLIENT_ERROR bad data chunk\r\nERROR\r\n" + miss(1)},
		{"a value too large", get(2) + "set a 0 0 1001\r\n" + value + "\r\n" + get(1), []int{2, 1, 1}, miss(2) + errTooLarge.Answer + "\r\n" + miss(1)},
		{"quit", get(2) + "quit\r\n" + get(1), []int{2}, miss(2)},
		{"a dump", "set a 0 0 1\r\nx\r\nlru_crawler metadump all\r\n" + get(1), []int{1, 1}, "STORED\r\nkey=a exp=-1 la=1000000000 cas=1 fetch=no cls=1 size=" + fmt.Sprint(store.Size(1, []byte("x"))) + "\nEND\r\nHD\r\n"},
		{"writes and reads", "set a 0 0 1\r\nx\r\nget a\r\ndelete a noreply\r\nget a\r\n", []int{4}, "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nEND\r\n"},
		{"nothing whole", "get a", nil, ""},
	} {
		sizes, answers := batchSizes(tc.script)
		if !slices.Equal(sizes, tc.sizes) || answers != tc.answers {
			t.Errorf("%s: batches of %v, answered %q; want %v, %q", tc.what, sizes, answers, tc.sizes, tc.answers)
		}
	}
}

// TestBatchValues has values of every kind of size come and go in batches,
// several times a size that is copied and that is not.
func TestBatchValues(t *testing.T) {
	t.Parallel()
	var script, want strings.Builder
	for i, size := range []int{0, 1, minHeld - 1, minHeld, keepApart, largeValue - 1, largeValue, 200_000} {
		value := strings.Repeat(string(rune('a'+i)), size)
		fmt.Fprintf(&script, "set %d 0 0 %d\r\n%s\r\n", i, size, value)
		want.WriteString("STORED\r\n")
	}
	for range 20 {
		for i, size := range []int{0, 1, minHeld - 1, minHeld, keepApart, largeValue - 1, largeValue, 200_000} {
			value := strings.Repeat(string(rune('a'+i)), size)
			fmt.Fprintf(&script, "get %d no %d\r\nmg %d v s k q\r\n", i, i, i)
			fmt.Fprintf(&want, "VALUE %d 0 %d\r\n%s\r\nVALUE %d 0 %d\r\n%s\r\nEND\r\nVA %d s%d k%d\r\n%s\r\n", i, size, value, i, size, value, size, size, i, value)
		}
	}
	conn := &scriptConn{script: []byte(script.String()), size: 16 << 10}
	newServerConn(&Server{Handler: InBatches(NewHandler(store.New(store.Config{})))}, conn).serve()
	if conn.answers.String() != want.String() {
		t.Errorf("got %d bytes, want %d, or others", conn.answers.Len(), want.Len())
	}
}

// TestAnswersOfABatchAreTakenBack replaces answers of all kinds by errors.
func TestAnswersOfABatchAreTakenBack(t *testing.T) {
	t.Parallel()
	s := store.New(store.Config{})
	_ = s.Set([]byte("a"), store.Item{Value: bytes.Repeat([]byte("x"), 2*minHeld)})
	h := NewHandler(s)
	conn := &scriptConn{script: []byte("get a\r\nmg a v\r\nset a 0 0 1\r\nx\r\nset a 0 0 1 noreply\r\nx\r\nmd a q\r\n"), size: 1000}
	newServerConn(&Server{Handler: batchFunc{promptBatches{HandlerFunc(func(w *ResponseWriter, r *Request) {
		w.Error("SERVER_ERROR moved")
	})}, func(b *Batch) {
		for _, call := range b.Calls() {
			h.ServeMemcache(&call.Answer, &call.Request)
			call.Reset()
		}
	}}}, conn).serve()
	if got, want := conn.answers.String(), strings.Repeat("SERVER_ERROR moved\r\n", 4); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestAnErrorEndsAGetOfManyKeys wants nothing after it, be there more keys or not.
func TestAnErrorEndsAGetOfManyKeys(t *testing.T) {
	t.Parallel()
	conn := &scriptConn{script: []byte("get" + strings.Repeat(" a", 3*MaxBatch) + "\r\nmn\r\n"), size: 10_000}
	batches := 0
	newServerConn(&Server{Handler: promptBatches{HandlerFunc(func(w *ResponseWriter, r *Request) {
		if batches++; batches == 2 {
			w.Error("SERVER_ERROR moved")
		} else {
			w.Item(r.Key, &Hit{})
		}
	})}}, conn).serve()
	if got, want := conn.answers.String(), "VALUE a 0 0\r\n\r\nSERVER_ERROR moved\r\nMN\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPanicOfServeBatchEndsOneConnection(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	s := &Server{ErrorLog: log.New(&logged, "", 0), Handler: batchFunc{promptBatches{NewHandler(store.New(store.Config{}))}, func(b *Batch) {
		if string(b.Calls()[0].Request.Key) == "bad" {
			panic("bad key")
		}
	}}}
	for _, tc := range [][2]string{{"mn\r\nget bad\r\nmn\r\n", ""}, {"get good\r\n", "END\r\n"}} {
		conn := &scriptConn{script: []byte(tc[0]), size: 100}
		newServerConn(s, conn).serve()
		if got := conn.answers.String(); got != tc[1] {
			t.Errorf("%q was answered %q, want %q", tc[0], got, tc[1])
		}
	}
	if !strings.Contains(logged.String(), "bad key") || s.stats.handlerPanics.Load() != 1 {
		t.Errorf("logged %q", logged.String())
	}
}

func TestDoneTwicePanics(t *testing.T) {
	t.Parallel()
	b := newBatch()
	b.add()
	b.left.Store(1)
	b.Calls()[0].Done()
	defer func() {
		if recover() == nil {
			t.Error("the second Done went unnoticed")
		}
	}()
	b.Calls()[0].Done()
}

// TestShutdownWaitsForABatch wants a batch under way answered, late as it may be.
func TestShutdownWaitsForABatch(t *testing.T) {
	t.Parallel()
	entered := make(chan *Batch)
	s := &Server{Handler: queuedBatches(entered)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, "delete a\r\ndelete b\r\n"); err != nil {
		t.Fatal(err)
	}
	b := <-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("Shutdown did not wait for the batch")
	}
	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	for answered := 0; ; b = <-entered {
		calls := b.Calls()
		for _, call := range slices.Backward(calls) {
			call.Answer.Status(StatusDone, 0)
			call.Done()
		}
		if answered += len(calls); answered == 2 {
			break
		}
	}
	if got, err := io.ReadAll(conn); string(got) != "DELETED\r\nDELETED\r\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// queuedBatches leaves batches to whoever receives them.
type queuedBatches chan *Batch

func (q queuedBatches) ServeBatch(b *Batch) { q <- b }

func (q queuedBatches) ServeMemcache(w *ResponseWriter, _ *Request) { w.Error("SERVER_ERROR not here") }

// BenchmarkBatch is BenchmarkServerConn with the requests served one by one, in
// batches, and in batches by another goroutine.
func BenchmarkBatch(b *testing.B) {
	h := NewHandler(store.New(store.Config{}))
	queue := make(queuedBatches)
	go func() {
		for batch := range queue {
			promptBatches{h}.ServeBatch(batch)
		}
	}()
	defer close(queue)
	value := strings.Repeat("v", 100)
	for _, tc := range []struct{ name, request string }{
		{"get", "get key\r\n"},
		{"mg", "mg key v f c t\r\n"},
		{"set", fmt.Sprintf("set key 0 0 %d\r\n%s\r\n", len(value), value)},
	} {
		for _, by := range []struct {
			name string
			h    Handler
		}{{"plain", h}, {"prompt", promptBatches{h}}, {"goroutine", queue}} {
			for _, n := range []int{1, 100} {
				b.Run(fmt.Sprintf("%s/pipelined=%d/%s", tc.name, n, by.name), func(b *testing.B) {
					b.ReportAllocs()
					script := []byte(strings.Repeat(tc.request, n))
					conn := &benchConn{script: script, rounds: b.N}
					newServerConn(&Server{Handler: by.h}, conn).serve()
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/request")
				})
			}
		}
	}
}

// benchConn is a connection whose client sends script again and again.
type benchConn struct {
	scriptConn
	script []byte
	rounds int
}

func (c *benchConn) Read(b []byte) (int, error) {
	if c.rounds == 0 {
		return 0, io.EOF
	}
	c.rounds--
	return copy(b, c.script), nil
}

func (c *benchConn) Write(b []byte) (int, error) { return len(b), nil }
