//go:build !js

package server

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhichHostsAreAnswered(t *testing.T) {
	one := []string{"https://Example.com/", "https://other.example:8443"}
	both := []string{"https://example.com", "http://127.0.0.1:8080"}
	for _, test := range []struct {
		Config
		host   string
		header http.Header
		tls    bool
		status int
	}{
		{host: "localhost", status: 200},
		{host: "localhost:8080", status: 200},
		{host: "LocalHost:9", status: 200},
		{host: "127.0.0.1", status: 200},
		{host: "127.0.0.1:8080", status: 200},
		{host: "[::1]", status: 200},
		{host: "[::1]:8080", status: 200},
		{host: "", status: 421},
		{host: "evil.example", status: 421},
		{host: "evil.example:8080", status: 421},
		{host: "localhost.evil.example", status: 421},
		{host: "127.0.0.1.evil.example", status: 421},
		{host: "192.168.0.1:8080", status: 421},
		{host: "0.0.0.0:8080", status: 421},
		{host: "example.com", tls: true, status: 200},

		// What was passed on.
		{host: "127.0.0.1:8080", header: http.Header{"Forwarded": {"for=192.0.2.1"}}, status: 421},
		{host: "127.0.0.1:8080", header: http.Header{"X-Forwarded-For": {"192.0.2.1"}}, status: 421},
		{host: "127.0.0.1:8080", header: http.Header{"X-Forwarded-Proto": {"http"}}, status: 421},
		{host: "127.0.0.1:8080", header: http.Header{"Via": {"1.1 proxy"}}, status: 421},
		{host: "127.0.0.1:8080", header: http.Header{"Origin": {"https://example.com"}, "Sec-Fetch-Site": {"same-origin"}}, status: 421},
		{host: "127.0.0.1:8080", header: http.Header{"Origin": {"http://localhost:5173"}, "Sec-Fetch-Site": {"same-origin"}}, status: 200},
		{host: "localhost", header: http.Header{"Via": {"1.1 proxy"}}, tls: true, status: 421},

		{Config: Config{Origins: one}, host: "example.com", header: http.Header{"X-Forwarded-For": {"192.0.2.1"}}, status: 200},
		{Config: Config{Origins: one}, host: "EXAMPLE.com:443", status: 200},
		{Config: Config{Origins: one}, host: "other.example:8443", status: 200},
		{Config: Config{Origins: one}, host: "other.example", status: 200},
		{Config: Config{Origins: one}, host: "other.example:443", status: 421},
		{Config: Config{Origins: one}, host: "example.com:8443", status: 421},
		{Config: Config{Origins: one}, host: "example.com:80", status: 421},
		{Config: Config{Origins: one}, host: "example.com.", status: 421},
		{Config: Config{Origins: one}, host: "a.example.com", status: 421},
		{Config: Config{Origins: one}, host: "127.0.0.1:8080", status: 421},
		{Config: Config{Origins: one}, host: "evil.example", tls: true, status: 421},

		// What was passed on to an origin that is no public one, beside one that is.
		{Config: Config{Origins: both}, host: "example.com", header: http.Header{"X-Forwarded-Proto": {"https"}}, status: 200},
		{Config: Config{Origins: both}, host: "127.0.0.1:8080", status: 200},
		{Config: Config{Origins: both}, host: "127.0.0.1:8080", header: http.Header{"Origin": {"http://127.0.0.1:8080"}, "Sec-Fetch-Site": {"same-origin"}}, status: 200},
		{Config: Config{Origins: both}, host: "127.0.0.1:8080", header: http.Header{"X-Forwarded-Proto": {"https"}}, status: 421},
		{Config: Config{Origins: both}, host: "127.0.0.1:8080", header: http.Header{"Origin": {"https://example.com"}, "Sec-Fetch-Site": {"same-origin"}}, status: 421},

		// And over the program's own TLS.
		{host: "example.com", header: http.Header{"X-Forwarded-For": {"192.0.2.1"}}, tls: true, status: 421},
		{host: "example.com", header: http.Header{"Origin": {"https://public.example"}, "Sec-Fetch-Site": {"same-origin"}}, tls: true, status: 421},
		{host: "example.com", header: http.Header{"Origin": {"https://example.com"}, "Sec-Fetch-Site": {"same-origin"}}, tls: true, status: 200},

		{Config: Config{TrustHost: true}, host: "example.com", header: http.Header{"Via": {"1.1 proxy"}}, status: 200},
		{Config: Config{TrustHost: true}, host: "127.0.0.1:8787", header: http.Header{"X-Forwarded-Proto": {"http"}}, status: 200},
	} {
		test.DB, test.Site = openDB(t), testSite()
		handler := mustNew(t, test.Config)
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Host = test.host
		if test.header != nil {
			r.Header = test.header
		}
		if test.tls {
			r.TLS = &tls.ConnectionState{}
		}
		code, header, body := answerTo(handler, r)
		if code != test.status || header.Get("Content-Security-Policy") == "" {
			t.Errorf("Host %q, %v, Origins %v: %d, want %d", test.host, test.header, test.Origins, code, test.status)
		}
		if test.status == 421 && (!strings.Contains(body, `"code":"origin"`) || !strings.Contains(body, "Config.Origins") || !strings.Contains(body, "-origin")) {
			t.Errorf("Host %q, %v: it says %s, and not what to do", test.host, test.header, body)
		}
		r.URL.Path = "/sessions/health"
		if code, _, _ := answerTo(handler, r); code != 200 {
			t.Errorf("Host %q: its health is %d, want 200", test.host, code)
		}
	}

	for _, origins := range [][]string{nil, {"https://example.com", "http://localhost"}} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/", nil)
		r.ProtoMinor = 0
		if code, _, _ := answerTo(mustNew(t, Config{DB: openDB(t), Site: testSite(), Origins: origins}), r); code != 421 {
			t.Errorf("HTTP/1.0, Origins %v: %d, want 421", origins, code)
		}
	}
}

func TestWhichPagesMayMakeRequests(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t), Origins: []string{
		"https://example.com:8443", "https://other.example", "https://other.example:9443", "https://[2001:DB8::1]:8443",
		"https://localhost:7000", "http://localhost:8080",
	}})
	for _, test := range []struct {
		host, origin, site string
		status             int
	}{
		{"example.com:8443", "https://example.com:8443", "", 204},
		{"example.com:8443", "https://example.com:8443", "same-origin", 204},
		{"example.com", "https://example.com:8443", "", 204},
		{"example.com:8443", "", "", 204},
		{"other.example", "https://other.example", "", 204},
		// As nginx's $host has it, which may stand for several origins.
		{"other.example", "https://other.example:9443", "", 204},
		{"other.example", "https://other.example:9443", "same-origin", 204},
		{"other.example", "https://other.example:9443", "same-site", 403},
		{"other.example", "https://other.example:8443", "", 403},
		{"other.example:9443", "https://other.example", "", 403},
		{"localhost", "https://localhost:7000", "", 204},
		{"localhost", "http://localhost:8080", "", 403},
		{"[2001:db8::1]", "https://[2001:db8::1]:8443", "", 204},
		{"[2001:db8::1]:8443", "https://[2001:db8::1]:8443", "", 204},
		{"2001:db8::1", "https://[2001:db8::1]:8443", "", 421},
		{"other.example", "https://example.com:8443", "cross-site", 403},
		{"other.example", "https://example.com:8443", "", 403},
		{"example.com:8443", "https://other.example", "same-site", 403},
		{"example.com:8443", "https://evil.example", "", 403},
		{"example.com:8443", "null", "", 403},
	} {
		r := post("/sessions/exchange?session=cart", "[]")
		r.Host = test.host
		for name, value := range map[string]string{"Origin": test.origin, "Sec-Fetch-Site": test.site} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if code, _, body := answerTo(handler, r); code != test.status {
			t.Errorf("%+v: %d %s", test, code, body)
		}
	}
}

func TestOriginsThatAreNone(t *testing.T) {
	for text, says := range map[string]string{
		"":                               "like https://example.com",
		"example.com":                    "like https://example.com",
		"ftp://example.com":              "like https://example.com",
		"https://":                       "like https://example.com",
		"https://example.com/sessions":   "more than an origin",
		"https://user@example.com":       "more than an origin",
		"https://example.com?a":          "more than an origin",
		"http://example.com":             "not https",
		"http://192.168.0.1:8080":        "not https",
		"https://exa mple.com":           "invalid character",
		"https://*.example.com/../../..": "more than an origin",
		// Which no browser would ever send.
		"https://*.example.com":     "each host must be named by itself",
		"https://bücher.example":    "https://xn--bcher-kva.example",
		"https://xn--a b.example":   "invalid character",
		"https://exam_ple!.example": "letters, digits",
		"https://example.com:":      "https://example.com",
		"https://example.com:0":     "from 1 to 65535",
		"https://example.com:99999": "from 1 to 65535",
		"https://example.com:0443":  "https://example.com:443",
		"https://example..com":      "letters, digits",
		"https://[::1]x":            "invalid",
		"http://[::1]:":             "http://[::1]",
	} {
		if _, err := New(Config{DB: openDB(t), Origins: []string{text}}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", text, err, says)
		}
	}
}
