//go:build !js

package metrics_test

import (
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/session-interop/session-writer/web/metrics"
	"github.com/session-interop/session-writer/web/server"
)

// A program serves the metrics of its sessions with its own.
func Example() {
	var handler *server.Handler // by server.New
	prometheus.MustRegister(metrics.Handler(handler))

	// On an address that only Prometheus can reach.
	http.Handle("GET /metrics", promhttp.Handler())
	log.Fatal(http.ListenAndServe("127.0.0.1:9090", nil))
}
