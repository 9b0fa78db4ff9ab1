//go:build !js

package server

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/session-interop/session-writer/web/internal/nginxtest"
)

// startNginx runs nginx, and returns a browser for which that host is there.
func startNginx(t *testing.T, host, location string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := nginxtest.Start(t, host, "", location)
	return &browser{Client: &http.Client{Jar: jar, Transport: transport}, url: "https://" + host}
}

func TestNginxThatEnds(t *testing.T) {
	b := startNginx(t, "session.example", "no such directive;")
	if res, err := b.Get(b.url); err == nil || !strings.Contains(err.Error(), "nginx has ended") {
		t.Errorf("got %v, %v, want that it has ended", res, err)
	}
}

// inReadme returns what web/README.md has nginx do, for a server at that address.
func inReadme(t *testing.T, server string) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "```nginx\n")
	location, _, found := strings.Cut(after, "```")
	if !found || !strings.Contains(location, "http://127.0.0.1:8080;") {
		t.Fatalf("web/README.md has no location: %q", location)
	}
	return strings.ReplaceAll(location, "http://127.0.0.1:8080;", server+";")
}

func TestBehindNginx(t *testing.T) {
	const public = "https://session.example"
	const own = "the address that it listens on"
	page := []string{"Origin", public, "Sec-Fetch-Site", "same-origin"}
	for _, test := range []struct {
		name       string
		origins    []string
		directives string
		status     int
	}{
		{"as it is by default", nil, "", 421},
		{"in HTTP/1.1", nil, "proxy_http_version 1.1;", 421},
		{"by default, with an origin", []string{public}, "", 421},
		{"by default, with an origin and its own address", []string{public, own}, "", 421},
		{"in HTTP/1.1, with an origin and its own address", []string{public, own}, "proxy_http_version 1.1;", 421},
		{"with Host, and an origin and its own address", []string{public, own}, "proxy_set_header Host $host;", 204},
		{"with Host", nil, "proxy_set_header Host $host;", 421},
		{"with Host, and an origin", []string{public}, "proxy_set_header Host $host;", 204},
		{"as the README has it", []string{public}, "", 204},
		{"with Host and more, and an origin", []string{public},
			"proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-For $remote_addr;", 204},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(nil)
			origins := slices.Clone(test.origins)
			for i, origin := range origins {
				if origin == own {
					origins[i] = "http://" + server.Listener.Addr().String()
				}
			}
			server.Config.Handler = mustNew(t, Config{DB: openDB(t), Origins: origins})
			server.Start()
			defer server.Close()
			location := fmt.Sprintf("location / { proxy_pass %s; %s }", server.URL, test.directives)
			if test.name == "as the README has it" {
				location = inReadme(t, server.URL)
			}
			b := startNginx(t, "session.example", location)
			res := b.ask(t, nil, "[]", page...)
			if res.StatusCode != test.status {
				t.Fatalf("got %d %s, want %d", res.StatusCode, res.body, test.status)
			}
			if test.status == 421 {
				if res.code(t) != "origin" || !strings.Contains(res.body, "-origin") || len(res.Cookies()) != 0 {
					t.Errorf("it says %s, and sets %v", res.body, res.Cookies())
				}
				return
			}
			if set := res.Header.Get("Set-Cookie"); !strings.HasPrefix(set, "__Host-session-writer=") || !strings.Contains(set, "Secure") {
				t.Errorf("it sets the cookie %s", set)
			}
			sent := item(`"set":{"a":1}`)
			b.send(t, "", "["+sent+"]", page...)
			if res := b.send(t, "", "", page...); res.body != sent {
				t.Errorf("it has %d %s, want %s", res.StatusCode, res.body, sent)
			}

			// A sibling has put its own cookie in the place of this one.
			at := &url.URL{Scheme: "https", Host: "session.example"}
			b.Jar.SetCookies(at, []*http.Cookie{{Name: "session-writer", Value: strings.Repeat("0", 32) + "-0", Path: "/sessions"}})
			if res := b.send(t, "", "", page...); res.body != sent {
				t.Errorf("beside the cookie of a sibling it has %d %s", res.StatusCode, res.body)
			}
			if res := b.hello(t); res.StatusCode != 204 {
				t.Errorf("who is no page: %d", res.StatusCode)
			}
			if res := b.ask(t, nil, "[]", "Origin", "https://evil.session.example", "Sec-Fetch-Site", "same-site"); res.StatusCode != 403 {
				t.Errorf("a sibling's page: %d, want 403", res.StatusCode)
			}
		})
	}
}
