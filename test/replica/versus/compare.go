package main

import (
	"context"
	"fmt"
	"runtime"
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
	program, err := torc(ctx, c.Dir())
	if err != nil {
		return "", err
	}
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
	fmt.Fprintf(&b, "%d cores, %d turns of %v each; etcd %s, fsync off.\n\n", runtime.NumCPU(), o.turns, o.turn, etcdVersion())
	writes, err := r.writes(ctx)
	if err != nil {
		return "", err
	}
	b.WriteString(writes)
	// The four come last, so that nothing runs in vain before.
	if r.four, err = startOurs(ctx, c, program, "f", 4); err != nil {
		return "", err
	}
	reads, err := r.reads(ctx)
	if err != nil {
		return "", err
	}
	return b.String() + "\n" + reads, nil
}

// writes compares swaps on three servers, and on one, with etcd's puts. Processor time
// is that of all servers together, for one call.
func (r *run) writes(ctx context.Context) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "| writes | %d clients | p50 | p99 | processor time of the servers | 1 client: p50 | p99 |\n|---|--:|--:|--:|--:|--:|--:|\n", r.o.clients)
	many, err := r.writers(ctx, r.o.clients)
	if err != nil {
		return "", err
	}
	one, err := r.writers(ctx, 1)
	if err != nil {
		return "", err
	}
	for i, s := range many {
		fmt.Fprintf(&b, "| %s | %.0f/s | %v | %v | %v | %v | %v |\n", s.name, s.rate(), micro(s.p50()), micro(s.p99()), micro(s.cpu()), micro(one[i].p50()), micro(one[i].p99()))
	}
	fmt.Fprintf(&b, "\nSwaps on 3 servers are %.1f times etcd's puts. With one client they take %v more than on a single server.\n",
		times(many[0], many[2]), micro(one[0].p50()-one[1].p50()))
	return b.String(), nil
}

func (r *run) writers(ctx context.Context, n int) ([]*side, error) {
	three, closeThree, err := clients(n, r.three.addrs)
	if err != nil {
		return nil, err
	}
	defer closeThree()
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
		{name: "swaps, 3 servers", pids: r.three.pids, callers: swaps(three)},
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
	fmt.Fprintf(&b, "| linearizable reads | %d clients | p50 | p99 | processor time of the servers |\n|---|--:|--:|--:|--:|\n", r.o.clients)
	for _, s := range sides {
		fmt.Fprintf(&b, "| %s | %.0f/s | %v | %v | %v |\n", s.name, s.rate(), micro(s.p50()), micro(s.p99()), micro(s.cpu()))
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

func micro(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
