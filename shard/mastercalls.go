package shard

import (
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

var errGoing = errors.New("this master is going")

func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// masterCalls is what a master does for people.
type masterCalls struct{ l *masterLoop }

// Status tells how the table stands.
func (c masterCalls) Status(context.Context) (*pb.MasterStatus, error) {
	var st master.Status
	if !c.l.on(func() { st = c.l.core.Status(clock().Mono) }) {
		return nil, errGoing
	}
	out := &pb.MasterStatus{
		Epoch: &pb.Epoch{Term: st.Epoch.Term, Boot: uint64(st.Epoch.Boot), Counter: st.Epoch.Counter},
		Boot:  uint64(st.Epoch.Boot), Since: time.Now().Add(-st.Since).UnixNano(), Single: uint32(st.Single),
		Placement: st.Placement.String(), Copies: uint32(st.Copies), MinCopies: uint32(st.MinCopies),
	}
	states := map[master.ServerState]pb.ServerState_State{
		master.Up: pb.ServerState_UP, master.Silent: pb.ServerState_UP, master.Dead: pb.ServerState_DEAD,
		master.Leaving: pb.ServerState_LEAVING, master.Unheard: pb.ServerState_UNHEARD,
	}
	for i := range st.Servers {
		s := &st.Servers[i]
		out.Servers = append(out.Servers, &pb.ServerState{
			Addr: s.Addr, Boot: uint64(s.Boot), Number: s.Number, State: states[s.State],
			Keys: s.Keys, Bytes: s.Bytes, Limit: s.Limit,
			Primaries: uint32(s.Primaries), Backups: uint32(s.InSync), Filling: uint32(s.Filling + s.Joining),
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
	if err := c.checkDead(ctx, addr); err != nil {
		return err
	}
	err := errGoing
	c.l.on(func() { err = c.l.core.Forget(clock().Mono, addr) })
	return err
}

// checkDead fails where the address accepts connections, unless it is another
// process that does than the one to be forgotten.
func (c masterCalls) checkDead(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil
	}
	_ = conn.Close()
	boot, err := link.Identify(ctx, addr, link.Options{TLS: c.l.cfg.TLS})
	if err != nil {
		return fmt.Errorf("%s accepts connections: make sure that the server there has ended, it may still answer for its slots", addr)
	}
	known := false
	c.l.on(func() {
		if m := c.l.core.Map(); m != nil {
			known = m.Index(boot) != slots.None
		}
	})
	if known {
		return fmt.Errorf("%s is alive: stop it with SIGTERM, and it hands over what it has", addr)
	}
	return nil
}

// Rebalance spreads the slots anew.
func (c masterCalls) Rebalance(context.Context) error {
	if !c.l.on(func() { c.l.core.Rebalance(clock().Mono) }) {
		return errGoing
	}
	return nil
}
