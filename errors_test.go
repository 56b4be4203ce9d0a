package torc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestErrorText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		since := time.Now()
		time.Sleep(1500 * time.Millisecond)
		for want, e := range map[string]*Error{
			`torc: get "a b": no such key`:                  {Op: "get", Key: "a b", Err: ErrNotFound},
			`torc: members at h:1: unavailable`:             {Op: "members", Member: "h:1", Err: ErrUnavailable},
			`torc: open: invalid: "x" is not a table's URL`: {Op: "open", Err: invalid(errors.New(`"x" is not a table's URL`))},
			fmt.Sprintf(`torc: put "k" at h:1 (failing since %s, 1.5s): unavailable: refused`, since.Format("15:04:05.000")): {
				Op: "put", Key: "k", Member: "h:1", Since: since, Err: fmt.Errorf("%w: refused", ErrUnavailable)},
			`torc: put "k" at h:1: unavailable: refused`: {
				Op: "put", Key: "k", Member: "h:1", Since: time.Now(), Err: fmt.Errorf("%w: refused", ErrUnavailable)},
			`torc: add h:1: unavailable: refused`: {
				Op: "add", Member: "h:1", Since: time.Now(), Err: fmt.Errorf("%w: refused", ErrUnavailable)},
		} {
			if got := e.Error(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})
}

// One error may be of several kinds; errors.Is finds each of them.
func TestErrorIs(t *testing.T) {
	t.Parallel()
	err := error(&Error{Op: "put", Key: "k", Member: "h:1", Err: fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrUnknownOutcome, context.DeadlineExceeded)})
	err = fmt.Errorf("saving: %w", err)
	for _, target := range []error{ErrUnavailable, ErrUnknownOutcome, context.DeadlineExceeded} {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
	if errors.Is(err, ErrNotFound) {
		t.Errorf("%v is ErrNotFound", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Member != "h:1" {
		t.Errorf("errors.As found %v", e)
	}
}

func TestQuoteKey(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 63) + strings.Repeat("é", 60)
	for key, want := range map[string]string{
		"":                                `""`,
		"a b\n":                           `"a b\n"`,
		"\xff\x00":                        `"\xff\x00"`,
		strings.Repeat("k", 64):           strconv.Quote(strings.Repeat("k", 64)),
		strings.Repeat("k", 65):           strconv.Quote(strings.Repeat("k", 64)) + "... (65 bytes)",
		long:                              strconv.Quote(strings.Repeat("x", 63)) + "... (183 bytes)",
		strings.Repeat("\x80", MaxKeyLen): `"` + strings.Repeat(`\x80`, 60) + `"... (250 bytes)`,
	} {
		got := QuoteKey(key)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("QuoteKey(%q) = %s, want %s", key, got, want)
		}
	}
}
