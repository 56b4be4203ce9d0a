package link

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/torc-dht/torc/internal/grpcdial"
)

// Defaults, and the limits of what can be chosen.
const (
	// DefaultMaxValue is the longest value in bytes, as memcached's.
	DefaultMaxValue = 1 << 20
	// DefaultQueueBytes is what may wait for one peer. At 300,000 keys/s of 100
	// bytes that is two seconds: a peer that is silent for longer costs its
	// connection, not the machine's memory.
	DefaultQueueBytes = 64 << 20
)

const (
	// frameBytes is how much is put in one frame, if there is that much: enough
	// to make the cost of a frame, some microseconds, small, and no more than
	// gRPC takes before a write blocks, so that the next is encoded meanwhile.
	frameBytes = 64 << 10
	// batchBytes is above which a batch goes in parts.
	batchBytes = 1 << 20
	// otherBytes is the room in a frame for other things than one value: a map
	// has some 100 kB, the answers kept of a slot some MB at the very worst.
	otherBytes = 16 << 20

	// windowBytes is what a receiver takes before its loop has, and so what a
	// sender doesn't know of a receiver that is slow: at 50 MB/s, 20 ms; on a
	// link with 10 ms there and back it lets through 100 MB/s. It is fixed,
	// which saves the pings by which gRPC measures. A value that is longer gets
	// through it all the same.
	windowBytes = 1 << 20
	// ioBytes is gRPC's buffer for each direction: a frame and its heads in one
	// system call. Connections that are idle have none for writing.
	ioBytes = 80 << 10

	// The messages themselves tell within a second that a peer is silent;
	// keepalive ends what nobody asks about, such as a tool's watch.
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 5 * time.Second

	// openTimeout is how long the other side has to say who it is. One that is
	// stopped accepts connections and says nothing.
	openTimeout = 2 * time.Second

	minBackoff = 10 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
	// maxMasterBackoff is for a server without a master: one that is started again
	// waits half a second for the servers of its table before it begins another.
	maxMasterBackoff = 100 * time.Millisecond
)

// Options are what both sides of a connection are made with.
type Options struct {
	// TLS is for both sides; nil is plaintext. As a server's it needs
	// certificates, and is nil also where the listener has done TLS already.
	TLS *tls.Config
	// MaxValue is the longest value in bytes; 0 is DefaultMaxValue. It is the
	// same for all servers of a table.
	MaxValue int
	// QueueBytes is how much may wait for each peer; 0 is DefaultQueueBytes. One
	// message is taken however long it is.
	QueueBytes int
	// Dialer, if not nil, makes the connections in place of a net.Dialer; TLS
	// goes on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

func (o *Options) maxFrame() int {
	n := o.MaxValue
	if n == 0 {
		n = DefaultMaxValue
	}
	return n + otherBytes
}

func (o *Options) queueBytes() int {
	if o.QueueBytes == 0 {
		return DefaultQueueBytes
	}
	return o.QueueBytes
}

// dial returns a connection to addr, which isn't made yet.
func (o *Options) dial(addr string) (*grpcdial.Conn, error) {
	return grpcdial.New(addr, grpcdial.Config{TLS: o.TLS, Dialer: o.Dialer}, o.dialOptions()...)
}

func (o *Options) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithWriteBufferSize(ioBytes),
		grpc.WithReadBufferSize(ioBytes),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(newCodec()),
			grpc.MaxCallRecvMsgSize(o.maxFrame()),
		),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
	}
}

func (o *Options) serverOptions() []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.WriteBufferSize(ioBytes),
		grpc.ReadBufferSize(ioBytes),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(o.maxFrame()),
		grpc.ConnectionTimeout(openTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: keepaliveTime / 2, PermitWithoutStream: true,
		}),
		grpc.WaitForHandlers(true),
	}
	if o.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	return opts
}
