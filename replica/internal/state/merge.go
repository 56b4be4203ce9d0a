package state

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// merge takes over a write of another lineage, or finds that it has lost.
func (s *State) merge(epoch uint64, op *msg.Op) msg.Result {
	was := s.index[op.Key]
	old := was.entry()
	res := msg.Result{Status: msg.OK}
	if old != nil {
		res.Found, res.OldVersion = true, old.version
	}
	it := &item{key: op.Key, time: op.Time, removed: op.Removed, by: name(op.ID), mayBe: op.Cond != msg.Always}
	if !it.removed {
		it.value, it.expires = own(op.Value), op.Expires
	}
	switch {
	case s.records.has(op.ID):
		// Whoever sent it to the other lineage got here, too.
		res.Status = msg.Superseded
		return res
	case op.Cond != msg.Always && s.records.past(op.ID) && (op.Cond == msg.IfPresent || !before(was, op)):
		// It may have come here as well, before its client went on. If it was done, it
		// would come back over what has replaced it since; by the quorum's form it
		// can't, as the key was touched. If it had a condition it may have done nothing
		// here, and its client was told so.
		s.dropped++
		res.Status = msg.Superseded
		return res
	case !s.wins(op, was):
		if was.removed != op.Removed || !bytes.Equal(was.value, op.Value) {
			s.dropped++ // else nothing is lost
		}
		res.Status = msg.Superseded
		return res
	case !it.removed && !s.room(old, it):
		s.dropped++
		res.Status = msg.Full
		return res
	}
	s.merged++
	res.Version = s.put(epoch, was, it)
	if !s.records.past(op.ID) {
		// If its client asks again, here, it is not to be done a second time.
		s.records.add(&record{id: op.ID, time: s.now, result: repeated(res.Version)}, s.limits)
	}
	if old != nil {
		res.Old = old.value
	}
	return res
}

// before tells whether what is here is an earlier write of the epoch in which op
// was done: then op can't have been done here.
func before(was *item, op *msg.Op) bool {
	return was != nil && was.version.Epoch == op.Version.Epoch && was.version.Seq < op.Version.Seq
}

// wins tells whether the write that op takes over is to stand where was, or
// nothing, does.
func (s *State) wins(op *msg.Op, was *item) bool {
	if was == nil {
		return true
	}
	if op.Cond == msg.IfVersion {
		return op.Time > was.time
	}
	return was.version.Compare(msg.Version{Epoch: op.Fork.Epoch.Number, Seq: op.Fork.Seq}) <= 0
}

// Since returns the last write of each key that was written after f, as Merge
// operations in order of version: entries, and keys that were removed, or have
// expired, less than an hour ago. They have f as Fork, and as Cond Always, or
// IfPresent where the write had a condition itself, for a lineage that kept its
// quorum; for one that didn't, make it IfVersion. Their ID is that of the write.
// Values are shared and must not be changed.
//
// It looks at all there is.
func (s *State) Since(f msg.Point) []*msg.Op {
	fork := msg.Version{Epoch: f.Epoch.Number, Seq: f.Seq}
	var ops []*msg.Op
	s.items.Scan(func(key string, it *item) bool {
		if it.version.Compare(fork) > 0 {
			cond := msg.Always
			if it.mayBe {
				cond = msg.IfPresent
			}
			ops = append(ops, &msg.Op{
				Cond: cond,
				ID:   it.by, Kind: msg.Merge, Key: key, Value: it.value, Version: it.version,
				Time: it.time, Expires: it.expires, Removed: it.removed, Fork: f,
			})
		}
		return true
	})
	slices.SortFunc(ops, func(a, b *msg.Op) int {
		return cmp.Or(a.Version.Compare(b.Version), cmp.Compare(a.Key, b.Key))
	})
	return ops
}
