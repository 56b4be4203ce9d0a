//go:build unix

package memcache

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// socket does to a connection what package net can't: it writes without waiting,
// so that a caller can write for itself and for others and still leave when its
// context ends; and it looks what has come before it writes and waits, at the
// price of the reading alone. It serves one writer and one reader at a time.
type socket struct {
	raw syscall.RawConn

	// The functions are made once: they would be allocated for each use.
	write1 func(fd uintptr) bool
	out    []byte
	wrote  int
	werr   error

	read1 func(fd uintptr) bool
	in    []byte
	then  func() error
	read  int
	rerr  error

	look1 func(fd uintptr) bool
	in1   [1]byte
}

// newSocket returns nil if nc is not a plain connection of the system's: one
// that wraps such a connection may do more in its methods.
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
	s.write1 = func(fd uintptr) bool {
		s.wrote, s.werr = retry(syscall.Write, fd, s.out)
		return true
	}
	s.read1 = func(fd uintptr) bool {
		s.read, s.rerr = retry(syscall.Read, fd, s.in)
		if s.rerr != syscall.EAGAIN {
			return true
		}
		if then := s.then; then != nil {
			s.then = nil
			if err := then(); err != nil {
				s.rerr = err
				return true
			}
		}
		return false
	}
	s.look1 = func(fd uintptr) bool {
		s.read, s.rerr = retry(syscall.Read, fd, s.in1[:])
		return true
	}
	return s
}

func retry(call func(int, []byte) (int, error), fd uintptr, b []byte) (n int, err error) {
	for {
		if n, err = call(int(fd), b); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// write writes as much of b as goes without waiting, maybe nothing.
func (s *socket) write(b []byte) (int, error) {
	s.out = b
	err := s.raw.Write(s.write1)
	s.out = nil
	if err == nil && s.werr != syscall.EAGAIN {
		err = s.werr
	}
	if err != nil || s.werr != nil {
		return 0, err
	}
	return s.wrote, nil
}

// look says without waiting what has come that nobody asked for, the end of the
// stream included; nil if nothing has. It is a use by the reader.
func (s *socket) look() error {
	switch err := s.raw.Read(s.look1); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil // somebody breaks the reading off: then it is not for him
	case err != nil:
		return err
	case s.rerr == syscall.EAGAIN:
		return nil
	case s.rerr != nil:
		return s.rerr
	case s.read == 0:
		return io.EOF
	}
	return errUnasked
}

// readAfter looks whether something has come that nobody asked for, the end of
// the stream included, and then returns an error. If not it calls ask, and is a
// Read into b, unless ask fails. To close the connection in ask would wait for
// ever: Close waits for the reading to end.
func (s *socket) readAfter(b []byte, ask func() error) (int, error) {
	s.in, s.then = b, ask
	err := s.raw.Read(s.read1)
	early := s.then != nil
	s.in, s.then = nil, nil
	if err == nil {
		err = s.rerr
	}
	switch {
	case err != nil:
		return 0, err
	case s.read == 0:
		return 0, io.EOF
	case early:
		return 0, errUnasked
	}
	return s.read, nil
}
