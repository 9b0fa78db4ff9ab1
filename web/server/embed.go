package server

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"net/http"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// Embed returns what an HTML page has to contain so that its script opens the session
// with all that is in it now: a script element of the type application/json, with the id
// session- and the name. Browsers do not run it, so no Content-Security-Policy is in its
// way (HTML, "prepare the script element"). In the page,
//
//	open("cart", { initial: document.getElementById("session-cart")?.textContent })
//
// merges it, and what the server and the page render at first are equal. For somebody who
// has no session, it says so.
//
// The page is about one visitor or user. So no cache may keep it, not even the browser's,
// which would show it to the next user: its Cache-Control becomes no-store, whatever the
// program has set. Embed must come before the header is written. After that it fails with
// ErrTooLate.
//
// For text/template and templ, the text goes into the page as it is:
// @templ.Raw(embedded). It has the keys of what was removed, too, up to Limits.Entries.
func (h *Handler) Embed(w http.ResponseWriter, r *http.Request, name string) (template.HTML, error) {
	s, err := h.open(r, name)
	var now initial
	if err == nil {
		if err = s.keepPrivate(w); err == nil {
			now, err = h.api.whole(r.Context(), s.owner(), name)
		}
	}
	if err != nil {
		return "", fmt.Errorf("session %q: embed: %w", name, err)
	}
	// No text in it can end the element: it has \u003c in place of <.
	text, err := json.Marshal(now)
	if err != nil {
		return "", fmt.Errorf("session %q: embed: %w", name, err)
	}
	return template.HTML(`<script type="application/json" id="session-` + html.EscapeString(name) + `">` + string(text) + `</script>`), nil
}

// An initial is a session as a page is told of it that has exchanged nothing yet.
type initial struct {
	// Owner is the owner's tag, and empty for somebody unknown.
	Owner string `json:"owner"`
	// Cursor is empty if the owner has no such session.
	Cursor string `json:"cursor"`
	// Item has all that there is. It is empty if that is nothing.
	Item string `json:"item"`
}

// whole returns all of an owner's session, or nothing of somebody unknown.
func (s *sessions) whole(ctx context.Context, owner, name string) (initial, error) {
	if owner == "" {
		return initial{}, nil
	}
	tag := sqlstore.Tag(owner)
	got, err := s.DB.Exchange(ctx, owner, name, session.Sent{Owner: tag})
	return initial{tag, got.Cursor, got.Item}, err
}

// initial answers with what Embed would put into a page, for servers that render pages in
// another language.
func (s *sessions) initial(w http.ResponseWriter, r *http.Request) error {
	name, sent, err := asked(r.URL)
	if err != nil {
		return err
	}
	if sent != (session.Sent{}) {
		return malformed("the query must have a session, and nothing more")
	}
	// Its cookie is not set again: the answer is for a server.
	who, err := s.identify(r)
	if err != nil {
		return err
	}
	now, err := s.whole(r.Context(), who.id, name)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, now)
	return nil
}

// keepPrivate has no cache keep the response.
func (s *Session) keepPrivate(w http.ResponseWriter) error {
	if s.visit == nil { // the header is the program's to care for
		w.Header().Set("Cache-Control", "no-store")
		return nil
	}
	s.visit.mu.Lock()
	defer s.visit.mu.Unlock()
	if s.visit.written {
		return ErrTooLate
	}
	s.visit.private = true
	return nil
}
