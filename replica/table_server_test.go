package replica_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica"
)

func addrs(servers []*running) []string {
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.addr)
	}
	return addrs
}

// Servers end one after the other, down to the last, and come back, while callers
// swap: none fails, and each value comes back once, in an answer without the label
// as long as a majority of the last view was there.
func TestTableGoesOnToTheLastServer(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 4, nil)
	awaitNormal(t, servers)
	table, err := replica.New(t.Context(), addrs(servers), replica.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	const callers = 4
	var callersDone sync.WaitGroup
	var seen sync.Map
	stop := make(chan struct{})
	for caller := range callers {
		callersDone.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				e, err := table.Swap(t.Context(), "k", fmt.Append(nil, caller, i))
				if err != nil {
					t.Error(err)
					return
				}
				if _, again := seen.LoadOrStore(string(e.Value), true); again {
					t.Errorf("%q came back twice", e.Value)
				}
			}
		})
	}
	for i, s := range servers[1:] {
		s.end(t)
		if _, err := table.Swap(t.Context(), "other", fmt.Append(nil, i)); err != nil {
			t.Errorf("after %d ended: %v", i+1, err)
		}
		if epoch, degraded := table.Degraded(); degraded && i == 0 {
			t.Errorf("with 3 of 4 servers answers are labelled with %d", epoch)
		}
	}
	for i, s := range servers[1:] {
		servers[i+1] = startAgain(t, s)
	}
	awaitNormal(t, servers)
	eventually(t, "answers bear no label", func() bool {
		e, err := table.Get(t.Context(), "other")
		_, degraded := table.Degraded()
		return err == nil && string(e.Value) == "2" && !degraded
	})
	close(stop)
	callersDone.Wait()
}

func TestClientsOverTLS(t *testing.T) {
	t.Parallel()
	config := certificate(t)
	servers := startServers(t, 2, func(s *replica.Server) { s.TLS = config })
	awaitNormal(t, servers)
	table, err := replica.New(t.Context(), addrs(servers), replica.TableOptions{TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	value := strings.Repeat("v", 1<<20)
	for range 10 {
		if err := table.Put(t.Context(), "k", []byte(value)); err != nil {
			t.Fatal(err)
		}
		if e, err := table.Get(t.Context(), "k"); err != nil || string(e.Value) != value {
			t.Fatalf("%d bytes, %v", len(e.Value), err)
		}
	}
	once := replica.Once{Hosts: addrs(servers), TLS: config, Memory: t.TempDir()}
	if r, err := once.Swap(t.Context(), "k", []byte("w")); err != nil || string(r.Value) != value {
		t.Errorf("%+v, %v", r, err)
	}
	for _, hosts := range [][]string{addrs(servers)[:1], addrs(servers)} {
		if _, err := replica.New(t.Context(), hosts, replica.TableOptions{}); !errors.Is(err, torc.ErrUnavailable) {
			t.Errorf("without TLS: %v", err)
		}
	}
}
