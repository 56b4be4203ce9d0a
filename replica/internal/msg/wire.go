package msg

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What one message may hold. Who takes an operation from outside keeps to these,
// since encoding doesn't look: what is above them can be encoded and not decoded.
const (
	// MaxKey and MaxValue bound the bytes of a key and of a value.
	MaxKey   = 64 << 10
	MaxValue = 4 << 20
	// MaxOps bounds the operations, or answers, or raft's messages, of one message
	// or one entry.
	MaxOps = 1 << 16
	// MaxMessage bounds the bytes of an encoded message or entry.
	MaxMessage = 9 << 20
	// MaxForgotten bounds View.Forgotten.
	MaxForgotten = 256
)

// errShort: the bytes end before what they hold does.
var errShort = errors.New("replica: message is cut off")

// reader takes apart what the append functions put together. The first mistake
// stays: what is read after it is zero, so that only the end has to look.
type reader struct {
	b   []byte
	err error
}

func newReader(b []byte) reader {
	r := reader{b: b}
	if len(b) > MaxMessage {
		r.fail("message of %d bytes: at most %d", len(b), MaxMessage)
	}
	return r
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("replica: "+format, args...)
	}
	r.b = nil
}

func (r *reader) short() {
	if r.err == nil {
		r.err = errShort
	}
	r.b = nil
}

// end returns the first mistake; bytes that are left over are one.
func (r *reader) end() error {
	if len(r.b) > 0 {
		r.fail("%d bytes behind the end of a message", len(r.b))
	}
	return r.err
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.short()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// flags reads a byte in which only the bits of known may be set.
func (r *reader) flags(known byte, what string) byte {
	f := r.byte()
	if f&^known != 0 {
		r.fail("%s has flags %#x: known are %#x", what, f, known)
		return 0
	}
	return f
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		if n < 0 {
			r.fail("a number has more than 64 bits")
		} else {
			r.short()
		}
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.short()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) id() ID { return ID(r.uint64()) }

// length reads how many things of at least size bytes each follow: at most limit.
func (r *reader) length(limit, size int, what string) int {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail("%d %s: at most %d", n, what, limit)
		return 0
	}
	if n*uint64(size) > uint64(len(r.b)) {
		r.short()
		return 0
	}
	return int(n)
}

// bytes reads a length and as many bytes, which alias what is read; no bytes are
// nil. They can't be appended to in place.
func (r *reader) bytes(limit int, what string) []byte {
	n := r.length(limit, 1, what)
	if n == 0 {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func appendID(dst []byte, id ID) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(id))
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendIDs(dst []byte, ids []ID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		dst = appendID(dst, id)
	}
	return dst
}

func (r *reader) ids(limit int, what string) []ID {
	n := r.length(limit, 8, what)
	if n == 0 {
		return nil
	}
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = r.id()
	}
	return ids
}

func appendEpoch(dst []byte, e Epoch) []byte {
	return appendID(binary.AppendUvarint(dst, e.Number), e.Founder)
}

func (r *reader) epoch() Epoch {
	return Epoch{Number: r.uvarint(), Founder: r.id()}
}

func appendPoint(dst []byte, p Point) []byte {
	dst = appendEpoch(dst, p.Epoch)
	dst = binary.AppendUvarint(dst, p.Term)
	dst = binary.AppendUvarint(dst, p.Index)
	return binary.AppendUvarint(dst, p.Seq)
}

func (r *reader) point() Point {
	return Point{Epoch: r.epoch(), Term: r.uvarint(), Index: r.uvarint(), Seq: r.uvarint()}
}

func appendVersion(dst []byte, v Version) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, v.Epoch), v.Seq)
}

func (r *reader) version() Version {
	return Version{Epoch: r.uvarint(), Seq: r.uvarint()}
}

func appendLineage(dst []byte, l Lineage) []byte {
	return appendPoint(appendBool(appendEpoch(dst, l.Epoch), l.Normal), l.Fork)
}

func (r *reader) lineage() Lineage {
	return Lineage{Epoch: r.epoch(), Normal: r.bool(), Fork: r.point()}
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (r *reader) bool() bool { return r.flags(1, "yes or no") != 0 }
