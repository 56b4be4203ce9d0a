package shard

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/torc-dht/torc/internal/cluster"
)

// Whatever is wrong, a program exits with 1 and says so in one line, and a store
// is what it was before.
func TestWrongUse(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.startMaster("master-svr")
	port := s.join().port
	s.put("1", "one")
	m, nobody := s.master, freePort(t)
	cases := []struct{ what, command, says string }{
		{"unknown option", "clt -o GET -k 1 -x 1", "no flag -x"},
		{"unknown long option", "clt --operatoin GET", "did you mean --operation?"},
		{"option without value", "clt -o GET -k", "-k"},
		{"too much", "clt -o GET -k 1 2", `"2" is too much`},
		{"unknown operation", "clt -o DELETE -k 1 -m " + m, "GET or PUT"},
		{"no operation", "clt -k 1 -m " + m, "-o is missing"},
		{"no key", "clt -o GET -m " + m, "-k is missing"},
		{"key too long", "clt -o GET -m " + m + " -k " + strings.Repeat("k", 251), "251 bytes"},
		{"PUT without a value", "clt -o PUT -k 1 -m " + m, "-v is missing"},
		{"neither direct nor not", "clt -o GET -k 1 -d 2 -m " + m, "0 or 1"},
		{"no master named", "clt -o GET -k 1", "-m PORT"},
		{"direct without a port", "clt -o GET -k 1 -d 1 -m " + m, "-p is missing"},
		{"port too high", "clt -o GET -k 1 -m 65536", "1 to 65535"},
		{"port too low", "clt -o GET -k 1 -d 1 -p 0", "1 to 65535"},
		{"port below none", "svr -p -1 -m " + m, "1 to 65535"},
		{"port in letters", "master-svr -p http", "1 to 65535"},
		{"server without a port", "svr -m " + m, "-p is missing"},
		{"server without a master", "svr -p " + nobody, "-m PORT"},
		{"port in use", "master-svr -p " + m, "in use"},
		{"server's port in use", "svr -p " + port + " -m " + m, "in use"},
		{"too many copies", "master-svr -p " + nobody + " --copies 9", "from 1 to 4"},
		{"more copies needed than kept", "master-svr -p " + nobody + " --min-copies 3", "from 1 to the 2"},
		{"state and election", "master-svr -p " + nobody + " --state f --election zk://127.0.0.1:1/t", "exclude each other"},
		{"no such placement", "master-svr -p " + nobody + " --placement best", "minimal or modulo"},
		{"no master there", "clt -o GET -k 1 --timeout 100ms -m " + nobody, "nobody listens"},
		{"no server there", "clt -o GET -k 1 -d 1 --timeout 100ms -p " + nobody, "refused"},
		{"a server for a master", "clt -o GET -k 1 -m " + port, "no such call"},
		{"status of nobody", "torc shard status --master 127.0.0.1:" + nobody, "nobody listens"},
		{"status of no shard", "torc --table memcached://127.0.0.1:1 shard status", "shard://"},
		{"forget of nobody", "torc shard forget --master 127.0.0.1:" + m + " 127.0.0.1:" + nobody, "has no server"},
		{"forget of who is there", "torc shard forget --yes --master 127.0.0.1:" + m + " 127.0.0.1:" + port, port},
	}
	t.Run("refused", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.what, func(t *testing.T) {
				t.Parallel()
				words := strings.Fields(c.command)
				checkRefused(t, call(t, words[0], words[1:]...), c.says)
			})
		}
	})
	if r := call(t, "clt", "-o", "GET", "-k", "1", "-m", m); r != (result{stdout: "one\n"}) {
		t.Errorf("afterwards the key is %+v", r)
	}
}

func checkRefused(t *testing.T, r result, says string) {
	t.Helper()
	if r.code != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, says) {
		t.Errorf("got %+v, want exit code 1 and a line with %q", r, says)
	}
}

func TestNoServerYet(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.startMaster("master-svr")
	checkRefused(t, call(t, "clt", "-o", "GET", "-k", "1", "-m", s.master, "--timeout", "200ms"), "no server")
	r := call(t, "torc", "shard", "status", "--master", "127.0.0.1:"+s.master)
	if r.code != 0 || !strings.Contains(r.stdout, "no server") {
		t.Errorf("the status of a table without servers: %+v", r)
	}
}

// What is called before it can be done is done as soon as it can.
func TestClientWaits(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.master = freePort(t)
	done := make(chan result, 1)
	go func() {
		done <- call(t, "clt", "-o", "PUT", "-k", "1", "-v", "one", "-m", s.master, "--timeout", "20s")
	}()
	first := s.start("waiting for the master", "svr", "-p", freePort(t), "-m", s.master)
	s.start("listens on", "master-svr", "-p", s.master)
	if r := <-done; r != (result{}) {
		t.Errorf("PUT: %+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := first.WaitLine(ctx, time.Time{}, func(line string) bool { return line == "joined" }); err != nil {
		t.Error(err)
	}
}

// raw has gRPC's messages as the bytes that they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (raw) Name() string                       { return "proto" }

// A server ends that finds a master of another version, and a client is told that
// this is no master for it.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// A Frame with a Welcome of version 99, and of a boot that is all nines.
	welcome := []byte("\x12\x0b\x08\x63\x11" + "99999999")
	other := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if method, _ := grpc.MethodFromServerStream(stream); !strings.HasSuffix(method, "/Attach") {
			return status.Error(codes.Unimplemented, "unknown method")
		}
		var opening []byte
		if err := stream.RecvMsg(&opening); err != nil {
			return err
		}
		if err := stream.SendMsg(welcome); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	}))
	served := make(chan error, 1)
	go func() { served <- other.Serve(l) }()
	t.Cleanup(func() {
		other.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())

	r := call(t, "svr", "-p", freePort(t), "-m", port)
	if r.code != 1 || r.stdout != "" || !strings.Contains(lastLine(r.stderr), "run the same torc everywhere") {
		t.Errorf("a server at a master of another version: %+v", r)
	}
	checkRefused(t, call(t, "clt", "-o", "GET", "-k", "1", "-m", port), "no such call")
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// What listens there is something else.
func TestRubbishThere(t *testing.T) {
	t.Parallel()
	for what, answer := range map[string]string{"memcached": "ERROR\r\n", "SSH": "SSH-2.0-OpenSSH_9.6\r\n", "HTTP": "HTTP/1.1 400 Bad Request\r\n\r\n", "nothing": ""} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			port := rubbish(t, answer)
			checkRefused(t, call(t, "clt", "-o", "GET", "-k", "1", "-m", port, "--timeout", "500ms"), "the master at 127.0.0.1:"+port)
			checkRefused(t, call(t, "clt", "-o", "PUT", "-k", "1", "-v", "1", "-d", "1", "-p", port, "--timeout", "500ms"), "127.0.0.1:"+port)
		})
	}
}

// rubbish returns a port on which each connection gets that answer to its first
// line.
func rubbish(t *testing.T, answer string) (port string) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, answer)
				_, _ = io.Copy(io.Discard, conn) // until the other side has enough
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// Rubbish that comes to master and servers changes nothing.
func TestRubbishComes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.startMaster("master-svr")
	port := s.join().port
	s.put("1", "one")
	for _, to := range []string{s.master, port} {
		for _, what := range []string{
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x00\x01\x02\x03\xff\xfe", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrubbish that is no frame",
			"\x16\x03\x01\x02\x00\x01\x00", "set 1 0 0 99999999999999999999\r\n", strings.Repeat("x", 1<<16), "", "\r\n",
		} {
			send(t, to, what)
		}
	}
	cluster.Eventually(t, patience, "all goes on", func() error {
		if r := call(t, "clt", "-o", "GET", "-k", "1", "-m", s.master); r != (result{stdout: "one\n"}) {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	for _, p := range s.cluster.Procs() {
		if !p.Running() {
			t.Errorf("%s has ended:\n%s", p.Name, p.Tail(20))
		}
	}
}

// send sends bytes to a port and goes away, whatever the other side does.
func send(t *testing.T, port, what string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = io.WriteString(conn, what)
	_, _ = conn.Read(make([]byte, 64))
}
