package fleet

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// errSilent is why a server was passed over.
var errSilent = errors.New("it leaves other requests without an answer")

// inquiry finds out what a fleet holds at a key where one answer does not tell:
// an owner has nothing, or what may be stale, or keeps silent.
//
// Owners are asked in order, and the first item that counts ends it. If none
// does, those who held the key before are asked too, and the history of views
// decides over all answers. It is one goroutine's; those that it starts to wait
// for late answers outlive it, until the answer comes or its time is up.
type inquiry struct {
	t   *Table
	r   *routing
	key string

	owners, formers []int
	replies         []reply // of everybody who was asked
	waiting         int     // replies that have not come
	events          chan reply
	over            chan struct{} // closed at the end: nobody takes events any more
}

// reply is what one server said of the key, or an event on the way to it.
type reply struct {
	member int
	item   memcache.Item // where is says that there is one
	err    error         // where it says unasked
	is     standing
	// silent: it has been for Options.Hedge, and is asked all the same. An event
	// that says so is followed by another with the reply.
	silent  bool
	suspect bool // it was before it was asked, and is not waited for
	come    bool
}

func newInquiry(t *Table, r *routing, key string) *inquiry {
	q := &inquiry{t: t, r: r, key: key, events: make(chan reply), over: make(chan struct{})}
	q.owners = r.owners(nil, key)
	return q
}

// end has to follow newInquiry.
func (q *inquiry) end() { close(q.over) }

// verdict is what an inquiry has come to.
type verdict struct {
	is     standing // dead or alive, or absent, or ahead
	winner reply    // of the one that is dead or alive
	// byAbsence: nobody's item counts by itself, and that of the winner wins
	// because others have nothing. It is void unless the item is still there
	// when it is stamped anew.
	byAbsence bool
	// unasked is who could not be asked, if that matters, and why.
	unasked *reply
}

// get asks until it is known what is at the key. First is what the first owner
// has answered already, or nil. The error is that of a context which ended.
func (q *inquiry) get(ctx context.Context, first *heard) (verdict, error) {
	for n, i := range q.owners {
		switch {
		case n == 0 && first != nil && first.member == i:
			q.hear(first)
		case q.r.servers[i].suspect() && len(q.owners) > 1:
			q.probe(i)
		default:
			if n > 0 {
				q.t.metrics.inc(copyRead)
			}
			q.ask(ctx, i)
		}
		if v, ended, err := q.await(ctx, i); ended || err != nil {
			return v, err
		}
	}
	if !q.heard() { // then whoever answers is waited for: maybe it was this process that stood still
		q.insist()
	}
	for !q.heard() && q.waiting > 0 {
		if v, ended, err := q.next(ctx); ended || err != nil {
			return v, err
		}
	}
	if !q.heard() {
		return q.decide(), nil // what formers have does not count beside no owner's word
	}
	q.formers = q.r.formers(nil, q.key, q.owners)
	for _, i := range q.formers {
		q.t.metrics.inc(formerLookup)
		if q.r.servers[i].suspect() {
			q.probe(i)
		} else {
			q.spawn(i)
		}
	}
	for q.awaits() {
		if v, ended, err := q.next(ctx); ended || err != nil {
			return v, err
		}
	}
	if v := q.decide(); v.is.ends() {
		return v, nil
	}
	// A server that is busy, and not dead, must not cost a value: those who were
	// passed over may have one, or know more of one that may be stale. They are
	// waited for as a key's only server is.
	q.insist()
	for q.waiting > 0 {
		if v, ended, err := q.next(ctx); ended || err != nil {
			return v, err
		}
	}
	return q.decide(), nil
}

// insist asks those who were passed over.
func (q *inquiry) insist() {
	for _, p := range slices.Clone(q.replies) {
		if p.come && p.suspect && p.is == unasked {
			q.replies = slices.DeleteFunc(q.replies, func(o reply) bool { return o.member == p.member })
			q.spawn(p.member)
		}
	}
}

// awaits says whether somebody has not answered who is waited for: all but those
// who were suspect before they were asked. They are waited for as the only owner
// of a key is, since without their word nothing may be found, or decided.
func (q *inquiry) awaits() bool {
	return slices.ContainsFunc(q.replies, func(p reply) bool { return !p.come && !p.suspect })
}

// heard says whether anybody has answered.
func (q *inquiry) heard() bool {
	return slices.ContainsFunc(q.replies, func(p reply) bool { return p.is != unasked })
}

// getAll asks every owner and former, and waits for each as long as a Get does.
func (q *inquiry) getAll(ctx context.Context) (verdict, error) {
	q.formers = q.r.formers(nil, q.key, q.owners)
	for _, i := range slices.Concat(q.owners, q.formers) {
		q.spawn(i)
	}
	for q.waiting > 0 {
		if _, _, err := q.next(ctx); err != nil {
			return verdict{}, err
		}
	}
	for _, i := range q.owners {
		if p := q.of(i); p.is.ends() || p.is == ahead {
			return verdict{is: p.is, winner: *p}, nil
		}
	}
	return q.decide(), nil
}

// of returns the reply of a member that was asked, nil if it was not.
func (q *inquiry) of(member int) *reply {
	for i := range q.replies {
		if q.replies[i].member == member {
			return &q.replies[i]
		}
	}
	return nil
}

func (q *inquiry) owns(member int) bool { return slices.Contains(q.owners, member) }

// hear takes in what was asked before the inquiry began.
func (q *inquiry) hear(first *heard) {
	q.replies = append(q.replies, reply{member: first.member})
	q.waiting++
	q.answered(first.member, first.item, first.late, first.err)
}

// ask asks a server, and waits until it has answered or is silent.
func (q *inquiry) ask(ctx context.Context, member int) {
	q.replies = append(q.replies, reply{member: member})
	q.waiting++
	item, late, err := q.r.servers[member].client.GetHedged(ctx, q.key, q.t.opts.Hedge)
	q.answered(member, item, late, err)
}

func (q *inquiry) answered(member int, item memcache.Item, late *memcache.Late, err error) {
	if late == nil {
		q.take(q.reply(member, item, err))
		return
	}
	q.t.metrics.inc(hedgedRead)
	q.take(q.silence(member))
	wait := func() reply { return q.replyOfLate(member, late) }
	if !q.t.spawn(func() { q.send(wait()) }) {
		q.take(wait())
	}
}

// replyOfLate waits for an answer; all the while its server is suspect. The
// caller's context has no part in it: what is learnt is for others too.
func (q *inquiry) replyOfLate(member int, late *memcache.Late) reply {
	s := q.r.servers[member]
	s.silent.Add(1)
	defer s.silent.Add(-1)
	item, err := late.Wait(context.Background())
	return q.reply(member, item, err)
}

// spawn asks a server without waiting for it.
func (q *inquiry) spawn(member int) {
	q.replies = append(q.replies, reply{member: member})
	q.waiting++
	spawned := q.t.spawn(func() {
		item, late, err := q.r.servers[member].client.GetHedged(context.Background(), q.key, q.t.opts.Hedge)
		if late == nil {
			q.send(q.reply(member, item, err))
			return
		}
		q.send(q.silence(member))
		q.send(q.replyOfLate(member, late))
	})
	if !spawned {
		q.take(reply{member: member, come: true, err: torc.ErrClosed})
	}
}

// probe is for a server that is suspect. It is asked, but not waited for; and
// not asked while others wait for it already, who will tell.
func (q *inquiry) probe(member int) {
	q.t.metrics.inc(hedgedRead)
	s := q.r.servers[member]
	if s.silent.Load() > 0 {
		p := q.silence(member)
		p.come, p.suspect = true, true
		q.replies = append(q.replies, p)
		return
	}
	q.spawn(member)
	if p := q.of(member); !p.come {
		*p = q.silence(member)
		p.suspect = true
	}
}

// silence is the event that the member keeps silent.
func (q *inquiry) silence(member int) reply {
	s := q.r.servers[member]
	since, err := s.client.Failing()
	if err == nil {
		err = errSilent
	}
	return reply{member: member, silent: true, err: &memcache.ConnError{Addr: s.Addr, Since: since, Err: err}}
}

// reply judges what a server answered.
func (q *inquiry) reply(member int, item memcache.Item, err error) reply {
	p := reply{member: member, come: true}
	switch err {
	case nil:
		p.item, p.is = item, q.r.judge(q.key, member, q.owns(member), &item)
	case memcache.ErrNotFound:
		p.is = absent
	default:
		p.err = err
	}
	return p
}

func (q *inquiry) send(p reply) {
	select {
	case q.events <- p:
	case <-q.over:
	}
}

// take notes an event.
func (q *inquiry) take(p reply) {
	old := q.of(p.member)
	p.suspect = old.suspect
	*old = p
	if p.come {
		q.waiting--
	}
	if p.is == stale {
		q.t.metrics.inc(fencedValue)
	}
}

// await waits until the member has answered, or is silent, or another's late
// answer has ended the inquiry.
func (q *inquiry) await(ctx context.Context, member int) (verdict, bool, error) {
	for {
		p := q.of(member)
		if v, ended := q.ended(p); ended {
			return v, true, nil
		}
		if p.come || p.silent {
			return verdict{}, false, q.stop(ctx)
		}
		if v, ended, err := q.next(ctx); ended || err != nil {
			return v, ended, err
		}
	}
}

// next takes the next event.
func (q *inquiry) next(ctx context.Context) (verdict, bool, error) {
	select {
	case p := <-q.events:
		q.take(p)
		v, ended := q.ended(&p)
		return v, ended, nil
	case <-ctx.Done():
	case <-q.t.closed:
	}
	return verdict{}, false, q.stop(ctx)
}

// stop is why there is no more asking: the caller's context has ended.
func (q *inquiry) stop(ctx context.Context) error {
	if q.t.isClosed() {
		return torc.ErrClosed
	}
	return context.Cause(ctx)
}

// ended says whether p ends the inquiry: an item that counts at an owner does,
// and one of a later view, beside which nothing that is known here counts.
func (q *inquiry) ended(p *reply) (verdict, bool) {
	if p.is == ahead || p.is.ends() && q.owns(p.member) {
		return verdict{is: p.is, winner: *p}, true
	}
	return verdict{}, false
}

// decide is for when no owner has an item that counts: the history decides.
func (q *inquiry) decide() verdict {
	answers := make([]fence.Answer, 0, len(q.replies))
	from := make([]*reply, 0, len(q.replies))
	v := verdict{is: unasked}
	for i := range q.replies {
		p := &q.replies[i]
		if p.is == unasked {
			v.unasked = p
			continue
		}
		v.is = absent
		a := fence.Answer{Member: p.member, Has: p.is != absent}
		if a.Has {
			stamp := fence.Stamp(p.item.Flags)
			a.Version, a.Ours = stamp.Version(), stamp.Of(q.r.view.Generation)
		}
		answers, from = append(answers, a), append(from, p)
	}
	if !slices.ContainsFunc(answers, func(a fence.Answer) bool { return a.Has }) {
		return v
	}
	winner, byAbsence := q.r.history.Decide(q.key, answers, time.Now())
	if winner < 0 {
		return v
	}
	won := from[winner]
	return verdict{is: life(fence.Stamp(won.item.Flags), &won.item), winner: *won, byAbsence: byAbsence}
}

// count counts how it ended, if something was found that may have been stale.
func (q *inquiry) count(v *verdict) {
	switch {
	case !slices.ContainsFunc(q.replies, func(p reply) bool { return p.is == stale }):
	case !v.is.ends():
		q.t.metrics.inc(inquiryDropped)
	case v.winner.is == stale:
		q.t.metrics.inc(inquiryTaken)
	default:
		q.t.metrics.inc(inquiryCorrected)
	}
}
