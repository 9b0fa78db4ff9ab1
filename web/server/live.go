package server

import (
	"net/http"
	"strings"

	"github.com/session-interop/session-writer/web/sqlstore"
)

// A Live has devices told of changes at once. A *live.Hub of package web/live is one.
type Live interface {
	// New has it hear of what changes in Config.DB.
	sqlstore.Watcher

	// Address returns where a device of an owner may listen for a while, as a URL that is
	// relative to that of the session API: live, perhaps with a query. It is empty for
	// nowhere.
	Address(topic, device string) string

	// Listen answers the request for a WebSocket of a device, which comes from no page of
	// another site. If it returns an error, it has not answered.
	Listen(w http.ResponseWriter, r *http.Request, topic, device string) error

	// Close closes all sockets, and lets none be opened any more. It may be called again,
	// also while it runs, for what was to be told meanwhile.
	Close()
}

// NoLive is for Config.Live: pages ask at intervals.
var NoLive Live = noLive{}

type noLive struct{}

func (noLive) Changed(string, string, string) {}
func (noLive) Ended(string, string)           {}
func (noLive) Address(string, string) string  { return "" }
func (noLive) Close()                         {}

func (noLive) Listen(http.ResponseWriter, *http.Request, string, string) error {
	return problem{http.StatusNotFound, "not-found", "this server tells nobody of changes"}
}

// Close closes all sockets of GET /sessions/live, and lets none be opened any more. All else
// is served as before. Pages come back after a random time. A program calls it beside the
// Shutdown of its http.Server, which does not do so, and, with a live.Bus, once more after
// that: other processes hear of what the last requests have changed.
func (h *Handler) Close() { h.api.Live.Close() }

// isUpgrade reports whether a request is for a WebSocket (RFC 6455, section 4.2.1).
func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// listen has whoever makes a request told of changes, by a WebSocket.
func (s *sessions) listen(w http.ResponseWriter, r *http.Request) error {
	// Browsers send cookies with it whoever has made the page, and take it for no request
	// that changes anything.
	as := r.Clone(r.Context())
	as.Method = http.MethodPost
	if s.origins.isCrossOrigin(as) {
		return crossOrigin
	}
	who, err := s.identify(r)
	if err == nil && who.id == "" {
		err = problem{http.StatusUnauthorized, "identity", "it is not known whose sessions these are: an exchange comes first"}
	}
	if err != nil {
		return err
	}
	return s.Live.Listen(w, r, sqlstore.Topic(who.id), who.device)
}

// offer says in the header where a device may listen.
func (s *sessions) offer(w http.ResponseWriter, who visitor) {
	if at := s.Live.Address(sqlstore.Topic(who.id), who.device); at != "" {
		w.Header().Set("Session-Live", at)
	}
}
