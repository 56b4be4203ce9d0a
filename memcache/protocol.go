package memcache

import (
	"errors"
	"fmt"
	"time"
)

// Limits of the protocol.
const (
	// MaxKeyLen is the longest key as it goes over the wire, in bytes.
	MaxKeyLen = 250
	// MaxBinaryKeyLen is the longest key that has to be sent base64-encoded,
	// before encoding: one with spaces, control characters or bytes above 0x7e.
	MaxBinaryKeyLen = MaxKeyLen / 4 * 3
	// DefaultMaxItemSize is the largest value, in bytes, unless a server is
	// told otherwise. memcached counts the item's header and key in its limit,
	// so it refuses values slightly below its own.
	DefaultMaxItemSize = 1 << 20
)

// Item is one entry as memcached keeps it.
type Item struct {
	Key   string
	Value []byte
	// Flags are the client's own 32 bits.
	Flags uint32
	// CAS is the server's number of the write that made the item.
	CAS uint64
	// TTL is how long the item has left to live; 0 means for ever. Sent in whole
	// seconds, rounded up.
	TTL time.Duration
}

// Mode says when a Set stores.
type Mode uint8

// The modes of Set.
const (
	ModeSet     Mode = iota // always
	ModeAdd                 // only where there is no item: else ErrNotStored
	ModeReplace             // only where there is one: else ErrNotStored
	ModeCAS                 // only over the item with this CAS: else ErrExists, or ErrNotFound
	ModeAppend              // behind the value that is there: else ErrNotStored
	ModePrepend             // before it: else ErrNotStored
)

// What a server answers when it does not do as asked. The connection stays good.
var (
	ErrNotFound  = errors.New("memcache: no such item")
	ErrNotStored = errors.New("memcache: not stored: the item's presence is against the mode")
	ErrExists    = errors.New("memcache: the item has changed since its CAS was read")
	ErrKey       = errors.New("memcache: not a key that the protocol can carry")
	ErrTooLarge  = errors.New("memcache: item larger than the server takes")
	ErrClosed    = errors.New("memcache: client closed")
)

// ServerError is a server's own complaint: an ERROR, CLIENT_ERROR or
// SERVER_ERROR line.
type ServerError struct {
	Addr string
	Line string
}

func (e *ServerError) Error() string {
	return fmt.Sprintf("memcache: %s answered %q", e.Addr, e.Line)
}

// ConnError says that a request had no answer: the server could not be dialled,
// the connection broke, what came back was not the protocol, or the time was up.
type ConnError struct {
	Addr string
	// Since is when the server began to fail: the first failure after its last
	// good answer.
	Since time.Time
	// Sent says that some of the request may have reached the server, so that
	// it may be carried out, now or later. When false it surely never will be.
	Sent bool
	Err  error
}

func (e *ConnError) Error() string {
	return fmt.Sprintf("memcache: %s: %v", e.Addr, e.Err)
}

// Unwrap returns e.Err.
func (e *ConnError) Unwrap() error { return e.Err }
