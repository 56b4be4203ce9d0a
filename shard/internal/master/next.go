package master

import (
	"cmp"
	"slices"

	"github.com/torc-dht/torc/shard/slots"
)

// facts are what the rules look at: of servers by their index in the next map.
type facts struct {
	at      []standing
	gaveUp  []int16 // by slot to whom, or nil if nobody has given anything up
	planted planted
}

// standing is how a server stands.
type standing struct {
	member    *member
	heard     bool // in this term
	dead      bool
	silent    bool // or dead, or not heard yet
	proven    bool // dead for certain
	forgotten bool
	leaving   bool
	// fine is who needs no row to change.
	fine  bool
	acked uint32

	filled     []uint32 // by who was filled, nil for none; the counter of the epoch
	drops      []uint32 // as filled
	distrusted []bool

	deposed bool // by the next map
}

func (f *facts) filled(p, c int16) uint32 {
	if l := f.at[p].filled; l != nil {
		return l[c]
	}
	return 0
}

func (f *facts) dropped(p, c int16) uint32 {
	if l := f.at[p].drops; l != nil {
		return l[c]
	}
	return 0
}

// usable says whether c may be given anything of p's (R7).
func (f *facts) usable(p, c int16) bool {
	at := &f.at[c]
	if at.dead || at.silent || at.leaving || at.member.full {
		return false
	}
	l := f.at[p].distrusted
	return l == nil || !l[c]
}

// factsOf gathers the facts about a map's servers.
func (m *Master) factsOf(next *slots.Map) *facts {
	f := &facts{at: make([]standing, len(next.Servers)), planted: m.cfg.planted}
	for i := range next.Servers {
		v := m.byBoot[next.Servers[i].Boot]
		at := &f.at[i]
		*at = standing{
			member: v, heard: v.heard, dead: v.vitality == dead, silent: v.vitality != lively,
			proven: v.replaced || v.forgotten, forgotten: v.forgotten, leaving: next.Servers[i].Leaving, acked: v.acked,
		}
		at.fine = at.heard && !at.dead && !at.leaving
		for b, counter := range v.filled {
			if j := next.Index(b); j != slots.None {
				at.filled = put(at.filled, len(next.Servers), j, counter)
			}
		}
		for _, d := range v.drops {
			if j := next.Index(d.boot); j != slots.None {
				at.drops = put(at.drops, len(next.Servers), j, d.counter)
				f.at[i].fine = false
			}
		}
		for _, b := range v.distrusted {
			if j := next.Index(b); j != slots.None {
				at.distrusted = put(at.distrusted, len(next.Servers), j, true)
			}
		}
	}
	return f
}

func put[T any](l []T, n int, i int16, v T) []T {
	if l == nil {
		l = make([]T, n)
	}
	l[i] = v
	return l
}

// next makes the map that follows from the newest one and what is known now; nil
// if it would be the same, or there is nobody to be in it.
//
// As long as a row is held it is a draft, which no server gets, and says no more than
// what was found and who seems to be dead: were anything decided, those who go on
// meanwhile would know nothing of it. Say A has a row with the copy B, and was silent
// for a while, so that B has it in the draft; then B dies. A, which has it all and
// serves, would be expelled by the map that follows.
func (m *Master) next() *slots.Map {
	first := m.newest == nil
	var next *slots.Map
	if first {
		next = slots.Empty(m.cfg.Placement, m.cfg.Copies, m.cfg.MinCopies)
	} else {
		copied := *m.newest // its rows are shared until one changes
		next = &copied
		next.Servers, next.Held = slices.Clone(next.Servers), slices.Clone(next.Held)
		next.Placement, next.Copies, next.MinCopies = m.cfg.Placement, m.cfg.Copies, m.cfg.MinCopies
	}
	next.Epoch = slots.Epoch{Term: m.term, Boot: m.cfg.Boot, Counter: 1}
	if m.begun {
		next.Epoch.Counter = m.newest.Epoch.Counter + 1
	}
	if first {
		m.ages = make([]age, slots.Count)
		for s := range next.Rows {
			m.ages[s] = newAge(uint32(next.Epoch.Counter))
			if m.rebuild != nil && m.rebuild.any {
				next.Rows[s].Held = 1
			}
		}
	}

	if m.rebuild != nil {
		m.addNeeded(next, first)
		m.releaseHeld(next)
	}
	m.addServers(next)
	switch {
	case first && !m.rebuild.any && len(next.Servers) == 0:
		return nil // whoever comes later may know of a table
	case len(next.Held) == 0:
		f := m.factsOf(next)
		m.applyRules(next, f)
		m.removeServers(next, f)
	}
	if m.cfg.planted.reuseEpoch && m.begun && next.Epoch.Counter%3 == 0 {
		next.Epoch = m.newest.Epoch
	}
	for _, v := range m.members {
		v.drops, v.gaveUp = nil, nil
	}
	if !first && m.begun && !m.must && same(m.newest, next) {
		return nil
	}
	m.must = false
	if m.rebuild != nil && len(next.Held) == 0 {
		m.anew = m.anew || !m.rebuild.any
		m.rebuild = nil
	}
	return next
}

// same says whether two maps say the same, whatever their epochs; b was made from a.
func same(a, b *slots.Map) bool {
	return a.Placement == b.Placement && a.Copies == b.Copies && a.MinCopies == b.MinCopies &&
		slices.Equal(a.Servers, b.Servers) && slices.Equal(a.Held, b.Held) &&
		(shares(a, b) || slices.Equal(a.Rows, b.Rows))
}

// shares says whether two maps have the very same rows.
func shares(a, b *slots.Map) bool { return &a.Rows[0] == &b.Rows[0] }

// ownRows gives a map that is being made rows of its own, to be changed.
func (m *Master) ownRows(next *slots.Map) {
	if m.newest != nil && shares(m.newest, next) {
		next.Rows = slices.Clone(next.Rows)
	}
}

// addServers adds to a map that is no draft who wants to join; and says of each
// server how it is.
func (m *Master) addServers(next *slots.Map) {
	for i := range next.Servers {
		m.numbers = max(m.numbers, next.Servers[i].Number)
	}
	for _, v := range m.members {
		if v.reported && v.vitality == lively && !v.leaving && !v.wasIn && len(next.Held) == 0 &&
			len(next.Servers) < slots.MaxServers && next.Index(v.boot) == slots.None {
			m.numbers++
			next.Servers = append(next.Servers, slots.Server{Addr: v.addr, Boot: v.boot, Number: m.numbers})
		}
	}
	for i := range next.Servers {
		s, v := &next.Servers[i], m.byBoot[next.Servers[i].Boot]
		switch {
		case v.heard:
			s.Dead, s.Leaving = v.vitality == dead, v.leaving
		case v.vitality == dead:
			s.Dead = true
		}
	}
}

// addNeeded adds servers that only Reports name, where their numbers have them.
//
// Others promise them nothing until they have the map that comes of this one: whether
// they were deposed is written in the latest map, which may yet be reported.
func (m *Master) addNeeded(next *slots.Map, first bool) {
	more := m.rebuild.needed(next, first)
	if len(more) == 0 {
		return
	}
	was := next.Servers
	taken := make(map[uint32]bool)
	for i := range was {
		taken[was[i].Number] = true
	}
	all := slices.Clone(was)
	for _, v := range more {
		if taken[v.Number] { // by who joined in the meantime
			m.numbers++
			v.Number = m.numbers
		}
		taken[v.Number] = true
		m.numbers = max(m.numbers, v.Number)
		v.Deposed = next.Epoch
		m.expect(&v)
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b slots.Server) int { return cmp.Compare(a.Number, b.Number) })
	next.Servers = all
	m.renumber(next, was)
}

// renumber changes the indices in a map's rows from those of was to those of the
// map's servers now.
func (m *Master) renumber(next *slots.Map, was []slots.Server) {
	at := make([]int16, len(was))
	for i := range was {
		at[i] = next.Index(was[i].Boot)
	}
	m.ownRows(next)
	for s := range next.Rows {
		next.Rows[s] = renumbered(&next.Rows[s], at)
	}
}

// applyRules makes the rows of a map, which are those of the newest one, the next.
func (m *Master) applyRules(next *slots.Map, f *facts) {
	counter := uint32(next.Epoch.Counter)
	m.setGoal(next, f)
	m.takeGaveUps(next, f)
	if m.allLeave(next, f) {
		m.ownRows(next)
		for s := range next.Rows {
			next.Rows[s] = slots.Row{Primary: slots.None}
		}
		return
	}
	for s := range next.Rows {
		r, w := &next.Rows[s], &m.want[s]
		if f.settled(r, w) && (f.gaveUp == nil || f.gaveUp[s] == slots.None) {
			continue
		}
		is := *r
		if f.step(slots.Slot(s), &is, r, &m.ages[s], w); is != *r {
			m.ages[s].next(r, &is, counter)
			m.ownRows(next)
			next.Rows[s] = is
		}
	}
	for i := range f.at {
		if f.at[i].deposed {
			next.Servers[i].Deposed = next.Epoch
		}
	}
}

// releaseHeld brings held rows up to what Reports say, and lets go of those that
// need not be held any more. Who was called primary and turns out not to be has
// answered nothing as such, since a copy of its row knew better; but it doesn't
// know, and is deposed.
func (m *Master) releaseHeld(next *slots.Map) {
	heard := make([]bool, len(next.Servers))
	for i := range next.Servers {
		v := m.byBoot[next.Servers[i].Boot]
		heard[i] = v.heard || v.forgotten
	}
	was := slices.Clone(next.Rows)
	m.ownRows(next)
	m.rebuild.heldRows(next, heard)
	for s := range was {
		if was[s].Held == 0 {
			continue
		}
		if next.Rows[s].Held == 0 {
			m.ages[s] = newAge(uint32(next.Epoch.Counter))
		}
		if p := was[s].Primary; p != slots.None && p != next.Rows[s].Primary {
			next.Servers[p].Deposed = next.Epoch
		}
	}
	m.leaveOut(next)
	if m.goalFor == nil {
		m.goal, m.wantFor = slots.GoalOf(next), nil
	}
}

// leaveOut takes out of the first map that holds no rows whom the latest map reported
// doesn't name: it was taken out, hasn't heard so, and was heard first. It has to begin
// anew under another boot. Under this one others have forgotten what they sent it, and
// it would take what they send next for what it has.
func (m *Master) leaveOut(next *slots.Map) {
	if len(next.Held) > 0 || m.rebuild.highest == nil {
		return
	}
	was := next.Servers
	next.Servers = slices.DeleteFunc(slices.Clone(was), func(s slots.Server) bool {
		return m.rebuild.highest.Index(s.Boot) == slots.None
	})
	if len(next.Servers) < len(was) {
		m.renumber(next, was)
	}
}

// takeGaveUps notes the slots that their primaries gave up under the newest map
// (R1b). Where the one named can't be made primary there has to be a map all the
// same: until then nobody serves them.
func (m *Master) takeGaveUps(next *slots.Map, f *facts) {
	for i := range f.at {
		for _, g := range f.at[i].member.gaveUp {
			to := next.Index(g.To)
			for _, s := range g.Slots {
				r := &next.Rows[s]
				if r.Primary != int16(i) {
					continue
				}
				m.must = true
				if to == slots.None || f.at[to].dead {
					continue
				}
				if state, ok := r.Copy(to); !ok || state != slots.InSync {
					continue
				}
				if f.gaveUp == nil {
					f.gaveUp = make([]int16, slots.Count)
					for s := range f.gaveUp {
						f.gaveUp[s] = slots.None
					}
				}
				f.gaveUp[s] = to
			}
		}
	}
}

// allLeave says whether all servers of a map want to go, and can: then the table
// is empty (R8). One that is dead, or has not been heard, may come back with what
// it has.
func (m *Master) allLeave(next *slots.Map, f *facts) bool {
	for i := range f.at {
		if at := &f.at[i]; !at.forgotten && (!at.leaving || at.dead || !at.heard) {
			return false
		}
	}
	return len(f.at) > 0
}

// wasPrimary says whether a server has slots as their primary by the newest map. Who
// gave up its last ones in the next one stays in that for once: were it gone at the
// same time, its slots' new primaries could not tell that from its death, and would
// sit out what they promised it.
func (m *Master) wasPrimary(b slots.Boot) bool {
	if m.newest == nil {
		return false
	}
	at := m.newest.Index(b)
	return at != slots.None && slices.ContainsFunc(m.newest.Rows, func(r slots.Row) bool { return r.Primary == at })
}

// removeServers takes servers out of a map that are in no row of it: who is dead
// (R3), forgotten (R4), or has nothing left to hand over (R8).
func (m *Master) removeServers(next *slots.Map, f *facts) {
	if !slices.ContainsFunc(f.at, func(at standing) bool { return at.dead || at.leaving }) {
		return
	}
	inRow := make([]bool, len(f.at))
	for s := range next.Rows {
		if r := &next.Rows[s]; r.Primary != slots.None {
			inRow[r.Primary] = true
			for _, c := range r.Copies() {
				inRow[c.Server] = true
			}
		}
	}
	var stay []slots.Server
	for i := range next.Servers {
		at := &f.at[i]
		if inRow[i] || !at.dead && !(at.leaving && at.heard) || !at.dead && m.wasPrimary(next.Servers[i].Boot) {
			stay = append(stay, next.Servers[i])
		} else {
			at.member.wasIn = at.member.wasIn || at.member.sent != (slots.Epoch{})
		}
	}
	if len(stay) == len(next.Servers) {
		return
	}
	was := next.Servers
	next.Servers = stay
	m.renumber(next, was)
}
