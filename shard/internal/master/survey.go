package master

import (
	"slices"

	"github.com/torc-dht/torc/shard/slots"
)

// survey is what a look at all rows of the newest map says.
type survey struct {
	servers []tally
	moves   []move
	waits   []wait // by server of the map
	boots   []slots.Boot

	held, failed, single, unowned int
	settled                       bool
}

// tally counts a server's rows.
type tally struct{ primaries, inSync, joining, filling, failed int }

// wait is the earliest epoch whose acknowledgement by a primary changes a row; 0 if
// there is none.
type wait uint32

func (w *wait) least(counter uint32) {
	if *w == 0 || wait(counter) < *w {
		*w = wait(counter)
	}
}

// move is what one server hands to another: all slots of the pair at once.
type move struct {
	from, to int16
	slots    []slots.Slot // the goal has them with to
	ready    int          // so many of them to has in sync
	coming   int          // so many it has, but not in sync
}

// awaits says whether a row may change when a server has acknowledged an epoch.
func (v *survey) awaits(b slots.Boot, counter uint32) bool {
	i := slices.Index(v.boots, b)
	return i >= 0 && v.waits[i] != 0 && uint32(v.waits[i]) <= counter
}

// takeStock looks at all rows of the newest map.
func (m *Master) takeStock() {
	rows, n := m.newest.Rows, len(m.newest.Servers)
	v := survey{servers: make([]tally, n), waits: make([]wait, n), boots: make([]slots.Boot, n), settled: true}
	for i := range m.newest.Servers {
		v.boots[i] = m.newest.Servers[i].Boot
	}
	m.setWant(m.newest)
	pair := make(map[[2]int16]int)
	for s := range rows {
		r, w := &rows[s], &m.want[s]
		if r.Primary == slots.None {
			v.unowned++
			v.settled = v.settled && n == 0
			continue
		}
		p := &v.servers[r.Primary]
		p.primaries++
		wait := &v.waits[r.Primary]
		if r.Held != 0 {
			v.held++
			v.settled = false
		}
		if m.newest.Servers[r.Primary].Dead {
			v.failed++
			p.failed++
		}
		if r.Fresh {
			wait.least(m.ages[s].primary)
		}
		inSync := 0
		for i, c := range r.Copies() {
			switch t := &v.servers[c.Server]; c.State {
			case slots.InSync:
				t.inSync++
				inSync++
			case slots.Joining:
				t.joining++
				wait.least(m.ages[s].copies[i])
			default:
				t.filling++
			}
			v.settled = v.settled && c.State == slots.InSync && w.Has(c.Server)
		}
		if inSync == 0 {
			v.single++
		}
		to := w[0]
		v.settled = v.settled && to == r.Primary && len(r.Copies()) == len(w.Backups()) && !r.Fresh
		if to == slots.None || to == r.Primary || r.Held != 0 {
			continue
		}
		i, ok := pair[[2]int16{r.Primary, to}]
		if !ok {
			i = len(v.moves)
			pair[[2]int16{r.Primary, to}] = i
			v.moves = append(v.moves, move{from: r.Primary, to: to})
		}
		mv := &v.moves[i]
		mv.slots = append(mv.slots, slots.Slot(s))
		if state, ok := r.Copy(to); ok && state == slots.InSync {
			mv.ready++
		} else if ok {
			mv.coming++
		}
	}
	m.survey = v
	m.handovers = slices.DeleteFunc(m.handovers, func(h handover) bool {
		return !slices.ContainsFunc(v.moves, func(mv move) bool {
			return v.boots[mv.from] == h.from && v.boots[mv.to] == h.to && mv.ready > 0
		})
	})
}
