package memcache

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// Limits on what a server may answer: more is not the protocol.
const (
	// maxLine is the longest line, its end included. memcached's longest is
	// that of a dump, with a key of which every byte takes three.
	maxLine = 2048
	// maxAnyValue is the largest value that is read past when it is too large
	// to be kept: memcached takes no larger limit for its items.
	maxAnyValue = 1 << 30
	// maxStats bounds the answer to stats, in bytes.
	maxStats = 1 << 20
)

// code is the kind of an answer.
type code uint8

const (
	codeNone  code = iota
	codeHD         // done
	codeVA         // done, and a value follows
	codeEN         // no such item
	codeNF         // no such item, so nothing was done
	codeNS         // not stored
	codeEX         // the item has another CAS
	codeMN         // the answer to mn
	codeText       // the answer to a text command
	codeError      // an ERROR, CLIENT_ERROR or SERVER_ERROR line
)

var codeNames = [...]struct {
	name string
	code code
}{
	{"VA", codeVA}, {"EN", codeEN}, {"HD", codeHD}, {"NF", codeNF},
	{"NS", codeNS}, {"EX", codeEX}, {"MN", codeMN},
}

// answer is what came back to one query.
type answer struct {
	code     code
	tooLarge bool // the value was over the reader's limit and is not here
	flags    uint32
	size     int
	ttl      int64 // seconds, -1 for ever
	cas      uint64
	value    []byte
	text     string // of codeText and codeError
}

// protocolError says that what a server sent is not an answer to what it was
// asked. Nothing after it on the connection can be trusted.
type protocolError struct {
	what string
	line string // what was sent, shortened
}

func (e *protocolError) Error() string {
	if e.line == "" {
		return "not the protocol: " + e.what
	}
	return fmt.Sprintf("not the protocol: %s: %q", e.what, e.line)
}

func badLine(line []byte, what string) error {
	const most = 80
	if len(line) > most {
		line = line[:most]
	}
	return &protocolError{what, string(line)}
}

// isErrorLine says whether line is a server's complaint.
func isErrorLine(line []byte) bool {
	return bytes.HasPrefix(line, []byte("SERVER_ERROR")) ||
		bytes.HasPrefix(line, []byte("CLIENT_ERROR")) ||
		bytes.HasPrefix(line, []byte("ERROR"))
}

// parseAnswer parses the first line of an answer to a meta command, given
// without its end, and the opaque in it, if any. Flags that no query of this
// package asks for are passed over.
func parseAnswer(line []byte) (a answer, opaque []byte, err error) {
	if isErrorLine(line) {
		return answer{code: codeError, text: string(line)}, nil, nil
	}
	if len(line) < 2 || len(line) > 2 && line[2] != ' ' {
		return a, nil, badLine(line, "not an answer")
	}
	for _, c := range codeNames {
		if string(line[:2]) == c.name {
			a.code = c.code
			break
		}
	}
	rest := line[2:]
	switch a.code {
	case codeNone:
		return a, nil, badLine(line, "not an answer")
	case codeVA:
		size, n := number(rest[min(1, len(rest)):])
		if n == 0 || size > maxAnyValue {
			return a, nil, badLine(line, "not a value's size")
		}
		a.size = int(size)
		rest = rest[1+n:]
	}
	for len(rest) > 0 {
		if rest[0] != ' ' {
			return a, nil, badLine(line, "not a flag")
		}
		rest = rest[1:]
		end := bytes.IndexByte(rest, ' ')
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			continue
		}
		token := rest[1:end]
		switch rest[0] {
		case 'O':
			if len(token) != opaqueLen && len(token) != opIDLen {
				return a, nil, badLine(line, "the opaque of no query")
			}
			opaque = token
		case 'f':
			v, n := number(token)
			if n != len(token) || n == 0 || v > math.MaxUint32 {
				return a, nil, badLine(line, "not an item's flags")
			}
			a.flags = uint32(v)
		case 'c':
			v, n := number(token)
			if n != len(token) || n == 0 {
				return a, nil, badLine(line, "not a CAS")
			}
			a.cas = v
		case 't':
			if string(token) == "-1" {
				a.ttl = -1
				break
			}
			v, n := number(token)
			if n != len(token) || n == 0 || v > math.MaxUint32 {
				return a, nil, badLine(line, "not a time to live")
			}
			a.ttl = int64(v)
		}
		rest = rest[end:]
	}
	return a, opaque, nil
}

// number reads the decimal digits that b begins with. n is how many there are;
// 0 also when the number has more than 64 bits.
func number(b []byte) (v uint64, n int) {
	for n < len(b) && b[n]-'0' <= 9 {
		d := uint64(b[n] - '0')
		if v > (math.MaxUint64-d)/10 {
			return 0, 0
		}
		v = v*10 + d
		n++
	}
	return v, n
}

// fits says whether a, which carries opaque, can be the answer to a query with
// this op and mark. Every answer has to carry the mark, except that a miss has
// none in some versions of the protocol, and mn and errors never have one.
func (a *answer) fits(o op, mark *echo, opaque []byte) bool {
	switch a.code {
	case codeError:
		return true
	case codeMN:
		return o == opNoop
	case codeEN:
		return (o == opGet || o == opHead || o == opGetAndTouch || o == opTouch) && (opaque == nil || mark.is(opaque))
	}
	if !mark.is(opaque) {
		return false
	}
	switch o {
	case opGet, opGetAndTouch:
		return a.code == codeVA
	case opHead, opTouch:
		return a.code == codeHD
	case opSet:
		return a.code == codeHD || a.code == codeNS || a.code == codeEX || a.code == codeNF
	case opDelete:
		return a.code == codeHD || a.code == codeEX || a.code == codeNF
	case opIncr:
		return a.code == codeVA || a.code == codeNS || a.code == codeEX || a.code == codeNF
	}
	return false
}

// outOfStep says whether a server that gave this answer may take what follows
// the query's first line, its value, for commands.
func (a *answer) outOfStep(o op) bool {
	return o == opSet && a.code == codeError && !strings.HasPrefix(a.text, "SERVER_ERROR")
}

// answerReader reads answers from a stream.
type answerReader struct {
	br       *bufio.Reader
	maxValue int
}

// readBuffer holds the answers that come in one segment of a loopback
// connection, some 500 of 100-byte values.
const readBuffer = 64 << 10

func newAnswerReader(r io.Reader, maxValue int) *answerReader {
	return &answerReader{bufio.NewReaderSize(r, readBuffer), maxValue}
}

// buffered says whether bytes have come that were not read yet.
func (r *answerReader) buffered() bool { return r.br.Buffered() > 0 }

// fill waits until a byte has come. When that fails nothing is lost, and it can
// be tried again.
func (r *answerReader) fill() error {
	_, err := r.br.Peek(1)
	return err
}

// ready says whether a whole answer to a meta command has come, or a whole line
// that is none, so that reading it does not wait.
func (r *answerReader) ready() bool {
	have, _ := r.br.Peek(r.br.Buffered())
	end := bytes.IndexByte(have, '\n')
	if end < 0 {
		return false
	}
	if !bytes.HasPrefix(have, []byte("VA ")) {
		return !bytes.HasPrefix(have, []byte("STAT "))
	}
	size, _ := number(have[len("VA "):end])
	return size <= uint64(len(have)) && end+1+int(size)+2 <= len(have)
}

// line reads one line and returns it without its end. It is good until the next
// read.
func (r *answerReader) line() ([]byte, error) {
	line, err := r.dumpLine()
	if err == nil && (len(line) == 0 || line[len(line)-1] != '\r') {
		return nil, badLine(line, "a line that doesn't end as one")
	}
	return line[:max(len(line)-1, 0)], err
}

// dumpLine is line for a dump, of which lines end with a line feed alone. It
// returns what comes before that.
func (r *answerReader) dumpLine() ([]byte, error) {
	line, err := r.br.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, badLine(line, "a line without an end")
		}
		if len(line) > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if len(line) > maxLine {
		return nil, badLine(line, "a line too long")
	}
	return line[:len(line)-1], nil
}

// answer reads the rest of the answer that begins with line, to a query with
// this op and mark. Unless keep is set it reads past the value. It allocates
// nothing for an answer that does not fit, nor for a value over the limit.
func (r *answerReader) answer(line []byte, o op, mark echo, keep bool) (answer, error) {
	switch o {
	case opFlushAll, opVersion, opStats:
		return r.text(line, o)
	}
	a, opaque, err := parseAnswer(line)
	if err != nil {
		return answer{}, err
	}
	if !a.fits(o, &mark, opaque) {
		return answer{}, badLine(line, "the answer to another request")
	}
	if a.code != codeVA {
		return a, nil
	}
	a.tooLarge = a.size > r.maxValue
	if keep && !a.tooLarge {
		a.value = make([]byte, a.size)
		_, err = io.ReadFull(r.br, a.value)
	} else {
		_, err = r.br.Discard(a.size)
	}
	if err != nil {
		return answer{}, unexpected(err)
	}
	end, err := r.br.Peek(2)
	if err != nil {
		return answer{}, unexpected(err)
	}
	if end[0] != '\r' || end[1] != '\n' {
		return answer{}, badLine(end, "a value longer than its size")
	}
	_, err = r.br.Discard(2)
	return a, err
}

// text reads the rest of the answer that begins with line, to a text command.
func (r *answerReader) text(line []byte, o op) (answer, error) {
	if isErrorLine(line) {
		return answer{code: codeError, text: string(line)}, nil
	}
	a := answer{code: codeText}
	switch o {
	case opFlushAll:
		if string(line) == "OK" {
			return a, nil
		}
	case opVersion:
		if v, ok := bytes.CutPrefix(line, []byte("VERSION ")); ok {
			a.text = string(v)
			return a, nil
		}
	case opStats:
		if string(line) == "RESET" || string(line) == "OK" {
			return a, nil
		}
		var b strings.Builder
		for string(line) != "END" {
			if !bytes.HasPrefix(line, []byte("STAT ")) {
				return answer{}, badLine(line, "not a line of statistics")
			}
			if b.Len()+len(line) > maxStats {
				return answer{}, &protocolError{what: "statistics without an end"}
			}
			b.Write(line[len("STAT "):])
			b.WriteByte('\n')
			var err error
			if line, err = r.line(); err != nil {
				return answer{}, unexpected(err)
			}
		}
		a.text = b.String()
		return a, nil
	}
	return answer{}, badLine(line, "the answer to another request")
}

// unexpected is err, read inside an answer.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
