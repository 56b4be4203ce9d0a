package ring

import (
	"fmt"
	"slices"
	"strings"
)

// Member is one server on a ring.
type Member struct {
	// Addr is the member's host:port. It orders the list, and it names the
	// member unless Name does.
	Addr string
	// Weight is the member's share of the keys against the others' weights.
	// 0 counts as 1.
	Weight uint32
	// Name, where it is set, is what the member is hashed by in place of Addr,
	// so that a machine can be replaced and its keys stay. No two members may
	// have the same. Jump goes by place in the list and does not look at it.
	Name string
}

func (m Member) name() string {
	if m.Name != "" {
		return m.Name
	}
	return m.Addr
}

func (m Member) weight() uint32 { return max(m.Weight, 1) }

// Ring places keys. It never changes: a change of members is another Ring. All
// methods are safe for concurrent use.
type Ring interface {
	// Owner returns the index, in the list that the ring was made from, of the
	// member that holds key first: Owners(nil, key, 1)[0] without the slice. It
	// returns -1 if there are no members. It allocates nothing.
	Owner(key string) int

	// Owners appends to dst the indexes of up to n distinct members in the
	// order in which they hold key, and returns the result. It appends fewer
	// where fewer own anything. It allocates nothing when dst has room.
	Owners(dst []int, key string, n int) []int
}

// The kinds of placement that [New] knows.
const (
	Ketama        = "ketama"
	KetamaFNV1a64 = "ketama-fnv1a64"
	Murmur3       = "murmur3"
	Rendezvous    = "rendezvous"
	Jump          = "jump"
)

// Kinds returns the names of all placements, the default first.
func Kinds() []string { return []string{Ketama, KetamaFNV1a64, Murmur3, Rendezvous, Jump} }

const (
	// DefaultVNodes is the number of virtual nodes that a member of weight 1
	// has on a murmur3 ring. Of 8 members the fullest then has about 1.2 times
	// its share; more points would make that less at the price of a larger
	// table, and evenness grows with the square root of their number only.
	DefaultVNodes = 40

	// MaxPoints bounds the points of one ring, of all members together, to a
	// table of 48 MB that takes a second to make. It is there for a weight or a
	// number of virtual nodes that somebody mistyped.
	MaxPoints = 1 << 22
)

// New makes the ring of the given kind, one of [Kinds], or Ketama if it is
// empty. Members must be sorted by address, each address once; New does not
// keep the slice. A ring without members owns nothing.
//
// vnodes is the number of virtual nodes for each unit of weight on a murmur3
// ring, DefaultVNodes if it is 0; the other kinds don't look at it.
func New(kind string, vnodes int, members []Member) (Ring, error) {
	if err := check(members); err != nil {
		return nil, err
	}
	switch kind {
	case Ketama, "":
		return newKetama(members, hashMD5)
	case KetamaFNV1a64:
		return newKetama(members, hashFNV1a64)
	case Murmur3:
		if vnodes == 0 {
			vnodes = DefaultVNodes
		}
		return newVirtual(members, vnodes, hashMurmur3)
	case Rendezvous:
		return newRendezvous(members, hashMurmur3x64), nil
	case Jump:
		return newJump(members, hashMurmur3x64)
	}
	return nil, fmt.Errorf("ring: there is no placement %q: choose one of %s", kind, strings.Join(Kinds(), ", "))
}

// check reports a list that is out of order or has a name twice.
func check(members []Member) error {
	names := make(map[string]string, len(members))
	for i, m := range members {
		if i > 0 && members[i-1].Addr >= m.Addr {
			return fmt.Errorf("ring: members must be sorted by address, each once: %q comes after %q", m.Addr, members[i-1].Addr)
		}
		name := ketamaName(m)
		if other, taken := names[name]; taken {
			return fmt.Errorf("ring: members %q and %q are both hashed by the name %q: give them different ones", other, m.Addr, name)
		}
		names[name] = m.Addr
	}
	return nil
}

// equalWeights says whether all members have the same weight.
func equalWeights(members []Member) bool {
	return !slices.ContainsFunc(members, func(m Member) bool { return m.weight() != members[0].weight() })
}
