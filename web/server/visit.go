package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// ErrTooLate means that the header of the response is written already. Somebody unknown can
// only get a cookie before that, and without one nobody could tell whose session it is.
var ErrTooLate = errors.New("the header of the response is written already")

// errUnwrapped tells a programmer what is missing.
var errUnwrapped = errors.New("server: the request did not come through Handler.Wrap, so a visitor could get no cookie: serve Wrap(program's handler)")

// Wrap returns a handler that calls next for requests in which Open finds the sessions of
// visitors. It is middleware for any router that has net/http's. It sets the cookie when
// the header is written, so it should be outside of whatever writes into another
// ResponseWriter, such as http.TimeoutHandler.
func (h *Handler) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.visitOf(r) != nil {
			next.ServeHTTP(w, r) // it is wrapped twice
			return
		}
		to, r := h.visit(w, r)
		// Where nothing is written, net/http writes the header after this. What the
		// handler has left running comes too late.
		defer to.begin()
		next.ServeHTTP(to, r)
	})
}

// visit returns a response and a request as a wrapped handler gets them.
func (h *Handler) visit(w http.ResponseWriter, r *http.Request) (visited, *http.Request) {
	v := &visit{setCookie: func(who visitor) { h.api.remember(w, r, who) }}
	return visited{w, v}, r.WithContext(context.WithValue(r.Context(), visitKey{h}, v))
}

// visitKey is the key of a visit among the values of a request's context.
type visitKey struct{ *Handler }

// visitOf returns the visit that a request is, or nil if it did not come through Wrap.
func (h *Handler) visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{h}).(*visit)
	return v
}

// A visit is what the Sessions of one request share.
type visit struct {
	// setCookie sets the cookie in the header.
	setCookie func(visitor)

	// mu is held while somebody unknown becomes an owner. The header waits for that.
	mu sync.Mutex
	// asked says that who is known, or unknown.
	asked bool
	who   visitor
	// admitted is an owner who has saved nothing yet.
	admitted visitor
	// private says that the response must not be kept by any cache.
	private bool
	// written says that nothing can be set in the header any more.
	written bool
}

// whose returns the visitor, whom find finds in the request.
func (v *visit) whose(find func() (visitor, error)) (who visitor, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.asked {
		if v.who, err = find(); err != nil {
			return visitor{}, err
		}
		v.asked = true
	}
	return v.who, nil
}

// known returns the visitor as he is now.
func (v *visit) known() visitor {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.who
}

// A visited is the ResponseWriter of a visit.
type visited struct {
	http.ResponseWriter
	*visit
}

// begin sets what is to be in the header before that is written.
func (w visited) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.written {
		return
	}
	w.written = true
	if w.who.id != "" && w.who.stale {
		w.setCookie(w.who)
		w.who.stale = false
		// So that no cache gives somebody's cookie to others (RFC 9111, section 5.2.2.4).
		w.Header().Add("Cache-Control", `no-cache="Set-Cookie"`)
		w.Header().Add("Vary", "Cookie")
	}
	if w.private {
		w.Header().Set("Cache-Control", "no-store")
	}
}

// unless has the header count as not written if a ResponseWriter cannot do what would have
// written it.
func (w visited) unless(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.written = false
	}
	return err
}

// WriteHeader writes the header, unless the status is one of those before the last (RFC
// 9110, section 15.2).
func (w visited) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.begin()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w visited) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

// ReadFrom is what io.Copy calls. net/http has the system send files by that.
func (w visited) ReadFrom(from io.Reader) (int64, error) {
	w.begin()
	return io.Copy(w.ResponseWriter, from)
}

// FlushError is for http.ResponseController, and Flush for who asserts an http.Flusher.
func (w visited) FlushError() error {
	w.begin()
	return w.unless(http.NewResponseController(w.ResponseWriter).Flush())
}

func (w visited) Flush() { _ = w.FlushError() }

// Hijack is for who asserts an http.Hijacker, too. What was to be in the header is not.
func (w visited) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.begin()
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	return conn, buffered, w.unless(err)
}

// Unwrap is for http.ResponseController.
func (w visited) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// isWritten reports whether nothing can be set in the header any more.
func (v *visit) isWritten() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.written
}
