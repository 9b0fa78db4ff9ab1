package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/session-interop/session-writer/web/sqlstore"
)

// A Live has devices told of changes at once. A *live.Hub of package web/live is one.
type Live interface {
	// New has it hear of what changes in Config.DB.
	sqlstore.Watcher

	// Address returns where a device of an owner may listen for a while, as a URL that is
	// relative to that of the session API: live, perhaps with a query. It is empty for
	// nowhere. The device is not.
	Address(topic, device string) string

	// Listen answers the request for a WebSocket of a device, which comes from no page of
	// another site. If it returns an error, it has not answered. The device is to come again
	// after most, unless that is 0, or after live.Lifetime, if that is less.
	Listen(w http.ResponseWriter, r *http.Request, topic, device string, most time.Duration) error

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

func (noLive) Listen(http.ResponseWriter, *http.Request, string, string, time.Duration) error {
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
	if s.draining.Load() {
		return aboutToEnd
	}
	who, err := s.identify(r)
	if err == nil && who.device == "" {
		err = problem{http.StatusUnauthorized, "identity", "it is not known whose device this is: an exchange comes first, which gives it a cookie"}
	}
	if err != nil {
		return err
	}
	// A socket is open for longer than devices are remembered.
	known, found, err := s.DB.LookUpDevice(r.Context(), who.secret, s.lifetimes())
	switch {
	case err != nil:
		return err
	case !found || known.Ended:
		return ended
	}
	return s.Live.Listen(w, r, sqlstore.Topic(who.id), who.device, s.listens())
}

// listens returns how long a device may listen without coming, or 0: it would not be known that
// it is still here, or that it has no access any more.
func (s *sessions) listens() time.Duration {
	most := s.Idle / 2
	if s.Lifetime > 0 && (most == 0 || most > s.Lifetime) {
		most = s.Lifetime
	}
	return most
}

// offer says in the header where a device may listen. Who has none could not be told that it has
// no access any more.
func (s *sessions) offer(w http.ResponseWriter, who visitor) {
	if who.device == "" {
		return
	}
	if at := s.Live.Address(sqlstore.Topic(who.id), who.device); at != "" {
		w.Header().Set("Session-Live", at)
	}
}
