package link

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/torc-dht/torc/memcache"
)

const (
	// DefaultQueueBytes is what may wait for one peer: a second or two of all that a
	// node can be written to. A peer that is behind by more costs its connection, and
	// not the machine's memory.
	DefaultQueueBytes = 64 << 20

	// otherBytes is the room in a frame for other things than one value.
	otherBytes = 16 << 20
	// windowBytes is what a receiver takes before its loop has: at 50 MB/s, 20 ms. It
	// is fixed, which saves the pings by which gRPC measures.
	windowBytes = 1 << 20
	// ioBytes is gRPC's buffer for each direction, as long as HTTP/2's frames. A node
	// has connections to all in its list and its fingers: with 80 kB each would take
	// 64 kB more, a quarter of a GB where a hundred nodes are on one machine, and fills
	// are no faster.
	ioBytes = 16 << 10

	// The messages themselves tell within a second that a peer is silent; keepalive
	// ends what nobody asks about.
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
)

// Options are what connections are made with. All nodes of a ring have the same.
type Options struct {
	// TLS is for those that this side makes; nil is plaintext. Those that are
	// accepted have been TLS, or not, before Mesh.Serve's listener returned them.
	TLS *tls.Config
	// MaxValue is the longest value in bytes; 0 is memcache.DefaultMaxItemSize.
	MaxValue int
	// QueueBytes is how much may wait for each peer; 0 is DefaultQueueBytes. One
	// message is taken however long it is.
	QueueBytes int
	// Dialer, if not nil, makes the connections in place of a net.Dialer; TLS goes on
	// top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

func (o *Options) maxValue() int   { return cmp.Or(o.MaxValue, memcache.DefaultMaxItemSize) }
func (o *Options) queueBytes() int { return cmp.Or(o.QueueBytes, DefaultQueueBytes) }
func (o *Options) maxFrame() int   { return o.maxValue() + otherBytes }

func (o *Options) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithWriteBufferSize(ioBytes),
		grpc.WithReadBufferSize(ioBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(o.maxFrame())),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
	}
}
