package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/crash"
	"github.com/torc-dht/torc/internal/textform"
	"github.com/torc-dht/torc/replica"
)

// monitor serves over HTTP what a service tells of itself: /metrics, /livez (the
// process answers) and /readyz (it can do its work).
type monitor struct {
	server *http.Server
	ended  chan error
}

// startMonitor serves h on addr, which the flag of that name gave, and says where, as
// the command.
func startMonitor(cmd *cobra.Command, flag, addr string, h http.Handler) (*monitor, error) {
	l, err := listen(flag, loopbackPort(addr))
	if err != nil {
		return nil, err
	}
	name, stderr := cmd.CommandPath(), cmd.ErrOrStderr()
	fmt.Fprintf(stderr, "%s: metrics on http://%s/metrics\n", name, l.Addr())
	m := &monitor{ended: make(chan error, 1)}
	m.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          log.New(stderr, name+": ", log.LstdFlags|log.Lmsgprefix),
	}
	go func() {
		defer crash.Guard()
		m.ended <- m.server.Serve(l)
	}()
	return m, nil
}

// loopbackPort is addr, or that port of loopback where addr is a port alone.
func loopbackPort(addr string) string {
	if strings.HasPrefix(addr, ":") {
		return "127.0.0.1" + addr
	}
	return addr
}

// registryOf has the metrics of the table, if it has some, of own, and of the
// process.
func registryOf(table torc.Table, own prometheus.Collector) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(own, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if c, ok := table.(prometheus.Collector); ok {
		registry.MustRegister(c)
	}
	return registry
}

// monitored serves the metrics of a registry, and is ready when the table's members
// are known.
func monitored(table torc.Table, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, q *http.Request) {
		v, err := viewNow(q.Context(), table)
		if err == nil && !v.LostContact.IsZero() {
			err = fmt.Errorf("out of touch with whoever knows the members, since %s", textform.Clock(v.LostContact))
		}
		if err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// administered serves what a replica's server has on its admin port, and its
// metrics.
func administered(s *replica.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.AdminHandler())
	mux.Handle("GET /metrics", promhttp.HandlerFor(registryOf(nil, s), promhttp.HandlerOpts{}))
	return mux
}

// Close ends the server; requests under way have a second.
func (m *monitor) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		_ = m.server.Close() // cuts off who is still at it
	}
	if err := <-m.ended; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// rebalanceCounts are the metrics of torc fleet rebalance.
type rebalanceCounts struct {
	leads        atomic.Bool
	done, failed atomic.Uint64
	last         atomic.Int64 // Unix time in nanoseconds of the last one that was done; 0: none
}

func (c *rebalanceCounts) ended(err error, at time.Time) {
	if err != nil {
		c.failed.Add(1)
		return
	}
	c.done.Add(1)
	c.last.Store(at.UnixNano())
}

var (
	leadsDesc = prometheus.NewDesc("torc_fleet_rebalance_leader", "1 if of those who rebalance this fleet this process leads, else 0.", nil, nil)
	runsDesc  = prometheus.NewDesc("torc_fleet_rebalance_runs_total", "Rebalances, by what came of them: done or failed.", []string{"result"}, nil)
	lastDesc  = prometheus.NewDesc("torc_fleet_rebalance_last_success_timestamp_seconds", "When the last rebalance was done, in Unix time; 0 if none was.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (c *rebalanceCounts) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{leadsDesc, runsDesc, lastDesc} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *rebalanceCounts) Collect(out chan<- prometheus.Metric) {
	leads := 0.0
	if c.leads.Load() {
		leads = 1
	}
	out <- prometheus.MustNewConstMetric(leadsDesc, prometheus.GaugeValue, leads)
	out <- prometheus.MustNewConstMetric(runsDesc, prometheus.CounterValue, float64(c.done.Load()), "done")
	out <- prometheus.MustNewConstMetric(runsDesc, prometheus.CounterValue, float64(c.failed.Load()), "failed")
	out <- prometheus.MustNewConstMetric(lastDesc, prometheus.GaugeValue, float64(c.last.Load())/1e9)
}
