//go:build !js

package metrics_test

import (
	"database/sql"
	"maps"
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
	"github.com/session-interop/session-writer/web/metrics"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// start starts a server of sessions, and one of its metrics.
func start(t *testing.T) (file *sql.DB, db *sqlstore.DB, sessions *httptest.Server, metricsURL string) {
	t.Helper()
	file, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), sqlite.Config{MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	db = sqlstore.New(file, sqlstore.Limits{})
	if err := db.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	handler, err := server.New(server.Config{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	sessions = httptest.NewServer(handler)
	t.Cleanup(sessions.Close)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.Handler(handler), metrics.SQLite(file))
	scraped := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	t.Cleanup(scraped.Close)
	return file, db, sessions, scraped.URL
}

// scrape returns what Prometheus gets, in the text form.
func scrape(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if form := res.Header.Get("Content-Type"); res.StatusCode != 200 || !strings.HasPrefix(form, "text/plain; version=0.0.4") {
		t.Fatalf("got %d %s, want the text form 0.0.4", res.StatusCode, form)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value returns the value of a metric with labels, which are names and values in turn, or
// NaN if there is none.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	for _, m := range families[name].GetMetric() {
		var has []string
		for _, label := range m.GetLabel() {
			has = append(has, label.GetName(), label.GetValue())
		}
		if strings.Join(has, " ") == strings.Join(labels, " ") {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return math.NaN()
}

func TestMetrics(t *testing.T) {
	file, db, sessions, metricsURL := start(t)
	if got := value(scrape(t, metricsURL), "session_writer_last_prune_timestamp_seconds"); !math.IsNaN(got) {
		t.Errorf("before the first time, it was pruned at %v", got)
	}

	// Browsers save while somebody scrapes.
	const browsers, saves = 3, 10
	var wg sync.WaitGroup
	for range browsers {
		wg.Go(func() {
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Error(err)
				return
			}
			cart, err := session.Open(t.Context(), session.NewMemory(), "cart", session.Config{})
			if err != nil {
				t.Error(err)
				return
			}
			replica := client.New(&http.Client{Jar: jar}, sessions.URL+"/sessions/")("cart")
			for n := range saves {
				if err := cart.Save(t.Context(), maps.All(map[string]any{"a": n, "b": n})); err != nil {
					t.Error(err)
				}
				if err := cart.Sync(t.Context(), replica); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range saves {
		scrape(t, metricsURL)
	}
	wg.Wait()
	res, err := http.Get(sessions.URL + "/sessions/pair")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if err := db.Prune(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	sessions.Close() // so that all are counted

	got := scrape(t, metricsURL)
	for _, test := range []struct {
		name   string
		least  float64
		most   float64
		labels []string
	}{
		// A browser asks who it is before it first saves, which is answered with all.
		{"session_writer_requests_total", browsers, browsers, []string{"call", "exchange", "reason", "", "status", "200"}},
		{"session_writer_requests_total", browsers * saves, browsers * (saves + 1), []string{"call", "exchange", "reason", "", "status", "204"}},
		{"session_writer_requests_total", 1, 1, []string{"call", "pair", "reason", "method", "status", "405"}},
		{"session_writer_exchange_duration_seconds", browsers * (saves + 1), browsers * (saves + 2), nil},
		{"session_writer_received_bytes_total", browsers * saves * 80, 1e6, []string{"call", "exchange"}},
		{"session_writer_sent_bytes_total", browsers * 80, 1e6, []string{"call", "exchange"}},
		{"session_writer_merged_entries_total", browsers * saves * 2, browsers * saves * 2, nil},
		{"session_writer_new_owners_total", browsers, browsers, nil},
		{"session_writer_prunes_total", 1, 1, nil},
		{"session_writer_last_prune_timestamp_seconds", float64(time.Now().Unix() - 60), float64(time.Now().Unix()), nil},
		{"session_writer_bodies", 0, 0, nil},
		{"session_writer_body_memory_bytes", 0, 0, nil},
		{"session_writer_body_memory_limit_bytes", 32 << 20, 32 << 20, nil},
		{"session_writer_long_exchanges_waiting", 0, 0, nil},
		{"session_writer_sockets", 0, 0, nil},
		{"session_writer_calls_working", 0, 0, nil},
		{"session_writer_calls_waiting", 0, 0, nil},
		{"session_writer_database_bytes", 4096, 1e6, nil},
		{"session_writer_database_free_bytes", 0, 1e6, nil},
		{"session_writer_database_limit_bytes", 64 << 20, 64 << 20, nil},
	} {
		if n := value(got, test.name, test.labels...); !(n >= test.least && n <= test.most) {
			t.Errorf("%s%q is %v, want from %v to %v", test.name, test.labels, n, test.least, test.most)
		}
	}
	for name, family := range got {
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(families(got)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("Prometheus' linter says %v, %v", problems, err)
	}

	// What else there is is still told.
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	got = scrape(t, metricsURL)
	if n := value(got, "session_writer_new_owners_total"); n != browsers {
		t.Errorf("without a database there are %v owners, want %d", n, browsers)
	}
	if n := value(got, "session_writer_database_bytes"); !math.IsNaN(n) {
		t.Errorf("without a database it has %v bytes", n)
	}
}

func TestTheWorkerDoesWithoutTheLibrary(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "../worker")
	list.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	imported, err := list.Output()
	if err != nil || !strings.Contains(string(imported), "web/server\n") {
		t.Fatalf("go list: %v, %s", err, imported)
	}
	if strings.Contains(string(imported), "prometheus") {
		t.Error("the Worker imports Prometheus' library")
	}
}

func families(of map[string]*dto.MetricFamily) (all []*dto.MetricFamily) {
	for _, family := range of {
		all = append(all, family)
	}
	return all
}
