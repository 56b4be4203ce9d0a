package slots

import "slices"

// Want is who shall hold a slot: the primary, then the backups, then None up to
// the end. They are indices in [Goal.Servers].
type Want [MaxCopies]int16

var nobody = Want{None, None, None, None}

// Primary returns who shall be the slot's primary, or None.
func (w *Want) Primary() int16 { return w[0] }

// Backups returns who shall have the slot's other copies, in no order. The slice
// is part of w.
func (w *Want) Backups() []int16 {
	for i := 1; i < len(w); i++ {
		if w[i] == None {
			return w[1:i]
		}
	}
	return w[1:]
}

// Has says whether server shall have the slot, as its primary or as a backup.
func (w *Want) Has(server int16) bool {
	for _, v := range w {
		if v == server {
			return server != None
		}
	}
	return false
}

func (w *Want) add(server int16) {
	w[1+len(w.Backups())] = server
}

// replace puts server in the place of a backup; None takes it out.
func (w *Want) replace(backup, server int16) {
	b := w.Backups()
	i := slices.Index(b, backup)
	if server == None {
		last := len(b) - 1
		b[i], b[last] = b[last], None
		return
	}
	b[i] = server
}

// Goal says who shall hold each slot once all has moved. It names servers by
// their boots, so it means the same whatever maps come and go. The zero Goal
// wants nobody anywhere. Goals are not changed once they are made.
type Goal struct {
	Servers []Boot
	Rows    []Want // Count of them, or none in the zero Goal
}

// GoalOf returns what is as what shall be: each slot's primary, and of its copies
// those that are furthest, as many as m.Copies allows.
func GoalOf(m *Map) Goal {
	g := Goal{Servers: boots(m.Servers), Rows: make([]Want, len(m.Rows))}
	backups := min(m.Copies, MaxCopies) - 1
	for s := range m.Rows {
		r, w := &m.Rows[s], &g.Rows[s]
		*w = nobody
		w[0] = r.Primary
		n := 0
		for state := int(InSync); state >= int(Filling); state-- {
			for _, c := range r.Copies() {
				if c.State == State(state) && n < backups {
					n++
					w[n] = c.Server
				}
			}
		}
	}
	return g
}

// On returns g with its rows in indices of servers: who is not among these is
// nobody. On(m.Servers) is the goal as it is to be compared with m.Rows.
func (g Goal) On(servers []Server) Goal { return g.on(boots(servers)) }

func (g Goal) on(servers []Boot) Goal {
	index := make(map[Boot]int16, len(servers))
	for i, b := range servers {
		index[b] = int16(i)
	}
	now := make([]int16, len(g.Servers))
	for i, b := range g.Servers {
		now[i] = None
		if j, ok := index[b]; ok {
			now[i] = j
		}
	}
	to := Goal{Servers: servers, Rows: make([]Want, Count)}
	for s := range to.Rows {
		w := &to.Rows[s]
		*w = nobody
		if len(g.Rows) == 0 {
			continue
		}
		old := &g.Rows[s]
		if old[0] != None {
			w[0] = now[old[0]]
		}
		n := 0
		for _, b := range old.Backups() {
			if now[b] != None {
				n++
				w[n] = now[b]
			}
		}
	}
	return to
}

func boots(servers []Server) []Boot {
	b := make([]Boot, len(servers))
	for i := range servers {
		b[i] = servers[i].Boot
	}
	return b
}

// Change counts what differs between two goals, in slots.
type Change struct {
	Primaries int // get another primary
	Backups   int // places of backups taken by who was none
	Fills     int // copies, of either kind, with who had none: what has to be sent
}

// Diff counts what has to change from g to h.
func (g Goal) Diff(h Goal) Change {
	g, h = g.on(h.Servers), h.on(h.Servers)
	var c Change
	for s := range h.Rows {
		was, is := &g.Rows[s], &h.Rows[s]
		if was[0] != is[0] {
			c.Primaries++
		}
		for _, b := range is.Backups() {
			if was[0] == b || !was.Has(b) {
				c.Backups++
			}
		}
		for _, v := range is {
			if v != None && !was.Has(v) {
				c.Fills++
			}
		}
	}
	return c
}
