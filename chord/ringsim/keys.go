package ringsim

import (
	"context"
	"fmt"

	"github.com/torc-dht/torc/chord/internal/place"
)

// Keys are how many keys the nodes have.
type Keys struct {
	Nodes, Virtual, Keys int
	Tally                // of the nodes of all rings
}

// KeysPerNode measures figures 8 and 9 of the paper of 2001: how many of so many keys,
// by chance, lie on each of so many nodes, in rings grown from seeds one after another. A
// node has virtual places on the ring, each kept by the protocol as a node of its own.
// The result has one for each number of keys, which go up.
func KeysPerNode(ctx context.Context, c Config, nodes, virtual, rings int, keys []int) ([]Keys, error) {
	all := make([]Keys, len(keys))
	for i, k := range keys {
		all[i] = Keys{Nodes: nodes, Virtual: virtual, Keys: k}
	}
	for i := range rings {
		c := c
		c.Seed += uint64(i)
		s, err := grow(ctx, c, nodes*virtual, (*Sim).Unordered) // it takes no fingers to own keys
		if err != nil {
			return nil, err
		}
		counts, dealt := make([]int, nodes), 0
		for i, upTo := range keys {
			for ; dealt < upTo; dealt++ {
				key := s.RandomPlace()
				owner := s.Owner(key)
				if !place.Between(owner.Predecessor().Place, key, owner.ref.Place) {
					return nil, fmt.Errorf("%v is to own %v, and doesn't know: its predecessor is %v", owner.ref, key, owner.Predecessor())
				}
				counts[int(owner.ref.Boot-1)%nodes]++
			}
			for _, n := range counts {
				all[i].Add(n)
			}
		}
	}
	return all, nil
}
