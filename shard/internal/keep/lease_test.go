package keep

import "testing"

// TestLease reads each row as: of a session with a time-out of 1000, asked for at 0,
// with these answered, it is certain to live until then.
func TestLease(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		asked []int64
		until int64
	}{
		{nil, 950},
		{[]int64{10}, 950},
		{[]int64{10, 110, 210}, 950},
		{[]int64{10, 110, 210, 310}, 960},            // 310 proves 10
		{[]int64{10, 110, 210, 310, 410, 510}, 1160}, // 510 proves 210
		{[]int64{10, 259}, 950},                      // 9 would be proven
		{[]int64{10, 260}, 960},
		{[]int64{10, 600}, 960}, // the answer took long; the next one proves it
		{[]int64{10, 600, 700}, 960},
		{[]int64{10, 600, 700, 850}, 1550},
	} {
		l := newLease(1000, 0)
		for _, asked := range c.asked {
			l.answered(asked)
		}
		if got := l.until(); got != c.until {
			t.Errorf("%v: until %d, want %d", c.asked, got, c.until)
		}
		if n := len(l.asked); n > 5 {
			t.Errorf("%v: %d are remembered", c.asked, n)
		}
	}
}
