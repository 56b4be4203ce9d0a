package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/torc-dht/torc/ring"
)

// goal is the most churn, as a multiple of the ideal, that a placement should
// have.
const goal = 1.1

// writePage writes the figures as Markdown.
func writePage(w io.Writer, f figures) {
	fmt.Fprintf(w, `<!-- Written by go run ./internal/figures/churn; change it there. -->
# What moves, and how evenly keys lie

![Keys that move when one of N servers leaves, as a multiple of the ideal, and keys on the fullest server as a multiple of the mean](churn.svg)

## When one of N servers leaves

The share of all keys that are on another server afterwards, as a multiple of the ideal, 1/N. It is the mean over the N servers that may leave (over the last alone, where that is said), of %d keys (of %d, for the last alone). When a server joins to make N, the same keys move the other way, so the figure is the same.

The servers have equal weights. The keys of the one that leaves have to move; averaged over all of them those make exactly 1.00, and what is above that is keys that moved although their server stayed.

`, f.churnKeys, f.lastKeys)

	rows := map[int]bool{2: true, 3: true, 4: true, 5: true, 8: true, 10: true, 16: true, 20: true, 24: true, 25: true, 26: true, 27: true,
		32: true, 46: true, 47: true, 48: true, 64: true, 80: true, 99: true, 100: true}
	writeTable(w, placements, f.churnSizes, rows, func(p placement, i int) float64 { return f.churn[p.name][i].moved })

	fmt.Fprintf(w, "\nOver all N from %d to %d:\n\n| placement | largest mean | sizes above %.1f | largest for any one server |\n|---|---|---|---|\n",
		f.churnSizes[0], f.churnSizes[len(f.churnSizes)-1], goal)
	for _, p := range placements {
		largest, at, worst := 0.0, 0, 0.0
		var above []string
		for i, c := range f.churn[p.name] {
			worst = max(worst, c.worst)
			if c.moved > largest {
				largest, at = c.moved, f.churnSizes[i]
			}
			if c.moved > goal {
				above = append(above, fmt.Sprint(f.churnSizes[i]))
			}
		}
		list := strings.Join(above, ", ")
		switch {
		case len(above) == 0:
			list = "none"
		case len(above) > 30:
			list = fmt.Sprintf("%d of %d", len(above), len(f.churnSizes))
		}
		where := fmt.Sprintf("%.2f at N = %d", largest, at)
		if largest < 1.005 {
			where = "1.00"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %.2f |\n", p.name, where, list, worst)
	}

	fmt.Fprintf(w, `
The last column is for the one server whose leaving moves the most. For the placements above that move no other keys, that is the fullest one, and the figure is its imbalance (below) and the noise of %d keys.

- **ketama** keeps libmemcached's rule, and the rule rounds: with equal weights a server has 160 points, but 156 with 25, 47, 50, 55, 61, 71, 94 or 100 servers (and further counts above that). Going into or out of one of those counts, every other server gains or loses 4 of its points, and 2.5 %% of its keys with them. At every other N nobody's points change. A client that places keys elsewhere than libmemcached would is worth less, so this stays.
- **murmur3** and **rendezvous** move the keys of the server that leaves and no others, whatever N and the weights.
- **jump** counts servers and does not name them. The last of the list leaves at the ideal price. Any other shifts all behind it by one, and their keys with them; as the list is sorted by address, a new server joins somewhere in the middle. For a fleet whose members come and go it is the wrong choice.
- **modulo** is a client without consistent hashing, to compare with; torc has no such placement.

## The fullest server

The keys on the server that has the most, over the mean, with %d keys; the mean of %d fleets of different addresses. The sample itself makes the fullest of N servers look fuller than it is, by about %.1f %% at N = 100 and less below; rendezvous and jump show nothing but that.

`, f.churnKeys, f.evenKeys, f.evenFleets, 100*2.5*math.Sqrt(100/float64(f.evenKeys)))
	once := slices.DeleteFunc(slices.Clone(placements), func(p placement) bool { return p.name == jumpAny })
	writeTable(w, once, f.evenSizes, nil, func(p placement, i int) float64 { return f.even[p.name][i] })

	fmt.Fprintf(w, `
A server with p points has its share give or take about 1/√p of it: 160 points a server on ketama, %d virtual nodes on murmur3 (`+"`?vnodes=160`"+` makes it as even as ketama). The lower half of FNV-1a hardly mixes the last bytes of a key, so keys that end in a counter, as these do, lie close together, and less evenly with ketama-fnv1a64 than with ketama on the same points.
`, ring.DefaultVNodes)
}

// writeTable writes a row for each size that is among rows, or for all of them.
func writeTable(w io.Writer, columns []placement, sizes []int, rows map[int]bool, figure func(p placement, i int) float64) {
	fmt.Fprint(w, "| N |")
	for _, p := range columns {
		fmt.Fprintf(w, " %s |", p.name)
	}
	fmt.Fprint(w, "\n|---:|"+strings.Repeat("---:|", len(columns))+"\n")
	for i, n := range sizes {
		if rows != nil && !rows[n] {
			continue
		}
		fmt.Fprintf(w, "| %d |", n)
		for _, p := range columns {
			fmt.Fprintf(w, " %.2f |", figure(p, i))
		}
		fmt.Fprintln(w)
	}
}
