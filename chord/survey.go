package chord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/msg"
)

var _ torc.Surveyor = (*Table)(nil)

// Survey implements [torc.Surveyor]. Entries are counted as nodes hold them, copies
// included; shares are those of the circle that nodes own.
func (t *Table) Survey(ctx context.Context) (torc.Survey, error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.ReadTimeout)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()
	s := torc.Survey{
		Placement: fmt.Sprintf("chord, 2^%d places", int(t.circle)), Copies: t.replicas + 1,
		Members: []torc.MemberSurvey{},
	}
	seen := t.lookAround(ctx)
	if t.life.Err() != nil {
		return torc.Survey{}, failure(opSurvey, "", nil, torc.ErrClosed)
	}
	var failed joined
	r := t.routing.Load()
	s.Version = r.version
	for addr, of := range seen {
		m := torc.MemberSurvey{Member: r.member(addr, of.at)}
		switch {
		case of.err == nil && of.status.Joined:
			m.Entries, m.Bytes, m.Share = of.status.Held, of.status.Bytes, t.share(&of.status.Claim)
		case of.err == nil: // it is on its way in
			continue
		default:
			failed = append(failed, of.err)
			if !of.named {
				continue
			}
			var why *unansweredError
			m.State, m.Reason = torc.Down, of.err.Error()
			if errors.As(of.err, &why) {
				m.Reason = why.bare()
			}
			m.Since = cmp.Or(of.at.failing(), m.Since)
			m.Err = failure(opSurvey, "", of.at, unavailable(errors.New(m.Reason)))
		}
		s.Members = append(s.Members, m)
	}
	if len(s.Members) == 0 {
		failed = failed[:min(len(failed), toldOf)]
		return torc.Survey{}, failure(opSurvey, "", mutedBy(failed), unavailable(failed))
	}
	slices.SortFunc(s.Members, func(a, b torc.MemberSurvey) int { return cmp.Compare(a.Addr, b.Addr) })
	return s, nil
}

// share is which part of the circle a claim is on.
func (t *Table) share(c *msg.Claim) float64 {
	if c.Owner.None() {
		return 0
	}
	if c.Span.From == c.Span.To {
		return 1
	}
	d := t.circle.Distance(c.Span.From, c.Span.To)
	share, _ := new(big.Float).SetInt(new(big.Int).SetBytes(d[:])).Float64()
	return math.Ldexp(share, -int(t.circle))
}
