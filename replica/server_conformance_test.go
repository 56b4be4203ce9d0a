package replica_test

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica"
	"github.com/torc-dht/torc/tabletest"
)

// A table of real servers keeps what every table promises, also while one of them
// goes and comes back.
func TestConformance(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint("servers=", n), func(t *testing.T) {
			servers := startServers(t, n, nil)
			awaitNormal(t, servers)
			awaitQuiet(t)
			url := "replica://" + servers[0].addr
			for _, s := range servers[1:] {
				url += "," + s.addr
			}
			opts := []tabletest.Option{tabletest.ValueLimits(replica.DefaultMaxValue, replica.DefaultMaxValue+1)}
			if n > 2 { // what is left is a majority
				gone := false
				opts = append(opts, tabletest.Churn(func(t *testing.T, _ torc.Table) {
					if last := &servers[n-1]; gone {
						*last = startAgain(t, *last)
					} else {
						(*last).end(t)
					}
					gone = !gone
				}))
			}
			tabletest.Run(t, func(t *testing.T) torc.Table {
				table, err := torc.Open(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				return table
			}, opts...)
		})
	}
}

// startAgain starts a server in the place of one that has ended.
func startAgain(t *testing.T, was *running) *running {
	t.Helper()
	l, err := net.Listen("tcp", was.addr)
	for range 100 { // until the system gives the port up
		if err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
		l, err = net.Listen("tcp", was.addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return startServer(t, &replica.Server{Servers: was.Servers, Log: was.Log}, l)
}

// awaitQuiet waits until the servers have started no goroutine for a while, which
// the suite would take for one of the table's.
func awaitQuiet(t *testing.T) {
	t.Helper()
	last, since := 0, time.Now()
	eventually(t, "the servers start nothing more", func() bool {
		if n := runtime.NumGoroutine(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 200*time.Millisecond
	})
}
