//go:build !js

package server

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/internal/proxytest"
)

// startCaddy runs Caddy with a site for https://example.com.
func startCaddy(t *testing.T, site string) *browser {
	t.Helper()
	p := proxytest.New(t, "example.com")
	// Its own certificate, and not one of Let's Encrypt.
	p.Write(t, "Caddyfile", `{
		admin off
		auto_https disable_redirects
	}
	`+strings.Replace(site, "example.com {", `example.com {
		bind unix/`+p.Socket+`
		tls certificate key`, 1))
	return newProxied(t, "example.com", p.Start(t, "caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"))
}

func TestBehindCaddyAsTheReadmeHasIt(t *testing.T) {
	checkReadmeProxy(t, func(server string) *browser { return startCaddy(t, inReadme(t, "caddy", server)) })
}

// A load balancer that asks /sessions/health leaves out the server that is about to end.
func TestCaddyLeavesOutWhatDrains(t *testing.T) {
	var handlers [2]*Handler
	site := "example.com {\nreverse_proxy {\nlb_policy round_robin\nhealth_uri /sessions/health\nhealth_interval 20ms\n"
	db := openDB(t)
	for i := range handlers {
		handlers[i] = mustNew(t, Config{DB: db, Origins: []string{"https://example.com"}})
		server := httptest.NewServer(handlers[i])
		defer server.Close()
		site += "to " + strings.TrimPrefix(server.URL, "http://") + "\n"
	}
	b := startCaddy(t, site+"}\n}\n")
	b.hello(t)
	exchanges := func(h *Handler) uint64 { return h.Stats().Exchanges.Count }
	for exchanges(handlers[0]) == 0 || exchanges(handlers[1]) == 0 {
		b.send(t, "", "") // so it sends to both
	}
	refused := Answer{"health", 503, "unavailable"}
	handlers[0].Drain()
	for handlers[0].Stats().Answers[refused] < 3 { // when it asks again, it has read the answer
		time.Sleep(time.Millisecond)
	}
	before := exchanges(handlers[0])
	for n := range 10 {
		if res := b.send(t, "", "["+item(fmt.Sprintf(`"set":{"%d":1}`, n))+"]"); res.StatusCode != 200 {
			t.Errorf("as one drains: %d %s", res.StatusCode, res.body)
		}
	}
	if got := exchanges(handlers[0]); got != before {
		t.Errorf("it sends %d requests to the server that drains", got-before)
	}
}
