//go:build !js

package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startNginx runs nginx on a socket, with a certificate of its own for a host,
// and returns a browser for which that host is there. The location says
// what it passes on, and how.
func startNginx(t *testing.T, host, location string) *browser {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx" // where Debian has it, which is not in every PATH
	}
	// t.TempDir may be longer than the path of a socket can be.
	folder, err := os.MkdirTemp("", "nginx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket := filepath.Join(folder, "socket")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	for name, content := range map[string][]byte{
		"certificate": public,
		"key":         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes}),
		"conf": fmt.Appendf(nil, `
daemon off; pid pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	server {
		listen unix:%s ssl;
		ssl_certificate certificate; ssl_certificate_key key;
		%s
	}
}`, socket, location),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), nginx, "-p", folder, "-c", "conf", "-e", "stderr")
	command.Stderr = t.Output()
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	if err := command.Start(); err != nil {
		t.Fatalf("%v: nginx must be installed, as make test-go does it", err)
	}
	ended, end := context.WithCancelCause(context.Background())
	go func() { end(fmt.Errorf("nginx has ended: %v", command.Wait())) }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-ended.Done()
	})
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(public)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			for { // until it listens
				conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
				if err == nil || ctx.Err() != nil {
					return conn, err
				}
				select {
				case <-ended.Done():
					return nil, context.Cause(ended)
				case <-time.After(10 * time.Millisecond):
				}
			}
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
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
