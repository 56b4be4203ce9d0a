package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/torc-dht/torc/memcache"
)

// writePage writes the figures as Markdown.
func writePage(w io.Writer, p plan, f figures) {
	fmt.Fprintf(w, `<!-- Written by go run ./internal/figures/shard; change it there. -->
# A sharded table's speed

All on one machine with %d cores, callers and servers, over loopback: what is slow here is slow because cores are short. A server of a sharded table runs on one thread, as does Redis.

## Requests

%d goroutines of one process, each of which makes one request at a time, over %d connections to each server. Values have %d bytes. The contenders take turns of %v, %d of each; rates are medians, and how many times as fast as the first is the median over the rounds.

| | GET/s | times | PUT/s | times |
|---|--:|--:|--:|--:|
`, runtime.NumCPU(), callers, memcache.DefaultConns, valueSize, p.turn, p.rounds)
	for _, r := range f.requests {
		fmt.Fprintf(w, "| %s | %s | %.2f | %s | %.2f |\n", r.name,
			thousands(r.get.median()), r.get.times(f.requests[0].get), thousands(r.put.median()), r.put.times(f.requests[0].put))
	}
	fmt.Fprintf(w, `
Redis is asked (GET, SET) by a client made for this that shares connections among goroutines as torc's does: a client library that takes a connection for each request would say more of itself than of Redis. Its own redis-benchmark, a C program with as many requests at a time on as many connections, spends less of the two cores on its side: it says what the server is capable of, as no Go client sees it.

## A server joins

%s keys, values of %d bytes. Keys a second are those that the new server got, copies and all, from the first on its way until everything was settled. Meanwhile %d goroutines read some keys, each at most every millisecond.

| | keys moved | took | keys/s | p99 of keys that stay, before | meanwhile | slowest read of a key that moves |
|---|--:|--:|--:|--:|--:|--:|
`, thousands(float64(p.keys)), valueSize, probers)
	for _, j := range f.joins {
		fmt.Fprintf(w, "| %s and one more, %s | %s | %.2f s | %s | %s | %s (%.2f times) | %s |\n",
			count(j.servers, "server", "servers"), count(j.copies, "copy", "copies"),
			thousands(float64(j.moved)), j.took.Seconds(), thousands(j.rate()),
			milliseconds(j.before), milliseconds(j.during), float64(j.during)/float64(max(j.before, 1)), milliseconds(j.slowest))
	}
	if r := f.reshard; r != nil {
		fmt.Fprintf(w, "| Redis cluster, 3 masters and one more, rebalanced by redis-cli | %s | %.2f s | %s | | | |\n",
			thousands(float64(r.moved)), r.took.Seconds(), thousands(float64(r.moved)/r.took.Seconds()))
	}
	fmt.Fprintf(w, `
## A program for one request

From its start to its exit, %d times each.

| | median | 99 of 100 within |
|---|--:|--:|
`, p.programs)
	for _, q := range f.programs {
		fmt.Fprintf(w, "| %s | %s | %s |\n", q.name, milliseconds(q.half), milliseconds(q.most))
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// thousands formats a number with commas.
func thousands(f float64) string {
	s := fmt.Sprintf("%.0f", f)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
