package main

import (
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/torc-dht/torc/ring"
)

// placement is one way to place keys, with the servers that leave it in a
// measurement of churn.
type placement struct {
	name string
	kind string // of package ring, or modulo
	last bool   // only the last server of the list leaves, not each in turn
}

// modulo is what a client without consistent hashing does (gomemcache's
// ServerList): the CRC-32 of the key modulo the number of servers. It is here
// to compare with.
const modulo = "modulo"

// Jump is measured twice, since it matters who leaves.
const (
	jumpLast = "jump, the last leaves"
	jumpAny  = "jump, any leaves"
)

var placements = []placement{
	{name: "ketama", kind: ring.Ketama},
	{name: "ketama-fnv1a64", kind: ring.KetamaFNV1a64},
	{name: "murmur3", kind: ring.Murmur3},
	{name: "rendezvous", kind: ring.Rendezvous},
	{name: jumpLast, kind: ring.Jump, last: true},
	{name: jumpAny, kind: ring.Jump},
	{name: "modulo", kind: modulo},
}

// sample is what is measured.
type sample struct {
	churnSizes  []int // numbers of servers before one leaves
	churnKeys   int
	lastKeys    int // instead of churnKeys where only the last server leaves
	evenSizes   []int
	evenKeys    int
	evenFleets  int // fleets of other addresses, whose figures are averaged
	parallelism int
}

var fullSample = sample{
	churnSizes:  upTo(2, 100),
	churnKeys:   20_000,
	lastKeys:    500_000,
	evenSizes:   []int{2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100},
	evenKeys:    500_000,
	evenFleets:  4,
	parallelism: runtime.GOMAXPROCS(0),
}

// churn says what happens when one of a number of servers leaves. When one
// joins to make that number, the same keys move the other way.
type churn struct {
	// moved is the share of all keys whose server is another one afterwards,
	// as a multiple of the ideal 1/N; the mean over the servers that leave.
	moved float64
	// worst is the same for that server whose leaving moves the most.
	worst float64
}

// figures has a slice for each placement, parallel to the sizes.
type figures struct {
	sample
	churn map[string][]churn
	// even is the keys on the fullest server over the mean.
	even map[string][]float64
}

// measureAll measures every placement.
func measureAll(s sample) (figures, error) {
	f := figures{sample: s, churn: make(map[string][]churn), even: make(map[string][]float64)}
	keys := keyList(max(s.churnKeys, s.lastKeys, s.evenKeys))
	var g errgroup.Group
	g.SetLimit(s.parallelism)
	for _, p := range placements {
		churns := make([]churn, len(s.churnSizes))
		evens := make([]float64, len(s.evenSizes))
		f.churn[p.name], f.even[p.name] = churns, evens
		churnKeys := keys[:s.churnKeys]
		if p.last { // one server's keys are few, and nothing averages them
			churnKeys = keys[:s.lastKeys]
		}
		for i, n := range s.churnSizes {
			g.Go(func() (err error) {
				churns[i], err = measureChurn(p, servers(0, n), churnKeys)
				return err
			})
		}
		for i, n := range s.evenSizes {
			g.Go(func() error {
				for fleet := range s.evenFleets {
					e, err := measureEvenness(p, servers(fleet, n), keys[:s.evenKeys])
					if err != nil {
						return err
					}
					evens[i] += e / float64(s.evenFleets)
				}
				return nil
			})
		}
	}
	return f, g.Wait()
}

func measureChurn(p placement, members []ring.Member, keys []string) (churn, error) {
	before, err := newRing(p.kind, members)
	if err != nil {
		return churn{}, err
	}
	was := make([]int, len(keys))
	for i, key := range keys {
		was[i] = before.Owner(key)
	}
	leavers := upTo(0, len(members)-1)
	if p.last {
		leavers = leavers[len(leavers)-1:]
	}
	var c churn
	for _, gone := range leavers {
		after, err := newRing(p.kind, slices.Delete(slices.Clone(members), gone, gone+1))
		if err != nil {
			return churn{}, err
		}
		moved := 0
		for i, key := range keys {
			is := after.Owner(key)
			if is >= gone {
				is++ // as an index into members
			}
			if is != was[i] {
				moved++
			}
		}
		multiple := float64(moved) / float64(len(keys)) * float64(len(members))
		c.moved += multiple / float64(len(leavers))
		c.worst = max(c.worst, multiple)
	}
	return c, nil
}

func measureEvenness(p placement, members []ring.Member, keys []string) (float64, error) {
	r, err := newRing(p.kind, members)
	if err != nil {
		return 0, err
	}
	counts := make([]int, len(members))
	for _, key := range keys {
		counts[r.Owner(key)]++
	}
	return float64(slices.Max(counts)) / float64(len(keys)) * float64(len(members)), nil
}

// owner is as much of a ring.Ring as is measured.
type owner interface{ Owner(key string) int }

func newRing(kind string, members []ring.Member) (owner, error) {
	if kind == modulo {
		return moduloRing(len(members)), nil
	}
	return ring.New(kind, 0, members)
}

type moduloRing uint32

func (n moduloRing) Owner(key string) int {
	return int(crc32.ChecksumIEEE([]byte(key)) % uint32(n))
}

// servers returns n members of one weight, in a subnet of the fleet's own.
func servers(fleet, n int) []ring.Member {
	members := make([]ring.Member, n)
	for i := range members {
		members[i].Addr = fmt.Sprintf("10.0.%d.%d:11211", fleet, 100+i)
	}
	return members
}

func keyList(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "user:" + strconv.Itoa(i)
	}
	return keys
}

func upTo(from, to int) []int {
	var s []int
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}
