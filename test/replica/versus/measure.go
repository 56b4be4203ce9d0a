package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

type options struct {
	clients, turns int
	turn           time.Duration
}

// caller makes one call, the i-th, and waits for the answer. It is one goroutine's.
type caller func(ctx context.Context, i int) error

// side is one of those that are compared.
type side struct {
	name string
	// callers, one for each client; each has a connection of its own.
	callers []caller
	// pids are the processes that carry the calls out.
	pids []int

	turns []turn
}

// turn is what came of a turn of a side.
type turn struct {
	rate     float64 // calls a second
	p50, p99 time.Duration
	cpu      time.Duration // of all servers together, a call
}

// play has the sides take turns.
func play(ctx context.Context, o options, sides ...*side) error {
	for i := range o.turns + 1 {
		for _, s := range sides {
			t, err := s.take(ctx, o.turn)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if i > 0 { // the first is for connections and caches to get warm
				s.turns = append(s.turns, t)
			}
		}
	}
	return nil
}

// take has all callers of a side call for so long.
func (s *side) take(ctx context.Context, d time.Duration) (turn, error) {
	took := make([][]time.Duration, len(s.callers))
	errs := make([]error, len(s.callers))
	had, err := cpu(s.pids)
	if err != nil {
		return turn{}, err
	}
	var calling sync.WaitGroup
	start := time.Now()
	end := start.Add(d)
	for c, call := range s.callers {
		calling.Go(func() {
			took[c] = make([]time.Duration, 0, 1<<14)
			for i, began := 0, time.Now(); began.Before(end); i++ {
				if errs[c] = call(ctx, i*len(s.callers)+c); errs[c] != nil {
					return
				}
				now := time.Now()
				took[c] = append(took[c], now.Sub(began))
				began = now
			}
		})
	}
	calling.Wait()
	lasted := time.Since(start)
	has, err := cpu(s.pids)
	if err := errors.Join(append(errs, err)...); err != nil {
		return turn{}, err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	n := len(all)
	return turn{float64(n) / lasted.Seconds(), all[n/2], all[n*99/100], (has - had) / time.Duration(n)}, nil
}

// median returns the middle one of what of takes from the turns.
func median[T cmp.Ordered](s *side, of func(turn) T) T {
	var all []T
	for _, t := range s.turns {
		all = append(all, of(t))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (s *side) rate() float64      { return median(s, func(t turn) float64 { return t.rate }) }
func (s *side) p50() time.Duration { return median(s, func(t turn) time.Duration { return t.p50 }) }
func (s *side) p99() time.Duration { return median(s, func(t turn) time.Duration { return t.p99 }) }

func (s *side) cpu() time.Duration { return median(s, func(t turn) time.Duration { return t.cpu }) }

// times returns how many times the rate of b that of a is: the median over turns
// that came one behind the other.
func times(a, b *side) float64 {
	var all []float64
	for i := range a.turns {
		all = append(all, a.turns[i].rate/b.turns[i].rate)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
