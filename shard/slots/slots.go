package slots

import (
	"cmp"
	"fmt"

	"github.com/zeebo/xxh3"
)

// Slot is one of Count parts of the keys.
type Slot uint16

// maxDigits is how many digits a key may have to count as an integer.
const maxDigits = 250

// Of returns the slot that key lies in: for a decimal integer, with a minus sign
// or without, its value modulo Count, never negative; for any other key its xxh3
// hash modulo Count. "+5", "" and "-" are no integers; "007" and "7" are different
// keys in one slot.
func Of[K string | []byte](key K) Slot {
	digits, negative := key, false
	if len(digits) > 1 && digits[0] == '-' {
		digits, negative = digits[1:], true
	}
	if len(digits) == 0 || len(digits) > maxDigits {
		return hashed(key)
	}
	n := uint32(0)
	for i := range len(digits) {
		d := digits[i] - '0'
		if d > 9 {
			return hashed(key)
		}
		n = (n*10 + uint32(d)) % Count
	}
	if negative && n > 0 {
		n = Count - n
	}
	return Slot(n)
}

func hashed[K string | []byte](key K) Slot {
	if b, ok := any(key).([]byte); ok {
		return Slot(xxh3.Hash(b) % Count)
	}
	return Slot(xxh3.HashString(string(key)) % Count)
}

// Boot names one life of one process. It is random and never 0.
type Boot uint64

func (b Boot) String() string { return fmt.Sprintf("%016x", uint64(b)) }

// Epoch numbers the maps. A master chooses a Term higher than any that it knows
// of, its start in Unix nanoseconds or more; Boot is its own and tells apart two
// masters that chose the same term, of which every server follows one at most;
// Counter grows with each map. The zero Epoch is before all others.
type Epoch struct {
	Term    uint64
	Boot    Boot
	Counter uint64
}

// Compare orders epochs: by term, then by counter.
func (e Epoch) Compare(f Epoch) int {
	return cmp.Or(cmp.Compare(e.Term, f.Term), cmp.Compare(e.Counter, f.Counter))
}

// Before says whether e is earlier than f.
func (e Epoch) Before(f Epoch) bool { return e.Compare(f) < 0 }

// String formats e in one word, as an answer "moved" has it: TERM.COUNTER, in
// hexadecimal.
func (e Epoch) String() string { return fmt.Sprintf("%x.%x", e.Term, e.Counter) }

// State is how a copy stands.
type State uint8

// The states of a copy.
const (
	Filling State = iota // gets what there is, and is waited for by nobody
	Joining              // has it all; the primary waits for it from this epoch on
	InSync               // and may be promoted
)

func (s State) String() string { return [...]string{"filling", "joining", "in sync"}[s] }

// Copy is a backup of a slot.
type Copy struct {
	Server int16 // index in Map.Servers
	State  State
}

const (
	// MaxCopies is the most copies of a slot that can be asked for, all counted.
	MaxCopies = 4
	// maxBackups is how many a row has room for: those that are and, while slots
	// move, those that shall be.
	maxBackups = 2 * MaxCopies
)

// None is no server.
const None = int16(-1)

// Row says who holds a slot. It is a value: to assign it is to copy it.
type Row struct {
	// Primary orders the slot's writes and answers its reads: an index in
	// Map.Servers, or None before there was any server.
	Primary int16
	// Fresh says that the primary begins with nothing because nobody had
	// anything before. It stays until the primary is known to have begun.
	Fresh bool
	// Held is 0, or 1 more than the index in Map.Held of the epoch that the row
	// is from: whoever made this map knew no later one, and had not heard all
	// those who might. Servers pass over maps with such rows.
	Held   uint16
	n      uint8
	copies [maxBackups]Copy
}

// Copies are the slot's backups, in no order. The slice is good until the row is
// changed.
func (r *Row) Copies() []Copy { return r.copies[:r.n] }

// Full says that there is no room for another copy.
func (r *Row) Full() bool { return int(r.n) == len(r.copies) }

// Copy returns how server stands as a copy, if it is one.
func (r *Row) Copy(server int16) (State, bool) {
	for _, c := range r.Copies() {
		if c.Server == server {
			return c.State, true
		}
	}
	return 0, false
}

// Set makes server a copy in a state, or changes its state. A row that is Full
// takes no further one.
func (r *Row) Set(server int16, s State) {
	for i := range r.Copies() {
		if r.copies[i].Server == server {
			r.copies[i].State = s
			return
		}
	}
	if !r.Full() {
		r.copies[r.n] = Copy{server, s}
		r.n++
	}
}

// Remove makes server no copy.
func (r *Row) Remove(server int16) {
	for i := range r.Copies() {
		if r.copies[i].Server == server {
			r.n--
			r.copies[i] = r.copies[r.n]
			r.copies[r.n] = Copy{}
			return
		}
	}
}

// Server is a server of a map.
type Server struct {
	Addr string // host:port, as everybody reaches it
	Boot Boot
	// Number grows in the order in which servers joined.
	Number uint32
	// Dead says that it gives no sign; it is in the map for the slots that only
	// it has.
	Dead bool
	// Leaving says that it asked to go.
	Leaving bool
	// Deposed is the last epoch that took a slot from it that it had not given
	// up. Until it has that epoch it may believe that it still has the slot; so
	// nobody promises it anything while its own epoch is earlier.
	Deposed Epoch
}

// Map says who holds what. Maps are not changed once they are made.
type Map struct {
	Epoch Epoch
	// Placement is the rule by which slots are spread.
	Placement Placement
	// Copies is how many copies each slot shall have, all counted, and MinCopies
	// without how many no write is answered; both at least 1.
	Copies, MinCopies int
	Servers           []Server
	// Held are the epochs that held rows are from.
	Held []Epoch
	Rows []Row // Count of them
}

// RowEpoch returns the epoch in which a slot's row was decided: m's, or for a row
// that is held an earlier one.
func (m *Map) RowEpoch(s Slot) Epoch {
	if h := m.Rows[s].Held; h > 0 {
		return m.Held[h-1]
	}
	return m.Epoch
}

// Index returns the index of the server with a boot ID, or None.
func (m *Map) Index(b Boot) int16 {
	for i := range m.Servers {
		if m.Servers[i].Boot == b {
			return int16(i)
		}
	}
	return None
}

// Clone returns a copy of m that shares nothing with it.
func (m *Map) Clone() *Map {
	c := *m
	c.Servers = append([]Server(nil), m.Servers...)
	c.Held = append([]Epoch(nil), m.Held...)
	c.Rows = append([]Row(nil), m.Rows...)
	return &c
}

// Empty returns the map of a table without servers, in no epoch.
func Empty(p Placement, copies, minCopies int) *Map {
	m := &Map{Placement: p, Copies: copies, MinCopies: minCopies, Rows: make([]Row, Count)}
	for i := range m.Rows {
		m.Rows[i].Primary = None
	}
	return m
}
