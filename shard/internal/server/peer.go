package server

import (
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// peer is what a server knows of another.
type peer struct {
	boot  slots.Boot
	index int16       // in cur.Servers, or slots.None
	up    bool        // there is a connection to it
	gone  bool        // its process is proven to be dead
	known slots.Epoch // it stands on this epoch at least, or will before it sees what comes next

	// Items to it. The first of queue has the number acked+1.
	queue fifo[queued]
	acked uint64
	sent  uint64 // on this connection
	open  fifo[opened]
	full  bool // it takes no more bytes

	// Items from it.
	taken  uint64
	undo   []undone
	ackDue bool

	granted  int64 // until when it promises this server, by Mono
	promised int64 // until when this server promises it, by Mono
	exposed  int64 // until when it did before it was deposed, by Mono
	// grantedFor is when the promise was asked for, by the peer's clock; 0 if it
	// never was given. toldFull says that the peer was told that this server
	// takes no more bytes.
	grantedFor int64
	toldFull   bool
	distrust   int64 // until when no copies are to be made there, by Mono
	wary       int64 // for how long it is distrusted once it is good

	// Slots to be filled there, in order; those before next are sent.
	fill      []slots.Slot
	owed      bool // there are Filling copies there, sent or not
	next      int
	cursor    int    // entries of fill[next] still to be sent, -1 before its Begin
	filling   int    // bytes of fills in queue
	filledAt  int64  // when the master was told, by Mono
	fillKeys  uint64 // sent, of this fill
	fillBytes uint64
	droppedAt int64 // when the master was asked to drop its copies, by Mono
	askedAt   int64 // when it was asked for its promise, by Mono
	againAt   int64 // when it was sent everything again, by Mono
	metAt     int64 // when it came into a map, by Mono
	heard     int64 // when its last message came, or the connection to it, by Mono
	changed   bool  // its part in some slot has, in the map being adopted
	needed    bool  // it is a copy that slots can't be served without
	joins     bool  // it is a Joining copy, in the map being adopted
	lacks     bool  // and there has yet to come what it is to be filled with
}

// queued is an item that has not been acknowledged.
type queued struct {
	item  msg.Item
	w     *write // of which it is a copy, if any
	reign uint64 // the slot's
	waits bool   // w waits for it
	fill  int    // bytes, if it is part of a fill
	at    int64  // when it came, by Mono
}

// opened is an item that a copy may have to undo: w is not done yet.
type opened struct {
	number uint64
	w      *write
}

const (
	batchItems = 256
	batchBytes = 64 << 10
)

// last is the number of the last item.
func (p *peer) last() uint64 { return p.acked + uint64(p.queue.len()) }

func (p *peer) push(sl *slot, it msg.Item, w *write, waits bool, now int64) {
	p.queue.push(queued{item: it, w: w, reign: sl.reign, waits: waits, at: now})
	if w != nil {
		p.open.push(opened{p.last(), w})
	}
}

// answered is the number up to which nothing will have to be undone.
func (p *peer) answered() uint64 {
	for p.open.len() > 0 && p.open.at(0).w.done {
		p.open.pop()
	}
	if p.open.len() == 0 {
		return p.last()
	}
	return p.open.at(0).number - 1
}

// connected begins a connection: what was not acknowledged is sent again.
func (s *Server) connected(p *peer) {
	p.up, p.heard = true, s.now.Mono
	p.sent = p.acked
	p.known = slots.Epoch{}
	p.ackDue = p.taken > 0 // the last one may be lost
	s.ask(p)
	s.beat() // the master may make copies there now
}

// Flush turns what is to be sent into messages.
func (s *Server) Flush(now Time) {
	s.now = now
	if s.unpark {
		s.retry()
	}
	for _, p := range s.order {
		if !p.up {
			continue
		}
		if p.ackDue {
			p.ackDue = false
			s.send(p.boot, &msg.Ack{Upto: p.taken})
		}
		for p.sent < p.last() {
			s.sendBatch(p)
		}
	}
}

func (s *Server) sendBatch(p *peer) {
	s.inform(p)
	first := int(p.sent - p.acked)
	n, bytes := 0, 0
	for first+n < p.queue.len() && n < batchItems && bytes < batchBytes {
		q := p.queue.at(first + n)
		bytes += max(q.fill, len(q.item.Entry.Value))
		n++
	}
	items := make([]msg.Item, n)
	for i := range items {
		q := p.queue.at(first + i)
		if items[i] = q.item; q.reign != s.slots[q.item.Slot].reign {
			items[i] = msg.Item{Kind: msg.Write, Slot: q.item.Slot} // nothing but its number
		}
	}
	s.send(p.boot, &msg.Batch{Epoch: s.cur.Epoch, Answered: p.answered(), First: p.sent + 1, Items: items})
	p.sent += uint64(n)
}

// inform sees to it that p stands on this server's map before what comes next.
func (s *Server) inform(p *peer) {
	if p.known.Before(s.cur.Epoch) {
		p.known = s.cur.Epoch
		s.send(p.boot, &msg.MapUpdate{Map: s.cur})
	}
}

func (s *Server) receiveAck(p *peer, m *msg.Ack) {
	for p.acked < m.Upto && p.queue.len() > 0 {
		q := p.queue.pop()
		p.acked++
		p.filling -= q.fill
		if q.waits && !q.w.done {
			if q.w.waiting--; q.w.waiting == 0 {
				s.commit(q.w.slot)
			}
		}
	}
	p.sent = max(p.sent, p.acked)
	s.checkFilled(p)
	s.checkAcked()
}
