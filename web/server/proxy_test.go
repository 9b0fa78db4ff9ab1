//go:build !js

package server

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
)

// newProxied returns a browser for which a proxy's host is there.
func newProxied(t *testing.T, host string, through http.RoundTripper) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{Client: &http.Client{Jar: jar, Transport: through}, url: "https://" + host}
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
	if res := b.do(t, "GET", livePath, ""); res.StatusCode != 200 {
		t.Errorf("whether it is live: %d %s", res.StatusCode, res.body)
	}

	for origin, want := range map[string]int{"": 101, b.url: 101, "https://evil.example.com": 403} {
		var header []string
		if origin != "" {
			header = []string{"Origin", origin}
		}
		l := b.listen(t, header...)
		if l.status != want {
			t.Errorf("a page of %q gets %d, want %d", origin, l.status, want)
		}
		if l.status != 101 {
			continue
		}
		b.send(t, "", "["+item(`"set":{"a":1}`)+"]")
		if m := l.next(t); m.Session != "cart" {
			t.Errorf("told of %+v, want cart", m)
		}
	}
}
