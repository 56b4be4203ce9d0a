package replica

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/web"
)

var _ prometheus.Collector = (*Server)(nil)

// outcome is what came of a client's operation.
type outcome int

const (
	outcomeDone outcome = iota
	outcomeMissing
	outcomeRefused
	outcomeFull
	outcomeUnavailable
	outcomeUnknown
	outcomes
)

var outcomeNames = [outcomes]string{"done", "missing", "refused", "full", "unavailable", "unknown"}

// counted are the kinds of operation that clients send.
var counted = []struct {
	kind msg.OpKind
	name string
}{{msg.Get, "get"}, {msg.Put, "put"}, {msg.Delete, "delete"}}

// counts are how many operations came to what end, by kind.
type counts [msg.Delete + 1][outcomes]uint64

func (c *counts) note(kind msg.OpKind, status msg.Status, err error) {
	if int(kind) < len(c) {
		c[kind][outcomeOf(status, err)]++
	}
}

func outcomeOf(status msg.Status, err error) outcome {
	switch {
	case err == web.ErrUnknown:
		return outcomeUnknown
	case err != nil:
		return outcomeUnavailable
	}
	switch status {
	case msg.NotFound:
		return outcomeMissing
	case msg.Exists, msg.Conflict, msg.Repeated:
		return outcomeRefused
	case msg.Full:
		return outcomeFull
	}
	return outcomeDone
}

const (
	requestsName = "torc_replica_requests_total"
	requestsHelp = "Requests that clients sent to this server, by what came of them: done; missing, since there was no such key; refused, since their condition did not hold; full, for want of memory; unavailable, and nothing was done; unknown, since a write may or may not have happened."
)

var requestsDesc = prometheus.NewDesc(requestsName, requestsHelp, []string{"op", "result"}, nil)

// reading is a metric that is read off a Status.
type reading struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*Status) float64
}

// readings are what a server tells of its table. docs/metrics.md lists them.
var readings = []reading{
	{"torc_replica_degraded", "1 if answers bear the label, since they may not be of the one history; else 0.", prometheus.GaugeValue,
		func(st *Status) float64 { return truth(st.Degraded) }},
	{"torc_replica_leader", "1 if this server leads, else 0.", prometheus.GaugeValue,
		func(st *Status) float64 { return truth(st.Leader == st.Self) }},
	{"torc_replica_leader_known", "1 if this server knows who leads, else 0: then it can't answer.", prometheus.GaugeValue,
		func(st *Status) float64 { return truth(st.Leader != "") }},
	{"torc_replica_servers", "Servers of the table that take part, this one included, as it sees them.", prometheus.GaugeValue,
		func(st *Status) float64 { return float64(st.present()) }},
	{"torc_replica_epoch", "The number of the epoch that this server belongs to; 0 while it belongs to none.", prometheus.GaugeValue,
		func(st *Status) float64 { return float64(st.Epoch.Number) }},
	{"torc_replica_view", "The number of the view within the epoch: it grows as servers come and go.", prometheus.GaugeValue,
		func(st *Status) float64 { return float64(st.View) }},
	{"torc_replica_term", "The number of the leader's term within the epoch.", prometheus.GaugeValue,
		func(st *Status) float64 { return float64(st.Term) }},
	{"torc_replica_applied_entries", "Entries of the epoch's log that this server has applied.", prometheus.GaugeValue,
		func(st *Status) float64 { return float64(st.Applied) }},
	{"torc_replica_keys", "Keys that there are.", prometheus.GaugeValue,
		func(st *Status) float64 { return float64(st.Keys) }},
	{"torc_replica_bytes", "Bytes that they and their values take, with what keeping them takes.", prometheus.GaugeValue,
		func(st *Status) float64 { return float64(st.Bytes) }},
	{"torc_replica_merged_writes_total", "Writes of degraded epochs that were given up, which this history took over.", prometheus.CounterValue,
		func(st *Status) float64 { return float64(st.Merged) }},
	{"torc_replica_dropped_writes_total", "Writes of degraded epochs that were given up, which it did not: they are lost.", prometheus.CounterValue,
		func(st *Status) float64 { return float64(st.Dropped) }},
}

// doorReading is a metric that is read off what was counted of connections.
type doorReading struct {
	name, help string
	kind       prometheus.ValueType
	value      func(web.Stats) float64
}

// doorReadings are listed in docs/metrics.md, too.
var doorReadings = []doorReading{
	{"torc_replica_connections", "Connections of clients that are open.", prometheus.GaugeValue,
		func(st web.Stats) float64 { return float64(st.Conns) }},
	{"torc_replica_connections_accepted_total", "Connections that clients and servers have made.", prometheus.CounterValue,
		func(st web.Stats) float64 { return float64(st.Accepted) }},
	{"torc_replica_too_much_total", "Connections that were too many, and requests and answers that there was no memory for.", prometheus.CounterValue,
		func(st web.Stats) float64 { return float64(st.Refused) }},
	{"torc_replica_bad_requests_total", "Requests that were refused for what they are.", prometheus.CounterValue,
		func(st web.Stats) float64 { return float64(st.Bad) }},
	{"torc_replica_slow_clients_total", "Requests that took too long to arrive, and answers that took too long to be read.", prometheus.CounterValue,
		func(st web.Stats) float64 { return float64(st.Slow) }},
	{"torc_replica_panics_total", "Mistakes of the server's own; each cost a connection.", prometheus.CounterValue,
		func(st web.Stats) float64 { return float64(st.Panics) }},
}

var (
	readingDescs     = descsOf(readings, func(r reading) (string, string) { return r.name, r.help })
	doorReadingDescs = descsOf(doorReadings, func(r doorReading) (string, string) { return r.name, r.help })
)

func descsOf[T any](of []T, what func(T) (name, help string)) (descs []*prometheus.Desc) {
	for _, r := range of {
		name, help := what(r)
		descs = append(descs, prometheus.NewDesc(name, help, nil, nil))
	}
	return descs
}

func truth(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// present counts the servers that take part.
func (st *Status) present() (n int) {
	for _, m := range st.Members {
		if m.State != MemberDown && m.State != MemberJoining {
			n++
		}
	}
	return n
}

// Describe implements [prometheus.Collector].
func (s *Server) Describe(out chan<- *prometheus.Desc) {
	out <- requestsDesc
	for _, d := range slices.Concat(readingDescs, doorReadingDescs) {
		out <- d
	}
}

// Collect implements [prometheus.Collector]. A server that doesn't serve has no
// metrics.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	var (
		st Status
		c  counts
	)
	l := s.loop.Load()
	if l == nil || !l.on(func() { st, c = l.status(), l.counts }) {
		return
	}
	for _, op := range counted {
		for o, name := range outcomeNames {
			out <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(c[op.kind][o]), op.name, name)
		}
	}
	for i, r := range readings {
		out <- prometheus.MustNewConstMetric(readingDescs[i], r.kind, r.value(&st))
	}
	door := s.front.Stats()
	for i, r := range doorReadings {
		out <- prometheus.MustNewConstMetric(doorReadingDescs[i], r.kind, r.value(door))
	}
}
