package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/msg"
)

func TestRequests(t *testing.T) {
	id := msg.OpID{Client: 0xabc, Seq: 12, Acked: 10}
	for want, r := range map[string]Request{
		"GET /k HTTP/1.1\r\nHost: h:1\r\nX-Torc-Op: 0-0-0\r\n\r\n":                     {Op: msg.Op{Kind: msg.Get, Key: "k"}},
		"GET / HTTP/1.1\r\nHost: h:1\r\nX-Torc-Op: 0-0-0\r\nX-Torc-Members: 1\r\n\r\n": {Status: true},
		"PUT /a%2F%3D%25%20%00%C3%A9 HTTP/1.1\r\nHost: h:1\r\nX-Torc-Op: abc-12-10\r\nContent-Length: 3\r\n\r\nv\r\n": {
			Op: msg.Op{Kind: msg.Put, Key: "a/=% \x00é", Value: []byte("v\r\n"), ID: id}},
		"PUT /k HTTP/1.1\r\nHost: h:1\r\nX-Torc-Op: abc-12-10\r\nX-Torc-If: 7-31\r\nX-Torc-TTL: 2\r\nContent-Length: 0\r\n\r\n": {
			Op: msg.Op{Kind: msg.Put, Key: "k", ID: id, Cond: msg.IfVersion, Version: msg.Version{Epoch: 7, Seq: 31}, TTL: time.Millisecond + 1}},
		"PUT /.. HTTP/1.1\r\nHost: h:1\r\nX-Torc-Op: abc-12-10\r\nX-Torc-If: absent\r\nX-Torc-Swap: 1\r\nContent-Length: 1\r\n\r\nv": {
			Op: msg.Op{Kind: msg.Put, Key: "..", Value: []byte("v"), ID: id, Cond: msg.IfAbsent}, Swap: true},
		"PUT /a..b HTTP/1.1\r\nHost: h:1\r\nX-Torc-Op: abc-12-10\r\nX-Torc-If: present\r\nContent-Length: 1\r\n\r\nv": {
			Op: msg.Op{Kind: msg.Put, Key: "a..b", Value: []byte("v"), ID: id, Cond: msg.IfPresent}},
		"DELETE /k HTTP/1.1\r\nHost: h:1\r\nX-Torc-Op: abc-12-10\r\n\r\n": {Op: msg.Op{Kind: msg.Delete, Key: "k", ID: id}},
	} {
		want = strings.Replace(want, "/.. ", "/%2E%2E ", 1)
		if got := string(r.append(nil, "h:1")); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
}

// Whatever the key, it is one word of printable ASCII, and decodes to itself.
func FuzzEscape(f *testing.F) {
	f.Add("a b")
	f.Add("..\x00\xff/%2F?#=+")
	f.Fuzz(func(t *testing.T, key string) {
		escaped := string(appendEscaped(nil, key))
		if strings.ContainsFunc(escaped, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/?#=", r) }) {
			t.Errorf("%q is sent as %q", key, escaped)
		}
		if back, err := url.PathUnescape(escaped); err != nil || back != key {
			t.Errorf("%q is sent as %q, which means %q, %v", key, escaped, back, err)
		}
	})
}

var hostNames = []string{"a:1", "b:2", "c:3"}

func parse(text string) (Answer, error) {
	return readAnswer(bufio.NewReaderSize(strings.NewReader(text), readBuffer), hostNames)
}

func TestAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	version := torc.Version{Epoch: 3, Seq: 255}
	for text, want := range map[string]Answer{
		ok + "Server: torc\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nX-Torc-Version: 3-255\r\n\r\nvalue": {Code: 200, Body: []byte("value"), Version: version, Leader: -1},
		ok + "content-length:0\nx-torc-leader: b:2\nX-TORC-OLD: 3-255\n\n":                                         {Code: 200, Body: []byte{}, Old: version, Leader: 1},
		ok + "Content-Length: 0\r\nX-Torc-Leader: somebody:9\r\nX-Torc-Degraded: 7\r\n\r\n":                        {Code: 200, Body: []byte{}, Degraded: 7, Leader: -1},
		"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n":                                                      {Code: 404, Body: []byte{}, Leader: -1, close: true},
		"HTTP/1.1 503 \r\nConnection: close\r\nContent-Length: 4\r\n\r\nno\r\n":                                    {Code: 503, Body: []byte("no\r\n"), Leader: -1, close: true},
	} {
		for _, read := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			br := bufio.NewReaderSize(read(strings.NewReader(text+"rest")), readBuffer)
			got, err := readAnswer(br, hostNames)
			if err != nil || got.Code != want.Code || !bytes.Equal(got.Body, want.Body) || got.Version != want.Version || got.Old != want.Old ||
				got.Degraded != want.Degraded || got.Leader != want.Leader || got.close != want.close || got.Body == nil {
				t.Errorf("%q is %+v, %v, want %+v", text, got, err, want)
			}
			if rest, _ := io.ReadAll(br); string(rest) != "rest" {
				t.Errorf("%q: left %q for the next", text, rest)
			}
		}
	}
}

func TestWrongAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for text, want := range map[string]error{
		"":                                     io.EOF,
		"HTTP/1.1 2":                           io.ErrUnexpectedEOF,
		ok:                                     io.ErrUnexpectedEOF,
		ok + "Content-Length: 5\r\n\r\n":       io.ErrUnexpectedEOF,
		ok + "Content-Length: 5\r\n\r\nvalu":   io.ErrUnexpectedEOF,
		"VALUE k 0 1\r\n":                      errForeign,
		"HTTP/2.0 200 OK\r\n":                  errForeign,
		"HTTP/1.1 100 Continue\r\n\r\n":        errForeign,
		"HTTP/1.1 2x0 OK\r\n":                  errForeign,
		"HTTP/1.1 2000 OK\r\n":                 errForeign,
		ok + "\r\n":                            errForeign,
		ok + "no header\r\n\r\n":               errForeign,
		ok + "Content-Length: -1\r\n\r\n":      errForeign,
		ok + "Content-Length: 1e3\r\n\r\n":     errForeign,
		ok + "Content-Length: 99999999999\r\n": errForeign,
		ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx": errForeign,
		ok + "Transfer-Encoding: chunked\r\n":                   errForeign,
		ok + "X-Torc-Version: 3\r\n":                            errForeign,
		ok + "X-Torc-Version: 3-ff\r\n":                         errForeign,
		ok + "X-Torc-Degraded: 0\r\n":                           errForeign,
		ok + strings.Repeat("x: y\r\n", 1000):                   errForeign,
		ok + "x: " + strings.Repeat("y", 10000):                 errForeign,
	} {
		if a, err := parse(text); !errors.Is(err, want) {
			t.Errorf("%.60q is %+v, %v, want %v", text, a, err, want)
		}
	}
}

// Whatever comes, an answer is read to its end or refused, and a large body is not
// believed in before it is there.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Torc-Version: 3-255\r\nX-Torc-Leader: a:1\r\n\r\nvalue"))
	f.Add([]byte("HTTP/1.0 503 x\nConnection: close\nContent-Length: 200000000\nX-Torc-Degraded: 1\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		br := bufio.NewReaderSize(bytes.NewReader(text), readBuffer)
		a, err := readAnswer(br, hostNames)
		if err != nil {
			return
		}
		if a.Code < 200 || a.Code > 999 || a.Leader >= len(hostNames) || a.Body == nil {
			t.Errorf("%q is %+v", text, a)
		}
		if len(a.Body) > 0 && !bytes.Contains(text, a.Body) {
			t.Errorf("%q has the body %q", text, a.Body)
		}
	})
}
