//go:build !unix

package web

import "net"

// socket is for systems whose connections tell when something has come.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (*socket) wait() (*block, int, error) { return nil, 0, nil }
