package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/crash"
)

// views remembers every view that a table reports, and when.
type views struct {
	stop context.CancelFunc
	done chan struct{}

	mu struct {
		sync.Mutex
		seen    []seenView
		err     error
		changed chan struct{} // closed, and made anew, when seen or err changes
	}
}

type seenView struct {
	at time.Time
	torc.View
}

// follow follows t's views until wait is called.
func follow(t torc.Table) *views {
	ctx, stop := context.WithCancel(context.Background())
	v := &views{stop: stop, done: make(chan struct{})}
	v.mu.changed = make(chan struct{})
	go func() {
		defer crash.Guard()
		defer close(v.done)
		for view, err := range t.Members(ctx) {
			v.add(seenView{time.Now(), view}, err)
		}
	}()
	return v
}

// wait ends the following.
func (v *views) wait() {
	v.stop()
	<-v.done
}

func (v *views) add(s seenView, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.mu.err = err
	} else {
		v.mu.seen = append(v.mu.seen, s)
	}
	close(v.mu.changed)
	v.mu.changed = make(chan struct{})
}

// awaitAtMost bounds how long a demo waits for something to be seen.
const awaitAtMost = 10 * time.Second

// await waits for a view, reported after since, in which addr is Up, or else in
// which it isn't. It returns when that view was reported, and the reason that it
// gives, in brackets, if it gives one.
func (v *views) await(ctx context.Context, addr string, since time.Time, state torc.State) (time.Time, string, error) {
	ctx, cancel := context.WithTimeout(ctx, awaitAtMost)
	defer cancel()
	for {
		v.mu.Lock()
		seen, err, changed := v.mu.seen, v.mu.err, v.mu.changed
		v.mu.Unlock()
		for _, s := range seen {
			if s.at.Before(since) {
				continue
			}
			if up, reason := stands(s.View, addr); up == (state == torc.Up) {
				return s.at, reason, nil
			}
		}
		if err != nil {
			return time.Time{}, "", err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, "", fmt.Errorf("no view in %v in which %s is %v: %w", awaitAtMost, addr, state, ctx.Err())
		}
	}
}

// stands says how addr stands in a view.
func stands(v torc.View, addr string) (up bool, reason string) {
	for _, m := range v.Members {
		if m.Addr == addr {
			if m.Reason != "" {
				reason = " (" + m.Reason + ")"
			}
			return m.State == torc.Up, reason
		}
	}
	return false, ""
}
