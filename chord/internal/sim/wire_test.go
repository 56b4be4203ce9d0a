package sim

import (
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/store"
)

// request is a client's.
type request struct {
	id      uint64
	resolve bool // it asks who owns the key's place, and for nothing else
	key     string
	do      func(found bool, version uint64) store.Action // nil is a read
	value   string
	ttl     time.Duration // 0: it stays
	op      msg.OpID
}

// answer is how a request ended.
type answer uint8

const (
	done        answer = iota // it was carried out, now or before
	moved                     // somebody else owns the place: to, if that is known
	unavailable               // it was not carried out, and may be later
	unknown                   // it may or may not have been carried out
	forgotten                 // the client had its answer long ago, by what it says itself
)

func (a answer) String() string {
	return [...]string{"done", "moved", "unavailable", "unknown", "forgotten"}[a]
}

// reply is what a request is answered.
type reply struct {
	id      uint64
	answer  answer
	to      simnet.Addr // of moved, and of a request to resolve
	found   bool        // of done: there was something at the key
	acted   store.Action
	full    bool // there was no room
	again   bool // it had been carried out before
	value   string
	version uint64
}

// Why a write was refused, as nodes remember it for when it is repeated.
const (
	refusedAbsent uint8 = 1 + iota
	refusedPresent
	refusedFull
)
