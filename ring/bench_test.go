package ring

import (
	"fmt"
	"testing"
)

// benchmarkKeys returns keys as they are commonly seen, more than the branch
// predictor remembers.
func benchmarkKeys() []string {
	keys := make([]string, 1<<13)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%08d", i*7919)
	}
	return keys
}

func benchmarkKinds(b *testing.B, run func(b *testing.B, kind string, members []Member)) {
	for _, n := range []int{8, 100} {
		for _, kind := range Kinds() {
			b.Run(fmt.Sprintf("%s/servers=%d", kind, n), func(b *testing.B) {
				b.ReportAllocs()
				run(b, kind, servers(n))
			})
		}
		weighted := servers(n)
		for i := range weighted {
			weighted[i].Weight = uint32(1 + i%5)
		}
		b.Run(fmt.Sprintf("%s-weighted/servers=%d", Rendezvous, n), func(b *testing.B) {
			b.ReportAllocs()
			run(b, Rendezvous, weighted)
		})
	}
}

func BenchmarkOwner(b *testing.B) {
	keys := benchmarkKeys()
	benchmarkKinds(b, func(b *testing.B, kind string, members []Member) {
		r := mustNew(b, kind, members)
		for i := 0; b.Loop(); i++ {
			r.Owner(keys[i%len(keys)])
		}
	})
}

func BenchmarkOwners3(b *testing.B) {
	keys := benchmarkKeys()
	benchmarkKinds(b, func(b *testing.B, kind string, members []Member) {
		r := mustNew(b, kind, members)
		dst := make([]int, 0, 3)
		for i := 0; b.Loop(); i++ {
			dst = r.Owners(dst[:0], keys[i%len(keys)], 3)
		}
	})
}

// BenchmarkNew is what a change of view costs.
func BenchmarkNew(b *testing.B) {
	benchmarkKinds(b, func(b *testing.B, kind string, members []Member) {
		for b.Loop() {
			mustNew(b, kind, members)
		}
	})
}

// BenchmarkHash is the part of Owner that hashes the key.
func BenchmarkHash(b *testing.B) {
	keys := benchmarkKeys()
	for name, hash := range map[string]hash32{"md5": hashMD5, "fnv1a64": hashFNV1a64, "murmur3": hashMurmur3} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				hash(keys[i%len(keys)])
			}
		})
	}
}
