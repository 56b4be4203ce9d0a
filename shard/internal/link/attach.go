package link

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// Attachment keeps a server connected to its master: to the first of several that
// takes it.
type Attachment struct {
	self    Peer
	masters []string
	opts    Options
	events  chan<- Event
	ctx     context.Context
	cancel  context.CancelCauseFunc
	done    chan struct{}
}

// NewAttachment begins to connect to one of masters, host:port each, of which
// there is at least one, in this order, over and over.
func NewAttachment(self Peer, masters []string, o Options, events chan<- Event) *Attachment {
	a := &Attachment{self: self, masters: masters, opts: o, events: events, done: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancelCause(context.Background())
	go a.run()
	return a
}

// Close ends the connection and waits until nothing of it is left. No event
// follows.
func (a *Attachment) Close() {
	a.cancel(ErrClosed)
	<-a.done
}

func (a *Attachment) run() {
	defer close(a.done)
	pause := backoff{most: maxMasterBackoff}
	for {
		for _, addr := range a.masters {
			if a.connect(addr) {
				pause.reset()
			}
			if a.ctx.Err() != nil {
				return
			}
		}
		if !pause.wait(a.ctx) {
			return
		}
	}
}

// connect makes one connection and stays with it until it ends. It says whether
// it came about.
func (a *Attachment) connect(addr string) bool {
	c, err := open(a.ctx, addr, &a.opts,
		&pb.Opening{Addr: a.self.Addr, Boot: uint64(a.self.Boot)},
		func(ctx context.Context, cc grpc.ClientConnInterface) (grpc.ClientStream, error) {
			return pb.NewMasterClient(cc).Attach(ctx)
		})
	if err != nil {
		emit(a.ctx, a.events, MasterFailed{addr, err})
		return false
	}
	defer c.close()
	conn := &Conn{
		Addr: addr, Boot: slots.Boot(c.welcome.GetBoot()), out: newOutbox(a.opts.queueBytes()), end: c.cancel,
	}
	if !emit(a.ctx, a.events, MasterUp{conn}) {
		return true
	}
	err = c.run(conn.out, func(msgs []msg.Message) bool {
		return emit(c.ctx, a.events, MasterMessages{msgs})
	})
	emit(a.ctx, a.events, MasterDown{addr, err})
	return true
}
