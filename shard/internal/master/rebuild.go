package master

import (
	"cmp"
	"slices"

	"github.com/torc-dht/torc/shard/slots"
)

// rebuild is what a master without the last map knows from Reports (R5): for each
// slot the row of the latest epoch that anybody stands on.
//
// A row is held, that is in the map as it was found and not changed, until its
// primary and all its Joining and InSync copies have reported. That is enough: a
// later map in which the row is another had to be taken by one of them to come to
// anything, for
//
//   - a primary's set changes only when it takes the map,
//   - only a Filling copy is added, and joins only by word of the primary, and
//   - only one of the InSync copies follows a primary.
//
// And it is necessary. Say the row is P with the InSync copy C, a master drops P
// and makes C primary, and dies; P, which heard nothing of that, is the first to
// report to the next master. Were the row changed by what P knows, answers of C
// would be lost. It isn't enough either to keep the row as P knows it, and to forget
// that one did: a third master would hear P and C, both on maps of the second, and
// take that one's row for the last. So a held row says which epoch it is from.
type rebuild struct {
	any     bool // somebody has reported a map
	highest *slots.Map
	from    []slots.Epoch  // of each row
	rows    []slots.Row    // in indices of servers
	servers []slots.Server // of all the maps that rows came from
	index   map[slots.Boot]int16
}

func newRebuild() *rebuild { return &rebuild{index: make(map[slots.Boot]int16)} }

// take learns from a map that a server stands on. It returns whether that was news.
func (r *rebuild) take(m *slots.Map) (news bool) {
	if !r.any {
		r.any = true
		r.from = make([]slots.Epoch, slots.Count)
		r.rows = make([]slots.Row, slots.Count)
		for i := range r.rows {
			r.rows[i].Primary = slots.None
		}
	}
	higher := r.highest == nil || r.highest.Epoch.Before(m.Epoch)
	if higher {
		r.highest = m
	}
	at := make([]int16, len(m.Servers))
	for i := range m.Servers {
		v := &m.Servers[i]
		j, ok := r.index[v.Boot]
		if !ok {
			j = int16(len(r.servers))
			r.index[v.Boot] = j
			r.servers = append(r.servers, *v)
		} else if higher {
			r.servers[j] = *v
		}
		at[i] = j
	}
	for s := range m.Rows {
		e := m.RowEpoch(slots.Slot(s))
		if !r.from[s].Before(e) {
			continue
		}
		news = true
		r.from[s] = e
		r.rows[s] = renumbered(&m.Rows[s], at)
		r.rows[s].Held = 0
	}
	return news
}

// deposed is when a server was, as far as those know who reported.
func (r *rebuild) deposed(b slots.Boot) slots.Epoch { return r.servers[r.index[b]].Deposed }

// renumbered returns a row in other indices; at has the new one for each.
func renumbered(r *slots.Row, at []int16) slots.Row {
	n := slots.Row{Primary: r.Primary, Fresh: r.Fresh, Held: r.Held}
	if n.Primary != slots.None {
		n.Primary = at[n.Primary]
	}
	for _, c := range r.Copies() {
		if at[c.Server] != slots.None {
			n.Set(at[c.Server], c.State)
		}
	}
	return n
}

// needed are the servers that a map needs on top of those it has, in the order of
// their numbers: those of held rows, and for the first map of a reign all of the
// highest one reported.
func (r *rebuild) needed(m *slots.Map, first bool) (more []slots.Server) {
	if !r.any {
		return nil
	}
	in := make([]bool, len(r.servers))
	if first {
		for i := range r.highest.Servers {
			in[r.index[r.highest.Servers[i].Boot]] = true
		}
	}
	for s := range r.rows {
		if m.Rows[s].Held == 0 {
			continue
		}
		if row := &r.rows[s]; row.Primary != slots.None {
			in[row.Primary] = true
			for _, c := range row.Copies() {
				in[c.Server] = true
			}
		}
	}
	for i, yes := range in {
		if yes && m.Index(r.servers[i].Boot) == slots.None {
			more = append(more, r.servers[i])
		}
	}
	slices.SortStableFunc(more, func(a, b slots.Server) int { return cmp.Compare(a.Number, b.Number) })
	return more
}

// heldRows puts the row of each held slot into a map as it is known now, and
// releases those that all have reported who could know a later one. heard says
// which of the map's servers have, or needn't any more.
func (r *rebuild) heldRows(m *slots.Map, heard []bool) {
	m.Held = nil
	if !r.any {
		return
	}
	at := make([]int16, len(r.servers))
	for i := range r.servers {
		at[i] = m.Index(r.servers[i].Boot)
	}
	known := make(map[slots.Epoch]uint16)
	for s := range m.Rows {
		if m.Rows[s].Held == 0 {
			continue
		}
		row := renumbered(&r.rows[s], at)
		if !allHeard(&row, heard) {
			h, ok := known[r.from[s]]
			if !ok {
				m.Held = append(m.Held, r.from[s])
				h = uint16(len(m.Held))
				known[r.from[s]] = h
			}
			row.Held = h
		}
		m.Rows[s] = row
	}
}

func allHeard(r *slots.Row, heard []bool) bool {
	if r.Primary == slots.None {
		return true
	}
	if !heard[r.Primary] {
		return false
	}
	for _, c := range r.Copies() {
		if c.State != slots.Filling && !heard[c.Server] {
			return false
		}
	}
	return true
}

// ready says whether there may be a map. Before the first one of a reign it is time
// for servers of an earlier one to report: when all have that the highest map names
// there is nobody to wait for.
func (m *Master) ready() bool {
	if m.begun || m.rebuild == nil {
		return true
	}
	if !m.rebuild.any {
		return m.now >= m.reigns+int64(m.cfg.StartWait)
	}
	for i := range m.rebuild.highest.Servers {
		v := m.byBoot[m.rebuild.highest.Servers[i].Boot]
		if (v == nil || !v.heard) && m.now < m.reigns+int64(m.cfg.StartWait) {
			return false
		}
	}
	return true
}
