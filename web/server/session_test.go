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

// visit makes somebody unknown an owner, and returns his cookie.
func visit(t testing.TB, h *Handler) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	mustSave(t, mustOpen(t, h, w, get(), "first"), "first", true)
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("the first save sets the cookies %v, want one", cookies)
	}
	return cookies[0]
}

func mustOpen(t testing.TB, h *Handler, w http.ResponseWriter, r *http.Request, name string) *Session {
	t.Helper()
	s, err := h.Open(w, r, name)
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
				w, r := httptest.NewRecorder(), get()
				if known {
					r = get(visit(t, h))
				}
				return writertest.Harness{
					Open: func(context.Context) (session.Writer, error) { return h.Open(w, r, "cart") },
					Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
						s, err := h.Open(w, r, "cart")
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
	if loaded := mustLoad(t, mustOpen(t, h, httptest.NewRecorder(), b.request(), "cart")); len(loaded) != many+1 {
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
	site := httptest.NewServer(mux)
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
	if loaded := mustLoad(t, mustOpen(t, h, httptest.NewRecorder(), b.request(), "cart")); !maps.Equal(loaded, want) {
		t.Errorf("the handler has %v, want %v", loaded, want)
	}
}

// Who only looks gets no cookie, and takes no room.
func TestSomebodyUnknownBecomesAnOwnerByASave(t *testing.T) {
	ctx := t.Context()
	h := mustNew(t, Config{DB: openDB(t)})
	w := httptest.NewRecorder()
	cart := mustOpen(t, h, w, get(), "cart")
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
	if err := cart.Remove(ctx, ""); !errors.Is(err, session.ErrKey) {
		t.Errorf("Remove of no key: %v, want ErrKey", err)
	}
	if loaded := mustLoad(t, cart); len(loaded) > 0 || len(w.Header()) > 0 {
		t.Errorf("who saved nothing has %v and the header %v", loaded, w.Header())
	}
	mustSave(t, cart, "a", 1)
	mustSave(t, mustOpen(t, h, w, get(), "draft"), "b", 2)
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].Name != "session-writer" {
		t.Fatalf("the cookies are %v, want one", cookies)
	}
	for name, want := range map[string]map[string]string{"cart": {"a": "1"}, "draft": {"b": "2"}} {
		again := httptest.NewRecorder()
		if loaded := mustLoad(t, mustOpen(t, h, again, get(cookies[0]), name)); !maps.Equal(loaded, want) {
			t.Errorf("the next request finds %v in %s, want %v", loaded, name, want)
		}
		if len(again.Header()) > 0 {
			t.Errorf("the next response sets %v", again.Header())
		}
	}
}

func TestSessionsOfOneRequestAtOnceMakeOneOwner(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	w, r := httptest.NewRecorder(), get()
	var saving sync.WaitGroup
	for i := range 16 {
		saving.Go(func() {
			s, err := h.Open(w, r, fmt.Sprint("session", i%4))
			if err == nil {
				err = save(t.Context(), s, fmt.Sprint("key", i), i)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	saving.Wait()
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies, want one", len(cookies))
	}
	for i := range 4 {
		if loaded := mustLoad(t, mustOpen(t, h, httptest.NewRecorder(), get(cookies[0]), fmt.Sprint("session", i))); len(loaded) != 4 {
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
			db := openDB(t)
			h := mustNew(t, Config{DB: db})
			cookie := visit(t, h)
			var unknown, known error
			w := httptest.NewRecorder()
			h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				cart := mustOpen(t, h, wrapping{w}, r, "cart")
				seen := mustOpen(t, h, w, get(cookie), "cart")
				w.WriteHeader(http.StatusEarlyHints)
				if written(w) {
					t.Error("after 103 the header is written")
				}
				write(w)
				unknown = save(r.Context(), cart, "a", 1)
				known = save(r.Context(), seen, "a", 1)
			})).ServeHTTP(w, get())
			if !errors.Is(unknown, ErrTooLate) {
				t.Errorf("somebody unknown: %v, want ErrTooLate", unknown)
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

func TestSaveAfterTheHandler(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	var left *Session
	w := httptest.NewRecorder()
	h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		left = mustOpen(t, h, w, r, "cart")
	})).ServeHTTP(w, get())
	if err := save(t.Context(), left, "a", 1); !errors.Is(err, ErrTooLate) {
		t.Errorf("after the handler has returned: %v, want ErrTooLate", err)
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
	mustSave(t, mustOpen(t, h, w, as("ada"), "cart"), "whose", "ada")
	if len(w.Header()) > 0 {
		t.Errorf("a user gets %v", w.Header())
	}
	cookie := visit(t, h)
	mustSave(t, mustOpen(t, h, w, get(cookie), "cart"), "whose", "a visitor")
	for whose, r := range map[string]*http.Request{`"ada"`: as("ada", cookie), `"a visitor"`: get(cookie), "": as("bob", cookie)} {
		if got := mustLoad(t, mustOpen(t, h, w, r, "cart"))["whose"]; got != whose {
			t.Errorf("the session is %q, want %q", got, whose)
		}
	}
	if _, err := h.Open(w, as("refused", cookie), "cart"); err == nil || strings.Contains(err.Error(), "not to be told") {
		t.Errorf("who is refused: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	db := openDB(t)
	h := mustNew(t, Config{DB: db, Admit: func(*http.Request) error { return errors.New("not to be told") }})
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
	} {
		_, err := h.Open(httptest.NewRecorder(), test.r, test.name)
		if err == nil {
			t.Errorf("the session %q is opened", test.name)
			continue
		}
		w := httptest.NewRecorder()
		h.Error(w, test.r, err)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%q: %d %s, want %d and %q", test.name, w.Code, w.Body, test.status, test.says)
		}
	}

	w := httptest.NewRecorder()
	err := save(t.Context(), mustOpen(t, h, w, get(), "cart"), "a", 1)
	if h.Error(w, get(), err); err == nil || w.Code != 403 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("who is not admitted: %v, %d, Set-Cookie %q", err, w.Code, w.Header().Get("Set-Cookie"))
	}
	several := get(&http.Cookie{Name: "session-writer", Value: "a"}, &http.Cookie{Name: "session-writer", Value: "b"})
	w = httptest.NewRecorder()
	err = save(t.Context(), mustOpen(t, h, w, several, "cart"), "a", 1)
	if h.Error(w, get(), err); w.Code != 400 || !strings.Contains(w.Body.String(), `"code":"cookie"`) {
		t.Errorf("with two cookies: %v, %d %s", err, w.Code, w.Body)
	}
}
