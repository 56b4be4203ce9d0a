// Availability draws how many answers clients of a replica table got, over time, while
// its servers were killed, frozen and cut off: a panel for each thing that is done.
// What it draws is measured by the tests of the faults:
//
//	go test ./test/replica -timeline /tmp/timeline.json
//	go run ./internal/figures/availability -timeline /tmp/timeline.json -out docs/figures/replica_availability.svg
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
)

func main() {
	in := flag.String("timeline", "", "`file` that the tests wrote")
	out := flag.String("out", "docs/figures/replica_availability.svg", "`file` to draw to: an SVG or a PNG")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "availability:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	text, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var all []timeline
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	lines := firsts(all)
	if len(lines) == 0 {
		return fmt.Errorf("%s has no timelines", in)
	}
	return draw(lines, out)
}

// timeline is what clients got in one run.
type timeline struct {
	Steps    []step  `json:"steps"`
	BucketMS float64 `json:"bucket_ms"`
	Answers  []int   `json:"answers"` // in each bucket, without a label
	Labelled []int   `json:"labelled"`
	Failed   []int   `json:"failed"`
}

// step is something that is done.
type step struct {
	What string  `json:"what"`
	AtMS float64 `json:"at_ms"`
}

// firsts returns the first run of each kind.
func firsts(all []timeline) (lines []timeline) {
	for _, t := range all {
		if len(t.Steps) > 0 && !slices.ContainsFunc(lines, func(other timeline) bool { return other.Steps[0].What == t.Steps[0].What }) {
			lines = append(lines, t)
		}
	}
	return lines
}

// point is how many answers a second there were at a time, in seconds since the run
// began.
type point struct{ at, plain, labelled float64 }

// shownMS is the time that a point stands for: short enough for every downtime that
// a person would notice, long enough for the load itself to look even.
const shownMS = 50

// points sums up the buckets of t.
func points(t timeline) (ps []point) {
	n := max(1, int(shownMS/t.BucketMS))
	for i := 0; i+n <= len(t.Answers); i += n {
		p := point{at: float64(i) * t.BucketMS / 1000}
		for j := i; j < i+n; j++ {
			p.plain += float64(t.Answers[j])
			p.labelled += float64(t.Labelled[j])
		}
		second := 1000 / (float64(n) * t.BucketMS)
		p.plain, p.labelled = p.plain*second, p.labelled*second
		ps = append(ps, p)
	}
	return ps
}
