//go:build unix

package memcache

import (
	"net"
	"syscall"
)

// tryWriter writes what a connection takes without waiting, so that a caller
// can write for itself and for others and still leave when its context ends.
type tryWriter struct {
	raw syscall.RawConn
	try func(fd uintptr) bool // made once: it would be allocated for each write
	buf []byte
	n   int
	err error
}

// newTryWriter returns nil if nc is not a plain connection of the system's: one
// that wraps such a connection may do more in its Write.
func newTryWriter(nc net.Conn) *tryWriter {
	var sc syscall.Conn
	switch nc := nc.(type) {
	case *net.TCPConn:
		sc = nc
	case *net.UnixConn:
		sc = nc
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	w := &tryWriter{raw: raw}
	w.try = func(fd uintptr) bool {
		for {
			w.n, w.err = syscall.Write(int(fd), w.buf)
			if w.err != syscall.EINTR {
				return true
			}
		}
	}
	return w
}

// write writes as much of b as goes without waiting, maybe nothing.
func (w *tryWriter) write(b []byte) (int, error) {
	w.buf = b
	err := w.raw.Write(w.try)
	w.buf = nil
	switch {
	case err != nil:
		return 0, err
	case w.err == syscall.EAGAIN:
		return 0, nil
	case w.err != nil:
		return 0, w.err
	}
	return w.n, nil
}
