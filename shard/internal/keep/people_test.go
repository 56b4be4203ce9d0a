package keep

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc/shard/slots"
)

// What people do to the znodes ends a reign, and no election.
func TestZnodesRemoved(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	e := master(t, o, "a")
	conn := rawConn(t, o)
	r := wait(e).get(t)
	mustSave(t, r, mapOf(3, 1))

	if err := conn.Delete(o.electionPath()+"/"+r.(*electionReign).c.name, -1); err != nil {
		t.Fatal(err)
	}
	if err := r.Save(t.Context(), mapOf(3, 2)); !errors.Is(err, ErrOver) {
		t.Error("saved by who stands no more:", err)
	}
	expectOver(t, r, errRemoved)

	r = wait(e).get(t)
	expectLast(t, r, 1)
	if err := conn.Delete(o.mapPath(), -1); err != nil {
		t.Fatal(err)
	}
	if err := r.Save(t.Context(), mapOf(3, 2)); !errors.Is(err, ErrOver) || !strings.Contains(err.Error(), "deleted") {
		t.Error("the map is gone:", err)
	}
	r = wait(e).get(t)
	expectLast(t, r, 0)
	mustSave(t, r, mapOf(3, 2))
}

func TestMapRefused(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	conn := rawConn(t, o)
	e := master(t, o, "a")
	r := wait(e).get(t)

	large := mapOf(1, 1)
	for i := range slots.MaxServers - 1 {
		large.Servers = append(large.Servers, slots.Server{Addr: strings.Repeat("a", slots.MaxAddr), Boot: slots.Boot(i + 1), Number: uint32(i + 2)})
	}
	if err := r.Save(t.Context(), large); err == nil || !strings.Contains(err.Error(), "room for") || !r.Leads() {
		t.Error(err)
	}
	// The largest that is taken is one that ZooKeeper takes, and gives back.
	all := large.Servers
	large.Servers = all[:1+sort.Search(len(all)-1, func(n int) bool {
		large.Servers = all[:2+n]
		return len(mustEncode(t, record{last: large})) > maxRecord
	})]
	t.Logf("%d servers with addresses of %d bytes: %d bytes", len(large.Servers), slots.MaxAddr, len(mustEncode(t, record{last: large})))
	mustSave(t, r, large)
	r.Resign()
	r = wait(e).get(t)
	expectLast(t, r, 1)
	r.Resign()

	for content, want := range map[string]string{
		"somebody else's": "is not a map of torc's",
		magic + "\xff":    "a newer torc",
		magic[:4]:         "delete it",
	} {
		if _, err := conn.Set(o.mapPath(), []byte(content), -1); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Lead(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), o.mapPath()) {
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
}

// Waiting doesn't mend that a master may not write.
func TestNoRights(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	conn := rawConn(t, o)
	o.Path = strings.ReplaceAll(o.Path, "/test/", "/readonly")
	if _, err := conn.Create(o.Path, nil, zk.FlagPersistent, zk.WorldACL(zk.PermRead)); err != nil {
		t.Fatal(err)
	}
	if _, err := master(t, o, "a").Lead(t.Context()); !errors.Is(err, zk.ErrNoAuth) || !strings.Contains(err.Error(), "all rights below "+o.Path) {
		t.Error(err)
	}
}

func TestNoZooKeeper(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0") // it is no ZooKeeper
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() { other.Close() })
	running.Go(func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			conn.Close()
		}
	})
	for addr, want := range map[string]string{closed.Addr().String(): "refused", other.Addr().String(): "no ZooKeeper"} {
		e := master(t, options(t, addr), "a")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := e.Lead(ctx)
			done <- err
		}()
		eventually(t, "what is wrong", func() bool {
			_, err := e.Leader()
			return err != nil && strings.Contains(err.Error(), want) && strings.Contains(err.Error(), addr)
		})
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
