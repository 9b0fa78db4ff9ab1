package server

import (
	"net/http/httptest"
	"testing"
)

func TestLoopbackHostsOnly(t *testing.T) {
	handler := LoopbackHostsOnly(mustSite(t, testSite()))
	for _, test := range []struct {
		host   string
		status int
	}{
		{"localhost", 200},
		{"localhost:8080", 200},
		{"LocalHost:9", 200},
		{"127.0.0.1", 200},
		{"127.0.0.1:8080", 200},
		{"[::1]", 200},
		{"[::1]:8080", 200},
		{"", 421},
		{"evil.example", 421},
		{"evil.example:8080", 421},
		{"localhost.evil.example", 421},
		{"127.0.0.1.evil.example", 421},
		{"192.168.0.1:8080", 421},
		{"0.0.0.0:8080", 421},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Host = test.host
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		if recorder.Code != test.status {
			t.Errorf("Host %q: got %d, want %d", test.host, recorder.Code, test.status)
		}
		if recorder.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("Host %q: no Content-Security-Policy", test.host)
		}
	}
}
