package grpcdial

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

// foreign says what else is at the address, if what was connected to last isn't
// gRPC.
func (c *Conn) foreign(code codes.Code) string {
	last := c.last.Load()
	if last == nil {
		return ""
	}
	head := last.head()
	if len(head) == 0 && code == codes.Unavailable && !c.tls {
		// It hung up without a word: a memcached does, but so does a server
		// that ends.
		if c.isMemcached() {
			return "a memcached"
		}
		return ""
	}
	return foreign(head, c.tls)
}

// foreign says what answers like that, if it isn't gRPC.
func foreign(head []byte, tls bool) string {
	if len(head) == 0 {
		return ""
	}
	record := len(head) > 1 && (head[0] == 0x15 || head[0] == 0x16) && head[1] == 3
	switch {
	case record && !tls:
		return "it wants TLS"
	case tls && !record:
		return "it doesn't speak TLS"
	case tls:
		return ""
	case bytes.HasPrefix(head, []byte("HTTP/")):
		return "an HTTP server"
	case bytes.HasPrefix(head, []byte("ERROR")), bytes.HasPrefix(head, []byte("CLIENT_ERROR")):
		return "a memcached"
	case bytes.HasPrefix(head, []byte("-")):
		return "a Redis"
	case len(head) > 3 && head[0] == 0 && head[3] == 4: // HTTP/2's SETTINGS
		return ""
	}
	return fmt.Sprintf("it answers %.20q", head)
}

// isMemcached asks whether a memcached is there that isn't torc's.
func (c *Conn) isMemcached() bool {
	const timeout = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := c.connect(ctx, c.addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(timeout)) != nil {
		return false
	}
	if _, err := conn.Write([]byte("version\r\n")); err != nil {
		return false
	}
	answer := make([]byte, 64)
	n, _ := conn.Read(answer) // an error shows as what isn't there
	answer = answer[:n]
	return bytes.HasPrefix(answer, []byte("VERSION ")) && !bytes.Contains(answer, []byte("torc"))
}
