package memcache

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

var fuzzMark = echo{opaque: 123456}

// fuzzOpaque is fuzzMark as it goes over the wire.
var fuzzOpaque = string(appendOpaque(nil, fuzzMark.opaque)[2:])

// Whatever a server sends, the reader never panics, never takes more memory than
// its limit for a value, and returns a value or a success only under the opaque
// of the query. It says the same however the bytes come.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"VA 5 f7 c9 t-1 " + " O" + fuzzOpaque + "\r\nhello\r\n",
		"VA 5 f7 c9 t60 Oxxxx\r\nhello\r\n", "HD O" + fuzzOpaque + " c12\r\n", "EN\r\n", "EN O" + fuzzOpaque + "\r\n",
		"NF O" + fuzzOpaque + "\r\n", "NS O" + fuzzOpaque + "\r\n", "EX O" + fuzzOpaque + "\r\n", "MN\r\n",
		"ERROR\r\n", "CLIENT_ERROR bad\r\n", "SERVER_ERROR object too large for cache\r\n",
		"VA 1073741824 O" + fuzzOpaque + "\r\n", "VA 99999999999999999999 O\r\n", "VA\r\n", "VA \r\n", "VA 1\r\nx\r\n",
		"OK\r\n", "RESET\r\n", "VERSION 1.6.18\r\n", "STAT pid 1\r\nSTAT x\r\nEND\r\n", "STAT ", "\n", "\r\n", "",
		"VA 3 kabc b s3 h1 l0 W X Z f1 O" + fuzzOpaque + "\r\nabc\r\n", strings.Repeat("a", maxLine) + "\r\n",
	} {
		for o := opGet; o <= opStats; o++ {
			f.Add([]byte(s), uint8(o))
		}
	}
	const limit = 64
	f.Fuzz(func(t *testing.T, b []byte, o8 uint8) {
		o := op(o8) % (opStats + 1)
		read := func(in io.Reader) (answer, error) {
			r := newAnswerReader(in, limit)
			line, err := r.line()
			if err != nil {
				return answer{}, err
			}
			return r.answer(line, o, fuzzMark, true)
		}
		a, err := read(bytes.NewReader(b))
		slow, slowErr := read(iotest.OneByteReader(bytes.NewReader(b)))
		if (err == nil) != (slowErr == nil) || a.code != slow.code || !bytes.Equal(a.value, slow.value) || a.text != slow.text {
			t.Fatalf("at once: %+v, %v; byte by byte: %+v, %v", a, err, slow, slowErr)
		}
		if err != nil {
			if a.value != nil {
				t.Fatalf("a value with the error %v", err)
			}
			return
		}
		if len(a.value) > limit {
			t.Fatalf("a value of %d bytes", len(a.value))
		}
		switch a.code {
		case codeVA, codeHD, codeNF, codeNS, codeEX:
			if !bytes.Contains(b, []byte("O"+fuzzOpaque)) {
				t.Fatalf("code %d without the opaque", a.code)
			}
		}
		// What ready says has come, is read without waiting for more.
		whole := newAnswerReader(io.MultiReader(bytes.NewReader(b), iotest.ErrReader(errWouldWait)), limit)
		if whole.fill() == nil && whole.ready() && o != opStats {
			if line, err := whole.line(); err == nil {
				if _, err := whole.answer(line, o, fuzzMark, true); errors.Is(err, errWouldWait) {
					t.Fatal("ready, but the answer was not all there")
				}
			}
		}
	})
}

var errWouldWait = errors.New("nothing more has come")

// A lying size costs no memory before the opaque was found right, nor when it is
// over the limit.
func TestLyingSizesCostNothing(t *testing.T) {
	for _, s := range []string{
		"VA 1073741824 O" + fuzzOpaque + "\r\n",
		"VA 1000000 Oxxxx\r\n",
		"VA 1000000\r\n",
	} {
		r := newAnswerReader(strings.NewReader(s), 1<<20-1<<16)
		line, err := r.line()
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := r.answer(line, opGet, fuzzMark, true); err == nil {
			t.Errorf("%q is taken for an answer", s)
		}
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 100<<10 {
			t.Errorf("%q cost %d bytes", s, spent)
		}
	}
}

func TestParseAnswer(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]answer{
		"VA 3 f7 c18446744073709551615 t-1 Oabcd": {code: codeVA, size: 3, flags: 7, cas: 1<<64 - 1, ttl: -1},
		"VA 0 t59 kZm9v b s0 Oabcd W":             {code: codeVA, ttl: 59},
		"HD c12 Oabcd":                            {code: codeHD, cas: 12},
		"HD":                                      {code: codeHD},
		"EN":                                      {code: codeEN},
		"MN":                                      {code: codeMN},
		"ERROR":                                   {code: codeError, text: "ERROR"},
		"SERVER_ERROR moved 7 h:1":                {code: codeError, text: "SERVER_ERROR moved 7 h:1"},
	} {
		got, opaque, err := parseAnswer([]byte(line))
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if got.code != want.code || got.size != want.size || got.flags != want.flags || got.cas != want.cas ||
			got.ttl != want.ttl || got.text != want.text || (string(opaque) == "abcd") != strings.Contains(line, "Oabcd") {
			t.Errorf("%q is %+v, want %+v", line, got, want)
		}
	}
	for _, line := range []string{
		"", "V", "VAX", "VA", "VA ", "VA x", "VA 1x", "VA -1", "VA 1073741825", "VA 18446744073709551616",
		"HD O", "HD Oabc", "HD Oabcde", "HD cx", "HD c", "HD f4294967296", "HD t", "HD t-2", "hd", "VALUE k 0 1", "HTTP/1.1 200 OK",
	} {
		if a, _, err := parseAnswer([]byte(line)); err == nil {
			t.Errorf("%q is taken for %+v", line, a)
		}
	}
}

func TestOpaquesDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for o := opaque(0); o <= opaqueMask; o += 4093 {
		b := appendOpaque(nil, o)
		if len(b) != 2+opaqueLen || b[0] != ' ' || b[1] != 'O' || seen[string(b)] {
			t.Fatalf("opaque %d is %q", o, b)
		}
		seen[string(b)] = true
		token := b[2:]
		if !isOpaque(token, o) || isOpaque(token, o+1) || isOpaque(token, o+64) {
			t.Fatalf("%q is not known as %d", b, o)
		}
	}
}
