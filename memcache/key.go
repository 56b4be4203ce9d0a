package memcache

import (
	"encoding/base64"
	"fmt"
	"math"
	"time"
)

// CheckKey says, in an error that wraps ErrKey, why key can't be a key here; nil
// if it can.
func CheckKey(key string) error {
	_, err := checkKey(key)
	return err
}

// checkKey says whether key goes over the wire as it is or base64-encoded, or
// wraps ErrKey in words that say why it can't go at all.
func checkKey(key string) (encoded bool, err error) {
	if key == "" {
		return false, fmt.Errorf("%w: it is empty", ErrKey)
	}
	if isPlain(key) {
		if len(key) > MaxKeyLen {
			return false, fmt.Errorf("%w: it has %d bytes, and %d are the most", ErrKey, len(key), MaxKeyLen)
		}
		return false, nil
	}
	if len(key) > MaxBinaryKeyLen {
		return true, fmt.Errorf("%w: it has %d bytes, and %d are the most for one with spaces, control characters or bytes above 0x7e, which is sent in base64", ErrKey, len(key), MaxBinaryKeyLen)
	}
	return true, nil
}

// isPlain says whether every byte of key is printable ASCII and no space.
func isPlain(key string) bool {
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// appendKey appends key as it goes over the wire. The key has passed checkKey.
func appendKey(dst []byte, key string, encoded bool) []byte {
	if !encoded {
		return append(dst, key...)
	}
	var raw [MaxBinaryKeyLen]byte
	return base64.StdEncoding.AppendEncode(dst, raw[:copy(raw[:], key)])
}

// maxRelativeTTL is the longest time to live that memcached reads as one: a
// larger number is a Unix time.
const maxRelativeTTL = 30 * 24 * time.Hour

// exptime is ttl as memcached takes it: whole seconds, rounded up. A negative
// ttl is one that has passed. memcached keeps times in 32 bits, so nothing
// lives beyond January 2038.
func exptime(ttl time.Duration, now func() time.Time) int64 {
	switch {
	case ttl < 0:
		return -1
	case ttl <= maxRelativeTTL:
		return int64((ttl + time.Second - 1) / time.Second)
	}
	end := now().Add(ttl)
	unix := end.Unix()
	if end.Nanosecond() > 0 {
		unix++
	}
	return min(unix, math.MaxInt32)
}
