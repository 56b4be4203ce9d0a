package mesh

import (
	"log/slog"
	"sync"
	"time"
)

const (
	remarkEvery = time.Minute
	maxRemarks  = 64 // about so many
)

// remarks keeps what happens at every call from filling the log.
type remarks struct {
	mu struct {
		sync.Mutex
		said map[remark]time.Time
	}
}

type remark struct{ about, text string }

// warn logs text, about the same once a minute.
func (r *remarks) warn(log *slog.Logger, about, text string, args ...any) {
	if r.due(remark{about, text}, time.Now()) {
		log.Warn("replica: "+text, args...)
	}
}

func (r *remarks) due(key remark, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, at := range r.mu.said {
		if now.Sub(at) >= remarkEvery {
			delete(r.mu.said, k)
		}
	}
	if _, said := r.mu.said[key]; said || len(r.mu.said) >= maxRemarks {
		return false
	}
	if r.mu.said == nil {
		r.mu.said = make(map[remark]time.Time)
	}
	r.mu.said[key] = now
	return true
}
