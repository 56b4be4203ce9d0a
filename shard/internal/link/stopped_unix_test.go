//go:build unix

package link

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// A process that is stopped takes nothing, its system does for a while: neither
// holds up the others, and a new connection says what is the matter.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	good := startServer(t, 3)
	p, events := startPeers(t, Options{QueueBytes: 8 << 20})
	p.Set([]Peer{{strings.TrimSpace(addr), 2}, {good.addr, 3}})
	conns := map[slots.Boot]*Conn{}
	for range 2 {
		conn := await[PeerUp](t, events).Conn
		conns[conn.Boot] = conn
	}
	await[PeerOpened](t, good.events)
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	big := &msg.Batch{Items: []msg.Item{{Entry: msg.Entry{Key: "k", Value: make([]byte, 100<<10)}}}}
	for i := uint64(1); conns[2].Send(big); i++ {
		conns[3].Send(&msg.Ack{Upto: i})
		last := i - 1
		awaitAck(t, good.events, &last, i)
	}
	if d := await[PeerDown](t, events); d.Peer != 2 || !errors.Is(d.Err, ErrQueueFull) {
		t.Errorf("got %v", d)
	}
	if f, ok := (<-events).(PeerFailed); !ok || !errors.Is(f.Err, ErrSilent) {
		t.Errorf("got %v", f)
	}
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if up := await[PeerUp](t, events); up.Conn.Boot != 2 {
		t.Errorf("%v is up", up.Conn.Boot)
	}
	p.Set(nil)
	p.Close()
}
