package script

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
)

// say puts what became of c into words.
func (r *Runner) say(c Command, res result, ok bool) string {
	var b strings.Builder
	if !ok {
		b.WriteString(reason(res.err))
		if r.Verbose && res.took > 0 {
			fmt.Fprintf(&b, " (%v)", rounded(res.took))
		}
		return b.String()
	}
	if c.Op == Sleep {
		return c.String()
	}
	fmt.Fprintf(&b, "%s %s: ", strings.ToUpper(c.Op.String()), torc.QuoteKey(c.Key))
	switch {
	case c.Op == Get && res.outcome == doneOutcome:
		fmt.Fprintf(&b, "%d bytes", len(res.entry.Value))
	case c.Op == Put:
		fmt.Fprintf(&b, "%d bytes stored", len(c.Value))
	case res.outcome == doneOutcome:
		b.WriteString("deleted")
	case res.err == nil || isPlain(res.err):
		b.WriteString("no entry")
	default:
		fmt.Fprintf(&b, "no entry (%s)", reason(res.err))
	}
	if res.owner != "" {
		fmt.Fprintf(&b, ", at %s", res.owner)
	}
	fmt.Fprintf(&b, ", in %v", rounded(res.took))
	return b.String()
}

func rounded(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// reason is err's text in one line, without the name of the library.
func reason(err error) string {
	return strings.TrimPrefix(oneLine(err), "torc: ")
}

// isPlain tells an error that says no more than that there is no entry.
func isPlain(err error) bool {
	for {
		switch e := err.(type) {
		case *torc.Error:
			err = e.Err
		default:
			return err == torc.ErrNotFound
		}
	}
}

// object is the JSON form. cmd/torc's jsonObjects tells its fields.
type object struct {
	Line int    `json:"line"`
	Op   string `json:"op"`
	jsonform.Key
	jsonform.Value
	Version string  `json:"version,omitempty"`
	Outcome outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	Owner   string  `json:"owner,omitempty"`
	Seconds float64 `json:"seconds"`
}

func writeJSON(w io.Writer, line Line, res result) error {
	o := object{
		Line: line.Number, Op: line.Op.String(),
		Outcome: res.outcome, Owner: res.owner, Seconds: res.took.Seconds(),
	}
	if line.Command.Key != "" {
		o.Key = jsonform.KeyOf(line.Command.Key)
	}
	if line.Op == Get && res.outcome == doneOutcome {
		o.Value = jsonform.ValueOf(res.entry.Value)
		o.Version = res.entry.Version.String()
	}
	if res.err != nil && !isPlain(res.err) {
		o.Reason = reason(res.err)
	}
	return jsonform.Print(w, o)
}
