package chord

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/torc-dht/torc/chord/internal/link"
)

var _ prometheus.Collector = (*Server)(nil)

const (
	requestsName = "torc_chord_requests_total"
	requestsHelp = "Requests that clients sent to this node, by what came of them: done; moved, since another node owns the key, and its client was told which; forwarded to the owner; unavailable, and nothing was done; unknown, since a write may or may not have happened."
)

var requestsDesc = prometheus.NewDesc(requestsName, requestsHelp, []string{"result"}, nil)

// reading is a metric that is read off a node's status.
type reading struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*link.Status) float64
}

// readings are what a node tells of itself. docs/metrics.md lists them.
var readings = []reading{
	{"torc_chord_joined", "1 if this node owns its own place, and so is part of the ring, else 0.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return truth(st.Joined) }},
	{"torc_chord_serving", "1 if it answers for what it owns, else 0.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return truth(st.Serving) }},
	{"torc_chord_successors", "Nodes in its successor list.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return float64(len(st.Successors)) }},
	{"torc_chord_suspects", "Nodes that it knows and that don't answer.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return float64(len(st.Suspects)) }},
	{"torc_chord_lost", "Nodes that it has lost sight of without a word of theirs, and asks after.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return float64(len(st.Lost)) }},
	{"torc_chord_holders", "Nodes that have all of what it owns.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return float64(complete(st.Holders)) }},
	{"torc_chord_whole", "1 if all that it owns has as many copies as it has to have, else 0.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return truth(st.Whole) }},
	{"torc_chord_keys", "Keys that it owns.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return float64(st.Keys) }},
	{"torc_chord_held_keys", "Keys that it has, copies for other nodes too.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return float64(st.Held) }},
	{"torc_chord_bytes", "Bytes that these and their values take, with what keeping them takes.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return float64(st.Bytes) }},
	{"torc_chord_limit_bytes", "How many that may be.", prometheus.GaugeValue,
		func(st *link.Status) float64 { return float64(st.Limit) }},
	{"torc_chord_take_overs_total", "Spans that it has taken over from nodes that were gone.", prometheus.CounterValue,
		func(st *link.Status) float64 { return float64(st.TakeOvers) }},
	{"torc_chord_hand_offs_total", "Spans that it has handed to nodes that joined, or when it left.", prometheus.CounterValue,
		func(st *link.Status) float64 { return float64(st.HandOffs) }},
	{"torc_chord_taken_empty_total", "Spans that it has taken over of which nobody had a copy: what was there is lost.", prometheus.CounterValue,
		func(st *link.Status) float64 { return float64(st.TakenEmpty) }},
	{"torc_chord_overwritten_total", "Entries that gave way to later ones when two rings met.", prometheus.CounterValue,
		func(st *link.Status) float64 { return float64(st.Overwritten) }},
}

var readingDescs = func() (descs []*prometheus.Desc) {
	for _, r := range readings {
		descs = append(descs, prometheus.NewDesc(r.name, r.help, nil, nil))
	}
	return descs
}()

func truth(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func complete(holders []link.Holder) (n int) {
	for _, h := range holders {
		if h.Complete {
			n++
		}
	}
	return n
}

// Describe implements [prometheus.Collector].
func (s *Server) Describe(out chan<- *prometheus.Desc) {
	out <- requestsDesc
	for _, d := range readingDescs {
		out <- d
	}
}

// Collect implements [prometheus.Collector]. A node that doesn't serve has no metrics.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	var (
		st     link.Status
		counts [outcomes]uint64
	)
	l := s.loop.Load()
	if l == nil || !l.on(func() { st, counts = l.status(), l.counts }) {
		return
	}
	for o, name := range outcomeNames {
		out <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(counts[o]), name)
	}
	for i, r := range readings {
		out <- prometheus.MustNewConstMetric(readingDescs[i], r.kind, r.value(&st))
	}
}
