package jsonform

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type object struct {
	Key
	Value
}

func TestForms(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]object{
		`{}`:                                    {},
		`{"key":"a <b> & ü","value":""}`:        {KeyOf("a <b> & ü"), ValueOf(nil)},
		`{"key":"k","value_base64":"Y2Fm6Q=="}`: {KeyOf("k"), ValueOf([]byte("caf\xe9"))},
		`{"key_base64":"/w==","value":"\n"}`:    {KeyOf("\xff"), ValueOf([]byte("\n"))},
	} {
		var b strings.Builder
		if err := Print(&b, o); err != nil || b.String() != want+"\n" {
			t.Errorf("got %swant %s, %v", &b, want, err)
		}
	}
}

// A reader gets the bytes back that were there.
func TestBytesSurvive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := string(rapid.SliceOf(rapid.Byte()).Draw(t, "key"))
		value := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(t, "value")
		var b bytes.Buffer
		if err := Print(&b, object{KeyOf(key), ValueOf(value)}); err != nil {
			t.Fatal(err)
		}
		var o object
		if err := json.Unmarshal(b.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		join := func(text *string, raw []byte) string {
			if (text == nil) == (raw == nil) {
				t.Fatalf("not one field of two: %s", &b)
			}
			if text != nil {
				return *text
			}
			return string(raw)
		}
		if join(o.Key.Text, o.Key.Base64) != key || join(o.Value.Text, o.Value.Base64) != string(value) {
			t.Errorf("%q, %q became %s", key, value, &b)
		}
	})
}
