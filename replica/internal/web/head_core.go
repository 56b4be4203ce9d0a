package web

import "bytes"

// Limits on a request's head beside those of its key and value. They are more
// than browsers and proxies send, and little enough for each connection.
const (
	maxFields     = 100
	maxFieldBytes = 16 << 10
)

// maxLineBytes is how long a request line may be whose key and value are as long
// as they may be, each byte of them escaped.
func maxLineBytes(maxKey, maxValue int) int { return 3*(maxKey+maxValue) + 64 }

// headFinder looks for the end of a request's head in bytes that come bit by bit:
// each byte is looked at once. Lines end with LF or CRLF.
type headFinder struct {
	maxLine int
	seen    int // so many bytes were looked at
	line    int // where the line begins that goes on at seen
	fields  int // where the lines after the request line begin; 0: not known yet
}

// find looks at b, the request from its first byte as far as it is here, which
// begins with what find was called with before. It returns how long the head is,
// the empty line included, or 0 if its end isn't here.
func (f *headFinder) find(b []byte) (int, *refusal) {
	for {
		i := bytes.IndexByte(b[f.seen:], '\n')
		if i < 0 {
			f.seen = len(b)
			return 0, f.tooLong(len(b))
		}
		end := f.seen + i
		f.seen = end + 1
		if f.fields == 0 {
			f.fields = f.seen
		} else if n := end - f.line; n == 0 || n == 1 && b[f.line] == '\r' {
			return f.seen, f.tooLong(f.seen)
		}
		f.line = f.seen
	}
}

func (f *headFinder) tooLong(n int) *refusal {
	line := n
	if f.fields > 0 {
		line = f.fields
	}
	switch {
	case line > f.maxLine:
		return lineTooLong
	case n-line > maxFieldBytes:
		return fieldsTooLong
	}
	return nil
}

// endsLiterally tells whether b, all that a client sent before it ended its side,
// is a request in the requirement's form that lacks nothing but the empty line.
// The form's header lines mean nothing, and the line that means something is
// whole, so such a request is as good as complete: echo GET foo HTTP/1.1 | nc.
func (f *headFinder) endsLiterally(b []byte) bool {
	if f.fields == 0 || f.line != len(b) {
		return false
	}
	_, target, ok := bytes.Cut(b[:f.fields], []byte{' '})
	return ok && target[0] != '/'
}

// The classes of bytes.
const (
	isToken  = 1 << iota // may stand in a method or a header's name
	isTarget             // may stand in a request's target
	isText               // may stand in a header's value
)

var classes = func() (c [256]uint8) {
	for b := range c {
		switch {
		case b == '\t':
			c[b] = isText
		case b == ' ':
			c[b] = isText
		case b > ' ' && b != 0x7f:
			c[b] = isTarget | isText
		}
	}
	for b := '0'; b <= '9'; b++ {
		c[b] |= isToken
	}
	for b := 'a'; b <= 'z'; b++ {
		c[b] |= isToken
		c[b-'a'+'A'] |= isToken
	}
	for _, b := range "!#$%&'*+-.^_`|~" {
		c[b] |= isToken
	}
	return c
}()

// all tells whether each byte of b is of the class.
func all(b []byte, class uint8) bool {
	for _, x := range b {
		if classes[x]&class == 0 {
			return false
		}
	}
	return true
}

// unescape decodes b where it stands, once; + is a plus. It tells whether the
// escapes were right.
func unescape(b []byte) ([]byte, bool) {
	w := bytes.IndexByte(b, '%')
	if w < 0 {
		return b, true
	}
	for r := w; r < len(b); r++ {
		x := b[r]
		if x == '%' {
			if len(b)-r < 3 {
				return nil, false
			}
			high, low := unhex(b[r+1]), unhex(b[r+2])
			if high > 15 || low > 15 {
				return nil, false
			}
			x = high<<4 | low
			r += 2
		}
		b[w] = x
		w++
	}
	return b[:w], true
}

// unhex returns the value of a hex digit, more than 15 if c is none.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// decimal returns the number that b is, digits alone.
func decimal(b []byte) (n uint64, ok bool) {
	for _, x := range b {
		d := uint64(x - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = 10*n + d
	}
	return n, len(b) > 0
}

// hexadecimal returns the number that b is, in at most 16 digits.
func hexadecimal(b []byte) (n uint64, ok bool) {
	for _, x := range b {
		d := unhex(x)
		if d > 15 {
			return 0, false
		}
		n = n<<4 | uint64(d)
	}
	return n, len(b) > 0 && len(b) <= 16
}
