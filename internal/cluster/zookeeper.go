package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ZooKeeperPort is the port that ZooKeeper listens on.
const ZooKeeperPort = 2181

// ZooKeeperOptions are what a ZooKeeper can be told. The zero value serves.
type ZooKeeperOptions struct {
	// TickTime is its unit of time, in whole milliseconds; 0 means 200 ms. It
	// grants sessions a time-out of 2 to 20 ticks, so 0.4 s to 4 s, and ends
	// them on the tick.
	TickTime time.Duration
}

// DefaultTickTime is a tenth of ZooKeeper's own: tests wait for sessions to
// expire. Much less, and a busy machine ends sessions that are well.
const DefaultTickTime = 200 * time.Millisecond

// ZooKeeper is a standalone ZooKeeper server. It keeps its data over restarts,
// those by Kill too.
type ZooKeeper struct {
	*Proc
	data string
}

// where Debian's zookeeper and its libslf4j-java put what is needed.
const (
	zookeeperJar = "/usr/share/java/zookeeper.jar"
	loggerJar    = "/usr/share/java/slf4j-simple.jar"
)

// ZooKeeper starts Debian's ZooKeeper on the host's address, with a
// configuration and data of its own. It is ready when it serves sessions, under
// half a second on a machine with time to spare.
//
// It runs java directly: what zkServer.sh start-foreground does, without the
// machine-wide settings in /etc/zookeeper that the script reads.
func (h *Host) ZooKeeper(ctx context.Context, o ZooKeeperOptions) (*ZooKeeper, error) {
	if o.TickTime == 0 {
		o.TickTime = DefaultTickTime
	}
	if o.TickTime < time.Millisecond || o.TickTime%time.Millisecond != 0 {
		return nil, fmt.Errorf("cluster: ZooKeeper's tick time is whole milliseconds, not %s", o.TickTime)
	}
	if missing := Missing("zookeeper"); len(missing) > 0 {
		return nil, fmt.Errorf("cluster: ZooKeeper is not installed: %s", installLine(missing))
	}
	addr := h.Addr(ZooKeeperPort)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	z := &ZooKeeper{}
	config := func(dir string) error {
		z.data = filepath.Join(dir, "data")
		return os.WriteFile(filepath.Join(dir, "zoo.cfg"), []byte(strings.Join([]string{
			fmt.Sprintf("tickTime=%d", o.TickTime.Milliseconds()),
			"dataDir=" + z.data,
			"clientPortAddress=" + host,
			"clientPort=" + port,
			"maxClientCnxns=0", // all clients of a test have one address
			"4lw.commands.whitelist=*",
			"admin.enableServer=false",
			"",
		}, "\n")), 0o644)
	}
	z.Proc, err = h.Start(ctx, Spec{
		Name: "zookeeper", Path: "java", Addr: addr, prepare: config,
		Args: []string{
			// Up sooner, and small: the machine has other things to do.
			"-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
			"-Dzookeeper.preAllocSize=256",
			// What was written survives the process without being forced to
			// the disk; that it survives the machine too would cost seconds.
			"-Dzookeeper.forceSync=no",
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
			"-cp", zookeeperJar + ":" + loggerJar,
			"org.apache.zookeeper.server.quorum.QuorumPeerMain", "./zoo.cfg",
		},
		Ready: func(ctx context.Context) error {
			return h.ask(ctx, addr, "srvr", "Zookeeper version")
		},
	})
	if err != nil {
		return nil, err
	}
	return z, nil
}

// WipeData removes all that the server has stored, so that it starts with
// nothing next time. It has to be stopped before.
func (z *ZooKeeper) WipeData() error {
	if z.Running() {
		return z.errorf(errors.New("runs: Kill it before its data is wiped"))
	}
	return os.RemoveAll(z.data)
}
