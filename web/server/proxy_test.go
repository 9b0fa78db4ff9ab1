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
	"strings"
	"syscall"
	"testing"
	"time"
)

// A proxy is a program that ends TLS, with a certificate of its own for a host.
type proxy struct {
	// folder has the files certificate and key. socket is where it is to listen.
	folder, socket string
	host           string
	trusted        *x509.CertPool
}

func newProxy(t *testing.T, host string) *proxy {
	t.Helper()
	// t.TempDir may be longer than the path of a socket can be.
	folder, err := os.MkdirTemp("", "proxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
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
	p := &proxy{folder, filepath.Join(folder, "socket"), host, x509.NewCertPool()}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	p.trusted.AppendCertsFromPEM(public)
	p.write(t, "certificate", string(public))
	p.write(t, "key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes})))
	return p
}

// write writes a file into the folder.
func (p *proxy) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs the proxy in its folder, and returns a browser for which its host is there.
func (p *proxy) start(t *testing.T, name string, args ...string) *browser {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name // where Debian has nginx, which is not in every PATH
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Dir = p.folder
	command.Env = append(os.Environ(), "HOME="+p.folder, "XDG_DATA_HOME="+p.folder, "XDG_CONFIG_HOME="+p.folder)
	command.Stdout, command.Stderr = t.Output(), t.Output()
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	if err := command.Start(); err != nil {
		t.Fatalf("%v: %s must be installed, as make test-go does it", err, name)
	}
	ended, end := context.WithCancelCause(context.Background())
	go func() { end(fmt.Errorf("%s has ended: %v", name, command.Wait())) }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-ended.Done()
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: p.trusted},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			for { // until it listens
				conn, err := new(net.Dialer).DialContext(ctx, "unix", p.socket)
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
	return &browser{Client: &http.Client{Jar: jar, Transport: transport}, url: "https://" + p.host}
}

// inReadme returns what web/README.md has in a language, which is what a proxy is to do,
// for a server at an address.
func inReadme(t *testing.T, language, server string) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "```"+language+"\n")
	snippet, _, found := strings.Cut(after, "```")
	if !found || strings.Count(snippet, "127.0.0.1:8080") != 1 || !strings.Contains(snippet, "example.com") {
		t.Fatalf("web/README.md does not say what to do in %s: %q", language, snippet)
	}
	return strings.ReplaceAll(snippet, "127.0.0.1:8080", strings.TrimPrefix(server, "http://"))
}

// checkProxied checks what a browser has of a server behind a proxy, which has answered
// its first request.
func checkProxied(t *testing.T, b *browser, first reply) {
	t.Helper()
	public := strings.TrimPrefix(b.url, "https://")
	page := []string{"Origin", b.url, "Sec-Fetch-Site", "same-origin"}
	if set := first.Header.Get("Set-Cookie"); !strings.HasPrefix(set, "__Host-session-writer=") || !strings.Contains(set, "Secure") {
		t.Errorf("it sets the cookie %s", set)
	}
	sent := item(`"set":{"a":1}`)
	b.send(t, "", "["+sent+"]", page...)
	if res := b.send(t, "", "", page...); res.body != sent {
		t.Errorf("it has %d %s, want %s", res.StatusCode, res.body, sent)
	}

	// A sibling has put its own cookie in the place of this one.
	at := &url.URL{Scheme: "https", Host: public}
	b.Jar.SetCookies(at, []*http.Cookie{{Name: "session-writer", Value: strings.Repeat("0", 32) + "-0", Path: "/sessions"}})
	if res := b.send(t, "", "", page...); res.body != sent {
		t.Errorf("beside the cookie of a sibling it has %d %s", res.StatusCode, res.body)
	}
	if res := b.hello(t); res.StatusCode != 204 {
		t.Errorf("who is no page: %d", res.StatusCode)
	}
	if res := b.ask(t, nil, "[]", "Origin", "https://evil."+public, "Sec-Fetch-Site", "same-site"); res.StatusCode != 403 {
		t.Errorf("a sibling's page: %d, want 403", res.StatusCode)
	}
}

// checkReadmeProxy checks a proxy that does what web/README.md says, up to what the
// server takes at once, and beyond.
func checkReadmeProxy(t *testing.T, start func(server string) *browser) {
	t.Helper()
	db := openDB(t)
	server := httptest.NewServer(mustNew(t, Config{DB: db, Origins: []string{"https://example.com"}}))
	defer server.Close()
	b := start(server.URL)
	res := b.ask(t, nil, "[]", "Origin", b.url, "Sec-Fetch-Site", "same-origin")
	if res.StatusCode != 204 {
		t.Fatalf("got %d %s, want 204", res.StatusCode, res.body)
	}
	checkProxied(t, b, res)
	most := db.Limits().Body
	if res := b.send(t, "", "["+strings.Repeat(" ", most-2)+"]"); res.StatusCode != 200 {
		t.Errorf("as much as may be: %d %s", res.StatusCode, res.body)
	}
	if res := b.send(t, "", "["+strings.Repeat(" ", most-1)+"]"); res.StatusCode != 413 || res.code(t) != "quota" {
		t.Errorf("more than may be: %d %s, want 413 quota", res.StatusCode, res.body)
	}
	if res := b.do(t, "GET", live, ""); res.StatusCode != 200 {
		t.Errorf("whether it is live: %d %s", res.StatusCode, res.body)
	}
}
