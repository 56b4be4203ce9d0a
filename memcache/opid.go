package memcache

import (
	"encoding/base64"
	"encoding/binary"
	"math"
)

// OpID names a write, so that a server that remembers what came of it can tell
// when it comes again: a caller that got no answer may then send it again, to
// the same server or to another, without its being carried out twice. A server
// that does not know of this, memcached say, takes it for any other opaque.
//
// The zero OpID names nothing.
type OpID struct {
	// Client is who writes: no two share one.
	Client uint64
	// Number tells the client's writes apart. Later writes have higher ones.
	Number uint64
	// Oldest is the lowest number of the client that has no answer yet, as far
	// as the sender knows: no write below it will come again. It is at most
	// Number; what is 2^32-1 or more below that arrives as 0.
	Oldest uint64
}

const (
	// opIDPrefix tells the opaque that is an OpID from others.
	opIDPrefix = "torc"
	// opIDBytes are Client, Number, and how far Oldest is below it in 32 bits.
	opIDBytes = 8 + 8 + 4
	// opIDLen is the length of an OpID as an opaque, without the O.
	opIDLen = len(opIDPrefix) + (opIDBytes*8+5)/6
)

// Exactly one text for each OpID.
var opIDEncoding = base64.RawURLEncoding.Strict()

// appendOpID appends id as an opaque, without the O.
func appendOpID(dst []byte, id OpID) []byte {
	var b [opIDBytes]byte
	binary.BigEndian.PutUint64(b[0:], id.Client)
	binary.BigEndian.PutUint64(b[8:], id.Number)
	distance := min(id.Number-min(id.Oldest, id.Number), math.MaxUint32)
	binary.BigEndian.PutUint32(b[16:], uint32(distance))
	return opIDEncoding.AppendEncode(append(dst, opIDPrefix...), b[:])
}

// parseOpID is the OpID that opaque is, if it is one.
func parseOpID(opaque []byte) (id OpID, ok bool) {
	if len(opaque) != opIDLen || string(opaque[:len(opIDPrefix)]) != opIDPrefix {
		return OpID{}, false
	}
	var b [opIDBytes + 1]byte // Decode needs the room
	if n, err := opIDEncoding.Decode(b[:], opaque[len(opIDPrefix):]); err != nil || n != opIDBytes {
		return OpID{}, false
	}
	id.Client = binary.BigEndian.Uint64(b[0:])
	id.Number = binary.BigEndian.Uint64(b[8:])
	distance := uint64(binary.BigEndian.Uint32(b[16:]))
	switch {
	case distance > id.Number && distance < math.MaxUint32:
		return OpID{}, false // nobody writes that
	case distance < math.MaxUint32:
		id.Oldest = id.Number - distance
	}
	return id, id != OpID{}
}

// OpID is the OpID that the request carries as its opaque. It is the same until
// the request's slices are no longer good.
func (r *Request) OpID() (OpID, bool) {
	for _, token := range r.tokens {
		if token[0] == 'O' {
			return parseOpID(token[1:])
		}
	}
	return OpID{}, false
}
