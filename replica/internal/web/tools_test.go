package web

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/torc-dht/torc/internal/cluster"
)

// What people have at hand: curl, and nc with the requirement's literal form.
func TestTools(t *testing.T) {
	t.Parallel()
	cluster.Need(t, "curl", "netcat-openbsd")
	addr, _ := serve(t, &Server{Backend: formsBackend()})
	hostname, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + addr + "/"
	for _, test := range []struct {
		what, input string
		command     []string
		want        string
	}{
		{"nc", "GET foo=bar2 HTTP/1.1\r\n\r\n", []string{"nc.openbsd", hostname, port}, (&form{status: 200, body: "foo=bar"}).want()},
		{"nc that ends its side", "GET foo=bar3 HTTP/1.1\r\n\r\n", []string{"nc.openbsd", "-N", hostname, port}, (&form{status: 200, body: "foo=bar2"}).want()},
		{"nc with a line", "GET foo HTTP/1.1\n", []string{"nc.openbsd", "-N", hostname, port}, (&form{status: 200, body: "foo=bar3"}).want()},
		{"nc with bad input", "GET = HTTP/1.1\r\n\r\n", []string{"nc.openbsd", hostname, port}, (&form{status: 400, body: emptyKey.text}).want()},
		{"curl", "", []string{"curl", "-sS", url + "foo"}, "foo=bar3"},
		{"curl that sets", "", []string{"curl", "-sS", url + "foo=b%20r"}, "foo=bar3"},
		{"curl, twice over one connection", "", []string{"curl", "-sSv", url + "foo", url + "foo"}, "foo=b rfoo=b r"},
		{"curl in HTTP/1.0", "", []string{"curl", "-sS", "-0", url + "foo"}, "foo=b r"},
		{"curl -I", "", []string{"curl", "-sSI", url + "foo"}, (&form{modern: true, status: 200, lasts: true, noBody: true, body: "foo=b r"}).want()},
		{"curl with another method", "", []string{"curl", "-sS", "-d", "a=b", url + "foo"}, badMethod.text + "\n"},
		{"curl that fails", "", []string{"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", url + "%zz"}, "400 text/plain"},
		{"curl in the extension", "value", []string{"curl", "-sS", "-H", "X-Torc-Op: 0-0-0", "-H", "X-Torc-Swap: 1", "-H", "Expect: 100-continue", "-T", "-", "-H", "Content-Length: 5", "-H", "Transfer-Encoding:", url + "foo"}, "b r"},
		{"curl and an old proxy's ways", "", []string{"curl", "-sS", "--path-as-is", url + "/../a//b"}, "/../a//b=NIL"},
	} {
		command := exec.Command(test.command[0], test.command[1:]...)
		command.Stdin = strings.NewReader(test.input)
		var said bytes.Buffer
		command.Stderr = &said
		got, err := command.Output()
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %q, %v\nwant %q\n%s", test.what, got, err, test.want, said.String())
		}
		if strings.Contains(test.what, "twice") && !strings.Contains(strings.ToLower(said.String()), "re-using") {
			t.Errorf("%s: it did not use the connection again:\n%s", test.what, said.String())
		}
	}
}
