package link

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// service answers what comes over the connections that others make.
type service struct {
	pb.UnimplementedNodeServer
	m *Mesh
}

func (s service) Info(context.Context, *pb.InfoRequest) (*pb.InfoReply, error) {
	i := s.m.info()
	return infoToWire(&i), nil
}

func (s service) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusReply, error) {
	st, err := s.m.cfg.Calls.Status(ctx)
	if err != nil {
		return nil, declined(err)
	}
	st.Info = s.m.info()
	return statusToWire(&st), nil
}

func (s service) Resolve(ctx context.Context, r *pb.ResolveRequest) (*pb.ResolveReply, error) {
	target, err := place.Circle(s.m.cfg.Bits).Parse(r.GetPlace())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	v, err := s.m.cfg.Calls.Resolve(ctx, target)
	if err != nil {
		return nil, declined(err)
	}
	return resolvedToWire(&v), nil
}

func (s service) Leave(ctx context.Context, _ *pb.LeaveRequest) (*pb.LeaveReply, error) {
	return &pb.LeaveReply{}, declined(s.m.cfg.Calls.Leave(ctx))
}

func (s service) Fail(ctx context.Context, _ *pb.FailRequest) (*pb.FailReply, error) {
	return &pb.FailReply{}, declined(s.m.cfg.Calls.Fail(ctx))
}

// declined is the status of an error of Calls.
func declined(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, ring.ErrNoWay):
		return status.Error(codes.NotFound, err.Error())
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}

// caller is an open stream of another node.
type caller struct {
	m      *Mesh
	stream grpc.ServerStream
	ctx    context.Context // its cause is what the caller is answered
	cancel context.CancelCauseFunc
	done   chan struct{} // closed after its last event
	boot   uint64
	number uint64
}

// Talk answers a stream. A handler that returns is the only way to make a blocked read
// of its stream end, so that has a goroutine of its own, and this one waits for the
// reason to return.
func (s service) Talk(stream grpc.BidiStreamingServer[pb.Frame, pb.Welcome]) error {
	c := &caller{m: s.m, stream: stream, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(s.m.ctx)
	s.m.reading.Go(func() {
		defer close(c.done)
		c.cancel(c.read())
	})
	select {
	case <-c.ctx.Done():
	case <-stream.Context().Done():
		c.cancel(stream.Context().Err())
	}
	err := context.Cause(c.ctx)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if errors.Is(err, ErrClosed) {
		return status.Error(codes.Unavailable, "shutting down")
	}
	if _, ok := status.FromError(err); !ok {
		return status.FromContextError(err).Err()
	}
	return err
}

// read reads the stream until it ends, and says why it does.
func (c *caller) read() error {
	h, err := c.hello()
	if err != nil {
		return err
	}
	self := c.m.cfg.Self
	welcome := &pb.Welcome{Version: msg.Version, Boot: self.Boot, Refusal: c.m.judge(h)}
	if welcome.Refusal != "" {
		if h.GetMeant() == self.Boot { // who meant another one is told so, and that is all
			emit(c.ctx, c.m.cfg.Events, Rejected{h.GetAddr(), welcome.Refusal})
		}
		if err := c.stream.SendMsg(welcome); err != nil {
			return err
		}
		return io.EOF
	}
	id, err := place.Circle(c.m.cfg.Bits).Parse(h.GetId())
	if err != nil || h.GetBoot() == 0 || len(h.GetAddr()) > maxAddr {
		return status.Error(codes.InvalidArgument, errNoHello.Error())
	}
	from := ring.Ref{Place: id, Boot: h.GetBoot(), Addr: h.GetAddr()}
	c.boot, c.number = from.Boot, h.GetNumber()
	if err := c.register(); err != nil {
		return err
	}
	defer c.m.heard(from)
	defer c.unregister()
	if err := c.stream.SendMsg(welcome); err != nil {
		return err
	}
	c.m.called(from)
	return c.deliver(from)
}

// hello reads the caller's first frame.
func (c *caller) hello() (*pb.Hello, error) {
	late := time.AfterFunc(openTimeout, func() {
		c.cancel(status.Error(codes.DeadlineExceeded, "the first frame didn't come"))
	})
	defer late.Stop()
	var f frame
	if err := c.stream.RecvMsg(&f); err != nil {
		return nil, err
	}
	if f.hello == nil || len(f.msgs) > 0 {
		return nil, status.Error(codes.InvalidArgument, errNoHello.Error())
	}
	return f.hello, nil
}

// register makes this the caller's only stream, and returns when the one before has
// had its last event. It fails if that one is newer: calls that were made long ago
// come in, late and out of order, when this process was stopped.
func (c *caller) register() error {
	c.m.mu.Lock()
	former := c.m.mu.callers[c.boot]
	if former != nil && former.number >= c.number {
		c.m.mu.Unlock()
		return status.Error(codes.Aborted, "there is a later call")
	}
	c.m.mu.callers[c.boot] = c
	c.m.mu.Unlock()
	if former != nil {
		former.cancel(status.Error(codes.Aborted, "the same node has called again"))
		<-former.done // also if this one is over meanwhile: a third waits for it
	}
	return nil
}

func (c *caller) unregister() {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if c.m.mu.callers[c.boot] == c {
		delete(c.m.mu.callers, c.boot)
	}
}

// deliver hands the loop what comes.
func (c *caller) deliver(from ring.Ref) error {
	for {
		var f frame
		if err := c.stream.RecvMsg(&f); err != nil {
			if code := status.Code(err); code == codes.Internal || code == codes.ResourceExhausted {
				emit(c.ctx, c.m.cfg.Events, Rejected{from.Addr, "what it sends can't be read: " + status.Convert(err).Message()})
			}
			return err
		}
		if len(f.msgs) > 0 && !emit(c.ctx, c.m.cfg.Events, Received{from, f.msgs}) {
			return context.Cause(c.ctx)
		}
	}
}
