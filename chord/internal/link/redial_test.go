package link

import (
	"testing"
	"time"
)

// What is told of a peer, call by call.
func TestRedial(t *testing.T) {
	t.Parallel()
	type step struct {
		o       outcome
		calling bool
		rest    time.Duration
		report  bool
		dead    bool
	}
	const again = hurriedPause
	for name, c := range map[string]struct {
		lived time.Duration // of a connection that was lost before
		steps []step
	}{
		"killed": {time.Hour, []step{
			{refused, false, again, false, false}, {refused, false, minRest, true, true}, {refused, false, again, false, false},
		}},
		"never connected": {0, []step{{refused, false, again, false, false}, {refused, false, 2 * minRest, true, true}}},
		"dying": {time.Hour, []step{
			{hungUp, false, again, false, false}, {refused, false, again, false, false}, {hungUp, false, again, false, false},
			{refused, false, again, false, false}, {refused, false, minRest, true, true},
		}},
		"replaced": {time.Hour, []step{{replaced, false, minRest, true, true}}},
		"calls us": {time.Hour, []step{
			{refused, true, again, false, false}, {replaced, true, again, false, false}, {refused, true, again, false, false},
			{refused, true, again, false, false}, {refused, true, again, false, false}, {refused, true, minRest, true, false},
			{refused, false, again, false, false}, {refused, false, 2 * minRest, true, true},
		}},
		"frozen": {time.Hour, []step{
			{silent, false, minRest, true, false}, {silent, false, 2 * minRest, true, false}, {silent, false, 4 * minRest, true, false},
			{silent, false, 8 * minRest, true, false}, {silent, false, 16 * minRest, true, false}, {silent, false, maxRest, true, false},
			{silent, false, maxRest, true, false},
		}},
		"rejected":    {time.Hour, []step{{rejected, false, minRest, true, false}}},
		"killed soon": {time.Millisecond, []step{{hungUp, false, again, false, false}}},
	} {
		var r redial
		if c.lived > 0 {
			r.lost(c.lived)
		} else {
			r.rest = minRest
		}
		for i, s := range c.steps {
			rest, report, dead := r.failed(s.o, s.calling)
			if s.rest != rest || report != s.report || dead != s.dead {
				t.Errorf("%s, step %d: rest %v, report %v, dead %v", name, i, rest, report, dead)
			}
		}
	}
	var r redial
	for range shortLives {
		if rest := r.lost(time.Millisecond); rest != 0 || r.hurried == 0 {
			t.Errorf("after the first that didn't live: %v", rest)
		}
	}
	for want := minRest; want < maxRest; want *= 2 {
		if rest := r.lost(time.Millisecond); rest != want {
			t.Errorf("after one that didn't live: %v, want %v", rest, want)
		}
	}
	if r.heard(); r.lost(0) != minRest {
		t.Error("a peer that calls is called soon")
	}
	if r.lost(time.Hour) != 0 {
		t.Error("one that has lived is called at once")
	}
}
