package fleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/ring"
)

var _ torc.Surveyor = (*Table)(nil)

// surveyKeys is how many keys are placed to see how even the placement is: a
// share of an eighth is then within a hundredth of itself, nearly always.
const surveyKeys = 100_000

// Survey implements [torc.Surveyor]. Entries are counted as the servers count
// them: copies, tombstones, and what has expired and not been noticed included.
func (t *Table) Survey(ctx context.Context) (torc.Survey, error) {
	if t.isClosed() {
		return torc.Survey{}, failure("survey", "", nil, torc.ErrClosed)
	}
	r := t.routing.Load()
	s := torc.Survey{
		Placement: r.config.Hash,
		Copies:    r.config.Copies,
		Version:   r.view.Version,
		Members:   make([]torc.MemberSurvey, len(r.view.Members)),
	}
	if s.Placement == ring.Murmur3 {
		s.VNodes = r.config.VNodes
	}
	shares := r.shares()
	var wg sync.WaitGroup
	next := 0 // of the servers, which are the members that can be asked
	for i, m := range r.view.Members {
		of := &s.Members[i]
		of.Member = m
		if next == len(r.servers) || r.servers[next].Addr != m.Addr {
			of.Err = failure("survey", "", &server{Server: Server{Addr: m.Addr}}, fmt.Errorf("%w: %s", torc.ErrUnavailable, m.Reason))
			continue
		}
		server := r.servers[next]
		of.Share = shares[next]
		next++
		wg.Go(func() {
			stats, err := server.client.Stats(ctx)
			if errors.Is(err, memcache.ErrClosed) && !t.isClosed() {
				err = fmt.Errorf("%w: it went out of use while it was asked", torc.ErrUnavailable)
			}
			if err != nil {
				of.Err = failure("survey", "", server, err)
				return
			}
			of.Entries, _ = strconv.ParseUint(stats["curr_items"], 10, 64)
			of.Bytes, _ = strconv.ParseUint(stats["bytes"], 10, 64)
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return s, failure("survey", "", nil, err)
	}
	return s, nil
}

// shares is the part of all keys whose first owner each server is.
func (r *routing) shares() []float64 {
	shares := make([]float64, len(r.servers))
	key := make([]byte, 0, 8)
	for n := range surveyKeys {
		key = strconv.AppendInt(key[:0], int64(n), 10)
		if i := r.history.Owner(string(key)); i >= 0 {
			shares[i] += 1.0 / surveyKeys
		}
	}
	return shares
}
