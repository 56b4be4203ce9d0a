package torc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits that hold on every kind of table. A kind may be stricter (a memcached
// takes 250 bytes of key as sent, so 186 bytes of a key that has to be encoded)
// and then says so in its error.
const (
	// MaxKeyLen is the longest key, in bytes.
	MaxKeyLen = 250
	// DefaultPutTimeout bounds a Put or Delete whose context has no deadline.
	// It is longer than the time in which any kind notices that a machine is
	// gone, so that a write outlives one fault, and short enough for a person
	// to wait for.
	DefaultPutTimeout = 10 * time.Second
)

// CheckKey says what is wrong with key on every kind of table, if anything: an
// error that wraps ErrInvalid.
func CheckKey(key string) error {
	if key == "" {
		return invalid(errors.New("the key is empty"))
	}
	if len(key) > MaxKeyLen {
		return invalid(fmt.Errorf("the key has %d bytes: at most %d", len(key), MaxKeyLen))
	}
	return nil
}

// Table is one hash table that many machines hold together.
//
// All methods are safe for concurrent use. Each may block until its context is
// done; Put and Delete whose context has no deadline get [DefaultPutTimeout].
// Errors are *[Error] values that wrap one of the sentinels in this package:
// test for them with errors.Is. A call that its context ends fails with
// ErrUnavailable, and a write that was sent with ErrUnknownOutcome; the error
// wraps the context's too.
type Table interface {
	// Get returns the entry at key. ErrNotFound says that there is none; on a
	// kind that is a cache it may also mean that whoever holds the key can't be
	// asked, and then the error is ErrUnavailable as well.
	// The caller owns the entry's value.
	Get(ctx context.Context, key string) (Entry, error)

	// Put stores value at key. It is atomic: a reader sees the old entry or the
	// new one. Without options it replaces what is there, whoever wrote it.
	// The table does not keep value after Put has returned.
	// ErrUnknownOutcome says that the write may or may not have happened.
	Put(ctx context.Context, key string, value []byte, opts ...PutOption) error

	// Delete removes the entry at key; ErrNotFound says that there was none.
	Delete(ctx context.Context, key string) error

	// Locate says who holds key, or would, under the present view. It does not
	// say whether the key is there.
	Locate(ctx context.Context, key string) (Placement, error)

	// Members yields the present view and then each later one. Views that come
	// while the consumer is busy are coalesced: it sees the newest, never an
	// older one after a newer. The sequence ends without an error when ctx is
	// done, and with one (ErrClosed, say) when it can't go on.
	Members(ctx context.Context) iter.Seq2[View, error]

	// Close lets go of the table's connections and goroutines, and waits for
	// them. Calls under way fail with ErrClosed, and so do later ones; a second
	// Close does nothing. Entries stay where they are.
	Close() error
}

// Entry is what a table holds at a key.
type Entry struct {
	Value   []byte
	Version Version
}

// Version names one write of one key, for [IfVersion]. Versions are equal only
// if they name the same write; which of two is later they do not say. The zero
// Version names no write.
type Version struct {
	// Epoch names the reign under which the write was numbered: an incarnation
	// of a server, an epoch of a map, a term.
	Epoch uint64
	// Seq is the write's number within the epoch.
	Seq uint64
}

// String formats v as ParseVersion reads it.
func (v Version) String() string { return fmt.Sprintf("%x-%x", v.Epoch, v.Seq) }

// ParseVersion reads what Version.String wrote. The error, if any, wraps
// ErrInvalid.
func ParseVersion(s string) (Version, error) {
	epoch, seq, _ := strings.Cut(s, "-")
	e, errE := strconv.ParseUint(epoch, 16, 64)
	n, errN := strconv.ParseUint(seq, 16, 64)
	if errE != nil || errN != nil {
		return Version{}, invalid(fmt.Errorf("%q is not a version: two hexadecimal numbers with a hyphen between, as `torc get --json` prints them", s))
	}
	return Version{Epoch: e, Seq: n}, nil
}

// MarshalText writes v as String does.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Version) UnmarshalText(text []byte) (err error) {
	*v, err = ParseVersion(string(text))
	return err
}

// State is how a member stands.
type State uint8

// The states of a member.
const (
	// Up: it holds keys and answers.
	Up State = iota
	// Down: it doesn't answer; keys that were its own go elsewhere.
	Down
	// Drained: a person took its keys away; it may answer all the same.
	Drained
)

var stateNames = [...]string{Up: "up", Down: "down", Drained: "drained"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", s)
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(stateNames[:], string(text))
	if i < 0 {
		return invalid(fmt.Errorf("%q is not a member's state", text))
	}
	*s = State(i)
	return nil
}

// Member is one machine, or rather one server process, of a table.
type Member struct {
	// Addr is its host:port, as clients reach it. It names the member.
	Addr string `json:"addr"`
	// Weight is its share of the keys, against the other members' weights.
	Weight uint32 `json:"weight"`
	State  State  `json:"state"`
	// Since is when this process first saw the member in this state.
	Since time.Time `json:"since"`
	// Reason says why it is not Up, in words for a person.
	Reason string `json:"reason,omitempty"`
}

// View is who the members are, at one moment. Its Members are not to be changed.
type View struct {
	// Generation tells two histories of one table apart (a directory that lost
	// its data begins a new one). Versions compare within a generation only.
	Generation uint64 `json:"generation"`
	// Version grows with each change of the members.
	Version uint64 `json:"version"`
	// Members, sorted by address.
	Members []Member `json:"members"`
	// LostContact is when this process lost touch with whoever knows the
	// members, and so since when the view is only the last one known. Zero
	// while it is in touch.
	LostContact time.Time `json:"lost_contact,omitzero"`
}

// Placement says who holds a key.
type Placement struct {
	// Owners, in the order in which they are asked.
	Owners []Member `json:"owners"`
	// Hops is how many members had to be asked to find that out.
	Hops int `json:"hops"`
	// Generation and Version are those of the view that says so.
	Generation uint64 `json:"generation"`
	Version    uint64 `json:"version"`
}
