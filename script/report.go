package script

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/torc-dht/torc"
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

// object is the JSON form; package script's documentation tells its fields.
type object struct {
	Line    int     `json:"line"`
	Op      string  `json:"op"`
	Key     string  `json:"key,omitempty"`
	Value   *string `json:"value,omitempty"`
	Base64  bool    `json:"base64,omitempty"`
	Version string  `json:"version,omitempty"`
	Outcome outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	Owner   string  `json:"owner,omitempty"`
	Seconds float64 `json:"seconds"`
}

func writeJSON(w io.Writer, line Line, res result) error {
	o := object{
		Line: line.Number, Op: line.Op.String(), Key: line.Key,
		Outcome: res.outcome, Owner: res.owner, Seconds: res.took.Seconds(),
	}
	if line.Op == Get && res.outcome == doneOutcome {
		value := string(res.entry.Value)
		o.Value = &value
		o.Version = res.entry.Version.String()
	}
	if !utf8.ValidString(o.Key) || o.Value != nil && !utf8.ValidString(*o.Value) {
		o.Base64 = true
		o.Key = base64.StdEncoding.EncodeToString([]byte(o.Key))
		if o.Value != nil {
			*o.Value = base64.StdEncoding.EncodeToString([]byte(*o.Value))
		}
	}
	if res.err != nil && !isPlain(res.err) {
		o.Reason = reason(res.err)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(o)
}
