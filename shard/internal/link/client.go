package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"

	"github.com/torc-dht/torc/internal/grpcdial"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/slots"
)

// Client asks one master, or one server, what a tool or a table's user wants to
// know. It connects when it is first asked, and again as needed. Its errors are
// those of connections, such as ErrRefused and ErrDeclined.
type Client struct {
	ch     *grpcdial.Conn
	master pb.MasterClient
	server pb.ServerClient
}

// NewClient returns a client for a host:port.
func NewClient(addr string, o Options) (*Client, error) {
	ch, err := o.dial(addr)
	if err != nil {
		return nil, err
	}
	return &Client{ch, pb.NewMasterClient(ch), pb.NewServerClient(ch)}, nil
}

// Close ends what is under way.
func (c *Client) Close() error { return c.ch.Close() }

// Where asks a master where a key lies.
func (c *Client) Where(ctx context.Context, key string) (slots.Epoch, *pb.Where, error) {
	r, err := c.master.GetMap(ctx, &pb.GetMapRequest{Key: []byte(key)})
	return epochFromWire(r.GetEpoch()), r.GetWhere(), c.ch.Explain(err)
}

// Map asks a master for its map.
func (c *Client) Map(ctx context.Context) (*slots.Map, error) {
	r, err := c.master.GetMap(ctx, &pb.GetMapRequest{})
	if err != nil {
		return nil, c.ch.Explain(err)
	}
	return c.mapOf(r)
}

// ServerMap asks a server for the map that it stands on.
func (c *Client) ServerMap(ctx context.Context) (*slots.Map, error) {
	r, err := c.server.GetMap(ctx, &pb.GetMapRequest{})
	if err != nil {
		return nil, c.ch.Explain(err)
	}
	return c.mapOf(r)
}

// mapOf is the map in a reply, which has to have one.
func (c *Client) mapOf(r *pb.GetMapReply) (*slots.Map, error) {
	m, err := mapFromWire(r.GetData())
	if err == nil && m == nil {
		err = errors.New("it answers without a map")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.ch.Addr(), err)
	}
	return m, nil
}

// Maps yields a master's map and each later one, until the first error.
func (c *Client) Maps(ctx context.Context) iter.Seq2[*slots.Map, error] {
	replies := received(ctx, c.ch, func(ctx context.Context) (grpc.ServerStreamingClient[pb.GetMapReply], error) {
		return c.master.WatchMap(ctx, &pb.GetMapRequest{})
	})
	return func(yield func(*slots.Map, error) bool) {
		for r, err := range replies {
			var m *slots.Map
			if err == nil {
				m, err = c.mapOf(r)
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Status yields a master's status, once or again at each interval.
func (c *Client) Status(ctx context.Context, interval time.Duration) iter.Seq2[*pb.MasterStatus, error] {
	return received(ctx, c.ch, func(ctx context.Context) (grpc.ServerStreamingClient[pb.MasterStatus], error) {
		return c.master.Status(ctx, &pb.StatusRequest{IntervalMs: uint32(interval.Milliseconds())})
	})
}

// ServerStatus yields a server's own, once or again at each interval.
func (c *Client) ServerStatus(ctx context.Context, interval time.Duration) iter.Seq2[*pb.ServerStatus, error] {
	return received(ctx, c.ch, func(ctx context.Context) (grpc.ServerStreamingClient[pb.ServerStatus], error) {
		return c.server.Status(ctx, &pb.StatusRequest{IntervalMs: uint32(interval.Milliseconds())})
	})
}

// Forget has a master give up what only a dead server had.
func (c *Client) Forget(ctx context.Context, addr string) error {
	_, err := c.master.Forget(ctx, &pb.ForgetRequest{Addr: addr})
	return c.ch.Explain(err)
}

// Rebalance has a master spread the slots anew.
func (c *Client) Rebalance(ctx context.Context) error {
	_, err := c.master.Rebalance(ctx, &pb.RebalanceRequest{})
	return c.ch.Explain(err)
}

// Identify asks a server which process it is.
func (c *Client) Identify(ctx context.Context) (slots.Boot, error) {
	r, err := c.server.Identify(ctx, &pb.IdentifyRequest{})
	return slots.Boot(r.GetBoot()), c.ch.Explain(err)
}

// Identify asks the server at an address which process it is: to find out whether
// a certain one is no more. ErrRefused says that nobody is there now.
func Identify(ctx context.Context, addr string, o Options) (slots.Boot, error) {
	c, err := NewClient(addr, o)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.Identify(ctx)
}

// received yields what a stream brings; an error is the last.
func received[T any](
	ctx context.Context, ch *grpcdial.Conn, start func(context.Context) (grpc.ServerStreamingClient[T], error),
) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := start(ctx)
		for {
			var m *T
			if err == nil {
				m, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(m, ch.Explain(err)) || err != nil {
				return
			}
		}
	}
}
