package server

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/session-interop/session-writer/web/sqlstore"
)

// Stats are what a Handler has done since New, and what it does at the moment. Package
// web/metrics has them in Prometheus' form.
type Stats struct {
	// Answers counts the requests that were answered.
	Answers map[Answer]uint64
	// Received and Sent are the bytes of bodies, of requests and of answers, by
	// Answer.Call.
	Received, Sent map[string]uint64
	// Exchanges has how long exchanges took, also refused ones: from the header of the
	// request until the answer was written. A slow client's time is among it.
	Exchanges Histogram
	// Bodies is how many bodies are being read.
	Bodies int
	// Memory is how many bytes are held for bodies and answers that are on their way,
	// and MaxMemory how many may be. The first 16 KiB of each request do not count.
	Memory, MaxMemory int
	// LongWaiting is how many long exchanges wait for others to end.
	LongWaiting int
	// Sockets is how many sockets of GET /sessions/live are open. It is 0 if Config.Live has
	// no method Count, as a *live.Hub has.
	Sockets int
	// Deaf says that there are no sockets because changes of other processes are not heard. It
	// is false if Config.Live has no method Deaf, as a *live.Hub has.
	Deaf bool
	// DB has those of Config.DB, which other code may use, too.
	DB sqlstore.Stats
}

// An Answer says how a request was answered. A client cannot make up any part of it, so
// there are few.
type Answer struct {
	// Call is exchange, pair, join, devices, rename, revoke, session, owner, initial,
	// health or live, which stand for a path below /sessions/, or other for what else is below that. It is page for all other
	// paths.
	Call string
	// Status is the status code: 101 for a request that has become a socket.
	Status int
	// Reason is the code with which the session API refused, such as busy. It is empty
	// for an answer that is no such refusal.
	Reason string
}

// A Histogram counts durations.
type Histogram struct {
	// Count is how many there were, and Sum how long they took together.
	Count uint64
	Sum   time.Duration
	// Within has how many took up to each of some bounds, in seconds.
	Within map[float64]uint64
}

// bounds are those of Histogram.Within. An exchange takes a millisecond or so; nobody
// waits longer than the last one for anything but a slow line.
var bounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Stats returns what the handler has done and does.
func (h *Handler) Stats() Stats {
	s := h.api
	stats := s.counts.stats()
	stats.Bodies = s.incoming.count()
	stats.Memory, stats.MaxMemory = s.memory.inUse(), s.memory.total
	_, stats.LongWaiting = s.long.Count()
	if live, ok := s.Live.(interface{ Count() int }); ok {
		stats.Sockets = live.Count()
	}
	if live, ok := s.Live.(interface{ Deaf() bool }); ok {
		stats.Deaf = live.Deaf()
	}
	stats.DB = s.DB.Stats()
	return stats
}

// calls are the paths that Answer.Call names.
var calls = map[string]string{
	"/sessions/exchange": "exchange",
	"/sessions/pair":     "pair",
	"/sessions/join":     "join",
	"/sessions/devices":  "devices",
	"/sessions/rename":   "rename",
	"/sessions/revoke":   "revoke",
	"/sessions/session":  "session",
	"/sessions/owner":    "owner",
	"/sessions/initial":  "initial",
	healthPath:           "health",
	livePath:             "live",
}

// counts are the parts of Stats that only grow.
type counts struct {
	mu        sync.Mutex
	answers   map[Answer]uint64
	received  map[string]uint64
	sent      map[string]uint64
	exchanges uint64
	took      time.Duration
	// within counts what took up to each of bounds, and longer than the bound before.
	within []uint64
}

func newCounts() *counts {
	return &counts{
		answers: make(map[Answer]uint64), received: make(map[string]uint64), sent: make(map[string]uint64),
		within: make([]uint64, len(bounds)),
	}
}

func (c *counts) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := Stats{
		Answers: maps.Clone(c.answers), Received: maps.Clone(c.received), Sent: maps.Clone(c.sent),
		Exchanges: Histogram{c.exchanges, c.took, make(map[float64]uint64)},
	}
	sum := uint64(0)
	for i, bound := range bounds {
		sum += c.within[i]
		stats.Exchanges.Within[bound] = sum
	}
	return stats
}

// A counted is the ResponseWriter of a request that is counted.
type counted struct {
	http.ResponseWriter
	began          time.Time
	call           string
	status         int
	reason         string
	received, sent int64
}

func newCounted(w http.ResponseWriter, r *http.Request) *counted {
	c := &counted{ResponseWriter: w, began: time.Now(), status: http.StatusOK, call: calls[r.URL.Path]}
	switch {
	case c.call != "":
	case strings.HasPrefix(r.URL.Path, "/sessions/"):
		c.call = "other"
	default:
		c.call = "page"
	}
	return c
}

// add counts a request that was answered.
func (c *counts) add(w *counted) {
	took := time.Since(w.began)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[Answer{w.call, w.status, w.reason}]++
	c.received[w.call] += uint64(w.received)
	c.sent[w.call] += uint64(w.sent)
	if w.call != "exchange" {
		return
	}
	c.exchanges++
	c.took += took
	if i, _ := slices.BinarySearch(bounds, took.Seconds()); i < len(bounds) {
		c.within[i]++
	}
}

func (c *counted) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent += int64(n)
	return n, err
}

// ReadFrom is what io.Copy calls. net/http has the system send files by that.
func (c *counted) ReadFrom(from io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, from)
	c.sent += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
