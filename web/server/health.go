package server

import "net/http"

// The paths at which a supervisor or a load balancer asks how the server is.
const (
	healthPath = "/sessions/health"
	livePath   = "/sessions/live"
)

// isProbe reports whether a request asks how the server is. It may know the server by any
// name, such as an address in a cluster.
func isProbe(r *http.Request) bool {
	return r.URL.Path == healthPath || r.URL.Path == livePath && !isUpgrade(r)
}

// Drain has GET /sessions/health fail from now on, so that load balancers send no more
// requests, and refuses new sockets, so that devices come to another server for one. All other
// requests are answered as before. Call it some time before the server's Shutdown: for as long
// as load balancers take to notice.
func (h *Handler) Drain() { h.api.draining.Store(true) }

// aboutToEnd refuses what another server is to do.
var aboutToEnd = problem{http.StatusServiceUnavailable, "unavailable", "this server is about to end"}

// health says whether the server is ready for requests.
func (s *sessions) health(w http.ResponseWriter, r *http.Request) error {
	if s.draining.Load() {
		return aboutToEnd
	}
	if err := s.DB.Ping(r.Context()); err != nil {
		return err
	}
	return s.alive(w, r)
}

// alive says that the process answers. It asks nobody else: a database that does not answer
// would not do so for a new process either.
func (s *sessions) alive(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
	return nil
}
