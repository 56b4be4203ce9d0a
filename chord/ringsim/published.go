package ringsim

// What the papers found: Stoica et al., Chord, SIGCOMM 2001, section 6, and ToN 2003,
// section V. Figures are read off the vector graphics: to about 0.01 hops, half a key, and
// 0.001 of a rate.

// PublishedPath is a point of figure 10: 2^Log nodes, 100 keys for each.
type PublishedPath struct {
	Log     int
	Mean    float64
	P1, P99 int
}

// PublishedPaths is figure 10a: the mean path length, 1st and 99th percentile.
var PublishedPaths = []PublishedPath{
	{3, 1.72, 1, 3}, {4, 2.09, 1, 4}, {5, 2.49, 1, 5}, {6, 2.96, 1, 5}, {7, 3.39, 1, 6}, {8, 3.88, 1, 7},
	{9, 4.38, 1, 7}, {10, 4.89, 2, 8}, {11, 5.36, 2, 9}, {12, 5.85, 2, 10}, {13, 6.35, 2, 10}, {14, 6.87, 3, 11},
}

// PublishedShares is figure 10b: the share of lookups with each path length from 1, in a
// ring of 2^12 nodes.
var PublishedShares = []float64{.0033, .0180, .0571, .1288, .2124, .2254, .1938, .1094, .0412, .0092, .0012, .0002}

// PublishedKeys are percentiles of keys a node.
type PublishedKeys struct {
	Keys, Virtual int
	P1, P99       int
}

// PublishedLoads is figure 8a: 10^4 nodes. The most in figure 8b, with 5 x 10^5 keys, is
// PublishedMost.
var PublishedLoads = []PublishedKeys{
	{100_000, 1, 0, 48}, {200_000, 1, 0, 91}, {300_000, 1, 0, 138}, {400_000, 1, 0, 181}, {500_000, 1, 0, 228},
	{600_000, 1, 0, 273}, {700_000, 1, 0, 320}, {800_000, 1, 0, 364}, {900_000, 1, 0, 411}, {1_000_000, 1, 1, 463},
}

// PublishedMost is the most keys on one of 10^4 nodes, of 5 x 10^5.
const PublishedMost = 457

// PublishedVirtual is figure 9: 10^4 nodes with virtual ones, 10^6 keys.
var PublishedVirtual = []PublishedKeys{
	{1_000_000, 1, 0, 477}, {1_000_000, 2, 7, 347}, {1_000_000, 5, 24, 220}, {1_000_000, 10, 38, 186}, {1_000_000, 20, 50, 161},
}

// PublishedRate is a rate of lookups that fail.
type PublishedRate struct{ At, Failed float64 }

// PublishedLost is figure 11: 10^4 nodes, of which a part fails; then they settle.
var PublishedLost = []PublishedRate{{.01, .009}, {.025, .021}, {.05, .047}, {.10, .094}, {.15, .147}, {.20, .201}}

// PublishedCrashes is figure 12: joins and as many crashes a second, 500 nodes.
var PublishedCrashes = []PublishedRate{{.01, .003}, {.02, .0095}, {.05, .0245}, {.10, .0645}}

// PublishedWalk is a row of table II or III: the mean path and its percentiles, the mean
// number of time-outs and theirs, and how many of 10,000 lookups failed.
type PublishedWalk struct {
	At                  float64
	Path                float64
	PathP1, PathP99     int
	Silent              float64
	SilentP1, SilentP99 int
	Failed              int
}

// PublishedUnrepaired is table II: 1,000 nodes with lists of 20, each of which fails with
// a probability; nothing is repaired.
var PublishedUnrepaired = []PublishedWalk{
	{0, 3.84, 2, 5, 0.0, 0, 0, 0}, {.1, 4.03, 2, 6, 0.60, 0, 2, 0}, {.2, 4.22, 2, 6, 1.17, 0, 3, 0},
	{.3, 4.44, 2, 6, 2.02, 0, 5, 0}, {.4, 4.69, 2, 7, 3.23, 0, 8, 0}, {.5, 5.09, 3, 8, 5.10, 0, 11, 0},
}

// PublishedDepartures is table III: joins and as many polite departures a second, about
// 1,000 nodes.
var PublishedDepartures = []PublishedWalk{
	{.05, 3.90, 1, 9, .05, 0, 2, 0}, {.10, 3.83, 1, 9, .11, 0, 2, 0}, {.15, 3.84, 1, 9, .16, 0, 2, 2}, {.20, 3.81, 1, 9, .23, 0, 3, 5},
	{.25, 3.83, 1, 9, .30, 0, 3, 6}, {.30, 3.91, 1, 9, .34, 0, 4, 8}, {.35, 3.94, 1, 10, .42, 0, 4, 16}, {.40, 4.06, 1, 10, .46, 0, 5, 15},
}
