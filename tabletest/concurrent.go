package tabletest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
)

// clients is how many goroutines call at the same time.
const clients = 64

// What concurrent clients see can be put in one order. There are enough keys that
// few calls at a time meet on each: the search grows exponentially with those.
func (s *suite) testLinearizable(f *fixture) {
	r := check.NewRecorder()
	var wg sync.WaitGroup
	for i := range clients {
		c := r.Client(f.Table)
		wg.Go(func() {
			for n := range 60 {
				key, value := f.key(fmt.Sprint("k", rand.IntN(24))), fmt.Sprintf("%d-%d", i, n)
				var err error
				switch p := rand.IntN(20); {
				case p < 8:
					_, err = c.Get(f.ctx, key)
				case p < 14:
					err = c.Put(f.ctx, key, value)
				case p < 16:
					err = c.Delete(f.ctx, key)
				case s.lacks[Conditions]:
				case p < 18:
					err = c.PutIfAbsent(f.ctx, key, value)
				default:
					var e torc.Entry
					if e, err = c.Get(f.ctx, key); err == nil {
						err = c.Swap(f.ctx, key, e, value)
					}
				}
				if err != nil && !expected(err) {
					f.Errorf("on a table with nothing wrong: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if s.racy {
		f.Log("what racing calls saw is not held against one order: the suite was told Racy")
		if err := check.Values(r.History()); err != nil {
			f.Error(err)
		}
		return
	}
	check.Verify(f, r.History(), check.Register)
}

// expected tells the errors that calls on a table with nothing wrong end with.
func expected(err error) bool {
	return errors.Is(err, torc.ErrNotFound) || errors.Is(err, torc.ErrExists) || errors.Is(err, torc.ErrConflict)
}

// Each client's own keys hold what it put there, large or small, whatever the
// others do.
func (s *suite) testUniqueValues(f *fixture) {
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 0))
			for n := range 30 {
				key := f.key(fmt.Sprintf("own-%d-%d", i, n%3))
				value := make([]byte, 8+rng.IntN(1<<rng.IntN(14)))
				for j := range value {
					value[j] = byte(i)
				}
				copy(value, fmt.Sprint(n, ";"))
				if err := f.Put(f.ctx, key, value); err != nil {
					f.Errorf("Put(%s): %v", key, err)
					return
				}
				e, err := f.Get(f.ctx, key)
				if err != nil || string(e.Value) != string(value) {
					f.Errorf("Get(%s) = %s, %v, want %s", key, torc.QuoteKey(string(e.Value)), err, torc.QuoteKey(string(value)))
					return
				}
			}
		})
	}
	wg.Wait()
}

// Of many that put if the key is absent, one does.
func (s *suite) testOneWinner(f *fixture) {
	if s.lacks[Conditions] {
		return
	}
	for round := range 10 {
		k := f.key(fmt.Sprint("round", round))
		var winners, winner atomic.Int64
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				err := f.Put(f.ctx, k, []byte(strconv.Itoa(i)), torc.IfAbsent())
				switch {
				case err == nil:
					winners.Add(1)
					winner.Store(int64(i))
				case !errors.Is(err, torc.ErrExists):
					f.Errorf("Put: %v", err)
				}
			})
		}
		wg.Wait()
		if n := winners.Load(); n != 1 {
			f.Fatalf("%d of %d found the key absent", n, clients)
		}
		f.holds(k, strconv.FormatInt(winner.Load(), 10))
	}
}

// Increments by IfVersion are not lost.
func (s *suite) testCounter(f *fixture) {
	if s.lacks[Conditions] {
		return
	}
	const counters, each = 8, 20
	k := f.key("counter")
	f.put(k, "0")
	var wg sync.WaitGroup
	for range counters {
		wg.Go(func() {
			for done := 0; done < each; {
				e, err := f.Get(f.ctx, k)
				if err != nil {
					f.Errorf("Get: %v", err)
					return
				}
				n, err := strconv.Atoi(string(e.Value))
				if err != nil {
					f.Errorf("the counter is %q", e.Value)
					return
				}
				err = f.Put(f.ctx, k, []byte(strconv.Itoa(n+1)), torc.IfVersion(e.Version))
				switch {
				case err == nil:
					done++
				case !errors.Is(err, torc.ErrConflict):
					f.Errorf("Put: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	f.holds(k, strconv.Itoa(counters*each))
}
