package chord

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// Nodes join and leave while a Table and a plain client write and read: no request
// fails, and none sees anything but what was written last.
func TestJoinAndLeaveUnderLoad(t *testing.T) { // alone: who gets no processor for long is taken for dead
	nodes := five(t, 1)
	eventually(t, "whole", func() error { return whole(t.Context(), nodes) })
	table, err := New(t.Context(), []string{nodes["99"].addr}, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	plain := nodes["32"].client(memcache.Config{})

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	var calls atomic.Int64
	for g := range 8 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key, value := strconv.Itoa(g*1000+i%50), strconv.Itoa(i)
				if err := writeAndRead(ctx, table, plain, g, key, value); err != nil && ctx.Err() == nil {
					t.Errorf("key %s, in round %d: %v", key, i, err)
					return
				}
				calls.Add(2)
			}
		})
	}
	for _, id := range []string{"200", "60", "34"} {
		nodes[id] = start(t, &Server{Bits: 8, ID: id, Contact: nodes["136"].addr, Memory: 64 << 20}).awaitJoined()
		eventually(t, "whole with "+id, func() error { return whole(t.Context(), nodes) })
	}
	for _, id := range []string{"60", "1", "35"} {
		nodes[id].leave()
		must(t, nodes[id].wait())
		delete(nodes, id)
		eventually(t, "whole without "+id, func() error { return whole(t.Context(), nodes) })
	}
	stop()
	load.Wait()
	if calls.Load() == 0 {
		t.Error("there was no load")
	}
}

// writeAndRead writes one way and reads the other.
func writeAndRead(ctx context.Context, table *Table, plain *memcache.Client, g int, key, value string) error {
	byTable := g%2 == 0
	if byTable {
		if err := table.Put(ctx, key, []byte(value)); err != nil {
			return err
		}
		it, err := plain.Get(ctx, key)
		return check(it.Value, value, err)
	}
	if _, err := plain.Set(ctx, memcache.Item{Key: key, Value: []byte(value)}, memcache.ModeSet); err != nil {
		return err
	}
	e, err := table.Get(ctx, key)
	return check(e.Value, value, err)
}

func check(got []byte, want string, err error) error {
	if err == nil && string(got) != want {
		err = fmt.Errorf("it has %q, and %q was written", got, want)
	}
	return err
}

// A node without room refuses what needs more, by whomever it is asked, and goes on
// reading.
func TestFullNode(t *testing.T) {
	t.Parallel()
	first := start(t, &Server{Bits: 8, ID: "128", Memory: 64 << 20, Replicas: NoReplicas}).awaitJoined()
	start(t, &Server{Bits: 8, ID: "0", Memory: 100 << 10, Contact: first.addr}).awaitJoined()
	table, err := New(t.Context(), []string{first.addr}, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	plain := first.client(memcache.Config{})
	value := make([]byte, 10<<10)
	var failed error
	for i := 0; failed == nil && i < 100; i++ {
		failed = table.Put(t.Context(), strconv.Itoa(256*i+200), value)
	}
	if !errors.Is(failed, torc.ErrUnavailable) || errors.Is(failed, torc.ErrUnknownOutcome) {
		t.Errorf("a full node: %v", failed)
	}
	var said *memcache.ServerError
	_, err = plain.Set(t.Context(), memcache.Item{Key: "201", Value: value}, memcache.ModeSet)
	if !errors.As(err, &said) || said.Line != "SERVER_ERROR out of memory storing object" {
		t.Errorf("by way of another one: %v", err)
	}
	if it, err := plain.Get(t.Context(), "200"); err != nil || len(it.Value) != len(value) {
		t.Errorf("%d bytes, %v", len(it.Value), err)
	}
}
