//go:build !js

// Package proxytest runs the proxies that a server is tested behind, from the Debian
// packages that make test-go installs.
package proxytest

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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Proxy is a program that ends TLS, with a certificate of its own for a host.
type Proxy struct {
	// Folder has the files certificate and key. Socket is where it is to listen.
	Folder, Socket string

	trusted *x509.CertPool
}

// New returns a Proxy that is not started yet.
func New(t testing.TB, host string) *Proxy {
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
	p := &Proxy{folder, filepath.Join(folder, "socket"), x509.NewCertPool()}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	p.trusted.AppendCertsFromPEM(public)
	p.Write(t, "certificate", string(public))
	p.Write(t, "key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes})))
	return p
}

// Write writes a file into the folder.
func (p *Proxy) Write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.Folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start runs the proxy in its folder, and returns how to reach it at https:// and its host.
func (p *Proxy) Start(t testing.TB, name string, args ...string) *http.Transport {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name // where Debian has nginx, which is not in every PATH
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Dir = p.Folder
	command.Env = append(os.Environ(), "HOME="+p.Folder, "XDG_DATA_HOME="+p.Folder, "XDG_CONFIG_HOME="+p.Folder)
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
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: p.trusted},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			for { // until it listens
				conn, err := new(net.Dialer).DialContext(ctx, "unix", p.Socket)
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
	return transport
}

// Nginx runs nginx with what a configuration has in its http block, in which a server
// listens on 443.
func Nginx(t testing.TB, host, configuration string) *http.Transport {
	t.Helper()
	p := New(t, host)
	p.Write(t, "conf", `
daemon off; master_process off; pid pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	`+strings.NewReplacer(
		"listen 443 ssl;", "listen unix:"+p.Socket+" ssl;",
		"/etc/ssl/example.com.pem", "certificate",
		"/etc/ssl/private/example.com.key", "key",
	).Replace(configuration)+`
}`)
	return p.Start(t, "nginx", "-p", p.Folder, "-c", "conf", "-e", "stderr")
}

// NginxServer returns a server for nginx that has more directives.
func NginxServer(directives string) string {
	return `server {
		listen 443 ssl;
		ssl_certificate /etc/ssl/example.com.pem;
		ssl_certificate_key /etc/ssl/private/example.com.key;
		` + directives + `
	}`
}
