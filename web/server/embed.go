package server

import (
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
// The page is about one visitor or user. So the response gets a Cache-Control and a Vary,
// unless it has a Cache-Control. Embed must come before the header is written.
//
// For text/template and templ, the text goes into the page as it is:
// @templ.Raw(embedded).
func (h *Handler) Embed(w http.ResponseWriter, r *http.Request, name string) (template.HTML, error) {
	now, err := h.initial(w, r, name)
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

func (h *Handler) initial(w http.ResponseWriter, r *http.Request, name string) (initial, error) {
	if err := sqlstore.CheckName(name); err != nil {
		return initial{}, err
	}
	who, err := h.whose(w, r)
	if err != nil {
		return initial{}, err
	}
	if header := w.Header(); header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", "private, no-cache")
		header.Add("Vary", "Cookie")
	}
	if who.id == "" {
		return initial{}, nil
	}
	tag := sqlstore.Tag(who.id)
	got, err := h.api.DB.Exchange(r.Context(), who.id, name, session.Sent{Owner: tag})
	return initial{tag, got.Cursor, got.Item}, err
}

// serveInitial answers with what Embed would put into a page, for servers that render
// pages in another language.
func (h *Handler) serveInitial(w http.ResponseWriter, r *http.Request) error {
	name, sent, err := asked(r.URL)
	if err != nil {
		return err
	}
	if sent != (session.Sent{}) {
		return malformed("the query must have a session, and nothing more")
	}
	now, err := h.initial(w, r, name)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, now)
	return nil
}
