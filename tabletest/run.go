package tabletest

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
)

// Option says in what a kind of table differs from what the suite takes for
// granted.
type Option func(*suite)

// KeyLimits says that the kind takes keys of at most plain bytes if they consist
// of visible ASCII characters, and of at most other bytes if they don't, and
// refuses longer ones. Without this option both are torc.MaxKeyLen.
func KeyLimits(plain, other int) Option {
	return func(s *suite) { s.plainKey, s.otherKey = plain, other }
}

// ValueLimits says that the kind takes values of fits bytes, at least 64 KiB, and
// refuses those of refused bytes. Without this option these are 1 MiB less 1 KiB
// and 1 MiB plus 1: the limit of a memcached, which counts more than the value,
// lies between.
func ValueLimits(fits, refused int) Option {
	return func(s *suite) { s.fits, s.refused = fits, refused }
}

// Feature is something that a kind may lack: it then answers ErrUnsupported.
type Feature int

// The features.
const (
	TTLs Feature = iota
	Conditions
)

// Lacks says that the kind has none of these features.
func Lacks(features ...Feature) Option {
	return func(s *suite) {
		for _, f := range features {
			s.lacks[f] = true
		}
	}
}

// Churn gives the suite a way to change a table's members; change does not wait
// for the change to be seen. Without this option the suite can only test that
// Members tells of the first view.
func Churn(change func(t *testing.T, table torc.Table)) Option {
	return func(s *suite) { s.change = change }
}

// Racy says that what calls of one key see that are made at the same moment need
// not fit one order of them, as in a cache of several copies that tells a deleted
// entry from a lost one by nothing. Every value that is read was written there all
// the same.
func Racy() Option {
	return func(s *suite) { s.racy = true }
}

// Restless says that members come and go while the suite runs, so that who owns a key
// need not have been a member a moment before.
func Restless() Option {
	return func(s *suite) { s.restless = true }
}

type suite struct {
	open               func(*testing.T) torc.Table
	plainKey, otherKey int
	fits, refused      int
	lacks              map[Feature]bool
	racy               bool
	restless           bool
	change             func(*testing.T, torc.Table)
}

// Run runs the suite, as subtests of t. Open returns a table that the suite may
// close, and fails its t if it can't; what else it starts ends by t.Cleanup.
//
// Run looks for goroutines left behind, so no other test may run beside it: t
// must not be parallel. It returns when all is done.
func Run(t *testing.T, open func(t *testing.T) torc.Table, opts ...Option) {
	s := &suite{
		open:     open,
		plainKey: torc.MaxKeyLen, otherKey: torc.MaxKeyLen,
		fits: 1<<20 - 1<<10, refused: 1<<20 + 1,
		lacks: make(map[Feature]bool),
	}
	for _, opt := range opts {
		opt(s)
	}
	t.Run("Close", s.testClose)
	tests := map[string]func(*fixture){
		"Basics":            s.testBasics,
		"Versions":          s.testVersions,
		"Conditions":        s.testConditions,
		"TTL":               s.testTTL,
		"Options":           s.testOptions,
		"Keys":              s.testKeys,
		"WrongKeys":         s.testWrongKeys,
		"Values":            s.testValues,
		"TooLarge":          s.testTooLarge,
		"Ownership":         s.testOwnership,
		"DoneContext":       s.testDoneContext,
		"HastyContext":      s.testHastyContext,
		"Locate":            s.testLocate,
		"Members":           s.testMembers,
		"Linearizable":      s.testLinearizable,
		"OneWinner":         s.testOneWinner,
		"Counter":           s.testCounter,
		"AgainstAModel":     s.testAgainstModel,
		"NeighboursApart":   s.testNeighbours,
		"ConcurrentClients": s.testUniqueValues,
	}
	if s.change != nil {
		tests["MembersChange"] = s.testMembersChange
	} else {
		t.Log("no change of the members is tested: the suite was given no Churn")
	}
	t.Run("Parallel", func(t *testing.T) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(s.fixture(t))
			})
		}
	})
}

// patience bounds each test: a call that hangs fails, rather than the whole run.
const patience = 60 * time.Second

// fixture is one test's own table, and words for what is expected of it. They
// end the test if it isn't so, and are for the test's goroutine.
type fixture struct {
	*testing.T
	torc.Table
	ctx    context.Context
	prefix string
}

func (s *suite) fixture(t *testing.T) *fixture {
	t.Helper()
	table := s.open(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(func() {
		cancel()
		if err := table.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &fixture{T: t, Table: table, ctx: ctx, prefix: rand.Text()[:8]}
}

// key makes a key that nobody else uses.
func (f *fixture) key(name string) string { return f.prefix + "-" + name }

func (f *fixture) put(key, value string, opts ...torc.PutOption) {
	f.Helper()
	if err := f.Put(f.ctx, key, []byte(value), opts...); err != nil {
		f.Fatalf("Put(%s, %s): %v", torc.QuoteKey(key), torc.QuoteKey(value), err)
	}
}

// holds expects value at key, and returns the entry's version.
func (f *fixture) holds(key, value string) torc.Version {
	f.Helper()
	e, err := f.Get(f.ctx, key)
	if err != nil {
		f.Fatalf("Get(%s): %v, want %s", torc.QuoteKey(key), err, torc.QuoteKey(value))
	}
	if string(e.Value) != value {
		f.Fatalf("Get(%s) = %s, want %s", torc.QuoteKey(key), torc.QuoteKey(string(e.Value)), torc.QuoteKey(value))
	}
	return e.Version
}

// lacks expects no entry at key.
func (f *fixture) lacks(key string) {
	f.Helper()
	_, err := f.Get(f.ctx, key)
	f.fails(err, "get", key, torc.ErrNotFound)
}

func (f *fixture) delete(key string) {
	f.Helper()
	if err := f.Delete(f.ctx, key); err != nil {
		f.Fatalf("Delete(%s): %v", torc.QuoteKey(key), err)
	}
}

// sentinels are all kinds of failure.
var sentinels = []error{
	torc.ErrNotFound, torc.ErrExists, torc.ErrConflict, torc.ErrUnavailable, torc.ErrUnknownOutcome,
	torc.ErrInvalid, torc.ErrTooLarge, torc.ErrUnsupported, torc.ErrClosed,
}

// fails expects err to be an error as package torc describes them: of this
// operation, on this key, of this kind and, on a table that works, no other.
func (f *fixture) fails(err error, op, key string, kind error) {
	f.Helper()
	f.describes(err, op, key)
	for _, other := range sentinels {
		if is := errors.Is(err, other); is != (other == kind) {
			f.Fatalf("%s %s: %v: is %q: %v; it should be %q alone", op, torc.QuoteKey(key), err, other, is, kind)
		}
	}
}

// describes expects err to be a *torc.Error of this operation on this key.
func (f *fixture) describes(err error, op, key string) {
	f.Helper()
	var e *torc.Error
	if !errors.As(err, &e) {
		f.Fatalf("%s %s: %v (%T), want a *torc.Error", op, torc.QuoteKey(key), err, err)
	}
	if e.Op != op || e.Key != key {
		f.Fatalf("%s %s: the error is of %s %s: %v", op, torc.QuoteKey(key), e.Op, torc.QuoteKey(e.Key), err)
	}
	if text := err.Error(); strings.ContainsAny(text, "\n\r") {
		f.Fatalf("%s %s: the error has more than one line: %q", op, torc.QuoteKey(key), text)
	}
}

// everyCall makes each call that takes a key, and gives its error to check.
func (f *fixture) everyCall(ctx context.Context, key string, check func(op string, err error)) {
	f.Helper()
	_, err := f.Get(ctx, key)
	check("get", err)
	check("put", f.Put(ctx, key, []byte("a value that should not be there")))
	check("delete", f.Delete(ctx, key))
	_, err = f.Locate(ctx, key)
	check("locate", err)
}
