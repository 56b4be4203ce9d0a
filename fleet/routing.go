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
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/ring"
)

// server is one server under one view.
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
}

// routing is where keys go under one view. It never changes; a table has a new
// one for each view, so that a call sees one view and takes no lock.
type routing struct {
	view    torc.View
	ring    ring.Ring
	servers []*server // by the ring's index: those in use alone
	// replaced is closed when the table has a newer routing.
	replaced chan struct{}
}

// owner returns the server that holds key, nil when the fleet has none.
func (r *routing) owner(key string) *server {
	i := r.ring.Owner(key)
	if i < 0 {
		return nil
	}
	return r.servers[i]
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

// member returns the view's member at addr.
func (r *routing) member(addr string) torc.Member {
	i, _ := slices.BinarySearchFunc(r.view.Members, addr, func(m torc.Member, addr string) int {
		return cmp.Compare(m.Addr, addr)
	})
	return r.view.Members[i]
}

// inUse says whether keys are placed on s.
func (s *Server) inUse() bool { return s.Down == "" && !s.Drained }

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
		replaced: make(chan struct{}),
	}
	if m.Config.Copies > 1 {
		return nil, unsupportedCopies(m.Config.Copies)
	}
	var members []ring.Member
	var inUse []Server
	for _, s := range m.Servers {
		state, reason := s.state()
		since := now
		if i := slices.IndexFunc(prev.view.Members, func(p torc.Member) bool { return p.Addr == s.Addr && p.State == state }); i >= 0 {
			since = prev.view.Members[i].Since
		}
		r.view.Members = append(r.view.Members, torc.Member{Addr: s.Addr, Weight: s.Weight, State: state, Since: since, Reason: reason})
		if s.inUse() {
			members = append(members, ring.Member{Addr: s.Addr, Weight: s.Weight, Name: s.Name})
			inUse = append(inUse, s)
		}
	}
	var err error
	if r.ring, err = ring.New(m.Config.Hash, m.Config.VNodes, members); err != nil {
		return nil, err
	}
	for _, s := range inUse {
		i := slices.IndexFunc(prev.servers, func(p *server) bool { return p.Addr == s.Addr && p.Incarnation == s.Incarnation })
		if i >= 0 {
			r.servers = append(r.servers, &server{s, prev.servers[i].stay})
			continue
		}
		r.servers = append(r.servers, &server{s, &stay{client: connect(s.Addr), epoch: epochOf(s)}})
	}
	return r, nil
}

// outOfTouch returns a routing like r whose view is only the last one known.
func (r *routing) outOfTouch(now time.Time) *routing {
	next := &routing{view: r.view, ring: r.ring, servers: r.servers, replaced: make(chan struct{})}
	if next.view.LostContact.IsZero() {
		next.view.LostContact = now
	}
	return next
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
