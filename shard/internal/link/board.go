package link

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/slots"
)

// board is where the newest map is put up for who asks, so that the loop which
// made it needn't answer.
type board struct {
	mu struct {
		sync.Mutex
		now     *posted
		changed chan struct{} // closed when now changes
	}
}

// posted is a map, and the answer with all of it, made when it is first asked for.
type posted struct {
	m     *slots.Map
	once  sync.Once
	reply *pb.GetMapReply
	err   error
}

func (b *board) init() { b.mu.changed = make(chan struct{}) }

func (b *board) set(m *slots.Map) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.now = &posted{m: m}
	b.wakeLocked()
}

// wake has watchers look again whether they may.
func (b *board) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeLocked()
}

func (b *board) wakeLocked() {
	close(b.mu.changed)
	b.mu.changed = make(chan struct{})
}

// look returns what is up, nil if nothing is, and when to look again.
func (b *board) look() (*posted, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.now, b.mu.changed
}

func (b *board) get(r *pb.GetMapRequest) (*pb.GetMapReply, error) {
	p, _ := b.look()
	if p == nil {
		return nil, status.Error(codes.Unavailable, "there is no map yet: no server has joined")
	}
	return p.answer(r)
}

// watch sends the map and each later one, for as long as allowed has no objection.
func (s *Service) watch(
	r *pb.GetMapRequest, stream grpc.ServerStreamingServer[pb.GetMapReply], allowed func() error,
) error {
	var sent *posted
	for {
		p, changed := s.maps.look()
		if err := allowed(); err != nil {
			return err
		}
		if p != sent {
			reply, err := p.answer(r)
			if err != nil {
				return err
			}
			if err := stream.Send(reply); err != nil {
				return err
			}
			sent = p
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-s.ctx.Done():
			return status.Error(codes.Unavailable, "shutting down")
		}
	}
}

func (p *posted) answer(r *pb.GetMapRequest) (*pb.GetMapReply, error) {
	if r.Key != nil {
		return &pb.GetMapReply{Epoch: epochToWire(p.m.Epoch), Where: where(p.m, slots.Of(r.Key))}, nil
	}
	p.once.Do(func() { p.reply, p.err = whole(p.m) })
	if p.err != nil {
		return nil, status.Errorf(codes.Internal, "the map: %v", p.err)
	}
	if !r.GetPrimaries() {
		return p.reply, nil
	}
	reply := &pb.GetMapReply{
		Epoch: p.reply.Epoch, Data: p.reply.Data, Placement: p.reply.Placement,
		Copies: p.reply.Copies, MinCopies: p.reply.MinCopies, Servers: p.reply.Servers,
		Primaries: make([]int32, len(p.m.Rows)),
	}
	for i := range p.m.Rows {
		reply.Primaries[i] = int32(p.m.Rows[i].Primary)
	}
	return reply, nil
}

func mapServer(s *slots.Server) *pb.MapServer {
	return &pb.MapServer{
		Addr: s.Addr, Boot: uint64(s.Boot), Number: s.Number, Dead: s.Dead, Leaving: s.Leaving,
	}
}

// whole is the answer with all of a map, but for the primaries.
func whole(m *slots.Map) (*pb.GetMapReply, error) {
	data, err := mapToWire(m)
	if err != nil {
		return nil, err
	}
	reply := &pb.GetMapReply{
		Epoch: epochToWire(m.Epoch), Data: data, Placement: m.Placement.String(),
		Copies: uint32(m.Copies), MinCopies: uint32(m.MinCopies),
	}
	for i := range m.Servers {
		reply.Servers = append(reply.Servers, mapServer(&m.Servers[i]))
	}
	for i := range m.Rows {
		row := &m.Rows[i]
		if row.Primary != slots.None {
			reply.Servers[row.Primary].Primaries++
		}
		for _, c := range row.Copies() {
			if c.State == slots.InSync {
				reply.Servers[c.Server].Backups++
			}
		}
	}
	return reply, nil
}

func where(m *slots.Map, s slots.Slot) *pb.Where {
	w := &pb.Where{Slot: uint32(s)}
	row := &m.Rows[s]
	if row.Primary != slots.None {
		w.Primary = mapServer(&m.Servers[row.Primary])
	}
	for _, c := range row.Copies() {
		if c.State == slots.InSync {
			w.Backups = append(w.Backups, mapServer(&m.Servers[c.Server]))
		}
	}
	return w
}
