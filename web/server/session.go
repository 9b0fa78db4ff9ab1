package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"sync"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlstore"
	"github.com/session-interop/session-writer/writertest/encode"
)

// A Session is a session of whoever makes a request. It is safe for concurrent use, as are
// the Sessions of one request, and need not be closed. What is saved survives what the
// database's own commits survive.
//
// Requests of one visitor or user do not lose each other's entries, however many run at
// once: a Save merges its entries in one statement. Only somebody's first request should
// be one alone: each that comes without a cookie, and saves, makes an owner of its own.
type Session struct {
	handler *Handler
	r       *http.Request
	name    string
	// user is the user's id. It is empty for a visitor, and visit is who he is then.
	user  string
	visit *visit

	mu     sync.Mutex
	opened *sqlstore.Session
}

var (
	_ session.Writer = (*Session)(nil)
	_ session.Reader = (*Session)(nil)
)

// Open returns the session of whoever makes a request: a user's by Config.Identify, and
// otherwise a visitor's by his cookie, in a request that came through Wrap. Pages on the
// same origin sync the same session.
//
// Somebody who has no cookie has an empty session. His first Save makes him an owner, if
// Config.Admit does, and sets the cookie in the header. So it must come before that is
// written. After that, or when the handler has returned, it fails with ErrTooLate and
// saves nothing.
//
// The error wraps session.ErrConfig if the name is not acceptable. It is another if the
// request is for a host that is not this server's, if Identify refuses it, if it did not
// come through Wrap, or if the database does not answer. Error answers with any of them.
//
// Open refuses no request that another site has made: a handler that saves should have
// an http.CrossOriginProtection. But nobody becomes an owner by such a request, because
// browsers send it without the cookie of who is one already.
func (h *Handler) Open(_ http.ResponseWriter, r *http.Request, name string) (*Session, error) {
	s, err := h.open(r, name)
	if err != nil {
		return nil, fmt.Errorf("session %q: open: %w", name, err)
	}
	return s, nil
}

func (h *Handler) open(r *http.Request, name string) (*Session, error) {
	if err := sqlstore.CheckName(name); err != nil {
		return nil, err
	}
	if err := h.api.origins.check(r); err != nil {
		return nil, err
	}
	s := &Session{handler: h, r: r, name: name, visit: h.visitOf(r)}
	user, err := h.api.user(r)
	if err == nil && user != "" {
		_, err = h.api.ofUser(r, user) // which refuses a device that was revoked
	}
	if err != nil || user != "" {
		s.user = user
		return s, err
	}
	if s.visit == nil {
		return nil, errUnwrapped
	}
	_, err = s.visit.whose(func() (visitor, error) { return h.api.visitor(r) })
	return s, err
}

// Save implements session.Writer.
func (s *Session) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	opened, err := s.known(ctx)
	if opened != nil {
		return opened.Save(ctx, entries)
	}
	var list []encode.Entry
	if err == nil {
		list, err = encode.Entries(entries)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && len(list) > 0 {
		err = s.saveFirst(ctx, func(yield func(string, any) bool) {
			for _, e := range list {
				if !yield(e.Key, e.Value) {
					return
				}
			}
		})
	}
	return s.wrap("save", err)
}

// saveFirst makes an owner of somebody unknown, and saves. He gets his cookie only if
// something was saved.
func (s *Session) saveFirst(ctx context.Context, entries iter.Seq2[string, any]) error {
	v := s.visit
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.who.id != "": // by now
	case v.written || s.r.Context().Err() != nil:
		return ErrTooLate
	case s.handler.api.origins.isCrossOrigin(s.r):
		return crossOrigin
	case v.admitted.id == "":
		who, err := s.handler.api.admit(ctx, s.r)
		if err != nil {
			return err
		}
		v.admitted = who
	}
	opened, err := s.open(ctx, cmp.Or(v.who, v.admitted).id)
	if err == nil {
		err = opened.Save(ctx, entries)
	}
	if err == nil && v.who.id == "" {
		v.who = v.admitted
	}
	return err
}

// Remove removes entries, all of them or none, as one batch. Removing a key that is
// not there is no error.
func (s *Session) Remove(ctx context.Context, keys ...string) error {
	opened, err := s.known(ctx)
	if opened != nil {
		return opened.Remove(ctx, keys...)
	}
	return s.wrap("remove", errors.Join(err, encode.CheckKeys(keys...)))
}

// Clear removes all entries. What others save at the same moment stays.
func (s *Session) Clear(ctx context.Context) error {
	opened, err := s.known(ctx)
	if opened != nil {
		return opened.Clear(ctx)
	}
	return s.wrap("clear", err)
}

// Load returns all entries, their values as JSON texts. The map is never nil.
func (s *Session) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	opened, err := s.known(ctx)
	switch {
	case opened != nil:
		return opened.Load(ctx)
	case err != nil:
		return nil, s.wrap("load", err)
	}
	return map[string]json.RawMessage{}, nil
}

// Get decodes the value of a key into what into points to, as json.Unmarshal
// does, and reports whether the key is there. If into is nil, that is all it does.
func (s *Session) Get(ctx context.Context, key string, into any) (found bool, err error) {
	opened, err := s.known(ctx)
	if opened != nil {
		return opened.Get(ctx, key, into)
	}
	return false, s.wrap("get", err)
}

// known returns the session in the database, or nil if the visitor is unknown.
func (s *Session) known(ctx context.Context) (*sqlstore.Session, error) {
	id := s.owner()
	if id == "" {
		return nil, ctx.Err()
	}
	return s.open(ctx, id)
}

// owner returns the id of the owner, or an empty one of somebody unknown.
func (s *Session) owner() string {
	if s.user != "" {
		return s.user
	}
	return s.visit.known().id
}

// open returns an owner's session in the database.
func (s *Session) open(ctx context.Context, owner string) (*sqlstore.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != nil {
		return s.opened, nil
	}
	opened, err := s.handler.api.DB.Open(ctx, owner, s.name)
	if err == nil {
		s.opened = opened
	}
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
