package web

import (
	"errors"
	"strconv"
	"strings"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// What a Backend fails with.
var (
	// ErrUnavailable: nothing was changed, and it may go better in a moment or at
	// another server. The answer is 503.
	ErrUnavailable = errors.New("too few servers can be reached: nothing was changed; try again, or ask another server")
	// ErrUnknown: a write may or may not have been carried out. The answer is 500.
	ErrUnknown = errors.New("the other servers were not heard in time: the write may or may not have been carried out")
)

// phrases are those of the statuses that are answered here.
var phrases = map[int]string{
	200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
	409: "Conflict", 411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
	417: "Expectation Failed", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
	503: "Service Unavailable", 505: "HTTP Version Not Supported", 507: "Insufficient Storage",
}

// answer is what a client is told.
type answer struct {
	status int
	modern bool // in HTTP/1.1
	closes bool // the connection ends with it
	bare   bool // to HEAD: without the body

	text  string // the body of what isn't 200: one line, its end excluded
	named bool   // the body begins with the key and =
	key   string
	value []byte
	json  bool // the body isn't plain text but JSON

	allow        string // the methods, for 405
	degraded     uint64
	version, old msg.Version // zero: none
	leader       string
}

// tail is the end of each error's body.
const tail = "\n"

var nothing = []byte("NIL")

// outcome says what became of op, which q asked for.
func (a *answer) outcome(q *request, op *msg.Op, r *msg.Result, err error) {
	a.status = 200
	switch {
	case err != nil && (errors.Is(err, ErrUnavailable) || op.Kind == msg.Get):
		a.fail(503, oneLine(err))
		return
	case err != nil:
		a.fail(500, oneLine(err))
		return
	}
	a.degraded = r.Degraded
	switch r.Status {
	case msg.OK, msg.NotFound:
	case msg.Exists:
		a.fail(412, "the key exists already")
		return
	case msg.Conflict:
		a.fail(412, "the entry has another version")
		return
	case msg.Full:
		a.fail(507, "the table is full: nothing was changed")
		return
	case msg.Repeated:
		a.fail(409, "this was carried out before, and what it found is no longer known")
		return
	default:
		a.fail(500, ErrUnknown.Error())
		return
	}
	if !q.extended() {
		a.named, a.key, a.value = true, op.Key, nothing
		if r.Found {
			a.value = r.Old
		}
		return
	}
	switch {
	case r.Status == msg.NotFound:
		a.fail(404, "no such key")
	case op.Kind == msg.Get:
		a.value, a.version = r.Old, r.OldVersion
	case op.Kind == msg.Put:
		a.version = r.Version
		if q.swap && r.Found {
			a.value, a.old = r.Old, r.OldVersion
		}
	}
}

// fail makes a an error.
func (a *answer) fail(status int, text string) {
	a.status, a.text = status, text
	a.named, a.value = false, nil
}

// oneLine is what err says, in one line.
func oneLine(err error) string {
	return strings.NewReplacer("\r", " ", "\n", " ").Replace(err.Error())
}

// bodyLen is the length of the body, which isn't sent if a is bare.
func (a *answer) bodyLen() int {
	switch {
	case a.status != 200:
		return len(a.text) + len(tail)
	case a.named:
		return len(a.key) + 1 + len(a.value)
	}
	return len(a.value)
}

// style has what begins the answers of a server that are usual: up to the length
// of the body. It is made once.
type style struct {
	server   string
	ok0, ok1 string
}

func newStyle(server string) style {
	after := " 200 OK\r\nServer: " + server + "\r\nContent-Length: "
	return style{server: server, ok0: "HTTP/1.0" + after, ok1: "HTTP/1.1" + after}
}

// appendHead appends the answer's head, in the order that the requirement has:
// status line, Server, Content-Length, Content-Type, and then what else there is.
func (s *style) appendHead(b []byte, a *answer) []byte {
	switch {
	case a.status == 200 && a.modern:
		b = append(b, s.ok1...)
	case a.status == 200:
		b = append(b, s.ok0...)
	default:
		if a.modern {
			b = append(b, "HTTP/1.1 "...)
		} else {
			b = append(b, "HTTP/1.0 "...)
		}
		b = strconv.AppendInt(b, int64(a.status), 10)
		b = append(append(b, ' '), phrases[a.status]...)
		b = append(append(b, "\r\nServer: "...), s.server...)
		b = append(b, "\r\nContent-Length: "...)
	}
	b = strconv.AppendInt(b, int64(a.bodyLen()), 10)
	if a.json && a.status == 200 {
		b = append(b, "\r\nContent-Type: application/json\r\n"...)
	} else {
		b = append(b, "\r\nContent-Type: text/plain\r\n"...)
	}
	if a.modern && a.closes {
		b = append(b, "Connection: close\r\n"...)
	}
	if a.allow != "" {
		b = append(append(append(b, "Allow: "...), a.allow...), "\r\n"...)
	}
	if a.degraded != 0 {
		b = append(b, "X-Torc-Degraded: "...)
		b = append(strconv.AppendUint(b, a.degraded, 10), "\r\n"...)
	}
	if a.version != (msg.Version{}) {
		b = appendVersion(append(b, "X-Torc-Version: "...), a.version)
	}
	if a.old != (msg.Version{}) {
		b = appendVersion(append(b, "X-Torc-Old: "...), a.old)
	}
	if a.leader != "" {
		b = append(append(append(b, "X-Torc-Leader: "...), a.leader...), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendVersion(b []byte, v msg.Version) []byte {
	b = strconv.AppendUint(b, v.Epoch, 10)
	b = strconv.AppendUint(append(b, '-'), v.Seq, 10)
	return append(b, "\r\n"...)
}

// appendStart appends the body but for the value, which is the rest of it.
func (a *answer) appendStart(b []byte) []byte {
	switch {
	case a.status != 200:
		return append(append(b, a.text...), tail...)
	case a.named:
		return append(append(b, a.key...), '=')
	}
	return b
}
