package ring

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// known is what libmemcached said of one list of servers: see testdata/ketama.c.
type known struct {
	name    string
	members []Member
	counts  []uint32
	total   int
	lowest  point
	highest point
	digest  uint64
	keys    []knownKey
}

type knownKey struct {
	key              string
	md5, fnv         uint32
	md5Owner, fnvOwn int
}

func readKnown(t *testing.T) []known {
	t.Helper()
	f, err := os.Open("testdata/ketama.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	var lists []known
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if word == "list" {
			lists = append(lists, known{name: rest})
			continue
		}
		l := &lists[len(lists)-1]
		var err error
		switch word {
		case "server":
			var host, port string
			var weight, count uint32
			_, err = fmt.Sscan(rest, &host, &port, &weight, &count)
			l.members = append(l.members, Member{Addr: net.JoinHostPort(host, port), Weight: weight})
			l.counts = append(l.counts, count)
		case "continuum":
			var low, high uint32
			var lowAt, highAt int
			_, err = fmt.Sscanf(rest, "%d %d %d %d %d %x", &l.total, &low, &lowAt, &high, &highAt, &l.digest)
			l.lowest, l.highest = newPoint(low, lowAt), newPoint(high, highAt)
		case "key":
			var k knownKey
			_, err = fmt.Sscanf(rest, "%x %d %x %d", &k.md5, &k.md5Owner, &k.fnv, &k.fnvOwn)
			k.key = strings.SplitN(rest, " ", 5)[4]
			l.keys = append(l.keys, k)
		default:
			t.Fatalf("testdata/ketama.txt: a line begins with %q", word)
		}
		if err != nil {
			t.Fatalf("testdata/ketama.txt: %q: %v", lines.Text(), err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return lists
}

// TestLibmemcached compares every point and every key with what Debian's
// libmemcached made of the same servers.
func TestLibmemcached(t *testing.T) {
	t.Parallel()
	lists := readKnown(t)
	if len(lists) < 15 {
		t.Fatalf("%d lists in testdata/ketama.txt: it was cut short", len(lists))
	}
	for _, l := range lists {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for i, count := range ketamaPoints(l.members) {
				if count != l.counts[i] {
					t.Errorf("%s, weight %d: %d points, libmemcached has %d", l.members[i].Addr, l.members[i].Weight, count, l.counts[i])
				}
			}
			byMD5 := mustNew(t, Ketama, l.members)
			byFNV := mustNew(t, KetamaFNV1a64, l.members)
			points := circle(byMD5)
			if len(points) != l.total || points[0] != l.lowest || points[len(points)-1] != l.highest || digest(points) != l.digest {
				t.Errorf("%d points from %x to %x, digest %x; libmemcached has %d from %x to %x, digest %x",
					len(points), points[0], points[len(points)-1], digest(points), l.total, l.lowest, l.highest, l.digest)
			}

			for _, k := range l.keys {
				if h := hashMD5(k.key); h != k.md5 {
					t.Errorf("MD5 of %q is %08x, libmemcached has %08x", k.key, h, k.md5)
				}
				if h := hashFNV1a64(k.key); h != k.fnv {
					t.Errorf("fnv1a_64 of %q is %08x, libmemcached has %08x", k.key, h, k.fnv)
				}
				if got := byMD5.Owner(k.key); got != k.md5Owner {
					t.Errorf("%s: %q at %d, libmemcached has it at %d", Ketama, k.key, got, k.md5Owner)
				}
				if got := byFNV.Owner(k.key); got != k.fnvOwn {
					t.Errorf("%s: %q at %d, libmemcached has it at %d", KetamaFNV1a64, k.key, got, k.fnvOwn)
				}
			}
		})
	}
}

// circle returns the points of a ring that has any, in order.
func circle(r Ring) []point {
	points := r.(*continuum).points
	return points[:max(0, len(points)-1)]
}

// digest is what testdata/ketama.c prints of all points.
func digest(points []point) uint64 {
	h := fnv.New64a()
	for _, p := range points {
		var b [8]byte
		binary.LittleEndian.PutUint32(b[:4], uint32(p>>32))
		binary.LittleEndian.PutUint32(b[4:], uint32(p))
		h.Write(b[:])
	}
	return h.Sum64()
}

// TestPublishedRing checks figures for one weighted ring that were known before
// testdata was made, so that a mistake in making it would be seen.
func TestPublishedRing(t *testing.T) {
	t.Parallel()
	var members []Member
	for i, weight := range []uint32{600, 300, 200, 350, 1000, 800, 950, 100} {
		members = append(members, Member{Addr: "10.0.1." + strconv.Itoa(i+1) + ":11211", Weight: weight})
	}
	if got, want := fmt.Sprint(ketamaPoints(members)), "[176 88 56 104 296 236 280 28]"; got != want {
		t.Errorf("points %s, want %s", got, want)
	}
	r := mustNew(t, Ketama, members)
	points := circle(r)
	if got, want := points[0], newPoint(2148620, 2); got != want {
		t.Errorf("lowest point %x, want %x", got, want)
	}
	if got, want := points[len(points)-1], newPoint(4294696831, 6); got != want {
		t.Errorf("highest point %x, want %x", got, want)
	}
	const wraps = "VDEAAAAA"
	if got := hashMD5(wraps); got != 0xfffcd1b5 {
		t.Errorf("hash of %s is %x, want fffcd1b5", wraps, got)
	}
	if got := r.Owner(wraps); got != 2 {
		t.Errorf("%s at %d, want 2: past the last point it wraps to the first", wraps, got)
	}
}

// TestEqualWeightsThatRound lists every count of equal members up to 110 whose
// float32 arithmetic loses a digest.
func TestEqualWeightsThatRound(t *testing.T) {
	t.Parallel()
	var rounded []int
	for n := 1; n <= 110; n++ {
		switch count := ketamaPoints(make([]Member, n))[0]; count {
		case 160:
		case 156:
			rounded = append(rounded, n)
		default:
			t.Errorf("%d members have %d points each, want 160 or 156", n, count)
		}
	}
	const want = "[25 47 50 55 61 71 94 100 107 109 110]"
	if got := fmt.Sprint(rounded); got != want {
		t.Errorf("156 points with %s members, want %s", got, want)
	}
}

func TestKetamaName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		member Member
		want   string
	}{
		{Member{Addr: "10.0.1.1:11211"}, "10.0.1.1"},
		{Member{Addr: "10.0.1.1:11212"}, "10.0.1.1:11212"},
		{Member{Addr: "10.0.1.1"}, "10.0.1.1"},
		{Member{Addr: "[::1]:11211"}, "::1"},
		{Member{Addr: "[::1]:21211"}, "::1:21211"},
		{Member{Addr: "[::1]"}, "::1"},
		{Member{Addr: "10.0.1.1:11212", Name: "cache-a"}, "cache-a"},
	} {
		if got := ketamaName(tt.member); got != tt.want {
			t.Errorf("ketamaName(%+v) = %q, want %q", tt.member, got, tt.want)
		}
	}
}

// TestTwemproxyNames: with names, moving every server elsewhere moves no key.
func TestTwemproxyNames(t *testing.T) {
	t.Parallel()
	before := []Member{{Addr: "10.0.0.1:11211", Name: "a"}, {Addr: "10.0.0.2:11211", Name: "b"}, {Addr: "10.0.0.3:11211", Name: "c"}}
	after := []Member{{Addr: "10.9.0.1:11211", Name: "c"}, {Addr: "10.9.0.2:11211", Name: "a"}, {Addr: "10.9.0.3:11211", Name: "b"}}
	for _, kind := range []string{Ketama, KetamaFNV1a64, Murmur3, Rendezvous} {
		was, is := mustNew(t, kind, before), mustNew(t, kind, after)
		for i := range 1000 {
			key := "k" + strconv.Itoa(i)
			if w, n := before[was.Owner(key)].Name, after[is.Owner(key)].Name; w != n {
				t.Fatalf("%s: %s was with %s and is with %s", kind, key, w, n)
			}
		}
	}
}
