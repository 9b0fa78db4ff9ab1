//go:build !js

package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

// get returns a request for a page, with the cookies that a response has set.
func get(cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest("GET", "http://localhost/page", nil)
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	return r
}

// newCookie makes somebody unknown an owner, and returns his cookie.
func newCookie(t testing.TB, h *Handler) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	to, r := h.visit(w, get())
	mustSave(t, mustOpen(t, h, r, "first"), "first", true)
	to.begin()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("the first save sets the cookies %v, want one", cookies)
	}
	return cookies[0]
}

// mustOpen opens a session in a request, which is one of its own unless it came through
// Wrap.
func mustOpen(t testing.TB, h *Handler, r *http.Request, name string) *Session {
	t.Helper()
	if h.visitOf(r) == nil {
		_, r = h.visit(httptest.NewRecorder(), r)
	}
	s, err := h.Open(nil, r, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSave(t testing.TB, s session.Writer, key string, value any) {
	t.Helper()
	if err := save(t.Context(), s, key, value); err != nil {
		t.Fatal(err)
	}
}

func save(ctx context.Context, s session.Writer, key string, value any) error {
	return s.Save(ctx, maps.All(map[string]any{key: value}))
}

func mustLoad(t testing.TB, s session.Reader) map[string]string {
	t.Helper()
	loaded, err := s.Load(t.Context())
	if err != nil || loaded == nil {
		t.Fatal(loaded, err)
	}
	texts := make(map[string]string)
	for key, value := range loaded {
		texts[key] = string(value)
	}
	return texts
}

// request returns one that the browser makes.
func (b *browser) request() *http.Request {
	r := httptest.NewRequest("GET", b.url, nil)
	for _, cookie := range b.Jar.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	return r
}

// The session of a visitor and of somebody who becomes one keep the contract.
func TestWriterOfARequest(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known=%t", known), func(t *testing.T) {
			writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
				h := mustNew(t, Config{DB: openDB(t)})
				r := get()
				if known {
					r = get(newCookie(t, h))
				}
				_, r = h.visit(httptest.NewRecorder(), r)
				return writertest.Harness{
					Open: func(context.Context) (session.Writer, error) { return h.Open(nil, r, "cart") },
					Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
						s, err := h.Open(nil, r, "cart")
						if err != nil {
							return nil, err
						}
						return s.Load(ctx)
					},
					See: func(context.Context, session.Writer) error { return nil }, // it always does
				}
			})
		})
	}
}

func TestRequestsAtOnceKeepAllKeys(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	site := httptest.NewServer(h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := h.Open(w, r, "cart")
		if err == nil {
			err = save(r.Context(), s, r.FormValue("key"), true)
		}
		if err != nil {
			h.Error(w, r, err)
		}
	})))
	defer site.Close()
	b := newBrowser(t, site.URL)
	add := func(key string) error {
		res, err := b.Get(site.URL + "/?key=" + key)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != 200 {
			err = fmt.Errorf("%s: %s", res.Status, text)
		}
		return err
	}
	if err := add("first"); err != nil {
		t.Fatal(err)
	}
	const many = 64
	failed := make(chan error, many)
	for i := range many {
		go func() { failed <- add(fmt.Sprint(i)) }()
	}
	for range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if loaded := mustLoad(t, mustOpen(t, h, b.request(), "cart")); len(loaded) != many+1 {
		t.Errorf("%d of %d keys are left", len(loaded), many+1)
	}
}

// What a handler saves and what a page saves are one session.
func TestAHandlerAndAPageShareASession(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	mux := http.NewServeMux()
	mux.Handle("/sessions/", h)
	mux.HandleFunc("/buy", func(w http.ResponseWriter, r *http.Request) {
		s, err := h.Open(w, r, "cart")
		if err == nil {
			err = save(r.Context(), s, "bought", 1)
		}
		if err != nil {
			h.Error(w, r, err)
		}
	})
	site := httptest.NewServer(h.Wrap(mux))
	defer site.Close()
	b := newBrowser(t, site.URL)
	b.do(t, "GET", "/buy", "")
	page, err := session.Open(t.Context(), session.NewMemory(), "cart", session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, page, "seen", 2)
	if err := page.Sync(t.Context(), b.server("cart")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"bought": "1", "seen": "2"}
	if loaded := mustLoad(t, page); !maps.Equal(loaded, want) {
		t.Errorf("the page has %v, want %v", loaded, want)
	}
	if loaded := mustLoad(t, mustOpen(t, h, b.request(), "cart")); !maps.Equal(loaded, want) {
		t.Errorf("the handler has %v, want %v", loaded, want)
	}
}

// Who only looks gets no cookie, and takes no room.
func TestSomebodyUnknownBecomesAnOwnerByASave(t *testing.T) {
	ctx := t.Context()
	h := mustNew(t, Config{DB: openDB(t)})
	w := httptest.NewRecorder()
	to, r := h.visit(w, get())
	cart := mustOpen(t, h, r, "cart")
	if found, err := cart.Get(ctx, "a", nil); found || err != nil {
		t.Errorf("Get: %t, %v, want false", found, err)
	}
	none := func(yield func(string, any) bool) {}
	for call, err := range map[string]error{
		"Remove": cart.Remove(ctx, "a"), "Clear": cart.Clear(ctx), "Save of nothing": cart.Save(ctx, none),
	} {
		if err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	if err := save(ctx, cart, "a", make(chan int)); !errors.Is(err, session.ErrValue) {
		t.Errorf("Save of a channel: %v, want ErrValue", err)
	}
	if err := save(ctx, cart, "a", strings.Repeat("x", 2<<20)); !errors.Is(err, session.ErrQuota) {
		t.Errorf("Save of too much: %v, want ErrQuota", err)
	}
	if err := cart.Remove(ctx, ""); !errors.Is(err, session.ErrKey) {
		t.Errorf("Remove of no key: %v, want ErrKey", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := save(cancelled, cart, "a", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Save when it is cancelled: %v", err)
	}
	if loaded := mustLoad(t, cart); len(loaded) > 0 || cart.visit.known() != (visitor{}) {
		t.Errorf("who saved nothing has %v, and is %v", loaded, cart.visit.known())
	}
	early := mustOpen(t, h, r, "cart")
	mustSave(t, cart, "a", 1)
	if loaded := mustLoad(t, early); loaded["a"] != "1" {
		t.Errorf("what one Session of the request saved, another has as %v", loaded)
	}
	mustSave(t, mustOpen(t, h, r, "draft"), "b", 2)
	to.begin()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].Name != "session-writer" || !strings.Contains(w.Header().Get("Cache-Control"), "no-cache") {
		t.Fatalf("the cookies are %v, want one, in %v", cookies, w.Header())
	}
	for name, want := range map[string]map[string]string{"cart": {"a": "1"}, "draft": {"b": "2"}} {
		again := httptest.NewRecorder()
		to, r := h.visit(again, get(cookies[0]))
		if loaded := mustLoad(t, mustOpen(t, h, r, name)); !maps.Equal(loaded, want) {
			t.Errorf("the next request finds %v in %s, want %v", loaded, name, want)
		}
		if to.begin(); len(again.Header()) > 0 {
			t.Errorf("the next response sets %v", again.Header())
		}
	}
}

// A cookie of more than a week ago is set again, once.
func TestACookieIsRenewed(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	cookie := newCookie(t, h)
	id, _, _ := strings.Cut(cookie.Value, "-")
	cookie.Value = fmt.Sprintf("%s-%d", id, today()-renewAfter)
	w := httptest.NewRecorder()
	to, r := h.visit(w, get(cookie))
	mustOpen(t, h, r, "cart")
	mustOpen(t, h, r, "draft")
	to.begin()
	if cookies := w.Result().Cookies(); len(cookies) != 1 || cookies[0].Value != fmt.Sprintf("%s-%d", id, today()) {
		t.Errorf("the cookies are %v, want one with the id %s", cookies, id)
	}
}

func TestSessionsOfOneRequestAtOnceMakeOneOwner(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	site := httptest.NewServer(h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var saving sync.WaitGroup
		for i := range 16 {
			saving.Go(func() {
				s, err := h.Open(w, r, fmt.Sprint("session", i%4))
				if err == nil {
					err = save(r.Context(), s, fmt.Sprint("key", i), i)
				}
				if err == nil {
					_, err = h.Embed(w, r, fmt.Sprint("session", i%4))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		w.Header().Set("Content-Type", "text/plain")
		saving.Wait()
	})))
	defer site.Close()
	b := newBrowser(t, site.URL)
	res := b.do(t, "GET", "/", "")
	if len(res.Cookies()) != 1 || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the header is %v, want one cookie, and no-store", res.Header)
	}
	for i := range 4 {
		if loaded := mustLoad(t, mustOpen(t, h, b.request(), fmt.Sprint("session", i))); len(loaded) != 4 {
			t.Errorf("session%d has %v, want 4 keys", i, loaded)
		}
	}
}

// Nothing is saved for whom no cookie can reach any more.
func TestSaveAfterTheHeader(t *testing.T) {
	for name, write := range map[string]func(w http.ResponseWriter){
		"Write":       func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") },
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) },
		"Copy":        func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("x")) },
		"Flush":       func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"Flusher":     func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"in another":  func(w http.ResponseWriter) { _, _ = io.WriteString(wrapping{w}, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			h := mustNew(t, Config{DB: openDB(t)})
			cookie := newCookie(t, h)
			var unknown, known, embedded error
			w := httptest.NewRecorder()
			h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				cart := mustOpen(t, h, r, "cart")
				w.WriteHeader(http.StatusEarlyHints)
				if cart.visit.written {
					t.Error("after 103 the header is written")
				}
				write(w)
				unknown = save(r.Context(), cart, "a", 1)
				known = save(r.Context(), mustOpen(t, h, get(cookie), "cart"), "a", 1)
				_, embedded = h.Embed(w, r, "cart")
			})).ServeHTTP(w, get())
			if !errors.Is(unknown, ErrTooLate) || !errors.Is(embedded, ErrTooLate) {
				t.Errorf("somebody unknown: %v, Embed: %v, want ErrTooLate", unknown, embedded)
			}
			if known != nil {
				t.Errorf("somebody known: %v", known)
			}
			if w.Header().Get("Set-Cookie") != "" {
				t.Error("a cookie is set")
			}
		})
	}
}

// bare is a ResponseWriter that can do nothing but write.
type bare struct{ http.ResponseWriter }

// What could not be flushed is not written.
func TestAFlushThatCannotBe(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush: %v", err)
		}
		mustSave(t, mustOpen(t, h, r, "cart"), "a", 1)
	})).ServeHTTP(bare{httptest.NewRecorder()}, get())
}

func TestSaveAfterTheHandler(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	var left *Session
	h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		left = mustOpen(t, h, r, "cart")
	})).ServeHTTP(httptest.NewRecorder(), get())
	if err := save(t.Context(), left, "a", 1); !errors.Is(err, ErrTooLate) {
		t.Errorf("after the handler has returned: %v, want ErrTooLate", err)
	}
}

// The cookie comes through what buffers the response, and not after that has given up.
func TestVisitInATimeoutHandler(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	saved := make(chan error, 1)
	slow := make(chan struct{})
	site := httptest.NewServer(h.Wrap(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-slow
		}
		s, err := h.Open(w, r, "cart")
		if err == nil {
			err = save(context.WithoutCancel(r.Context()), s, "a", 1)
		}
		saved <- err
	}), 100*time.Millisecond, "")))
	defer site.Close()
	if res := newBrowser(t, site.URL).do(t, "GET", "/", ""); len(res.Cookies()) != 1 || <-saved != nil {
		t.Errorf("in time: %v", res.Header)
	}
	res := newBrowser(t, site.URL).do(t, "GET", "/slow", "")
	close(slow)
	if err := <-saved; !errors.Is(err, ErrTooLate) || len(res.Cookies()) > 0 {
		t.Errorf("too late: %v, %v", err, res.Header)
	}
}

// A handler takes over the connection through Wrap as without.
func TestHijack(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	for name, hijack := range map[string]func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error){
		"asserted": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) { return w.(http.Hijacker).Hijack() },
		"controlled": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		},
	} {
		site := httptest.NewServer(h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, buffered, err := hijack(w)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			if err := save(r.Context(), mustOpen(t, h, r, "cart"), "a", 1); !errors.Is(err, ErrTooLate) {
				t.Errorf("%s: a save after that: %v, want ErrTooLate", name, err)
			}
			_, _ = buffered.WriteString("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			_ = buffered.Flush()
			_ = conn.Close()
		})))
		res, err := site.Client().Get(site.URL)
		if err != nil || res.StatusCode != 204 {
			t.Errorf("%s: %v, %v", name, res, err)
		} else {
			_ = res.Body.Close()
		}
		site.Close()
	}
}

// wrapping is what other middleware makes of a ResponseWriter.
type wrapping struct{ http.ResponseWriter }

func (w wrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestWhoseSessionARequestIsAbout(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t), Identify: func(r *http.Request) (string, error) {
		if r.Header.Get("User") == "refused" {
			return "", errors.New("not to be told")
		}
		return r.Header.Get("User"), nil
	}})
	as := func(user string, cookies ...*http.Cookie) *http.Request {
		r := get(cookies...)
		r.Header.Set("User", user)
		return r
	}
	w := httptest.NewRecorder()
	adas, err := h.Open(w, as("ada"), "cart") // a user needs no Wrap
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, adas, "whose", "ada")
	if len(w.Header()) > 0 {
		t.Errorf("a user gets %v", w.Header())
	}
	if _, err := h.Embed(w, as("ada"), "cart"); err != nil || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a user's page has %v: %v", w.Header(), err)
	}
	cookie := newCookie(t, h)
	mustSave(t, mustOpen(t, h, get(cookie), "cart"), "whose", "a visitor")
	for whose, r := range map[string]*http.Request{`"ada"`: as("ada", cookie), `"a visitor"`: get(cookie), "": as("bob", cookie)} {
		if got := mustLoad(t, mustOpen(t, h, r, "cart"))["whose"]; got != whose {
			t.Errorf("the session is %q, want %q", got, whose)
		}
	}
	if _, err := h.Open(w, as("refused", cookie), "cart"); err == nil || strings.Contains(err.Error(), "not to be told") {
		t.Errorf("who is refused: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t), Admit: func(r *http.Request) error {
		if r.Header.Get("Admit") == "" {
			return errors.New("not to be told")
		}
		return nil
	}})
	answered := func(r *http.Request, err error) *httptest.ResponseRecorder {
		t.Helper()
		if err == nil {
			t.Error("it is not refused")
		}
		w := httptest.NewRecorder()
		h.Error(w, r, err)
		return w
	}
	elsewhere := get()
	elsewhere.Host = "evil.example"
	for _, test := range []struct {
		r      *http.Request
		name   string
		status int
		says   string
	}{
		{get(), "a/b", 400, "slash"},
		{get(), "", 400, "empty"},
		{elsewhere, "cart", 421, "evil.example"},
		{get(), "cart", 500, "its log says"}, // without Wrap
	} {
		_, err := h.Open(nil, test.r, test.name)
		if w := answered(test.r, err); w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%q: %d %s, want %d and %q", test.name, w.Code, w.Body, test.status, test.says)
		}
	}

	cart := mustOpen(t, h, get(), "cart")
	if w := answered(get(), save(t.Context(), cart, "a", 1)); w.Code != 403 || !strings.Contains(w.Body.String(), `"code":"admission"`) {
		t.Errorf("who is not admitted: %d %s", w.Code, w.Body)
	}
	for _, err := range []error{save(t.Context(), cart, "", 1), save(t.Context(), cart, "a", make(chan int))} {
		if w := answered(get(), err); w.Code != 400 || !strings.Contains(w.Body.String(), `"code":"malformed"`) {
			t.Errorf("%v: %d %s, want 400", err, w.Code, w.Body)
		}
	}
	if w := answered(get(), fmt.Errorf("save: %w", ErrTooLate)); w.Code != 500 {
		t.Errorf("too late: %d, want 500", w.Code)
	}
	several := get(&http.Cookie{Name: "session-writer", Value: "a"}, &http.Cookie{Name: "session-writer", Value: "b"})
	if w := answered(several, save(t.Context(), mustOpen(t, h, several, "cart"), "a", 1)); w.Code != 400 || !strings.Contains(w.Body.String(), `"code":"cookie"`) {
		t.Errorf("with two cookies: %d %s", w.Code, w.Body)
	}
	// Browsers send no cookie with what another site posts, so he may be known.
	other := httptest.NewRequest("POST", "http://localhost/back-from-payment", nil)
	other.Header.Set("Sec-Fetch-Site", "cross-site")
	other.Header.Set("Admit", "yes")
	if w := answered(other, save(t.Context(), mustOpen(t, h, other, "cart"), "a", 1)); w.Code != 403 || !strings.Contains(w.Body.String(), `"code":"cross-origin"`) {
		t.Errorf("from another site: %d %s", w.Code, w.Body)
	}
}
