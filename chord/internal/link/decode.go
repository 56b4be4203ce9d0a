package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/memcache"
)

// Limits of what is read.
const (
	maxKey  = memcache.MaxKeyLen
	maxAddr = 320 // the longest name that DNS has, and a port
	maxRefs = 1 << 12
	// maxParts is how many parts that lists are made of a frame may have. A few bytes
	// are an empty item, which takes half a kilobyte in memory: without a limit, a
	// frame of the size allowed could ask for gigabytes.
	maxParts = 1 << 18
)

var errTruncated = errors.New("truncated")

// decoder reads a frame's messages. The first error stays; what is read after it is
// zero. What it returns shares nothing with the bytes.
type decoder struct {
	b     []byte
	parts int // read
	err   error
}

// decodeMessages reads all of b.
func decodeMessages(b []byte) ([]msg.Message, error) {
	d := decoder{b: b}
	var all []msg.Message
	for len(d.b) > 0 {
		d.part(1)
		m := d.message()
		if d.err != nil {
			return nil, fmt.Errorf("message %d of a frame: %w", len(all)+1, d.err)
		}
		all = append(all, m)
	}
	return all, nil
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) message() msg.Message {
	switch kind := wireKind(d.byte()); kind {
	case wireRing:
		return d.ring()
	case wirePing:
		return &msg.Ping{Sent: int64(d.fixed()), Claim: d.claim()}
	case wirePong:
		m := &msg.Pong{Sent: int64(d.fixed())}
		d.mask(&m.Promise, &m.Full, &m.Leaving)
		return m
	case wireQuery:
		return &msg.Query{Nonce: d.fixed(), Span: d.span()}
	case wireHoldings:
		m := &msg.Holdings{Nonce: d.fixed()}
		m.All = list(d, 8, (*decoder).holding)
		m.Claims = list(d, 8, func(d *decoder, c *msg.Claim) { *c = d.claim() })
		return m
	case wireDeposed:
		return &msg.Deposed{Claim: d.claim()}
	case wireBye:
		m := &msg.Bye{}
		d.mask(&m.Failed)
		m.Predecessor, m.List = d.ref(), d.refs()
		return m
	case wireBatch:
		m := &msg.Batch{First: d.varint()}
		m.Items = list(d, 3, (*decoder).item)
		return m
	case wireAck:
		m := &msg.Ack{Upto: d.varint()}
		d.mask(&m.Full)
		return m
	case wireRefused:
		return &msg.Refused{Number: d.varint(), Span: d.span(), Claim: d.claim()}
	default:
		d.fail(fmt.Errorf("its kind is %d, which is none", kind))
		return nil
	}
}

// part counts parts, and fails where there are too many.
func (d *decoder) part(n int) {
	if d.parts += n; d.parts > maxParts {
		d.fail(fmt.Errorf("more than %d parts", maxParts))
	}
}

// list reads a list of parts of at least so many bytes each; nil if it is empty.
func list[T any](d *decoder, least int, one func(*decoder, *T)) []T {
	n := d.varint()
	switch {
	case n == 0:
		return nil
	case n > uint64(len(d.b)/least):
		d.fail(errTruncated)
		return nil
	}
	if d.part(int(n)); d.err != nil {
		return nil
	}
	all := make([]T, n)
	for i := range all {
		if one(d, &all[i]); d.err != nil {
			return nil
		}
	}
	return all
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errTruncated)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

// flags reads a mask of so many bits.
func (d *decoder) flags(bits int) byte {
	m := d.byte()
	if m>>bits != 0 {
		d.fail(fmt.Errorf("a mask %#x of %d bits", m, bits))
	}
	return m
}

// mask reads one into bits.
func (d *decoder) mask(bits ...*bool) {
	m := d.flags(len(bits))
	for i, bit := range bits {
		*bit = m&(1<<i) != 0
	}
}

func (d *decoder) varint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) fixed() uint64 {
	if len(d.b) < 8 {
		d.fail(errTruncated)
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// bytes reads a length and so many bytes, which are the frame's still.
func (d *decoder) bytes(what string, most int) []byte {
	n := d.varint()
	switch {
	case n > uint64(most):
		d.fail(fmt.Errorf("%s of %d bytes: %d are the most", what, n, most))
	case n > uint64(len(d.b)):
		d.fail(errTruncated)
	default:
		v := d.b[:n]
		d.b = d.b[n:]
		return v
	}
	return nil
}

func (d *decoder) place() (p place.Place) {
	b := d.bytes("a place", len(p))
	copy(p[len(p)-len(b):], b)
	return p
}

func (d *decoder) ref() ring.Ref {
	var somebody bool
	if d.mask(&somebody); !somebody {
		return ring.Ref{}
	}
	return ring.Ref{Place: d.place(), Boot: d.fixed(), Addr: string(d.bytes("an address", maxAddr))}
}

func (d *decoder) refs() []ring.Ref {
	n, _ := binary.Uvarint(d.b)
	if n > maxRefs {
		d.fail(fmt.Errorf("a list of %d nodes: %d are the most", n, maxRefs))
		return nil
	}
	return list(d, 1, func(d *decoder, r *ring.Ref) { *r = d.ref() })
}

func (d *decoder) ring() *ring.Message {
	m := &ring.Message{Kind: ring.Kind(d.byte())}
	d.mask(&m.Busy, &m.Done)
	m.Nonce, m.From, m.Target = d.varint(), d.ref(), d.place()
	m.Predecessor, m.List = d.ref(), d.refs()
	return m
}

func (d *decoder) span() msg.Span { return msg.Span{From: d.place(), To: d.place()} }

func (d *decoder) term() msg.Term {
	t := msg.Term{Number: d.varint(), Boot: d.fixed()}
	d.mask(&t.Bare)
	return t
}

func (d *decoder) claim() msg.Claim {
	c := msg.Claim{Span: d.span(), Owner: d.ref(), Term: d.term(), Config: d.varint(), Graves: d.varint()}
	if n, _ := binary.Uvarint(d.b); n > msg.MaxBases {
		d.fail(fmt.Errorf("a claim with %d bases: %d are the most", n, msg.MaxBases))
		return c
	}
	c.Bases = list(d, 14, func(d *decoder, b *msg.Base) {
		*b = msg.Base{Span: d.span(), Term: d.term(), Config: d.varint(), Seq: d.varint()}
	})
	return c
}

func (d *decoder) holding(h *msg.Holding) {
	*h = msg.Holding{Span: d.span(), Claim: d.claim(), Seq: d.varint()}
	d.mask(&h.Complete, &h.Serving)
}

func (d *decoder) op() msg.OpID {
	return msg.OpID{Client: d.fixed(), Number: d.varint(), Oldest: d.varint()}
}

func (d *decoder) entry(e *msg.Entry) {
	has := d.flags(entryBits)
	e.Removed = has&entryRemoved != 0
	e.Key = string(d.bytes("a key", maxKey))
	if v := d.bytes("a value", math.MaxInt32); len(v) > 0 {
		e.Value = make([]byte, len(v)) // not of a larger capacity: it is kept
		copy(e.Value, v)
	}
	e.Stamp = d.fixed()
	if has&entryExpires != 0 {
		e.Expires = d.fixed()
	}
	if has&entryFlags != 0 {
		flags := d.varint()
		if flags > math.MaxUint32 {
			d.fail(fmt.Errorf("an entry's flags are %d", flags))
		}
		e.Flags = uint32(flags)
	}
	if has&entryMarks != 0 {
		e.Marks = d.byte()
	}
	if has&entryBy != 0 {
		e.By = d.op()
	}
}

func (d *decoder) record(r *msg.Record) {
	*r = msg.Record{Op: d.op(), Place: d.place(), Stamp: d.fixed(), Refusal: d.byte(), At: d.fixed()}
}

func (d *decoder) item(it *msg.Item) {
	it.Kind, it.Purpose = msg.Kind(d.byte()), msg.Purpose(d.byte())
	if it.Kind < msg.Write || it.Kind > msg.Nothing || it.Purpose > msg.ToMerge {
		d.fail(fmt.Errorf("an item of kind %d, for purpose %d", it.Kind, it.Purpose))
	}
	has := d.flags(itemBits)
	if has&itemSpan != 0 {
		it.Span = d.span()
	}
	if has&itemClaim != 0 {
		it.Claim = d.claim()
	}
	if has&itemTerm != 0 {
		it.Term = d.term()
	}
	if has&itemSeq != 0 {
		it.Seq = d.varint()
	}
	if has&itemNonce != 0 {
		it.Nonce = d.fixed()
	}
	if has&itemEntry != 0 {
		d.entry(&it.Entry)
	}
	if has&itemRecord != 0 {
		d.record(&it.Record)
	}
	if has&itemLists != 0 {
		it.Entries = list(d, 11, (*decoder).entry)
		it.Records = list(d, 28, (*decoder).record)
		it.Holders = d.refs()
	}
}
