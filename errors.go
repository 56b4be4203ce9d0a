package torc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The kinds of failure. Each comes wrapped in an *Error; test with errors.Is.
var (
	// ErrNotFound: Get, Delete, or a Put that needs an entry, found none.
	ErrNotFound = errors.New("no such key")
	// ErrExists: Put with IfAbsent found an entry.
	ErrExists = errors.New("the key exists already")
	// ErrConflict: Put with IfVersion found another entry than the one named.
	ErrConflict = errors.New("the entry has changed")
	// ErrUnavailable: whoever had to be asked can't be reached or doesn't
	// answer. The error's Member says who and its Since since when. Nothing was
	// changed, unless the error is ErrUnknownOutcome too.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnknownOutcome: a write was sent and its answer never came, so it may
	// have happened, or may yet. Putting the same again is safe; a Put with a
	// condition is for the caller to look into.
	ErrUnknownOutcome = errors.New("the write may or may not have happened")
	// ErrInvalid: the key, the value, an option or a URL is none that the
	// table can take. Nothing was sent.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge: the value is larger than the table takes. Nothing was changed.
	ErrTooLarge = errors.New("value too large")
	// ErrUnsupported: this kind of table can't do that.
	ErrUnsupported = errors.New("not supported by this kind of table")
	// ErrNotEmpty: the server that was to become a member holds entries.
	ErrNotEmpty = errors.New("the server is not empty")
	// ErrClosed: the table was closed.
	ErrClosed = errors.New("table closed")
)

// Error says what was being done, to which member, and since when that member
// has been failing.
type Error struct {
	Op     string    // "get", "put", "delete", "swap", "locate", "members", "open", "add", "remove"
	Key    string    // the key, if one was concerned
	Member string    // the host:port of the member, if one was concerned
	Since  time.Time // when that member began to fail; zero if it is not failing
	Err    error     // what happened; wraps at least one sentinel of this package
}

// briefly is for how long a member has been failing when there is no need to say
// so: it is the failure that the rest of the line tells of.
const briefly = time.Second

// Error formats e in one line, keys quoted and shortened.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("torc: ")
	b.WriteString(e.Op)
	if e.Key != "" {
		b.WriteByte(' ')
		b.WriteString(QuoteKey(e.Key))
	}
	switch {
	case e.Member == "":
	case e.Op == "add" || e.Op == "remove": // the member itself
		b.WriteByte(' ')
		b.WriteString(e.Member)
	default:
		b.WriteString(" at ")
		b.WriteString(e.Member)
	}
	if failing := time.Since(e.Since); !e.Since.IsZero() && failing >= briefly {
		fmt.Fprintf(&b, " (failing since %s, %s)", e.Since.Format("15:04:05.000"), failing.Round(time.Millisecond))
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// QuoteKey quotes a key for a line that a person reads: at most 64 bytes of it.
func QuoteKey(key string) string {
	const most = 64
	if len(key) <= most {
		return strconv.Quote(key)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(key[cut]) {
		cut-- // not through a character
	}
	return strconv.Quote(key[:cut]) + fmt.Sprintf("... (%d bytes)", len(key))
}

func invalid(err error) error { return fmt.Errorf("%w: %w", ErrInvalid, err) }
