package client

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Failure is a request that nobody answered.
type Failure struct {
	// Host is the address of whom the last try failed at, and Since since when it has
	// been failing; "" if there was none.
	Host  string
	Since time.Time
	// Ended is what ended it: the context's error, context.DeadlineExceeded also for
	// the time-out, or torc.ErrClosed; nil if the servers may soon forget its number.
	Ended error
	// Last is how the last try failed; nil if there was none.
	Last error
	// Sent: it is a write, and may have been carried out, or may be yet.
	Sent bool
}

// Error says in a line how the last try failed.
func (f *Failure) Error() string { return reason(f.Last, f.Ended) }

// Unwrap returns both causes, as far as there are any.
func (f *Failure) Unwrap() []error {
	var errs []error
	for _, err := range []error{f.Ended, f.Last} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

var (
	errSilent = errors.New("no answer")
	errBroken = errors.New("it broke the connection off")
	// errLabelled: a host that speaks for a part of the table is left alone while
	// another one speaks for the whole.
	errLabelled = errors.New("it speaks for a part of the table alone")
)

// unable is a server's word that it can't serve.
type unable struct{ text string }

// Error returns the first part of the text. What follows the colon is for who asks by
// other means: that of this try nothing was done, and to try again.
func (e unable) Error() string {
	if e.text == "" {
		return "it can't serve now"
	}
	why, _, _ := strings.Cut(e.text, ": ")
	return why
}

// reason is err in the words for a person who sees the address beside it; if it is
// nil, ended.
func reason(err, ended error) string {
	if err == nil {
		err = ended
	}
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case err == nil:
		return "it was not tried"
	case err == context.DeadlineExceeded:
		return "the time is up"
	case err == context.Canceled:
		return "interrupted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nobody listens there"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errBroken.Error()
	case errors.As(err, &dns):
		return dns.Error()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return errSilent.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return strings.Join(strings.Fields(err.Error()), " ") // in one line
}
