package chord

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/torc-dht/torc/chord"
)

// member is a node that runs.
type member struct {
	Process
	id string
}

func (m *member) name() string { return m.id + "@" + m.Addr() }

// ring is processes that form one.
type ring struct {
	starter        Starter
	bits, replicas int
	members        []*member // the first is never killed
	admin          chord.Admin
	rnd            *rand.Rand
	pids           []int // of all there ever were
}

// startRing starts so many nodes at places by chance: one, and then a few at a time,
// each by way of another. It returns when all is settled.
func startRing(ctx context.Context, starter Starter, nodes, bits, replicas int) (*ring, error) {
	r := &ring{starter: starter, bits: bits, replicas: replicas, rnd: rand.New(rand.NewPCG(uint64(nodes), uint64(100*bits+replicas)))}
	taken := map[string]bool{}
	var ids []string
	for len(ids) < nodes {
		if id := r.place(); !taken[id] {
			taken[id] = true
			ids = append(ids, id)
		}
	}
	for began := 0; began < nodes; {
		n := min(max(1, began), startAtOnce, nodes-began)
		members := make([]*member, n)
		g, ctx := errgroup.WithContext(ctx)
		for i := range members {
			id, contact := ids[began+i], ""
			if began > 0 {
				contact = r.members[r.rnd.IntN(began)].name()
			}
			g.Go(func() (err error) {
				members[i], err = r.start(ctx, id, contact)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return r, err
		}
		for _, m := range members {
			r.pids = append(r.pids, m.Pid())
		}
		r.members = append(r.members, members...)
		began += n
	}
	return r, r.settled(ctx, r.members)
}

// startAtOnce is how many nodes are started at the same time: more of them have to wait
// for processors.
const startAtOnce = 4

// start starts a node. One that doesn't get in in time, since many want to or the machine
// is busy, gives up, and is started again.
func (r *ring) start(ctx context.Context, id, contact string) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		p, err := r.starter.Start(ctx, Start{Bits: r.bits, Replicas: r.replicas, ID: id, Contact: contact})
		if err == nil {
			return &member{p, id}, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
}

// place is one by chance, in decimal.
func (r *ring) place() string { return place(r.rnd, r.bits) }

// settled waits until each of the members serves, and as many others have whole copies
// of what it owns as there are to be.
func (r *ring) settled(ctx context.Context, members []*member) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, m := range members {
		if err := r.await(ctx, m, func(s *chord.Status) string {
			switch {
			case !s.Serving:
				return "it does not serve"
			case !s.Whole || len(s.Holders) < min(r.replicas, len(r.members)-1):
				return fmt.Sprintf("%d have copies", len(s.Holders))
			}
			return ""
		}); err != nil {
			return err
		}
	}
	return nil
}

// await asks a node how it is until lacks has nothing to say.
func (r *ring) await(ctx context.Context, m *member, lacks func(*chord.Status) string) error {
	for {
		s, err := r.admin.Status(ctx, m.Addr())
		if err == nil {
			why := lacks(&s)
			if why == "" {
				return nil
			}
			err = errors.New(why)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("node %s: %w: %w", m.name(), ctx.Err(), err)
		case <-time.After(askAgain):
		}
	}
}

// askAgain is how long an answer is waited for before the question is put again.
const askAgain = 5 * time.Millisecond

// around returns the members in order of their places.
func (r *ring) around() []*member {
	all := slices.Clone(r.members)
	slices.SortFunc(all, func(a, b *member) int { return compareDecimal(a.id, b.id) })
	return all
}

// compareDecimal orders numbers in decimal without leading zeros.
func compareDecimal(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// close ends all processes.
func (r *ring) close() (err error) {
	for _, m := range r.members {
		err = errors.Join(err, m.Kill())
	}
	return err
}
