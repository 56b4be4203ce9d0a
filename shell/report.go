package shell

import (
	"bytes"
	"time"

	"github.com/torc-dht/torc/internal/jsonform"
)

// What every object has before and behind what the command has to say.
// cmd/torc's jsonObjects tells the fields of all of them.
type (
	objectHead struct {
		Line    int    `json:"line,omitempty"`
		Command string `json:"command"`
	}
	objectTail struct {
		Outcome outcome `json:"outcome"`
		Reason  string  `json:"reason,omitempty"`
		Seconds float64 `json:"seconds"`
	}
)

// writeJSON writes c's object, or the end of it where the command has begun it.
func (c *call) writeJSON() {
	if c.outcome == nothingOutcome {
		return
	}
	tail := objectTail{Outcome: c.outcome, Seconds: c.took.Seconds()}
	if c.err != nil {
		tail.Reason = reason(c.err)
	}
	if c.begun {
		c.write(`,` + fields(tail) + "}\n")
		return
	}
	text := "{" + fields(c.head())
	if result := fields(c.result); result != "" {
		text += "," + result
	}
	c.write(text + "," + fields(tail) + "}\n")
}

func (c *call) head() objectHead {
	_, line := c.Input.Place()
	return objectHead{Line: line, Command: c.name}
}

// fields is the JSON form of a struct, without its braces; of nil it is "".
func fields(object any) string {
	var b bytes.Buffer
	if err := jsonform.Print(&b, object); err != nil || object == nil {
		return "" // there is no struct here that has no JSON form
	}
	text := bytes.TrimSpace(b.Bytes())
	return string(text[1 : len(text)-1])
}

// keyList prints keys as they come, so that there may be any number of them.
type keyList struct {
	*call
	flushed time.Time
	any     bool
}

func (l *keyList) add(key string) error {
	if l.JSON {
		l.begin()
		if l.any {
			l.write(",")
		}
		l.write("{" + fields(jsonform.KeyOf(key)) + "}")
	} else {
		l.write(Quote(key) + "\n")
	}
	l.any = true
	if now := time.Now(); now.Sub(l.flushed) > flushEvery {
		l.flushed = now
		return l.out.Flush()
	}
	return nil
}

func (l *keyList) begin() {
	if !l.begun {
		l.begun = true
		l.write("{" + fields(l.head()) + `,"keys":[`)
	}
}

func (l *keyList) end() {
	if l.JSON {
		l.begin()
		l.write("]")
	}
}
