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
	opOutcome = 6<<3 | varintField

	ackUpto = 1<<3 | varintField
)

// Bounds. None is by much above what it is of, and none below.
const (
	// A part's head: its key, and its length in five bytes at most.
	headBound  = 1 + 5
	epochBound = headBound + 2*11 + 9
	// An entry but for its key and value: their heads, flags, marks, gone,
	// version, expires.
	entryBound = headBound + 2*headBound + 6 + 3 + 2 + 11 + 9
	opBound    = headBound + 2*9 + 3*11 + 3
	// An item without what it is of: kind, slot, seq.
	itemBound = headBound + 2 + 4 + 11
)

func boundEntry(e *msg.Entry) int { return entryBound + len(e.Key) + len(e.Value) }

func boundItem(it *msg.Item) int {
	n := itemBound + boundEntry(&it.Entry) + opBound + opBound*len(it.Ops)
	for i := range it.Entries {
		n += boundEntry(&it.Entries[i])
	}
	return n
}

// boundBatch is how many bytes a batch may take, with its head.
func boundBatch(m *msg.Batch) int {
	n := headBound + epochBound + 2*11
	for i := range m.Items {
		n += boundItem(&m.Items[i])
	}
	return n
}

// writer writes a message from its end to its front: where a part begins, its
// length is known. Fields come in the reverse order, so that they are in order in
// the end. What is zero is not written.
type writer struct {
	b []byte
	i int // b[i:] is written; there is room for the rest
}

func (w *writer) written() []byte { return w.b[w.i:] }

func (w *writer) raw(v uint64) {
	if v < 0x80 {
		w.i--
		w.b[w.i] = byte(v)
		return
	}
	w.i -= protowire.SizeVarint(v)
	binary.PutUvarint(w.b[w.i:], v)
}

func (w *writer) varint(key, v uint64) {
	if v == 0 {
		return
	}
	w.raw(v)
	w.raw(key)
}

func (w *writer) fixed64(key, v uint64) {
	if v == 0 {
		return
	}
	w.i -= 8
	binary.LittleEndian.PutUint64(w.b[w.i:], v)
	w.raw(key)
}

func (w *writer) string(key uint64, v string) {
	if len(v) == 0 {
		return
	}
	w.i -= len(v)
	copy(w.b[w.i:], v)
	w.head(key, w.i+len(v))
}

func (w *writer) bytes(key uint64, v []byte) {
	if len(v) == 0 {
		return
	}
	w.i -= len(v)
	copy(w.b[w.i:], v)
	w.head(key, w.i+len(v))
}

// head writes the head of a part that begins here and goes up to end.
func (w *writer) head(key uint64, end int) {
	w.raw(uint64(end - w.i))
	w.raw(key)
}

func (w *writer) epoch(key uint64, e *slots.Epoch) {
	end := w.i
	w.varint(epochCounter, e.Counter)
	w.fixed64(epochBoot, uint64(e.Boot))
	w.varint(epochTerm, e.Term)
	w.head(key, end)
}

func (w *writer) entry(key uint64, e *msg.Entry) {
	end := w.i
	w.fixed64(entryExpires, uint64(e.Expires))
	w.varint(entryVersion, e.Version)
	if e.Gone {
		w.varint(entryGone, 1)
	}
	w.varint(entryMarks, uint64(e.Marks))
	w.varint(entryFlags, uint64(e.Flags))
	w.bytes(entryValue, e.Value)
	w.string(entryKey, e.Key)
	if w.i < end || key == itemEntries {
		w.head(key, end)
	}
}

func (w *writer) op(key uint64, o *msg.Op) {
	end := w.i
	w.varint(opOutcome, uint64(o.Outcome))
	w.fixed64(opAt, uint64(o.At))
	w.varint(opVersion, o.Version)
	w.varint(opOldest, o.Oldest)
	w.varint(opNumber, o.Number)
	w.fixed64(opClient, o.Client)
	w.head(key, end)
}

func (w *writer) item(it *msg.Item) {
	end := w.i
	for i := len(it.Ops) - 1; i >= 0; i-- {
		w.op(itemOps, &it.Ops[i])
	}
	for i := len(it.Entries) - 1; i >= 0; i-- {
		w.entry(itemEntries, &it.Entries[i])
	}
	if it.Op != (msg.Op{}) {
		w.op(itemOp, &it.Op)
	}
	w.entry(itemEntry, &it.Entry)
	w.varint(itemSeq, it.Seq)
	w.varint(itemSlot, uint64(it.Slot))
	w.varint(itemKind, uint64(it.Kind))
	w.head(batchItem, end)
}

// batch writes m, for which there are boundBatch(m) bytes of room.
func (w *writer) batch(m *msg.Batch) {
	for i := len(m.Items) - 1; i >= 0; i-- {
		w.item(&m.Items[i])
	}
	w.varint(batchFirst, m.First)
	w.varint(batchAnswered, m.Answered)
	w.epoch(batchEpoch, &m.Epoch)
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

// varint reads a number; most have one byte.
func varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// next reads the first field of b into f and returns what follows it.
func next(b []byte, f *field) ([]byte, error) {
	key, n := varint(b)
	if n < 0 {
		return nil, errTruncated
	}
	b = b[n:]
	f.key = key
	switch protowire.Type(key & 7) {
	case protowire.VarintType:
		f.n, n = varint(b)
	case protowire.Fixed64Type:
		f.n, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		var size uint64
		if size, n = varint(b); n < 0 || size > uint64(len(b)-n) {
			return nil, errTruncated
		}
		f.data = b[n : n+int(size)]
		n += int(size)
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

// within reports a number that is above most in what.
func within(what string, n, most uint64) error {
	if n > most {
		return fmt.Errorf("%s is %d, above %d", what, n, most)
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
		case opOutcome:
			if err = within("an op's outcome", f.n, math.MaxUint8); err != nil {
				return err
			}
			o.Outcome = uint8(f.n)
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
