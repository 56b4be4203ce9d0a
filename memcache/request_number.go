package memcache

import (
	"bytes"
	"math"
)

// memcached reads numbers with C's strtoull and friends, and clients have come
// to rely on what these take: space before, space and anything behind it after,
// a sign, more bits than are kept. These three take the same.

// cUint64 reads an unsigned number of 64 bits.
func cUint64(b []byte) (uint64, bool) {
	v, negative, ok := cNumber(b)
	if !ok {
		return 0, false
	}
	if negative {
		v = -v
	}
	if int64(v) < 0 && bytes.IndexByte(b, '-') >= 0 {
		return 0, false
	}
	return v, true
}

// cUint32 reads an unsigned number and keeps its low 32 bits.
func cUint32(b []byte) (uint32, bool) {
	v, ok := cUint64(b)
	return uint32(v), ok
}

// cInt32 reads a signed number of 64 bits and keeps its low 32.
func cInt32(b []byte) (int32, bool) {
	v, negative, ok := cNumber(b)
	switch {
	case !ok, negative && v > 1<<63, !negative && v > math.MaxInt64:
		return 0, false
	case negative:
		v = -v
	}
	return int32(v), true
}

// cNumber reads space, a sign, and digits that end with b, a NUL or space.
func cNumber(b []byte) (v uint64, negative, ok bool) {
	for len(b) > 0 && cSpace(b[0]) {
		b = b[1:]
	}
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	v, n := number(b)
	if n == 0 || n < len(b) && b[n] != 0 && !cSpace(b[n]) {
		return 0, false, false
	}
	return v, negative, true
}

func cSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// decodeBase64 appends what src is the code of. Like memcached it passes over
// bytes that are not of the alphabet, and over all that comes behind padding.
// False if nothing is left, or the length is wrong, or there is too much padding.
func decodeBase64(dst, src []byte) ([]byte, bool) {
	count := 0
	for _, c := range src {
		if base64Value(c) >= 0 {
			count++
		}
	}
	if count == 0 || count%4 != 0 {
		return nil, false
	}
	var group, n, padding int
	for _, c := range src {
		v := base64Value(c)
		if v < 0 {
			continue
		}
		if c == '=' {
			padding++
		}
		group = group<<6 | v
		if n++; n < 4 {
			continue
		}
		if padding > 2 {
			return nil, false
		}
		dst = append(dst, byte(group>>16), byte(group>>8), byte(group))
		if padding > 0 {
			return dst[:len(dst)-padding], true
		}
		group, n = 0, 0
	}
	return dst, true
}

// base64Value is c's six bits, 0 for padding, or -1 if c is none of the alphabet.
func base64Value(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	case c == '=':
		return 0
	}
	return -1
}
