package replica

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/torc-dht/torc/replica/internal/mesh"
)

const (
	// prefaceWithin is how long who connects to the peer port may take to say that
	// it is a server.
	prefaceWithin = 2 * time.Second
	// maxStrangers is how many may be in the middle of that: many more than there
	// are servers.
	maxStrangers = 64
)

// listenBeside listens on another port of where l does.
func listenBeside(ctx context.Context, l net.Listener, port int) (net.Listener, error) {
	host, _, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

// acceptPeers hands connections to links until ctx is done. It closes l.
func acceptPeers(ctx context.Context, l net.Listener, config *tls.Config, links *mesh.Mesh) {
	if config != nil {
		l = tls.NewListener(l, config)
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	var greetings sync.WaitGroup
	defer greetings.Wait()
	strangers := make(chan struct{}, maxStrangers)
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // too many files are open, say; it may pass
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		select {
		case strangers <- struct{}{}:
			greetings.Go(func() {
				defer func() { <-strangers }()
				greet(ctx, c, links)
			})
		default:
			_ = c.Close()
		}
	}
}

// greet hands a connection to links if it begins as a server's does.
func greet(ctx context.Context, c net.Conn, links *mesh.Mesh) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(prefaceWithin)) // fails where reading will
	r := bufio.NewReader(c)
	var preface [len(mesh.Preface)]byte
	_, err := io.ReadFull(r, preface[:])
	if !stop() || err != nil || string(preface[:]) != mesh.Preface {
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	links.Accept(c, r)
}
