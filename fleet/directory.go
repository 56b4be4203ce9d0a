package fleet

import (
	"cmp"
	"context"
	"time"

	"github.com/torc-dht/torc/ring"
)

// Directory says who the members of a fleet are. The kinds of directory are the
// fixed list of this package, whose members the client checks itself, and
// package zookeeper's.
type Directory interface {
	// Follow calls report with the membership as soon as it is known, and then
	// with each later one, always from one goroutine and never with an older
	// one after a newer. It returns when ctx is done, or with an error that
	// waiting will not mend (a config that contradicts the URL, say): the table
	// goes on with the last membership then, for as long as it is open, so a
	// directory that has reported one had better hold it and try again.
	// Losing touch with the directory is no such error: it is reported as a
	// Membership with LostContact set.
	Follow(ctx context.Context, report func(Membership)) error
}

// Membership is who is in a fleet at one moment.
type Membership struct {
	// Generation is drawn when a directory is begun, or begun again after it
	// lost its data. Versions compare within a generation.
	Generation uint64
	// Version grows with each change.
	Version uint64
	// Config is what the fleet's clients have agreed on.
	Config Config
	// Servers, sorted by address, one for each address.
	Servers []Server
	// LostContact is since when the directory can't be reached, so that this is
	// the last membership known; zero while it can.
	LostContact time.Time
	// Past is what was recorded of earlier views of this generation, sorted by
	// version: at least each that anybody wrote under since the first of them.
	// Only a directory that keeps a history has it. It is shared, and not to be
	// changed.
	Past []Past
	// Done is the version for which a rebalance was last finished; 0 for none.
	Done uint64
}

// Past is who was announced in an earlier view.
type Past struct {
	Version uint64
	// Recorded is when the view was written down, by the directory's clock.
	Recorded time.Time
	// Servers, sorted by address, drained ones too.
	Servers []Server
}

// Server is one member as its directory has it.
type Server struct {
	// Addr is its host:port, as clients reach it.
	Addr string
	// Weight is its share of the keys against the others'; at least 1.
	Weight uint32
	// Name, where it is set, is hashed in place of Addr: twemproxy's fleets name
	// their servers so that a machine can be replaced and its keys stay.
	Name string
	// Incarnation tells one stay of a server in the fleet from the next: it is
	// another one each time the server has come back.
	Incarnation string
	// Down says why the server is out of use although it is on the list; empty
	// while it is in use. Only lists have such members: a directory in
	// ZooKeeper has no entry for a server that is down.
	Down string
	// Drained servers hold no keys, by a person's word.
	Drained bool
}

// Config is what all clients of a fleet have to agree on, or they would look
// for the same key on different servers. The zero value is the default.
type Config struct {
	// Hash is the placement, one of ring.Kinds; empty means ring.Ketama.
	Hash string
	// VNodes is the number of virtual nodes a server has on a murmur3 ring;
	// 0 means ring.DefaultVNodes.
	VNodes int
	// Copies is how many servers hold each key, all counted; 0 means 1.
	Copies int
	// Stamps says whether each value carries its writer's view version, so that
	// a server that was away can't answer with what has changed since: StampsOn
	// or StampsOff. Only a directory that keeps a history can have it on.
	Stamps string
	// Rejoin says what becomes of a value that may be stale where nobody has
	// another: RejoinCheck or RejoinDrop. It is for the whole fleet to agree on,
	// because who takes such a value stamps it anew, for everybody.
	Rejoin string
}

// Values of Config.Stamps and Config.Rejoin; docs/fleet.md has the choice.
const (
	StampsOn  = "on"
	StampsOff = "off"
	// RejoinCheck takes the value, and so keeps the hits of a server that was
	// away: nothing stale is read as long as no server evicts.
	RejoinCheck = "check"
	// RejoinDrop calls it a miss: nothing stale is read whatever is evicted.
	RejoinDrop = "drop"
)

// WithDefaults returns c with its zero fields filled in.
func (c Config) WithDefaults() Config {
	return Config{
		Hash:   cmp.Or(c.Hash, ring.Ketama),
		VNodes: cmp.Or(c.VNodes, ring.DefaultVNodes),
		Copies: cmp.Or(c.Copies, 1),
		Stamps: cmp.Or(c.Stamps, StampsOff),
		Rejoin: cmp.Or(c.Rejoin, RejoinCheck),
	}
}
