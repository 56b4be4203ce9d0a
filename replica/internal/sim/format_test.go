package sim

import (
	"fmt"
	"strings"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// format prints a message for the trace.
func format(m any) string {
	switch m := m.(type) {
	case *request:
		return fmt.Sprintf("request %d: %s", m.id, describeOp(m.op))
	case *reply:
		if m.err != nil {
			return fmt.Sprintf("reply %d: %v", m.id, m.err)
		}
		return fmt.Sprintf("reply %d: %s", m.id, describeResult(&m.result))
	case *msg.Message:
		return describe(m)
	}
	return fmt.Sprintf("%T", m)
}

func short(id msg.ID) string {
	if id == 0 {
		return "-"
	}
	return fmt.Sprintf("n%d.%03x", id.Slot()+1, uint64(id)>>2&0xfff)
}

func shortEpoch(e msg.Epoch) string {
	if e == (msg.Epoch{}) {
		return "-"
	}
	return fmt.Sprintf("%d/%s", e.Number, short(e.Founder))
}

func describe(m *msg.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s>%s ", short(m.From), short(m.To))
	switch m.Kind {
	case msg.KindReport:
		r := m.Report
		fmt.Fprintf(&b, "report %s lineage %s%s", short(r.ID), shortEpoch(r.Lineage.Epoch), map[bool]string{false: "!", true: ""}[r.Lineage.Normal])
		fmt.Fprintf(&b, " view %d", r.View.Number)
		for _, id := range r.View.Members {
			fmt.Fprintf(&b, " %s", short(id))
		}
		fmt.Fprintf(&b, "; leader %s joining %s lost=%v hears %04b last %d,%d member=%v highest %d",
			short(r.Leader), shortEpoch(r.Joining), r.Lost, r.Hears, r.LastTerm, r.LastIndex, r.Member, r.Highest)
	case msg.KindRaft:
		fmt.Fprintf(&b, "raft %s visible %d:", shortEpoch(m.Epoch), m.Visible)
		for _, r := range m.Raft {
			fmt.Fprintf(&b, " [%s term %d", strings.TrimPrefix(r.GetType().String(), "Msg"), r.GetTerm())
			if r.GetIndex() != 0 || r.GetLogTerm() != 0 {
				fmt.Fprintf(&b, " at %d,%d", r.GetLogTerm(), r.GetIndex())
			}
			if r.GetCommit() != 0 {
				fmt.Fprintf(&b, " commit %d", r.GetCommit())
			}
			if n := len(r.GetEntries()); n > 0 {
				fmt.Fprintf(&b, " %d entries to %d", n, r.GetEntries()[n-1].GetIndex())
			}
			if r.GetReject() {
				fmt.Fprintf(&b, " reject %d", r.GetRejectHint())
			}
			if c := r.GetContext(); len(c) > 0 {
				fmt.Fprintf(&b, " ctx %x", c)
			}
			b.WriteString("]")
		}
	case msg.KindOps:
		b.WriteString("ops:")
		for _, r := range m.Ops {
			fmt.Fprintf(&b, " [%d hops %d %s]", r.Ref, r.Hops, describeOp(r.Op))
		}
	case msg.KindReplies:
		b.WriteString("replies:")
		for _, r := range m.Replies {
			if r.Again {
				fmt.Fprintf(&b, " [%d again]", r.Ref)
			} else {
				fmt.Fprintf(&b, " [%d %s]", r.Ref, describeResult(&r.Result))
			}
		}
	case msg.KindRead:
		fmt.Fprintf(&b, "read %s %d", shortEpoch(m.Epoch), m.Ref)
	case msg.KindReadAt:
		fmt.Fprintf(&b, "read-at %s %d at %d", shortEpoch(m.Epoch), m.Ref, m.Index)
	case msg.KindChunk:
		fmt.Fprintf(&b, "chunk %s %d.%d last=%v, %d bytes", shortEpoch(m.Epoch), m.Ref, m.Index, m.Last, len(m.Data))
	case msg.KindChunkOK:
		fmt.Fprintf(&b, "chunk-ok %s %d.%d", shortEpoch(m.Epoch), m.Ref, m.Index)
	}
	return b.String()
}

func describeOp(o *msg.Op) string {
	what := map[msg.OpKind]string{msg.Get: "get", msg.Put: "put", msg.Delete: "delete", msg.Merge: "merge", msg.Expire: "expire"}[o.Kind]
	s := fmt.Sprintf("%s %s", what, o.Key)
	if o.Kind == msg.Put {
		s += fmt.Sprintf("=%.20s%s", o.Value, [...]string{"", " if absent", " if present", " if version"}[o.Cond])
	}
	if o.Version != (msg.Version{}) {
		s += fmt.Sprintf(" %d-%d", o.Version.Epoch, o.Version.Seq)
	}
	if o.ID.Client != 0 {
		s += fmt.Sprintf(" op %03x.%d", o.ID.Client&0xfff, o.ID.Seq)
	}
	return s
}

func describeResult(r *msg.Result) string {
	s := [...]string{"?", "ok", "not found", "exists", "conflict", "full", "superseded", "repeated"}[r.Status]
	if r.Found {
		s += fmt.Sprintf(", was %.20s %d-%d", r.Old, r.OldVersion.Epoch, r.OldVersion.Seq)
	}
	if r.Version != (msg.Version{}) {
		s += fmt.Sprintf(", now %d-%d", r.Version.Epoch, r.Version.Seq)
	}
	if r.Degraded != 0 {
		s += fmt.Sprintf(", labelled %d", r.Degraded)
	}
	return s
}
