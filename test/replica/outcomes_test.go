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

// silence is after how long servers take one that they don't hear for gone.
const silence = 250 * time.Millisecond

// bucket is what a timeline's answers are counted by.
const bucket = 10 * time.Millisecond

// step is a part of a run that begins when something is done, and ends with the next
// or with the run. It is a row of the table.
type step struct {
	what string
	// reach is the downtime that it is to be got over in, at the median; 0: none is named.
	reach time.Duration
	// labels: answers may be labelled.
	labels bool
	// at is when it began, in the load's time.
	at time.Duration
}

// allowed is the downtime that fails a test. Beside other work on a small machine
// everything may take several times as long as it does alone, and what the machine
// stands still is allowed on top, twice; what it takes alone is for the table to show.
func (s step) allowed() time.Duration {
	if s.reach == 0 {
		return 0
	}
	return 3*s.reach + 300*time.Millisecond
}

// outcomes is what came of the faults. It is safe for concurrent use.
type outcomes struct {
	mu struct {
		sync.Mutex
		rows      []*outcome
		timelines []timelineJSON
	}
}

// outcome is a row of the table.
type outcome struct {
	step
	downtime, before, stalls []time.Duration
	count                    counts
	lasted                   time.Duration
}

// counts are of requests.
type counts struct{ requests, failed, labelled int }

func count(h check.History, from, to time.Duration) (n counts) {
	for _, o := range h {
		if o.Return < from || o.Return >= to {
			continue
		}
		n.requests++
		switch {
		case !answered(o):
			n.failed++
		case o.Labelled:
			n.labelled++
		}
	}
	return n
}

func (n counts) String() string {
	return fmt.Sprintf("%d requests, %d failed, %d labelled", n.requests, n.failed, n.labelled)
}

// judged ends a run and judges it: the load before something was done, how long there
// was no answer then, whether answers were labelled that must not be, and whether the
// history is right.
func (s *outcomes) judged(t testing.TB, d *load, steps ...step) {
	t.Helper()
	end := d.now()
	h := d.finish()

	if n := count(h, 0, steps[0].at); n.labelled > 0 && d.stalled(0, steps[0].at) < silence {
		t.Errorf("before anything was done: %v", n)
	}
	// A run may begin with a table that is not whole.
	first := steps[slices.IndexFunc(steps, func(s step) bool { return s.at > 0 })].at
	if rate := float64(count(h, first-warmUp, first).requests) / warmUp.Seconds(); rate < leastRate {
		t.Errorf("%.0f requests a second before anything was done, not %d: the run says nothing", rate, leastRate)
	}
	before := gap(h, first-warmUp/2, first) // once connections are there

	check.Verify(t, h, check.Register)
	if d.onlyCrashes { // no answer is lost, labelled ones included
		bare := slices.Clone(h)
		for i := range bare {
			bare[i].Labelled = false
		}
		check.Verify(t, bare, check.Register)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for i, step := range steps {
		to := end
		if i+1 < len(steps) {
			to = steps[i+1].at
		}
		down, still, n := gap(h, step.at, to), d.stalled(step.at, to), count(h, step.at, to)
		t.Logf("%s: no answer for %v (before: %v), while the machine stood still for %v; %v", step.what, down, before, still, n)
		if limit := step.allowed(); limit > 0 && down > limit+2*still {
			t.Errorf("%s: no answer for %v, while the machine stood still for %v; at most %v allowed", step.what, down, still, limit)
		}
		// On a machine that stands still so long, a server that is well is given up, and
		// then the next one may be one too many.
		if well := d.stalled(0, to) < silence; n.labelled > 0 && !step.labels && well {
			t.Errorf("%s: answers were labelled, though a quorum was left: %v", step.what, n)
		}
		r := s.rowLocked(step)
		r.downtime, r.before, r.stalls = append(r.downtime, down), append(r.before, before), append(r.stalls, still)
		r.count.requests += n.requests
		r.count.failed += n.failed
		r.count.labelled += n.labelled
		r.lasted += to - step.at
	}
	s.mu.timelines = append(s.mu.timelines, timelineOf(h, end, steps))
}

func (s *outcomes) rowLocked(of step) *outcome {
	i := slices.IndexFunc(s.mu.rows, func(r *outcome) bool { return r.what == of.what })
	if i < 0 {
		s.mu.rows = append(s.mu.rows, &outcome{step: of})
		i = len(s.mu.rows) - 1
	}
	return s.mu.rows[i]
}

// timelineJSON is how many answers came in each bucket of a run.
type timelineJSON struct {
	Steps    []stepJSON `json:"steps"`
	BucketMS int64      `json:"bucket_ms"`
	Answers  []int      `json:"answers"` // without a label
	Labelled []int      `json:"labelled"`
	Failed   []int      `json:"failed"`
}

type stepJSON struct {
	What string `json:"what"`
	AtMS int64  `json:"at_ms"`
}

func timelineOf(h check.History, end time.Duration, steps []step) timelineJSON {
	n := int(end/bucket) + 1
	line := timelineJSON{BucketMS: bucket.Milliseconds(), Answers: make([]int, n), Labelled: make([]int, n), Failed: make([]int, n)}
	for _, s := range steps {
		line.Steps = append(line.Steps, stepJSON{s.what, s.at.Milliseconds()})
	}
	for _, o := range h {
		i := int(o.Return / bucket)
		switch {
		case i >= n:
		case !answered(o):
			line.Failed[i]++
		case o.Labelled:
			line.Labelled[i]++
		default:
			line.Answers[i]++
		}
	}
	return line
}

// markdown returns the table, "" if nothing was measured.
func (s *outcomes) markdown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.rows) == 0 {
		return ""
	}
	tenth := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	var b strings.Builder
	b.WriteString("| what is done | reach | downtime, median | worst | of | before | machine stood still, worst | requests/s | failed | labelled |\n" +
		"|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range s.mu.rows {
		slices.Sort(r.downtime)
		slices.Sort(r.before)
		reach := ""
		switch r.reach {
		case 0:
		case noDowntime:
			reach = "none"
		default:
			reach = r.reach.String()
		}
		n := len(r.downtime)
		all := max(1, float64(r.count.requests))
		fmt.Fprintf(&b, "| %s | %s | %v | %v | %d | %v | %v | %.0f | %.3f %% | %.2f %% |\n", r.what, reach,
			tenth(r.downtime[n/2]), tenth(r.downtime[n-1]), n, tenth(r.before[n/2]), tenth(slices.Max(r.stalls)),
			all/r.lasted.Seconds(), 100*float64(r.count.failed)/all, 100*float64(r.count.labelled)/all)
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
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := json.Marshal(s.mu.timelines)
	if err != nil {
		return err
	}
	return os.WriteFile(timeline, b, 0o644)
}
