package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/torc-dht/torc/internal/cluster"
)

// scriptCommands are explained in testdata/script/README.md.
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"exits":     command(2, -1, exits),
	"serve":     command(1, -1, serveEach),
	"zookeeper": command(1, 1, zooKeeper),
	"start":     command(2, -1, start),
	"await":     command(2, 2, func(ts *testscript.TestScript, args []string) { stageOf(ts).proc(ts, args[0]).await(ts, args[1]) }),
	"interrupt": command(2, 2, func(ts *testscript.TestScript, args []string) { end(ts, args, syscall.SIGINT) }),
	"terminate": command(2, 2, func(ts *testscript.TestScript, args []string) { end(ts, args, syscall.SIGTERM) }),
	"signal": command(1, 1, func(ts *testscript.TestScript, args []string) {
		ts.Check(stageOf(ts).proc(ts, args[0]).Signal(syscall.SIGINT))
	}),
	"stop":       command(1, 1, func(ts *testscript.TestScript, args []string) { ts.Check(stageOf(ts).proc(ts, args[0]).Kill()) }),
	"freeport":   command(1, 1, freePort),
	"speaks":     command(2, 2, speaks),
	"talk":       command(3, 3, talk),
	"letters":    command(2, 2, letters),
	"bytes":      command(2, 2, writeBytes),
	"zeros":      command(2, 2, writeZeros),
	"version-of": command(1, 1, versionOf),
}

// command checks how many arguments there are; most -1 is any number.
func command(least, most int, do func(*testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least || most >= 0 && len(args) > most {
			ts.Fatalf("wrong use: see testdata/script/README.md")
		}
		do(ts, args)
	}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

func exits(ts *testscript.TestScript, args []string) {
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if want := number(ts, args[0]); got != want {
		ts.Fatalf("%q exited with %d, want %d; standard output:\n%s\nstandard error:\n%s",
			args[1:], got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func serveEach(ts *testscript.TestScript, names []string) {
	s := stageOf(ts)
	for _, name := range names {
		addr := s.serve(ts, name)
		s.servers = append(s.servers, addr)
		ts.Setenv(name, addr)
	}
	ts.Setenv("table", "memcached://"+strings.Join(s.servers, ","))
}

func zooKeeper(ts *testscript.TestScript, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	zk, err := stageOf(ts).cluster.Host(args[0]).ZooKeeper(ctx, cluster.ZooKeeperOptions{})
	ts.Check(err)
	ts.Setenv(args[0], zk.Addr)
}

func start(ts *testscript.TestScript, args []string) {
	stageOf(ts).start(ts, args[0], cluster.Spec{Path: args[1], Args: args[2:]})
}

func end(ts *testscript.TestScript, args []string, signal syscall.Signal) {
	p := stageOf(ts).proc(ts, args[0])
	ts.Check(p.Signal(signal))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code, err := p.Wait(ctx)
	ts.Check(err)
	if want := number(ts, args[1]); code != want {
		ts.Fatalf("%s exited with %d after %v, want %d; it printed:\n%s", args[0], code, signal, want, p.Tail(20))
	}
}

func freePort(ts *testscript.TestScript, args []string) {
	ts.Setenv(args[0], stageOf(ts).cluster.Host(args[0]).Addr(9))
}

func unquote(ts *testscript.TestScript, text string) string {
	s, err := strconv.Unquote(`"` + text + `"`)
	ts.Check(err)
	return s
}

func speaks(ts *testscript.TestScript, args []string) {
	answer := unquote(ts, args[1])
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			// Whatever goes wrong is the client's to notice.
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	ts.Defer(func() {
		_ = l.Close()
		<-done
	})
	ts.Setenv(args[0], l.Addr().String())
}

func talk(ts *testscript.TestScript, args []string) {
	conn, err := net.DialTimeout("tcp", args[0], patience)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, unquote(ts, args[1]))
	ts.Check(err)
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil && err != io.EOF {
		ts.Check(err)
	}
	if want := unquote(ts, args[2]); !strings.HasPrefix(got, want) {
		ts.Fatalf("%s answers %q, want %q", args[0], got, want)
	}
}

func letters(ts *testscript.TestScript, args []string) {
	ts.Setenv(args[0], strings.Repeat("k", number(ts, args[1])))
}

func writeBytes(ts *testscript.TestScript, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(unquote(ts, args[1])), 0o644))
}

func writeZeros(ts *testscript.TestScript, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Repeat([]byte("0"), number(ts, args[1])), 0o644))
}

func versionOf(ts *testscript.TestScript, args []string) {
	var entry struct{ Version string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &entry))
	ts.Setenv(args[0], entry.Version)
}
