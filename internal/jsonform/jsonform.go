package jsonform

import (
	"encoding/json"
	"io"
	"unicode/utf8"
)

// Key is a key's two fields, to be embedded in an object. The zero Key is none.
type Key struct {
	Text   *string `json:"key,omitempty"`
	Base64 []byte  `json:"key_base64,omitempty"`
}

// KeyOf returns key's fields.
func KeyOf(key string) (k Key) {
	k.Text, k.Base64 = split([]byte(key))
	return k
}

// Value is a value's two fields, to be embedded in an object. The zero Value is
// none, which is not an empty one.
type Value struct {
	Text   *string `json:"value,omitempty"`
	Base64 []byte  `json:"value_base64,omitempty"`
}

// ValueOf returns value's fields. They share its memory.
func ValueOf(value []byte) (v Value) {
	v.Text, v.Base64 = split(value)
	return v
}

// split returns b in one of its forms. encoding/json makes base64 of bytes.
func split(b []byte) (text *string, raw []byte) {
	if utf8.Valid(b) {
		s := string(b)
		return &s, nil
	}
	return nil, b
}

// Print writes object as one line.
func Print(w io.Writer, object any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(object)
}
