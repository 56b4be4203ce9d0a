package cluster

import (
	"context"
	"fmt"
	"time"
)

const (
	// DefaultWait bounds a wait whose context has no deadline: long enough for
	// a JVM to start on a busy machine, short enough to be waited for when
	// something hangs.
	DefaultWait = 30 * time.Second
	// pollEvery is how often a condition is looked at: a fraction of the
	// shortest time that is measured with it, at little cost.
	pollEvery = 2 * time.Millisecond
)

// WaitFor calls cond until it returns nil, every two milliseconds. When ctx is
// done before (after DefaultWait, if it has no deadline), the error says what
// was waited for, for how long, and cond's last word.
func WaitFor(ctx context.Context, what string, cond func() error) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultWait)
		defer cancel()
	}
	start := time.Now()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w (%w)", time.Since(start).Round(time.Millisecond), what, err, ctx.Err())
		}
	}
}

func waitAtMost(d time.Duration, what string, cond func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return WaitFor(ctx, what, cond)
}
