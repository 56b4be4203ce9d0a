package ring

import (
	"encoding/binary"
	"math/bits"
)

// md5Sum returns the MD5 of s (RFC 1321) as its four little-endian words.
//
// It is here and not crypto/md5's because hashing the key is nearly all that a
// ketama look-up does: for a key of one block this takes three quarters of
// that one's time, by doing without its buffering. (And crypto/md5 panics in
// FIPS mode; nothing here is a secret.) The loops are shaped so that what
// doesn't depend on the step before, x+k, is off the critical path.
func md5Sum(s string) (a, b, c, d uint32) {
	a, b, c, d = 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476
	var block [64]byte
	rest := s
	for len(rest) >= len(block) {
		copy(block[:], rest)
		a, b, c, d = md5Block(a, b, c, d, &block)
		rest = rest[len(block):]
	}
	n := copy(block[:], rest)
	block[n&63] = 0x80
	if len(s) > n {
		clear(block[n+1:])
	}
	if n >= 56 { // no room for the length
		a, b, c, d = md5Block(a, b, c, d, &block)
		clear(block[:])
	}
	binary.LittleEndian.PutUint64(block[56:], uint64(len(s))<<3)
	return md5Block(a, b, c, d, &block)
}

func md5Block(a0, b0, c0, d0 uint32, block *[64]byte) (a, b, c, d uint32) {
	var x [16]uint32
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	k := &md5Sines
	a, b, c, d = a0, b0, c0, d0
	for i := uint(0); i < 16; i += 4 {
		a = b + bits.RotateLeft32(a+(x[i&15]+k[i&63])+(d^b&(c^d)), 7)
		d = a + bits.RotateLeft32(d+(x[(i+1)&15]+k[(i+1)&63])+(c^a&(b^c)), 12)
		c = d + bits.RotateLeft32(c+(x[(i+2)&15]+k[(i+2)&63])+(b^d&(a^b)), 17)
		b = c + bits.RotateLeft32(b+(x[(i+3)&15]+k[(i+3)&63])+(a^c&(d^a)), 22)
	}
	for i := uint(16); i < 32; i += 4 {
		a = b + bits.RotateLeft32(a+(x[(5*i+1)&15]+k[i&63])+(c&^d)+(b&d), 5)
		d = a + bits.RotateLeft32(d+(x[(5*i+6)&15]+k[(i+1)&63])+(b&^c)+(a&c), 9)
		c = d + bits.RotateLeft32(c+(x[(5*i+11)&15]+k[(i+2)&63])+(a&^b)+(d&b), 14)
		b = c + bits.RotateLeft32(b+(x[(5*i)&15]+k[(i+3)&63])+(d&^a)+(c&a), 20)
	}
	for i := uint(32); i < 48; i += 4 {
		a = b + bits.RotateLeft32(a+(x[(3*i+5)&15]+k[i&63])+(c^d^b), 4)
		d = a + bits.RotateLeft32(d+(x[(3*i+8)&15]+k[(i+1)&63])+(b^c^a), 11)
		c = d + bits.RotateLeft32(c+(x[(3*i+11)&15]+k[(i+2)&63])+(a^b^d), 16)
		b = c + bits.RotateLeft32(b+(x[(3*i+14)&15]+k[(i+3)&63])+(d^a^c), 23)
	}
	for i := uint(48); i < 64; i += 4 {
		a = b + bits.RotateLeft32(a+(x[(7*i)&15]+k[i&63])+(c^(b|^d)), 6)
		d = a + bits.RotateLeft32(d+(x[(7*i+7)&15]+k[(i+1)&63])+(b^(a|^c)), 10)
		c = d + bits.RotateLeft32(c+(x[(7*i+14)&15]+k[(i+2)&63])+(a^(d|^b)), 15)
		b = c + bits.RotateLeft32(b+(x[(7*i+5)&15]+k[(i+3)&63])+(d^(c|^a)), 21)
	}
	return a0 + a, b0 + b, c0 + c, d0 + d
}

// md5Sines is floor(2^32 * abs(sin(i+1))), i in radians.
var md5Sines = [64]uint32{
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
	0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
	0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
	0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
	0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
}
