//go:build !js

package server

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/session-interop/session-writer/web/internal/proxytest"
)

// startNginx runs nginx with what a configuration has.
func startNginx(t *testing.T, host, configuration string) *browser {
	t.Helper()
	return newProxied(t, host, proxytest.Nginx(t, host, configuration))
}

func TestNginxThatEnds(t *testing.T) {
	b := startNginx(t, "session.example", proxytest.NginxServer("no such directive;"))
	if res, err := b.Get(b.url); err == nil || !strings.Contains(err.Error(), "nginx has ended") {
		t.Errorf("got %v, %v, want that it has ended", res, err)
	}
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
			b := startNginx(t, "session.example", proxytest.NginxServer(
				fmt.Sprintf("location / { proxy_pass %s; %s }", server.URL, test.directives)))
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
			checkProxied(t, b, res)
			// It passes on no upgrade, so this asks whether the process answers.
			if l := b.listen(t, "Origin", public); l.status != 200 {
				t.Errorf("a WebSocket gets %d, want 200", l.status)
			}
		})
	}
}

func TestBehindNginxAsTheReadmeHasIt(t *testing.T) {
	checkReadmeProxy(t, func(server string) *browser {
		return startNginx(t, "example.com", inReadme(t, "nginx", server))
	})
}
