package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort: the bytes end before what they hold does.
var ErrShort = errors.New("replica: message is cut off")

// Reader reads from the front of its bytes.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a Reader of b, of which it makes a mistake if it has more than
// limit bytes.
func NewReader(b []byte, limit int) Reader {
	r := Reader{b: b}
	if len(b) > limit {
		r.Fail("message of %d bytes: at most %d", len(b), limit)
	}
	return r
}

// Fail makes a mistake of what was read, unless there is one already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("replica: "+format, args...)
	}
	r.b = nil
}

func (r *Reader) short() {
	if r.err == nil {
		r.err = ErrShort
	}
	r.b = nil
}

// Err returns the first mistake.
func (r *Reader) Err() error { return r.err }

// Len returns how many bytes are left; after a mistake none are.
func (r *Reader) Len() int { return len(r.b) }

// End returns the first mistake; bytes that are left over are one.
func (r *Reader) End() error {
	if len(r.b) > 0 {
		r.Fail("%d bytes behind the end of a message", len(r.b))
	}
	return r.err
}

// Byte reads a byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.short()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// Flags reads a byte in which only the bits of known may be set; what names whose
// they are.
func (r *Reader) Flags(known byte, what string) byte {
	f := r.Byte()
	if f&^known != 0 {
		r.Fail("%s has flags %#x: known are %#x", what, f, known)
		return 0
	}
	return f
}

// Bool reads a byte that is 0 or 1.
func (r *Reader) Bool() bool { return r.Flags(1, "yes or no") != 0 }

// AppendBool appends what Bool reads.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// Uvarint reads what binary.AppendUvarint wrote.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		if n < 0 {
			r.Fail("a number has more than 64 bits")
		} else {
			r.short()
		}
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Uint32 reads four bytes, the lowest first.
func (r *Reader) Uint32() uint32 {
	if len(r.b) < 4 {
		r.short()
		return 0
	}
	v := binary.LittleEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

// Uint64 reads eight bytes, the lowest first.
func (r *Reader) Uint64() uint64 {
	if len(r.b) < 8 {
		r.short()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// Length reads a number of things: at most limit, and no more than there is room
// for in what is left, when each has at least size bytes. So memory for as many can
// be taken at once.
func (r *Reader) Length(limit, size int, what string) int {
	n := r.Uvarint()
	if n > uint64(limit) {
		r.Fail("%d %s: at most %d", n, what, limit)
		return 0
	}
	if n*uint64(size) > uint64(len(r.b)) {
		r.short()
		return 0
	}
	return int(n)
}

// Next reads n bytes. They alias what is read, and can't be appended to in place.
func (r *Reader) Next(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.short()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// Bytes reads a length, at most limit, and as many bytes, as Next does; no bytes
// are nil.
func (r *Reader) Bytes(limit int, what string) []byte {
	n := r.Length(limit, 1, what)
	if n == 0 {
		return nil
	}
	return r.Next(uint64(n))
}

// AppendBytes appends what Bytes reads.
func AppendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
