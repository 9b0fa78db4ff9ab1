//go:build !js

// Package nginxtest runs nginx for tests, from the Debian package that make test-go
// installs.
package nginxtest

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
	"syscall"
	"testing"
	"time"
)

// Start runs nginx on a socket, with a certificate of its own for a host, and returns how
// to reach it at https:// and that host. The location says what it passes on, and how.
// upstreams, unless empty, has its groups of servers.
func Start(t testing.TB, host, upstreams, location string) *http.Transport {
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
	# Its workers are another user's, who may not write into this folder.
	client_body_buffer_size 4m; client_max_body_size 4m; proxy_max_temp_file_size 0;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	%s
	server {
		listen unix:%s ssl;
		ssl_certificate certificate; ssl_certificate_key key;
		%s
	}
}`, upstreams, socket, location),
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
	return transport
}
