package ring

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// Where Nested says yes, each key's owners among the part are those among the
// whole, without the members that are left out.
func TestNested(t *testing.T) {
	sometimes := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(Kinds()).Draw(t, "kind")
		heavy := rapid.SampledFrom([]uint32{1, 1, 3}).Draw(t, "heavy")
		var whole, part []Member
		for i := range rapid.IntRange(1, 30).Draw(t, "members") {
			m := Member{Addr: "10.0.0." + strconv.Itoa(100+i) + ":11211", Weight: rapid.Uint32Range(1, heavy).Draw(t, "weight")}
			whole = append(whole, m)
			if rapid.IntRange(0, 4).Draw(t, "out") > 0 {
				part = append(part, m)
			}
		}
		if !Nested(kind, part, whole) {
			sometimes[kind+" no"]++
			return
		}
		sometimes[kind+" yes"]++
		if kind == Jump && !equalWeights(whole) {
			return // it takes no weights
		}
		small, err := New(kind, 10, part)
		if err != nil {
			t.Fatal(err)
		}
		large, err := New(kind, 10, whole)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			key := strconv.Itoa(i)
			var want []string
			for _, o := range large.Owners(nil, key, len(whole)) {
				if slices.Contains(part, whole[o]) {
					want = append(want, whole[o].Addr)
				}
			}
			var got []string
			for _, o := range small.Owners(nil, key, len(part)) {
				got = append(got, part[o].Addr)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %s is at %v among the part, at %v among the whole", kind, key, got, want)
			}
		}
	})
	for _, kind := range []string{Ketama, Murmur3, Rendezvous} {
		if sometimes[kind+" yes"] == 0 {
			t.Errorf("%s was never nested: %v", kind, sometimes)
		}
	}
	if Nested(Murmur3, []Member{{Addr: "a:1", Weight: 2}}, []Member{{Addr: "a:1"}, {Addr: "b:1"}}) {
		t.Error("another weight is nested")
	}
}
