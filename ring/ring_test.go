package ring

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustNew(t testing.TB, kind string, members []Member) Ring {
	t.Helper()
	r, err := New(kind, 0, members)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// servers returns n members of weight 1.
func servers(n int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i].Addr = fmt.Sprintf("10.0.1.%03d:11211", i+1)
	}
	return members
}

// atoi hashes a key, or the name of a virtual node, by the number that it
// begins with times 100, and the number of the virtual node: "12" is at 1200,
// and "12-3" at 1203.
func atoi(s string) uint32 {
	number, vnode, _ := strings.Cut(s, "-")
	n, err := strconv.Atoi(number)
	if err != nil {
		panic(err)
	}
	v, _ := strconv.Atoi(vnode)
	return uint32(100*n + v)
}

// TestByHand is a ring that fits in a reader's head: points at 1000, 1001,
// 3000, 3001, 5000 and 5001.
func TestByHand(t *testing.T) {
	t.Parallel()
	members := []Member{{Addr: "10"}, {Addr: "30"}, {Addr: "50"}}
	r, err := newVirtual(members, 2, atoi)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"0":    "[10 30 50]",
		"10":   "[10 30 50]", // at the point itself
		"10-1": "[10 30 50]",
		"10-2": "[30 50 10]", // just past the second
		"29":   "[30 50 10]",
		"30-1": "[30 50 10]",
		"31":   "[50 10 30]",
		"50-1": "[50 10 30]",
		"50-2": "[10 30 50]", // past the last: wraps
		"9999": "[10 30 50]",
	} {
		var got []string
		for _, i := range r.Owners(nil, key, 3) {
			got = append(got, members[i].Addr)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("owners of %s are %v, want %s", key, got, want)
		}
	}
}

// TestCollision: where points fall on one another the first in the list has
// the place, and when it leaves the other one takes it.
func TestCollision(t *testing.T) {
	t.Parallel()
	names := map[string]uint32{"a-0": 100, "b-0": 100, "c-0": 200, "key": 50}
	hash := func(s string) uint32 { return names[s] }
	a, b, c := Member{Addr: "a"}, Member{Addr: "b"}, Member{Addr: "c"}
	for _, tt := range []struct {
		members []Member
		want    string
	}{
		{[]Member{a, b, c}, "[0 1 2]"},
		{[]Member{b, c}, "[0 1]"},
		{[]Member{a, c}, "[0 1]"},
	} {
		r, err := newVirtual(tt.members, 1, hash)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.Owners(nil, "key", 3)); got != tt.want {
			t.Errorf("%v: owners %s, want %s", tt.members, got, tt.want)
		}
	}
}

// nearest is the stupid version of a circle: the members in the order in which
// the nearest point of each lies clockwise of hash, found by looking at all.
func nearest(points []point, hash uint32) []int {
	type reach struct {
		distance uint32
		member   int
	}
	var all []reach
	for _, p := range points {
		all = append(all, reach{uint32(p>>32) - hash, p.member()})
	}
	slices.SortFunc(all, func(a, b reach) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.member, b.member))
	})
	var owners []int
	for _, r := range all {
		if !slices.Contains(owners, r.member) {
			owners = append(owners, r.member)
		}
	}
	return owners
}

// stupid answers as the ring of that kind should, straight from the rule and
// with other people's hash functions where there are any.
func stupid(kind string, vnodes int, members []Member, key string) []int {
	var points []point
	switch kind {
	case Ketama, KetamaFNV1a64:
		for i, count := range ketamaPoints(members) {
			for k := range count {
				sum := md5.Sum(fmt.Appendf(nil, "%s-%d", ketamaName(members[i]), k/4))
				points = append(points, newPoint(binary.LittleEndian.Uint32(sum[k%4*4:]), i))
			}
		}
		if kind == KetamaFNV1a64 {
			return nearest(points, hashFNV1a64(key))
		}
		sum := md5.Sum([]byte(key))
		return nearest(points, binary.LittleEndian.Uint32(sum[:]))
	case Murmur3:
		for i, m := range members {
			for k := range vnodes * int(m.weight()) {
				points = append(points, newPoint(hashMurmur3(fmt.Sprintf("%s-%d", m.name(), k)), i))
			}
		}
		return nearest(points, hashMurmur3(key))
	case Rendezvous:
		times := make([]float64, len(members))
		owners := make([]int, len(members))
		for i, m := range members {
			u := float64(draw(hashMurmur3x64(key), hashMurmur3x64(m.name()))) / (1 << 53)
			times[i] = -math.Log1p(-u) / float64(m.weight())
			owners[i] = i
		}
		slices.SortStableFunc(owners, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
		return owners
	}
	panic(kind)
}

// drawMembers draws a list of members, all of one weight half of the time.
func drawMembers(t *rapid.T) []Member {
	hosts := rapid.SliceOfNDistinct(rapid.IntRange(1, 250), 0, 30, rapid.ID).Draw(t, "hosts")
	maxWeight := rapid.SampledFrom([]uint32{1, 30}).Draw(t, "maxWeight")
	members := []Member{}
	for _, h := range hosts {
		port := rapid.SampledFrom([]int{11211, 11212}).Draw(t, "port")
		members = append(members, Member{
			Addr:   fmt.Sprintf("10.0.0.%d:%d", h, port),
			Weight: rapid.Uint32Range(0, maxWeight).Draw(t, "weight"),
		})
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Addr, b.Addr) })
	return members
}

func TestAgainstStupid(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{Ketama, KetamaFNV1a64, Murmur3, Rendezvous} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				members := drawMembers(t)
				vnodes := rapid.IntRange(1, 5).Draw(t, "vnodes")
				r, err := New(kind, vnodes, members)
				if err != nil {
					t.Fatal(err)
				}
				for range 5 {
					key := rapid.String().Draw(t, "key")
					want := stupid(kind, vnodes, members, key)
					got := r.Owners([]int{}, key, len(members)+1)
					if !slices.Equal(got, want) {
						t.Fatalf("owners of %q are %v, by the stupid version %v", key, got, want)
					}
				}
			})
		})
	}
}

// TestCollisionsAgainstStupid has so few hashes that most points share one.
func TestCollisionsAgainstStupid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		hashes := rapid.Uint32Range(1, 50).Draw(t, "hashes")
		top := rapid.Bool().Draw(t, "top")
		hash := func(s string) uint32 {
			h := hashMurmur3(s) % hashes
			if top {
				return ^h // crowded below 2^32, where the circle closes
			}
			return h
		}
		r, err := newVirtual(members, 2, hash)
		if err != nil {
			t.Fatal(err)
		}
		key := rapid.String().Draw(t, "key")
		want := nearest(circle(r), hash(key))
		if got := r.Owners(nil, key, len(members)); !slices.Equal(got, want) {
			t.Fatalf("owners of %q are %v, by the stupid version %v", key, got, want)
		}
	})
}

// TestOwners holds what every placement promises of its answers.
func TestOwners(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				members := drawMembers(t)
				if kind == Jump {
					for i := range members {
						members[i].Weight = 7
					}
				}
				r, err := New(kind, 0, members)
				if err != nil {
					t.Fatal(err)
				}
				key := rapid.String().Draw(t, "key")
				n := rapid.IntRange(-1, 35).Draw(t, "n")
				before := []int{3, 1, 4}
				got := r.Owners(before, key, n)
				if !slices.Equal(got[:3], before) {
					t.Fatalf("what was in dst became %v", got[:3])
				}
				got = got[3:]

				possible := len(members)
				if kind == Ketama || kind == KetamaFNV1a64 {
					possible = 0
					for _, count := range ketamaPoints(members) {
						possible += int(min(count, 1))
					}
				}
				if len(got) != max(0, min(n, possible)) {
					t.Fatalf("%d owners, want %d of %d", len(got), n, possible)
				}
				for i, m := range got {
					if m < 0 || m >= len(members) || slices.Contains(got[:i], m) {
						t.Fatalf("owners %v of %d members", got, len(members))
					}
				}
				switch first := r.Owner(key); {
				case len(members) == 0 && first != -1:
					t.Fatalf("owner %d without members, want -1", first)
				case len(got) > 0 && got[0] != first:
					t.Fatalf("owner %d, but owners %v", first, got)
				}
				if longer := r.Owners(nil, key, n+1); len(got) > 0 && !slices.Equal(longer[:len(got)], got) {
					t.Fatalf("%d owners are %v and %d are %v: the one is not the beginning of the other", n, got, n+1, longer)
				}
			})
		})
	}
}

// TestLeaving: when a member leaves, the owners of every key are the others in
// the order in which they were. So its keys go to their next owners, no other
// key moves, and the same the other way when it joins.
func TestLeaving(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{Ketama, KetamaFNV1a64, Murmur3, Rendezvous} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				members := drawMembers(t)
				if len(members) == 0 {
					return
				}
				gone := rapid.IntRange(0, len(members)-1).Draw(t, "gone")
				rest := slices.Delete(slices.Clone(members), gone, gone+1)
				if kind == Ketama || kind == KetamaFNV1a64 {
					counts := ketamaPoints(members)
					if !slices.Equal(slices.Delete(counts, gone, gone+1), ketamaPoints(rest)) {
						t.Skip("rounding gives others more points or fewer")
					}
				}
				was, err := New(kind, 0, members)
				if err != nil {
					t.Fatal(err)
				}
				is, err := New(kind, 0, rest)
				if err != nil {
					t.Fatal(err)
				}
				for range 5 {
					key := rapid.String().Draw(t, "key")
					var want []int
					for _, m := range was.Owners(nil, key, len(members)) {
						switch {
						case m < gone:
							want = append(want, m)
						case m > gone:
							want = append(want, m-1)
						}
					}
					if got := is.Owners(nil, key, len(members)); !slices.Equal(got, want) {
						t.Fatalf("owners of %q are %v without %d, want %v", key, got, gone, want)
					}
				}
			})
		})
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	two := servers(2)
	for _, tt := range []struct {
		name, kind string
		vnodes     int
		members    []Member
		want       string
	}{
		{"kind", "modulo", 0, two, `no placement "modulo": choose one of ketama, ketama-fnv1a64, murmur3, rendezvous, jump`},
		{"order", Ketama, 0, []Member{two[1], two[0]}, `sorted by address, each once: "10.0.1.001:11211" comes after "10.0.1.002:11211"`},
		{"twice", Rendezvous, 0, []Member{two[0], two[0]}, "sorted by address, each once"},
		{"name", KetamaFNV1a64, 0, []Member{{Addr: "a", Name: "x"}, {Addr: "b", Name: "x"}}, `"a" and "b" are both hashed by the name "x"`},
		{"vnodes", Murmur3, -1, two, "-1 virtual nodes"},
		{"many vnodes", Murmur3, math.MaxInt, two, "use smaller weights or fewer virtual nodes"},
		{"weight", Murmur3, 0, []Member{two[0], {Addr: "b", Weight: math.MaxUint32}}, "b (weight 4294967295) brings the ring to"},
		{"jump", Jump, 0, []Member{two[0], {Addr: "b", Weight: 2}}, "jump knows no weights"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := New(tt.kind, tt.vnodes, tt.members)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, %v; want an error with %q", r, err, tt.want)
			}
			if r != nil {
				t.Errorf("New returned a ring beside its error: %T", r)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	unweighted, weighted := servers(10), servers(10)
	for i := range weighted {
		weighted[i].Weight = 1
	}
	for _, tt := range []struct {
		name string
		a, b Ring
	}{
		{"no kind is ketama", mustNew(t, "", unweighted), mustNew(t, Ketama, unweighted)},
		{"weight 0 is 1", mustNew(t, Murmur3, unweighted), mustNew(t, Murmur3, weighted)},
	} {
		for i := range 100 {
			key := strconv.Itoa(i)
			if a, b := tt.a.Owner(key), tt.b.Owner(key); a != b {
				t.Errorf("%s: %s at %d and at %d", tt.name, key, a, b)
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	weighted := servers(100)
	for i := range weighted {
		weighted[i].Weight = uint32(1 + i%5)
	}
	for _, kind := range Kinds() {
		for _, members := range [][]Member{servers(1), servers(100), weighted} {
			if kind == Jump && !equalWeights(members) {
				continue
			}
			r := mustNew(t, kind, members)
			dst := make([]int, 0, 20)
			if n := testing.AllocsPerRun(100, func() {
				r.Owner("user:17")
				dst = r.Owners(dst[:0], "user:17", 20)
			}); n != 0 {
				t.Errorf("%s: a look-up among %d allocates %v times", kind, len(members), n)
			}
		}
	}
}
