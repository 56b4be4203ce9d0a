package master

import (
	"slices"

	"github.com/torc-dht/torc/shard/internal/msg"
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
			v.settled = v.settled && c.State == slots.InSync
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

// handover is a HandOver that was sent.
type handover struct {
	from, to slots.Boot
	conn     Conn
	at       int64
	answered bool
}

// handOver asks for the slots to be handed over that are ready for it: those of one
// pair of servers together, when none of them is on its way any more.
func (m *Master) handOver() {
	if !m.begun || m.newest != m.issued {
		return
	}
	for i := range m.survey.moves {
		mv := &m.survey.moves[i]
		if mv.ready == 0 || mv.coming > 0 {
			continue
		}
		from, to := m.byBoot[m.survey.boots[mv.from]], m.byBoot[m.survey.boots[mv.to]]
		if !from.reported || from.vitality != lively || !m.mayHave(from, to) {
			continue
		}
		h := m.handoverOf(from, to)
		if h.conn == from.conn && m.now < h.at+int64(m.cfg.HandOverRetry) {
			continue
		}
		h.conn, h.at, h.answered = from.conn, m.now, false
		m.send(from.conn, &msg.HandOver{Epoch: m.newest.Epoch, To: to.boot, Slots: m.readySlots(mv)})
	}
}

// mayHave says whether to may be handed anything of from's (R7).
func (m *Master) mayHave(from, to *member) bool {
	return to.vitality == lively && !to.leaving && !to.full && !slices.Contains(from.distrusted, to.boot)
}

func (m *Master) readySlots(mv *move) []slots.Slot {
	ready := make([]slots.Slot, 0, mv.ready)
	for _, s := range mv.slots {
		if state, ok := m.newest.Rows[s].Copy(mv.to); ok && state == slots.InSync {
			ready = append(ready, s)
		}
	}
	return ready
}

// handoverOf returns the record of a pair, which is good until the next call.
func (m *Master) handoverOf(from, to *member) *handover {
	for i := range m.handovers {
		if h := &m.handovers[i]; h.from == from.boot && h.to == to.boot {
			return h
		}
	}
	m.handovers = append(m.handovers, handover{from: from.boot, to: to.boot})
	return &m.handovers[len(m.handovers)-1]
}

// heldUntil returns until when a map that may wait should, for slots that are being
// handed over: until all are given up, or for a moment.
func (m *Master) heldUntil() (until int64) {
	for i := range m.handovers {
		if h := &m.handovers[i]; h.conn != 0 && !h.answered {
			until = max(until, h.at+m.cfg.holdFor())
		}
	}
	return until
}

// gaveUp notes slots that a primary gave up (R1b). That counts only under the newest
// epoch; with any later map the primary has them again. Say P gave up to C under
// epoch 1, while the master, that hadn't heard of it, made epoch 2, in which the row
// is the same. P takes 2 and serves again. Were C made primary now, it would serve
// at once, and P, which has C's promise, would still answer.
func (m *Master) gaveUp(v *member, g *msg.GaveUp) {
	h := m.handoverOf(v, &member{boot: g.To})
	if m.newest == nil || g.Epoch != m.newest.Epoch && !m.cfg.planted.staleGaveUp {
		h.conn = 0 // asked for again
		return
	}
	h.answered = true
	v.gaveUp = append(v.gaveUp, g)
	if m.heldUntil() > m.now {
		m.soon()
		return
	}
	m.atOnce()
}
