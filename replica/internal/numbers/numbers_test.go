package numbers

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
		var n Numbers
		under := map[uint64]bool{}
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if len(under) == 0 || rapid.IntRange(0, 2).Draw(t, "begin") > 0 {
				was := n.last
				number, acked := n.Next()
				if number != was+1 || acked != n.acked {
					t.Fatalf("the number %d came after %d, with %d acked of %d", number, was, acked, n.acked)
				}
				under[number] = true
			} else {
				number := rapid.SampledFrom(sorted(under)).Draw(t, "end")
				n.End(number)
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
	var n Numbers
	use := func() {
		number, _ := n.Next()
		n.End(number)
	}
	use()
	if got := testing.AllocsPerRun(1000, use); got != 0 {
		t.Errorf("%v allocations for a number", got)
	}
}
