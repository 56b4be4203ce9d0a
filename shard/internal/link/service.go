package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// MasterCalls is what a master does for people. A call that it declines fails
// with an error for the caller to read.
type MasterCalls interface {
	Status(context.Context) (*pb.MasterStatus, error)
	Forget(ctx context.Context, addr string) error
	Rebalance(context.Context) error
}

// ServerCalls is what a server does for people.
type ServerCalls interface {
	Status(context.Context) (*pb.ServerStatus, error)
}

// ServiceConfig says what a Service serves.
type ServiceConfig struct {
	Options
	Boot slots.Boot
	// Master and Server are the services that there are; at least one.
	Master MasterCalls
	Server ServerCalls
	// Events go to this channel, which is not closed.
	Events chan<- Event
}

// Service is the serving side: gRPC with torc.shard.v1, health and reflection.
type Service struct {
	cfg    ServiceConfig
	grpc   *grpc.Server
	health *health.Server
	maps   board
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu struct {
		sync.Mutex
		boot    slots.Boot
		standby string // says who leads; empty: this one, or there is no master here
		// callers are those whose stream is open, by the service and their boot.
		callers map[callerKey]*caller
	}
	// reading are the callers' readers, which may outlive their handlers a bit.
	reading sync.WaitGroup
}

type callerKey struct {
	master bool
	boot   slots.Boot
}

// NewService returns a service that is to be served. It isn't healthy before
// SetHealthy, and has no map before SetMap.
func NewService(cfg ServiceConfig) *Service {
	s := &Service{cfg: cfg, health: health.NewServer()}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.mu.boot = cfg.Boot
	s.mu.callers = map[callerKey]*caller{}
	s.maps.init()
	s.grpc = grpc.NewServer(cfg.serverOptions()...)
	if cfg.Master != nil {
		pb.RegisterMasterServer(s.grpc, masterService{s: s})
	}
	if cfg.Server != nil {
		pb.RegisterServerServer(s.grpc, serverService{s: s})
	}
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.SetHealthy(false)
	return s
}

// Serve accepts connections until Close, and returns nil then. It closes l.
func (s *Service) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); err != nil && s.ctx.Err() == nil {
		return fmt.Errorf("gRPC on %s: %w", l.Addr(), err)
	}
	return nil
}

// Close ends everything and waits until nothing is left. No event follows. Calls
// of MasterCalls and ServerCalls have their contexts cancelled, and must return.
func (s *Service) Close() {
	s.mu.Lock()
	s.cancel(ErrClosed)
	s.mu.Unlock()
	s.health.Shutdown()
	s.grpc.Stop()
	s.reading.Wait()
}

// SetHealthy says what the health service answers, in general and for each of the
// services that there are.
func (s *Service) SetHealthy(serving bool) {
	state := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if serving {
		state = grpc_health_v1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", state)
	if s.cfg.Master != nil {
		s.health.SetServingStatus(pb.Master_ServiceDesc.ServiceName, state)
	}
	if s.cfg.Server != nil {
		s.health.SetServingStatus(pb.Server_ServiceDesc.ServiceName, state)
	}
}

// SetMap says which map is given out from now on.
func (s *Service) SetMap(m *slots.Map) { s.maps.set(m) }

// SetBoot changes the boot ID, as a server does that begins anew. Streams that
// were opened to the former one end.
func (s *Service) SetBoot(b slots.Boot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.boot = b
	for key, c := range s.mu.callers {
		if !key.master {
			c.cancel(status.Error(codes.Unavailable, "this server has begun anew"))
		}
	}
}

// SetStandby says that this master doesn't lead, in words that say who does; with
// an empty text, that it does. Servers that are attached to a master that steps
// down are sent away.
func (s *Service) SetStandby(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.standby = text
	if text == "" {
		return
	}
	s.maps.wake()
	for key, c := range s.mu.callers {
		if key.master {
			c.cancel(status.Error(codes.FailedPrecondition, text))
		}
	}
}

// leads fails where this master doesn't lead.
func (s *Service) leads() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.standby != "" {
		return status.Error(codes.FailedPrecondition, s.mu.standby)
	}
	return nil
}

func (s *Service) identity() *pb.Welcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &pb.Welcome{Version: msg.Version, Boot: uint64(s.mu.boot)}
}

// withStop returns a context that ends with ctx and with the service.
func (s *Service) withStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// declined is the status of an error of MasterCalls or ServerCalls.
func declined(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}

// minInterval is the shortest between two of a stream's status messages.
const minInterval = 50 * time.Millisecond

// repeat calls send once, or again and again at an interval.
func (s *Service) repeat(ctx context.Context, r *pb.StatusRequest, send func(context.Context) error) error {
	ctx, cancel := s.withStop(ctx)
	defer cancel()
	if r.GetIntervalMs() == 0 {
		return send(ctx)
	}
	t := time.NewTicker(max(time.Duration(r.GetIntervalMs())*time.Millisecond, minInterval))
	defer t.Stop()
	for {
		if err := send(ctx); err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

type masterService struct {
	pb.UnimplementedMasterServer
	s *Service
}

func (m masterService) Attach(stream grpc.BidiStreamingServer[pb.Frame, pb.Frame]) error {
	return m.s.serve(stream, true)
}

func (m masterService) GetMap(_ context.Context, r *pb.GetMapRequest) (*pb.GetMapReply, error) {
	if err := m.s.leads(); err != nil {
		return nil, err
	}
	return m.s.maps.get(r)
}

func (m masterService) WatchMap(r *pb.GetMapRequest, stream grpc.ServerStreamingServer[pb.GetMapReply]) error {
	return m.s.watch(r, stream, m.s.leads)
}

func (m masterService) Status(r *pb.StatusRequest, stream grpc.ServerStreamingServer[pb.MasterStatus]) error {
	return m.s.repeat(stream.Context(), r, func(ctx context.Context) error {
		if err := m.s.leads(); err != nil {
			return err
		}
		st, err := m.s.cfg.Master.Status(ctx)
		if err != nil {
			return declined(err)
		}
		return stream.Send(st)
	})
}

func (m masterService) Forget(ctx context.Context, r *pb.ForgetRequest) (*pb.ForgetReply, error) {
	if err := m.s.leads(); err != nil {
		return nil, err
	}
	ctx, cancel := m.s.withStop(ctx)
	defer cancel()
	return &pb.ForgetReply{}, declined(m.s.cfg.Master.Forget(ctx, r.GetAddr()))
}

func (m masterService) Rebalance(ctx context.Context, _ *pb.RebalanceRequest) (*pb.RebalanceReply, error) {
	if err := m.s.leads(); err != nil {
		return nil, err
	}
	ctx, cancel := m.s.withStop(ctx)
	defer cancel()
	return &pb.RebalanceReply{}, declined(m.s.cfg.Master.Rebalance(ctx))
}

type serverService struct {
	pb.UnimplementedServerServer
	s *Service
}

func (v serverService) Peer(stream grpc.BidiStreamingServer[pb.Frame, pb.Frame]) error {
	return v.s.serve(stream, false)
}

func (v serverService) Identify(context.Context, *pb.IdentifyRequest) (*pb.Welcome, error) {
	return v.s.identity(), nil
}

func (v serverService) GetMap(_ context.Context, r *pb.GetMapRequest) (*pb.GetMapReply, error) {
	return v.s.maps.get(r)
}

func (v serverService) WatchMap(r *pb.GetMapRequest, stream grpc.ServerStreamingServer[pb.GetMapReply]) error {
	return v.s.watch(r, stream, func() error { return nil })
}

func (v serverService) Status(r *pb.StatusRequest, stream grpc.ServerStreamingServer[pb.ServerStatus]) error {
	return v.s.repeat(stream.Context(), r, func(ctx context.Context) error {
		st, err := v.s.cfg.Server.Status(ctx)
		if err != nil {
			return declined(err)
		}
		return stream.Send(st)
	})
}
