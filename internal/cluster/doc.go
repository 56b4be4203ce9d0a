// Package cluster runs real processes on machines of pretence, and does to them
// what happens to real ones: it kills them, freezes them, starts them again on
// the same port, takes their network away. Tests and `torc demo` stand on it.
//
//	c, err := cluster.New(cluster.Options{})
//	defer c.Close()
//	zk, err := c.Host("zk").ZooKeeper(ctx, cluster.ZooKeeperOptions{})
//	s1 := c.Host("s1")
//	mc, err := s1.Memcached(ctx)                       // 127.x.y.2:11211
//	wd, err := s1.Torc(ctx, "watchdog", "--table", "zk://"+zk.Addr+"/torc", mc.Addr)
//	mc.Kill()
//	...
//	err = mc.Restart(ctx)                              // the same address
//
// # Hosts
//
// A [Host] has an IP address to itself, so every server has the port that it
// usually has and gets it again when it is restarted. There are two sorts:
//
//   - Without more ado a host is an address of the loopback network 127.0.0.0/8.
//     Each cluster holds a /24 of it, which no other cluster on this machine can
//     hold at the same time, whatever process it is in. That needs no rights.
//     (Elsewhere than on Linux, where there is but 127.0.0.1, hosts share it and
//     [Host.Addr] hands out free ports.)
//   - With [Options.Namespaces] a host is a Linux network namespace with an
//     interface eth0, plugged into a bridge that lies in a further namespace. Its
//     links can be cut, and lose what they carry: see [Host.InterfaceDown],
//     [Host.Unplug], [Cluster.Cut] and [Host.Lose]. The machine's own network is not touched. That needs root.
//
// # What is left behind
//
// Nothing. [Cluster.Close] kills every process and whatever that process
// started in its group, waits until they are gone, and removes the cluster's
// folder. When the program that made the cluster dies without Close, the kernel
// kills the processes (on Linux), the namespaces have no name and go with the
// last process in them, and only a folder in the temporary directory remains.
//
// Nothing here needs package testing; what helps tests takes a [TB].
package cluster
