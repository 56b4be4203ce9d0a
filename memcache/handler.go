package memcache

import "time"

// Handler answers requests. A Handler over a [store.Store] is [NewHandler]'s.
type Handler interface {
	// ServeMemcache carries out r and says to w what came of it:
	//
	//	OpGet      Item for each key that was found, in order; nothing is a miss
	//	OpSet      Status
	//	OpDelete   Status
	//	OpTouch    Status
	//	OpIncr     Number, or Status if there was none to change
	//	OpInspect  Inspect; nothing is a miss
	//	OpFlush    Status
	//	OpStats    Stat for each figure, or Line
	//	OpDump     Dump for each item
	//	OpTune     Status
	//	OpVersion  Line
	//
	// or Error for any of them. It is called from many goroutines at once, but
	// never for two requests of one connection, and keeps neither r nor w. It
	// may block as long as it likes; requests behind on the same connection
	// wait. A panic ends the connection.
	ServeMemcache(w *ResponseWriter, r *Request)
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(w *ResponseWriter, r *Request)

// ServeMemcache calls f.
func (f HandlerFunc) ServeMemcache(w *ResponseWriter, r *Request) { f(w, r) }

// Status is what came of a request that asked for no value.
type Status uint8

// What can come of a request.
const (
	StatusDone      Status = iota // stored, deleted, touched
	StatusNotStored               // the item's presence is against the mode
	StatusExists                  // the item has another CAS
	StatusNotFound                // there is no item
)

// Hit is an item as an answer shows it.
type Hit struct {
	Value []byte
	Flags uint32
	CAS   uint64
	// TTL is how many seconds the item has left, rounded up; -1 is for ever.
	// OldTTL is the same before the request touched or created the item.
	TTL, OldTTL int64
	// Idle is how many seconds ago the item was last accessed, and Fetched
	// whether it ever was, before this request.
	Idle    int64
	Fetched bool
	// BinaryKey says that the item was stored under a key that came
	// base64-encoded, and so is shown like that.
	BinaryKey bool
	// Created says that the request made the item. Won says that its client is
	// the one to recache it, Sent that another was told so before; Stale that
	// the item was marked as out of date.
	Created, Won, Sent, Stale bool
	// Size is what the item takes of the server's memory, in bytes.
	Size int64
}

// maxRelativeExptime is the largest exptime that counts from now, in seconds.
const maxRelativeExptime = int64(maxRelativeTTL / time.Second)

// ExpiresAt is when exptime is over, in Unix nanoseconds, if it is now the time
// now: 0 is never, up to 30 days are counted from now, more is a Unix time, and
// less than none is over already.
func ExpiresAt(exptime int32, now int64) int64 {
	switch s := int64(exptime); {
	case s == 0:
		return 0
	case s < 0:
		return 1
	case s <= maxRelativeExptime:
		return now + s*int64(time.Second)
	default:
		return s * int64(time.Second)
	}
}

// secondsLeft is how long it is until expires, in seconds, rounded up and never
// negative; -1 if it is 0, never.
func secondsLeft(expires, now int64) int64 {
	if expires == 0 {
		return -1
	}
	return max(0, (expires-now+int64(time.Second)-1)/int64(time.Second))
}
