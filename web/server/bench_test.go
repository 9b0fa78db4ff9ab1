//go:build !js

package server

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// plain returns a handler that does without all that this package is for: it
// inserts the entries that it gets one by one, as such handlers do.
func plain(b *testing.B, db *sql.DB) http.Handler {
	if _, err := db.Exec(`CREATE TABLE plain (
		owner TEXT, session TEXT, key TEXT, stamp TEXT, value TEXT, PRIMARY KEY (owner, session, key)) WITHOUT ROWID`); err != nil {
		b.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var items []struct {
			Batches []struct {
				Stamp string
				Set   map[string]json.RawMessage
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&items); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for _, batch := range items[0].Batches {
			for key, value := range batch.Set {
				if _, err := db.ExecContext(r.Context(), `INSERT INTO plain (owner, session, key, stamp, value) VALUES (?, ?, ?, ?, ?)
					ON CONFLICT DO UPDATE SET stamp = excluded.stamp, value = excluded.value WHERE excluded.stamp > stamp`,
					r.Header.Get("Owner"), r.URL.Query().Get("session"), key, batch.Stamp, string(value)); err != nil {
					http.Error(w, err.Error(), http.StatusServiceUnavailable)
					return
				}
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// BenchmarkExchange has clients exchange over loopback as fast as they can, with
// this server and, in turn, with a plain one on the same kind of file. They are
// eight clients, two of each owner, that save some of a hundred keys each time.
func BenchmarkExchange(b *testing.B) {
	for _, entries := range []int{1, 20} {
		b.Run(fmt.Sprint("entries=", entries), func(b *testing.B) {
			open := func() *sql.DB {
				db, err := sqlite.Open(filepath.Join(b.TempDir(), "bench.db"), sqlite.Config{})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = db.Close() })
				return db
			}
			d := sqlstore.New(open(), sqlstore.Limits{})
			if err := d.Create(b.Context()); err != nil {
				b.Fatal(err)
			}
			ours := httptest.NewServer(mustNew(b, Config{DB: d}))
			defer ours.Close()
			theirs := httptest.NewServer(plain(b, open()))
			defer theirs.Close()

			var our, their load
			b.ResetTimer()
			const blocks = 4 // in turn, so that both have the same machine
			for range blocks {
				our.run(b, ours.URL, b.N/blocks+1, entries)
				their.run(b, theirs.URL, b.N/blocks+1, entries)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(our.rate(), "exchanges/s")
			b.ReportMetric(our.p99(), "p99-ms")
			b.ReportMetric(their.rate(), "plain/s")
			b.ReportMetric(their.p99(), "plain-p99-ms")
			b.ReportMetric(our.rate()/their.rate(), "times-as-many")
			b.ReportMetric(our.p99()/their.p99(), "times-the-p99")
		})
	}
}

// A load is what was measured of a server.
type load struct {
	took  time.Duration
	times []time.Duration
	n     atomic.Int64
}

func (l *load) rate() float64 { return float64(len(l.times)) / l.took.Seconds() }

func (l *load) p99() float64 {
	slices.Sort(l.times)
	return l.times[len(l.times)*99/100].Seconds() * 1000
}

// run makes n exchanges.
func (l *load) run(b *testing.B, url string, n, entries int) {
	const owners, devices = 4, 2
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(n))
	var clients [owners]*http.Client
	var tags [owners]string // empty with a plain server
	for owner := range owners {
		jar, err := cookiejar.New(nil)
		if err != nil {
			b.Fatal(err)
		}
		clients[owner] = &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: devices}}
		defer clients[owner].CloseIdleConnections()
		res, err := clients[owner].Post(url+"/sessions/pair", "", nil) // gets the cookie
		if err != nil {
			b.Fatal(err)
		}
		_ = res.Body.Close()
		tags[owner] = res.Header.Get("Session-Owner")
	}
	start := time.Now()
	var wg sync.WaitGroup
	for owner := range owners {
		for range devices {
			wg.Go(func() {
				cursor := ""
				for left.Add(-1) >= 0 {
					k := l.n.Add(1)
					var set []string
					for i := range entries {
						set = append(set, fmt.Sprintf(`"key%d":{"value":%d,"text":"some text, as entries have it"}`, (int(k)*7+i)%100, k))
					}
					req, err := http.NewRequestWithContext(b.Context(), "POST", url+"/sessions/exchange?session=cart&owner="+tags[owner]+"&cursor="+cursor,
						strings.NewReader("["+item(`"set":{`+strings.Join(set, ",")+`}`)+"]"))
					if err != nil {
						b.Error(err)
						return
					}
					req.Header.Set("Content-Type", "application/json")
					req.Header.Set("Owner", fmt.Sprint(owner))
					began := time.Now()
					res, err := clients[owner].Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					took := time.Since(began)
					switch res.StatusCode {
					case 200, 204:
						cursor = res.Header.Get("Session-Cursor")
					default:
						b.Errorf("got %s", res.Status)
						return
					}
					mu.Lock()
					l.times = append(l.times, took)
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	l.took += time.Since(start)
}
