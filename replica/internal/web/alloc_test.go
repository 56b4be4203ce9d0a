package web

import (
	"io"
	"testing"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// constant is a Backend that costs nothing.
type constant msg.Result

func (c *constant) Do(*msg.Op) (msg.Result, error) { return msg.Result(*c), nil }

// A request costs the operation and its key, and a write its value: what the
// Backend keeps.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("not under the race detector")
	}
	for request, most := range map[string]float64{
		"GET /foo HTTP/1.1\r\nHost: a:1\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n":   2,
		"GET /foo=bar HTTP/1.1\r\nHost: a:1\r\n\r\n":                                         3,
		"GET /foo HTTP/1.1\r\nHost: a:1\r\nX-Torc-Op: 0-0-0\r\n\r\n":                         2,
		"PUT /foo HTTP/1.1\r\nHost: a:1\r\nX-Torc-Op: a-1-0\r\nContent-Length: 3\r\n\r\nbar": 3,
		"GET /%zz HTTP/1.1\r\nHost: a:1\r\n\r\n":                                             0,
	} {
		addr, stop := serve(t, &Server{Backend: &constant{Status: msg.OK, Found: true, Old: []byte("bar")}})
		c := dial(t, addr)
		in, out := make([]byte, 4096), []byte(request)
		if got := testing.AllocsPerRun(2000, func() {
			if _, err := c.Write(out); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(in); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}); got > most {
			t.Errorf("%q: %v allocations, want at most %v", request, got, most)
		}
		_ = c.Close()
		stop()
	}
}
