package shard

import (
	"testing"

	"github.com/torc-dht/torc/internal/cluster"
)

// BenchmarkClient is clt from its start to its exit, beside a program that does
// nothing but start: torc version.
//
//	go test ./test/shard -run ^$ -bench Client -benchtime 200x
func BenchmarkClient(b *testing.B) {
	s := &store{t: b, cluster: cluster.ForTest(b, cluster.Options{})}
	s.startMaster("master-svr")
	port := s.join().port
	s.put("1", "one")
	for name, command := range map[string][]string{
		"get":     {"clt", "-o", "GET", "-k", "1", "-m", s.master},
		"put":     {"clt", "-o", "PUT", "-k", "1", "-v", "one", "-m", s.master},
		"direct":  {"clt", "-o", "GET", "-k", "1", "-d", "1", "-p", port},
		"nothing": {"torc", "version"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if r := call(b, command[0], command[1:]...); r.code != 0 {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}
