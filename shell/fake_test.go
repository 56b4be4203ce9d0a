package shell

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/tabletest"
)

// fakeRing is a table that can do all that a kind can: a Memory, and members
// that come and go by a person's word.
type fakeRing struct {
	*tabletest.Memory
	slow time.Duration // how long a Put takes

	mu struct {
		sync.Mutex
		keys    map[string]bool
		members map[string]torc.Member
		added   map[string]torc.AddOptions
	}
}

var (
	_ torc.Ranger     = (*fakeRing)(nil)
	_ torc.Roster     = (*fakeRing)(nil)
	_ torc.Rebalancer = (*fakeRing)(nil)
	_ torc.Surveyor   = (*fakeRing)(nil)
)

// Addresses that stand for servers of some sort.
const (
	deadAddr   = "dead:1"
	fullAddr   = "full:1"
	brokenAddr = "broken:1" // no entry can be moved to it
)

func newFakeRing(addrs ...string) *fakeRing {
	f := &fakeRing{Memory: tabletest.NewMemory()}
	f.mu.keys = make(map[string]bool)
	f.mu.members = make(map[string]torc.Member)
	f.mu.added = make(map[string]torc.AddOptions)
	for _, addr := range addrs {
		f.mu.members[addr] = torc.Member{Addr: addr, Weight: 1}
	}
	f.announceLocked()
	return f
}

func (f *fakeRing) announceLocked() {
	f.SetMembers(slices.Collect(maps.Values(f.mu.members))...)
}

func (f *fakeRing) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	if f.slow > 0 {
		select {
		case <-time.After(f.slow):
		case <-ctx.Done():
			return &torc.Error{Op: "put", Key: key, Err: fmt.Errorf("%w: %w", torc.ErrUnavailable, ctx.Err())}
		}
	}
	err := f.Memory.Put(ctx, key, value, opts...)
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.mu.keys[key] = true
	}
	return err
}

// Keys yields each key twice, as a table with copies may.
func (f *fakeRing) Keys(context.Context) iter.Seq2[string, error] {
	f.mu.Lock()
	keys := slices.Sorted(maps.Keys(f.mu.keys))
	f.mu.Unlock()
	return func(yield func(string, error) bool) {
		for _, k := range slices.Concat(keys, keys) {
			if !yield(k, nil) {
				return
			}
		}
	}
}

func (f *fakeRing) AddMember(_ context.Context, addr string, o torc.AddOptions) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail := func(err error) error { return &torc.Error{Op: "add", Member: addr, Err: err} }
	switch _, is := f.mu.members[addr]; {
	case is:
		return fail(fmt.Errorf("%w: it is a member already", torc.ErrInvalid))
	case addr == deadAddr:
		return fail(fmt.Errorf("%w: connection refused", torc.ErrUnavailable))
	case addr == fullAddr && o.Contents == torc.RefuseContents:
		return fail(torc.ErrNotEmpty)
	}
	f.mu.added[addr] = o
	f.mu.members[addr] = torc.Member{Addr: addr, Weight: o.Weight}
	f.announceLocked()
	return nil
}

func (f *fakeRing) RemoveMember(_ context.Context, addr string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, is := f.mu.members[addr]; !is {
		return &torc.Error{Op: "remove", Member: addr, Err: fmt.Errorf("%w: it is no member", torc.ErrInvalid)}
	}
	delete(f.mu.members, addr)
	f.announceLocked()
	return nil
}

// Rebalance of a ring with a broken member is stuck half-way until ctx is done;
// the rate is how many steps of 50 ms it takes.
func (f *fakeRing) Rebalance(ctx context.Context, o torc.RebalanceOptions) (torc.Progress, error) {
	f.mu.Lock()
	_, broken := f.mu.members[brokenAddr]
	f.mu.Unlock()
	p := torc.Progress{Pass: 1, Total: 10_000}
	steps := max(o.Rate, 1)
	for i := range steps {
		p.Looked = 10_000 * uint64(i+1) / uint64(steps)
		p.Copied, p.Removed, p.Bytes = p.Looked/4, p.Looked/5, 100*p.Looked/4
		p.Elapsed += 50 * time.Millisecond
		if o.Report != nil {
			o.Report(p)
		}
		if o.Rate > 0 {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return p, ctx.Err()
			}
		}
		if broken {
			<-ctx.Done()
			return p, fmt.Errorf("%w: %w", torc.ErrUnavailable, ctx.Err())
		}
	}
	return p, nil
}

func (f *fakeRing) Survey(context.Context) (torc.Survey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := torc.Survey{Placement: "murmur3", Copies: 3, VNodes: 120, Version: 7}
	for i, addr := range slices.Sorted(maps.Keys(f.mu.members)) {
		m := torc.MemberSurvey{Member: f.mu.members[addr], Entries: uint64(len(f.mu.keys) * (i + 1)), Share: 1 / float64(len(f.mu.members))}
		m.Bytes = 1000 * m.Entries
		if addr == brokenAddr {
			m.Entries, m.Bytes, m.Err = 0, 0, &torc.Error{Op: "survey", Member: addr, Err: fmt.Errorf("%w: it doesn't answer", torc.ErrUnavailable)}
		}
		s.Members = append(s.Members, m)
	}
	return s, nil
}

// typist is an Input that types lines at a terminal that isn't one.
type typist struct {
	lines   []string
	answers []string // y, n or ^C
	asked   []string
	before  func(line string)
}

func (p *typist) Line(context.Context) (string, error) {
	if len(p.lines) == 0 {
		return "", io.EOF
	}
	line := p.lines[0]
	p.lines = p.lines[1:]
	if line == "^C" {
		return "", ErrInterrupted
	}
	if p.before != nil {
		p.before(line)
	}
	return line, nil
}

func (p *typist) Ask(_ context.Context, question string) (bool, error) {
	p.asked = append(p.asked, question)
	answer := p.answers[0]
	p.answers = p.answers[1:]
	if answer == "^C" {
		return false, ErrInterrupted
	}
	return answer == "y", nil
}

func (*typist) Place() (string, int) { return "", 0 }
