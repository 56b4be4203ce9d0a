package web

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/torc-dht/torc/replica/internal/msg"
)

func seed(f *testing.F) {
	for _, form := range append(append([]form(nil), badForms...), oddForms...) {
		if len(form.send) < 5000 {
			f.Add([]byte(form.send))
		}
	}
	f.Add([]byte("PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 1f-2-1\r\nX-Torc-If: 1-2\r\nX-Torc-TTL: 5\r\nX-Torc-Swap: 1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nbar"))
	f.Add([]byte("GET / HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nX-Torc-Members: 1\r\n\r\nHEAD /a=b HTTP/1.1\r\nConnection: close, x\r\n\r\n"))
}

// Whatever comes: the end of a head is found in the same place however the bytes
// are cut; parsing a head again finds the same; and what is taken for the form of
// browsers net/http takes for the same request, so that a proxy in front of us
// can't be led to see other requests than we do.
func FuzzParse(f *testing.F) {
	seed(f)
	const maxKey, maxValue = 64, 256
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := headFinder{maxLine: maxLineBytes(maxKey, maxValue)}
		n, refused := whole.find(b)
		bit := headFinder{maxLine: whole.maxLine}
		var m int
		var refusedBit *refusal
		for i := 1; i <= len(b) && m == 0 && refusedBit == nil; i++ {
			m, refusedBit = bit.find(b[:i])
		}
		if n != m && refusedBit == nil || refused != nil && refusedBit == nil {
			t.Fatalf("whole: %d, %v; bit by bit: %d, %v", n, refused, m, refusedBit)
		}
		if n == 0 || refused != nil {
			return
		}
		var q, again request
		head := bytes.Clone(b[:n])
		if refused := q.parse(head, maxKey, maxValue); refused != nil {
			return
		}
		if !q.framed || len(q.key) > maxKey || len(q.value) > maxValue || len(q.key) == 0 != q.members {
			t.Fatalf("took %+v", q)
		}
		key, value := string(q.key), string(q.value)
		if refused := again.parse(bytes.Clone(b[:n]), maxKey, maxValue); refused != nil || string(again.key) != key || string(again.value) != value || again.id != q.id {
			t.Fatalf("took %+v, and then %+v, %v", q, again, refused)
		}
		if again.op(nil).Key != key {
			t.Fatalf("the operation's key is %q, not %q", again.op(nil).Key, key)
		}
		if !q.modern() {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return // it refuses more
		}
		length := max(q.length, 0)
		if r.RequestURI != string(target(b)) || r.ContentLength != length || len(r.TransferEncoding) > 0 || r.Method != methodName(q.method) {
			t.Fatalf("net/http has %s %q with %d bytes, %v", r.Method, r.RequestURI, r.ContentLength, r.TransferEncoding)
		}
	})
}

// target returns the target of a request, as it came.
func target(b []byte) []byte {
	line, _ := cutLine(b)
	return line[bytes.IndexByte(line, ' ')+1 : bytes.LastIndexByte(line, ' ')]
}

func methodName(m method) string {
	return [...]string{methodGet: "GET", methodHead: "HEAD", methodPut: "PUT", methodDelete: "DELETE"}[m]
}

// Whatever a client sends before it ends its side, it gets whole answers that a
// client of HTTP understands, the last before the end of the connection, and the
// same ones however its bytes are cut.
func FuzzConn(f *testing.F) {
	seed(f)
	s := &Server{Backend: &constant{Status: msg.OK, Found: true, Old: []byte("bar"), Version: msg.Version{Epoch: 1, Seq: 2}}, MaxKey: 64, MaxValue: 256}
	s.once.Do(s.prepare)
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := converse(s, b, len(b))
		if got := converse(s, b, 1); got != whole && !strings.Contains(whole+got, "100 Continue") {
			t.Fatalf("answered %q, bit by bit %q", whole, got)
		}
		in := bufio.NewReader(strings.NewReader(whole))
		for {
			if _, err := in.Peek(1); errors.Is(err, io.EOF) {
				break
			}
			r, err := http.ReadResponse(in, &http.Request{Method: http.MethodGet})
			if err != nil {
				t.Fatalf("answered %q: %v", whole, err)
			}
			_, err = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			if err != nil {
				if bytes.Contains(b, []byte("HEAD ")) {
					return // no telling where its answer ends
				}
				t.Fatalf("answered %q: %v", whole, err)
			}
		}
		if left := s.budget.left.Load(); left != DefaultMemory {
			t.Fatalf("%d bytes of the budget are left", left)
		}
	})
}

// converse serves a connection over which b comes, and returns what is answered.
func converse(s *Server, b []byte, step int) string {
	v := &serving{Server: s}
	v.mu.conns = make(map[*conn]struct{})
	nc := &script{in: b, step: step}
	c := &conn{serving: v, nc: nc}
	v.conns.Add(1)
	v.gone.Add(1)
	c.serve()
	return nc.out.String()
}
