package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// The address is said once, and neither memcache nor net nor context is named.
func TestFailureText(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 9}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	at := &server{Server: Server{Addr: "h:1"}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{&memcache.ConnError{Addr: "h:1", Err: refused}, "unavailable: connection refused: nobody listens there"},
		{&memcache.ConnError{Addr: "h:1", Sent: true, Err: reset}, "unavailable: read: connection reset by peer"},
		{&memcache.ConnError{Addr: "h:1", Err: errors.New("no answer within 2s")}, "unavailable: no answer within 2s"},
		{&memcache.ConnError{Addr: "h:1", Err: context.DeadlineExceeded}, "unavailable: no answer in time"},
		{&memcache.ServerError{Addr: "h:1", Line: "SERVER_ERROR out of memory"}, `unavailable: it answered "SERVER_ERROR out of memory"`},
		{context.DeadlineExceeded, "unavailable: the time is up"},
		{context.Canceled, "unavailable: interrupted"},
		{fmt.Errorf("%w: %w", brief{context.DeadlineExceeded}, new(routing).noServer()), "the time is up: unavailable: the fleet has no members"},
	} {
		err := failure("put", "k", at, c.err)
		if want := `torc: put "k" at h:1: ` + c.want; err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if !errors.Is(err, torc.ErrUnavailable) || !errors.Is(err, c.err) {
			t.Errorf("%v is not unavailable, or not what it was", err)
		}
	}
}
