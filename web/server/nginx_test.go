//go:build !js

package server

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// startNginx runs nginx with the server that a configuration has.
func startNginx(t *testing.T, host, server string) *browser {
	t.Helper()
	p := newProxy(t, host)
	p.write(t, "conf", `
daemon off; master_process off; pid pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	`+strings.NewReplacer(
		"listen 443 ssl;", "listen unix:"+p.socket+" ssl;",
		"/etc/ssl/example.com.pem", "certificate",
		"/etc/ssl/private/example.com.key", "key",
	).Replace(server)+`
}`)
	return p.start(t, "nginx", "-p", p.folder, "-c", "conf", "-e", "stderr")
}

// nginxServer returns a server for nginx that has more directives.
func nginxServer(directives string) string {
	return `server {
		listen 443 ssl;
		ssl_certificate /etc/ssl/example.com.pem;
		ssl_certificate_key /etc/ssl/private/example.com.key;
		` + directives + `
	}`
}

func TestNginxThatEnds(t *testing.T) {
	b := startNginx(t, "session.example", nginxServer("no such directive;"))
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
			b := startNginx(t, "session.example", nginxServer(
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
		})
	}
}

func TestBehindNginxAsTheReadmeHasIt(t *testing.T) {
	checkReadmeProxy(t, func(server string) *browser {
		return startNginx(t, "example.com", inReadme(t, "nginx", server))
	})
}
