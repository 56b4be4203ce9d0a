package shard

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/slots"
)

// A table that can't be opened says why and what to do, of each master.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	server, empty, standby := newFakeServer(t), newFakeMaster(t), newFakeMaster(t)
	standby.service.SetStandby("the master is h:1")
	old := listen(t)
	data := &memcache.Server{Handler: server.handler}
	served := make(chan struct{})
	go func() { defer close(served); _ = data.Serve(old) }()
	t.Cleanup(func() { _ = data.Close(); <-served })
	for name, of := range map[string]struct{ host, want string }{
		"nobody":    {unused(t), "nobody listens there: is this where the master is, and does it run?"},
		"memcached": {old.Addr().String(), "give the address of a sharded table's master"},
		"a server":  {server.addr, "give the address of a sharded table's master"},
		"silent":    {mute(t), "doesn't answer"},
		"standby":   {standby.addr, "the master is h:1"},
		"no server": {empty.addr, "has no server yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			table, err := torc.Open(t.Context(), "shard://"+of.host)
			if err == nil {
				_ = table.Close()
			}
			var e *torc.Error
			if !errors.As(err, &e) || e.Op != "open" || !errors.Is(err, torc.ErrUnavailable) ||
				!strings.Contains(err.Error(), of.want) || strings.Count(err.Error(), of.host) != 1 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, of.want)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		nobody := unused(t)
		_, err := torc.Open(t.Context(), "shard://"+nobody+","+standby.addr)
		if err == nil || !strings.Contains(err.Error(), nobody) || !strings.Contains(err.Error(), standby.addr) {
			t.Errorf("of two masters: %v", err)
		}
	})
}

// New waits for the first server of a table, as long as its context allows.
func TestNewWaitsForAServer(t *testing.T) {
	t.Parallel()
	m, s := newFakeMaster(t), newFakeServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := New(ctx, []string{m.addr}, TableOptions{}); !errors.Is(err, torc.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("New without a server: %v", err)
	}
	opened := make(chan error, 1)
	go func() {
		table, err := New(t.Context(), []string{m.addr}, TableOptions{})
		if err == nil {
			err = table.Close()
		}
		opened <- err
	}()
	none := slots.Empty(slots.Minimal, 2, 1)
	none.Epoch = slots.Epoch{Term: 7, Boot: 1, Counter: 1}
	m.service.SetMap(none)
	m.service.SetMap(mapOf(2, s))
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// Of several masters, the one that leads is listened to, and then the next.
func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	first, second := newFakeMaster(t), newFakeMaster(t)
	a, b := newFakeServer(t), newFakeServer(t)
	second.service.SetStandby("another leads")
	first.service.SetMap(mapOf(1, a))
	table, err := New(t.Context(), []string{first.addr, second.addr}, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	first.stop()
	second.service.SetStandby("")
	second.service.SetMap(mapOf(2, a, b))
	await(t, "the second's map", func() bool { return table.routing.Load().m.Epoch.Counter == 2 })
	second.service.SetMap(mapOf(1, b)) // an earlier one changes nothing
	second.service.SetMap(mapOf(3, b))
	await(t, "the next map", func() bool { return table.routing.Load().m.Epoch.Counter == 3 })
}

// While no master is in touch, views say so and the last map serves; servers are
// asked for a newer one.
func TestMasterAway(t *testing.T) {
	t.Parallel()
	m, a, b, table := pairOf(t, TableOptions{})
	views := make(chan torc.View, 16)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for v, err := range table.Members(ctx) {
			if err != nil {
				t.Error(err)
			}
			views <- v
		}
	}()
	defer func() { cancel(); <-ended }()
	if v := <-views; !v.LostContact.IsZero() || len(v.Members) != 1 {
		t.Errorf("the first view: %+v", v)
	}
	m.stop()
	lost := <-views
	if lost.LostContact.IsZero() || len(lost.Members) != 1 || lost.Version != 1 || lost.Generation != 7 {
		t.Errorf("the view without a master: %+v", lost)
	}
	put(t, table, "k", "v")
	a.service.SetMap(mapOf(2, a, b))
	v := <-views
	if v.Version != 2 || len(v.Members) != 2 || !v.LostContact.Equal(lost.LostContact) {
		t.Errorf("the view by a server's map: %+v", v)
	}
}

// hastyMaster sends its map and ends the connection.
type hastyMaster struct {
	pb.UnimplementedMasterServer
	data    []byte
	watched chan struct{}
}

func (m *hastyMaster) WatchMap(_ *pb.GetMapRequest, stream grpc.ServerStreamingServer[pb.GetMapReply]) error {
	select {
	case m.watched <- struct{}{}:
	case <-stream.Context().Done():
	}
	return stream.Send(&pb.GetMapReply{Data: m.data})
}

// A master that ends each connection at once is called less and less often, though it
// sends a map each time.
func TestHastyMaster(t *testing.T) {
	t.Parallel()
	data, err := mapOf(1, newFakeServer(t)).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	m := &hastyMaster{data: data, watched: make(chan struct{})}
	l, server := listen(t), grpc.NewServer()
	pb.RegisterMasterServer(server, m)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); served.Wait() })
	table := newUnconnected([]string{l.Addr().String()}, TableOptions{})
	table.running.Go(func() { table.follow(l.Addr().String()) })
	defer table.Close()
	const calls = 6
	began := time.Now()
	for range calls {
		<-m.watched
	}
	if took, least := time.Since(began), minRetry<<(calls-1)-minRetry; took < least {
		t.Errorf("it was called %d times in %v", calls, took)
	}
}

// A view has each address once, and remembers since when.
func TestView(t *testing.T) {
	t.Parallel()
	m := slots.Empty(slots.Minimal, 2, 1)
	m.Epoch = slots.Epoch{Term: 7, Boot: 1, Counter: 3}
	m.Servers = []slots.Server{
		{Addr: "h:2", Boot: 1, Number: 1, Dead: true},
		{Addr: "h:1", Boot: 2, Number: 2, Leaving: true},
		{Addr: "h:2", Boot: 3, Number: 3},
		{Addr: "h:3", Boot: 4, Number: 4, Dead: true},
	}
	began := time.Unix(1000, 0)
	first := newView(m, torc.View{}, time.Time{}, began)
	m = m.Clone()
	m.Epoch.Counter++
	m.Servers[1].Leaving = false
	second := newView(m, first, began, began.Add(time.Second))
	for i, want := range []struct {
		addr  string
		state torc.State
		since time.Time
	}{{"h:1", torc.Up, began.Add(time.Second)}, {"h:2", torc.Up, began}, {"h:3", torc.Down, began}} {
		got := second.Members[i]
		if got.Addr != want.addr || got.State != want.state || !got.Since.Equal(want.since) || (got.Reason != "") != (want.state != torc.Up) {
			t.Errorf("member %d is %+v, want %+v", i, got, want)
		}
	}
	if s := first.Members[0].State; s != torc.Drained || len(second.Members) != 3 || second.Version != 4 || second.Generation != 7 {
		t.Errorf("%+v, %+v", first, second)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"shard://h":                          "no port",
		"shard:":                             "write shard://host:port",
		"shard://h:1/path":                   "write shard://host:port",
		"shard://h:1?copies=2":               `no parameter "copies"`,
		"shard://h:1?read-timeout=3":         "it takes a time",
		"shard://h:1?conns=0":                "it takes a number",
		"shard://h:1?tls-ca=x":               "it goes with tls=on",
		"shard://h:1?tls=on&tls-ca=/no/such": "no such file",
	} {
		_, err := torc.Open(t.Context(), url)
		var e *torc.Error
		if !errors.As(err, &e) || e.Op != "open" || !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	u, err := torc.ParseURL("shard://h:1,g:2?read-timeout=1s&write-timeout=2s&try-timeout=300ms&conns=3&tls=on&tls-name=x")
	if err != nil {
		t.Fatal(err)
	}
	masters, o, err := parseURL(u)
	if err != nil || len(masters) != 2 || o.ReadTimeout != time.Second || o.WriteTimeout != 2*time.Second ||
		o.TryTimeout != 300*time.Millisecond || o.Conns != 3 || o.TLS == nil || o.TLS.ServerName != "x" {
		t.Errorf("%v, %+v, %v", masters, o, err)
	}
}
