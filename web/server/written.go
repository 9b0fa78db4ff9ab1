package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// Wrap returns a handler that calls next with a ResponseWriter that tells whether its
// header is written. By that a Session refuses what somebody unknown saves too late: see
// Handler.Open. It is middleware for any router that has net/http's.
func (h *Handler) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		telling := &telling{ResponseWriter: w}
		defer telling.written.Store(true) // whatever is left running comes too late
		next.ServeHTTP(telling, r)
	})
}

// A telling is a ResponseWriter that tells whether its header is written.
type telling struct {
	http.ResponseWriter
	written atomic.Bool
}

// Written reports whether the header is written.
func (t *telling) Written() bool { return t.written.Load() }

// WriteHeader notes that no header can be set any more, unless the status is one of
// those before the last (RFC 9110, section 15.2).
func (t *telling) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		t.written.Store(true)
	}
	t.ResponseWriter.WriteHeader(status)
}

func (t *telling) Write(p []byte) (int, error) {
	t.written.Store(true)
	return t.ResponseWriter.Write(p)
}

// ReadFrom is what io.Copy calls. net/http has the system send files by that.
func (t *telling) ReadFrom(from io.Reader) (int64, error) {
	t.written.Store(true)
	return io.Copy(t.ResponseWriter, from)
}

// FlushError is for http.ResponseController, and Flush for who asserts an http.Flusher.
func (t *telling) FlushError() error {
	t.written.Store(true)
	return http.NewResponseController(t.ResponseWriter).Flush()
}

func (t *telling) Flush() { _ = t.FlushError() }

// Hijack is for who asserts an http.Hijacker.
func (t *telling) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	t.written.Store(true)
	return http.NewResponseController(t.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (t *telling) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// written reports whether the header of a response is written, if it is known.
func written(w http.ResponseWriter) bool {
	for {
		if w, ok := w.(interface{ Written() bool }); ok {
			return w.Written()
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = inner.Unwrap()
	}
}
