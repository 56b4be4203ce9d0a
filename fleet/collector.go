package fleet

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/torc-dht/torc"
)

var _ prometheus.Collector = (*Table)(nil)

// family is counters that Prometheus sees as one metric, by a label, or one
// counter that has no label.
type family struct {
	name, help, label string
	of                []series
}

// series is one counter of a family; value is its label's.
type series struct {
	value   string
	counter counter
}

// families are what a table counts. docs/metrics.md lists them.
var families = []family{
	{"torc_fleet_gets_total", "GETs, by what came of them: a hit; a miss; a miss because no server that may hold the key could be asked; an error.", "result",
		[]series{{"hit", getHit}, {"miss", getMiss}, {"unreachable", getUnreachable}, {"error", getError}}},
	{"torc_fleet_puts_total", "PUTs, by what came of them: stored; refused, since their condition did not hold; unknown, since they may or may not have happened; an error.", "result",
		[]series{{"stored", putDone}, {"refused", putRefused}, {"unknown", putUnknown}, {"error", putError}}},
	{"torc_fleet_deletes_total", "DELETEs, by what came of them: deleted; absent, since there was nothing to delete; unknown, since they may or may not have happened; an error.", "result",
		[]series{{"deleted", deleteDone}, {"absent", deleteAbsent}, {"unknown", deleteUnknown}, {"error", deleteError}}},
	{"torc_fleet_hedged_reads_total", "Times that a read asked another copy because a server was slow to answer.", "", []series{{"", hedgedRead}}},
	{"torc_fleet_copy_reads_total", "Times that a read asked another copy because a server had no value.", "", []series{{"", copyRead}}},
	{"torc_fleet_write_retries_total", "Times that a PUT or DELETE was sent again, there or to whoever held the key by then.", "", []series{{"", writeRetry}}},
	{"torc_fleet_repairs_total", "Copies that a read found lacking and put there: done; lost, since somebody wrote meanwhile.", "result",
		[]series{{"done", repairDone}, {"lost", repairLost}}},
	{"torc_fleet_inquiries_total", "Reads that had to ask further whether a value is stale: taken, it was true; corrected, another one was; dropped, a miss.", "outcome",
		[]series{{"taken", inquiryTaken}, {"corrected", inquiryCorrected}, {"dropped", inquiryDropped}}},
	{"torc_fleet_fenced_values_total", "Values that were found and did not count, because they may be stale.", "", []series{{"", fencedValue}}},
	{"torc_fleet_former_lookups_total", "Look-ups at servers that held the key under an earlier view.", "", []series{{"", formerLookup}}},
	{"torc_fleet_tombstones_total", "Tombstones that DELETEs left.", "", []series{{"", tombstone}}},
	{"torc_fleet_view_waits_total", "Reads that waited for the view under which a value was written.", "", []series{{"", viewWait}}},
	{"torc_fleet_converge_checks_total", "PUTs whose copies were looked at again, in case another PUT had raced.", "", []series{{"", convergeCheck}}},
	{"torc_fleet_converge_corrections_total", "PUTs whose copies differed then and were made equal.", "", []series{{"", convergeCorrect}}},
	{"torc_fleet_rebalance_looked_total", "Copies of entries that a rebalance by this process looked at.", "", []series{{"", rebalanceLooked}}},
	{"torc_fleet_rebalance_copied_total", "Copies of entries that it made.", "", []series{{"", rebalanceCopied}}},
	{"torc_fleet_rebalance_removed_total", "Copies of entries that it removed as surplus.", "", []series{{"", rebalanceRemoved}}},
	{"torc_fleet_rebalance_copied_bytes_total", "Bytes of the values that it copied.", "", []series{{"", rebalanceBytes}}},
}

// gauge is one thing that can be read off a view.
type gauge struct {
	name, help, label string
	// values by the label's value; by "" for a gauge without a label.
	values func(v torc.View, now time.Time) map[string]float64
}

func one(f float64) map[string]float64 { return map[string]float64{"": f} }

var gauges = []gauge{
	{"torc_fleet_members", "Members of the fleet, by state.", "state", func(v torc.View, _ time.Time) map[string]float64 {
		n := map[string]float64{torc.Up.String(): 0, torc.Down.String(): 0, torc.Drained.String(): 0}
		for _, m := range v.Members {
			n[m.State.String()]++
		}
		return n
	}},
	{"torc_fleet_view_version", "The version of the view that this process goes by. It begins anew in a new generation.", "", func(v torc.View, _ time.Time) map[string]float64 {
		return one(float64(v.Version))
	}},
	{"torc_fleet_contact_lost_seconds", "For how long this process has been out of touch with whoever knows the members; 0 while it is in touch.", "", func(v torc.View, now time.Time) map[string]float64 {
		if v.LostContact.IsZero() {
			return one(0)
		}
		return one(max(now.Sub(v.LostContact).Seconds(), 0))
	}},
}

// desc is how Prometheus knows a metric of that name.
func desc(name, help, label string) *prometheus.Desc {
	var labels []string
	if label != "" {
		labels = []string{label}
	}
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (t *Table) Describe(out chan<- *prometheus.Desc) {
	for _, f := range families {
		out <- desc(f.name, f.help, f.label)
	}
	for _, g := range gauges {
		out <- desc(g.name, g.help, g.label)
	}
}

// Collect implements [prometheus.Collector]. It asks nobody, and goes on telling
// what was after Close. A program with several tables registers each under a label
// of its own (prometheus.WrapRegistererWith).
func (t *Table) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, label, labelValue string) {
		if label == "" {
			out <- prometheus.MustNewConstMetric(d, kind, value)
			return
		}
		out <- prometheus.MustNewConstMetric(d, kind, value, labelValue)
	}
	for _, f := range families {
		d := desc(f.name, f.help, f.label)
		for _, s := range f.of {
			send(d, prometheus.CounterValue, float64(t.metrics.load(s.counter)), f.label, s.value)
		}
	}
	view, now := t.routing.Load().view, time.Now()
	for _, g := range gauges {
		d := desc(g.name, g.help, g.label)
		for label, value := range g.values(view, now) {
			send(d, prometheus.GaugeValue, value, g.label, label)
		}
	}
}
