package shell

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/torc-dht/torc/internal/terminal"
)

// How fill works: so many at once keep a few servers busy from one process, and
// no value is larger than what a memcached takes by default.
const (
	fillers      = 64
	maxFill      = 1_000_000_000
	maxFillValue = 1_000_000
)

var fillCommand = command{
	name: "fill", args: "N",
	short: "put N random pairs",
	long: `The keys begin with fill-, so that keys fill- lists them.
`,
	prepare: func(flags *pflag.FlagSet) action {
		size := flags.Int("size", 100, "the length of a value in `bytes`")
		return func(ctx context.Context, c *call, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || n < 1 || n > maxFill {
				return usageErrorf("%s is no number of pairs from 1 to %d", Quote(args[0]), maxFill)
			}
			if *size < 0 || *size > maxFillValue {
				return usageErrorf("--size %d: from 0 to %d bytes", *size, maxFillValue)
			}
			if _, err := c.needMembers(ctx); err != nil {
				return err
			}
			return c.fill(ctx, n, *size)
		}
	},
}

// fill puts n random pairs, many at once, and stops at the first that fails.
func (c *call) fill(ctx context.Context, n uint64, size int) error {
	filling, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var taken, done atomic.Uint64
	var workers sync.WaitGroup
	start := time.Now()
	for range min(fillers, n) {
		workers.Go(func() {
			value := make([]byte, size)
			for filling.Err() == nil && taken.Add(1) <= n {
				key := fmt.Sprintf("fill-%016x", rand.Uint64())
				randomText(value)
				ctx, cancel := c.moment(filling)
				err := c.Table.Put(ctx, key, value)
				cancel()
				if err != nil {
					stop(err)
					return
				}
				done.Add(1)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		workers.Wait()
		close(ended)
	}()
	bar := c.progress("fill")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-tick.C:
			bar.Show(fillStep(done.Load(), n, size, time.Since(start)))
		}
	}
	bar.End()
	took := time.Since(start)
	c.result = struct {
		Pairs uint64 `json:"pairs"`
		Bytes uint64 `json:"bytes"`
	}{done.Load(), done.Load() * uint64(size)}
	if done.Load() < n {
		return &partial{
			done: fmt.Sprintf("%s of %s pairs were put, in %s", terminal.Count(done.Load()), terminal.Count(n), terminal.Span(took)),
			err:  context.Cause(filling),
		}
	}
	c.print(fmt.Sprintf("%s pairs put in %s: %s a second\n", terminal.Count(n), terminal.Span(took), terminal.Count(uint64(float64(n)/took.Seconds()))))
	return nil
}

// fillStep is how far a fill is.
func fillStep(done, n uint64, size int, elapsed time.Duration) terminal.Step {
	s := terminal.Step{Done: done, Total: n, Unit: "keys", Bytes: done * uint64(size)}
	if done > 0 {
		s.Left = time.Duration(float64(elapsed) / float64(done) * float64(n-done))
	}
	return s
}

// randomText fills text with letters and digits.
func randomText(text []byte) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	for i := 0; i < len(text); {
		for bits, n := rand.Uint64(), 0; n < 10 && i < len(text); n++ {
			text[i] = letters[bits&63]
			bits >>= 6
			i++
		}
	}
}
