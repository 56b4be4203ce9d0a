package check

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// History is what clients of one table did and saw, in any order.
type History []Operation

// Operation is one call.
type Operation struct {
	// Client is whose call it was. A client makes one call at a time.
	Client int `json:"client"`
	// Call and Return are when it began and ended, since the recording began.
	Call   time.Duration `json:"call"`
	Return time.Duration `json:"return"`
	Op     Op            `json:"op"`
	Key    Text          `json:"key"`
	// Value is what a Get read, and what a Put was to write.
	Value Text `json:"value,omitempty"`
	// Expect is, for Swap, the value whose version had to be there, and for an
	// Exchange that was answered the one that it found, if Found.
	Expect  Text    `json:"expect,omitempty"`
	Found   bool    `json:"found,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Labelled says that the answer came with a warning: it binds nobody. What it
	// tells of the entry counts for nothing, and a write may take effect at any
	// time after its call, or never, and over whatever is there then. An
	// unanswered write that may have been taken under such a label has it, too.
	Labelled bool `json:"labelled,omitempty"`
	// Err is the error's text, for a person.
	Err string `json:"err,omitempty"`
}

// Op is what an operation does.
type Op string

// The operations.
const (
	Get         Op = "get"
	Put         Op = "put"
	PutIfAbsent Op = "put-if-absent"
	Update      Op = "update"   // put over whatever entry there is
	Swap        Op = "swap"     // put over the entry whose value was Expect
	Exchange    Op = "exchange" // put, and return what was there
	Delete      Op = "delete"
)

// Outcome is how an operation ended.
type Outcome string

// The outcomes.
const (
	OK       Outcome = "ok"
	Missing  Outcome = "missing"  // there is no entry
	Exists   Outcome = "exists"   // of PutIfAbsent: there is one
	Conflict Outcome = "conflict" // of Swap: there is another
	Failed   Outcome = "failed"   // nothing was done, nothing was learnt
	Unknown  Outcome = "unknown"  // of writes: may have happened, may yet
)

// writes tells whether o changed the entry, or may have.
func (o *Operation) writes() bool {
	return o.Op != Get && (o.Outcome == OK || o.Outcome == Unknown)
}

// String formats o for a person.
func (o Operation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "client %d, %v to %v: %s %q", o.Client, o.Call, o.Return, o.Op, o.Key)
	if o.Op == Swap {
		fmt.Fprintf(&b, " from %q", o.Expect)
	}
	if o.Op != Get && o.Op != Delete {
		fmt.Fprintf(&b, " to %q", o.Value)
	}
	fmt.Fprintf(&b, ": %s", o.Outcome)
	switch {
	case o.Outcome != OK:
	case o.Op == Get:
		fmt.Fprintf(&b, " %q", o.Value)
	case o.Op == Exchange && o.Found:
		fmt.Fprintf(&b, " found %q", o.Expect)
	case o.Op == Exchange:
		b.WriteString(" found none")
	}
	if o.Labelled {
		b.WriteString(", labelled")
	}
	return b.String()
}

// found returns the value that o says was there, if it says so. A Swap doesn't
// count: it says of a version that it was there.
func (o *Operation) found() (Text, bool) {
	switch {
	case o.Outcome != OK:
		return "", false
	case o.Op == Exchange:
		return o.Expect, o.Found
	default:
		return o.Value, o.Op == Get
	}
}

// binding returns what of h binds: without the labelled reads, and with labelled
// writes as what may have happened, or may yet.
func (h History) binding() History {
	if !slices.ContainsFunc(h, func(o Operation) bool { return o.Labelled }) {
		return h
	}
	b := make(History, 0, len(h))
	for _, o := range h {
		switch {
		case o.Labelled && o.Op == Get:
			continue
		case o.Labelled && o.Outcome != Failed:
			o.Outcome, o.Expect, o.Found = Unknown, "", false
			if o.Op != Delete {
				o.Op = Put
			}
		}
		b = append(b, o)
	}
	return b
}

// byKey yields the operations on each key, the keys sorted.
func (h History) byKey() iter.Seq2[Text, []*Operation] {
	keys := make(map[Text][]*Operation)
	for i := range h {
		keys[h[i].Key] = append(keys[h[i].Key], &h[i])
	}
	return func(yield func(Text, []*Operation) bool) {
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !yield(key, keys[key]) {
				return
			}
		}
	}
}

// Save writes h as JSON, one operation a line.
func (h History) Save(w io.Writer) error {
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	for i := range h {
		if err := enc.Encode(&h[i]); err != nil {
			return fmt.Errorf("check: saving a history: %w", err)
		}
	}
	return b.Flush()
}

// Load reads what Save wrote.
func Load(r io.Reader) (History, error) {
	var h History
	dec := json.NewDecoder(bufio.NewReader(r))
	dec.DisallowUnknownFields()
	for {
		var o Operation
		err := dec.Decode(&o)
		if err == io.EOF {
			return h, nil
		}
		if err != nil {
			return nil, fmt.Errorf("check: loading operation %d of a history: %w", len(h)+1, err)
		}
		h = append(h, o)
	}
}

// Text is a key or a value: any bytes. As JSON it is itself where it is UTF-8,
// and base64 behind a prefix where it isn't.
type Text string

const base64Prefix = "base64:"

// MarshalText writes t so that it survives as JSON.
func (t Text) MarshalText() ([]byte, error) {
	if utf8.ValidString(string(t)) && !strings.HasPrefix(string(t), base64Prefix) {
		return []byte(t), nil
	}
	return []byte(base64Prefix + base64.StdEncoding.EncodeToString([]byte(t))), nil
}

// UnmarshalText reads what MarshalText wrote.
func (t *Text) UnmarshalText(text []byte) error {
	encoded, ok := strings.CutPrefix(string(text), base64Prefix)
	if !ok {
		*t = Text(text)
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	*t = Text(raw)
	return err
}
