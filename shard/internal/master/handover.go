package master

import (
	"slices"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

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
	if !m.begun || m.newest != m.issued || len(m.newest.Held) > 0 {
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
