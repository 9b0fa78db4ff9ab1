//go:build !js

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/urltest"
	"github.com/session-interop/session-writer/web/client"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
	"github.com/session-interop/session-writer/writertest"
)

// A sessionServer is a server of sessions, and what happens to its requests.
type sessionServer struct {
	url      string
	handler  http.Handler
	store    *sqlstore.DB
	requests atomic.Int32
	writes   atomic.Int32
	// refuses answers in place of the handler, if it is not nil.
	refuses atomic.Pointer[http.HandlerFunc]
}

// serve starts a server. Its users are those of HTTP's basic authentication, or visitors.
func serve(t *testing.T, identify func(*http.Request) (string, error)) *sessionServer {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &sessionServer{store: sqlstore.New(db, sqlstore.Limits{})}
	if err := s.store.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.handler, err = server.New(server.Config{DB: s.store, Identify: identify}); err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if r.ContentLength > int64(len("[]")) {
			s.writes.Add(1)
		}
		if refuse := s.refuses.Load(); refuse != nil {
			(*refuse)(w, r)
			return
		}
		s.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(listening.Close)
	s.url = listening.URL + "/sessions/?session=cart"
	return s
}

// refuse has every request answered so, until restore.
func (s *sessionServer) refuse(handler http.HandlerFunc) (restore func()) {
	s.refuses.Store(&handler)
	return func() { s.refuses.Store(nil) }
}

func TestContract(t *testing.T) {
	writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
		s := serve(t, nil)
		return writertest.Harness{
			Open: func(ctx context.Context) (session.Writer, error) { return session.OpenURL(ctx, s.url) },
			Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
				reader, err := session.OpenURL(ctx, s.url)
				if err != nil {
					return nil, err
				}
				return reader.Load(ctx)
			},
			See: func(ctx context.Context, w session.Writer) error {
				_, err := w.(session.Reader).Load(ctx)
				return err
			},
			Refuse: func() (restore func()) {
				return s.refuse(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
			},
			Writes: func() int { return int(s.writes.Load()) },
		}
	})
}

func TestACallIsOneExchange(t *testing.T) {
	ctx, s := t.Context(), serve(t, nil)
	cart := urltest.Open(t, s.url)
	if err := cart.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil { // makes the owner
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"Save":   func() error { return cart.Save(ctx, maps.All(map[string]any{"a": 1, "b": 2})) },
		"Remove": func() error { return cart.Remove(ctx, "b") },
		"Clear":  func() error { return cart.Clear(ctx) },
		"Load":   func() error { _, err := cart.Load(ctx); return err },
		"Get":    func() error { _, err := cart.Get(ctx, "a", nil); return err },
	} {
		before := s.requests.Load()
		if err := call(); err != nil || s.requests.Load() != before+1 {
			t.Errorf("%s: %d requests, %v, want one", name, s.requests.Load()-before, err)
		}
	}
	before := s.requests.Load()
	err := errors.Join(cart.Save(ctx, maps.All(map[string]any{})), cart.Remove(ctx), cart.Close())
	if err != nil || s.requests.Load() != before {
		t.Errorf("nothing to be written: %d requests, %v", s.requests.Load()-before, err)
	}
}

func TestWhatTheServerDidNotTakeIsNotSaved(t *testing.T) {
	ctx, s := t.Context(), serve(t, nil)
	cart := urltest.Open(t, s.url)
	if err := cart.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	restore := s.refuse(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	refusal, is := errors.AsType[*client.RefusalError](cart.Save(ctx, maps.All(map[string]any{"a": 2, "b": 2})))
	if !is || refusal.Status != http.StatusBadGateway {
		t.Errorf("got %v, want what the server answers", refusal)
	}
	if _, err := cart.Load(ctx); err == nil {
		t.Error("a Load that did not ask the server succeeds")
	}
	restore()
	if err := cart.Save(ctx, maps.All(map[string]any{"c": 3})); err != nil {
		t.Fatal(err)
	}
	entries, err := urltest.Open(t, s.url).Load(ctx)
	if err != nil || fmt.Sprintf("%s", entries) != "map[a:1 c:3]" {
		t.Errorf("the server has %s, %v, want a 1 and c 3", entries, err)
	}

	large := strings.Repeat("x", 2<<20)
	entry, is := errors.AsType[*session.EntryError](cart.Save(ctx, maps.All(map[string]any{"large": large})))
	if !is || entry.Key != "large" || !errors.Is(entry, session.ErrQuota) {
		t.Errorf("got %v, want that there is no room for it", entry)
	}
	if found, err := cart.Get(ctx, "large", nil); found || err != nil {
		t.Errorf("what had no room: found %v, %v", found, err)
	}
}

// basic takes the user of HTTP's basic authentication for the owner.
func basic(r *http.Request) (string, error) {
	user, password, _ := r.BasicAuth()
	if password != "hunter" {
		return "", errors.New("who is that?")
	}
	return user, nil
}

func TestTheUserOfAURL(t *testing.T) {
	ctx, s := t.Context(), serve(t, basic)
	as := func(user string) string { return strings.Replace(s.url, "://", "://"+user+"@", 1) }
	if err := urltest.Open(t, as("ada:hunter")).Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	of, err := s.store.Open(ctx, "ada", "cart")
	if err != nil {
		t.Fatal(err)
	}
	if found, err := of.Get(ctx, "a", nil); !found || err != nil {
		t.Errorf("the server has it: %v, %v", found, err)
	}
	if found, err := urltest.Open(t, as("bob:hunter")).Get(ctx, "a", nil); found || err != nil {
		t.Errorf("another user finds it: %v, %v", found, err)
	}
	if _, err := session.OpenURL(ctx, as("ada:secret")); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

func TestAnotherOwner(t *testing.T) {
	ctx := t.Context()
	var user atomic.Value
	user.Store("ada")
	s := serve(t, func(*http.Request) (string, error) { return user.Load().(string), nil })
	cart := urltest.Open(t, s.url)
	if err := cart.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	user.Store("bob")
	_, loaded := cart.Load(ctx)
	for call, err := range map[string]error{
		"Save":  cart.Save(ctx, maps.All(map[string]any{"b": 2})),
		"Clear": cart.Clear(ctx),
		"Load":  loaded,
	} {
		if other, is := errors.AsType[*session.OwnerError](err); !is || other.Owner != sqlstore.Tag("bob") {
			t.Errorf("%s: got %v, want whose session it is", call, err)
		}
	}
	if entries, err := urltest.Open(t, s.url).Load(ctx); err != nil || len(entries) != 0 {
		t.Errorf("the other owner has %s, %v", entries, err)
	}
	user.Store("ada")
	if entries, err := cart.Load(ctx); err != nil || fmt.Sprintf("%s", entries) != "map[a:1]" {
		t.Errorf("the former owner has %s, %v", entries, err)
	}
}

func TestCookiesInAFile(t *testing.T) {
	ctx, s := t.Context(), serve(t, nil)
	file := filepath.Join(t.TempDir(), "cookies")
	// The other URLs of the server stand for processes, which share nothing but the file.
	in := func(process string) string {
		return strings.Replace(s.url, "://", "://"+process+"@", 1) + "&cookies=" + file
	}
	if err := urltest.Open(t, in("first")).Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	if found, err := urltest.Open(t, in("second")).Get(ctx, "a", nil); !found || err != nil {
		t.Errorf("the next process: found %v, %v", found, err)
	}
	if found, err := urltest.Open(t, s.url).Get(ctx, "a", nil); found || err != nil {
		t.Errorf("without the file: found %v, %v", found, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("<html>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := session.OpenURL(ctx, in("third")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want that the file has something else", err)
	}
}

func TestCookiesThatCannotBeKept(t *testing.T) {
	ctx, s := t.Context(), serve(t, nil)
	folder := filepath.Join(t.TempDir(), "missing")
	cart := urltest.Open(t, s.url+"&cookies="+folder+"/cookies")
	for range 2 {
		err := cart.Save(ctx, maps.All(map[string]any{"a": 1}))
		if !errors.Is(err, os.ErrNotExist) || s.writes.Load() != 0 {
			t.Errorf("got %v with %d writes, want that there is no such folder", err, s.writes.Load())
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := cart.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Errorf("when there is the folder: %v", err)
	}
}

// The server renews a cookie when it has merged what was sent. Then it is saved.
func TestACookieThatCannotBeRenewed(t *testing.T) {
	ctx, s := t.Context(), serve(t, nil)
	folder := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "cookies")
	cart := urltest.Open(t, s.url+"&cookies="+file)
	if err := cart.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	s.refuse(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "renewed", Value: "1", Path: "/"})
		s.handler.ServeHTTP(w, r)
	})
	if err := cart.Save(ctx, maps.All(map[string]any{"a": 2})); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := cart.Load(ctx); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "renewed=1") {
		t.Errorf("the file has %s, %v, want what was renewed", text, err)
	}
}

func TestMaxAgeOfAURL(t *testing.T) {
	var query string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		w.Header().Set("Session-Cursor", "")
	}))
	defer s.Close()
	if _, err := session.OpenURL(t.Context(), s.URL+"/?session=a%2Bb&maxAge=1h"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(query, "max-age=3600000") || !strings.Contains(query, "session=a%2Bb") {
		t.Errorf("it asks for %s", query)
	}
}

func TestWhatAURLMayNotBe(t *testing.T) {
	for _, test := range []struct {
		url  string
		want []string
	}{
		{"https://example.com/sessions/", []string{`"session"`, "session=cart"}},
		{"https://example.com/sessions/?session=a/b", []string{"must not contain a slash"}},
		{"https://example.com/sessions/?session=cart&cookies=", []string{`parameter "cookies"`, "cookies=/var/lib"}},
		{"https:/sessions/?session=cart", []string{"no host", "https://example.com/sessions/?session=cart"}},
		{"https:example.com?session=cart", []string{"no host"}},
		{"https://:443/?session=cart", []string{"no host"}},
		{"http://example.com/sessions/?session=cart", []string{"it is not https", "http://localhost"}},
		{"http://127.0.0.1.example.com/?session=cart", []string{"it is not https"}},
		{"https://example.com/?session=cart&maxAge=1d&owner=ada", []string{`"1d"`, `unknown parameter "owner": there are session, maxAge, cookies`}},
	} {
		s, err := session.OpenURL(t.Context(), test.url)
		if s != nil || !errors.Is(err, session.ErrConfig) {
			t.Errorf("%s: got %v, %v, want an error that wraps ErrConfig", test.url, s, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want it to say %q", test.url, err, want)
			}
		}
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	url := strings.Replace(s.URL, "://", "://ada:hunter@", 1) + "/sessions/?session=cart"
	for _, when := range []string{"it is something else", "nobody listens"} {
		if _, err := session.OpenURL(t.Context(), url); err == nil || strings.Contains(err.Error(), "hunter") || errors.Is(err, session.ErrConfig) {
			t.Errorf("%s: got %v", when, err)
		}
		s.Close()
	}
}
