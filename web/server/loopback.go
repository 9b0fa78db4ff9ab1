package server

import (
	"net"
	"net/http"
	"strings"
)

// LoopbackHostsOnly refuses requests for a host other than this machine. A
// hostile page can point its own name at 127.0.0.1 (DNS rebinding) and would
// then be of one origin with what is served here; its name gives it away.
func LoopbackHostsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopbackHost(r.Host) {
			SetDefaultHeaders(w.Header())
			http.Error(w, "this server answers to localhost, 127.0.0.1 and [::1] only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopbackHost reports whether a Host field, with or without a port, names
// localhost or a loopback address. The port may be another than the server's:
// it is, behind a tunnel.
func isLoopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.EqualFold(name, "localhost") || net.ParseIP(name).IsLoopback()
}
