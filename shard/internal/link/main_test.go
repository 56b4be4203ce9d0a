package link

import (
	"fmt"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := serveAsChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// childEnv makes this program a server in a process of its own.
const childEnv = "TORC_LINK_TEST_CHILD"

// serveAsChild prints where it listens and serves until it is killed; its loop
// takes everything.
func serveAsChild() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	events := make(chan Event)
	go func() {
		for range events {
			continue
		}
	}()
	return NewService(ServiceConfig{Boot: 2, Server: serverCalls{}, Events: events}).Serve(l)
}
