//go:build !js

package server

import (
	"strings"
	"testing"
)

func TestBehindCaddyAsTheReadmeHasIt(t *testing.T) {
	checkReadmeProxy(t, func(server string) *browser {
		p := newProxy(t, "example.com")
		// Its own certificate, and not one of Let's Encrypt.
		site := strings.Replace(inReadme(t, "caddy", server), "example.com {", `example.com {
			bind unix/`+p.socket+`
			tls certificate key`, 1)
		p.write(t, "Caddyfile", `{
			admin off
			auto_https disable_redirects
		}
		`+site)
		return p.start(t, "caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	})
}
