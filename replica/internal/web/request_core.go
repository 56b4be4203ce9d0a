package web

import (
	"bytes"
	"math"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// method is what a request wants done.
type method uint8

const (
	methodOther method = iota
	methodGet
	methodHead
	methodPut
	methodDelete
)

// field is one of the header lines that count.
type field uint8

const (
	fieldHost field = iota
	fieldConnection
	fieldLength
	fieldEncoding
	fieldExpect
	fieldOp
	fieldIf
	fieldTTL
	fieldSwap
	fieldMembers
	fieldCount
	fieldOther = fieldCount
)

// names are the fields' names in lower case.
var names = [fieldCount]string{
	"host", "connection", "content-length", "transfer-encoding", "expect",
	"x-torc-op", "x-torc-if", "x-torc-ttl", "x-torc-swap", "x-torc-members",
}

// request is the head of a request. Its slices point into the bytes that were
// parsed.
type request struct {
	method method
	minor  byte // '1' and above: of HTTP/1.x
	slash  bool // the target begins with one
	framed bool // where it ends is known
	target []byte
	fields [fieldCount][]byte
	seen   uint16 // a bit for each field that is there
	length int64  // of the body; -1: no Content-Length

	key, value []byte
	write      bool // plain: there is a value

	id       msg.OpID
	cond     msg.Cond
	version  msg.Version
	ttl      time.Duration
	swap     bool
	members  bool
	proceeds bool // waits for 100 Continue before it sends its body
}

func (q *request) has(f field) bool { return q.seen&(1<<f) != 0 }

// modern tells whether the answer is in HTTP/1.1: to the form of browsers, with
// a slash and Host. Any other form is answered in HTTP/1.0.
func (q *request) modern() bool { return q.minor >= '1' && q.slash && q.has(fieldHost) }

// extended tells whether it is in the extension for replica:// tables.
func (q *request) extended() bool { return q.has(fieldOp) }

// lasts tells whether the connection may go on behind the request.
func (q *request) lasts() bool {
	return q.framed && q.modern() && !hasWord(q.fields[fieldConnection], "close")
}

// parse takes head apart, which ends with an empty line or where the client ended
// its side. It changes head: escapes are decoded where they stand. On a refusal
// that leaves q.framed false, nobody knows where the request ends; otherwise its
// body, if there is one, has q.length bytes and is still to be read.
func (q *request) parse(head []byte, maxKey, maxValue int) *refusal {
	*q = request{length: -1}
	line, rest := cutLine(head)
	if refused := q.parseLine(line); refused != nil {
		return refused
	}
	if refused := q.parseFields(rest); refused != nil {
		return refused
	}
	if refused := q.frame(); refused != nil {
		return refused
	}
	q.framed = true
	if q.extended() {
		return q.parseExtended(maxKey, maxValue)
	}
	return q.parsePlain(maxKey, maxValue)
}

// cutLine returns the first line of b without its end, and what follows.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	line, rest = b[:i], b[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

func (q *request) parseLine(line []byte) *refusal {
	i, j := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if i <= 0 || i == j || !all(line[:i], isToken) {
		return badLine
	}
	switch string(line[:i]) {
	case "GET":
		q.method = methodGet
	case "HEAD":
		q.method = methodHead
	case "PUT":
		q.method = methodPut
	case "DELETE":
		q.method = methodDelete
	}
	q.target = line[i+1 : j]
	version := line[j+1:]
	if len(version) != len("HTTP/1.1") || string(version[:5]) != "HTTP/" || version[6] != '.' || !isDigit(version[5]) || !isDigit(version[7]) {
		return badLine
	}
	if version[5] != '1' {
		return badVersion
	}
	q.minor = version[7]
	if !all(q.target, isTarget) {
		return badByte
	}
	q.slash = len(q.target) > 0 && q.target[0] == '/'
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (q *request) parseFields(b []byte) *refusal {
	for n := 0; len(b) > 0; n++ {
		var line []byte
		line, b = cutLine(b)
		if len(line) == 0 {
			return nil
		}
		if n == maxFields {
			return tooManyFields
		}
		if line[0] == ' ' || line[0] == '\t' {
			return foldedField
		}
		i := bytes.IndexByte(line, ':')
		if i <= 0 || !all(line[:i], isToken) || !all(line[i+1:], isText) {
			return badField
		}
		f := fieldOf(line[:i])
		if f == fieldOther {
			continue
		}
		if q.has(f) && f != fieldConnection {
			return repeatedField
		}
		if q.has(f) && hasWord(q.fields[f], "close") {
			continue // of several Connection lines one that says so is enough
		}
		q.seen |= 1 << f
		q.fields[f] = bytes.Trim(line[i+1:], " \t")
	}
	return nil
}

// fieldOf returns which field the name is of.
func fieldOf(name []byte) field {
	for f := range fieldCount {
		if len(names[f]) == len(name) && equalFold(name, names[f]) {
			return f
		}
	}
	return fieldOther
}

// equalFold tells whether b is s, which is in lower case, in any case.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, x := range b {
		if 'A' <= x && x <= 'Z' {
			x += 'a' - 'A'
		}
		if x != s[i] {
			return false
		}
	}
	return true
}

// hasWord tells whether a list of words apart by commas has the word.
func hasWord(list []byte, word string) bool {
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte{','})
		if equalFold(bytes.Trim(one, " \t"), word) {
			return true
		}
	}
	return false
}

// frame decides where the request ends.
func (q *request) frame() *refusal {
	if q.has(fieldLength) {
		n, ok := decimal(q.fields[fieldLength])
		if !ok || n > math.MaxInt64 {
			return badLength
		}
		q.length = int64(n)
	}
	if q.has(fieldEncoding) {
		if q.has(fieldLength) || q.minor == '0' {
			return twoLengths
		}
		return noLength
	}
	return nil
}

// parsePlain is for the requirement's own requests.
func (q *request) parsePlain(maxKey, maxValue int) *refusal {
	switch {
	case q.method != methodGet && q.method != methodHead:
		return badMethod
	case q.length > 0:
		return unwantedBody
	}
	target := q.target
	if q.slash {
		target = target[1:]
	}
	key, value, write := bytes.Cut(target, []byte{'='})
	q.write = write
	if refused := q.setKey(key, maxKey); refused != nil {
		return refused
	}
	var ok bool
	if q.value, ok = unescape(value); !ok {
		return badEscape
	}
	if len(q.value) > maxValue {
		return valueTooLong
	}
	return nil
}

func (q *request) setKey(escaped []byte, maxKey int) *refusal {
	var ok bool
	switch q.key, ok = unescape(escaped); {
	case !ok:
		return badEscape
	case len(q.key) == 0:
		return emptyKey
	case len(q.key) > maxKey:
		return keyTooLong
	}
	return nil
}

// parseExtended is for requests with X-Torc-Op.
func (q *request) parseExtended(maxKey, maxValue int) *refusal {
	put := q.method == methodPut
	switch {
	case q.method == methodOther:
		return badMethodOfOp
	case !q.modern():
		return badForm
	case !put && q.length > 0:
		return unwantedBody
	case put && q.length < 0:
		return noLength
	case put && q.length > int64(maxValue):
		return valueTooLong
	case !put && (q.has(fieldIf) || q.has(fieldTTL) || q.has(fieldSwap)):
		return onlyForPut
	}
	if q.has(fieldExpect) {
		if !equalFold(q.fields[fieldExpect], "100-continue") {
			return badExpectation
		}
		q.proceeds = q.length > 0
	}
	var ok bool
	if q.id, ok = parseOpID(q.fields[fieldOp]); !ok {
		return badOp
	}
	if q.has(fieldIf) {
		if refused := q.parseIf(q.fields[fieldIf]); refused != nil {
			return refused
		}
	}
	if q.has(fieldTTL) {
		const most = math.MaxInt64 / uint64(time.Millisecond)
		n, ok := decimal(q.fields[fieldTTL])
		if !ok || n == 0 || n > most {
			return badTTL
		}
		q.ttl = time.Duration(n) * time.Millisecond
	}
	if q.has(fieldSwap) || q.has(fieldMembers) {
		for _, f := range [...]field{fieldSwap, fieldMembers} {
			if q.has(f) && string(q.fields[f]) != "1" {
				return badFlag
			}
		}
		q.swap = q.has(fieldSwap)
	}
	if len(q.target) == 1 && q.has(fieldMembers) && (q.method == methodGet || q.method == methodHead) {
		q.members = true
		return nil
	}
	return q.setKey(q.target[1:], maxKey)
}

// parseOpID reads CLIENT-SEQ-ACKED. Of client 0 no operation is remembered.
func parseOpID(b []byte) (id msg.OpID, ok bool) {
	client, rest, found := bytes.Cut(b, []byte{'-'})
	seq, acked, found2 := bytes.Cut(rest, []byte{'-'})
	if !found || !found2 {
		return id, false
	}
	var ok1, ok2, ok3 bool
	id.Client, ok1 = hexadecimal(client)
	id.Seq, ok2 = decimal(seq)
	id.Acked, ok3 = decimal(acked)
	if !ok1 || !ok2 || !ok3 || id.Client != 0 && id.Seq <= id.Acked {
		return id, false
	}
	if id.Client == 0 {
		id = msg.OpID{}
	}
	return id, true
}

func (q *request) parseIf(b []byte) *refusal {
	switch string(b) {
	case "absent":
		q.cond = msg.IfAbsent
		return nil
	case "present":
		q.cond = msg.IfPresent
		return nil
	}
	epoch, seq, found := bytes.Cut(b, []byte{'-'})
	var ok1, ok2 bool
	q.version.Epoch, ok1 = decimal(epoch)
	q.version.Seq, ok2 = decimal(seq)
	if !found || !ok1 || !ok2 {
		return badIf
	}
	q.cond = msg.IfVersion
	return nil
}

// drop lets go of the bytes that q was parsed from. What q says of its form and
// its operation stays.
func (q *request) drop() {
	q.target, q.key, q.value = nil, nil, nil
	q.fields = [fieldCount][]byte{}
}

// op makes the operation that q asks for; body is that of a PUT, and becomes the
// operation's.
func (q *request) op(body []byte) *msg.Op {
	op := &msg.Op{ID: q.id, Kind: msg.Get, Key: string(q.key)}
	switch {
	case q.method == methodPut:
		op.Kind, op.Cond, op.Version, op.TTL, op.Value = msg.Put, q.cond, q.version, q.ttl, body
	case q.method == methodDelete:
		op.Kind = msg.Delete
	case q.write:
		op.Kind, op.Value = msg.Put, body
	}
	return op
}
