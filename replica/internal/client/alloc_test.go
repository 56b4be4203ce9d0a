//go:build !race

package client

import (
	"net"
	"testing"
)

// A read costs an allocation, of its value, and a write none.
func TestAllocations(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // a server that allocates nothing
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		request, value := make([]byte, 4096), []byte("HTTP/1.1 200 OK\r\nServer: torc\r\nContent-Length: 5\r\nX-Torc-Version: 1-23\r\nX-Torc-Leader: "+l.Addr().String()+"\r\n\r\nvalue")
		nothing := []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Torc-Version: 1-23\r\n\r\n")
		for {
			if _, err := nc.Read(request); err != nil {
				return
			}
			answer := nothing
			if request[0] == 'G' {
				answer = value
			}
			if _, err := nc.Write(answer); err != nil {
				return
			}
		}
	}()
	c := New(Config{Hosts: []string{l.Addr().String()}, Hedge: testHedge, HedgeWrite: testHedge, Idle: 1})
	defer c.Close()
	for _, of := range []struct {
		what string
		r    Request
		most float64
	}{{"read", get("key"), 1}, {"write", put("key", "value"), 0}} {
		allocs := testing.AllocsPerRun(1000, func() {
			if _, err := c.Do(t.Context(), of.r, timeout); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > of.most {
			t.Errorf("a %s allocates %v times", of.what, allocs)
		}
	}
}
