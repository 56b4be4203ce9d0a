package check

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"
)

// Seen is a call on a table whose promise depends on what the caller knew.
type Seen struct {
	Operation
	// Behind says that the caller acted on a view of the table's members when
	// another client had seen a newer one.
	Behind bool
	// TTL is how long what was put was to live; 0 is for ever.
	TTL time.Duration
	// Takers are, for a write that was answered, whoever had it then.
	Takers []string
}

// FreshUnless is Fresh for a table that promises less. It returns a *Violation
// for a read that returned something older than a write that was known when the
// read began, and for one that returned what had expired more than grace before.
//
// A read is judged unless it is behind, or a write that was behind may still lie
// where it went: a write by an old view goes where the key was, and nobody can
// keep it from lying over a newer value there, until the key is written again by
// a client that is not behind.
//
// A write is known from the answer to it on, unless it was behind, and from the
// first judged read that returned its value. It counts against a read if binds
// says so; nil says so of all.
//
// Something is older if its own write was over before the known one began: had
// been answered, or given up and its value read. That it was read is not enough
// while it is under way: a table that sends a write again, because the key's
// owners have changed, has it take effect again.
func FreshUnless(ops []Seen, grace time.Duration, binds func(newer, read *Seen) bool) error {
	for v := range StaleReads(ops, grace, binds) {
		return v
	}
	return nil
}

// StaleReads yields all that FreshUnless could return, one for each read.
func StaleReads(ops []Seen, grace time.Duration, binds func(newer, read *Seen) bool) iter.Seq[*Violation] {
	return func(yield func(*Violation) bool) {
		for _, of := range seenByKey(ops) {
			if !newSight(of).judge(grace, binds, yield) {
				return
			}
		}
	}
}

// Judged counts the reads that returned a value, and those of them that
// FreshUnless judges.
func Judged(ops []Seen) (hits, judged int) {
	for _, of := range seenByKey(ops) {
		s := newSight(of)
		for _, o := range of {
			if o.Op == Get && o.Outcome == OK {
				hits++
				if s.judged(o) {
					judged++
				}
			}
		}
	}
	return hits, judged
}

// seenByKey yields the calls on each key, the keys sorted.
func seenByKey(ops []Seen) iter.Seq2[Text, []*Seen] {
	keys := make(map[Text][]*Seen)
	for i := range ops {
		keys[ops[i].Key] = append(keys[ops[i].Key], &ops[i])
	}
	return func(yield func(Text, []*Seen) bool) {
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !yield(key, keys[key]) {
				return
			}
		}
	}
}

// sight is what was seen of one key.
type sight struct {
	ops    []*Seen
	writes map[Text]*Seen          // by value
	over   map[*Seen]time.Duration // when a write had surely taken effect for the last time
	behind []*Seen                 // writes that were
	clean  []span                  // answered writes that were not: by when, and the latest beginning of those by then
}

type span struct{ by, began time.Duration }

func newSight(ops []*Seen) *sight {
	s := &sight{ops: ops, writes: make(map[Text]*Seen), over: make(map[*Seen]time.Duration)}
	for _, o := range ops {
		if !o.writes() {
			continue
		}
		if o.Op != Delete {
			s.writes[o.Value] = o
		}
		if o.Outcome == OK {
			s.over[o] = o.Return
		}
		switch {
		case o.Behind:
			s.behind = append(s.behind, o)
		case o.Outcome == OK:
			s.clean = append(s.clean, span{o.Return, o.Call})
		}
	}
	slices.SortFunc(s.clean, func(a, b span) int { return cmp.Compare(a.by, b.by) })
	for i := 1; i < len(s.clean); i++ {
		s.clean[i].began = max(s.clean[i].began, s.clean[i-1].began)
	}
	for _, o := range ops {
		if w := s.read(o); w != nil && w.Outcome != OK {
			at := max(o.Return, w.Return)
			if t, ok := s.over[w]; !ok || at < t {
				s.over[w] = at
			}
		}
	}
	return s
}

// read returns the write whose value o read, nil if there is none.
func (s *sight) read(o *Seen) *Seen {
	if o.Op != Get || o.Outcome != OK {
		return nil
	}
	return s.writes[o.Value]
}

func (s *sight) judged(read *Seen) bool {
	if read.Behind {
		return false
	}
	cleaned := time.Duration(-1)
	n, _ := slices.BinarySearchFunc(s.clean, read.Call, func(c span, t time.Duration) int { return cmp.Compare(c.by, t) })
	if n > 0 {
		cleaned = s.clean[n-1].began
	}
	return !slices.ContainsFunc(s.behind, func(w *Seen) bool { return w.Call < read.Return && w.Return >= cleaned })
}

// judge yields what is wrong with the reads, and says whether to go on.
func (s *sight) judge(grace time.Duration, binds func(newer, read *Seen) bool, yield func(*Violation) bool) bool {
	known := make(map[*Seen]time.Duration)
	for _, o := range s.ops {
		w := s.read(o)
		switch {
		case w != nil && s.judged(o):
		case o.writes() && o.Outcome == OK && !o.Behind:
			w = o
		default:
			continue
		}
		if t, ok := known[w]; !ok || o.Return < t {
			known[w] = o.Return
		}
	}
	newest := make([]*Seen, 0, len(known)) // by their beginnings, the last first
	for w := range known {
		newest = append(newest, w)
	}
	slices.SortFunc(newest, func(a, b *Seen) int { return cmp.Compare(b.Call, a.Call) })
	for _, o := range s.ops {
		w := s.read(o)
		if w == nil || !s.judged(o) {
			continue
		}
		if v := s.wrong(o, w, newest, known, grace, binds); v != nil && !yield(v) {
			return false
		}
	}
	return true
}

// wrong says what is wrong with read, which returned what w wrote.
func (s *sight) wrong(read, w *Seen, newest []*Seen, known map[*Seen]time.Duration, grace time.Duration, binds func(newer, read *Seen) bool) *Violation {
	if w.TTL > 0 && read.Call > w.Return+w.TTL+grace {
		return violation("a value was read after its time to live", &w.Operation, &read.Operation)
	}
	for _, newer := range newest {
		if newer.Call <= s.over[w] {
			break
		}
		if known[newer] < read.Call && (binds == nil || binds(newer, read)) {
			return violation("a value was read after it had been replaced", &w.Operation, &newer.Operation, &read.Operation)
		}
	}
	return nil
}
