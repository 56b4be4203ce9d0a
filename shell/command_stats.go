package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
)

var statsCommand = command{
	name:  "stats",
	short: "say how keys are placed and how evenly nodes are filled",
	long: `HOLDS is a node's part of all copies there are, PLACED the part of all possible
keys whose first holder it is. EVEN is what both would be if the nodes were filled
by their weights.
`,
	prepare: func(*pflag.FlagSet) action {
		return func(ctx context.Context, c *call, _ []string) error {
			t, ok := c.Table.(torc.Surveyor)
			if !ok {
				return unsupported("it does not say how its entries are spread")
			}
			ctx, cancel := c.moment(ctx)
			defer cancel()
			s, err := t.Survey(ctx)
			if err != nil {
				return err
			}
			c.result = jsonform.SurveyOf(s)
			c.print(surveyText(s, c.style()))
			return nil
		}
	},
}

// balance is how a survey's members are filled against each other.
type balance struct {
	entries, bytes uint64
	weight         float64 // of the members in use, together
	// fullest holds, and favourite is placed, the most above its even share.
	fullest, favourite excess
}

// excess is how far a member is above its even share: 0.1 is a tenth more.
type excess struct {
	addr  string
	above float64
}

func (e *excess) note(addr string, part, even float64) {
	if even == 0 {
		return
	}
	// Somebody is above even, or all are even, but for rounding.
	if above := max(0, part/even-1); e.addr == "" || above > e.above {
		*e = excess{addr, above}
	}
}

func balanceOf(s torc.Survey) (b balance) {
	for _, m := range s.Members {
		b.entries += m.Entries
		b.bytes += m.Bytes
		if m.State == torc.Up {
			b.weight += float64(m.Weight)
		}
	}
	for _, m := range s.Members {
		even := b.even(m)
		if b.entries > 0 {
			b.fullest.note(m.Addr, float64(m.Entries)/float64(b.entries), even)
		}
		b.favourite.note(m.Addr, m.Share, even)
	}
	return b
}

// even is the part of all that m would have if it went by weights alone.
func (b balance) even(m torc.MemberSurvey) float64 {
	if m.State != torc.Up || b.weight == 0 {
		return 0
	}
	return float64(m.Weight) / b.weight
}

func surveyText(s torc.Survey, style terminal.Style) string {
	b := balanceOf(s)
	copies := strconv.Itoa(s.Copies) + " copies"
	if s.Copies == 1 {
		copies = "1 copy"
	}
	text := s.Placement + ", " + copies
	if s.VNodes > 0 {
		text += ", " + terminal.Count(uint64(s.VNodes)) + " virtual nodes a node"
	}
	text += fmt.Sprintf(", view %d\n", s.Version)
	if len(s.Members) == 0 {
		return text + "no nodes\n"
	}
	table := terminal.Table{Paint: textform.PaintState(style, 1, 1)}
	header := []string{"ADDRESS", "STATE", "ENTRIES", "BYTES", "HOLDS", "PLACED", "EVEN"}
	if slices.ContainsFunc(s.Members, func(m torc.MemberSurvey) bool { return m.Err != nil }) {
		header = append(header, "REASON")
	}
	table.Add(header...)
	for _, m := range s.Members {
		if m.Err != nil {
			table.Add(m.Addr, m.State.String(), "", "", "", "", "", whyNot(m.Err))
			continue
		}
		holds := ""
		if b.entries > 0 {
			holds = percent(float64(m.Entries) / float64(b.entries))
		}
		table.Add(m.Addr, m.State.String(), terminal.Count(m.Entries), terminal.Bytes(m.Bytes), holds, percent(m.Share), percent(b.even(m)))
	}
	table.Add("all", "", terminal.Count(b.entries), terminal.Bytes(b.bytes))
	text += table.String()
	if b.fullest.addr != "" {
		text += fmt.Sprintf("the fullest, %s, holds %s more than its even share\n", b.fullest.addr, percent(b.fullest.above))
	} else if b.favourite.addr != "" {
		text += fmt.Sprintf("on %s %s more keys are placed than on an even share\n", b.favourite.addr, percent(b.favourite.above))
	}
	return text
}

// whyNot is why a member could not be asked, beside its address.
func whyNot(err error) string {
	var e *torc.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return strings.TrimPrefix(reason(err), torc.ErrUnavailable.Error()+": ")
}

func percent(part float64) string { return fmt.Sprintf("%.1f %%", 100*part) }
