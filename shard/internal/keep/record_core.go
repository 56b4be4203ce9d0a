package keep

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/torc-dht/torc/shard/slots"
)

// record is what is kept: a map, and who wrote it. In bytes, numbers being
// little-endian:
//
//	"torc map"  format(1)  checksum(4)  writer(8)  number(8)  map
//
// The checksum is CRC-32C of all that comes after it. The map is as package slots
// writes it, or nothing.
type record struct {
	// writer is random, of one reign; number grows with each record that it tries to
	// write. No two records that differ have both alike.
	writer, number uint64
	last           *slots.Map // nil if there is none
}

const (
	magic        = "torc map"
	recordFormat = 1

	sumAt    = len(magic) + 1
	writerAt = sumAt + 4
	headLen  = writerAt + 8 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The ways in which bytes are not a record.
var (
	errForeign = errors.New("it is not a map of torc's")
	errNewer   = errors.New("a newer torc wrote it")
	errDamaged = errors.New("it is damaged")
)

// encode returns r in bytes. It refuses a map that doesn't pass its Check.
func (r record) encode() ([]byte, error) {
	b := make([]byte, headLen, 48<<10)
	copy(b, magic)
	b[len(magic)] = recordFormat
	binary.LittleEndian.PutUint64(b[writerAt:], r.writer)
	binary.LittleEndian.PutUint64(b[writerAt+8:], r.number)
	if r.last != nil {
		var err error
		if b, err = r.last.AppendBinary(b); err != nil {
			return nil, err
		}
	}
	binary.LittleEndian.PutUint32(b[sumAt:], crc32.Checksum(b[writerAt:], castagnoli))
	return b, nil
}

// decode reads what encode has written, and nothing else. It keeps nothing of data.
// The error wraps one of those above.
func decode(data []byte) (record, error) {
	begin := data[:min(len(data), len(magic))]
	switch {
	case !bytes.Equal(begin, []byte(magic[:len(begin)])):
		return record{}, fmt.Errorf("%w: it begins with %q", errForeign, begin)
	case len(data) > len(magic) && data[len(magic)] > recordFormat:
		return record{}, fmt.Errorf("%w: its format is %d, and this one knows %d", errNewer, data[len(magic)], recordFormat)
	case len(data) < headLen:
		return record{}, fmt.Errorf("%w: it has %d bytes only", errDamaged, len(data))
	case data[len(magic)] != recordFormat:
		return record{}, fmt.Errorf("%w: its format is %d", errDamaged, data[len(magic)])
	case binary.LittleEndian.Uint32(data[sumAt:]) != crc32.Checksum(data[writerAt:], castagnoli):
		return record{}, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	r := record{
		writer: binary.LittleEndian.Uint64(data[writerAt:]),
		number: binary.LittleEndian.Uint64(data[writerAt+8:]),
	}
	if len(data) > headLen {
		r.last = new(slots.Map)
		if err := r.last.UnmarshalBinary(data[headLen:]); err != nil {
			return record{}, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	return r, nil
}
