package msg

import (
	"encoding/binary"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/torc-dht/torc/replica/internal/wire"
)

// Append appends m to dst as Decode reads it: the kind, the epoch, sender and
// receiver, and the fields of that kind; others are left out.
func Append(dst []byte, m *Message) []byte {
	dst = append(dst, byte(m.Kind))
	dst = appendEpoch(dst, m.Epoch)
	dst = appendID(dst, m.From)
	dst = appendID(dst, m.To)
	switch m.Kind {
	case KindReport:
		if m.Report == nil {
			return appendReport(dst, new(Report))
		}
		dst = appendReport(dst, m.Report)
	case KindRaft:
		dst = binary.AppendUvarint(dst, m.Visible)
		dst = binary.AppendUvarint(dst, uint64(len(m.Raft)))
		for _, rm := range m.Raft {
			dst = appendRaft(dst, rm)
		}
	case KindOps:
		dst = binary.AppendUvarint(dst, uint64(len(m.Ops)))
		for i := range m.Ops {
			q := &m.Ops[i]
			dst = binary.AppendUvarint(dst, q.Ref)
			dst = append(dst, q.Hops)
			dst = appendOp(dst, q.Op)
		}
	case KindReplies:
		dst = binary.AppendUvarint(dst, uint64(len(m.Replies)))
		for i := range m.Replies {
			dst = appendReply(dst, &m.Replies[i])
		}
	case KindRead:
		dst = binary.AppendUvarint(dst, m.Ref)
	case KindReadAt, KindChunkOK:
		dst = binary.AppendUvarint(dst, m.Ref)
		dst = binary.AppendUvarint(dst, m.Index)
	case KindChunk:
		dst = binary.AppendUvarint(dst, m.Ref)
		dst = binary.AppendUvarint(dst, m.Index)
		dst = wire.AppendBool(dst, m.Last)
		dst = wire.AppendBytes(dst, m.Data)
	}
	return dst
}

// Decode takes apart what Append made. Values of operations and replies, and
// Data, alias b; keys and raft's messages don't. An empty value is nil. It never
// takes more memory than some hundred times len(b).
func Decode(b []byte) (*Message, error) {
	r := newReader(b)
	m := &Message{Kind: Kind(r.Byte())}
	m.Epoch = r.epoch()
	m.From, m.To = r.id(), r.id()
	switch m.Kind {
	case KindReport:
		m.Report = new(Report)
		r.report(m.Report)
	case KindRaft:
		m.Visible = r.Uvarint()
		if n := r.Length(MaxOps, 4, "raft messages"); n > 0 {
			m.Raft = make([]*raftpb.Message, n)
			for i := range m.Raft {
				m.Raft[i] = r.raft()
			}
		}
	case KindOps:
		if n := r.Length(MaxOps, minOp+2, "operations"); n > 0 {
			m.Ops = make([]Request, n)
			ops := make([]Op, n)
			for i := range m.Ops {
				m.Ops[i] = Request{Ref: r.Uvarint(), Hops: r.Byte(), Op: &ops[i]}
				r.op(&ops[i])
			}
		}
	case KindReplies:
		if n := r.Length(MaxOps, minReply, "replies"); n > 0 {
			m.Replies = make([]Reply, n)
			for i := range m.Replies {
				r.reply(&m.Replies[i])
			}
		}
	case KindRead:
		m.Ref = r.Uvarint()
	case KindReadAt, KindChunkOK:
		m.Ref, m.Index = r.Uvarint(), r.Uvarint()
	case KindChunk:
		m.Ref, m.Index = r.Uvarint(), r.Uvarint()
		m.Last = r.Bool()
		m.Data = r.Bytes(MaxMessage, "bytes of a chunk")
	default:
		r.Fail("message of unknown kind %d", m.Kind)
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	return m, nil
}

// A raft message is four bytes of length, and what its own Marshal makes: so its
// size need not be known before.
func appendRaft(dst []byte, m *raftpb.Message) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	// It can't fail: there are no required fields, and strings neither.
	dst, err := proto.MarshalOptions{}.MarshalAppend(dst, m)
	if err != nil {
		panic("replica: a raft message can't be encoded: " + err.Error())
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// raftDepth is how deep raft's messages may be nested: message, snapshot,
// metadata, configuration.
const raftDepth = 6

func (r *reader) raft() *raftpb.Message {
	b := r.Next(uint64(r.Uint32()))
	if r.Err() != nil {
		return nil
	}
	m := new(raftpb.Message)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: raftDepth}).Unmarshal(b, m); err != nil {
		r.Fail("a raft message can't be read: %w", err)
		return nil
	}
	return m
}

// A reply is
//
//	reference │ flags │ status │ [old value, its version] │ [version] │ [epoch of the label]
const (
	replyAgain    = 1 << 0
	replyFound    = 1 << 1
	replyOld      = 1 << 2
	replyVersion  = 1 << 3
	replyDegraded = 1 << 4

	replyFlags = 1<<5 - 1
	minReply   = 3 // bytes
)

func appendReply(dst []byte, p *Reply) []byte {
	var flags byte
	res := &p.Result
	if p.Again {
		flags |= replyAgain
	}
	if res.Found {
		flags |= replyFound
	}
	if len(res.Old) > 0 || res.OldVersion != (Version{}) {
		flags |= replyOld
	}
	if res.Version != (Version{}) {
		flags |= replyVersion
	}
	if res.Degraded != 0 {
		flags |= replyDegraded
	}
	dst = binary.AppendUvarint(dst, p.Ref)
	dst = append(dst, flags, byte(res.Status))
	if flags&replyOld != 0 {
		dst = appendVersion(wire.AppendBytes(dst, res.Old), res.OldVersion)
	}
	if flags&replyVersion != 0 {
		dst = appendVersion(dst, res.Version)
	}
	if flags&replyDegraded != 0 {
		dst = binary.AppendUvarint(dst, res.Degraded)
	}
	return dst
}

func (r *reader) reply(p *Reply) {
	p.Ref = r.Uvarint()
	flags := r.Flags(replyFlags, "a reply")
	p.Again = flags&replyAgain != 0
	res := &p.Result
	res.Status = Status(r.Byte())
	if res.Status > Repeated {
		r.Fail("reply with unknown status %d", res.Status)
	}
	res.Found = flags&replyFound != 0
	if flags&replyOld != 0 {
		res.Old, res.OldVersion = r.Bytes(MaxValue, "bytes of a value"), r.version()
	}
	if flags&replyVersion != 0 {
		res.Version = r.version()
	}
	if flags&replyDegraded != 0 {
		res.Degraded = r.Uvarint()
	}
}

const (
	reportLost   = 1 << 0
	reportMember = 1 << 1

	reportFlags = 1<<2 - 1
)

func appendReport(dst []byte, p *Report) []byte {
	var flags byte
	if p.Lost {
		flags |= reportLost
	}
	if p.Member {
		flags |= reportMember
	}
	dst = append(dst, flags, p.Hears)
	dst = appendID(dst, p.ID)
	dst = appendView(dst, &p.View)
	dst = appendID(dst, p.Leader)
	dst = appendEpoch(dst, p.Joining)
	dst = appendLineage(dst, p.Lineage)
	dst = binary.AppendUvarint(dst, p.LastTerm)
	dst = binary.AppendUvarint(dst, p.LastIndex)
	return binary.AppendUvarint(dst, p.Highest)
}

func (r *reader) report(p *Report) {
	flags := r.Flags(reportFlags, "a report")
	p.Lost = flags&reportLost != 0
	p.Member = flags&reportMember != 0
	p.Hears = r.Byte()
	p.ID = r.id()
	r.view(&p.View)
	p.Leader = r.id()
	p.Joining = r.epoch()
	p.Lineage = r.lineage()
	p.LastTerm, p.LastIndex = r.Uvarint(), r.Uvarint()
	p.Highest = r.Uvarint()
}
