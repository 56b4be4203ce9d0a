package torc

import (
	"context"
	"iter"
	"time"
)

// What some kinds of table can do beyond Table. A caller finds out by a type
// assertion; a method that a table has but can't carry out (a fleet whose
// directory decides on its members, say) fails with ErrUnsupported and says what
// to do instead.

// Ranger is a table whose keys can be walked.
type Ranger interface {
	// Keys yields each key of the table at least once, in no order: a key that
	// is there throughout the walk, that is. One that comes or goes meanwhile may
	// be missed. It takes memory that does not grow with the number of keys, so
	// a key of several copies may come more than once where a walk can't tell. An
	// error is yielded with the key "" and ends the walk.
	Keys(ctx context.Context) iter.Seq2[string, error]
}

// Roster is a table whose members a person's word decides on.
type Roster interface {
	// AddMember makes the server at addr a member. ErrUnavailable: it doesn't
	// answer. ErrNotEmpty: it holds entries, and what says nothing of them.
	// ErrInvalid: it is a member already, or addr is none.
	AddMember(ctx context.Context, addr string, what AddOptions) error
	// RemoveMember takes the server at addr out; it goes on running, and keeps
	// what it holds. ErrInvalid: it is no member.
	RemoveMember(ctx context.Context, addr string) error
}

// AddOptions say how a member is added.
type AddOptions struct {
	// Weight is its share of the keys; 0 means 1.
	Weight uint32
	// Contents says what becomes of the entries that it holds already.
	Contents Contents
}

// Contents says what becomes of the entries that a new member holds.
type Contents uint8

// What becomes of them.
const (
	RefuseContents Contents = iota // a member that isn't empty is refused, with ErrNotEmpty
	FlushContents                  // it is emptied first
	KeepContents                   // they count as the table's, whatever they are
)

// Rebalancer is a table whose entries follow its members when they are told to.
type Rebalancer interface {
	// Rebalance copies every entry to whoever should hold it under the present
	// view and lacks it, and removes it from who holds it and should not. It may
	// be interrupted at any time and called again: nothing is lost meanwhile,
	// and writes that come while it runs win over what it copies. The result is
	// what was done, also with an error.
	Rebalance(ctx context.Context, o RebalanceOptions) (Progress, error)
}

// RebalanceOptions say how a table is rebalanced; the zero value is ready.
type RebalanceOptions struct {
	// DryRun looks and counts, and changes nothing.
	DryRun bool
	// Rate is how many entries are copied a second at most; 0: as fast as it goes.
	Rate int
	// Report, if not nil, is told how far it is, several times a second, and at
	// the end. It is called from one goroutine and must not block for long.
	Report func(Progress)
}

// Progress says how far a rebalance is.
type Progress struct {
	// Pass counts the walks over all members, from 1: it ends after one that
	// finds nothing to do.
	Pass int `json:"pass"`
	// Looked is how many entries this pass has looked at, of about Total. An
	// entry of several copies counts for each.
	Looked uint64 `json:"looked"`
	Total  uint64 `json:"total"`
	// Copied and Removed count copies that were made, and that were surplus, in
	// all passes; Bytes are those of the values that were copied. In a dry run
	// they are what would be.
	Copied  uint64 `json:"copied"`
	Removed uint64 `json:"removed"`
	Bytes   uint64 `json:"bytes"`
	// Elapsed is since it began, Left about how long this pass still takes: 0
	// while that is not known.
	Elapsed time.Duration `json:"elapsed"`
	Left    time.Duration `json:"left"`
}

// Surveyor is a table that says how its entries are spread.
type Surveyor interface {
	// Survey asks every member. One that doesn't answer has its error in its own
	// part; Survey itself fails only if nothing can be said.
	Survey(ctx context.Context) (Survey, error)
}

// Survey is how a table's entries are spread over its members at one moment.
type Survey struct {
	// Placement names the rule by which keys are placed ("murmur3", say).
	Placement string `json:"placement"`
	// Copies of each entry, all counted, and virtual nodes of a member of weight
	// 1; 0 where the placement has none.
	Copies int `json:"copies"`
	VNodes int `json:"vnodes"`
	// Version is that of the view.
	Version uint64         `json:"version"`
	Members []MemberSurvey `json:"members"`
}

// MemberSurvey is one member's part of a Survey.
type MemberSurvey struct {
	Member
	// Entries that it holds, and their size in bytes as the member counts it.
	Entries uint64 `json:"entries"`
	Bytes   uint64 `json:"bytes"`
	// Share is the part of all keys, 0 to 1, whose first owner it is by the
	// placement; with the weights all equal, one divided by the members is even.
	Share float64 `json:"share"`
	// Err says why it could not be asked; then Entries and Bytes are 0.
	Err error `json:"-"`
}

// Swapper is a table that can put an entry and hand back the one it replaced, in
// one step that nothing comes between.
type Swapper interface {
	// Swap stores value at key and returns the entry that was there; the zero
	// Version says that there was none, which is no error. It fails as Put does:
	// ErrUnknownOutcome says that it may or may not have happened.
	Swap(ctx context.Context, key string, value []byte) (Entry, error)
}
