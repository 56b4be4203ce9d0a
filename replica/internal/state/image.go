package state

import (
	"encoding/binary"

	"github.com/tidwall/btree"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/wire"
)

// Image is a state as it was at one time, to be sent somewhere in chunks. It
// doesn't change. One goroutine may use it while another goes on with its state.
//
// The chunks, one after another, are
//
//	version │ limits │ time │ writes │ merged │ dropped │ number of items │ of records │ items, by key │ records, by age
//
// and each ends between two items or records.
type Image struct {
	head    []byte
	items   *btree.Map[string, *item]
	records *ledger

	// Where Next goes on.
	begun    bool
	item     btree.MapIter[string, *item]
	inItems  bool // item is at one
	page, at int  // the next record
}

const imageVersion = 1

// Image returns the state as it is now. That takes about a microsecond, and a few
// more for a million records; afterwards the state copies each node of its tree,
// and each page of its ledger, before it first changes it: some dozens of pointers.
func (s *State) Image() *Image {
	head := []byte{imageVersion}
	for _, v := range []uint64{
		s.limits.Bytes, uint64(s.limits.Records), s.limits.RecordBytes,
		s.now, s.seq, s.merged, s.dropped,
		uint64(s.items.Len()), uint64(s.records.ledger.n),
	} {
		head = binary.AppendUvarint(head, v)
	}
	return &Image{head: head, items: s.items.Copy(), records: s.records.ledger.copy()}
}

// Restart makes Next begin again.
func (im *Image) Restart() { im.begun = false }

// Next returns the next chunk, and whether it is the last one. A chunk ends with
// what brings it to size bytes: so it may be longer, by an item or a record.
func (im *Image) Next(size int) (chunk []byte, last bool) {
	chunk = make([]byte, 0, size+size/8)
	if !im.begun {
		im.begun = true
		chunk = append(chunk, im.head...)
		im.item = im.items.Iter()
		im.inItems = im.item.First()
		im.page, im.at = 0, 0
	}
	for ; im.inItems && len(chunk) < size; im.inItems = im.item.Next() {
		chunk = appendItem(chunk, im.item.Value())
	}
	if im.inItems {
		return chunk, false
	}
	for ; im.page < len(im.records.pages); im.page, im.at = im.page+1, 0 {
		for _, r := range im.records.pages[im.page].records[im.at:] {
			if len(chunk) >= size {
				return chunk, false
			}
			chunk = appendRecord(chunk, r)
			im.at++
		}
	}
	return chunk, true
}

// An item is
//
//	flags │ key │ [value] │ epoch, seq │ time │ [expires] │ [client, seq]
const (
	itemRemoved = 1 << 0 // and there is no value
	itemExpires = 1 << 1
	itemBy      = 1 << 2
	itemMayBe   = 1 << 3
	itemFlags   = 1<<4 - 1
)

func appendItem(dst []byte, it *item) []byte {
	var flags byte
	if it.removed {
		flags |= itemRemoved
	}
	if it.expires != 0 {
		flags |= itemExpires
	}
	if it.by.Client != 0 {
		flags |= itemBy
	}
	if it.mayBe {
		flags |= itemMayBe
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(len(it.key)))
	dst = append(dst, it.key...)
	if !it.removed {
		dst = wire.AppendBytes(dst, it.value)
	}
	dst = appendVersion(dst, it.version)
	dst = binary.AppendUvarint(dst, it.time)
	if it.expires != 0 {
		dst = binary.AppendUvarint(dst, it.expires)
	}
	if it.by.Client != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, it.by.Client)
		dst = binary.AppendUvarint(dst, it.by.Seq)
	}
	return dst
}

// A record is
//
//	flags │ client │ seq │ acked │ time │ status │ [old value, its epoch, seq] │ [epoch, seq]
const (
	recordFound   = 1 << 0
	recordVersion = 1 << 1
	recordFlags   = 1<<2 - 1
)

func appendRecord(dst []byte, r *record) []byte {
	var flags byte
	if r.result.Found {
		flags |= recordFound
	}
	if r.result.Version != (msg.Version{}) {
		flags |= recordVersion
	}
	dst = append(dst, flags)
	dst = binary.LittleEndian.AppendUint64(dst, r.id.Client)
	dst = binary.AppendUvarint(dst, r.id.Seq)
	dst = binary.AppendUvarint(dst, r.id.Acked)
	dst = binary.AppendUvarint(dst, r.time)
	dst = append(dst, byte(r.result.Status))
	if r.result.Found {
		dst = appendVersion(wire.AppendBytes(dst, r.result.Old), r.result.OldVersion)
	}
	if flags&recordVersion != 0 {
		dst = appendVersion(dst, r.result.Version)
	}
	return dst
}

func appendVersion(dst []byte, v msg.Version) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, v.Epoch), v.Seq)
}
