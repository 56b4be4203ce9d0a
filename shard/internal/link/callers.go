package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// caller is an open stream, of a server to this master or this server.
type caller struct {
	s      *Service
	stream grpc.ServerStream
	master bool
	// ctx ends with the stream; its cause is what the caller is answered.
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed after its last event
	key    callerKey
}

// serve answers a stream. A handler that returns is the only way to make a
// blocked read or write of its stream end, so both have goroutines of their own,
// and this one waits for the reason to return.
func (s *Service) serve(stream grpc.ServerStream, master bool) error {
	c := &caller{s: s, stream: stream, master: master, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(s.ctx)
	s.reading.Go(func() {
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
	if errors.Is(err, ErrQueueFull) {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	if _, ok := status.FromError(err); !ok {
		return status.FromContextError(err).Err()
	}
	return err
}

// read reads the stream until it ends, and says why it does.
func (c *caller) read() error {
	opening, err := c.open()
	if err != nil {
		return err
	}
	if err := c.sameVersion(opening); err != nil {
		return err
	}
	former, err := c.register(opening)
	if err != nil {
		return err
	}
	defer c.unregister()
	if former != nil {
		// Also if this one is over meanwhile: a third waits for it.
		<-former.done
	}
	welcome := c.s.identity()
	if err := c.stream.SendMsg(&frame{welcome: welcome}); err != nil {
		return err
	}
	if expect := opening.GetExpect(); expect != 0 && expect != welcome.GetBoot() {
		return status.Errorf(codes.FailedPrecondition, "this is %v, not %v",
			slots.Boot(welcome.GetBoot()), slots.Boot(expect))
	}
	return c.deliver(opening)
}

// open reads the caller's first frame.
func (c *caller) open() (*pb.Opening, error) {
	late := time.AfterFunc(openTimeout, func() {
		c.cancel(status.Error(codes.DeadlineExceeded, "the first frame didn't come"))
	})
	defer late.Stop()
	var f frame
	if err := c.stream.RecvMsg(&f); err != nil {
		return nil, err
	}
	o := f.opening
	switch {
	case o == nil || o.GetBoot() == 0:
		return nil, status.Error(codes.InvalidArgument, "the first frame has to say who calls")
	case len(f.msgs) > 0:
		return nil, status.Error(codes.InvalidArgument, "the first frame has messages already")
	}
	return o, nil
}

// sameVersion sends away who speaks another version, and tells it which this is.
func (c *caller) sameVersion(o *pb.Opening) error {
	if o.GetVersion() == msg.Version {
		return nil
	}
	if err := c.stream.SendMsg(&frame{welcome: c.s.identity()}); err != nil {
		return err
	}
	return status.Errorf(codes.FailedPrecondition,
		"%s speaks version %d of the protocol, and this one %d; run the same torc everywhere",
		o.GetAddr(), o.GetVersion(), msg.Version)
}

// register makes this the caller's only stream, and returns the one that was.
func (c *caller) register(o *pb.Opening) (former *caller, _ error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.master && s.mu.standby != "" {
		return nil, status.Error(codes.FailedPrecondition, s.mu.standby)
	}
	c.key = callerKey{c.master, slots.Boot(o.GetBoot())}
	former = s.mu.callers[c.key]
	if former != nil {
		former.cancel(status.Error(codes.Aborted, "the same server has called again"))
	}
	s.mu.callers[c.key] = c
	return former, nil
}

func (c *caller) unregister() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.mu.callers[c.key] == c {
		delete(c.s.mu.callers, c.key)
	}
}

// deliver hands the loop what comes.
func (c *caller) deliver(o *pb.Opening) error {
	events := c.s.cfg.Events
	opened := Event(PeerOpened{c.key.boot, o.GetAddr()})
	messages := func(m []msg.Message) Event { return PeerMessages{c.key.boot, m} }
	closed := func(err error) Event { return PeerClosed{c.key.boot, err} }
	if c.master {
		conn := &Conn{Addr: o.GetAddr(), Boot: c.key.boot, out: newOutbox(c.s.cfg.queueBytes()), end: c.cancel}
		opened = Attached{conn}
		messages = func(m []msg.Message) Event { return ServerMessages{conn, m} }
		closed = func(err error) Event { return Detached{conn, err} }
		written := make(chan struct{})
		go func() {
			defer close(written)
			c.cancel(conn.out.write(c.ctx, c.stream))
		}()
		defer func() {
			<-written
			conn.out.close(ErrClosed)
		}()
	}
	if !emit(c.ctx, events, opened) {
		return context.Cause(c.ctx)
	}
	var err error
	for {
		var f frame
		if err = c.stream.RecvMsg(&f); err != nil {
			break
		}
		if len(f.msgs) > 0 && !emit(c.ctx, events, messages(f.msgs)) {
			break
		}
	}
	c.cancel(err)
	err = context.Cause(c.ctx)
	why := fmt.Errorf("%s: %s", o.GetAddr(), status.Convert(err).Message())
	emit(c.s.ctx, events, closed(why))
	return err
}
