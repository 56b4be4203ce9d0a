package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"
)

// writePage writes the figures as Markdown.
func writePage(w io.Writer, p plan, curves []curve) {
	fmt.Fprintf(w, `<!-- Written by go run ./internal/figures/hitrate; change it there. -->
# What callers see when a server dies

![Hit rate over time, for each cache, through the kill of one of its servers and its return](hitrate.svg)

Each of these has %d memcached servers of its own. At 0 s one of them gets a SIGKILL, %v later it is started again, empty. All the while %d callers of each read random keys, %d of them, %d times a second together, and put what they miss, as users of a cache do. All run at the same time on one machine, so that what else it does meets them alike.

| | entries on the killed server | lowest hit rate in any 100 ms | time below 99 %% | errors | slowest read |
|---|--:|--:|--:|--:|--:|
`, p.servers, p.dead, callers, p.keys, p.rate)
	for _, c := range curves {
		s := summarize(p, c)
		fmt.Fprintf(w, "| %s | %.1f %% | %.1f %% | %.1f s | %d | %v |\n",
			c.name, 100*c.share, 100*s.lowest, s.below.Seconds(), s.errors, s.slowest.Round(time.Millisecond))
	}
	fmt.Fprintf(w, `
From the kill on, over %v. **Errors** are calls, GET or PUT, that were told of a failure: anything but a value, that there is none, or that it is stored. A GET of torc's whose server can't be asked is a miss by its contract, and says why; it counts as an error here. The server that is killed is the one of each that holds nearest to an even share. A hit rate in 100 ms is that of some %d reads. What each window had is in [hitrate.csv](hitrate.csv).

- **Three copies**: what the dead server held others hold too, and are asked. When it returns, empty, a read of its keys asks the next copy and puts it there.
- **One copy**: what the dead server held is gone, and comes back as it is put again, on the servers that are left. When the server returns, empty, a list's client misses its keys once more, as the others do; in a zk:// fleet those who stood in for the server are asked for what they took.
- **gomemcache** is as it comes, with %d idle connections and the same time-out of 500 ms as torc. A key belongs to the dead server for as long as it is dead.
- **twemproxy** has the settings that its README gives for memcached servers that may fail: server_failure_limit 3, server_retry_timeout 2 s, timeout 400 ms. Each 2 s it tries the dead server with what callers ask. Its caller is gomemcache.
`, p.dead+p.after, p.rate*int(window/time.Millisecond)/1000, callers)
}

// writeCSV writes what was counted: a line for each contender and window.
func writeCSV(w io.Writer, p plan, curves []curve) {
	out := csv.NewWriter(w)
	defer out.Flush()
	_ = out.Write([]string{"contender", "seconds_after_kill", "reads", "hits", "errors"})
	for _, c := range curves {
		for i, t := range c.windows {
			_ = out.Write([]string{
				c.name, strconv.FormatFloat(p.secondsAfterKill(i), 'f', 1, 64),
				strconv.Itoa(t.reads), strconv.Itoa(t.hits), strconv.Itoa(t.errors),
			})
		}
	}
}

// secondsAfterKill is when the i-th window begins.
func (p plan) secondsAfterKill(i int) float64 {
	return (time.Duration(i)*window - p.before).Seconds()
}
