package script

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/tabletest"
)

// run runs text as a file over table and returns what was printed.
func run(t *testing.T, r Runner, text string) (stdout, stderr string, failed int) {
	t.Helper()
	s, err := Parse("f", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	r.Name, r.Stdout, r.Stderr = "f", &out, &errOut
	if r.Table == nil {
		r.Table = tabletest.NewMemory()
	}
	failed, err = r.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), failed
}

func TestRun(t *testing.T) {
	t.Parallel()
	stdout, stderr, failed := run(t, Runner{}, "PUT a, x, y\nPUT b,\nPUT c, \xff\nGET a\nGET nothing\nGET b\nGET c\nDELETE a\nDELETE a\nGET a\n")
	if stdout != "x, y\n\n\xff\n" || stderr != "" || failed != 0 {
		t.Errorf("stdout %q, stderr %q, %d failed", stdout, stderr, failed)
	}
}

// faulty fails calls for some keys.
type faulty struct {
	torc.Table
	errs map[string]error
}

func (f faulty) err(op, key string) error {
	if err := f.errs[op+" "+key]; err != nil {
		return &torc.Error{Op: op, Key: key, Member: "h:9", Err: err}
	}
	return nil
}

func (f faulty) Get(ctx context.Context, key string) (torc.Entry, error) {
	if err := f.err("get", key); err != nil {
		return torc.Entry{}, err
	}
	return f.Table.Get(ctx, key)
}

func (f faulty) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	if err := f.err("put", key); err != nil {
		return err
	}
	return f.Table.Put(ctx, key, value, opts...)
}

func (f faulty) Delete(ctx context.Context, key string) error {
	if err := f.err("delete", key); err != nil {
		return err
	}
	return f.Table.Delete(ctx, key)
}

var (
	errMissUnreachable = fmt.Errorf("%w: %w:\nrefused", torc.ErrNotFound, torc.ErrUnavailable)
	errUnknown         = fmt.Errorf("%w: %w", torc.ErrUnavailable, torc.ErrUnknownOutcome)
)

func newFaulty() faulty {
	return faulty{tabletest.NewMemory(), map[string]error{
		"get down":    errMissUnreachable,
		"get broken":  torc.ErrUnavailable,
		"put maybe":   errUnknown,
		"put big":     torc.ErrTooLarge,
		"delete down": errMissUnreachable,
	}}
}

const faultyFile = "PUT a, 1\nGET down\nGET broken\nPUT maybe, 1\nPUT big, 1\nDELETE down\nGET a\n"

func TestRunGoesOnAfterFailures(t *testing.T) {
	t.Parallel()
	stdout, stderr, failed := run(t, Runner{Table: newFaulty()}, faultyFile)
	want := `f:3: get "broken" at h:9: unavailable
f:4: put "maybe" at h:9: unavailable: the write may or may not have happened
f:5: put "big" at h:9: value too large
f:6: delete "down" at h:9: no such key: unavailable:; refused
`
	if stdout != "1\n" || stderr != want || failed != 4 {
		t.Errorf("stdout %q, %d failed, stderr\n%swant\n%s", stdout, failed, stderr, want)
	}
}

func TestHint(t *testing.T) {
	t.Parallel()
	const file = "GET nothing\nPUT a, 1\nGET a\nDELETE b\n"
	if stdout, stderr, _ := run(t, Runner{Hint: "(no value)"}, file); stdout != "1\n" || stderr != "(no value)\n" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	if _, stderr, _ := run(t, Runner{Hint: "(no value)", JSON: true}, file); stderr != "" {
		t.Errorf("with JSON: stderr %q", stderr)
	}
}

func TestVerbose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stdout, stderr, _ := run(t, Runner{Table: newFaulty(), Verbose: true},
			"PUT a, 123\nGET a\nGET b\nDELETE a\nDELETE a\nGET down\nSLEEP 250\nGET broken\n")
		want := `f:1: PUT "a": 3 bytes stored, at memory:1, in 0s
f:2: GET "a": 3 bytes, at memory:1, in 0s
f:3: GET "b": no entry, at memory:1, in 0s
f:4: DELETE "a": deleted, at memory:1, in 0s
f:5: DELETE "a": no entry, at memory:1, in 0s
f:6: GET "down": no entry (get "down" at h:9: no such key: unavailable:; refused), at h:9, in 0s
f:7: SLEEP 250
f:8: get "broken" at h:9: unavailable
`
		if stdout != "123\n" || stderr != want {
			t.Errorf("stdout %q, stderr\n%swant\n%s", stdout, stderr, want)
		}
	})
}

func TestJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stdout, stderr, failed := run(t, Runner{Table: newFaulty(), JSON: true},
			"PUT a, <1>\nGET a\nGET b\nPUT x, \xff\nGET x\nPUT e,\nGET e\nDELETE a\nGET down\nPUT maybe, 1\nSLEEP 250\nDELETE \xff\n")
		want := `{"line":1,"op":"put","key":"a","outcome":"done","owner":"memory:1","seconds":0}
{"line":2,"op":"get","key":"a","value":"<1>","version":"1-1","outcome":"done","owner":"memory:1","seconds":0}
{"line":3,"op":"get","key":"b","outcome":"missing","owner":"memory:1","seconds":0}
{"line":4,"op":"put","key":"x","outcome":"done","owner":"memory:1","seconds":0}
{"line":5,"op":"get","key":"x","value_base64":"/w==","version":"1-2","outcome":"done","owner":"memory:1","seconds":0}
{"line":6,"op":"put","key":"e","outcome":"done","owner":"memory:1","seconds":0}
{"line":7,"op":"get","key":"e","value":"","version":"1-3","outcome":"done","owner":"memory:1","seconds":0}
{"line":8,"op":"delete","key":"a","outcome":"done","owner":"memory:1","seconds":0}
{"line":9,"op":"get","key":"down","outcome":"missing","reason":"get \"down\" at h:9: no such key: unavailable:; refused","owner":"h:9","seconds":0}
{"line":10,"op":"put","key":"maybe","outcome":"unknown","reason":"put \"maybe\" at h:9: unavailable: the write may or may not have happened","owner":"h:9","seconds":0}
{"line":11,"op":"sleep","outcome":"done","seconds":0.25}
{"line":12,"op":"delete","key_base64":"/w==","outcome":"missing","owner":"memory:1","seconds":0}
`
		if stdout != want {
			t.Errorf("stdout\n%swant\n%s", stdout, want)
		}
		if !strings.HasPrefix(stderr, "f:10: put ") || strings.Count(stderr, "\n") != 1 || failed != 1 {
			t.Errorf("%d failed, stderr %q", failed, stderr)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := Parse("f", strings.NewReader("PUT a, 1\nSLEEP 86400000\nGET a\n"))
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		start := time.Now()
		failed, err := (&Runner{Table: tabletest.NewMemory(), Name: "f", Stdout: &stdout, Stderr: &stderr}).Run(ctx, s)
		if took := time.Since(start); took != time.Minute {
			t.Errorf("Run took %v", took)
		}
		if failed != 0 || !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "f:2: interrupted: ") {
			t.Errorf("Run = %d, %v", failed, err)
		}
		if stdout.Len() > 0 || stderr.Len() > 0 {
			t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
		}
	})
}

// stuck answers when its context is done.
type stuck struct{ torc.Table }

func (stuck) Get(ctx context.Context, key string) (torc.Entry, error) {
	<-ctx.Done()
	return torc.Entry{}, &torc.Error{Op: "get", Key: key, Err: fmt.Errorf("%w: %w", torc.ErrUnavailable, ctx.Err())}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		stdout, stderr, failed := run(t, Runner{Table: stuck{tabletest.NewMemory()}, Timeout: time.Second}, "GET a\nSLEEP 5000\nPUT a, 1\nGET b\n")
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("Run took %v", took)
		}
		want := "f:1: get \"a\": unavailable: context deadline exceeded\nf:4: get \"b\": unavailable: context deadline exceeded\n"
		if stdout != "" || failed != 2 || stderr != want {
			t.Errorf("stdout %q, %d failed, stderr %q", stdout, failed, stderr)
		}
	})
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestRunStopsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	table := tabletest.NewMemory()
	s, err := Parse("f", strings.NewReader("PUT a, 1\nGET a\nPUT b, 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	failed, err := (&Runner{Table: table, Name: "f", Stdout: brokenWriter{broken}, Stderr: io.Discard}).Run(t.Context(), s)
	if failed != 0 || !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "f:2: ") {
		t.Errorf("Run = %d, %v", failed, err)
	}
	if _, err := table.Get(t.Context(), "b"); !errors.Is(err, torc.ErrNotFound) {
		t.Errorf("the line after it ran: %v", err)
	}
}

func TestRunStream(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	r := &Runner{Table: newFaulty(), Name: "-", Stdout: &stdout, Stderr: &stderr}
	in := "\ufeffPUT a, 1\nPUT k v\n# x\nGET a\n" + strings.Repeat("x", 3*MaxLineLen) + "\nGET broken\nGET a"
	failed, err := r.RunStream(t.Context(), strings.NewReader(in))
	want := `-:2: PUT needs a comma: PUT key, value
-:5: the line has more than 2097152 bytes
-:6: get "broken" at h:9: unavailable
`
	if err != nil || failed != 3 || stdout.String() != "1\n1\n" || stderr.String() != want {
		t.Errorf("%d failed, %v, stdout %q, stderr\n%swant\n%s", failed, err, &stdout, &stderr, want)
	}

	stdout.Reset()
	r.JSON = true
	if _, err := r.RunStream(t.Context(), strings.NewReader("FETCH a\n")); err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(stdout.Bytes(), &o); err != nil || o.Line != 1 || o.Op != "" || o.Outcome != failedOutcome || !regexp.MustCompile(`^"FETCH" is not`).MatchString(o.Reason) {
		t.Errorf("%s, %v", &stdout, err)
	}
}

// Each line runs, and its answer can be read, before the next one has come.
func TestRunStreamAnswersEachLine(t *testing.T) {
	t.Parallel()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	r := &Runner{Table: tabletest.NewMemory(), Name: "-", Stdout: outW, Stderr: io.Discard}
	done := make(chan error, 1)
	go func() {
		_, err := r.RunStream(t.Context(), inR)
		done <- err
	}()
	answers := bufio.NewReader(outR)
	for i := range 3 {
		if _, err := fmt.Fprintf(inW, "PUT k, %d\nGET k\n", i); err != nil {
			t.Fatal(err)
		}
		if got, err := answers.ReadString('\n'); err != nil || got != fmt.Sprintf("%d\n", i) {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	_ = inW.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunStreamEnds(t *testing.T) {
	t.Parallel()
	silent, w := io.Pipe()
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user pressed a key")
	cancel(why)
	r := &Runner{Table: tabletest.NewMemory(), Name: "-", Stdout: io.Discard, Stderr: io.Discard}
	if _, err := r.RunStream(ctx, silent); !errors.Is(err, why) {
		t.Errorf("with a context that is done: %v", err)
	}
	broken := errors.New("terminal gone")
	_ = w.CloseWithError(broken)
	if _, err := r.RunStream(t.Context(), silent); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "-: ") {
		t.Errorf("with a broken reader: %v", err)
	}
}
