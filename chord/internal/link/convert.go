package link

import (
	"fmt"
	"time"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// The forms of calls on the wire, and back. A reader takes nothing for granted: what
// is not there is zero, and what is no place is an error.

// anywhere is the largest circle: the wire's identifiers are places of any.
const anywhere = place.Circle(place.MaxBits)

func infoToWire(i *Info) *pb.InfoReply {
	return &pb.InfoReply{
		Version: uint32(i.Version), Ring: i.Ring, Bits: uint32(i.Bits), Replicas: uint32(i.Replicas),
		MaxValue: uint64(i.MaxValue), Self: refToWire(i.Self), Joined: i.Joined,
	}
}

func statusToWire(s *Status) *pb.StatusReply {
	r := &pb.StatusReply{
		Info: infoToWire(&s.Info), Predecessor: refToWire(s.Predecessor),
		Successors: refsToWire(s.Successors), Suspects: refsToWire(s.Suspects), Lost: refsToWire(s.Lost),
		Claim: claimToWire(&s.Claim), Serving: s.Serving, Whole: s.Whole,
		Keys: s.Keys, Held: s.Held, Bytes: s.Bytes, Limit: s.Limit,
		TakeOvers: s.TakeOvers, HandOffs: s.HandOffs, TakenEmpty: s.TakenEmpty, Overwritten: s.Overwritten,
	}
	for k, f := range s.Fingers {
		if k == 0 || f != s.Fingers[k-1] {
			r.Fingers = append(r.Fingers, &pb.Finger{K: uint32(k), Node: refToWire(f)})
		}
	}
	for _, h := range s.Holders {
		r.Holders = append(r.Holders, &pb.Holder{Node: refToWire(h.Node), Complete: h.Complete})
	}
	for i := range s.Holdings {
		h := &s.Holdings[i]
		r.Holdings = append(r.Holdings, &pb.Holding{
			Span: spanToWire(h.Span), Claim: claimToWire(&h.Claim), Seq: h.Seq, Complete: h.Complete, Serving: h.Serving,
		})
	}
	return r
}

func resolvedToWire(v *Resolved) *pb.ResolveReply {
	r := &pb.ResolveReply{Owner: refToWire(v.Owner), Span: spanToWire(v.Span), Took: uint64(v.Took)}
	for _, h := range v.Hops {
		r.Hops = append(r.Hops, &pb.Hop{Node: refToWire(h.Node), Silent: h.Silent, Took: uint64(h.Took)})
	}
	return r
}

func refToWire(r ring.Ref) *pb.Ref {
	if r.None() {
		return nil
	}
	return &pb.Ref{Id: r.Place.String(), Boot: r.Boot, Addr: r.Addr}
}

func refsToWire(all []ring.Ref) []*pb.Ref {
	var w []*pb.Ref
	for _, r := range all {
		w = append(w, refToWire(r))
	}
	return w
}

func spanToWire(s msg.Span) *pb.Span { return &pb.Span{From: s.From.String(), To: s.To.String()} }

func claimToWire(c *msg.Claim) *pb.Claim {
	if c.Owner.None() {
		return nil
	}
	return &pb.Claim{
		Span: spanToWire(c.Span), Owner: refToWire(c.Owner), Term: c.Term.Number, TermBoot: c.Term.Boot, Bare: c.Term.Bare, Config: c.Config, Graves: c.Graves,
	}
}

// reader turns wire forms back, and keeps the first error.
type reader struct{ err error }

func (r *reader) place(id string) place.Place {
	p, err := anywhere.Parse(id)
	if err != nil && r.err == nil {
		r.err = err
	}
	return p
}

func (r *reader) info(w *pb.InfoReply) Info {
	i := Info{
		Version: int(w.GetVersion()), Ring: w.GetRing(), Bits: int(w.GetBits()), Replicas: int(w.GetReplicas()),
		MaxValue: int(w.GetMaxValue()), Self: r.ref(w.GetSelf()), Joined: w.GetJoined(),
	}
	switch {
	case r.err != nil:
	case i.Self.None():
		r.err = fmt.Errorf("it doesn't say who it is")
	case i.Bits < 1 || i.Bits > place.MaxBits:
		r.err = fmt.Errorf("its ring has 2^%d places", i.Bits)
	}
	return i
}

func (r *reader) status(w *pb.StatusReply) Status {
	s := Status{
		Info: r.info(w.GetInfo()), Predecessor: r.ref(w.GetPredecessor()),
		Successors: r.refs(w.GetSuccessors()), Suspects: r.refs(w.GetSuspects()), Lost: r.refs(w.GetLost()),
		Claim: r.claim(w.GetClaim()), Serving: w.GetServing(), Whole: w.GetWhole(),
		Keys: w.GetKeys(), Held: w.GetHeld(), Bytes: w.GetBytes(), Limit: w.GetLimit(),
		Counts: Counts{
			TakeOvers: w.GetTakeOvers(), HandOffs: w.GetHandOffs(),
			TakenEmpty: w.GetTakenEmpty(), Overwritten: w.GetOverwritten(),
		},
	}
	if fingers := w.GetFingers(); len(fingers) > 0 && r.err == nil {
		s.Fingers = make([]ring.Ref, s.Bits)
		for _, f := range fingers {
			for k := int(f.GetK()); k < len(s.Fingers); k++ {
				s.Fingers[k] = r.ref(f.GetNode())
			}
		}
	}
	for _, h := range w.GetHolders() {
		s.Holders = append(s.Holders, Holder{Node: r.ref(h.GetNode()), Complete: h.GetComplete()})
	}
	for _, h := range w.GetHoldings() {
		s.Holdings = append(s.Holdings, msg.Holding{
			Span: r.span(h.GetSpan()), Claim: r.claim(h.GetClaim()), Seq: h.GetSeq(), Complete: h.GetComplete(), Serving: h.GetServing(),
		})
	}
	return s
}

func (r *reader) resolved(w *pb.ResolveReply) Resolved {
	v := Resolved{Owner: r.ref(w.GetOwner()), Span: r.span(w.GetSpan()), Took: time.Duration(w.GetTook())}
	for _, h := range w.GetHops() {
		v.Hops = append(v.Hops, Hop{Node: r.ref(h.GetNode()), Silent: h.GetSilent(), Took: time.Duration(h.GetTook())})
	}
	return v
}

func (r *reader) ref(w *pb.Ref) ring.Ref {
	if w.GetBoot() == 0 {
		return ring.Ref{}
	}
	return ring.Ref{Place: r.place(w.GetId()), Boot: w.GetBoot(), Addr: w.GetAddr()}
}

func (r *reader) refs(w []*pb.Ref) []ring.Ref {
	var all []ring.Ref
	for _, one := range w {
		all = append(all, r.ref(one))
	}
	return all
}

func (r *reader) span(w *pb.Span) msg.Span {
	if w == nil {
		return msg.Span{}
	}
	return msg.Span{From: r.place(w.GetFrom()), To: r.place(w.GetTo())}
}

func (r *reader) claim(w *pb.Claim) msg.Claim {
	if w == nil {
		return msg.Claim{}
	}
	return msg.Claim{
		Span: r.span(w.GetSpan()), Owner: r.ref(w.GetOwner()),
		Term: msg.Term{Number: w.GetTerm(), Boot: w.GetTermBoot(), Bare: w.GetBare()}, Config: w.GetConfig(), Graves: w.GetGraves(),
	}
}
