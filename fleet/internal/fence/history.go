package fence

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc/ring"
)

// Config is the placement that all views of a history have in common.
type Config struct {
	Hash   string // one of ring.Kinds
	VNodes int
	Copies int
}

// Member is one server that is announced in a view.
type Member struct {
	Addr   string
	Weight uint32
	Name   string
	// Incarnation tells one stay of a server from the next. Within one it has
	// kept its memory.
	Incarnation string
	// Drained: it is announced and can be asked, but owns nothing.
	Drained bool
}

// View is who was announced at one version, sorted by address.
type View struct {
	Version  uint64
	Recorded time.Time // when it was written down
	Members  []Member
}

// Rejoin says what becomes of a value that may be stale where nobody has another.
type Rejoin uint8

// What becomes of it.
const (
	Check Rejoin = iota // it counts if somebody's having nothing proves it
	Drop                // it never counts
)

// History is the present view and the recorded ones before it. It never
// changes, but for rings that it makes when it needs them first. Safe for
// concurrent use.
//
// A server is named by its index among the present view's members, in use or
// not.
type History struct {
	cfg    Config
	rejoin Rejoin
	done   uint64
	views  []*view // by version, the present one last
	now    *view
	rings  *rings

	// Of the views before the present one, for quick answers. Leaving servers
	// out moves no key of the others (ring.Nested), so that most views need not
	// be looked at, let alone their rings.
	out     []uint64 // by member: the newest version in which it was not in use
	strange uint64   // the newest version that is not nested in the present view
	all     *view    // everybody who was ever in use; nil if some view is not nested in that
	joined  [][]int  // by member: which views since done it was not in use in
	drained []int    // which views since done have an owner that is drained now
	uneven  []int    // which views since done are not comparable with the present one
	missed  []bool   // by member: it was not there at done, so the rebalance has left it as it was
	before  []int    // which views before done such a member was in use in
	away    []absent
}

// absent is a server that is not announced now.
type absent struct {
	addr  string
	since time.Time // from when on it was not
}

// NewHistory makes the history of the view now, of what was recorded before it
// in its generation, sorted by version, and of the version for which a rebalance
// was last finished (0: none). It keeps the slices. Prev, which may be nil, lends
// its rings.
func NewHistory(cfg Config, past []View, now View, done uint64, rejoin Rejoin, prev *History) (*History, error) {
	cfg.Copies = max(cfg.Copies, 1)
	h := &History{cfg: cfg, rejoin: rejoin, done: done}
	var lent *rings
	if prev != nil && prev.cfg.Hash == cfg.Hash && prev.cfg.VNodes == cfg.VNodes {
		lent = prev.rings
	}
	h.rings = newRings(cfg, lent)
	h.now = h.newView(now, now.Members)
	var err error
	if h.now.ready, err = h.now.box.get(); err != nil {
		return nil, err
	}
	for _, v := range past {
		// Where nobody was in use nobody could write: what counted before still does.
		if v.Version < now.Version && slices.ContainsFunc(v.Members, func(m Member) bool { return !m.Drained }) {
			h.views = append(h.views, h.newView(v, now.Members))
		}
	}
	h.survey()
	h.views = append(h.views, h.now)
	return h, nil
}

// survey fills in what gives quick answers.
func (h *History) survey() {
	n := len(h.now.Members)
	h.out, h.joined = make([]uint64, n), make([][]int, n)
	gone := make(map[string]time.Time) // not announced now: from when on
	union := h.now.inUse
	for i, v := range h.views {
		if !ring.Nested(h.cfg.Hash, v.inUse, h.now.inUse) {
			h.strange = v.Version
		}
		union = merge(union, v.inUse)
		for m := range n {
			if v.slot[m] < 0 {
				h.out[m] = v.Version
			}
		}
		next := h.now
		if i+1 < len(h.views) {
			next = h.views[i+1]
		}
		for _, m := range v.Members {
			if _, announced := h.now.find(m.Addr); announced {
				continue
			}
			if _, stays := next.find(m.Addr); !stays {
				gone[m.Addr] = next.Recorded
			}
		}
	}
	for addr, since := range gone {
		h.away = append(h.away, absent{addr, since})
	}
	all := h.newView(View{Members: used(union)}, h.now.Members)
	nested := len(h.views) > 0
	for _, v := range append(slices.Clone(h.views), h.now) {
		nested = nested && ring.Nested(h.cfg.Hash, v.inUse, all.inUse)
	}
	if nested {
		h.all = all
	}
	h.missed = h.missedDone(n)
	for i, v := range h.views {
		if v.Version < h.done {
			if slices.ContainsFunc(v.index, func(m int) bool { return m >= 0 && h.missed[m] }) {
				h.before = append(h.before, i)
			}
			continue
		}
		// What v has and the present view has not moves no key among the others,
		// if both are nested in what they have together.
		both := merge(v.inUse, h.now.inUse)
		if !ring.Nested(h.cfg.Hash, v.inUse, both) || !ring.Nested(h.cfg.Hash, h.now.inUse, both) {
			h.uneven = append(h.uneven, i)
			continue
		}
		for m := range n {
			switch inUse := v.slot[m] >= 0; {
			case h.now.slot[m] >= 0 && !inUse:
				h.joined[m] = append(h.joined[m], i)
			case h.now.slot[m] < 0 && inUse && !slices.Contains(h.drained, i):
				h.drained = append(h.drained, i)
			}
		}
	}
}

// missedDone says which members were not there when the last rebalance was
// finished.
func (h *History) missedDone(members int) []bool {
	missed := make([]bool, members)
	if h.done == 0 || h.done == h.now.Version {
		return missed
	}
	i := slices.IndexFunc(h.views, func(v *view) bool { return v.Version == h.done })
	for m := range missed {
		missed[m] = i < 0 || !h.views[i].announced(m)
	}
	return missed
}

// used turns ring members into members in use.
func used(list []ring.Member) []Member {
	members := make([]Member, len(list))
	for i, m := range list {
		members[i] = Member{Addr: m.Addr, Weight: m.Weight, Name: m.Name}
	}
	return members
}

// merge returns who is in a or in b, sorted; of one that is in both, a's entry.
func merge(a, b []ring.Member) []ring.Member {
	if len(b) == 0 {
		return a
	}
	both := slices.Clone(a)
	for _, m := range b {
		i, found := slices.BinarySearchFunc(both, m.Addr, func(m ring.Member, addr string) int { return cmp.Compare(m.Addr, addr) })
		if !found {
			both = slices.Insert(both, i, m)
		}
	}
	return both
}

// Owner returns the first owner of key under the present view, -1 if nobody is
// in use. It allocates nothing.
func (h *History) Owner(key string) int {
	i := h.now.ready.Owner(key)
	if i < 0 {
		return -1
	}
	return h.now.index[i]
}

// Owners appends the owners of key under the present view in the order in which
// they are asked: the first servers on the ring, each on another host, and
// others only where there are fewer hosts than copies. It allocates nothing when
// dst has room, unless several servers share a host.
func (h *History) Owners(dst []int, key string) []int {
	mine := len(dst)
	dst = h.now.owners(dst, key, h.cfg.Copies)
	for i := mine; i < len(dst); i++ {
		dst[i] = h.now.index[dst[i]]
	}
	return dst
}

// Counts says whether a value of this generation that member took under view
// version is current now; member was asked now.
func (h *History) Counts(key string, member int, version uint64) bool {
	if version > h.now.Version || version < h.views[0].Version {
		return false // from the future, or from before what is remembered
	}
	if !h.now.owns(key, member, h.cfg.Copies) {
		return h.countsAsFormer(key, member, version)
	}
	return h.CountsAtOwner(key, member, version)
}

// CountsAtOwner is Counts for a member that is known to own key now. In the most
// frequent cases it looks up nothing: when no view since has lacked the member,
// or had somebody whom the present one lacks.
func (h *History) CountsAtOwner(key string, member int, version uint64) bool {
	switch {
	case version == h.now.Version:
		return true
	case version > h.now.Version || version < h.views[0].Version, h.out[member] > version:
		return false
	case h.strange <= version:
		return true
	}
	if h.all != nil && h.all.ownedBy(key, h.now.Members[member].Addr, h.cfg.Copies) {
		return true
	}
	return h.owned(key, member, len(h.views)-1, version) < 0
}

// owned walks back from view number from to version, exclusive, and returns the
// first view on the way in which member did not own key; -1 if it always did.
func (h *History) owned(key string, member, from int, version uint64) int {
	for i := from; i >= 0 && h.views[i].Version > version; i-- {
		if !h.views[i].owns(key, member, h.cfg.Copies) {
			return i
		}
	}
	return -1
}

// countsAsFormer is Counts for a member that owns key no more.
//
// Under Check a write goes to the owner first: one that nobody has finished may
// have been read there while the former one still has the older value. With one
// copy that owner has to be the one that is asked now, and was found without it.
func (h *History) countsAsFormer(key string, member int, version uint64) bool {
	sole := -1
	if h.rejoin == Check && h.cfg.Copies == 1 {
		sole = h.Owner(key)
	}
	for i := len(h.views) - 1; i >= 0 && h.views[i].Version >= version; i-- {
		switch v := h.views[i]; {
		case v.owns(key, member, h.cfg.Copies):
			return v.Version >= h.done && h.owned(key, member, i, version) < 0
		case !v.announced(member):
			return false
		case sole >= 0 && !(v.owns(key, sole, 1) && h.stayed(v, sole)):
			return false
		}
	}
	return false
}

// stayed says whether member is in the same incarnation in v as now.
func (h *History) stayed(v *view, member int) bool {
	return v.announced(member) && v.Members[v.same[member]].Incarnation == h.now.Members[member].Incarnation
}

// Formers appends the servers that are announced, own key no more, and may hold
// it all the same: they owned it in a view since the last rebalance, or before,
// if they were not there for that to take it from them. Owners are key's under
// the present view. It allocates nothing when dst has room and no owner has
// joined since, which is what it is fast for too.
func (h *History) Formers(dst []int, key string, owners []int) []int {
	mine := len(dst)
	var then []int
	add := func(i int, missed bool) {
		then = h.views[i].owners(then[:0], key, h.cfg.Copies)
		for _, o := range then {
			m := h.views[i].index[o]
			if m >= 0 && (!missed || h.missed[m]) && !slices.Contains(owners, m) && !slices.Contains(dst[mine:], m) {
				dst = append(dst, m)
			}
		}
	}
	for _, i := range h.uneven {
		add(i, false)
	}
	for _, i := range h.drained {
		add(i, false)
	}
	for _, i := range h.before {
		add(i, true)
	}
	for _, o := range owners {
		for _, i := range h.joined[o] {
			add(i, false)
		}
	}
	return dst
}

// Away says whether a server that is not announced may come back with a value of
// key that would be believed: it owned key in a recorded view, and is not gone
// for longer than Linger.
func (h *History) Away(key string, now time.Time) bool {
	if h.rejoin == Drop {
		return false // nobody's having nothing proves anything
	}
	for _, a := range h.away {
		if !a.since.IsZero() && now.Sub(a.since) > Linger {
			continue
		}
		for _, v := range h.views {
			if v.ownedBy(key, a.addr, h.cfg.Copies) {
				return true
			}
		}
	}
	return false
}

// view is a View with what is worked out from it.
type view struct {
	View
	inUse []ring.Member
	index []int // by place in inUse: the present view's member, -1 if it isn't announced now
	slot  []int // by present member: its place in inUse; -1 if it was not in use
	same  []int // by present member: its place in Members; -1 if it was not announced
	hosts []int // by place in inUse: a number for its host; nil if that makes no difference
	box   *box
	ready ring.Ring // of the present view alone, where it can be made
}

func (h *History) newView(v View, now []Member) *view {
	w := &view{View: v, slot: make([]int, len(now)), same: make([]int, len(now))}
	for _, m := range v.Members {
		if m.Drained {
			continue
		}
		w.inUse = append(w.inUse, ring.Member{Addr: m.Addr, Weight: m.Weight, Name: m.Name})
	}
	w.index = make([]int, len(w.inUse))
	for i := range w.index {
		w.index[i] = -1
	}
	for i, m := range now {
		w.slot[i], w.same[i] = -1, -1
		if j, found := slices.BinarySearchFunc(w.inUse, m.Addr, func(m ring.Member, addr string) int { return cmp.Compare(m.Addr, addr) }); found {
			w.slot[i], w.index[j] = j, i
		}
		if j, found := w.find(m.Addr); found {
			w.same[i] = j
		}
	}
	if h.cfg.Copies > 1 {
		w.hosts = hosts(w.inUse)
	}
	w.box = h.rings.box(w.inUse)
	return w
}

func (v *view) find(addr string) (int, bool) {
	return slices.BinarySearchFunc(v.Members, addr, func(m Member, addr string) int { return cmp.Compare(m.Addr, addr) })
}

// hosts numbers the hosts of members; nil if all are on one, or each on its own.
func hosts(members []ring.Member) []int {
	numbers := make(map[string]int)
	list := make([]int, len(members))
	for i, m := range members {
		host, _, err := net.SplitHostPort(m.Addr)
		if err != nil {
			host = m.Addr
		}
		if _, known := numbers[host]; !known {
			numbers[host] = len(numbers)
		}
		list[i] = numbers[host]
	}
	if len(numbers) <= 1 || len(numbers) == len(members) {
		return nil
	}
	return list
}

// circle returns the view's ring.
func (v *view) circle() (ring.Ring, error) {
	if v.ready == nil {
		return v.box.get()
	}
	return v.ready, nil
}

// owners appends key's owners, by their places in inUse.
func (v *view) owners(dst []int, key string, copies int) []int {
	r, err := v.circle()
	if err != nil {
		return dst // nobody owns a key in a view that no ring can be made of, so nothing counts
	}
	if v.hosts == nil || copies == 1 {
		return r.Owners(dst, key, copies)
	}
	return v.spread(dst, r, key, copies)
}

// spread chooses owners on different hosts as long as there are such.
func (v *view) spread(dst []int, r ring.Ring, key string, copies int) []int {
	copies = min(copies, len(v.inUse))
	different := min(copies, slices.Max(v.hosts)+1)
	var room [64]int
	for look := 4 * copies; ; look *= 2 {
		order := r.Owners(room[:0], key, look)
		chosen := dst
		var seen [8]int // hosts
		hosts := seen[:0]
		for _, o := range order {
			if len(hosts) < different && !slices.Contains(hosts, v.hosts[o]) {
				hosts, chosen = append(hosts, v.hosts[o]), append(chosen, o)
			}
		}
		if len(hosts) < different && len(order) == look {
			continue // further round the ring
		}
		for _, o := range order {
			if len(chosen)-len(dst) < copies && !slices.Contains(chosen[len(dst):], o) {
				chosen = append(chosen, o)
			}
		}
		return chosen
	}
}

// owns says whether the present member owned key.
func (v *view) owns(key string, member, copies int) bool {
	if v.slot[member] < 0 {
		return false
	}
	var room [8]int
	return slices.Contains(v.owners(room[:0], key, copies), v.slot[member])
}

// ownedBy is owns for whoever is at addr.
func (v *view) ownedBy(key, addr string, copies int) bool {
	var room [8]int
	for _, o := range v.owners(room[:0], key, copies) {
		if v.inUse[o].Addr == addr {
			return true
		}
	}
	return false
}

// announced says whether the present member was announced.
func (v *view) announced(member int) bool { return v.same[member] >= 0 }

// signature names a list of ring members.
func signature(members []ring.Member) string {
	var b strings.Builder
	for _, m := range members {
		b.WriteString(m.Addr)
		b.WriteByte('\n')
		b.WriteString(m.Name)
		b.WriteByte('\n')
		b.WriteString(strconv.FormatUint(uint64(m.Weight), 10))
		b.WriteByte('\n')
	}
	return b.String()
}
