package sim

import (
	"fmt"
	"strings"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// format prints a message for the trace.
func (w *world) format(m any) string {
	switch m := m.(type) {
	case opening:
		return "opening"
	case welcome:
		return "welcome"
	case *ring.Message:
		kind := [...]string{"?", "ask", "state", "notify", "alive", "yes", "step", "next", "enter", "meet"}[m.Kind]
		return fmt.Sprintf("ring %s %d busy %v prdc %s list %s", kind, m.Nonce, m.Busy, name(m.Predecessor), names(m.List))
	case *msg.Ping:
		return fmt.Sprintf("ping %d %s", m.Sent, claim(m.Claim))
	case *msg.Pong:
		return fmt.Sprintf("pong %d promise %v full %v leaving %v", m.Sent, m.Promise, m.Full, m.Leaving)
	case *msg.Query:
		return fmt.Sprintf("query %d %s", m.Nonce, span(m.Span))
	case *msg.Holdings:
		var b strings.Builder
		fmt.Fprintf(&b, "holdings %d", m.Nonce)
		for _, h := range m.All {
			fmt.Fprintf(&b, " [%s of %s seq %d complete %v serving %v]", span(h.Span), claim(h.Claim), h.Seq, h.Complete, h.Serving)
		}
		return b.String()
	case *msg.Deposed:
		return fmt.Sprintf("deposed by %s", claim(m.Claim))
	case *msg.Bye:
		return fmt.Sprintf("bye failed %v prdc %s list %s", m.Failed, name(m.Predecessor), names(m.List))
	case *msg.Batch:
		var b strings.Builder
		fmt.Fprintf(&b, "batch %d to %d:", m.First, m.First+uint64(len(m.Items))-1)
		for _, it := range m.Items {
			b.WriteString(" [" + formatItem(&it) + "]")
		}
		return b.String()
	case *msg.Ack:
		return fmt.Sprintf("ack %d full %v", m.Upto, m.Full)
	case *msg.Refused:
		return fmt.Sprintf("refused %d %s by %s", m.Number, span(m.Span), claim(m.Claim))
	case *request:
		return fmt.Sprintf("request %d %s %.20q write=%v op %d.%d resolve %v", m.id, m.key, m.value, m.do != nil, m.op.Client, m.op.Number, m.resolve)
	case *reply:
		if m.answer != done {
			return fmt.Sprintf("reply %d %s %s", m.id, m.answer, m.to)
		}
		return fmt.Sprintf("reply %d found=%v %.20q version %d again=%v acted %d", m.id, m.found, m.value, m.version, m.again, m.acted)
	}
	return fmt.Sprintf("%T %+v", m, m)
}

func formatItem(it *msg.Item) string {
	kind := [...]string{"?", "write", "begin", "chunk", "end", "adopt", "drop", "grant", "want", "nothing"}[it.Kind]
	switch it.Kind {
	case msg.Write:
		return fmt.Sprintf("%s term %s seq %d %s=%.12q stamp %d gone %v op %d.%d refusal %d", kind, term(it.Term), it.Seq, it.Entry.Key, it.Entry.Value, it.Entry.Stamp, it.Entry.Removed, it.Record.Op.Client, it.Record.Op.Number, it.Record.Refusal)
	case msg.Chunk:
		var b strings.Builder
		for _, e := range it.Entries {
			fmt.Fprintf(&b, " %s=%.12q", e.Key, e.Value)
		}
		return fmt.Sprintf("%s for %d %s:%s and %d records", kind, it.Purpose, span(it.Span), b.String(), len(it.Records))
	}
	return fmt.Sprintf("%s for %d %s %s seq %d nonce %d holders %s", kind, it.Purpose, span(it.Span), claim(it.Claim), it.Seq, it.Nonce, names(it.Holders))
}

func name(r ring.Ref) string {
	if r.None() {
		return "-"
	}
	return r.Addr
}

func names(all []ring.Ref) string {
	var b strings.Builder
	for i, r := range all {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(name(r))
	}
	return "(" + b.String() + ")"
}

func span(s msg.Span) string { return fmt.Sprintf("%.6s..%.6s", s.From, s.To) }

func term(t msg.Term) string { return fmt.Sprintf("%d/%x", t.Number, t.Boot>>48) }

func claim(c msg.Claim) string {
	if c.Owner.None() {
		return "nothing"
	}
	var b strings.Builder
	for _, x := range c.Bases[:min(len(c.Bases), 2)] {
		fmt.Fprintf(&b, " %s:%s.%d@%d", span(x.Span), term(x.Term), x.Config, x.Seq)
	}
	return fmt.Sprintf("%s's %s term %s.%d<%s>", name(c.Owner), span(c.Span), term(c.Term), c.Config, b.String())
}
