package memcache

import (
	"encoding/base64"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc/store"
)

// ResponseWriter takes what came of a request and writes it in the form in which
// that request wants its answer: the methods know text from meta commands, the
// order of flags, noreply. It is used by one handler at a time.
//
// What is written waits in a buffer until the server has no complete request
// left to carry out, or the buffer is full: then a method may block until the
// client has read, or the server's WriteTimeout is over. Writing then fails, and
// what comes after is dropped. That of a [Call] waits as long as it has to.
type ResponseWriter struct {
	req      *Request
	answered bool   // something was written for req
	status   Status // and this 1 more than the status of it; 0 is that it had none
	end      bool   // req's answer still needs its END

	buf      []byte
	pooled   *[]byte // what buf came in
	conn     net.Conn
	timeout  time.Duration // of one write, at least; 0 is none
	deadline time.Time     // that was set for writes
	err      error         // the first error of a write
	written  *atomic.Uint64

	vec  net.Buffers // of a large value, here so that it need not be allocated
	vecs [2][]byte

	change change // that the request makes of an item

	// apart says that there is no connection: another writer takes what is here.
	apart bool
	held  []heldValue // in their order
}

// heldValue is a value that belongs in a buffer, but was not copied there.
type heldValue struct {
	at    int // what comes before it, in bytes of the buffer
	value []byte
}

const (
	// outSize is how much output is gathered before it is written. The answers
	// to a full input buffer of gets of 100-byte values fit.
	outSize = 64 << 10
	// largeValue is the size from which a value is not copied on its way out.
	largeValue = 16 << 10
	// minHeld is the size from which a writer that is apart does not copy a
	// value: MaxBatch of them then take some 100 KiB.
	minHeld = 1 << 10
	// keepApart is how much room such a writer keeps for its next answer.
	keepApart = 2 << 10
)

var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, outSize+largeValue+1024); return &b }}

// begin prepares w for the answer to r.
func (w *ResponseWriter) begin(r *Request) {
	w.req, w.answered, w.status = r, false, 0
	w.end = r.Op == OpStats || r.Op == OpDump || r.Op == OpGet && !r.form.meta()
	if w.apart {
		w.buf, w.held = w.buf[:0], w.held[:0]
	} else if w.buf == nil {
		w.open()
	}
}

// open sees to it that w has a buffer.
func (w *ResponseWriter) open() {
	if w.buf == nil {
		w.pooled = outBuffers.Get().(*[]byte)
		w.buf = *w.pooled
	}
}

// finish completes the answer.
func (w *ResponseWriter) finish() {
	r := w.req
	switch {
	case w.end:
		w.append("END\r\n")
	case w.answered:
	case r.Op == OpGet, r.Op == OpInspect:
		if r.Noreply {
			return
		}
		w.append("EN")
		if r.Op == OpGet {
			w.tokens(0, r.Key, r.BinaryKey)
		}
		w.append("\r\n")
	case !r.Noreply:
		w.append(errHandlerSilent.Answer + "\r\n")
	}
	if len(w.buf) >= outSize {
		w.flush()
	}
}

// take writes the answer that is in a, which is apart.
func (w *ResponseWriter) take(a *ResponseWriter) {
	from := 0
	for _, h := range a.held {
		w.copy(a.buf[from:h.at])
		w.value(h.value)
		from = h.at
	}
	w.copy(a.buf[from:])
}

// copy writes b, which may be of any size.
func (w *ResponseWriter) copy(b []byte) {
	for len(b) > 0 {
		n := min(len(b), cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, b[:n]...)
		if b = b[n:]; len(w.buf) >= outSize {
			w.flush()
		}
	}
}

// empty forgets the answer that was taken from w, which is apart.
func (w *ResponseWriter) empty() {
	if w.buf = w.buf[:0]; cap(w.buf) > keepApart {
		w.buf = nil
	}
	clear(w.held)
	w.held = w.held[:0]
}

// flush writes what is there.
func (w *ResponseWriter) flush() {
	if w.apart {
		return
	}
	if len(w.buf) > 0 && w.err == nil {
		w.arm()
		var n int
		n, w.err = w.conn.Write(w.buf)
		w.written.Add(uint64(n))
	}
	w.buf = w.buf[:0]
}

// arm gives the next write its time. To set a deadline costs more than to read
// the clock, so it gives a quarter more and leaves that until it is used up.
func (w *ResponseWriter) arm() {
	if w.timeout <= 0 {
		return
	}
	if now := time.Now(); w.deadline.Sub(now) < w.timeout {
		w.deadline = now.Add(w.timeout + w.timeout/4)
		_ = w.conn.SetWriteDeadline(w.deadline) // fails where the write will
	}
}

// release gives the empty buffer back while there is nothing to do.
func (w *ResponseWriter) release() {
	if w.buf != nil {
		*w.pooled = w.buf[:0]
		outBuffers.Put(w.pooled)
		w.buf, w.pooled = nil, nil
	}
}

func (w *ResponseWriter) append(s string) { w.buf = append(w.buf, s...) }

// value appends a value and its line end.
func (w *ResponseWriter) value(v []byte) {
	if w.apart && len(v) >= minHeld {
		w.held = append(w.held, heldValue{len(w.buf), v})
		return
	}
	if len(v) < largeValue {
		w.buf = append(w.buf, v...)
		w.buf = append(w.buf, '\r', '\n')
		if len(w.buf) >= outSize {
			w.flush()
		}
		return
	}
	if w.err == nil {
		w.vecs = [2][]byte{w.buf, v}
		w.vec = w.vecs[:]
		w.arm()
		var n int64
		n, w.err = w.vec.WriteTo(w.conn)
		w.written.Add(uint64(n))
		w.vecs = [2][]byte{}
	}
	w.buf = append(w.buf[:0], '\r', '\n')
}

// Item shows an item that an OpGet has found under key. h is not kept.
func (w *ResponseWriter) Item(key []byte, h *Hit) {
	w.answered = true
	r := w.req
	b := w.buf
	if !r.form.meta() {
		b = append(b, "VALUE "...)
		b = append(b, key...)
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(h.Flags), 10)
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(len(h.Value)), 10)
		if r.form == formTextCAS {
			b = append(b, ' ')
			b = strconv.AppendUint(b, h.CAS, 10)
		}
		w.buf = append(b, '\r', '\n')
		w.value(h.Value)
		return
	}
	if r.form == formMetaValue {
		b = append(b, "VA "...)
		b = strconv.AppendUint(b, uint64(len(h.Value)), 10)
	} else {
		b = append(b, "HD"...)
	}
	w.buf = b
	w.hitTokens(key, h)
	if h.Sent {
		w.append(" Z")
	}
	if h.Stale {
		w.append(" X")
	}
	if h.Won {
		w.append(" W")
	}
	w.append("\r\n")
	if r.form == formMetaValue {
		w.value(h.Value)
	}
}

// hitTokens appends what the flags of a meta command ask for of h, in their
// order. A t that comes before the flag that changed the time to live shows what
// it was.
func (w *ResponseWriter) hitTokens(key []byte, h *Hit) {
	ttl := h.OldTTL
	b := w.buf
	for _, token := range w.req.tokens {
		switch token[0] {
		case 'T':
			ttl = h.TTL
		case 'N':
			if h.Created {
				ttl = h.TTL
			}
		case 't':
			b = strconv.AppendInt(append(b, " t"...), ttl, 10)
		case 'c':
			b = strconv.AppendUint(append(b, " c"...), h.CAS, 10)
		case 'O':
			b = append(append(b, ' '), token...)
		case 'k':
			b = appendKeyToken(b, key, h.BinaryKey)
		}
		if w.req.Op != OpGet {
			continue
		}
		switch token[0] {
		case 's':
			b = strconv.AppendUint(append(b, " s"...), uint64(len(h.Value)), 10)
		case 'f':
			b = strconv.AppendUint(append(b, " f"...), uint64(h.Flags), 10)
		case 'l':
			b = strconv.AppendInt(append(b, " l"...), h.Idle, 10)
		case 'h':
			b = append(b, " h0"...)
			if h.Fetched {
				b[len(b)-1] = '1'
			}
		}
	}
	w.buf = b
}

// tokens appends what the flags of a meta command ask for where there is no item
// to show: opaque and key, and the CAS of an OpSet.
func (w *ResponseWriter) tokens(cas uint64, key []byte, binary bool) {
	b := w.buf
	for _, token := range w.req.tokens {
		switch token[0] {
		case 'O':
			b = append(append(b, ' '), token...)
		case 'k':
			b = appendKeyToken(b, key, binary)
		case 'c':
			if w.req.Op == OpSet {
				b = strconv.AppendUint(append(b, " c"...), cas, 10)
			}
		}
	}
	w.buf = b
}

func appendKeyToken(b, key []byte, binary bool) []byte {
	b = append(b, " k"...)
	if !binary {
		return append(b, key...)
	}
	b = base64.StdEncoding.AppendEncode(b, key)
	return append(b, " b"...)
}

var textStatus = [OpQuit + 1][4]string{
	OpSet:    {"STORED", "NOT_STORED", "EXISTS", "NOT_FOUND"},
	OpDelete: {"DELETED", "NOT_STORED", "EXISTS", "NOT_FOUND"},
	OpTouch:  {"TOUCHED", "NOT_STORED", "EXISTS", "NOT_FOUND"},
	OpIncr:   {"OK", "NOT_STORED", "EXISTS", "NOT_FOUND"},
	OpFlush:  {"OK", "NOT_STORED", "EXISTS", "NOT_FOUND"},
	OpTune:   {"OK", "NOT_STORED", "EXISTS", "NOT_FOUND"},
}

var metaStatus = [4]string{"HD", "NS", "EX", "NF"}

// Status says what came of a request. cas is that of the item that an OpSet
// stored; elsewhere it is 0.
func (w *ResponseWriter) Status(s Status, cas uint64) {
	w.answered, w.status = true, s+1
	r := w.req
	if !r.form.meta() {
		w.text(textStatus[r.Op][s])
		return
	}
	if r.Noreply && s == StatusDone {
		return
	}
	w.append(metaStatus[s])
	w.tokens(cas, r.Key, r.BinaryKey)
	w.append("\r\n")
}

// Outcome returns what Status was called with, if it was.
func (w *ResponseWriter) Outcome() (s Status, ok bool) { return w.status - 1, w.status > 0 }

// Number says what an OpIncr has made of the number in the item h.
func (w *ResponseWriter) Number(n uint64, h *Hit) {
	w.answered = true
	r := w.req
	if r.Noreply && !h.Created {
		return
	}
	var digits [20]byte
	number := strconv.AppendUint(digits[:0], n, 10)
	switch r.form {
	case formMetaValue:
		w.append("VA ")
		w.buf = strconv.AppendUint(w.buf, uint64(len(number)), 10)
		w.hitTokens(r.Key, h)
		w.append("\r\n")
		w.value(number)
	case formMeta:
		w.append("HD")
		w.hitTokens(r.Key, h)
		w.append("\r\n")
	default:
		w.value(number)
	}
}

// Inspect shows all that is known of the item at an OpInspect's key.
func (w *ResponseWriter) Inspect(h *Hit) {
	w.answered = true
	b := append(w.buf, "ME "...)
	if h.BinaryKey {
		b = base64.StdEncoding.AppendEncode(b, w.req.Key)
	} else {
		b = append(b, w.req.Key...)
	}
	exp := -h.TTL // memcached counts down to it
	if h.TTL < 0 {
		exp = -1
	}
	b = strconv.AppendInt(append(b, " exp="...), exp, 10)
	b = strconv.AppendInt(append(b, " la="...), h.Idle, 10)
	w.buf = appendItemFacts(b, h.CAS, h.Fetched, h.Size)
	w.append("\r\n")
}

func appendItemFacts(b []byte, cas uint64, fetched bool, size int64) []byte {
	b = strconv.AppendUint(append(b, " cas="...), cas, 10)
	if fetched {
		b = append(b, " fetch=yes"...)
	} else {
		b = append(b, " fetch=no"...)
	}
	return strconv.AppendInt(append(b, " cls=1 size="...), size, 10)
}

// Dump writes one item's line of an OpDump. The error is that of the connection:
// there is nobody to write to any more.
func (w *ResponseWriter) Dump(it *store.Item) error {
	b := append(w.buf, "key="...)
	for i := range len(it.Key) {
		c := it.Key[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			const hex = "0123456789ABCDEF"
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	second := int64(time.Second)
	exp := int64(-1)
	if it.Expires != 0 {
		exp = (it.Expires + second - 1) / second
	}
	b = strconv.AppendInt(append(b, " exp="...), exp, 10)
	b = strconv.AppendInt(append(b, " la="...), it.Accessed/second, 10)
	b = appendItemFacts(b, it.CAS, it.Fetched, store.Size(len(it.Key), it.Value))
	w.buf = append(b, '\n')
	if len(w.buf) >= outSize {
		w.flush()
	}
	return w.err
}

// Stat writes one figure of an OpStats.
func (w *ResponseWriter) Stat(name, value string) {
	w.append("STAT ")
	w.append(name)
	w.append(" ")
	w.append(value)
	w.append("\r\n")
}

// Line answers with one line, which has no line end, and nothing else.
func (w *ResponseWriter) Line(line string) {
	w.answered, w.end = true, false
	w.append(line)
	w.append("\r\n")
}

// Error answers with an ERROR, CLIENT_ERROR or SERVER_ERROR line, given without
// its end: instead of whatever else would have come, END included.
func (w *ResponseWriter) Error(line string) {
	w.answered, w.end = true, false
	if w.req.form.meta() {
		w.Line(line)
	} else {
		w.text(line)
	}
}

// text writes a line unless the request is one that wants no reply.
func (w *ResponseWriter) text(line string) {
	if !w.req.Noreply {
		w.Line(line)
	}
}
