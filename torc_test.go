package torc

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestVersionText(t *testing.T) {
	t.Parallel()
	for text, v := range map[string]Version{
		"0-0":                               {},
		"1-2a":                              {Epoch: 1, Seq: 0x2a},
		"ffffffffffffffff-ffffffffffffffff": {Epoch: math.MaxUint64, Seq: math.MaxUint64},
	} {
		if v.String() != text {
			t.Errorf("%#v.String() = %q, want %q", v, v, text)
		}
		if got, err := ParseVersion(text); err != nil || got != v {
			t.Errorf("ParseVersion(%q) = %#v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-", "1", "1-", "-1", "1-2-3", "1-2 ", " 1-2", "+1-2", "0x1-2", "1-10000000000000000", "1-g"} {
		if v, err := ParseVersion(text); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "two hexadecimal numbers") {
			t.Errorf("ParseVersion(%q) = %v, %v, want ErrInvalid", text, v, err)
		}
	}
}

// What a table says about itself can be written as JSON and read again.
func TestJSON(t *testing.T) {
	t.Parallel()
	in := View{Generation: 3, Version: 7, Members: []Member{
		{Addr: "a:1", Weight: 1, State: Up, Since: time.Unix(1, 0).UTC()},
		{Addr: "b:1", Weight: 2, State: Down, Reason: "refused"},
		{Addr: "c:1", State: Drained},
	}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"state":"up"`, `"state":"down"`, `"state":"drained"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
	if strings.Contains(string(text), "lost_contact") {
		t.Errorf("%s names a lost contact that was not lost", text)
	}
	var out View
	if err := json.Unmarshal(text, &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%s was read as %+v, %v", text, out, err)
	}

	e := Entry{Value: []byte("x"), Version: Version{Epoch: 1, Seq: 2}}
	text, err = json.Marshal(e)
	if err != nil || !strings.Contains(string(text), `"1-2"`) {
		t.Errorf("%s, %v", text, err)
	}
	var back Entry
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(e, back) {
		t.Errorf("%s was read as %+v, %v", text, back, err)
	}

	if err := json.Unmarshal([]byte(`"asleep"`), new(State)); !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown state: %v", err)
	}
	if got := State(9).String(); got != "State(9)" {
		t.Errorf("State(9) = %q", got)
	}
}

func TestCheckKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"k", " ", "\x00", strings.Repeat("k", MaxKeyLen)} {
		if err := CheckKey(key); err != nil {
			t.Errorf("CheckKey(%q): %v", key, err)
		}
	}
	for key, says := range map[string]string{"": "empty", strings.Repeat("k", MaxKeyLen+1): "251 bytes: at most 250"} {
		if err := CheckKey(key); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("CheckKey(%q): %v", key, err)
		}
	}
}
