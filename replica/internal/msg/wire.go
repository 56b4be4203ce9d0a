package msg

import (
	"encoding/binary"

	"github.com/torc-dht/torc/replica/internal/wire"
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

// reader reads what the append functions of this package wrote.
type reader struct{ wire.Reader }

func newReader(b []byte) reader { return reader{wire.NewReader(b, MaxMessage)} }

func (r *reader) id() ID { return ID(r.Uint64()) }

func appendID(dst []byte, id ID) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(id))
}

func appendIDs(dst []byte, ids []ID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		dst = appendID(dst, id)
	}
	return dst
}

func (r *reader) ids(limit int, what string) []ID {
	n := r.Length(limit, 8, what)
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
	return Epoch{Number: r.Uvarint(), Founder: r.id()}
}

func appendPoint(dst []byte, p Point) []byte {
	dst = appendEpoch(dst, p.Epoch)
	dst = binary.AppendUvarint(dst, p.Term)
	dst = binary.AppendUvarint(dst, p.Index)
	return binary.AppendUvarint(dst, p.Seq)
}

func (r *reader) point() Point {
	return Point{Epoch: r.epoch(), Term: r.Uvarint(), Index: r.Uvarint(), Seq: r.Uvarint()}
}

func appendVersion(dst []byte, v Version) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, v.Epoch), v.Seq)
}

func (r *reader) version() Version {
	return Version{Epoch: r.Uvarint(), Seq: r.Uvarint()}
}

func appendLineage(dst []byte, l Lineage) []byte {
	return appendPoint(wire.AppendBool(appendEpoch(dst, l.Epoch), l.Normal), l.Fork)
}

func (r *reader) lineage() Lineage {
	return Lineage{Epoch: r.epoch(), Normal: r.Bool(), Fork: r.point()}
}
