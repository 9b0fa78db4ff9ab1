package main

import (
	"io"
	"net/http"
	"sync"
)

// maxDrained is how much of a body is read that a handler leaves: as much again as
// it takes at most.
const maxDrained = 2 << 20

// drained has handler's requests read to their end before the response, which
// net/http sees to natively. Otherwise workerd closes the connection after the
// response without saying so, and the next request on it fails.
func drained(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		drain := sync.OnceFunc(func() {
			// An error means that there is no more to read.
			_, _ = io.CopyN(io.Discard, r.Body, maxDrained)
		})
		defer drain()
		handler.ServeHTTP(drainingWriter{w, drain}, r)
	})
}

type drainingWriter struct {
	http.ResponseWriter
	drain func()
}

func (w drainingWriter) Write(body []byte) (int, error) {
	w.drain()
	return w.ResponseWriter.Write(body)
}
