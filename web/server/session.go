package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"sync"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlstore"
	"github.com/session-interop/session-writer/writertest/encode"
)

// ErrTooLate means that a visitor's first save came after the header of the response was
// written, so that no cookie could tell whose session it is.
var ErrTooLate = errors.New("the header of the response is written already: somebody unknown can only get a cookie before that")

// A Session is a session of whoever makes a request. It is safe for concurrent use, also
// with the other Sessions of the request, and need not be closed. What is saved survives
// what the database's own commits survive.
//
// Requests of one visitor or user do not lose each other's entries, however many run at
// once: a Save merges its entries, in one statement, and waits for no lock.
type Session struct {
	handler *Handler
	w       http.ResponseWriter
	r       *http.Request
	name    string

	mu sync.Mutex
	// opened is nil as long as the visitor is unknown.
	opened *sqlstore.Session
}

var (
	_ session.Writer = (*Session)(nil)
	_ session.Reader = (*Session)(nil)
)

// Open returns the session of whoever makes a request: a user's by Config.Identify, and
// otherwise a visitor's by his cookie. Pages on the same origin sync the same session.
//
// Somebody who has no cookie has an empty session. His first Save makes him an owner, if
// Config.Admit does, and sets the cookie in the header of w. So it must come before the
// header is written. After that it fails with ErrTooLate and saves nothing, if w tells
// what was written, by a method Written() bool, as Wrap's and gin's do. No other
// ResponseWriter does. Then what he saves is lost.
//
// The error wraps session.ErrConfig if the name is not acceptable. It is another if the
// request is for a host that is not this server's, if Identify refuses it, or if the
// database does not answer. Error answers with any of them.
//
// Open refuses no request that another site has made: a handler that saves should have
// an http.CrossOriginProtection.
func (h *Handler) Open(w http.ResponseWriter, r *http.Request, name string) (*Session, error) {
	s, err := h.open(w, r, name)
	if err != nil {
		return nil, fmt.Errorf("session %q: open: %w", name, err)
	}
	return s, nil
}

func (h *Handler) open(w http.ResponseWriter, r *http.Request, name string) (*Session, error) {
	if err := sqlstore.CheckName(name); err != nil {
		return nil, err
	}
	s := &Session{handler: h, w: w, r: r, name: name}
	who, err := h.whose(w, r)
	if err == nil && who.id != "" {
		s.opened, err = h.api.DB.Open(r.Context(), who.id, name)
	}
	return s, err
}

// whose returns whose sessions a request is about. It sets a cookie that is to be set
// again.
func (h *Handler) whose(w http.ResponseWriter, r *http.Request) (visitor, error) {
	if err := h.api.origins.check(r); err != nil {
		return visitor{}, err
	}
	who, err := h.api.identify(r)
	if err == nil && who.id == "" {
		defer h.together(w)()
		who = h.remembered(w, r)
	} else if err == nil && who.stale && !written(w) {
		defer h.together(w)()
		h.api.remember(w, r, who)
	}
	return who, err
}

// Save implements session.Writer.
func (s *Session) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	opened := s.known()
	if opened == nil {
		// Nobody becomes an owner for what cannot be saved, or is nothing.
		list, err := encode.Entries(entries)
		if err != nil || len(list) == 0 {
			return s.wrap("save", errors.Join(err, ctx.Err()))
		}
		if opened, err = s.admitted(ctx); err != nil {
			return s.wrap("save", err)
		}
		entries = func(yield func(string, any) bool) {
			for _, e := range list {
				if !yield(e.Key, e.Value) {
					return
				}
			}
		}
	}
	return opened.Save(ctx, entries)
}

// Remove removes entries, all of them or none, as one batch. Removing a key that is
// not there is no error.
func (s *Session) Remove(ctx context.Context, keys ...string) error {
	if opened := s.known(); opened != nil {
		return opened.Remove(ctx, keys...)
	}
	return s.wrap("remove", errors.Join(encode.CheckKeys(keys...), ctx.Err()))
}

// Clear removes all entries. What others save at the same moment stays.
func (s *Session) Clear(ctx context.Context) error {
	if opened := s.known(); opened != nil {
		return opened.Clear(ctx)
	}
	return s.wrap("clear", ctx.Err())
}

// Load returns all entries, their values as JSON texts. The map is never nil.
func (s *Session) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	if opened := s.known(); opened != nil {
		return opened.Load(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, s.wrap("load", err)
	}
	return map[string]json.RawMessage{}, nil
}

// Get decodes the value of a key into what into points to, as json.Unmarshal
// does, and reports whether the key is there. If into is nil, that is all it does.
func (s *Session) Get(ctx context.Context, key string, into any) (found bool, err error) {
	if opened := s.known(); opened != nil {
		return opened.Get(ctx, key, into)
	}
	return false, s.wrap("get", ctx.Err())
}

// known returns the session in the database, or nil if the visitor is unknown.
func (s *Session) known() *sqlstore.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// admitted makes an owner of somebody unknown, unless another Session of the request has
// done so.
func (s *Session) admitted(ctx context.Context) (*sqlstore.Session, error) {
	defer s.handler.together(s.w)()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != nil {
		return s.opened, nil
	}
	who := s.handler.remembered(s.w, s.r)
	if who.id == "" {
		if written(s.w) {
			return nil, ErrTooLate
		}
		var err error
		if who, err = s.handler.api.admit(s.r.WithContext(ctx)); err != nil {
			return nil, err
		}
		s.handler.api.remember(s.w, s.r, who)
	}
	opened, err := s.handler.api.DB.Open(ctx, who.id, s.name)
	s.opened = opened
	return opened, err
}

// wrap says which session and call an error comes from.
func (s *Session) wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("session %q: %s: %w", s.name, call, err)
}

// Error answers a request with an error of Open, or of a Session's method, as the
// session API does: with a status, and a code and a sentence as JSON. What the client is
// not to be told is logged. Nothing of the answer may have been written.
func (h *Handler) Error(w http.ResponseWriter, r *http.Request, err error) {
	h.api.fail(w, r, err)
}

// remembered returns the visitor to whom the response already gives a cookie.
func (h *Handler) remembered(w http.ResponseWriter, r *http.Request) visitor {
	name := h.api.cookieName(r)
	for _, cookie := range (&http.Response{Header: w.Header()}).Cookies() {
		if who, ok := parseCookie(cookie.Value, today()); ok && cookie.Name == name {
			return who
		}
	}
	return visitor{}
}

// together has the Sessions of a response go one after the other. A header is no more
// safe for concurrent use than any map, and two of them must not make two owners. The
// caller calls done after that.
func (h *Handler) together(w http.ResponseWriter) (done func()) {
	// Of a ResponseWriter there are several, one in the other, and of its header one.
	lock := &h.headers[reflect.ValueOf(w.Header()).Pointer()/64%uintptr(len(h.headers))]
	lock.Lock()
	return lock.Unlock
}
