package chord

import "testing"

// What ends the loop is carried out, too, and said to be.
func TestLastVisit(t *testing.T) {
	t.Parallel()
	for range 1000 {
		v, end := newVisits(), false
		go func() {
			for !end {
				(<-v.calls)()
			}
			close(v.over)
		}()
		if !v.on(func() { end = true }) {
			t.Fatal("it was not carried out")
		}
		if v.on(func() {}) {
			t.Fatal("something was carried out afterwards")
		}
	}
}
