package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// contentTypes are spelt out because mime.TypeByExtension asks the system's tables,
// which differ between machines. With nosniff a wrong type is fatal.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".map":  "application/json",
	".wasm": "application/wasm",
}

// newSite returns a handler for the site in fsys. Its pages are at / plus their names,
// and index.html at /. Every other file is below a prefix with the hash of the whole site.
// So it can be cached for ever, and a page never mixes the files of two builds.
//
// FILE.br and FILE.gz are the compressed forms of FILE. newSite reads all files, and none
// is read later.
func newSite(fsys fs.FS) (http.Handler, error) {
	files := make(map[string][]byte)
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[name], err = fs.ReadFile(fsys, name)
		return err
	})
	if err != nil {
		return nil, err
	}

	hash := contentHash(files)
	prefix := "/assets/" + hash + "/"
	if _, ok := files["index.html"]; !ok {
		return nil, fmt.Errorf("index.html: %w", fs.ErrNotExist)
	}
	mux := http.NewServeMux()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !isPage(name) {
			continue
		}
		page, err := newPage(files, name, prefix, hash)
		if err != nil {
			return nil, err
		}
		pattern := "GET " + pathOf(name, prefix)
		if name == "index.html" {
			pattern += "{$}" // that path alone
		}
		mux.Handle(pattern, page)
	}
	assets, err := newAssets(files)
	if err != nil {
		return nil, err
	}

	mux.HandleFunc("GET "+prefix+"{name...}", func(w http.ResponseWriter, r *http.Request) {
		asset, ok := assets[r.PathValue("name")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		asset.ServeHTTP(w, r)
	})
	// Browsers request this file even though the page links its own icon.
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=86400")
		w.WriteHeader(http.StatusNoContent)
	})

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetDefaultHeaders(w.Header())
		mux.ServeHTTP(w, r)
	}), nil
}

// SetDefaultHeaders sets the headers that every response has. One of them keeps caches
// from storing it. A response that may be stored sets Cache-Control again.
func SetDefaultHeaders(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; "+
		"script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; "+
		"connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; "+
		"frame-ancestors 'self'")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
}

// contentHash returns 64 bits of a SHA-256 over the names and contents, in hexadecimal.
// Hashing the lengths, too, keeps a name apart from its content.
func contentHash(files map[string][]byte) string {
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(hash, "%d %s %d ", len(name), name, len(files[name]))
		hash.Write(files[name])
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// isPage reports whether a file is a page: a document that people open by its address.
func isPage(name string) bool {
	return path.Ext(name) == ".html"
}

// pathOf returns where a file of the site is served. prefix is that of the assets.
func pathOf(name, prefix string) string {
	switch {
	case name == "index.html":
		return "/"
	case isPage(name):
		return "/" + name
	}
	return prefix + name
}

// reference matches a page's references. They are relative, so that the page also works
// from a server that knows nothing of hashes. A fragment after the file's name stays.
var reference = regexp.MustCompile(`\b(src|href)="\./([^"#]*)`)

// newPage returns a page with its references changed to where the files are served.
// prefix is that of the assets, hash that of the whole site.
func newPage(files map[string][]byte, page, prefix, hash string) (*resource, error) {
	if strings.Contains(page, "/") {
		return nil, fmt.Errorf("%s: a page is in no folder", page)
	}
	source := files[page]
	matches := reference.FindAllSubmatch(source, -1)
	if matches == nil {
		return nil, fmt.Errorf(`%s: no reference of the form src="./FILE" or href="./FILE"`, page)
	}
	for _, match := range matches {
		name := string(match[2])
		if _, ok := files[name]; !ok {
			return nil, fmt.Errorf("%s refers to %q: %w", page, name, fs.ErrNotExist)
		}
	}
	body := reference.ReplaceAllFunc(source, func(match []byte) []byte {
		attribute, name, _ := strings.Cut(string(match), `="./`)
		return []byte(attribute + `="` + pathOf(name, prefix))
	})

	// A build cannot have compressed this text, because the references have changed.
	var compressed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := zip.Write(body); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return &resource{
		contentType:  contentTypes[".html"],
		cacheControl: "no-cache",
		// Weak, because all codings share it.
		etag:   `W/"` + hash + `"`,
		bodies: map[string][]byte{"identity": body, "gzip": compressed.Bytes()},
	}, nil
}

// newAssets returns all files but the pages, by name.
func newAssets(files map[string][]byte) (map[string]*resource, error) {
	assets := make(map[string]*resource)
	for name, body := range files {
		if plain, _ := splitCoding(name); plain != name || isPage(name) {
			continue
		}
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			return nil, fmt.Errorf("%s: no content type is known for %q", name, path.Ext(name))
		}
		assets[name] = &resource{
			contentType:  contentType,
			cacheControl: "public, max-age=31536000, immutable",
			bodies:       map[string][]byte{"identity": body},
		}
	}
	for name, body := range files {
		plain, coding := splitCoding(name)
		if plain == name || isPage(plain) {
			continue
		}
		asset, ok := assets[plain]
		if !ok {
			return nil, fmt.Errorf("%s is there without %s", name, plain)
		}
		asset.bodies[coding] = body
	}
	return assets, nil
}

// splitCoding splits the name of a compressed file into the name of the plain file and
// the content coding. It returns any other name as it is, with the coding identity.
func splitCoding(name string) (plain, coding string) {
	if plain, ok := strings.CutSuffix(name, ".br"); ok {
		return plain, "br"
	}
	if plain, ok := strings.CutSuffix(name, ".gz"); ok {
		return plain, "gzip"
	}
	return name, "identity"
}

// A resource is one file in one or more content codings.
type resource struct {
	contentType  string
	cacheControl string
	etag         string            // may be empty
	bodies       map[string][]byte // by content coding; identity is always there
}

// ServeHTTP answers with the body in the coding that the request prefers.
func (res *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Vary", "Accept-Encoding")
	coding := negotiate(r.Header.Values("Accept-Encoding"), res.bodies)
	if coding == "" {
		http.Error(w, "no acceptable content coding", http.StatusNotAcceptable)
		return
	}
	header.Set("Cache-Control", res.cacheControl)
	if res.etag != "" {
		header.Set("ETag", res.etag)
		if matchesETag(r.Header.Values("If-None-Match"), res.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if coding != "identity" {
		header.Set("Content-Encoding", coding)
	}
	body := res.bodies[coding]
	header.Set("Content-Type", res.contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		// An error means that the client is gone.
		_, _ = w.Write(body)
	}
}

// negotiate returns the offered coding that suits these Accept-Encoding fields best (RFC
// 9110, section 12.5.3), or "" if none may be sent. Of equal weights the smaller form
// wins.
func negotiate(accept []string, offered map[string][]byte) string {
	weights := make(map[string]float64)
	for element := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		coding, weight, ok := parseWeighted(element)
		if ok {
			weights[coding] = weight
		}
	}
	best, bestWeight := "", 0.0
	for _, coding := range []string{"br", "gzip", "identity"} {
		if _, ok := offered[coding]; !ok {
			continue
		}
		weight, listed := weights[coding]
		if !listed {
			weight, listed = weights["*"]
		}
		if !listed && coding == "identity" && best == "" {
			// Identity is acceptable even if it is not listed.
			return coding
		}
		if weight > bestWeight {
			best, bestWeight = coding, weight
		}
	}
	return best
}

// parseWeighted reads an element of Accept-Encoding, such as gzip;q=0.5.
func parseWeighted(element string) (coding string, weight float64, ok bool) {
	coding, parameter, hasWeight := strings.Cut(element, ";")
	coding = strings.ToLower(strings.TrimSpace(coding))
	if coding == "x-gzip" {
		coding = "gzip" // RFC 9110, section 8.4.1.3
	}
	if !hasWeight {
		return coding, 1, coding != ""
	}
	name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
	weight, err := strconv.ParseFloat(value, 64)
	ok = coding != "" && strings.EqualFold(name, "q") && err == nil && weight >= 0 && weight <= 1
	return coding, weight, ok
}

// matchesETag reports whether one of the If-None-Match fields names etag, by
// the weak comparison that RFC 9110, section 13.1.2 asks for.
func matchesETag(ifNoneMatch []string, etag string) bool {
	for candidate := range strings.SplitSeq(strings.Join(ifNoneMatch, ","), ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}
