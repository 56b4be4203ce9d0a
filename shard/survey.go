package shard

import (
	"context"
	"errors"
	"sync"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/shard/internal/link"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/slots"
)

var _ torc.Surveyor = (*Table)(nil)

// Survey implements [torc.Surveyor]. It asks the servers themselves, also while
// there is no master. Entries are counted as they hold them, copies included;
// shares are of slots.
func (t *Table) Survey(ctx context.Context) (torc.Survey, error) {
	if t.life.Err() != nil {
		return torc.Survey{}, failure(opSurvey, "", nil, torc.ErrClosed)
	}
	r := t.routing.Load()
	s := torc.Survey{
		Placement: r.m.Placement.String(), Copies: r.m.Copies, Version: r.view.Version,
		Members: make([]torc.MemberSurvey, len(r.view.Members)),
	}
	shares := make(map[string]float64)
	for i := range r.m.Rows {
		if at := r.m.Rows[i].Primary; at != slots.None {
			shares[r.m.Servers[at].Addr] += 1.0 / slots.Count
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.opts.ReadTimeout)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()
	var asking sync.WaitGroup
	for i, m := range r.view.Members {
		of := &s.Members[i]
		of.Member, of.Share = m, shares[m.Addr]
		if m.State == torc.Down {
			of.Err = &torc.Error{Op: opSurvey, Member: m.Addr, Since: m.Since, Err: unavailable(errors.New(m.Reason))}
			continue
		}
		asking.Go(func() {
			st, err := t.statusOf(ctx, m.Addr)
			if err != nil {
				of.Err = &torc.Error{Op: opSurvey, Member: m.Addr, Err: unavailable(err)}
			}
			of.Entries, of.Bytes = st.GetKeys(), st.GetBytes()
		})
	}
	asking.Wait()
	if t.life.Err() != nil {
		return torc.Survey{}, failure(opSurvey, "", nil, torc.ErrClosed)
	}
	return s, nil
}

// statusOf asks a server how it is.
func (t *Table) statusOf(ctx context.Context, addr string) (*pb.ServerStatus, error) {
	c, err := link.NewClient(addr, t.opts.link())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // fails only if it is closed already
	for st, err := range c.ServerStatus(ctx, 0) {
		return st, err
	}
	return nil, errors.New("it ended the connection")
}
