package link

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/slots"
)

func startClient(t testing.TB, addr string, o Options) *Client {
	t.Helper()
	c, err := NewClient(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestMapIsGivenOut(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	m := startMaster(t, 11)
	c := startClient(t, m.addr, Options{})
	if _, err := c.Map(ctx); err == nil || !strings.Contains(err.Error(), "no server has joined") {
		t.Errorf("without a map: %v", err)
	}
	want := testMap(5)
	m.SetMap(want)
	got, err := c.Map(ctx)
	if err != nil || got.Epoch != want.Epoch || got.Rows[77] != want.Rows[77] {
		t.Errorf("got %v, %v", got, err)
	}
	// Slot 5: server 2 is primary, and the copy on server 1 is in sync.
	epoch, where, err := c.Where(ctx, "5")
	if err != nil || epoch != want.Epoch || where.GetSlot() != 5 ||
		where.GetPrimary().GetBoot() != 2 || where.GetBackups()[0].GetBoot() != 1 {
		t.Errorf("got %v, %v, %v", epoch, where, err)
	}
	whole, err := c.master.GetMap(ctx, &pb.GetMapRequest{Primaries: true})
	if err != nil || len(whole.GetPrimaries()) != slots.Count || whole.GetPrimaries()[5] != 1 ||
		whole.GetServers()[0].GetPrimaries() != slots.Count/2 || whole.GetServers()[0].GetBackups() != slots.Count/6 {
		t.Errorf("got %v, %v", whole.GetServers(), err)
	}
}

// A reply without a map, or with what is none, is an error, which says whose it is.
func TestReplyWithoutAMap(t *testing.T) {
	t.Parallel()
	c := startClient(t, "h:1", Options{})
	for _, data := range [][]byte{nil, {1, 2, 3}} {
		if m, err := c.mapOf(&pb.GetMapReply{Data: data}); err == nil || m != nil || !strings.HasPrefix(err.Error(), "h:1: ") {
			t.Errorf("%v: %v, %v", data, m, err)
		}
	}
}

func TestMapIsWatched(t *testing.T) {
	t.Parallel()
	m := startMaster(t, 11)
	c := startClient(t, m.addr, Options{})
	go m.SetMap(testMap(1)) // before or after the call
	last := uint64(0)
	for got, err := range c.Maps(patient(t)) {
		if err != nil {
			if last == 4 && errors.Is(err, ErrDeclined) {
				break
			}
			t.Fatal(err)
		}
		if got.Epoch.Counter != last+1 {
			t.Fatalf("%d came after %d", got.Epoch.Counter, last)
		}
		if last++; last < 4 {
			m.SetMap(testMap(last + 1))
		} else {
			m.SetStandby("the master is elsewhere")
		}
	}
	if last != 4 {
		t.Errorf("the last map was %d", last)
	}
}

func TestPeoplesCalls(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	m, s := startMaster(t, 11), startServer(t, 2)
	c := startClient(t, m.addr, Options{})
	for st, err := range c.Status(ctx, 0) {
		if err != nil || st.GetBoot() != 77 {
			t.Errorf("got %v, %v", st, err)
		}
	}
	n := 0
	for _, err := range c.Status(ctx, time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if err := c.Forget(ctx, "h:1"); !errors.Is(err, ErrDeclined) || !strings.Contains(err.Error(), "h:1 is alive") {
		t.Errorf("forget: %v", err)
	}
	if err := c.Rebalance(ctx); err != nil {
		t.Errorf("rebalance: %v", err)
	}
	m.SetStandby("the master is elsewhere")
	if err := c.Rebalance(ctx); !errors.Is(err, ErrDeclined) || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("a standby: %v", err)
	}
	for st, err := range startClient(t, s.addr, Options{}).ServerStatus(ctx, 0) {
		if err != nil || st.GetKeys() != 5 {
			t.Errorf("got %v, %v", st, err)
		}
	}
	if boot, err := Identify(ctx, s.addr, Options{}); err != nil || boot != 2 {
		t.Errorf("got %v, %v", boot, err)
	}
	if _, err := Identify(ctx, m.addr, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("a master asked as a server: %v", err)
	}
	s.Close()
	if _, err := Identify(ctx, s.addr, Options{}); !errors.Is(err, ErrRefused) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestHealthAndReflection(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	s := startServer(t, 2)
	c := startClient(t, s.addr, Options{})
	check := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		r, err := grpc_health_v1.NewHealthClient(c.ch).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil || r.GetStatus() != want {
			t.Errorf("got %v, %v, want %v", r.GetStatus(), err, want)
		}
	}
	check(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	s.SetHealthy(true)
	check(grpc_health_v1.HealthCheckResponse_SERVING)

	stream, err := grpc_reflection_v1.NewServerReflectionClient(c.ch).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || !strings.Contains(r.String(), "torc.shard.v1.Server") {
		t.Errorf("got %v, %v", r, err)
	}
}
