package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// run is all that runs meanwhile.
type run struct {
	o                   options
	etcd                *etcd
	three, single, four members // our servers
}

// compare makes all measurements and returns the table.
func compare(ctx context.Context, o options) (string, error) {
	c, err := cluster.New(cluster.Options{})
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := cluster.Programs(ctx, c.Dir(), "kv-server"); err != nil {
		return "", err
	}
	program := filepath.Join(c.Dir(), "kv-server")
	r := &run{o: o}
	if r.etcd, err = startEtcd(ctx, c); err != nil {
		return "", err
	}
	if r.three, err = startOurs(ctx, c, program, "t", 3); err != nil {
		return "", err
	}
	if r.single, err = startOurs(ctx, c, program, "s", 1); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, preamble, runtime.NumCPU(), etcdVersion(), o.clients, o.turn, o.turns)
	writes, err := r.writes(ctx)
	if err != nil {
		return "", err
	}
	if err := r.three.stop(); err != nil {
		return "", err
	}
	if r.four, err = startOurs(ctx, c, program, "f", 4); err != nil {
		return "", err
	}
	reads, err := r.reads(ctx)
	if err != nil {
		return "", err
	}
	return b.String() + writes + reads, nil
}

const preamble = `<!-- Written by go run . in test/replica/versus; change it there. -->
# A replica table beside etcd

All on one machine with %d cores, clients and servers, over loopback: what is slow here is slow because cores are short. etcd is version %s, with its server embedded in a process for each member, fsync off as ours writes nothing to disk, and asked by its own client. %d clients make one request at a time each, on a connection of their own, the first to the first server, the second to the second, and so on. The contenders take turns of %v, %d of each; what is shown is the median turn. Processor time is what all servers of a contender together have had, for one request: it says more than rates do where others are at work on the machine.
`

// writes compares swaps on three servers, and on one, with etcd's puts.
func (r *run) writes(ctx context.Context) (string, error) {
	many, err := r.writers(ctx, r.o.clients)
	if err != nil {
		return "", err
	}
	one, err := r.writers(ctx, 1)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `
## Writes

Ours are swaps, which return the old value; etcd's are puts. Keys are 1,000, values have %d bytes.

| | %d clients | times | p50 | p99 | processor time | 1 client: p50 | p99 |
|---|--:|--:|--:|--:|--:|--:|--:|
`, len(value), r.o.clients)
	for i, s := range many {
		fmt.Fprintf(&b, "| %s | %s/s | %.2f | %v | %v | %v | %v | %v |\n", s.name, grouped(s.rate()), times(s, many[0]),
			micro(s.p50()), micro(s.p99()), micro(s.cpu()), micro(one[i].p50()), micro(one[i].p99()))
	}
	fmt.Fprintf(&b, "\nSwaps on 3 servers are %.1f times etcd's puts, %.1f times asked of all alike. With one client they take %v more than on a single server.\n",
		times(many[0], many[3]), times(many[1], many[3]), micro(one[0].p50()-one[2].p50()))
	return b.String(), nil
}

func (r *run) writers(ctx context.Context, n int) ([]*side, error) {
	three, closeThree, err := clients(n, r.three.addrs)
	if err != nil {
		return nil, err
	}
	defer closeThree()
	leader, err := r.three.leader(ctx)
	if err != nil {
		return nil, err
	}
	led, closeLed, err := clients(n, []string{leader})
	if err != nil {
		return nil, err
	}
	defer closeLed()
	single, closeSingle, err := clients(n, r.single.addrs)
	if err != nil {
		return nil, err
	}
	defer closeSingle()
	peers, closePeers, err := r.etcd.clients(n, r.etcd.addrs)
	if err != nil {
		return nil, err
	}
	defer closePeers()
	sides := []*side{
		{name: "swaps, 3 servers, asked of their leader as torc's clients do", pids: r.three.pids, callers: swaps(led)},
		{name: "swaps, 3 servers, asked of all alike", pids: r.three.pids, callers: swaps(three)},
		{name: "swaps, a single server", pids: r.single.pids, callers: swaps(single)},
		{name: "etcd's puts, 3 members", pids: r.etcd.pids, callers: puts(peers)},
	}
	return sides, play(ctx, r.o, sides...)
}

// reads compares reads from each of four servers, asked by itself, from all of them
// at once, and from one that is alone, with etcd's.
func (r *run) reads(ctx context.Context) (string, error) {
	if err := r.fill(ctx); err != nil {
		return "", err
	}
	var sides []*side
	ours := func(name string, addrs, running members) (func(), error) {
		cs, closeAll, err := clients(r.o.clients, addrs.addrs)
		if err == nil {
			sides = append(sides, &side{name: name, pids: running.pids, callers: reads(cs)})
		}
		return closeAll, err
	}
	peers := func(name string, addrs members) (func(), error) {
		cs, closeAll, err := r.etcd.clients(r.o.clients, addrs.addrs)
		if err == nil {
			sides = append(sides, &side{name: name, pids: r.etcd.pids, callers: gets(cs)})
		}
		return closeAll, err
	}
	for i, addr := range r.four.addrs {
		closeAll, err := ours(fmt.Sprintf("from server %d of 4", i+1), members{addrs: []string{addr}}, r.four)
		if err != nil {
			return "", err
		}
		defer closeAll()
	}
	closeFour, err := ours("from all 4 servers", r.four, r.four)
	if err != nil {
		return "", err
	}
	defer closeFour()
	closeSingle, err := ours("from a single server", r.single, r.single)
	if err != nil {
		return "", err
	}
	defer closeSingle()
	for i, addr := range r.etcd.addrs {
		closeAll, err := peers(fmt.Sprintf("from member %d of etcd's 3", i+1), members{addrs: []string{addr}})
		if err != nil {
			return "", err
		}
		defer closeAll()
	}
	closeThree, err := peers("from all of etcd's 3 members", r.etcd.members)
	if err != nil {
		return "", err
	}
	defer closeThree()
	if err := play(ctx, r.o, sides...); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `
## Linearizable reads

%d clients that all ask one server, and that are spread over all of them.

| | GET/s | times | p50 | p99 | processor time |
|---|--:|--:|--:|--:|--:|
`, r.o.clients)
	for _, s := range sides {
		fmt.Fprintf(&b, "| %s | %s | %.2f | %v | %v | %v |\n", s.name, grouped(s.rate()), times(s, sides[0]), micro(s.p50()), micro(s.p99()), micro(s.cpu()))
	}
	return b.String(), nil
}

// fill gives each key its value where the reads are to be.
func (r *run) fill(ctx context.Context) error {
	ours, closeOurs, err := clients(2, []string{r.four.addrs[0], r.single.addrs[0]})
	if err != nil {
		return err
	}
	defer closeOurs()
	peer, closePeer, err := r.etcd.clients(1, r.etcd.addrs)
	if err != nil {
		return err
	}
	defer closePeer()
	for i := range keys {
		for _, write := range append(swaps(ours), puts(peer)...) {
			if err := write(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// grouped writes a number as 12,345.
func grouped(x float64) string {
	s := strconv.Itoa(int(x + 0.5))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func micro(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
