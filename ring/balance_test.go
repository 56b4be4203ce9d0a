package ring

import (
	"math"
	"strconv"
	"testing"
)

// TestShares: members have keys in proportion to their weights. What a member
// with p points may be off by is about 1/sqrt(p) of its share; rendezvous and
// jump are off by what the sample of keys is.
func TestShares(t *testing.T) {
	t.Parallel()
	const keys = 100000
	for _, tt := range []struct {
		kind      string
		weighted  bool
		tolerance float64 // 3 standard deviations and a little, of a member's share
	}{
		{Ketama, true, 0.4},
		{KetamaFNV1a64, true, 0.4},
		{Murmur3, true, 0.6},
		{Rendezvous, true, 0.05},
		{Rendezvous, false, 0.05},
		{Jump, false, 0.05},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			members := servers(8)
			total := 0.0
			for i := range members {
				if tt.weighted {
					members[i].Weight = uint32(2 + i%4)
				}
				total += float64(members[i].weight())
			}
			r := mustNew(t, tt.kind, members)
			got := make([]int, len(members))
			for i := range keys {
				got[r.Owner("user:"+strconv.Itoa(i))]++
			}
			for i, m := range members {
				want := keys * float64(m.weight()) / total
				if off := float64(got[i])/want - 1; math.Abs(off) > tt.tolerance {
					t.Errorf("%s, weight %d, has %d keys, %+.1f %% off its share", m.Addr, m.weight(), got[i], 100*off)
				}
			}
		})
	}
}
