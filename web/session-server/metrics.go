//go:build !js

package main

import (
	"log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serveMetrics serves metrics at /metrics of an address of their own, until the listener
// that it returns is closed. What browsers can reach has no metrics.
func serveMetrics(addr string, logger *log.Logger, those ...prometheus.Collector) (net.Listener, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(those...)
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: logger,
		// A database that does not answer is a reason to look at all the others.
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	}))
	listening := &http.Server{
		Handler:        mux,
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       logger,
	}
	go func() { _ = listening.Serve(listener) }()
	return listener, nil
}

var connectionsOpen = prometheus.NewDesc("session_writer_connections", "Connections that are open.", nil, nil)

// Describe implements prometheus.Collector.
func (c *connections) Describe(to chan<- *prometheus.Desc) { to <- connectionsOpen }

// Collect implements prometheus.Collector.
func (c *connections) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(connectionsOpen, prometheus.GaugeValue, float64(c.count()))
}
