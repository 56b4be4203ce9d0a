package msg

import (
	"encoding/binary"
	"time"

	"github.com/torc-dht/torc/replica/internal/wire"
)

// The first byte of the data of an entry in raft's log tells what it is. (raft's
// own entries have no data, or are configuration changes by their type.)
const (
	EntryBatch byte = 1 // DecodeBatch
	EntryView  byte = 2 // DecodeView
)

// BatchHeader says whence a batch of operations comes.
type BatchHeader struct {
	// Origin is who proposed it, and Number its place among what Origin proposed:
	// by these it knows its own batches again.
	Origin ID
	Number uint64
	// Time is the log's time at the batch, in microseconds.
	Time uint64
}

// AppendBatch appends an entry with operations to dst.
func AppendBatch(dst []byte, h BatchHeader, ops []*Op) []byte {
	dst = append(dst, EntryBatch)
	dst = appendID(dst, h.Origin)
	dst = binary.AppendUvarint(dst, h.Number)
	dst = binary.AppendUvarint(dst, h.Time)
	dst = binary.AppendUvarint(dst, uint64(len(ops)))
	for _, op := range ops {
		dst = appendOp(dst, op)
	}
	return dst
}

// DecodeBatch takes an entry apart that AppendBatch made, and appends its
// operations to ops, which may be nil or have served before. Their values alias b;
// their keys don't.
func DecodeBatch(b []byte, ops []Op) (BatchHeader, []Op, error) {
	r := newReader(b)
	if k := r.Byte(); k != EntryBatch {
		r.Fail("entry of kind %d is no batch", k)
	}
	h := BatchHeader{Origin: r.id(), Number: r.Uvarint(), Time: r.Uvarint()}
	n := r.Length(MaxOps, minOp, "operations")
	if free := cap(ops) - len(ops); free < n {
		ops = append(make([]Op, 0, len(ops)+n), ops...)
	}
	for range n {
		ops = append(ops, Op{})
		r.op(&ops[len(ops)-1])
	}
	if err := r.End(); err != nil {
		return BatchHeader{}, nil, err
	}
	return h, ops, nil
}

// AppendView appends an entry with a view to dst.
func AppendView(dst []byte, v *View) []byte {
	return appendView(append(dst, EntryView), v)
}

// DecodeView takes an entry apart that AppendView made. The view has nothing of b.
func DecodeView(b []byte) (*View, error) {
	r := newReader(b)
	if k := r.Byte(); k != EntryView {
		r.Fail("entry of kind %d is no view", k)
	}
	v := new(View)
	r.view(v)
	if err := r.End(); err != nil {
		return nil, err
	}
	return v, nil
}

func appendView(dst []byte, v *View) []byte {
	dst = binary.AppendUvarint(dst, v.Number)
	dst = appendIDs(dst, v.Members)
	dst = appendLineage(dst, v.Lineage)
	dst = appendIDs(dst, v.Forgotten)
	dst = binary.AppendUvarint(dst, uint64(len(v.Normals)))
	for _, e := range v.Normals {
		dst = appendEpoch(dst, e)
	}
	return binary.AppendUvarint(dst, v.Since)
}

func (r *reader) view(v *View) {
	v.Number = r.Uvarint()
	v.Members = r.ids(MaxNodes, "members")
	v.Lineage = r.lineage()
	v.Forgotten = r.ids(MaxForgotten, "forgotten nodes")
	if n := r.Length(MaxNormals, 9, "normal epochs"); n > 0 {
		v.Normals = make([]Epoch, n)
		for i := range v.Normals {
			v.Normals[i] = r.epoch()
		}
	}
	v.Since = r.Uvarint()
}

// An operation is
//
//	kind │ flags │ [ID] │ [version] │ [TTL] │ [expires] │ [time, fork] │ key │ value
//
// with the condition in the two lowest bits of the flags, and each part in
// brackets only where its flag says so: a plain Put of a client without a name has
// four bytes and its key and value.
const (
	opCond    = 3
	opID      = 1 << 2
	opVersion = 1 << 3
	opTTL     = 1 << 4
	opExpires = 1 << 5
	opMerge   = 1 << 6
	opRemoved = 1 << 7

	minOp = 4 // bytes
)

func appendOp(dst []byte, op *Op) []byte {
	flags := byte(op.Cond) & opCond
	if op.ID != (OpID{}) {
		flags |= opID
	}
	if op.Version != (Version{}) {
		flags |= opVersion
	}
	if op.TTL != 0 {
		flags |= opTTL
	}
	if op.Expires != 0 {
		flags |= opExpires
	}
	if op.Time != 0 || op.Fork != (Point{}) {
		flags |= opMerge
	}
	if op.Removed {
		flags |= opRemoved
	}
	dst = append(dst, byte(op.Kind), flags)
	if flags&opID != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, op.ID.Client)
		dst = binary.AppendUvarint(dst, op.ID.Seq)
		dst = binary.AppendUvarint(dst, op.ID.Acked)
	}
	if flags&opVersion != 0 {
		dst = appendVersion(dst, op.Version)
	}
	if flags&opTTL != 0 {
		dst = binary.AppendUvarint(dst, uint64(op.TTL))
	}
	if flags&opExpires != 0 {
		dst = binary.AppendUvarint(dst, op.Expires)
	}
	if flags&opMerge != 0 {
		dst = binary.AppendUvarint(dst, op.Time)
		dst = appendPoint(dst, op.Fork)
	}
	dst = binary.AppendUvarint(dst, uint64(len(op.Key)))
	dst = append(dst, op.Key...)
	return wire.AppendBytes(dst, op.Value)
}

// op reads an operation into a zero one.
func (r *reader) op(op *Op) {
	op.Kind = OpKind(r.Byte())
	if r.Err() == nil && (op.Kind < Get || op.Kind > Forget) {
		r.Fail("operation of unknown kind %d", op.Kind)
	}
	flags := r.Byte()
	op.Cond = Cond(flags & opCond)
	op.Removed = flags&opRemoved != 0
	if flags&opID != 0 {
		op.ID = OpID{Client: r.Uint64(), Seq: r.Uvarint(), Acked: r.Uvarint()}
	}
	if flags&opVersion != 0 {
		op.Version = r.version()
	}
	if flags&opTTL != 0 {
		op.TTL = time.Duration(r.Uvarint())
	}
	if flags&opExpires != 0 {
		op.Expires = r.Uvarint()
	}
	if flags&opMerge != 0 {
		op.Time, op.Fork = r.Uvarint(), r.point()
	}
	op.Key = string(r.Bytes(MaxKey, "bytes of a key"))
	op.Value = r.Bytes(MaxValue, "bytes of a value")
}
