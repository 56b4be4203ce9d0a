package fleet

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// server is one announced server under one view.
type server struct {
	Server
	*stay
}

// stay is one stay of a server in the fleet, from when it comes until it goes:
// its connections, and what its versions are marked with. It is the same under
// all views in which the server is in the same incarnation.
type stay struct {
	client  *memcache.Client
	epoch   uint64
	itemMax atomic.Int64 // the server's limit of an item, in bytes; 0 while not known
	silent  atomic.Int64 // reads that have waited for it for longer than Options.Hedge, and still do
}

// suspect says whether s has been leaving reads without an answer: then none
// waits for it that can ask another.
func (s *stay) suspect() bool {
	if s.silent.Load() > 0 {
		return true
	}
	_, err := s.client.Failing()
	return err != nil
}

// routing is where keys go under one view. It never changes; a table has a new
// one for each view, so that a call sees one view and takes no lock.
type routing struct {
	view   torc.View
	config Config // with its defaults
	// history knows the owners of each key, and which values count. It names a
	// server by its index in servers.
	history *fence.History
	servers []*server // the announced ones, drained or not, sorted by address
	// done is the version for which a rebalance was last finished.
	done uint64
	// stamped says whether values carry stamps; stamp is then what is written
	// under this view, and 0 otherwise.
	stamped bool
	stamp   fence.Stamp
	// came is when the table heard of the view. Whoever is away has been so since
	// then at the latest.
	came time.Time
	// replaced is closed when the table has a newer routing.
	replaced chan struct{}
}

// owner returns the first of the servers that hold key, nil when none is in use.
func (r *routing) owner(key string) *server {
	i := r.history.Owner(key)
	if i < 0 {
		return nil
	}
	return r.servers[i]
}

// owners appends the indexes of the servers that hold key, in the order in which
// they are asked.
func (r *routing) owners(dst []int, key string) []int { return r.history.Owners(dst, key) }

// formers appends the indexes of the servers that may hold key although they own
// it no more. Without stamps there are none.
func (r *routing) formers(dst []int, key string, owners []int) []int {
	if !r.stamped {
		return dst
	}
	return r.history.Formers(dst, key, owners)
}

// relics appends the indexes of the servers that may have key although they own it
// no more, believed or not: what is written is deleted there, or a rebalance would
// bring it back.
func (r *routing) relics(dst []int, key string, owners []int) []int {
	return r.history.Formers(dst, key, owners)
}

// remembers says whether what is gone has to be remembered: a server that is
// away may come back with an older value of key, and be believed.
func (r *routing) remembers(key string, now time.Time) bool {
	return r.stamped && r.history.Away(key, now)
}

// noServer says that no server is in use, and of each why not.
func (r *routing) noServer() error {
	if len(r.view.Members) == 0 {
		return fmt.Errorf("%w: the fleet has no members", torc.ErrUnavailable)
	}
	var why strings.Builder
	for i, m := range r.view.Members {
		if i == 3 {
			fmt.Fprintf(&why, ", and %d more", len(r.view.Members)-i)
			break
		}
		fmt.Fprintf(&why, ", %s %v since %s (%s)", m.Addr, m.State, m.Since.Format("15:04:05"), m.Reason)
	}
	return fmt.Errorf("%w: no member of the fleet is in use%s", torc.ErrUnavailable, why.String())
}

// member returns the view's member at addr, if there is one.
func (r *routing) member(addr string) (torc.Member, bool) {
	i, is := slices.BinarySearchFunc(r.view.Members, addr, func(m torc.Member, addr string) int {
		return cmp.Compare(m.Addr, addr)
	})
	if !is {
		return torc.Member{}, false
	}
	return r.view.Members[i], true
}

// state says how a view shows s.
func (s *Server) state() (torc.State, string) {
	switch {
	case s.Down != "":
		return torc.Down, s.Down
	case s.Drained:
		return torc.Drained, "drained by a person"
	}
	return torc.Up, ""
}

// newRouting works out where keys go under m. Servers of prev that are in m in
// the same incarnation keep their connections; connect makes those of the others.
func newRouting(prev *routing, m Membership, now time.Time, connect func(addr string) *memcache.Client) (*routing, error) {
	r := &routing{
		view: torc.View{
			Generation:  m.Generation,
			Version:     m.Version,
			Members:     make([]torc.Member, 0, len(m.Servers)),
			LostContact: m.LostContact,
		},
		config:   m.Config.WithDefaults(),
		done:     m.Done,
		came:     now,
		replaced: make(chan struct{}),
	}
	if r.sameView(prev) {
		r.came = prev.came
	}
	for _, s := range m.Servers {
		state, reason := s.state()
		since := now
		if i := slices.IndexFunc(prev.view.Members, func(p torc.Member) bool { return p.Addr == s.Addr && p.State == state }); i >= 0 {
			since = prev.view.Members[i].Since
		}
		r.view.Members = append(r.view.Members, torc.Member{Addr: s.Addr, Weight: s.Weight, State: state, Since: since, Reason: reason})
	}
	if err := r.remember(prev, m); err != nil {
		return nil, err
	}
	for _, s := range announced(m.Servers) {
		i := slices.IndexFunc(prev.servers, func(p *server) bool { return p.Addr == s.Addr && p.Incarnation == s.Incarnation })
		if i >= 0 {
			r.servers = append(r.servers, &server{s, prev.servers[i].stay})
			continue
		}
		r.servers = append(r.servers, &server{s, &stay{client: connect(s.Addr), epoch: epochOf(s)}})
	}
	return r, nil
}

// remember makes r's history. Without stamps no value tells when it was written, so
// that the past says only where one may be.
func (r *routing) remember(prev *routing, m Membership) (err error) {
	if r.config.Copies < 1 || r.config.Copies > MaxCopies {
		return fmt.Errorf("%w: copies=%d: a fleet keeps 1 to %d copies of each key", torc.ErrInvalid, r.config.Copies, MaxCopies)
	}
	var past []fence.View
	for _, p := range m.Past {
		past = append(past, fence.View{Version: p.Version, Recorded: p.Recorded, Members: fenceMembers(p.Servers)})
	}
	if r.stamped = r.config.Stamps == StampsOn; r.stamped {
		r.stamp = fence.NewStamp(m.Generation, m.Version)
	}
	rejoin := fence.Check
	if r.config.Rejoin == RejoinDrop {
		rejoin = fence.Drop
	}
	cfg := fence.Config{Hash: r.config.Hash, VNodes: r.config.VNodes, Copies: r.config.Copies}
	r.history, err = fence.NewHistory(cfg, past, fence.View{Version: m.Version, Recorded: r.came, Members: fenceMembers(m.Servers)}, m.Done, rejoin, prev.history)
	return err
}

// announced returns those of servers that can be asked.
func announced(servers []Server) []Server {
	return slices.DeleteFunc(slices.Clone(servers), func(s Server) bool { return s.Down != "" })
}

func fenceMembers(servers []Server) []fence.Member {
	var members []fence.Member
	for _, s := range announced(servers) {
		members = append(members, fence.Member{Addr: s.Addr, Weight: s.Weight, Name: s.Name, Incarnation: s.Incarnation, Drained: s.Drained})
	}
	return members
}

// outOfTouch returns a routing like r whose view is only the last one known.
func (r *routing) outOfTouch(now time.Time) *routing {
	next := *r
	next.replaced = make(chan struct{})
	if next.view.LostContact.IsZero() {
		next.view.LostContact = now
	}
	return &next
}

// gone returns the clients of r's servers that next has no use for.
func (r *routing) gone(next *routing) []*memcache.Client {
	var clients []*memcache.Client
	for _, s := range r.servers {
		if !slices.ContainsFunc(next.servers, func(n *server) bool { return n.stay == s.stay }) {
			clients = append(clients, s.client)
		}
	}
	return clients
}

// epochOf names an incarnation in 64 bits, so that a version read from one
// server is not taken for a version of another, or of its next stay.
func epochOf(s Server) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s.Addr))
	h.Write([]byte{0})
	h.Write([]byte(s.Incarnation))
	return h.Sum64()
}

// same says whether a and b are one stay of one server in the fleet.
func same(a, b *server) bool { return a != nil && b != nil && a.stay == b.stay }

// sameView says whether r and other are of one view.
func (r *routing) sameView(other *routing) bool {
	return r.view.Generation == other.view.Generation && r.view.Version == other.view.Version
}
