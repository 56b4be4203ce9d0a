package demux

import (
	"crypto/tls"
	"net"
	"time"
)

const (
	// preface is what HTTP/2 begins with, as far as it takes to tell.
	preface = "PRI * HTTP/2.0"
	// alpnHTTP2 is HTTP/2's name in a TLS handshake.
	alpnHTTP2 = "h2"
)

// tell says whether first, the first bytes of a connection, are those of HTTP/2,
// and whether that is certain yet.
func tell(first []byte) (http2, certain bool) {
	n := min(len(first), len(preface))
	if string(first[:n]) != preface[:n] {
		return false, true
	}
	return true, n == len(preface)
}

// sort finds out where w belongs, and returns when it is there, or closed.
func (d *Demux) sort(w *waiting) {
	until := time.Now().Add(d.cfg.Timeout)
	_ = w.conn.SetDeadline(until) // fails where the reading will
	if http2, err := d.sniff(w); err == nil {
		_ = w.conn.SetDeadline(time.Time{})
		to := d.data
		if http2 {
			to = d.grpc
		}
		if to.offer(w, until) {
			return
		}
	}
	d.claim(w) // who has it already is closing it, too
	_ = w.conn.Close()
}

// sniff says whether w is for gRPC, and makes it ready.
func (d *Demux) sniff(w *waiting) (http2 bool, err error) {
	if d.cfg.TLS == nil {
		if tcp, ok := w.conn.(*net.TCPConn); ok && canPeek {
			w.ready = tcp
			return peek(tcp)
		}
		w.ready, http2, err = read(w.conn)
		return http2, err
	}
	conn := tls.Server(w.conn, d.cfg.TLS)
	if err := conn.Handshake(); err != nil {
		select {
		case <-w.gone:
		default:
			d.logf("demux: TLS handshake with %s: %v", w.conn.RemoteAddr(), err)
		}
		return false, err
	}
	if conn.ConnectionState().NegotiatedProtocol == alpnHTTP2 {
		w.ready = conn
		return true, nil
	}
	w.ready, http2, err = read(conn)
	return http2, err
}

// read reads the first bytes of conn, and returns a connection that has them
// still to be read.
func read(conn net.Conn) (ready net.Conn, http2 bool, err error) {
	first := make([]byte, 0, len(preface))
	for {
		n, err := conn.Read(first[len(first):cap(first)])
		first = first[:len(first)+n]
		if http2, certain := tell(first); certain {
			return &headed{Conn: conn, head: first}, http2, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// headed is a connection of which some was read already.
type headed struct {
	net.Conn
	head []byte
}

func (c *headed) Read(b []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.head)
	c.head = c.head[n:]
	return n, nil
}
