package shard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/torc-dht/torc/shard/internal/link"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/master"
	"github.com/torc-dht/torc/shard/slots"
)

var (
	errGoing   = errors.New("this master is going")
	errStandby = errors.New("this master leads no more: ask another")
)

func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// masterCalls is what a master does for people.
type masterCalls struct{ l *masterLoop }

// ask runs f on the loop, if this master leads.
func (c masterCalls) ask(f func(*master.Master)) error {
	err := errGoing
	c.l.on(func() {
		if err = errStandby; c.l.core != nil {
			err = nil
			f(c.l.core)
		}
	})
	return err
}

// Status tells how the table stands.
func (c masterCalls) Status(context.Context) (*pb.MasterStatus, error) {
	var st master.Status
	if err := c.ask(func(core *master.Master) { st = core.Status(clock().Mono) }); err != nil {
		return nil, err
	}
	out := &pb.MasterStatus{
		Epoch: &pb.Epoch{Term: st.Epoch.Term, Boot: uint64(st.Epoch.Boot), Counter: st.Epoch.Counter},
		Boot:  uint64(st.Epoch.Boot), Since: time.Now().Add(-st.Since).UnixNano(), Single: uint32(st.Single),
		Placement: st.Placement.String(), Copies: uint32(st.Copies), MinCopies: uint32(st.MinCopies),
		Settled: st.Settled, Held: uint32(st.Held),
	}
	states := map[master.ServerState]pb.ServerState_State{
		master.Up: pb.ServerState_UP, master.Silent: pb.ServerState_SILENT, master.Dead: pb.ServerState_DEAD,
		master.Leaving: pb.ServerState_LEAVING, master.Unheard: pb.ServerState_UNHEARD,
	}
	for i := range st.Servers {
		s := &st.Servers[i]
		out.Servers = append(out.Servers, &pb.ServerState{
			Addr: s.Addr, Boot: uint64(s.Boot), Number: s.Number, State: states[s.State],
			Keys: s.Keys, Bytes: s.Bytes, Limit: s.Limit,
			Primaries: uint32(s.Primaries), Backups: uint32(s.InSync), Filling: uint32(s.Filling + s.Joining),
			Full: s.Full,
		})
		if s.WaitFor > 0 {
			out.Failed = append(out.Failed, &pb.Failed{Addr: s.Addr, Slots: uint32(s.WaitFor)})
		}
	}
	for i := range st.Moves {
		m := &st.Moves[i]
		out.Moves = append(out.Moves, &pb.Move{
			From: m.From, To: m.To, Slots: m.Slots, Left: m.Left, Keys: m.Keys, Bytes: m.Bytes,
		})
	}
	return out, nil
}

// Forget gives up what only a dead server has, if it is dead as far as can be told.
func (c masterCalls) Forget(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*probeWithin)
	defer cancel()
	answers, err := c.whoAnswers(ctx, addr)
	if err != nil {
		return err
	}
	var refusal error
	err = c.ask(func(core *master.Master) { refusal = core.Forget(clock().Mono, addr, answers) })
	return cmp.Or(err, refusal)
}

// whoAnswers returns who accepts connections at an address, 0 for nobody: it may be
// another process than the one to be forgotten. It fails where that one can't be asked
// who it is.
func (c masterCalls) whoAnswers(ctx context.Context, addr string) (slots.Boot, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, nil
	}
	_ = conn.Close()
	boot, err := link.Identify(ctx, addr, link.Options{TLS: c.l.cfg.TLS})
	if err != nil {
		return 0, fmt.Errorf("%s accepts connections: make sure that the server there has ended, it may still answer for its slots", addr)
	}
	return boot, nil
}

// Rebalance spreads the slots anew.
func (c masterCalls) Rebalance(context.Context) error {
	return c.ask(func(core *master.Master) { core.Rebalance(clock().Mono) })
}
