package chord

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/torc-dht/torc/chord/ringsim"
	"github.com/torc-dht/torc/internal/figures/chart"
)

const (
	theirs = "Stoica et al."
	ours   = "torc"
)

// writePaths is figure 10a.
func (f *found) writePaths(dir string, _ size) error {
	t := newTable("nodes", "theirs_mean", "ours_mean", "deviation_percent", "ours_standard_error", "theirs_p1", "ours_p1", "theirs_p99", "ours_p99",
		"rings", "shortest_ring", "ring_p5", "ring_p95", "longest_ring", "rings_below_theirs_percent", "lookups", "wrong",
		"ours_whole_list_mean", "whole_list_p1", "whole_list_p99")
	their := &points{name: theirs + ", 1st to 99th percentile", color: theirColor, dots: true}
	our := &points{name: ours + ", by fingers and one successor", color: ourColor}
	whole := &points{name: ours + ", by the whole list of 8", color: wholeColor}
	least, most := math.MaxInt, 0
	for _, p := range ringsim.PublishedPaths {
		m, w := f.paths[p.Log], f.whole[p.Log]
		if m == nil {
			continue
		}
		least, most = min(least, p.Log), max(most, p.Log)
		x := float64(p.Log)
		their.bar(x-.08, p.Mean, float64(p.P1), float64(p.P99))
		our.bar(x, m.Mean(), float64(m.Percentile(1)), float64(m.Percentile(99)))
		whole.bar(x+.08, w.Mean(), float64(w.Percentile(1)), float64(w.Percentile(99)))
		t.add(1<<p.Log, p.Mean, m.Mean(), deviation(m.Mean(), p.Mean), m.Error(), p.P1, m.Percentile(1), p.P99, m.Percentile(99),
			len(m.Means), m.At(0), m.At(.05), m.At(.95), m.At(1), 100*m.Below(p.Mean), m.Total(), m.Wrong,
			w.Mean(), w.Percentile(1), w.Percentile(99))
	}
	if err := t.save(dir, "path_length"); err != nil {
		return err
	}
	p, err := drawn(chart.New("Path length (2001, figure 10a)", "nodes", "nodes asked"), their, our, whole)
	if err != nil {
		return err
	}
	p.X.Tick.Marker = labelled(least, most, func(k int) string { return fmt.Sprint(1 << k) })
	return save(dir, "path_length", p)
}

// writeShares is figure 10b.
func (f *found) writeShares(dir string, z size) error {
	m, w := f.paths[z.shares], f.whole[z.shares]
	t := newTable("length", "theirs", "ours", "deviation_percent", "ours_whole_list")
	their := &points{name: theirs, color: theirColor, dots: true}
	our := &points{name: ours + ", by fingers and one successor", color: ourColor}
	whole := &points{name: ours + ", by the whole list of 8", color: wholeColor}
	for i, share := range ringsim.PublishedShares {
		length := i + 1
		t.add(length, share, m.Share(length), deviation(m.Share(length), share), w.Share(length))
		their.add(float64(length), share)
		our.add(float64(length), m.Share(length))
		whole.add(float64(length), w.Share(length))
	}
	if err := t.save(dir, "path_distribution"); err != nil {
		return err
	}
	p, err := drawn(chart.New(fmt.Sprintf("Path length among %d nodes (2001, figure 10b)", 1<<z.shares), "nodes asked", "share of lookups"), their, our, whole)
	if err != nil {
		return err
	}
	p.Legend.Left = false
	return save(dir, "path_distribution", p)
}

// writeStates is what nodes keep: there is no such figure, but a claim.
func (f *found) writeStates(dir string, _ size) error {
	t := newTable("nodes", "finger_table_entries", "different_fingers", "successors", "bytes")
	for i := len(f.states) - 1; i >= 0; i-- {
		s := f.states[i]
		t.add(s.Nodes, s.Fingers, s.Different, s.Successors, s.Bytes)
	}
	return t.save(dir, "state")
}

// writeLoads is figure 8.
func (f *found) writeLoads(dir string, z size) error {
	t := newTable("keys", "nodes", "mean", "theirs_p1", "ours_p1", "theirs_p99", "ours_p99", "deviation_percent", "theirs_most", "ours_most", "rings")
	their := &points{name: theirs + ", 1st to 99th percentile", color: theirColor, dots: true}
	our := &points{name: ours + ", mean, 1st to 99th percentile", color: ourColor}
	spread := &points{name: ours, color: ourColor}
	for i, p := range ringsim.PublishedLoads {
		k := &f.loads[i]
		most := any("")
		if p.Keys == 500_000 {
			most = ringsim.PublishedMost
			spread = density(&k.Tally, ours, ourColor)
		}
		t.add(k.Keys, k.Nodes, k.Mean(), p.P1, k.Percentile(1), p.P99, k.Percentile(99), deviation(float64(k.Percentile(99)), float64(p.P99)), most, k.Most(), k.Total()/k.Nodes)
		x := float64(k.Keys) / 1000
		their.bar(x*.99, k.Mean(), float64(p.P1), float64(p.P99))
		our.bar(x, k.Mean(), float64(k.Percentile(1)), float64(k.Percentile(99)))
	}
	if err := t.save(dir, "keys"); err != nil {
		return err
	}
	left, err := drawn(chart.New(fmt.Sprintf("Keys a node, %d nodes (2001, figure 8a)", z.nodes), "thousand keys", "keys a node"), their, our)
	if err != nil {
		return err
	}
	right, err := drawn(chart.New("50 keys a node on average (2001, figure 8b)", "keys", "share of nodes"), spread)
	if err != nil {
		return err
	}
	right.Legend.Left = false
	return save(dir, "keys", left, right)
}

// density is the share of each value.
func density(t *ringsim.Tally, name string, c color.Color) *points {
	d := &points{name: name, color: c, thin: true}
	for v := range t.Most() + 1 {
		d.add(float64(v), t.Share(v))
	}
	return d
}

// writeVirtual is figure 9.
func (f *found) writeVirtual(dir string, z size) error {
	t := newTable("virtual_nodes", "nodes", "keys", "mean", "theirs_p1", "ours_p1", "theirs_p99", "ours_p99", "deviation_percent", "rings")
	their := &points{name: theirs + ", 1st to 99th percentile", color: theirColor, dots: true}
	our := &points{name: ours + ", mean, 1st to 99th percentile", color: ourColor}
	for i, p := range ringsim.PublishedVirtual {
		k := &f.virtual[i]
		t.add(k.Virtual, k.Nodes, k.Keys, k.Mean(), p.P1, k.Percentile(1), p.P99, k.Percentile(99), deviation(float64(k.Percentile(99)), float64(p.P99)), k.Total()/k.Nodes)
		x := float64(k.Virtual)
		their.bar(x-.15, k.Mean(), float64(p.P1), float64(p.P99))
		our.bar(x+.15, k.Mean(), float64(k.Percentile(1)), float64(k.Percentile(99)))
	}
	if err := t.save(dir, "virtual"); err != nil {
		return err
	}
	p, err := drawn(chart.New(fmt.Sprintf("100 keys a node on average, %d nodes (2001, figure 9)", z.nodes), "virtual nodes of each", "keys a node"), their, our)
	if err != nil {
		return err
	}
	p.Legend.Left = false
	return save(dir, "virtual", p)
}

// writeLost is figure 11.
func (f *found) writeLost(dir string, z size) error {
	t := newTable("failed_nodes", "nodes", "theirs_failed", "ours_failed", "deviation_percent", "lookups")
	their := &points{name: theirs, color: theirColor, dots: true}
	our := &points{name: ours, color: ourColor}
	equal := &points{name: "as many as nodes", color: chart.Grey, dashed: true, xys: plotter.XYs{{}, {X: .2, Y: .2}}}
	for i, p := range ringsim.PublishedLost {
		l := &f.lost[i]
		t.add(l.Fraction, l.Nodes, p.Failed, l.Rate(), deviation(l.Rate(), p.Failed), l.Lookups)
		their.add(p.At, p.Failed)
		our.add(p.At, l.Rate())
	}
	if err := t.save(dir, "failures"); err != nil {
		return err
	}
	p, err := drawn(chart.New(fmt.Sprintf("A part of %d nodes fails (2001, figure 11)", z.nodes), "part of the nodes", "part of the lookups that fail"), equal, their, our)
	if err != nil {
		return err
	}
	return save(dir, "failures", p)
}

// writeUnrepaired is table II.
func (f *found) writeUnrepaired(dir string, z size) error {
	walks := make([]*ringsim.Walks, len(f.unrepaired))
	for i := range walks {
		walks[i] = &f.unrepaired[i]
	}
	return writeWalks(dir, "unrepaired", "probability", fmt.Sprintf("%d nodes, no repair (2003, table II)", z.walkNodes), "probability of a node's failure", ringsim.PublishedUnrepaired, walks)
}

// writeDepartures is table III.
func (f *found) writeDepartures(dir string, z size) error {
	walks := make([]*ringsim.Walks, len(f.departures))
	for i := range walks {
		walks[i] = &f.departures[i].Walks
	}
	return writeWalks(dir, "departures", "rate", fmt.Sprintf("%d nodes that come and go (2003, table III)", z.walkNodes), "nodes that join, and that leave, a second", ringsim.PublishedDepartures, walks)
}

func writeWalks(dir, name, at, title, axis string, published []ringsim.PublishedWalk, walks []*ringsim.Walks) error {
	t := newTable(at, "theirs_path", "ours_path", "deviation_percent", "theirs_path_p1", "ours_path_p1", "theirs_path_p99", "ours_path_p99",
		"theirs_timeouts", "ours_timeouts", "timeouts_deviation_percent", "theirs_timeouts_p1", "ours_timeouts_p1", "theirs_timeouts_p99", "ours_timeouts_p99",
		"theirs_failed", "ours_failed", "lookups")
	theirPath := &points{name: theirs + ", 1st to 99th percentile", color: theirColor, dots: true}
	ourPath := &points{name: ours, color: ourColor}
	theirSilent := &points{name: theirPath.name, color: theirColor, dots: true}
	ourSilent := &points{name: ours, color: ourColor}
	shift := (published[1].At - published[0].At) / 12
	for i, p := range published {
		w := walks[i]
		t.add(p.At, p.Path, w.Mean(), deviation(w.Mean(), p.Path), p.PathP1, w.Percentile(1), p.PathP99, w.Percentile(99),
			p.Silent, w.Silent.Mean(), deviation(w.Silent.Mean(), p.Silent), p.SilentP1, w.Silent.Percentile(1), p.SilentP99, w.Silent.Percentile(99),
			p.Failed, w.Wrong, w.Total()+w.Wrong)
		theirPath.bar(p.At-shift, p.Path, float64(p.PathP1), float64(p.PathP99))
		ourPath.bar(p.At, w.Mean(), float64(w.Percentile(1)), float64(w.Percentile(99)))
		theirSilent.bar(p.At-shift, p.Silent, float64(p.SilentP1), float64(p.SilentP99))
		ourSilent.bar(p.At, w.Silent.Mean(), float64(w.Silent.Percentile(1)), float64(w.Silent.Percentile(99)))
	}
	if err := t.save(dir, name); err != nil {
		return err
	}
	left, err := drawn(chart.New(title, axis, "nodes asked that answered"), theirPath, ourPath)
	if err != nil {
		return err
	}
	right, err := drawn(chart.New("", axis, "time-outs"), theirSilent, ourSilent)
	if err != nil {
		return err
	}
	left.Y.Max += 2 // room for the legend
	right.Y.Max *= 1.2
	return save(dir, name, []*plot.Plot{left, right}...)
}

// writeCrashes is figure 12.
func (f *found) writeCrashes(dir string, z size) error {
	t := newTable("rate", "nodes", "theirs_failed", "ours_failed", "deviation_percent", "ours_standard_error", "ours_failed_with_more_tries", "lookups", "joined", "crashed")
	their := &points{name: theirs, color: theirColor, dots: true}
	our := &points{name: ours + ", without a second try", color: ourColor}
	tried := &points{name: ours + ", with others tried", color: wholeColor}
	for i, p := range ringsim.PublishedCrashes {
		c := &f.crashes[i]
		all := float64(c.Total() + c.Wrong)
		rate, wrong := c.Rate(), float64(c.Wrong)/all
		e := math.Sqrt(rate * (1 - rate) / all)
		t.add(p.At, c.Nodes, p.Failed, rate, deviation(rate, p.Failed), e, wrong, all, c.Joined, c.Ended)
		their.add(p.At, p.Failed)
		our.bar(p.At, rate, rate-2*e, rate+2*e)
		tried.add(p.At, wrong)
	}
	if err := t.save(dir, "crashes"); err != nil {
		return err
	}
	p, err := drawn(chart.New(fmt.Sprintf("%d nodes that crash and join (2001, figure 12)", z.churnNodes), "nodes that join, and that crash, a second", "part of the lookups that fail"), their, our, tried)
	if err != nil {
		return err
	}
	return save(dir, "crashes", p)
}
