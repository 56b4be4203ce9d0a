package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// Batches are read and written without the generated code, in the very form that
// shard.proto gives them: protobuf-go would allocate ten objects an entry. The
// tests hold both against each other.

const (
	// maxKey is the longest key in bytes, that of memcached's protocol.
	maxKey = 250
	// maxParts is how many items a batch may have, and entries or ops an item.
	// Two bytes are an empty one, which takes up to 200 in memory: without a
	// limit, a message of the size allowed could ask for gigabytes.
	maxParts = 1 << 18
)

// A field's key: its number, and how its value is written.
const (
	varintField  = uint64(protowire.VarintType)
	fixed64Field = uint64(protowire.Fixed64Type)
	bytesField   = uint64(protowire.BytesType)

	epochTerm    = 1<<3 | varintField
	epochBoot    = 2<<3 | fixed64Field
	epochCounter = 3<<3 | varintField

	batchEpoch    = 1<<3 | bytesField
	batchAnswered = 2<<3 | varintField
	batchFirst    = 3<<3 | varintField
	batchItem     = 4<<3 | bytesField

	itemKind    = 1<<3 | varintField
	itemSlot    = 2<<3 | varintField
	itemSeq     = 3<<3 | varintField
	itemEntry   = 4<<3 | bytesField
	itemOp      = 5<<3 | bytesField
	itemEntries = 6<<3 | bytesField
	itemOps     = 7<<3 | bytesField

	entryKey     = 1<<3 | bytesField
	entryValue   = 2<<3 | bytesField
	entryFlags   = 3<<3 | varintField
	entryMarks   = 4<<3 | varintField
	entryGone    = 5<<3 | varintField
	entryVersion = 6<<3 | varintField
	entryExpires = 7<<3 | fixed64Field

	opClient  = 1<<3 | fixed64Field
	opNumber  = 2<<3 | varintField
	opOldest  = 3<<3 | varintField
	opVersion = 4<<3 | varintField
	opAt      = 5<<3 | fixed64Field

	ackUpto = 1<<3 | varintField
)

// Sizes. All keys above take one byte; a field that is zero is not written.

func sizeVarint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func sizeFixed64(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + 8
}

func sizeBytes(n int) int {
	if n == 0 {
		return 0
	}
	return sizeMessage(n)
}

// sizeMessage is that of a part, which is written also if it is empty.
func sizeMessage(n int) int { return 1 + protowire.SizeBytes(n) }

func sizeEpoch(e *slots.Epoch) int {
	return sizeVarint(e.Term) + sizeFixed64(uint64(e.Boot)) + sizeVarint(e.Counter)
}

func sizeEntry(e *msg.Entry) int {
	n := sizeBytes(len(e.Key)) + sizeBytes(len(e.Value)) +
		sizeVarint(uint64(e.Flags)) + sizeVarint(uint64(e.Marks)) +
		sizeVarint(e.Version) + sizeFixed64(uint64(e.Expires))
	if e.Gone {
		n += 2
	}
	return n
}

func sizeOp(o *msg.Op) int {
	return sizeFixed64(o.Client) + sizeVarint(o.Number) + sizeVarint(o.Oldest) +
		sizeVarint(o.Version) + sizeFixed64(uint64(o.At))
}

func sizeItem(it *msg.Item) int {
	n := sizeVarint(uint64(it.Kind)) + sizeVarint(uint64(it.Slot)) + sizeVarint(it.Seq)
	// A part without anything in it is left out: the zero Op is nobody's.
	n += sizeBytes(sizeEntry(&it.Entry)) + sizeBytes(sizeOp(&it.Op))
	for i := range it.Entries {
		n += sizeMessage(sizeEntry(&it.Entries[i]))
	}
	for i := range it.Ops {
		n += sizeMessage(sizeOp(&it.Ops[i]))
	}
	return n
}

func sizeBatch(m *msg.Batch) int {
	n := sizeMessage(sizeEpoch(&m.Epoch)) + sizeVarint(m.Answered) + sizeVarint(m.First)
	for i := range m.Items {
		n += sizeMessage(sizeItem(&m.Items[i]))
	}
	return n
}

func appendVarint(b []byte, key, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, byte(key)), v)
}

func appendFixed64(b []byte, key, v uint64) []byte {
	if v == 0 {
		return b
	}
	return binary.LittleEndian.AppendUint64(append(b, byte(key)), v)
}

func appendBytes[T string | []byte](b []byte, key uint64, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return append(appendHead(b, key, len(v)), v...)
}

// appendHead begins a part of n bytes.
func appendHead(b []byte, key uint64, n int) []byte {
	return protowire.AppendVarint(append(b, byte(key)), uint64(n))
}

func appendEpoch(b []byte, key uint64, e *slots.Epoch) []byte {
	b = appendHead(b, key, sizeEpoch(e))
	b = appendVarint(b, epochTerm, e.Term)
	b = appendFixed64(b, epochBoot, uint64(e.Boot))
	return appendVarint(b, epochCounter, e.Counter)
}

func appendEntry(b []byte, key uint64, e *msg.Entry, size int) []byte {
	b = appendHead(b, key, size)
	b = appendBytes(b, entryKey, e.Key)
	b = appendBytes(b, entryValue, e.Value)
	b = appendVarint(b, entryFlags, uint64(e.Flags))
	b = appendVarint(b, entryMarks, uint64(e.Marks))
	if e.Gone {
		b = append(b, byte(entryGone), 1)
	}
	b = appendVarint(b, entryVersion, e.Version)
	return appendFixed64(b, entryExpires, uint64(e.Expires))
}

func appendOp(b []byte, key uint64, o *msg.Op, size int) []byte {
	b = appendHead(b, key, size)
	b = appendFixed64(b, opClient, o.Client)
	b = appendVarint(b, opNumber, o.Number)
	b = appendVarint(b, opOldest, o.Oldest)
	b = appendVarint(b, opVersion, o.Version)
	return appendFixed64(b, opAt, uint64(o.At))
}

func appendItem(b []byte, it *msg.Item) []byte {
	b = appendHead(b, batchItem, sizeItem(it))
	b = appendVarint(b, itemKind, uint64(it.Kind))
	b = appendVarint(b, itemSlot, uint64(it.Slot))
	b = appendVarint(b, itemSeq, it.Seq)
	if n := sizeEntry(&it.Entry); n > 0 {
		b = appendEntry(b, itemEntry, &it.Entry, n)
	}
	if n := sizeOp(&it.Op); n > 0 {
		b = appendOp(b, itemOp, &it.Op, n)
	}
	for i := range it.Entries {
		b = appendEntry(b, itemEntries, &it.Entries[i], sizeEntry(&it.Entries[i]))
	}
	for i := range it.Ops {
		b = appendOp(b, itemOps, &it.Ops[i], sizeOp(&it.Ops[i]))
	}
	return b
}

// appendBatch appends sizeBatch(m) bytes.
func appendBatch(b []byte, m *msg.Batch) []byte {
	b = appendEpoch(b, batchEpoch, &m.Epoch)
	b = appendVarint(b, batchAnswered, m.Answered)
	b = appendVarint(b, batchFirst, m.First)
	for i := range m.Items {
		b = appendItem(b, &m.Items[i])
	}
	return b
}

// Reading. What is decoded shares nothing with the bytes that it came from.
// Fields that are not known here are passed over, as protobuf has it: a later
// version may have added them.

var errTruncated = errors.New("truncated")

// field is one field of a message: n where it is a number, data where it is bytes.
type field struct {
	key  uint64
	n    uint64
	data []byte
}

// next reads the first field of b into f and returns what follows it.
func next(b []byte, f *field) ([]byte, error) {
	key, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return nil, errTruncated
	}
	b = b[n:]
	f.key = key
	switch protowire.Type(key & 7) {
	case protowire.VarintType:
		f.n, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.n, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.data, n = protowire.ConsumeBytes(b)
	default:
		num, typ := protowire.DecodeTag(key)
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if num := key >> 3; num == 0 || num > uint64(protowire.MaxValidNumber) {
		return nil, errors.New("a field's number is none")
	}
	if n < 0 {
		return nil, errTruncated
	}
	return b[n:], nil
}

// count says how many fields of b have a key.
func count(b []byte, key uint64) (int, error) {
	var f field
	n := 0
	for len(b) > 0 {
		var err error
		if b, err = next(b, &f); err != nil {
			return 0, err
		}
		if f.key == key {
			n++
		}
	}
	return n, nil
}

// within reports a number that is above max in what.
func within(what string, n, max uint64) error {
	if n > max {
		return fmt.Errorf("%s is %d, above %d", what, n, max)
	}
	return nil
}

func decodeEpoch(b []byte, e *slots.Epoch) (err error) {
	var f field
	for len(b) > 0 {
		if b, err = next(b, &f); err != nil {
			return err
		}
		switch f.key {
		case epochTerm:
			e.Term = f.n
		case epochBoot:
			e.Boot = slots.Boot(f.n)
		case epochCounter:
			e.Counter = f.n
		}
	}
	return nil
}

func decodeEntry(b []byte, e *msg.Entry) (err error) {
	var f field
	for len(b) > 0 {
		if b, err = next(b, &f); err != nil {
			return err
		}
		switch f.key {
		case entryKey:
			if err = within("a key's length", uint64(len(f.data)), maxKey); err != nil {
				return err
			}
			e.Key = string(f.data)
		case entryValue:
			e.Value = make([]byte, len(f.data))
			copy(e.Value, f.data)
		case entryFlags:
			if err = within("an entry's flags", f.n, math.MaxUint32); err != nil {
				return err
			}
			e.Flags = uint32(f.n)
		case entryMarks:
			if err = within("an entry's marks", f.n, math.MaxUint8); err != nil {
				return err
			}
			e.Marks = uint8(f.n)
		case entryGone:
			e.Gone = f.n != 0
		case entryVersion:
			e.Version = f.n
		case entryExpires:
			e.Expires = int64(f.n)
		}
	}
	return nil
}

func decodeOp(b []byte, o *msg.Op) (err error) {
	var f field
	for len(b) > 0 {
		if b, err = next(b, &f); err != nil {
			return err
		}
		switch f.key {
		case opClient:
			o.Client = f.n
		case opNumber:
			o.Number = f.n
		case opOldest:
			o.Oldest = f.n
		case opVersion:
			o.Version = f.n
		case opAt:
			o.At = int64(f.n)
		}
	}
	return nil
}

func decodeItem(b []byte, it *msg.Item) (err error) {
	whole := b
	var f field
	for len(b) > 0 {
		if b, err = next(b, &f); err != nil {
			return err
		}
		switch f.key {
		case itemKind:
			err = within("an item's kind", f.n, uint64(msg.Resync))
			it.Kind = msg.Kind(f.n)
		case itemSlot:
			err = within("a slot", f.n, slots.Count-1)
			it.Slot = slots.Slot(f.n)
		case itemSeq:
			it.Seq = f.n
		case itemEntry:
			err = decodeEntry(f.data, &it.Entry)
		case itemOp:
			err = decodeOp(f.data, &it.Op)
		case itemEntries:
			if it.Entries == nil {
				n, err := count(whole, itemEntries)
				if err != nil {
					return err
				}
				if err := within("an item's number of entries", uint64(n), maxParts); err != nil {
					return err
				}
				it.Entries = make([]msg.Entry, 0, n)
			}
			it.Entries = append(it.Entries, msg.Entry{})
			err = decodeEntry(f.data, &it.Entries[len(it.Entries)-1])
		case itemOps:
			if it.Ops == nil {
				n, err := count(whole, itemOps)
				if err != nil {
					return err
				}
				if err := within("an item's number of ops", uint64(n), maxParts); err != nil {
					return err
				}
				it.Ops = make([]msg.Op, 0, n)
			}
			it.Ops = append(it.Ops, msg.Op{})
			err = decodeOp(f.data, &it.Ops[len(it.Ops)-1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeBatch(b []byte) (*msg.Batch, error) {
	n, err := count(b, batchItem)
	if err != nil {
		return nil, fmt.Errorf("a batch: %w", err)
	}
	if err := within("a batch's number of items", uint64(n), maxParts); err != nil {
		return nil, err
	}
	m := &msg.Batch{Items: make([]msg.Item, 0, n)}
	var f field
	for len(b) > 0 {
		if b, err = next(b, &f); err != nil {
			return nil, fmt.Errorf("a batch: %w", err)
		}
		switch f.key {
		case batchEpoch:
			err = decodeEpoch(f.data, &m.Epoch)
		case batchAnswered:
			m.Answered = f.n
		case batchFirst:
			m.First = f.n
		case batchItem:
			m.Items = append(m.Items, msg.Item{})
			err = decodeItem(f.data, &m.Items[len(m.Items)-1])
		}
		if err != nil {
			return nil, fmt.Errorf("a batch, after %d items: %w", len(m.Items), err)
		}
	}
	return m, nil
}

func decodeAck(b []byte) (_ *msg.Ack, err error) {
	m := &msg.Ack{}
	var f field
	for len(b) > 0 {
		if b, err = next(b, &f); err != nil {
			return nil, fmt.Errorf("an ack: %w", err)
		}
		if f.key == ackUpto {
			m.Upto = f.n
		}
	}
	return m, nil
}
