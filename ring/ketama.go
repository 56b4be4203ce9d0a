package ring

import (
	"math"
	"strconv"
	"strings"
)

// newKetama makes the circle that libmemcached makes with
// MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, and twemproxy with `distribution:
// ketama`; only the hash of the keys differs between the two.
func newKetama(members []Member, hash hash32) (Ring, error) {
	counts := ketamaPoints(members)
	var total uint64
	for i, count := range counts {
		if total += uint64(count); total > MaxPoints {
			return nil, tooMany(members[i], total)
		}
	}
	points := make([]point, 0, total+1)
	for i, count := range counts {
		name := append([]byte(ketamaName(members[i])), '-')
		for k := range count / 4 {
			a, b, c, d := md5Sum(string(strconv.AppendUint(name, uint64(k), 10)))
			points = append(points, newPoint(a, i), newPoint(b, i), newPoint(c, i), newPoint(d, i))
		}
	}
	return newContinuum(points, hash), nil
}

// ketamaPoints returns how many points each member has: 160 on average, in
// proportion to the weights, in multiples of four. Each step is rounded to
// float32 as in the original, down to what that makes of equal weights: 1/25,
// times 160, by 4, times 25, is a little less than 40, so 25 members have 156
// points each. A member of very small weight may have none.
func ketamaPoints(members []Member) []uint32 {
	const perMember, perDigest = 160, 4
	var total uint64
	for _, m := range members {
		total += uint64(m.weight())
	}
	counts := make([]uint32, len(members))
	for i, m := range members {
		share := float32(m.weight()) / float32(total)
		digests := float32(float32(float32(share*perMember)/perDigest) * float32(len(members)))
		digests = float32(digests + 0.0000000001)
		counts[i] = uint32(math.Floor(float64(digests))) * perDigest
	}
	return counts
}

// ketamaName is what a member's points are hashed from: its name if it has
// one, and otherwise its address without the brackets of IPv6 and without the
// port if that is memcached's own.
func ketamaName(m Member) string {
	if m.Name != "" {
		return m.Name
	}
	host, port := m.Addr, ""
	if i := strings.LastIndexByte(m.Addr, ':'); i > strings.LastIndexByte(m.Addr, ']') {
		host, port = m.Addr[:i], m.Addr[i+1:]
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	if port == "" || port == "11211" {
		return host
	}
	return host + ":" + port
}

// hashMD5 is the first four bytes of key's MD5, little-endian.
func hashMD5(key string) uint32 {
	a, _, _, _ := md5Sum(key)
	return a
}

// hashFNV1a64 is what twemproxy and libmemcached call fnv1a_64: the lower half
// of FNV-1a's 64 bits, which is 32-bit arithmetic with another prime. They
// read the key as C's char, signed on the machines where it was in use, so a
// byte above 127 is extended by ones.
func hashFNV1a64(key string) uint32 {
	const (
		offset = 0xcbf29ce484222325 & math.MaxUint32
		prime  = 0x100000001b3 & math.MaxUint32
	)
	h := uint32(offset)
	for i := range len(key) {
		h ^= uint32(int32(int8(key[i])))
		h *= prime
	}
	return h
}
