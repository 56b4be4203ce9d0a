package ring

import (
	"crypto/md5"
	"encoding/binary"
	"strings"
	"testing"
)

func FuzzMD5(f *testing.F) {
	for n := range 200 {
		f.Add(strings.Repeat("m", n))
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := md5.Sum([]byte(s))
		var got [md5.Size]byte
		a, b, c, d := md5Sum(s)
		for i, word := range []uint32{a, b, c, d} {
			binary.LittleEndian.PutUint32(got[4*i:], word)
		}
		if got != want {
			t.Errorf("MD5 of %q is %x, want %x", s, got, want)
		}
	})
}
