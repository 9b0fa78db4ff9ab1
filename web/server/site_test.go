package server

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// testSite is a site as assemble.mjs leaves it, in small.
func testSite() fstest.MapFS {
	site := fstest.MapFS{}
	for name, content := range map[string]string{
		"index.html":                     `<script type="module" src="./page.js"></script><iframe src="./tab.html#A"></iframe>`,
		"tab.html":                       `<link rel="stylesheet" href="./page.css"><a href="./index.html">`,
		"page.css":                       "body{}",
		"page.css.gz":                    "page.css in gzip",
		"page.js":                        `import("./session-writer/index.js")`,
		"page.js.br":                     "page.js in br",
		"page.js.gz":                     "page.js in gzip",
		"favicon.svg":                    "<svg/>",
		"page.js.map":                    "{}",
		"session-writer/index.js":        "export {}",
		"session-writer/session.wasm":    "\x00asm",
		"session-writer/session.wasm.br": "session.wasm in br",
	} {
		site[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return site
}

func mustSite(t *testing.T, fsys fs.FS) http.Handler {
	t.Helper()
	site, err := newSite(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return site
}

func serve(t *testing.T, handler http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// request returns the response and its body as it was sent: the client's own
// decoding is off.
func request(t *testing.T, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// assetsPrefix returns the path of the assets that index.html refers to.
func assetsPrefix(t *testing.T, url string) string {
	t.Helper()
	_, body := request(t, "GET", url+"/", nil)
	prefix := regexp.MustCompile(`/assets/[0-9a-f]{16}/`).FindString(body)
	if prefix == "" {
		t.Fatalf("index.html does not refer to the assets: %s", body)
	}
	return prefix
}

func TestSiteServes(t *testing.T) {
	url := serve(t, mustSite(t, testSite()))
	prefix := assetsPrefix(t, url)
	const immutable = "public, max-age=31536000, immutable"

	for _, test := range []struct {
		method, path       string
		status             int
		contentType, cache string
		body               string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache",
			`<script type="module" src="` + prefix + `page.js"></script><iframe src="/tab.html#A"></iframe>`},
		{"GET", "/?session=cart&storage=session", 200, "text/html; charset=utf-8", "no-cache",
			`<script type="module" src="` + prefix + `page.js"></script><iframe src="/tab.html#A"></iframe>`},
		{"GET", "/tab.html", 200, "text/html; charset=utf-8", "no-cache",
			`<link rel="stylesheet" href="` + prefix + `page.css"><a href="/">`},
		{"GET", prefix + "page.js", 200, "text/javascript; charset=utf-8", immutable, `import("./session-writer/index.js")`},
		{"GET", prefix + "page.css", 200, "text/css; charset=utf-8", immutable, "body{}"},
		{"GET", prefix + "favicon.svg", 200, "image/svg+xml", immutable, "<svg/>"},
		{"GET", prefix + "page.js.map", 200, "application/json", immutable, "{}"},
		{"GET", prefix + "session-writer/index.js", 200, "text/javascript; charset=utf-8", immutable, "export {}"},
		{"GET", prefix + "session-writer/session.wasm", 200, "application/wasm", immutable, "\x00asm"},
		{"GET", "/favicon.ico", 204, "", "public, max-age=86400", ""},

		{"GET", "/nothing", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", "/index.html", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", "/page.js", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", prefix, 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", prefix + "nothing.js", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", prefix + "page.js.br", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", prefix + "index.html", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", prefix + "tab.html", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", prefix + "..%2findex.html", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},
		{"GET", "/assets/0123456789abcdef/page.js", 404, "text/plain; charset=utf-8", "no-store", "404 page not found\n"},

		{"POST", "/", 405, "text/plain; charset=utf-8", "no-store", "Method Not Allowed\n"},
		{"DELETE", prefix + "page.js", 405, "text/plain; charset=utf-8", "no-store", "Method Not Allowed\n"},
		{"OPTIONS", "/", 405, "text/plain; charset=utf-8", "no-store", "Method Not Allowed\n"},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			res, body := request(t, test.method, url+test.path, nil)
			if res.StatusCode != test.status || body != test.body {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, body, test.status, test.body)
			}
			if got := res.Header.Get("Content-Type"); got != test.contentType {
				t.Errorf("Content-Type is %q, want %q", got, test.contentType)
			}
			if got := res.Header.Get("Cache-Control"); got != test.cache {
				t.Errorf("Cache-Control is %q, want %q", got, test.cache)
			}
			if got := res.Header.Get("Allow"); test.status == 405 && got != "GET, HEAD" {
				t.Errorf("Allow is %q, want %q", got, "GET, HEAD")
			}
			if test.status == 200 {
				if got := res.Header.Get("Vary"); got != "Accept-Encoding" {
					t.Errorf("Vary is %q, want %q", got, "Accept-Encoding")
				}
				if got, want := res.Header.Get("Content-Length"), strconv.Itoa(len(test.body)); got != want {
					t.Errorf("Content-Length is %s, want %s", got, want)
				}
			}

			if test.method == "GET" {
				head, body := request(t, "HEAD", url+test.path, nil)
				if head.StatusCode != test.status || body != "" {
					t.Errorf("HEAD: got %d %q, want %d and no body", head.StatusCode, body, test.status)
				}
				for _, name := range []string{"Content-Type", "Content-Length", "Cache-Control", "Etag", "Vary"} {
					if got, want := head.Header.Get(name), res.Header.Get(name); got != want {
						t.Errorf("HEAD: %s is %q, want %q as with GET", name, got, want)
					}
				}
			}
		})
	}
}

func TestEveryResponseBearsTheSecurityHeaders(t *testing.T) {
	url := serve(t, mustSite(t, testSite()))
	prefix := assetsPrefix(t, url)
	etag, _ := request(t, "GET", url+"/", nil)

	for _, test := range []struct {
		method, path string
		header       http.Header
		status       int
	}{
		{"GET", "/", nil, 200},
		{"GET", "/", http.Header{"If-None-Match": {etag.Header.Get("ETag")}}, 304},
		{"GET", prefix + "page.js", nil, 200},
		{"GET", prefix + "page.js", http.Header{"Accept-Encoding": {"identity;q=0, zstd"}}, 406},
		{"GET", "/favicon.ico", nil, 204},
		{"GET", "/nothing", nil, 404},
		{"POST", "/", nil, 405},
	} {
		res, _ := request(t, test.method, url+test.path, test.header)
		if res.StatusCode != test.status {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, res.StatusCode, test.status)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; " +
				"img-src 'self' data:; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
			"X-Content-Type-Options":       "nosniff",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", test.method, test.path, name, got, want)
			}
		}
	}
}

func TestSiteServesTheCodingThatIsAskedFor(t *testing.T) {
	url := serve(t, mustSite(t, testSite()))
	prefix := assetsPrefix(t, url)

	for _, test := range []struct{ path, accept, coding, body string }{
		{prefix + "page.js", "gzip, deflate, br, zstd", "br", "page.js in br"},
		{prefix + "page.js", "gzip", "gzip", "page.js in gzip"},
		{prefix + "page.js", "zstd", "", `import("./session-writer/index.js")`},
		{prefix + "page.css", "gzip, br", "gzip", "page.css in gzip"},
		{prefix + "session-writer/session.wasm", "gzip, br", "br", "session.wasm in br"},
		{prefix + "session-writer/session.wasm", "gzip", "", "\x00asm"},
	} {
		res, body := request(t, "GET", url+test.path, http.Header{"Accept-Encoding": {test.accept}})
		if got := res.Header.Get("Content-Encoding"); got != test.coding || body != test.body {
			t.Errorf("%s with %q: got %q in %q, want %q in %q", test.path, test.accept, body, got, test.body, test.coding)
		}
		if got, want := res.Header.Get("Content-Length"), strconv.Itoa(len(test.body)); got != want {
			t.Errorf("%s with %q: Content-Length is %s, want %s", test.path, test.accept, got, want)
		}
	}
}

func TestPagesAreCompressedAfterTheirReferencesAreMoved(t *testing.T) {
	site := testSite()
	for _, name := range []string{"index.html.br", "tab.html.gz"} {
		site[name] = &fstest.MapFile{Data: []byte("the references as they were")}
	}
	url := serve(t, mustSite(t, site))

	for _, path := range []string{"/", "/tab.html"} {
		_, plain := request(t, "GET", url+path, nil)
		res, body := request(t, "GET", url+path, http.Header{"Accept-Encoding": {"br, gzip"}})
		if got := res.Header.Get("Content-Encoding"); got != "gzip" {
			t.Fatalf("%s: Content-Encoding is %q, want gzip", path, got)
		}
		unzip, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(unzip); err != nil || string(got) != plain {
			t.Errorf("%s: got %q, %v, want %q", path, got, err, plain)
		}
	}
}

func TestNegotiate(t *testing.T) {
	all := map[string][]byte{"br": nil, "gzip": nil, "identity": nil}
	for _, test := range []struct {
		accept []string
		want   string
	}{
		{nil, "identity"},
		{[]string{""}, "identity"},
		{[]string{"br"}, "br"},
		{[]string{"gzip, br"}, "br"},
		{[]string{"gzip", "br"}, "br"},
		{[]string{"GZip"}, "gzip"},
		{[]string{"x-gzip"}, "gzip"},
		{[]string{" gzip ; q=0.8 ,, br ; q=0.3 "}, "gzip"},
		{[]string{"br;q=0.5, gzip;q=0.5"}, "br"},
		{[]string{"br;Q=0.001"}, "br"},
		{[]string{"br;q=0"}, "identity"},
		{[]string{"br;q=0.0, gzip"}, "gzip"},
		{[]string{"identity"}, "identity"},
		{[]string{"identity, br;q=0.5"}, "identity"},
		{[]string{"identity;q=0.5, br;q=0.5"}, "br"},
		{[]string{"*"}, "br"},
		{[]string{"*, br;q=0"}, "gzip"},
		{[]string{"*;q=0.1, identity;q=0.5"}, "identity"},
		{[]string{"gzip, *;q=0"}, "gzip"},
		{[]string{"deflate"}, "identity"},
		{[]string{"brotli, gzipped"}, "identity"},

		{[]string{"*;q=0"}, ""},
		{[]string{"identity;q=0"}, ""},
		{[]string{"deflate, identity;q=0"}, ""},

		// What does not parse counts for nothing.
		{[]string{"br;q=2, gzip"}, "gzip"},
		{[]string{"br;q=-1, gzip"}, "gzip"},
		{[]string{"br;q=NaN, gzip"}, "gzip"},
		{[]string{"br;q=, gzip"}, "gzip"},
		{[]string{"br;level=1, gzip"}, "gzip"},
		{[]string{";q=1"}, "identity"},
	} {
		if got := negotiate(test.accept, all); got != test.want {
			t.Errorf("negotiate(%q) = %q, want %q", test.accept, got, test.want)
		}
	}
}

func TestIndexIsRevalidated(t *testing.T) {
	url := serve(t, mustSite(t, testSite()))
	res, _ := request(t, "GET", url+"/", nil)
	etag := res.Header.Get("ETag")

	for _, test := range []struct {
		ifNoneMatch []string
		status      int
	}{
		{[]string{etag}, 304},
		{[]string{strings.TrimPrefix(etag, "W/")}, 304},
		{[]string{`"other", ` + etag}, 304},
		{[]string{`"other"`, etag}, 304},
		{[]string{"*"}, 304},
		{[]string{`"other"`}, 200},
		{[]string{""}, 200},
	} {
		res, body := request(t, "GET", url+"/", http.Header{"If-None-Match": test.ifNoneMatch})
		if res.StatusCode != test.status {
			t.Errorf("If-None-Match %q: got %d, want %d", test.ifNoneMatch, res.StatusCode, test.status)
		}
		if test.status != 304 {
			continue
		}
		if body != "" {
			t.Errorf("If-None-Match %q: got a body: %q", test.ifNoneMatch, body)
		}
		for name, want := range map[string]string{"Cache-Control": "no-cache", "ETag": etag, "Vary": "Accept-Encoding"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("If-None-Match %q: %s is %q, want %q", test.ifNoneMatch, name, got, want)
			}
		}
	}
}

func TestAnyChangeOfTheSiteMovesItsAssets(t *testing.T) {
	before := serve(t, mustSite(t, testSite()))
	prefix := assetsPrefix(t, before)
	if again := assetsPrefix(t, serve(t, mustSite(t, testSite()))); again != prefix {
		t.Errorf("the same site is at %s and at %s", prefix, again)
	}

	for name := range testSite() {
		changed := testSite()
		changed[name].Data = append(bytes.Clone(changed[name].Data), ' ')
		after := serve(t, mustSite(t, changed))
		if assetsPrefix(t, after) == prefix {
			t.Errorf("a byte more in %s: still at %s", name, prefix)
		}
		if res, _ := request(t, "GET", after+prefix+"page.js", nil); res.StatusCode != 404 {
			t.Errorf("a byte more in %s: the old page.js gives %d, want 404", name, res.StatusCode)
		}
		if res, _ := request(t, "GET", after+"/", nil); res.Header.Get("ETag") == `W/"`+strings.Split(prefix, "/")[2]+`"` {
			t.Errorf("a byte more in %s: the ETag is the same", name)
		}
	}

	renamed := testSite()
	renamed["session-writer/other.js"] = renamed["session-writer/index.js"]
	delete(renamed, "session-writer/index.js")
	if assetsPrefix(t, serve(t, mustSite(t, renamed))) == prefix {
		t.Errorf("a file renamed: still at %s", prefix)
	}
}

func TestNewSiteRefusesABrokenSite(t *testing.T) {
	for _, test := range []struct {
		name    string
		breakIt func(fstest.MapFS)
		want    string
	}{
		{"no index.html",
			func(site fstest.MapFS) { delete(site, "index.html") },
			"index.html: file does not exist"},
		{"index.html without a reference",
			func(site fstest.MapFS) { site["index.html"].Data = []byte(`<script src="page.js"></script>`) },
			`index.html: no reference of the form src="./FILE" or href="./FILE"`},
		{"a reference to nothing",
			func(site fstest.MapFS) { delete(site, "page.css"); delete(site, "page.css.gz") },
			`tab.html refers to "page.css": file does not exist`},
		{"a reference to no page",
			func(site fstest.MapFS) { delete(site, "tab.html") },
			`index.html refers to "tab.html": file does not exist`},
		{"a page in a folder",
			func(site fstest.MapFS) { site["pages/tab.html"] = site["tab.html"] },
			"pages/tab.html: a page is in no folder"},
		{"a compressed form alone",
			func(site fstest.MapFS) { delete(site, "session-writer/session.wasm") },
			"session-writer/session.wasm.br is there without session-writer/session.wasm"},
		{"an unknown type",
			func(site fstest.MapFS) { site["notes.txt"] = &fstest.MapFile{} },
			`notes.txt: no content type is known for ".txt"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			site := testSite()
			test.breakIt(site)
			if _, err := newSite(site); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// The page as it is in the repository, with the package left empty.
func TestThePageMakesASite(t *testing.T) {
	site := fstest.MapFS{}
	page := os.DirFS("../page")
	names, err := fs.Glob(page, "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := fs.ReadFile(page, name)
		if err != nil {
			t.Fatal(err)
		}
		site[name] = &fstest.MapFile{Data: content}
	}
	site["session-writer/index.js"] = &fstest.MapFile{}
	url := serve(t, mustSite(t, site))
	prefix := assetsPrefix(t, url)

	for _, test := range []struct{ path, script string }{
		{"/", "page.js"},
		{"/demo.html", "demo.js"},
	} {
		_, body := request(t, "GET", url+test.path, nil)
		for _, want := range []string{
			`<link rel="stylesheet" href="` + prefix + `page.css" />`,
			`<script type="module" src="` + prefix + test.script + `"></script>`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s has no %s", test.path, want)
			}
		}
		for _, match := range regexp.MustCompile(`\b(?:src|href)="([^"#]+)[^"]*"`).FindAllStringSubmatch(body, -1) {
			if res, _ := request(t, "GET", url+match[1], nil); res.StatusCode != 200 {
				t.Errorf("%s refers to %s, which gives %d", test.path, match[1], res.StatusCode)
			}
		}
	}
}
