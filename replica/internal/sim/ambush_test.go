package sim

import (
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/replica/internal/msg"
)

func kind(k msg.Kind) func(*msg.Message) bool {
	return func(m *msg.Message) bool { return m.Kind == k }
}

func step(k raftpb.MessageType) func(*msg.Message) bool {
	return func(m *msg.Message) bool {
		for _, r := range m.Raft {
			if r.GetType() == k {
				return true
			}
		}
		return false
	}
}

// entry tells whether a message brings an entry of this kind to a log.
func entry(is func(*raftpb.Entry) bool) func(*msg.Message) bool {
	return func(m *msg.Message) bool {
		for _, r := range m.Raft {
			for _, e := range r.GetEntries() {
				if is(e) {
					return true
				}
			}
		}
		return false
	}
}

func isView(e *raftpb.Entry) bool  { return len(e.GetData()) > 0 && e.GetData()[0] == msg.EntryView }
func isBatch(e *raftpb.Entry) bool { return len(e.GetData()) > 0 && e.GetData()[0] == msg.EntryBatch }
func isConf(e *raftpb.Entry) bool  { return e.GetType() != raftpb.EntryNormal }

func isMerge(m *msg.Message) bool {
	for _, r := range m.Ops {
		if r.Op.Kind == msg.Merge {
			return true
		}
	}
	return false
}

// moments are messages at which a fault may find a bug that one at a time of
// chance would not.
var moments = []func(*msg.Message) bool{
	entry(isView), entry(isView), entry(isBatch), entry(isConf), entry(isConf), isMerge,
	step(raftpb.MsgSnap), step(raftpb.MsgApp), step(raftpb.MsgAppResp), step(raftpb.MsgVote), step(raftpb.MsgVoteResp),
	step(raftpb.MsgPreVoteResp), step(raftpb.MsgHeartbeatResp),
	kind(msg.KindChunk), kind(msg.KindChunk), kind(msg.KindChunkOK), kind(msg.KindOps), kind(msg.KindReplies),
	kind(msg.KindRead), kind(msg.KindReadAt),
	func(m *msg.Message) bool { return m.Kind == msg.KindReport && m.Report.Lost },
	func(m *msg.Message) bool { return m.Kind == msg.KindReport && m.Report.Joining != (msg.Epoch{}) },
}

// ambush lets a fault come when somebody has just sent a certain message, or
// received it, some time after now.
func (w *world) ambush(rng *rand.Rand) {
	is := moments[rng.IntN(len(moments))]
	left := 1 + rng.IntN(5)
	lasting := time.Duration(5+rng.IntN(1500)) * time.Millisecond
	kinds := []simnet.Kind{simnet.Kill, simnet.Kill, simnet.Freeze, simnet.Isolate}
	if w.cfg.style == deaths {
		kinds = kinds[:2]
	}
	kind := kinds[rng.IntN(len(kinds))]
	atPeer := rng.IntN(3) == 0
	sees := func(n *server, peer int, m *msg.Message) {
		if left == 0 || !is(m) {
			return
		}
		if left--; left > 0 {
			return
		}
		at := n.addr
		if atPeer {
			at = w.servers[peer]
		}
		w.at(0, func() { w.inject(simnet.Planned{For: lasting, Fault: simnet.Fault{Kind: kind, A: at}}) })
	}
	if rng.IntN(2) == 0 {
		w.onSent = append(w.onSent, sees)
	} else {
		w.onReceived = append(w.onReceived, sees)
	}
}
