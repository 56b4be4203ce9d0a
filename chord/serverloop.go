package chord

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/chord/internal/node"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/memcache"
)

const (
	// joinWithin is how long a node waits for a neighbour once its contact has
	// answered: many times as long as a ring that repairs itself lets nobody in.
	joinWithin = 30 * time.Second
	// tick is how often a node looks at its clock when nothing comes and something waits;
	// rest is how often when nothing does. Many nodes on one machine do little else.
	tick = 10 * time.Millisecond
	rest = 40 * time.Millisecond
	// breath is for how long the loop waits for something to come before it sends
	// more of a fill: a thread that never waits is told by Go's scheduler what has
	// come over the network every 10 ms only.
	breath = 50 * time.Microsecond
	// turn is how many events and batches are taken in before messages go out.
	turn = 32
)

// serverLoop is the goroutine that a node's state belongs to, and what it talks with.
type serverLoop struct {
	visits
	membership
	cfg      *Server
	log      *slog.Logger
	limit    uint64 // of bytes
	mesh     *link.Mesh
	forwards *forwards

	batches chan *memcache.Batch
	events  chan link.Event

	// What follows is the loop's own.
	core     *node.Node
	handler  memcache.Handler
	lookups  map[uint64]func(*ring.Found) // under way, by number
	free     *request
	counts   [outcomes]uint64
	rejected map[string]string // what was said of whom, by address
	joined   bool
	leaving  bool
	ending   bool             // nobody is asked anything any more
	late     <-chan time.Time // when handing over has to be done
	began    int64
	ticked   int64
	met      bool // it knows that it has neighbours in the ring
	fatal    error
}

func newServerLoop(s *Server, m membership, logger *slog.Logger) *serverLoop {
	l := &serverLoop{
		visits: newVisits(), membership: m, cfg: s, log: logger,
		batches:  make(chan *memcache.Batch, 64),
		events:   make(chan link.Event, 64),
		lookups:  map[uint64]func(*ring.Found){},
		rejected: map[string]string{},
	}
	l.mesh = link.NewMesh(link.Config{
		Options: s.options(), Ring: m.ring, Bits: int(m.circle), Replicas: m.replicas, Self: m.self,
		Calls: nodeCalls{l}, Events: l.events,
	})
	l.forwards = newForwards(s, m)
	if l.limit = s.Memory; l.limit == 0 {
		l.limit = machineMemory() / 4
	}
	c := node.Config{
		Circle: m.circle, Replicas: m.replicas, Self: m.self, Limit: l.limit,
		Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	now := clock()
	if l.began = now.Mono; m.contact.None() {
		l.core = node.New(c, now)
	} else {
		l.core = node.Join(c, now, m.contact)
	}
	l.handler = memcache.NewHandler(nodeItems{l})
	return l
}

// run serves until ctx is done and all is handed over, or the node has failed, or life
// ends.
func (l *serverLoop) run(ctx, life context.Context) error {
	pace := tick
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	leave := ctx.Done()
	more := time.NewTimer(time.Hour)
	defer more.Stop()
	for {
		if l.step() {
			more.Reset(breath)
		} else {
			more.Stop()
		}
		switch {
		case l.fatal != nil:
			return l.fatal
		case l.core.Left():
			return nil
		}
		want := rest
		if l.core.Busy() {
			want = tick
		}
		if want != pace {
			pace = want
			ticker.Reset(pace)
		}
		select {
		case b := <-l.batches:
			l.take(b)
		case f := <-l.calls:
			f()
		case e := <-l.events:
			l.receive(e)
		case <-ticker.C:
		case <-more.C:
		case <-leave:
			leave = nil
			l.leave()
		case <-l.late:
			l.log.Warn("not everything could be handed over in time; copies take over")
			l.fail()
		case <-life.Done():
			if err := context.Cause(life); !errors.Is(err, context.Canceled) && !errors.Is(err, memcache.ErrServerClosed) {
				return err
			}
			return nil
		}
		l.takeWaiting()
	}
}

// takeWaiting takes in some of what waits, without waiting for more.
func (l *serverLoop) takeWaiting() {
	for range turn {
		select {
		case b := <-l.batches:
			l.take(b)
		case f := <-l.calls:
			f()
		case e := <-l.events:
			l.receive(e)
		default:
			return
		}
	}
}

// step does what is due and delivers what has come of it. It says whether there is
// more to do at once.
func (l *serverLoop) step() (more bool) {
	now := clock()
	if now.Mono-l.ticked >= int64(tick) {
		l.ticked = now.Mono
		l.core.Tick(now)
	}
	more = l.core.Pump(now)
	l.core.Flush(now)
	for _, o := range l.core.Out() {
		l.mesh.Send(o.To, o.Message)
	}
	l.answer()
	for _, f := range l.core.Found() {
		if then := l.lookups[f.Number]; then != nil {
			delete(l.lookups, f.Number)
			then(&f)
		}
	}
	l.settled()
	return more
}

// settled notes when the node has its share, or can't have one.
func (l *serverLoop) settled() {
	if l.joined {
		return
	}
	switch err := l.core.Refused(); {
	case err != nil:
		l.fatal = fmt.Errorf("chord: the ring of %s: %w; choose another identifier", l.contact.Addr, err)
	case l.core.Joined():
		l.joined = true
		l.mesh.SetJoined(true)
		l.cfg.joinedOnce.Do(func() { close(l.cfg.joined) })
	case !l.met && l.ticked-l.began > int64(joinWithin):
		if l.met = len(l.core.Status().Successors) > 0; !l.met {
			l.fatal = fmt.Errorf("chord: %w: the contact at %s answered and then let nobody join for %v: is it gone?", torc.ErrUnavailable, l.contact.Addr, joinWithin)
		}
	}
}

// leave has the node hand over what it owns, and go.
func (l *serverLoop) leave() {
	if l.leaving {
		return
	}
	l.leaving = true
	if !l.joined {
		l.fail() // it has nothing to hand over
		return
	}
	l.log.Info("leaving: handing over")
	l.late = time.After(LeaveWithin)
	l.core.Leave(clock())
}

// fail has the node tell the ring that it is gone, and go. What it tells is with the
// mesh then.
func (l *serverLoop) fail() {
	if !l.core.Left() {
		l.core.Fail(clock())
		l.step()
	}
}

func (l *serverLoop) receive(e link.Event) {
	now := clock()
	switch e := e.(type) {
	case link.Received:
		for _, m := range e.Msgs {
			l.core.Receive(now, e.From, m)
		}
	case link.Up:
		l.core.Up(now, e.Peer)
	case link.Down:
		l.core.Down(now, e.Peer, e.Refused)
	case link.Rejected:
		if l.rejected[e.Addr] != e.Reason {
			l.rejected[e.Addr] = e.Reason
			l.log.Warn("a node is no part of this ring", "node", e.Addr, "reason", e.Reason)
		}
	}
}

// lookup has then called, on the loop, with what comes of a lookup.
func (l *serverLoop) lookup(target place.Place, then func(*ring.Found)) {
	l.lookups[l.core.Lookup(clock(), target)] = then
}

// drain answers who is still waiting until done is closed.
func (l *serverLoop) drain(done <-chan struct{}) {
	close(l.over)
	l.ending = true
	for number, then := range l.lookups {
		delete(l.lookups, number)
		then(&ring.Found{Number: number, Err: errGoing})
	}
	for {
		select {
		case b := <-l.batches:
			for _, c := range b.Calls() {
				refuse(c)
			}
		case e := <-l.events:
			l.receive(e)
		case <-done:
			return
		case <-time.After(tick):
		}
		l.core.Tick(clock())
		l.step()
	}
}

const goingLine = "SERVER_ERROR unavailable: this node is going"

func refuse(c *memcache.Call) {
	c.Reset()
	c.Answer.Error(goingLine)
	c.Done()
}
