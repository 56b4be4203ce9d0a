package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitEnd returns when the process has ended, and leaves it a zombie, so that
// its process group still has its number.
func (l *life) awaitEnd() {
	for errors.Is(unix.Waitid(unix.P_PID, l.pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// awaitStandstill returns when every thread of the process has stopped: the
// signal is delivered to each when it next runs, not when it is sent.
func (l *life) awaitStandstill() error {
	return WaitFor(context.Background(), "the process to stop", func() error {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", l.pid))
		for _, file := range stats {
			stat, err := os.ReadFile(file)
			if err != nil {
				continue // a thread that is gone stands still
			}
			// "pid (name) state ...", and the name may hold anything.
			_, rest, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
			if len(rest) > 0 && !bytes.ContainsRune([]byte("TtZX"), rune(rest[0])) {
				return fmt.Errorf("a thread is in state %c", rest[0])
			}
		}
		return nil
	})
}

// loopback is 254 addresses of the loopback network that nobody else uses: no
// other cluster, in this process or another.
type loopback struct {
	prefix string       // "127.99.7."
	claim  net.Listener // tells other clusters that the addresses are taken
}

var clusters atomic.Uint32 // made by this process

// claimLoopback takes a /24 that no cluster holds. The claim is a socket in
// Linux's abstract namespace: it has the reach of the addresses themselves (one
// network namespace), and the kernel drops it when the process dies.
func claimLoopback() (*loopback, error) {
	// Each process begins somewhere else, and none in 127.0.0.0/18, where
	// systems put what they have on loopback.
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, os.Getpid())
	start := h.Sum32() + clusters.Add(1)
	const blocks = 1 << 14
	for i := range uint32(blocks) {
		n := (start+i)%blocks + blocks
		prefix := fmt.Sprintf("127.%d.%d.", n>>8, n&0xff)
		claim, err := net.Listen("unix", "@torc-cluster/"+prefix)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cluster: no loopback addresses: %w", err)
		}
		return &loopback{prefix: prefix, claim: claim}, nil
	}
	return nil, errors.New("cluster: no loopback addresses: other clusters hold them all")
}

func (l *loopback) ip(index int) string         { return l.prefix + strconv.Itoa(index) }
func (l *loopback) port(_ string, port int) int { return port }
func (l *loopback) close() error                { return l.claim.Close() }
