package replica

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What has ended is compared with a list of what has not.
func TestNumbersAckedBelowTheFirstThatGoesOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var n numbers
		under := map[uint64]bool{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if len(under) == 0 || rapid.IntRange(0, 2).Draw(t, "begin") > 0 {
				number := n.next()
				if number != n.last || under[number] {
					t.Fatalf("the number %d came after %d", number, n.last)
				}
				under[number] = true
			} else {
				number := rapid.SampledFrom(sorted(under)).Draw(t, "end")
				n.end(number)
				delete(under, number)
			}
			want := n.last
			for number := range under {
				want = min(want, number-1)
			}
			if n.acked != want {
				t.Fatalf("acked is %d with %v under way, want %d", n.acked, sorted(under), want)
			}
		}
	})
}

func sorted(set map[uint64]bool) []uint64 {
	return slices.Sorted(maps.Keys(set))
}

func TestNumbersReuseTheirMemory(t *testing.T) {
	var n numbers
	n.end(n.next())
	if got := testing.AllocsPerRun(1000, func() { n.end(n.next()) }); got != 0 {
		t.Errorf("%v allocations for a number", got)
	}
}
