package memcache

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// appendRequest writes r as ParseRequest reads it, without the line end: in the
// form in which r came, with nothing that makes no difference.
func appendRequest(b []byte, r *Request) []byte {
	noreply := func() []byte {
		if r.Noreply {
			b = append(b, " noreply"...)
		}
		return b
	}
	if r.form.meta() {
		return appendMeta(b, r)
	}
	switch r.Op {
	case OpGet:
		name := "get"
		if r.Touch {
			name = "gat"
		}
		if r.form == formTextCAS {
			name += "s"
		}
		b = append(b, name...)
		if r.Touch {
			b = fmt.Appendf(b, " %d", r.Exptime)
		}
		for _, key := range r.Keys {
			b = append(append(b, ' '), key...)
		}
		return b
	case OpSet:
		name := map[Mode]string{ModeSet: "set", ModeAdd: "add", ModeReplace: "replace", ModeAppend: "append", ModePrepend: "prepend", ModeCAS: "cas"}[r.Mode]
		b = fmt.Appendf(b, "%s %s %d %d %d", name, r.Key, r.Flags, r.Exptime, r.dataLen)
		if r.Mode == ModeCAS {
			b = fmt.Appendf(b, " %d", r.CAS)
		}
		return noreply()
	case OpDelete:
		b = fmt.Appendf(b, "delete %s", r.Key)
		return noreply()
	case OpIncr:
		b = fmt.Appendf(b, "%s %s %d", map[bool]string{false: "incr", true: "decr"}[r.Decr], r.Key, r.Delta)
		return noreply()
	case OpTouch:
		b = fmt.Appendf(b, "touch %s %d", r.Key, r.Exptime)
		return noreply()
	case OpFlush:
		b = fmt.Appendf(b, "flush_all %d", r.Exptime)
		return noreply()
	case OpStats:
		b = append(b, "stats"...)
		for _, arg := range r.Args {
			b = append(append(b, ' '), arg...)
		}
		return b
	case OpTune:
		b = append(b, "verbosity 0"...)
		return noreply()
	case OpDump:
		return fmt.Appendf(b, "lru_crawler metadump %s", r.Args[0])
	case OpNoop:
		return append(b, "mn"...)
	case OpVersion:
		return append(b, "version"...)
	case OpQuit:
		return append(b, "quit"...)
	}
	panic(fmt.Sprint("no command for Op ", r.Op))
}

func appendMeta(b []byte, r *Request) []byte {
	b = append(b, map[Op]string{OpGet: "mg", OpSet: "ms", OpDelete: "md", OpIncr: "ma", OpInspect: "me"}[r.Op]...)
	b = append(b, ' ')
	if r.BinaryKey {
		b = base64.StdEncoding.AppendEncode(b, r.Key)
	} else {
		b = append(b, r.Key...)
	}
	if r.Op == OpSet {
		b = fmt.Appendf(b, " %d", r.dataLen)
	}
	if r.Op == OpInspect && r.BinaryKey {
		return append(b, " b"...)
	}
	for _, token := range r.tokens {
		b = append(append(b, ' '), token...)
	}
	return b
}

var requestSeeds = []string{
	"get a", "gets a b c", "gat 10 a", "gats -1 a b", "get " + strings.Repeat("k", 250) + " x", "gat 5",
	"set a 1 2 3", "add a 1 2 3 noreply", "replace a 0 0 0", "append a 0 0 5", "prepend a 0 0 5", "cas a 0 0 5 77 noreply",
	"incr a 1", "decr a 18446744073709551615 noreply", "delete a", "delete a 0 noreply", "touch a 9 noreply",
	"flush_all", "flush_all 10 noreply", "stats", "stats items", "version", "verbosity 1", "quit", "mn", "lru_crawler metadump all",
	"mg a s v f q k Oop c h l u t N1 T2 R3", "mg YQ== b k", "ms a 5 T1 F2 C3 I ME q", "ms YQ== 0 b", "md a I T5 C1", "ma a N1 J2 D3 MD q v t c", "me a", "me YQ== b",
	"set a 0 0 99999999999999999999", "set a -1 0 0", "mg a v v", "get a\x00b", "  get  a  ", "", " ", "\xff\xff", "GET / HTTP/1.1",
}

// FuzzParseRequest wants no panic, keys within their limit, and that a request
// is the same after it was written and parsed again.
func FuzzParseRequest(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		var r, again Request
		err := ParseRequest(line, &r)
		if !bytes.Equal(line, before) {
			t.Fatalf("ParseRequest has changed %q to %q", before, line)
		}
		if n, ok := r.DataLen(); ok && n < 0 {
			t.Fatalf("%q announces %d bytes", line, n)
		}
		if err != nil {
			re, ok := err.(*RequestError)
			if !ok || strings.ContainsAny(re.Answer, "\r\n") {
				t.Fatalf("%q: %#v is no answer", line, err)
			}
			return
		}
		for _, key := range append(r.Keys, r.Key) {
			if len(key) > MaxKeyLen {
				t.Fatalf("%q has a key of %d bytes", line, len(key))
			}
		}
		written := appendRequest(nil, &r)
		if err := ParseRequest(written, &again); err != nil {
			t.Fatalf("%q was written as %q, which is %v", line, written, err)
		}
		if a, b := visible(&r), visible(&again); !reflect.DeepEqual(a, b) {
			t.Fatalf("%q was written as %q\nbefore: %+v\nafter:  %+v", line, written, a, b)
		}
	})
}

// visible is r without what only helps to parse it.
func visible(r *Request) Request {
	v := *r
	v.fields, v.keyBuf = [maxFields][]byte{}, [MaxKeyLen]byte{}
	v.Args = append([][]byte(nil), r.Args...) // none is nil, whatever it was
	if len(v.Keys) == 0 {
		v.Keys = nil
	}
	if len(v.tokens) == 0 {
		v.tokens = nil
	}
	if v.Op == OpDump || v.Op == OpTune {
		v.Noreply = false // there is none
	}
	return v
}

func TestParseRequestForgetsTheLastOne(t *testing.T) {
	t.Parallel()
	var used, fresh Request
	for _, s := range requestSeeds {
		if err := ParseRequest([]byte("mg YQ== b s v f q k Oop c u N1 T2 R3 F5 C6 I MD J1"), &used); err != nil {
			t.Fatal(err)
		}
		errUsed, errFresh := ParseRequest([]byte(s), &used), ParseRequest([]byte(s), &fresh)
		if errUsed != errFresh || !reflect.DeepEqual(visible(&used), visible(&fresh)) {
			t.Errorf("%q after another request: %+v, %v; want %+v, %v", s, used, errUsed, fresh, errFresh)
		}
		fresh = Request{}
	}
}

func TestParseRequestAllocatesNothing(t *testing.T) {
	for _, s := range []string{"get key", "get a b c d e f", "set key 0 0 100", "mg key v f c t", "ms key 100 c T10", "mg YQ== b v", "bogus", "incr n 1"} {
		line := []byte(s)
		var r Request
		_ = ParseRequest(line, &r)
		if n := testing.AllocsPerRun(100, func() { _ = ParseRequest(line, &r) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}

// FuzzNumbers holds the three readers of numbers against strconv, where that
// reads the same: plain digits with a sign.
func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"", "0", "-0", "+1", "-1", "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", " 1", "1 ", "1x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, okU := cUint64([]byte(s))
		i, okI := cInt32([]byte(s))
		if want, err := strconv.ParseUint(s, 10, 64); err == nil && !(okU && u == want) {
			t.Errorf("cUint64(%q) = %d, %v", s, u, okU)
		}
		if want, err := strconv.ParseInt(s, 10, 64); err == nil && !(okI && i == int32(want)) {
			t.Errorf("cInt32(%q) = %d, %v", s, i, okI)
		} else if err != nil && okI && strings.Trim(s, "+-0123456789") == "" {
			t.Errorf("cInt32(%q) = %d, which strconv calls %v", s, i, err)
		}
	})
}

// FuzzBase64 wants all that encoding/base64 decodes decoded the same, and never
// more bytes than a key may have.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "YQ==", "YWI=", "YWJj", "Y-Q==", "A===", "====", "YQ==YQ=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := decodeBase64(nil, []byte(s))
		if len(got) > len(s)/4*3 {
			t.Fatalf("%q became %d bytes", s, len(got))
		}
		if want, err := base64.StdEncoding.DecodeString(s); err == nil && s != "" && !strings.ContainsAny(s, "\r\n") && !(ok && bytes.Equal(got, want)) {
			t.Fatalf("%q: %q, %v; want %q", s, got, ok, want)
		}
	})
}
