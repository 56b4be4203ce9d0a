package master

import (
	"fmt"
	"testing"

	"github.com/torc-dht/torc/shard/slots"
)

// BenchmarkNext makes one map after another: of a table in which nothing is to
// change, of one in which a move takes its steps, and of one where a server died.
func BenchmarkNext(b *testing.B) {
	for _, servers := range []int{3, 12, 48} {
		w := newWorld(1, Config{})
		for i := range servers {
			w.start(fmt.Sprint("s", i, ":1"))
		}
		if !w.until(60*second, func() bool { return w.isSettled(servers) }) {
			b.Fatal("not settled")
		}
		base := *w.m
		run := func(name string, change func(m *Master)) {
			b.Run(fmt.Sprintf("%s/%d", name, servers), func(b *testing.B) {
				for b.Loop() {
					m := base
					m.ages = append([]age(nil), base.ages...)
					change(&m)
					next := m.next()
					if (next == nil) != (name == "nothing") {
						b.Fatal("not what was to happen")
					}
				}
			})
		}
		run("nothing", func(*Master) {})
		run("death", func(m *Master) { w.m.members[1].vitality = dead })
		w.m.members[1].vitality = lively
		run("joined", func(m *Master) {
			m.newest = m.newest.Clone()
			for s := range m.newest.Rows {
				r := &m.newest.Rows[s]
				if r.Primary != 0 {
					continue
				}
				for _, c := range r.Copies() {
					r.Set(c.Server, slots.Joining)
				}
			}
		})
	}
}
