//go:build !js

// Package metrics has what a server does in Prometheus' form, for a program that serves its
// metrics with github.com/prometheus/client_golang. The command session-server does so.
//
// It is not part of package server, which is compiled into a Worker. There each request
// starts the program anew, so there is nothing to count, and the library would make the
// program 13 MB large in place of 8.
//
// The labels of a metric have no more values than this code has words for them. Nothing
// that a client sends becomes one.
package metrics

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
)

// Handler returns what a handler and its database do: server.Stats. Each process has its
// own counts.
func Handler(h *server.Handler) prometheus.Collector { return handler{h} }

type handler struct{ *server.Handler }

var (
	answers = describe("requests_total",
		"Requests that were answered, by the call of the session API (or page, or other), the status, and the code with which the API refused.",
		"call", "status", "reason")
	exchanges = describe("exchange_duration_seconds",
		"How long exchanges took, from the header of the request until the answer was written. A slow client's time is among it.")
	received = describe("received_bytes_total", "Bytes of the bodies of requests.", "call")
	sent     = describe("sent_bytes_total", "Bytes of the bodies of answers.", "call")

	bodies      = describe("bodies", "Bodies that are being read.")
	memory      = describe("body_memory_bytes", "Memory that is held for bodies and answers that are on their way.")
	maxMemory   = describe("body_memory_limit_bytes", "How much memory may be held for bodies and answers.")
	longWaiting = describe("long_exchanges_waiting", "Long exchanges that wait for others to end.")
	sockets     = describe("sockets", "Sockets by which devices are told of changes.")
	deaf        = describe("deaf", "1 while other processes are not heard, so that devices ask at intervals, and otherwise 0.")

	owners     = describe("new_owners_total", "Visitors who became owners.")
	merged     = describe("merged_entries_total", "Entries that were merged into sessions, removals included.")
	pruned     = describe("prunes_total", "How often all was deleted that had expired.")
	lastPruned = describe("last_prune_timestamp_seconds", "When that was last done, in seconds since 1970; missing before the first time.")
	working    = describe("calls_working", "Calls that use the database.")
	waiting    = describe("calls_waiting", "Calls that wait for the database.")

	fileBytes  = describe("database_bytes", "Size of the SQLite file, without its log.")
	freeBytes  = describe("database_free_bytes", "How much of the SQLite file has no rows.")
	limitBytes = describe("database_limit_bytes", "How large the SQLite file may grow.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("session_writer_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (h handler) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		answers, exchanges, received, sent, bodies, memory, maxMemory, longWaiting, sockets, deaf,
		owners, merged, pruned, lastPruned, working, waiting,
	} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (h handler) Collect(to chan<- prometheus.Metric) {
	stats := h.Stats()
	counter := func(desc *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
	}
	for a, n := range stats.Answers {
		counter(answers, n, a.Call, strconv.Itoa(a.Status), a.Reason)
	}
	for call, n := range stats.Received {
		counter(received, n, call)
	}
	for call, n := range stats.Sent {
		counter(sent, n, call)
	}
	took := stats.Exchanges
	to <- prometheus.MustNewConstHistogram(exchanges, took.Count, took.Sum.Seconds(), took.Within)
	counter(owners, stats.DB.Owners)
	counter(merged, stats.DB.Merged)
	counter(pruned, stats.DB.Pruned)
	if last := stats.DB.LastPruned; !last.IsZero() {
		gauge(to, lastPruned, float64(last.Unix()))
	}
	gauge(to, bodies, float64(stats.Bodies))
	gauge(to, memory, float64(stats.Memory))
	gauge(to, maxMemory, float64(stats.MaxMemory))
	gauge(to, longWaiting, float64(stats.LongWaiting))
	gauge(to, sockets, float64(stats.Sockets))
	if stats.Deaf {
		gauge(to, deaf, 1)
	} else {
		gauge(to, deaf, 0)
	}
	gauge(to, working, float64(stats.DB.Working))
	gauge(to, waiting, float64(stats.DB.Waiting))
}

// SQLite returns how large the file of a database is that sqlite.Open has opened.
func SQLite(db *sql.DB) prometheus.Collector { return file{db} }

type file struct{ *sql.DB }

// Describe implements prometheus.Collector.
func (f file) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{fileBytes, freeBytes, limitBytes} {
		to <- desc
	}
}

// patience is how long a scrape waits for the database. Prometheus itself waits for ten
// seconds by default (scrape_timeout).
const patience = 5 * time.Second

// Collect implements prometheus.Collector.
func (f file) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	size, err := sqlite.Measure(ctx, f.DB)
	if err != nil {
		to <- prometheus.NewInvalidMetric(fileBytes, err)
		return
	}
	gauge(to, fileBytes, float64(size.File))
	gauge(to, freeBytes, float64(size.Free))
	gauge(to, limitBytes, float64(size.Limit))
}

func gauge(to chan<- prometheus.Metric, desc *prometheus.Desc, value float64) {
	to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
}
