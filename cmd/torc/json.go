package main

import (
	"encoding/json"
	"io"
	"time"
	"unicode/utf8"

	"github.com/torc-dht/torc"
)

// printJSON writes v as one line.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// text splits a key or a value in its two forms in JSON, of which one is nil:
// a string if it is UTF-8, which JSON can hold, and otherwise bytes, which
// become base64.
func text(b []byte) (s *string, raw []byte) {
	if utf8.Valid(b) {
		t := string(b)
		return &t, nil
	}
	return nil, b
}

// keyJSON is the part that names the key in an object about one key.
type keyJSON struct {
	Key       *string `json:"key,omitempty"`
	KeyBase64 []byte  `json:"key_base64,omitempty"`
}

func newKeyJSON(key string) (k keyJSON) {
	k.Key, k.KeyBase64 = text([]byte(key))
	return k
}

type getJSON struct {
	keyJSON
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
	Version     string  `json:"version"`
}

type putJSON struct {
	keyJSON
	Bytes int `json:"bytes"`
}

type deleteJSON struct {
	keyJSON
	Deleted bool `json:"deleted"`
}

type locateJSON struct {
	keyJSON
	torc.Placement
}

// viewJSON is one view and when this process had it.
type viewJSON struct {
	Time time.Time `json:"time"` // RFC 3339 with nanoseconds
	torc.View
}
