package memcache

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/store"
)

// fewItems are Items without the optional methods, of which updates fail with
// err.
type fewItems struct {
	s   *store.Store
	err error
}

func (f fewItems) Get(key []byte) (store.Item, bool) { return f.s.Get(key) }
func (f fewItems) Now() int64                        { return f.s.Now() }

func (f fewItems) Update(key []byte, change func(*store.Item, bool) store.Action) (uint64, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.s.Update(key, change)
}

func answersBy(h Handler, script string) string {
	conn := &scriptConn{script: []byte(script), size: len(script)}
	newServerConn(&Server{Handler: h}, conn).serve()
	return conn.answers.String()
}

func TestItemsNeedNotBeAStore(t *testing.T) {
	t.Parallel()
	h := NewHandler(fewItems{s: store.New(store.Config{})})
	got := answersBy(h, "set a 0 0 1\r\n1\r\nincr a 1\r\nget a\r\nflush_all\r\nlru_crawler metadump all\r\nstats items\r\nmd a\r\n")
	want := "STORED\r\n2\r\nVALUE a 0 1\r\n2\r\nEND\r\n" +
		"SERVER_ERROR flush_all is not done here\r\n" +
		"SERVER_ERROR items are not listed here\r\n" +
		"SERVER_ERROR there are no statistics of items here\r\nHD\r\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestErrorsOfItemsAreAnswered(t *testing.T) {
	t.Parallel()
	requests := []string{
		"set a 0 0 1\r\nx\r\n", "delete a\r\n", "touch a 1\r\n", "incr a 1\r\n", "gat 1 a\r\n",
		"ms a 0 q\r\n\r\n", "md a q\r\n", "ma a q\r\n", "mg a T1 q\r\n", "me a\r\n",
	}
	for err, want := range map[error]string{
		errors.New("moved 7 h:1"): "SERVER_ERROR moved 7 h:1\r\n",
		store.ErrFull:             "SERVER_ERROR out of memory storing object\r\n",
		store.ErrTooLarge:         errTooLarge.Answer + "\r\n",
	} {
		h := NewHandler(fewItems{store.New(store.Config{}), err})
		if got := answersBy(h, strings.Join(requests, "")); got != strings.Repeat(want, len(requests)) {
			t.Errorf("%v: %q", err, got)
		}
	}
}

// TestHandlerKeepsNoValue wants an answer's value to be garbage when its item is
// gone, long as the connection may last.
func TestHandlerKeepsNoValue(t *testing.T) {
	t.Parallel()
	s := store.New(store.Config{})
	h := NewHandler(s)
	for _, request := range []string{"gat 0 a\r\n", "mg a v t u\r\n", "incr a 1\r\n", "me a\r\n"} {
		_ = s.Set([]byte("a"), store.Item{Value: []byte("1"), Expires: time.Now().Add(time.Hour).UnixNano()})
		c := newServerConn(&Server{Handler: h}, &scriptConn{script: []byte(request), size: 100})
		c.serve()
		if c.out.change.hit.Value != nil {
			t.Errorf("%q: the connection keeps %q", request, c.out.change.hit.Value)
		}
	}
}
