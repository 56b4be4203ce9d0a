package memcache

import (
	"context"
	"time"
)

// Late is a Get that has no answer yet, and goes on. It is for one goroutine at a
// time.
type Late struct {
	client *Client
	asking asking
	query  query
	since  time.Time // when notice was given

	ended bool
	item  Item
	err   error
}

// GetHedged is Get that gives notice when the answer takes longer than after: it
// then returns a *Late, whose Wait has to follow, and no error. With an after of
// 0 or less it is Get.
//
// Notice comes when after has passed, within what the system's timers can do, and
// costs a request that is answered before nothing.
func (c *Client) GetHedged(ctx context.Context, key string, after time.Duration) (Item, *Late, error) {
	q := query{op: opGet, key: key}
	var err error
	if q.encoded, err = checkKey(key); err != nil {
		return Item{}, nil, err
	}
	if err := ctx.Err(); err != nil {
		return Item{}, nil, c.connError(err, false)
	}
	r := c.begin(&q)
	r.call.notice = max(after, 0)
	a, isLate, err := c.finish(ctx, &r, &q)
	if isLate {
		return Item{}, &Late{client: c, asking: r, query: q, since: time.Now()}, nil
	}
	if err == nil {
		err = c.refusal(&q, &a)
	}
	if err != nil {
		return Item{}, nil, err
	}
	return a.item(key), nil, nil
}

// Wait returns what the Get would have returned that gave notice. Its time-out
// counts from the beginning; ctx takes the place of the Get's own. A request that
// had no connection yet, or no room on it, is sent by Wait. Called again, Wait
// returns the same again.
func (l *Late) Wait(ctx context.Context) (Item, error) {
	if l.ended {
		return l.item, l.err
	}
	if !l.asking.sent {
		l.asking.call.spend(time.Since(l.since))
	}
	a, _, err := l.client.finish(ctx, &l.asking, &l.query)
	if err == nil {
		err = l.client.refusal(&l.query, &a)
	}
	if err == nil {
		l.item = a.item(l.query.key)
	}
	l.ended, l.err = true, err
	return l.item, l.err
}
