package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/torc-dht/torc"
)

const (
	// maxBody is the longest body that is taken, in bytes: more than any server
	// stores as one value.
	maxBody = 256 << 20
	// trustedBody is how much of a body is allocated on the server's word that it
	// will come.
	trustedBody = 1 << 20
	// maxHeaders is how many lines an answer's head may have.
	maxHeaders = 64
	// readBuffer is the longest line of a head, and what a connection reads at once.
	readBuffer = 4096
)

// Answer is what a server said.
type Answer struct {
	// Code is the HTTP status code.
	Code int
	// Body is the value, or says in a line what is wrong. It is the caller's.
	Body []byte
	// Version is that of the entry read or written, Old that of the one replaced;
	// zero if there is none.
	Version, Old torc.Version
	// Degraded is the number of a degraded epoch, or 0.
	Degraded uint64
	// Leader and Host are places in Config.Hosts: of who orders the writes, as far
	// as the server said and it is among them, else -1; and of who answered.
	Leader, Host int

	close bool // no other answer comes over the connection
}

var errForeign = errors.New("it doesn't answer as a torc replica server does")

func foreign(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errForeign, fmt.Sprintf(format, args...))
}

// readAnswer reads an answer. Names are those of the hosts, for Answer.Leader. The
// error is br's, or says that this is no answer.
func readAnswer(br *bufio.Reader, names []string) (a Answer, err error) {
	a.Leader = -1
	line, err := readLine(br)
	if err != nil {
		return a, err
	}
	if err := a.parseStatusLine(line); err != nil {
		return a, err
	}
	length := -1
	for n := 0; ; n++ {
		if line, err = readLine(br); err != nil {
			return a, noEOF(err)
		}
		if len(line) == 0 {
			break
		}
		if n == maxHeaders {
			return a, foreign("more than %d headers", maxHeaders)
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			return a, foreign("the header %.60q", line)
		}
		if err := a.parseHeader(name, bytes.TrimSpace(value), &length, names); err != nil {
			return a, err
		}
	}
	if length < 0 {
		return a, foreign("no Content-Length")
	}
	a.Body, err = readBody(br, length)
	return a, err
}

// readLine reads up to a line's end, which it cuts off. The line is valid until the
// next read.
func readLine(br *bufio.Reader) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		return nil, foreign("a line of more than %d bytes", readBuffer)
	case err == io.EOF && len(line) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

func (a *Answer) parseStatusLine(line []byte) error {
	minor, ok := bytes.CutPrefix(line, []byte("HTTP/1."))
	if !ok || len(minor) < 5 || minor[1] != ' ' || minor[0] != '0' && minor[0] != '1' {
		return foreign("%.60q", line)
	}
	a.close = minor[0] == '0'
	for _, c := range minor[2:5] {
		if c < '0' || c > '9' {
			return foreign("%.60q", line)
		}
		a.Code = 10*a.Code + int(c-'0')
	}
	if a.Code < 200 || len(minor) > 5 && minor[5] != ' ' {
		return foreign("%.60q", line)
	}
	return nil
}

// The headers that mean something here.
var (
	headerLength   = []byte("Content-Length")
	headerConn     = []byte("Connection")
	headerEncoding = []byte("Transfer-Encoding")
	headerVersion  = []byte("X-Torc-Version")
	headerOld      = []byte("X-Torc-Old")
	headerDegraded = []byte("X-Torc-Degraded")
	headerLeader   = []byte("X-Torc-Leader")
)

func (a *Answer) parseHeader(name, value []byte, length *int, names []string) error {
	ok := true
	switch {
	case bytes.EqualFold(name, headerLength):
		var n uint64
		n, ok = parseUint(value)
		ok = ok && n <= maxBody && (*length < 0 || *length == int(n))
		*length = int(n)
	case bytes.EqualFold(name, headerConn):
		a.close = a.close || bytes.EqualFold(value, []byte("close"))
	case bytes.EqualFold(name, headerEncoding):
		ok = false
	case bytes.EqualFold(name, headerVersion):
		a.Version, ok = parseVersion(value)
	case bytes.EqualFold(name, headerOld):
		a.Old, ok = parseVersion(value)
	case bytes.EqualFold(name, headerDegraded):
		a.Degraded, ok = parseUint(value)
		ok = ok && a.Degraded > 0
	case bytes.EqualFold(name, headerLeader):
		for i, addr := range names {
			if string(value) == addr {
				a.Leader = i
			}
		}
	}
	if !ok {
		return foreign("%s: %.60q", name, value)
	}
	return nil
}

// parseVersion reads EPOCH-SEQ, in decimal.
func parseVersion(b []byte) (v torc.Version, ok bool) {
	epoch, seq, ok := bytes.Cut(b, []byte{'-'})
	if !ok {
		return torc.Version{}, false
	}
	var okEpoch, okSeq bool
	v.Epoch, okEpoch = parseUint(epoch)
	v.Seq, okSeq = parseUint(seq)
	return v, okEpoch && okSeq
}

func parseUint(b []byte) (uint64, bool) {
	if len(b) > len("18446744073709551615") {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b), 10, 64) // a short string is not allocated
	return n, err == nil
}

// readBody reads the n bytes of a body.
func readBody(br *bufio.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, trustedBody))
	for got := 0; ; {
		m, err := io.ReadFull(br, b[got:])
		if got += m; err != nil {
			return nil, noEOF(err)
		}
		if got == n {
			return b, nil
		}
		b = append(b, make([]byte, min(n-got, got))...)
	}
}

// noEOF is err, where an end is too early.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
