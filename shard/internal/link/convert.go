package link

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

func epochToWire(e slots.Epoch) *pb.Epoch {
	return &pb.Epoch{Term: e.Term, Boot: uint64(e.Boot), Counter: e.Counter}
}

func epochFromWire(e *pb.Epoch) slots.Epoch {
	return slots.Epoch{Term: e.GetTerm(), Boot: slots.Boot(e.GetBoot()), Counter: e.GetCounter()}
}

func slotsToWire(s []slots.Slot) []uint32 {
	w := make([]uint32, len(s))
	for i := range s {
		w[i] = uint32(s[i])
	}
	return w
}

func slotsFromWire(w []uint32) ([]slots.Slot, error) {
	s := make([]slots.Slot, len(w))
	for i := range w {
		if err := within("a slot", uint64(w[i]), slots.Count-1); err != nil {
			return nil, err
		}
		s[i] = slots.Slot(w[i])
	}
	return s, nil
}

func gaveUpToWire(m *msg.GaveUp) *pb.GaveUp {
	return &pb.GaveUp{Epoch: epochToWire(m.Epoch), To: uint64(m.To), Slots: slotsToWire(m.Slots)}
}

func gaveUpFromWire(w *pb.GaveUp) (msg.GaveUp, error) {
	s, err := slotsFromWire(w.GetSlots())
	return msg.GaveUp{Epoch: epochFromWire(w.GetEpoch()), To: slots.Boot(w.GetTo()), Slots: s}, err
}

// toWire converts any message but a Batch and an Ack.
func toWire(m msg.Message) (*pb.Message, error) {
	w := &pb.Message{}
	switch m := m.(type) {
	case *msg.Hello:
		w.Kind = &pb.Message_Hello{Hello: &pb.Hello{
			Version: m.Version, Addr: m.Addr, Boot: uint64(m.Boot), Promised: epochToWire(m.Promised),
		}}
	case *msg.Prepare:
		w.Kind = &pb.Message_Prepare{Prepare: &pb.Prepare{Term: m.Term, Boot: uint64(m.Boot)}}
	case *msg.Report:
		b, err := mapToWire(m.Map)
		if err != nil {
			return nil, err
		}
		r := &pb.Report{
			Term: m.Term, Boot: uint64(m.Boot), Map: b, Acked: epochToWire(m.Acked), Leaving: m.Leaving,
		}
		for i := range m.GaveUp {
			r.GaveUp = append(r.GaveUp, gaveUpToWire(&m.GaveUp[i]))
		}
		w.Kind = &pb.Message_Report{Report: r}
	case *msg.Refuse:
		w.Kind = &pb.Message_Refuse{Refuse: &pb.Refuse{
			Reason: m.Reason, Promised: epochToWire(m.Promised), Final: m.Final,
		}}
	case *msg.Beat:
		b := &pb.Beat{
			Sent: m.Sent, Epoch: epochToWire(m.Epoch), Acked: epochToWire(m.Acked),
			Full: m.Full, Keys: m.Keys, Bytes: m.Bytes, Limit: m.Limit,
		}
		for _, boot := range m.Distrusted {
			b.Distrusted = append(b.Distrusted, uint64(boot))
		}
		for _, f := range m.Fills {
			b.Fills = append(b.Fills, &pb.Fill{
				To: uint64(f.To), Slots: f.Slots, Left: f.Left, Keys: f.Keys, Bytes: f.Bytes,
			})
		}
		w.Kind = &pb.Message_Beat{Beat: b}
	case *msg.Granted:
		w.Kind = &pb.Message_Granted{Granted: &pb.Granted{
			Sent: m.Sent, Epoch: epochToWire(m.Epoch), Full: m.Full,
		}}
	case *msg.MapUpdate:
		b, err := mapToWire(m.Map)
		if err != nil {
			return nil, err
		}
		w.Kind = &pb.Message_MapUpdate{MapUpdate: &pb.MapUpdate{Map: b}}
	case *msg.Filled:
		w.Kind = &pb.Message_Filled{Filled: &pb.Filled{Epoch: epochToWire(m.Epoch), Boot: uint64(m.Boot)}}
	case *msg.HandOver:
		w.Kind = &pb.Message_HandOver{HandOver: &pb.HandOver{
			Epoch: epochToWire(m.Epoch), To: uint64(m.To), Slots: slotsToWire(m.Slots),
		}}
	case *msg.GaveUp:
		w.Kind = &pb.Message_GaveUp{GaveUp: gaveUpToWire(m)}
	case *msg.DropCopy:
		w.Kind = &pb.Message_DropCopy{DropCopy: &pb.DropCopy{
			Epoch: epochToWire(m.Epoch), Boot: uint64(m.Boot), Reason: m.Reason,
		}}
	case *msg.Leave:
		w.Kind = &pb.Message_Leave{Leave: &pb.Leave{}}
	case *msg.Released:
		w.Kind = &pb.Message_Released{Released: &pb.Released{}}
	case *msg.Ask:
		w.Kind = &pb.Message_Ask{Ask: &pb.Ask{
			Sent: m.Sent, Epoch: epochToWire(m.Epoch), Answered: m.Answered,
		}}
	default:
		return nil, fmt.Errorf("%T has no form on the wire", m)
	}
	return w, nil
}

// fromWire is the other way.
func fromWire(b []byte) (msg.Message, error) {
	var w pb.Message
	if err := proto.Unmarshal(b, &w); err != nil {
		return nil, err
	}
	switch w := w.Kind.(type) {
	case *pb.Message_Hello:
		h := w.Hello
		return &msg.Hello{
			Version: h.GetVersion(), Addr: h.GetAddr(), Boot: slots.Boot(h.GetBoot()),
			Promised: epochFromWire(h.GetPromised()),
		}, nil
	case *pb.Message_Prepare:
		return &msg.Prepare{Term: w.Prepare.GetTerm(), Boot: slots.Boot(w.Prepare.GetBoot())}, nil
	case *pb.Message_Report:
		return reportFromWire(w.Report)
	case *pb.Message_Refuse:
		r := w.Refuse
		return &msg.Refuse{
			Reason: r.GetReason(), Promised: epochFromWire(r.GetPromised()), Final: r.GetFinal(),
		}, nil
	case *pb.Message_Beat:
		return beatFromWire(w.Beat), nil
	case *pb.Message_Granted:
		g := w.Granted
		return &msg.Granted{Sent: g.GetSent(), Epoch: epochFromWire(g.GetEpoch()), Full: g.GetFull()}, nil
	case *pb.Message_MapUpdate:
		m, err := mapFromWire(w.MapUpdate.GetMap())
		if err == nil && m == nil {
			err = fmt.Errorf("a map update without a map")
		}
		return &msg.MapUpdate{Map: m}, err
	case *pb.Message_Filled:
		return &msg.Filled{Epoch: epochFromWire(w.Filled.GetEpoch()), Boot: slots.Boot(w.Filled.GetBoot())}, nil
	case *pb.Message_HandOver:
		h := w.HandOver
		s, err := slotsFromWire(h.GetSlots())
		return &msg.HandOver{Epoch: epochFromWire(h.GetEpoch()), To: slots.Boot(h.GetTo()), Slots: s}, err
	case *pb.Message_GaveUp:
		g, err := gaveUpFromWire(w.GaveUp)
		return &g, err
	case *pb.Message_DropCopy:
		d := w.DropCopy
		return &msg.DropCopy{
			Epoch: epochFromWire(d.GetEpoch()), Boot: slots.Boot(d.GetBoot()), Reason: d.GetReason(),
		}, nil
	case *pb.Message_Leave:
		return &msg.Leave{}, nil
	case *pb.Message_Released:
		return &msg.Released{}, nil
	case *pb.Message_Ask:
		a := w.Ask
		return &msg.Ask{Sent: a.GetSent(), Epoch: epochFromWire(a.GetEpoch()), Answered: a.GetAnswered()}, nil
	}
	return nil, fmt.Errorf("a message of a kind that version %d doesn't know", msg.Version)
}

func reportFromWire(r *pb.Report) (*msg.Report, error) {
	m, err := mapFromWire(r.GetMap())
	if err != nil {
		return nil, err
	}
	report := &msg.Report{
		Term: r.GetTerm(), Boot: slots.Boot(r.GetBoot()), Map: m,
		Acked: epochFromWire(r.GetAcked()), Leaving: r.GetLeaving(),
	}
	for _, g := range r.GetGaveUp() {
		gaveUp, err := gaveUpFromWire(g)
		if err != nil {
			return nil, err
		}
		report.GaveUp = append(report.GaveUp, gaveUp)
	}
	return report, nil
}

func beatFromWire(b *pb.Beat) *msg.Beat {
	beat := &msg.Beat{
		Sent: b.GetSent(), Epoch: epochFromWire(b.GetEpoch()), Acked: epochFromWire(b.GetAcked()),
		Full: b.GetFull(), Keys: b.GetKeys(), Bytes: b.GetBytes(), Limit: b.GetLimit(),
	}
	for _, boot := range b.GetDistrusted() {
		beat.Distrusted = append(beat.Distrusted, slots.Boot(boot))
	}
	for _, f := range b.GetFills() {
		beat.Fills = append(beat.Fills, msg.Fill{
			To: slots.Boot(f.GetTo()), Slots: f.GetSlots(), Left: f.GetLeft(),
			Keys: f.GetKeys(), Bytes: f.GetBytes(),
		})
	}
	return beat
}
