package wire

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func TestReader(t *testing.T) {
	t.Parallel()
	b := []byte{7, 1}
	b = binary.AppendUvarint(b, 1<<40)
	b = binary.LittleEndian.AppendUint32(b, 4)
	b = binary.LittleEndian.AppendUint64(b, 8)
	b = AppendBytes(b, []byte("abc"))
	b = AppendBytes(b, nil)
	b = AppendBool(AppendBool(b, true), false)
	b = append(b, "rest"...)

	r := NewReader(b, 100)
	if c, f, v := r.Byte(), r.Flags(1, "x"), r.Uvarint(); c != 7 || f != 1 || v != 1<<40 {
		t.Error(c, f, v)
	}
	if v, w := r.Uint32(), r.Uint64(); v != 4 || w != 8 {
		t.Error(v, w)
	}
	if s, none := r.Bytes(3, "x"), r.Bytes(3, "x"); string(s) != "abc" || cap(s) != 3 || none != nil {
		t.Errorf("%q of %d, %v", s, cap(s), none)
	}
	if yes, no := r.Bool(), r.Bool(); !yes || no {
		t.Error(yes, no)
	}
	if r.Len() != 4 || r.Err() != nil {
		t.Error(r.Len(), r.Err())
	}
	if rest := r.Next(4); string(rest) != "rest" || r.End() != nil {
		t.Errorf("%q, %v", rest, r.End())
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		b    []byte
		read func(r *Reader)
		want string
	}{
		"too much":    {make([]byte, 11), func(*Reader) {}, "message of 11 bytes: at most 10"},
		"left over":   {[]byte{1, 2}, func(r *Reader) { r.Byte() }, "1 bytes behind the end"},
		"flags":       {[]byte{6}, func(r *Reader) { r.Flags(3, "a thing") }, "a thing has flags 0x6: known are 0x3"},
		"bool":        {[]byte{2}, func(r *Reader) { r.Bool() }, "flags 0x2"},
		"long number": {[]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), func(r *Reader) { r.Uvarint() }, "more than 64 bits"},
		"length":      {[]byte{5, 1, 2, 3, 4, 5}, func(r *Reader) { r.Bytes(4, "bytes of it") }, "5 bytes of it: at most 4"},
		"first stays": {[]byte{2}, func(r *Reader) { r.Bool(); r.Uint64(); r.Fail("another") }, "flags 0x2"},
	} {
		r := NewReader(c.b, 10)
		c.read(&r)
		if err := r.End(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for name, read := range map[string]func(r *Reader){
		"byte":    func(r *Reader) { r.Byte(); r.Byte() },
		"uvarint": func(r *Reader) { r.Uvarint(); r.Uvarint() },
		"uint32":  func(r *Reader) { r.Uint32() },
		"uint64":  func(r *Reader) { r.Uint64() },
		"next":    func(r *Reader) { r.Next(1 << 63) },
		"bytes":   func(r *Reader) { r.Bytes(100, "x") },
		"length":  func(r *Reader) { r.Length(100, 1, "x") },
	} {
		r := NewReader([]byte{3}, 10)
		read(&r)
		if !errors.Is(r.End(), ErrShort) {
			t.Errorf("%s: %v, want %v", name, r.End(), ErrShort)
		}
	}
}
