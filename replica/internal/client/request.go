package client

import (
	"net/http"
	"strconv"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// Request is what a server is asked.
type Request struct {
	// Op is a msg.Get, Put or Delete. Its ID is the client's to fill in.
	Op msg.Op
	// Swap asks a Put for the entry that it replaces.
	Swap bool
	// Status asks for the server's status instead; Op is not looked at.
	Status bool
}

// writes tells whether r changes anything.
func (r *Request) writes() bool { return !r.Status && r.Op.Kind != msg.Get }

// fits tells whether a may answer r: whoever finds or writes an entry tells its
// version.
func (r *Request) fits(a *Answer) bool {
	return a.Code != http.StatusOK || r.Status || r.Op.Kind == msg.Delete || a.Version != (torc.Version{})
}

// append appends r as it is sent to the host of that name.
func (r *Request) append(b []byte, host string) []byte {
	op := &r.Op
	switch {
	case r.Status:
		b = append(b, "GET /"...)
	case op.Kind == msg.Put:
		b = appendEscaped(append(b, "PUT /"...), op.Key)
	case op.Kind == msg.Delete:
		b = appendEscaped(append(b, "DELETE /"...), op.Key)
	default:
		b = appendEscaped(append(b, "GET /"...), op.Key)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\nX-Torc-Op: "...)
	b = strconv.AppendUint(b, op.ID.Client, 16)
	b = append(b, '-')
	b = strconv.AppendUint(b, op.ID.Seq, 10)
	b = append(b, '-')
	b = strconv.AppendUint(b, op.ID.Acked, 10)
	switch {
	case r.Status:
		b = append(b, "\r\nX-Torc-Members: 1"...)
	case op.Kind == msg.Put:
		b = r.appendPut(b)
	}
	b = append(b, "\r\n\r\n"...)
	if !r.Status && op.Kind == msg.Put {
		b = append(b, op.Value...)
	}
	return b
}

// appendPut appends the headers of a Put.
func (r *Request) appendPut(b []byte) []byte {
	op := &r.Op
	switch op.Cond {
	case msg.IfAbsent:
		b = append(b, "\r\nX-Torc-If: absent"...)
	case msg.IfPresent:
		b = append(b, "\r\nX-Torc-If: present"...)
	case msg.IfVersion:
		b = append(b, "\r\nX-Torc-If: "...)
		b = strconv.AppendUint(b, op.Version.Epoch, 10)
		b = append(b, '-')
		b = strconv.AppendUint(b, op.Version.Seq, 10)
	}
	if op.TTL > 0 {
		b = append(b, "\r\nX-Torc-TTL: "...)
		b = strconv.AppendInt(b, (op.TTL.Nanoseconds()+999_999)/1_000_000, 10) // at least as long
	}
	if r.Swap {
		b = append(b, "\r\nX-Torc-Swap: 1"...)
	}
	b = append(b, "\r\nContent-Length: "...)
	return strconv.AppendInt(b, int64(len(op.Value)), 10)
}

// appendEscaped appends s percent-encoded, but for what URLs have as it is.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '~':
			b = append(b, c)
		case c == '.' && s != "." && s != "..": // those two mean something in a path
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}
