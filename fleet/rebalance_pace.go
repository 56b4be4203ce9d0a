package fleet

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
)

// pace keeps a rebalance to its rate. A nil pace holds up nobody.
type pace struct {
	interval time.Duration // what a copy costs

	mu struct {
		sync.Mutex
		next time.Time // when the next copy is due
	}
}

// lookCost is what it costs to be shown a key, in copies: a rate that is meant to
// leave room for others would not if a million keys were looked at in a second.
const lookCost = 1.0 / 8

func newPace(rate int) *pace {
	if rate <= 0 {
		return nil
	}
	return &pace{interval: time.Second / time.Duration(rate)}
}

// batch is how many keys are to be dealt with at a time: 50 ms worth of copies,
// so that what was read is not old when it is copied, and copies come evenly.
func (p *pace) batch() int {
	if p == nil {
		return batchTasks
	}
	return int(min(max(50*time.Millisecond/max(p.interval, 1), 1), batchTasks))
}

// wait waits until so many copies may be made. The error is the cause of the end
// of ctx.
func (p *pace) wait(ctx context.Context, copies float64) error {
	if p == nil || copies == 0 {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	now := time.Now()
	if p.mu.next.Before(now) {
		p.mu.next = now
	}
	due := p.mu.next
	p.mu.next = due.Add(time.Duration(copies * float64(p.interval)))
	p.mu.Unlock()
	return sleep(ctx, due.Sub(now))
}

// tally is what a rebalance has come to; many goroutines add to it.
type tally struct {
	pass          atomic.Int64
	looked, total atomic.Uint64 // of this pass
	copied, bytes atomic.Uint64
	removed       atomic.Uint64
	began         time.Time
	passBegan     atomic.Int64 // Unix nanoseconds
}

// next begins a pass over about total entries.
func (y *tally) next(total uint64) {
	y.pass.Add(1)
	y.looked.Store(0)
	y.total.Store(total)
	y.passBegan.Store(time.Now().UnixNano())
}

// progress is the tally as others see it.
func (y *tally) progress() torc.Progress {
	now := time.Now()
	p := torc.Progress{
		Pass:    int(y.pass.Load()),
		Looked:  y.looked.Load(),
		Total:   y.total.Load(),
		Copied:  y.copied.Load(),
		Removed: y.removed.Load(),
		Bytes:   y.bytes.Load(),
		Elapsed: now.Sub(y.began),
	}
	p.Total = max(p.Total, p.Looked)
	if spent := now.Sub(time.Unix(0, y.passBegan.Load())); spent > leftAfter && p.Looked > 0 {
		p.Left = time.Duration(float64(spent) * float64(p.Total-p.Looked) / float64(p.Looked))
	}
	return p
}

const (
	// leftAfter is how long a pass has to have run before what is left of it is
	// guessed.
	leftAfter = 500 * time.Millisecond
	// reportInterval is how often Report hears.
	reportInterval = 200 * time.Millisecond
)

// report tells to how far y is until done is closed, and then once more.
func (y *tally) report(to func(torc.Progress), done <-chan struct{}) {
	tick := time.NewTicker(reportInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			to(y.progress())
		case <-done:
			to(y.progress())
			return
		}
	}
}
