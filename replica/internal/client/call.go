package client

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
)

// repeatFor is for how long a write is sent again. Servers remember what came of it
// for ten minutes; what arrives after that would be carried out twice.
const repeatFor = 5 * time.Minute

// verdict is what an answer means for its request.
type verdict uint8

const (
	final   verdict = iota // it is what came of it
	again                  // nothing was done: ask somebody else
	unknown                // it may have been done; ask somebody else
)

// judge says what an answer of that code means.
func judge(code int) verdict {
	switch code {
	case http.StatusServiceUnavailable, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return again
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return unknown
	}
	return final
}

// result is what came of asking one host.
type result struct {
	host   int
	answer Answer // of Code 0: there is a connection, and nothing was asked
	err    error  // why there is none
	sent   bool   // of an err: the request may have been sent
}

// call is one request under way. It is used again when nothing refers to it: when
// each connection has given a result or was abandoned.
type call struct {
	client  *Client
	request Request
	out     []byte // the request as it is sent
	plan    plan
	results chan result     // has room for one of each host
	conns   [MaxHosts]*conn // over which an answer is waited for
	timer   *time.Timer     // stopped between uses
	last    result          // the last that failed
	unheard time.Time       // when a write that was sent first got no answer
}

// maxKept is how large a buffer is kept for the next request, in bytes.
const maxKept = 16 << 10

func newCall(c *Client) *call {
	k := &call{client: c, results: make(chan result, MaxHosts), timer: time.NewTimer(time.Hour)}
	k.timer.Stop()
	return k
}

// take returns a call of this request.
func (c *Client) take(r Request) *call {
	k := c.calls.Get().(*call)
	k.request = r
	k.plan = plan{hosts: len(c.hosts), hedge: c.hedge(&r)}
	return k
}

// hedge returns after how long a silence the request goes to another host, too. Where
// all take long, since they have much to do, it is later: to ask more of them would
// not help.
func (c *Client) hedge(r *Request) time.Duration {
	least, usual := c.config.Hedge, &c.usualRead
	if r.writes() {
		least, usual = c.config.HedgeWrite, &c.usualWrite
	}
	if least == 0 {
		return 0
	}
	return max(least, min(hedgeUsual*usual.get(), maxHedge))
}

const (
	// hedgeUsual is how many times as long as usual a host may take before it counts
	// as silent.
	hedgeUsual = 4
	// maxHedge bounds what that comes to.
	maxHedge = time.Second
)

// usual is how long something has taken of late, about.
type usual struct{ nanos atomic.Int64 }

func (u *usual) get() time.Duration { return time.Duration(u.nanos.Load()) }

// add counts one more. Of two that come at once one may be lost.
func (u *usual) add(took time.Duration) {
	const weight = 16 // of the past, against one
	was := u.nanos.Load()
	u.nanos.Store(was + (int64(took)-was)/weight)
}

// release gives up on what is still waited for, and keeps k for another request. It
// says whether a request may have been sent that has no answer.
func (k *call) release() (sent bool) {
	for h := range k.plan.waiting.places() {
		sent = k.abandon(h) || sent
	}
	k.timer.Stop()
	k.request, k.last, k.unheard = Request{}, result{}, time.Time{}
	if cap(k.out) > maxKept {
		k.out = nil
	}
	k.client.calls.Put(k)
	return sent
}

// abandon gives up on the answer of a host that was asked. It says whether the
// request may have been sent.
func (k *call) abandon(h int) (sent bool) {
	c := k.conns[h]
	k.conns[h] = nil
	k.plan.fail(h)
	sent, heard := k.client.hosts[h].abandon(k, c)
	if heard {
		k.drop(h)
	}
	return sent
}

// drop takes the result of a host, which is there, out of those of all.
func (k *call) drop(h int) {
	for {
		r := <-k.results
		if r.host == h {
			return
		}
		k.results <- r
	}
}

// takeOut returns the bytes of the request for good.
func (k *call) takeOut() []byte {
	out := k.out
	k.out = nil
	return out
}

// Do asks until somebody answers. A deadline of ctx bounds that or, if it has none,
// timeout. The error is a *Failure.
//
// Answers that can't be final are not returned: of a server that can't serve, or
// doesn't know what came of the request.
func (c *Client) Do(ctx context.Context, r Request, timeout time.Duration) (Answer, error) {
	if err := ctx.Err(); err != nil {
		return Answer{}, &Failure{Ended: err}
	}
	if r.writes() {
		r.Op.ID = c.number()
		defer c.done(r.Op.ID)
	}
	k := c.take(r)
	now := time.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = now.Add(timeout)
	}
	for {
		if err := k.proceed(now); err != nil {
			return k.failed(err)
		}
		k.timer.Reset(k.plan.wake(deadline).Sub(now))
		select {
		case r := <-k.results:
			now = time.Now()
			if k.heard(r, now) {
				k.answered(&r.answer, now)
				return r.answer, nil
			}
		case <-k.timer.C:
			now = time.Now()
		case <-ctx.Done():
			return k.failed(ctx.Err())
		case <-c.life.Done():
			return k.failed(torc.ErrClosed)
		}
		switch {
		case !now.Before(deadline):
			return k.failed(context.DeadlineExceeded)
		case !k.unheard.IsZero() && now.Sub(k.unheard) > repeatFor:
			return k.failed(nil)
		}
	}
}

// proceed gives up on who has been silent for too long, and asks who is next.
func (k *call) proceed(now time.Time) error {
	for h := range k.plan.overdue(now).places() {
		k.noteSent(k.abandon(h), now)
		k.last = result{host: h, err: errSilent}
		k.client.hosts[h].fail(errSilent)
	}
	prefer := k.client.config.Sticky || k.request.writes()
	for {
		candidates := k.plan.next(now)
		if candidates == 0 {
			return nil
		}
		h := k.client.choose(candidates, prefer)
		if err := k.client.hosts[h].ask(k); err != nil {
			return err
		}
		k.plan.ask(h, now)
	}
}

func (k *call) noteSent(sent bool, now time.Time) {
	if sent && k.request.writes() && k.unheard.IsZero() {
		k.unheard = now
	}
}

// heard takes a result, and says whether it is the answer.
func (k *call) heard(r result, now time.Time) bool {
	k.conns[r.host] = nil
	k.plan.fail(r.host) // or it doesn't matter
	if r.err == nil && !k.request.fits(&r.answer) {
		r.err, r.sent = foreign("an answer without X-Torc-Version"), true
	}
	if r.err == nil {
		switch judge(r.answer.Code) {
		case final:
			return true
		case unknown:
			k.noteSent(true, now)
		}
		r.err = unable{string(r.answer.Body)}
	} else {
		k.noteSent(r.sent, now)
	}
	k.last = r
	return false
}

// answered ends the call with its answer, and takes from it what counts for others.
func (k *call) answered(a *Answer, now time.Time) {
	c := k.client
	c.learn(&k.request, a)
	took := &c.usualRead
	if k.request.writes() {
		took = &c.usualWrite
	}
	took.add(now.Sub(k.plan.asked[a.Host]))
	silent := k.plan.silent(now, c.hedge(&k.request))
	k.release()
	for h := range silent.places() {
		c.hosts[h].fail(errSilent)
	}
}

// failed ends the call with no answer.
func (k *call) failed(ended error) (Answer, error) {
	c, write := k.client, k.request.writes()
	f := &Failure{Ended: ended, Last: k.last.err}
	at := k.last.host
	if f.Last == nil {
		for h := range k.plan.waiting.places() {
			f.Last, at = errSilent, h
		}
	}
	if f.Last != nil {
		f.Host, f.Since = c.hosts[at].addr, c.hosts[at].failingSince()
	}
	unheard := !k.unheard.IsZero()
	f.Sent = k.release() && write || unheard
	return Answer{}, f
}

// Ask asks one host, once. The error is a *Failure; an answer that says that the
// host can't serve is one.
func (c *Client) Ask(ctx context.Context, host int, r Request, within time.Duration) (Answer, error) {
	k := c.take(r)
	if err := c.hosts[host].ask(k); err != nil {
		return k.failed(err)
	}
	k.plan.ask(host, time.Now())
	k.timer.Reset(within)
	select {
	case r := <-k.results:
		if k.heard(r, time.Now()) {
			k.release()
			return r.answer, nil
		}
		return k.failed(nil)
	case <-k.timer.C:
		return k.failed(context.DeadlineExceeded)
	case <-ctx.Done():
		return k.failed(ctx.Err())
	case <-c.life.Done():
		return k.failed(torc.ErrClosed)
	}
}

// Race connects to all hosts, the next when stagger has passed or one has failed,
// in an order of chance, and prefers the one that is there first.
func (c *Client) Race(ctx context.Context, stagger time.Duration) {
	k := c.take(Request{})
	defer k.release()
	order := rand.Perm(len(c.hosts))
	for pending := 0; len(order) > 0 || pending > 0; {
		if len(order) > 0 {
			if c.hosts[order[0]].connect(k) != nil {
				return
			}
			k.plan.waiting = k.plan.waiting.with(order[0])
			order, pending = order[1:], pending+1
		}
		if len(order) > 0 {
			k.timer.Reset(stagger)
		}
		select {
		case r := <-k.results:
			pending--
			k.plan.fail(r.host)
			if r.err == nil {
				c.Prefer(r.host)
				return
			}
		case <-k.timer.C:
		case <-ctx.Done():
			return
		case <-c.life.Done():
			return
		}
	}
}
