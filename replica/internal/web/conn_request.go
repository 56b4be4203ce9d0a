package web

import (
	"errors"
	"io"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// request reads the request that has begun to arrive, carries it out and answers.
// It tells whether the connection goes on.
func (c *conn) request() bool {
	if classes[c.in[c.r]]&isToken == 0 {
		c.refuse(badStart)
		return false
	}
	head, err := c.readHead()
	if err != nil {
		c.giveUp(err)
		return false
	}
	q := &c.q
	a := &c.answer
	refused := q.parse(head, c.MaxKey, c.MaxValue)
	lasts := q.lasts() && q.length <= 0
	var body []byte
	switch {
	case refused != nil:
	case q.length > 0:
		if body, err = c.readBody(int(q.length)); err != nil {
			refused = c.refusalOf(err)
			if refused == nil {
				return false
			}
			break
		}
		lasts = q.lasts()
	case q.write:
		if !c.take(len(q.value)) {
			refused = noMemory
			break
		}
		body = append(make([]byte, 0, len(q.value)), q.value...)
	}
	a.modern, a.bare = q.framed && q.modern(), q.method == methodHead
	if q.framed && q.extended() && c.Leader != nil {
		a.leader = c.Leader()
	}
	var op *msg.Op
	if refused == nil && !q.members {
		op = q.op(body)
	}
	q.drop()
	c.shrink()
	switch {
	case refused != nil:
		c.refused(refused)
	case q.members && c.Members == nil:
		a.fail(noMembers.status, noMembers.text)
	case q.members:
		a.status, a.json, a.value = 200, true, c.Members()
	default:
		result, err := c.Backend.Do(op)
		a.outcome(q, op, &result, err)
		c.pay(op)
	}
	lasts = lasts && !c.closing.Load()
	a.closes = !lasts
	if !c.write() {
		return false
	}
	if !lasts && (refused != nil || c.r < c.w) {
		c.linger()
	}
	c.settle()
	return lasts
}

// readHead reads the head of a request, and consumes it. It is good until more.
// The error may be a refusal.
func (c *conn) readHead() ([]byte, error) {
	f := headFinder{maxLine: maxLineBytes(c.MaxKey, c.MaxValue)}
	for {
		here := c.in[c.r:c.w]
		n, refused := f.find(here)
		if refused != nil {
			return nil, refused
		}
		if n > 0 {
			c.r += n
			return here[:n], nil
		}
		if err := c.more(); err != nil {
			if ended(err) && f.endsLiterally(c.in[c.r:c.w]) {
				here := c.in[c.r:c.w]
				c.r = c.w
				return here, nil
			}
			return nil, err
		}
	}
}

// firstPart is the most memory that is taken for a value before any of it has
// come.
const firstPart = 64 << 10

// readBody reads a body of n bytes, memory being taken as it comes: a promise of
// a long one costs nothing. The error may be a refusal.
func (c *conn) readBody(n int) ([]byte, error) {
	here := c.in[c.r:min(c.w, c.r+n)]
	c.r += len(here)
	if c.q.proceeds && len(here) == 0 {
		c.armWrite(time.Now())
		if _, err := io.WriteString(c.nc, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return nil, err
		}
	}
	size := min(n, max(firstPart, len(here)))
	if !c.take(size) {
		return nil, noMemory
	}
	body := append(make([]byte, 0, size), here...)
	for len(body) < n {
		c.arm()
		if len(body) == cap(body) {
			size := min(n, 2*cap(body))
			if !c.take(size) {
				return nil, noMemory
			}
			old := cap(body)
			body = append(make([]byte, 0, size), body...)
			c.budget.give(old)
			c.taken -= old
		}
		m, err := c.nc.Read(body[len(body):cap(body)])
		body = body[:len(body)+m]
		if err != nil && len(body) < n {
			return nil, err
		}
	}
	return body, nil
}

// pay takes what the answer holds until it is read. If the budget hasn't got it,
// the client is told that instead, and what became of op.
func (c *conn) pay(op *msg.Op) {
	a := &c.answer
	switch {
	case a.bare || c.take(len(a.value)):
	case op.Kind == msg.Get:
		c.refused(noMemory)
	default:
		c.stats.refused.Add(1)
		a.fail(noAnswer.status, noAnswer.text)
	}
}

// refusalOf returns what is said to a client whose request did not arrive because
// of err; nil if nobody would hear it.
func (c *conn) refusalOf(err error) *refusal {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return refused
	case ended(err):
		return cutOff
	case timedOut(err) && c.closing.Load():
		return shuttingDown
	case timedOut(err):
		return tooSlow
	}
	return nil
}

// giveUp ends the connection of which no request could be read.
func (c *conn) giveUp(err error) {
	if refused := c.refusalOf(err); refused != nil {
		c.refuse(refused)
	}
}

// refuse answers what can't be answered as a request, as the requirement's own
// form is, and sees to it that the client can read it.
func (c *conn) refuse(r *refusal) {
	c.answer.closes = true
	c.refused(r)
	if c.write() {
		c.linger()
	}
}

// refused makes the answer say r.
func (c *conn) refused(r *refusal) {
	switch {
	case r == tooSlow:
		c.stats.slow.Add(1)
	case r.status == 503:
		c.stats.refused.Add(1)
	default:
		c.stats.bad.Add(1)
	}
	a := &c.answer
	a.fail(r.status, r.text)
	switch r {
	case badMethod:
		a.allow = "GET, HEAD"
	case badMethodOfOp:
		a.allow = "GET, HEAD, PUT, DELETE"
	}
}

// write writes the answer, which is empty afterwards, and tells whether that went
// well.
func (c *conn) write() bool {
	a := &c.answer
	b := newBlock()
	out := c.style.appendHead(b[:0], a)
	var rest []byte
	if !a.bare {
		out = a.appendStart(out)
		if rest = a.value; len(out)+len(rest) <= cap(out) {
			out = append(out, rest...)
			rest = nil
		}
	}
	c.armWrite(time.Now())
	var err error
	if len(rest) == 0 {
		_, err = c.nc.Write(out)
	} else {
		c.vector = [2][]byte{out, rest}
		c.pieces = c.vector[:]
		_, err = c.pieces.WriteTo(c.nc)
		c.vector, c.pieces = [2][]byte{}, nil
	}
	*a = answer{}
	freeBlock(b)
	if timedOut(err) {
		c.stats.slow.Add(1)
	}
	return err == nil
}

// armWrite sees to it that a write that begins now may take the time-out, and up
// to a quarter more; or, when the server ends, what is left to those who don't read.
func (c *conn) armWrite(now time.Time) {
	if left := c.writeBy.Sub(now); left < c.WriteTimeout {
		c.setWriteBy(now.Add(c.WriteTimeout + c.WriteTimeout/4))
	}
	if c.closing.Load() { // looked at behind the rest: stop sets a deadline, too
		c.setWriteBy(now.Add(shutdownGrace))
	}
}

func (c *conn) setWriteBy(t time.Time) {
	c.writeBy = t
	_ = c.nc.SetWriteDeadline(t) // fails where the write will
}

// linger ends our side and reads what the client still sends, for a while: to
// close with something unread would reset the connection, and the answer may be
// lost with it.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.settle()
	c.release()
	c.setReadBy(time.Now().Add(lingerTime))
	b := newBlock()
	defer freeBlock(b)
	for n := 0; n < lingerBytes; {
		m, err := c.nc.Read(b[:])
		if n += m; err != nil {
			return
		}
	}
}
