//go:build unix

package web

import (
	"io"
	"net"
	"syscall"
)

// socket reads from a connection of the system's, and takes a block only when
// there is something to put into it: an idle connection has none.
type socket struct {
	raw  syscall.RawConn
	read func(fd uintptr) bool // made once: it would be allocated for each use

	block *block
	n     int
	err   error
}

// newSocket returns nil if nc is not a plain connection of the system's.
func newSocket(nc net.Conn) *socket {
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
	s := &socket{raw: raw}
	s.read = func(fd uintptr) bool {
		b := newBlock()
		for {
			s.n, s.err = syscall.Read(int(fd), b[:])
			if s.err != syscall.EINTR {
				break
			}
		}
		if s.n > 0 {
			s.block = b
			return true
		}
		freeBlock(b)
		return s.err != syscall.EAGAIN
	}
	return s
}

// wait waits for bytes, up to the connection's deadline, and reads them into a
// block, which becomes the caller's.
func (s *socket) wait() (*block, int, error) {
	err := s.raw.Read(s.read)
	b := s.block
	s.block = nil
	switch {
	case b != nil:
		return b, s.n, nil
	case err != nil:
		return nil, 0, err
	case s.err != nil:
		return nil, 0, s.err
	}
	return nil, 0, io.EOF
}
