package chord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// membership is what a node has to know to take part in a ring.
type membership struct {
	ring     uint64 // drawn by the first node
	circle   place.Circle
	replicas int
	self     ring.Ref
	contact  ring.Ref // nobody, if it is the first
}

// meet finds out what ring the server is to be a node of. It returns when ctx is done,
// too, with neither an error nor anything else.
func (s *Server) meet(ctx context.Context, listens string, logger *slog.Logger) (m membership, err error) {
	addr := cmp.Or(s.Addr, listens)
	if err := s.check(addr); err != nil {
		return m, fmt.Errorf("chord: %w", err)
	}
	if s.Contact == "" {
		m.ring, m.circle = random(), place.Circle(cmp.Or(s.Bits, DefaultBits))
		m.replicas = max(cmp.Or(s.Replicas, DefaultReplicas), 0)
	} else {
		info, err := s.contactsInfo(ctx, logger)
		switch {
		case ctx.Err() != nil:
			return m, nil
		case err == nil:
			m, err = s.join(info)
		}
		if err != nil {
			return m, fmt.Errorf("chord: the contact at %s: %w", s.Contact, err)
		}
	}
	m.self = ring.Ref{Place: m.circle.OfKey(addr), Boot: cmp.Or(s.Boot, random()), Addr: addr}
	if s.ID != "" {
		if m.self.Place, err = m.circle.Parse(s.ID); err != nil {
			return m, fmt.Errorf("chord: %w: %w", torc.ErrInvalid, err)
		}
	}
	return m, nil
}

// random draws what names a ring or a life of a node: never 0.
func random() uint64 {
	for {
		if n := rand.Uint64(); n != 0 {
			return n
		}
	}
}

// errNotJoined is why a node is of no use as a contact.
var errNotJoined = errors.New("it has not joined a ring itself")

// contactsInfo asks the contact who it is, until it is a member of its ring.
func (s *Server) contactsInfo(ctx context.Context, logger *slog.Logger) (info link.Info, err error) {
	ctx, cancel := context.WithTimeout(ctx, ContactWithin)
	defer cancel()
	c, err := link.NewClient(s.Contact, s.options())
	if err != nil {
		return info, err
	}
	defer c.Close()
	const first, longest = 5 * time.Millisecond, 100 * time.Millisecond
	var last error
	for pause := first; ; pause = min(2*pause, longest) {
		info, err = c.Info(ctx)
		switch {
		case err == nil && info.Joined:
			return info, nil
		case err == nil:
			err = errNotJoined
		case errors.Is(err, link.ErrForeign), errors.Is(err, link.ErrVersion): // it stays what it is
			return info, err
		}
		if last == nil {
			logger.Info("waiting for the contact", "contact", s.Contact, "err", err)
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return info, fmt.Errorf("%w for %v: %w", torc.ErrUnavailable, ContactWithin, last)
		case <-time.After(pause):
		}
	}
}

// join checks that this node fits into the contact's ring.
func (s *Server) join(info link.Info) (m membership, err error) {
	var wrong []error
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if s.Bits != 0 && s.Bits != info.Bits {
		fail("its ring has n = %d, and this node was given %d", info.Bits, s.Bits)
	}
	if want := max(s.Replicas, 0); s.Replicas != 0 && want != info.Replicas {
		fail("its ring keeps %d replicas, and this node was given %d", info.Replicas, want)
	}
	if info.MaxValue != s.maxValue() {
		fail("its ring takes values of up to %d bytes, and this node of %d", info.MaxValue, s.maxValue())
	}
	if len(wrong) > 0 {
		return m, fmt.Errorf("%w: %w", torc.ErrInvalid, joined(wrong))
	}
	return membership{ring: info.Ring, circle: place.Circle(info.Bits), replicas: info.Replicas, contact: info.Self}, nil
}
