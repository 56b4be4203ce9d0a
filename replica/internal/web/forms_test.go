package web

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/torc-dht/torc/replica/internal/msg"
)

var update = flag.Bool("update", false, "write the tables of docs/replica-http.md anew")

const docsFile = "../../../docs/replica-http.md"

// form is a request, bad or odd, and what it is answered: a row of a table in
// docs/replica-http.md.
type form struct {
	what   string
	send   string // not shown in the table if it is long; ends where the client's side ends
	modern bool   // the answer is in HTTP/1.1
	lasts  bool   // the connection goes on
	status int
	body   string // without the end of the line, if it is an error
	more   string // header lines
	noBody bool
}

func (f *form) want() string {
	version, body, more := "HTTP/1.0", f.body, f.more
	if f.modern {
		version = "HTTP/1.1"
		if !f.lasts {
			more = "Connection: close\r\n" + more
		}
	}
	if f.status != 200 {
		body += "\n"
	}
	head := fmt.Sprintf("%s %d %s\r\nServer: torc\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n%s\r\n", version, f.status, phrases[f.status], len(body), more)
	if f.noBody {
		return head
	}
	return head + body
}

const host = "Host: a:1\r\n"

func long(n int) string { return strings.Repeat("x", n) }

// badForms is every kind of bad input.
var badForms = []form{
	{what: "cut off in the request line", send: "GET foo=ba", status: 400, body: cutOff.text},
	{what: "cut off in a header line", send: "GET /foo HTTP/1.1\r\nHost: a", status: 400, body: cutOff.text},
	{what: "cut off before the empty line, with a slash", send: "GET /foo HTTP/1.1\r\n" + host, status: 400, body: cutOff.text},
	{what: "cut off in the body", send: "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nContent-Length: 9\r\n\r\nbody", modern: true, status: 400, body: cutOff.text},
	{what: "no HTTP version, or HTTP/0.9's form (a value with a line end in it would be cut there)", send: "GET foo\r\n\r\n", status: 400, body: badLine.text},
	{what: "a version that is none", send: "GET foo HTTP/1\r\n\r\n", status: 400, body: badLine.text},
	{what: "another version", send: "GET foo HTTP/0.9\r\n\r\n", status: 505, body: badVersion.text},
	{what: "HTTP/2 without a word before", send: "PRI * HTTP/2.0\r\n\r\n", status: 505, body: badVersion.text},
	{what: "a word alone", send: "foo\r\n\r\n", status: 400, body: badLine.text},
	{what: "a space in the key or value", send: "GET foo=a b HTTP/1.1\r\n\r\n", status: 400, body: badByte.text},
	{what: "two spaces", send: "GET  foo HTTP/1.1\r\n\r\n", status: 400, body: badByte.text},
	{what: "a control character in the key or value", send: "GET foo=a\tb HTTP/1.1\r\n\r\n", status: 400, body: badByte.text},
	{what: "CR alone in the line", send: "GET foo\rbar HTTP/1.1\r\n\r\n", status: 400, body: badByte.text},
	{what: "TLS, or other bytes, to a port without TLS", send: "\x16\x03\x01\x02\x00\x01", status: 400, body: badStart.text},
	{what: "an empty key", send: "GET  HTTP/1.1\r\n\r\n", status: 400, body: emptyKey.text},
	{what: "an empty key, with a slash", send: "GET / HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 400, body: emptyKey.text},
	{what: "an empty key and a value", send: "GET =bar HTTP/1.1\r\n\r\n", status: 400, body: emptyKey.text},
	{what: "only `=`", send: "GET = HTTP/1.1\r\n\r\n", status: 400, body: emptyKey.text},
	{what: "a bad escape in the key", send: "GET /100% HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 400, body: badEscape.text},
	{what: "a bad escape in the value", send: "GET foo=%g0 HTTP/1.1\r\n\r\n", status: 400, body: badEscape.text},
	{what: "a key that is too long", send: "GET /" + long(DefaultMaxKey+1) + " HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 413, body: keyTooLong.text},
	{what: "a value that is too long", send: "GET /foo=" + long(DefaultMaxValue+1) + " HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 413, body: valueTooLong.text},
	{what: "a line that no key and value could make as long", send: "GET /" + long(maxLineBytes(DefaultMaxKey, DefaultMaxValue)), status: 413, body: lineTooLong.text},
	{what: "another method", send: "POST /foo HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", modern: true, lasts: true, status: 405, body: badMethod.text, more: "Allow: GET, HEAD\r\n"},
	{what: "another method, and a body", send: "POST /foo HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nbar", modern: true, status: 405, body: badMethod.text, more: "Allow: GET, HEAD\r\n"},
	{what: "a method in lower case", send: "get foo HTTP/1.1\r\n\r\n", status: 405, body: badMethod.text, more: "Allow: GET, HEAD\r\n"},
	{what: "PUT or DELETE without X-Torc-Op", send: "DELETE /foo HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 405, body: badMethod.text, more: "Allow: GET, HEAD\r\n"},
	{what: "a body where none belongs", send: "GET /foo HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nbar", modern: true, status: 400, body: unwantedBody.text},
	{what: "a body in chunks", send: "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbar\r\n0\r\n\r\n", status: 411, body: noLength.text},
	{what: "both lengths", send: "GET /foo HTTP/1.1\r\n" + host + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", status: 400, body: twoLengths.text},
	{what: "two lengths", send: "GET /foo HTTP/1.1\r\n" + host + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", status: 400, body: repeatedField.text},
	{what: "two Hosts", send: "GET /foo HTTP/1.1\r\n" + host + host + "\r\n", status: 400, body: repeatedField.text},
	{what: "a length that is none", send: "GET /foo HTTP/1.1\r\n" + host + "Content-Length: +0\r\n\r\n", status: 400, body: badLength.text},
	{what: "a header line without a colon", send: "GET foo HTTP/1.1\r\nHost\r\n\r\n", status: 400, body: badField.text},
	{what: "a space before the colon", send: "GET foo HTTP/1.1\r\nHost : a\r\n\r\n", status: 400, body: badField.text},
	{what: "a control character in a header line", send: "GET foo HTTP/1.1\r\nHost: a\x00\r\n\r\n", status: 400, body: badField.text},
	{what: "a folded header line", send: "GET foo HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", status: 400, body: foldedField.text},
	{what: "too many header lines", send: "GET foo HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", maxFields+1) + "\r\n", status: 431, body: tooManyFields.text},
	{what: "too long header lines", send: "GET foo HTTP/1.1\r\nA: " + long(maxFieldBytes) + "\r\n", status: 431, body: fieldsTooLong.text},
	{what: "X-Torc-Op without slash or Host, or in HTTP/1.0", send: "PUT foo HTTP/1.1\r\nX-Torc-Op: 0-0-0\r\nContent-Length: 0\r\n\r\n", status: 400, body: badForm.text},
	{what: "X-Torc-Op that is none", send: "GET /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 1-2\r\n\r\n", modern: true, lasts: true, status: 400, body: badOp.text},
	{what: "X-Torc-Op whose number is acknowledged already", send: "GET /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 1-2-2\r\n\r\n", modern: true, lasts: true, status: 400, body: badOp.text},
	{what: "PUT without a length", send: "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\n\r\n", modern: true, lasts: true, status: 411, body: noLength.text},
	{what: "PUT of a value that is too long", send: "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nContent-Length: 1048577\r\n\r\n", modern: true, status: 413, body: valueTooLong.text},
	{what: "a condition that is none", send: "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nX-Torc-If: 7\r\nContent-Length: 0\r\n\r\n", modern: true, lasts: true, status: 400, body: badIf.text},
	{what: "a life time that is none", send: "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nX-Torc-TTL: 1s\r\nContent-Length: 0\r\n\r\n", modern: true, lasts: true, status: 400, body: badTTL.text},
	{what: "a flag that isn't 1", send: "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nX-Torc-Swap: yes\r\nContent-Length: 0\r\n\r\n", modern: true, lasts: true, status: 400, body: badFlag.text},
	{what: "PUT's header lines with another method", send: "DELETE /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nX-Torc-Swap: 1\r\n\r\n", modern: true, lasts: true, status: 400, body: onlyForPut.text},
	{what: "another method with X-Torc-Op", send: "PATCH /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\n\r\n", modern: true, lasts: true, status: 405, body: badMethodOfOp.text, more: "Allow: GET, HEAD, PUT, DELETE\r\n"},
	{what: "an expectation that is none", send: "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nContent-Length: 0\r\nExpect: joy\r\n\r\n", modern: true, lasts: true, status: 417, body: badExpectation.text},
}

// oddForms is what is taken, though it may not look like it. The table has
// foo=bar, and an entry whose key is "a b".
var oddForms = []form{
	{what: "the requirement's read", send: "GET foo HTTP/1.1\r\n\r\n", status: 200, body: "foo=bar"},
	{what: "the requirement's write", send: "GET new=x HTTP/1.1\r\n\r\n", status: 200, body: "new=NIL"},
	{what: "the empty line is missing, and the client has ended its side", send: "GET foo HTTP/1.1\n", status: 200, body: "foo=bar"},
	{what: "LF ends the lines", send: "GET foo HTTP/1.1\n\n", status: 200, body: "foo=bar"},
	{what: "HTTP/1.0", send: "GET /foo HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n", status: 200, body: "foo=bar"},
	{what: "a slash and no Host", send: "GET /foo HTTP/1.1\r\n\r\n", status: 200, body: "foo=bar"},
	{what: "Host and no slash", send: "GET foo HTTP/1.1\r\n" + host + "\r\n", status: 200, body: "foo=bar"},
	{what: "as browsers and curl do", send: "GET /foo HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 200, body: "foo=bar"},
	{what: "a later HTTP/1", send: "GET /foo HTTP/1.2\r\n" + host + "\r\n", modern: true, lasts: true, status: 200, body: "foo=bar"},
	{what: "the client ends the connection", send: "GET /foo HTTP/1.1\r\n" + host + "Connection: TE, Close\r\n\r\n", modern: true, status: 200, body: "foo=bar"},
	{what: "HEAD: what GET would say, without the body", send: "HEAD /foo HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 200, body: "foo=bar", noBody: true},
	{what: "empty lines before a request", send: "\r\n\n\r\nGET foo HTTP/1.1\r\n\r\n", status: 200, body: "foo=bar"},
	{what: "an empty value is a value", send: "GET none= HTTP/1.1\r\n\r\n", status: 200, body: "none=NIL"},
	{what: "the first `=` splits", send: "GET eq=b=c HTTP/1.1\r\n\r\n", status: 200, body: "eq=NIL"},
	{what: "an escaped `=` does not", send: "GET foo%3Dbar HTTP/1.1\r\n\r\n", status: 200, body: "foo=bar=NIL"},
	{what: "the answer has the key decoded", send: "GET /a%20b HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 200, body: "a b=c"},
	{what: "decoded once, and any byte", send: "GET %2525%00%ff HTTP/1.1\r\n\r\n", status: 200, body: "%25\x00\xff=NIL"},
	{what: "`+` is a plus", send: "GET a+b HTTP/1.1\r\n\r\n", status: 200, body: "a+b=NIL"},
	{what: "one slash is dropped, no path is cleaned", send: "GET //../a//b HTTP/1.1\r\n\r\n", status: 200, body: "/../a//b=NIL"},
	{what: "`?` and `#` belong to the key", send: "GET /a?b#c HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 200, body: "a?b#c=NIL"},
	{what: "so does a proxy's form", send: "GET http://a:1/foo HTTP/1.1\r\n" + host + "\r\n", status: 200, body: "http://a:1/foo=NIL"},
	{what: "UTF-8 as it is", send: "GET /schlüssel HTTP/1.1\r\n" + host + "\r\n", modern: true, lasts: true, status: 200, body: "schlüssel=NIL"},
	{what: "`NIL` is a value like any other, and looks like none", send: "GET nil HTTP/1.1\r\n\r\n", status: 200, body: "nil=NIL"},
}

func formsBackend() *memory {
	m := &memory{}
	for key, value := range map[string]string{"foo": "bar", "a b": "c", "nil": "NIL"} {
		_, _ = m.Do(&msg.Op{Kind: msg.Put, Key: key, Value: []byte(value)})
	}
	return m
}

func TestForms(t *testing.T) {
	t.Parallel()
	for _, f := range append(append([]form(nil), badForms...), oddForms...) {
		t.Run(f.what, func(t *testing.T) {
			t.Parallel()
			send, want := f.send, f.want()
			if f.lasts {
				next := form{status: 200, body: "foo=bar"}
				send, want = send+"GET foo HTTP/1.1\r\n\r\n", want+next.want()
			}
			for _, step := range []int{len(send), 1000, 1} {
				if len(send) > 20_000 && step < len(send) {
					continue
				}
				addr, _ := serve(t, &Server{Backend: formsBackend()})
				if got := exchange(t, addr, send, step); got != want {
					t.Fatalf("%d bytes at once: answered\n%s, want\n%s", step, short(got), short(want))
				}
			}
		})
	}
}

// exchange sends what there is, step bytes at once, ends its side and returns
// what came.
func exchange(t *testing.T, addr, send string, step int) string {
	t.Helper()
	c := dial(t, addr)
	_ = c.SetNoDelay(true)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for len(send) > 0 {
			n := min(step, len(send))
			if _, err := io.WriteString(c, send[:n]); err != nil {
				break // it may refuse before it has all
			}
			send = send[n:]
		}
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	<-sent
	return string(got)
}

// The tables in the documentation are what TestForms tests.
func TestFormsAreDocumented(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, forms := range map[string][]form{"bad": badForms, "odd": oddForms} {
		begin, end := "<!-- "+name+" forms, by go test -run Documented -update -->\n", "<!-- end -->"
		before, rest, ok1 := strings.Cut(text, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no place for the %s forms", docsFile, name)
		}
		text = before + begin + table(forms) + end + after
	}
	if text == string(b) {
		return
	}
	if !*update {
		t.Fatalf("%s isn't as the tests have it: go test -run Documented -update ./replica/internal/web", docsFile)
	}
	if err := os.WriteFile(docsFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func table(forms []form) string {
	var b strings.Builder
	b.WriteString("| | request | answer |\n|---|---|---|\n")
	for _, f := range forms {
		request := strings.TrimSuffix(strings.TrimSuffix(f.send, "\r\n"), "\r\n")
		switch {
		case len(f.send) > 400:
			request = fmt.Sprintf("%d bytes", len(f.send))
		default:
			request = "`" + strings.NewReplacer("\r\n", "⏎", "\n", "\\n", "\r", "\\r", "\t", "\\t", "\x00", "\\0", "\x16\x03\x01\x02\x00\x01", "\\x16\\x03...").Replace(request) + "`"
		}
		version, end := "1.0", ""
		if f.modern {
			version = "1.1"
			if !f.lasts {
				end = ", the connection ends"
			}
		}
		body := strings.NewReplacer("\x00", "\\0", "\xff", "\\xff").Replace(f.body)
		if f.noBody {
			body = ""
		} else {
			body = ": `" + body + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | HTTP/%s %d%s%s |\n", f.what, request, version, f.status, body, end)
	}
	return b.String()
}
