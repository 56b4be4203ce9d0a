package replica

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/check"
)

// bucket is what a timeline's answers are counted by.
const bucket = 10 * time.Millisecond

// fault is a row of the table: what is done, and what is asked of it.
type fault struct {
	name string
	// reach is the downtime that it is to be got over in, at the median; 0: none is named.
	reach time.Duration
	// labels is from which fault of a run on answers may be labelled, counted from 1;
	// 0: never; -1: always.
	labels int
	// crashes: nothing but crashes happen, so labelled answers bind, too.
	crashes bool
}

// allowed is the downtime that fails a test. Beside other work on a small machine
// everything may take several times as long as it does alone; what it takes alone
// is for the table to show.
func (f fault) allowed() time.Duration {
	if f.reach == 0 {
		return 0
	}
	return 3*f.reach + 300*time.Millisecond
}

// outcomes is what came of the faults. It is safe for concurrent use.
type outcomes struct {
	mu struct {
		sync.Mutex
		rows []*outcome
	}
}

// outcome is a row of the table.
type outcome struct {
	fault
	downtime, before           []time.Duration
	requests, errors, labelled int
	lasted                     time.Duration
	timelines                  []span
}

// span is how many answers came in each bucket of a run.
type span struct {
	Fault    string  `json:"fault"`
	BucketMS int     `json:"bucket_ms"`
	AtMS     []int64 `json:"at_ms"` // when something was done
	Answers  []int   `json:"answers"`
	Labelled []int   `json:"labelled"`
	Errors   []int   `json:"errors"`
}

// judged judges a run: the load before its first fault, what was answered, how long
// there was no answer from each of the times on, until the next, and whether the
// history is right. at is when something was done.
func (s *outcomes) judged(t testing.TB, f fault, d *load, at ...time.Duration) {
	t.Helper()
	end := d.now()
	h := d.finish()

	first := at[0]
	before := 0
	var requests, errors, labelled, mislabelled int
	for _, o := range h {
		if o.Labelled && answered(o) && (f.labels == 0 || f.labels > 0 && o.Return < at[f.labels-1]) {
			mislabelled++
		}
		if o.Return < first {
			before++
		}
		requests++
		switch {
		case o.Labelled && answered(o):
			labelled++
		case !answered(o):
			errors++
		}
	}
	rate := int(float64(before) / first.Seconds())
	if rate < leastRate {
		t.Errorf("%s: %d requests a second before the fault, not %d: the run says nothing", f.name, rate, leastRate)
	}
	if mislabelled > 0 {
		t.Errorf("%s: %d of %d answers were labelled while a quorum was left", f.name, mislabelled, requests)
	}
	noise := gap(h, min(warmUp/2, first), first) // once connections are there

	var took []time.Duration
	for i, from := range at {
		to := end
		if i+1 < len(at) {
			to = at[i+1]
		}
		down := gap(h, from, to)
		took = append(took, down)
		if limit := f.allowed(); limit > 0 && down > limit {
			t.Errorf("%s: no answer for %v, at most %v allowed", f.name, down.Round(time.Millisecond), limit)
		}
	}
	t.Logf("%s: no answer for %v, before the fault for %v; %d requests, %d/s before the fault, %d failed, %d labelled",
		f.name, took, noise.Round(time.Microsecond), requests, rate, errors, labelled)

	check.Verify(t, h, check.Register)
	if f.crashes && labelled > 0 { // no answer was lost, labelled ones included
		bare := slices.Clone(h)
		for i := range bare {
			bare[i].Labelled = false
		}
		check.Verify(t, bare, check.Register)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.mu.rows, func(r *outcome) bool { return r.name == f.name })
	if i < 0 {
		s.mu.rows = append(s.mu.rows, &outcome{fault: f})
		i = len(s.mu.rows) - 1
	}
	r := s.mu.rows[i]
	r.downtime, r.before = append(r.downtime, took...), append(r.before, noise)
	r.requests, r.errors, r.labelled = r.requests+requests, r.errors+errors, r.labelled+labelled
	r.lasted += end
	r.timelines = append(r.timelines, timelineOf(f, h, end, at))
}

func timelineOf(f fault, h check.History, end time.Duration, at []time.Duration) span {
	n := int(end/bucket) + 1
	s := span{Fault: f.name, BucketMS: int(bucket.Milliseconds()), Answers: make([]int, n), Labelled: make([]int, n), Errors: make([]int, n)}
	for _, a := range at {
		s.AtMS = append(s.AtMS, a.Milliseconds())
	}
	for _, o := range h {
		i := int(o.Return / bucket)
		switch {
		case i >= n:
		case !answered(o):
			s.Errors[i]++
		case o.Labelled:
			s.Labelled[i]++
		default:
			s.Answers[i]++
		}
	}
	return s
}

// markdown returns the table, "" if nothing was measured.
func (s *outcomes) markdown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| fault | reach | downtime, median | worst | of | without a fault | requests/s | failed | labelled |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range s.mu.rows {
		slices.Sort(r.downtime)
		slices.Sort(r.before)
		reach := ""
		if r.reach > 0 {
			reach = r.reach.String()
		}
		fmt.Fprintf(&b, "| %s | %s | %v | %v | %d | %v | %.0f | %.3f %% | %.2f %% |\n", r.name, reach,
			r.downtime[len(r.downtime)/2].Round(100*time.Microsecond), r.downtime[len(r.downtime)-1].Round(100*time.Microsecond), len(r.downtime),
			r.before[len(r.before)/2].Round(100*time.Microsecond),
			float64(r.requests)/r.lasted.Seconds(), 100*float64(r.errors)/float64(r.requests), 100*float64(r.labelled)/float64(r.requests))
	}
	return b.String()
}

// tell prints the table on standard output, if there is anything in it, and writes
// it and the timelines to files, unless those are "".
func (s *outcomes) tell(table, timeline string) error {
	text := s.markdown()
	if text == "" {
		return nil
	}
	fmt.Print("\n" + text)
	if table != "" {
		if err := os.WriteFile(table, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if timeline == "" {
		return nil
	}
	var all []span
	for _, r := range s.mu.rows {
		all = append(all, r.timelines...)
	}
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(timeline, b, 0o644)
}
