//go:build !js

package server

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/coder/websocket"

	"github.com/session-interop/session-writer/web/live"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A listener is a device that listens.
type listener struct {
	*websocket.Conn
	status int
}

// address returns the URL at which a browser may listen to what concerns a session.
func (b *browser) address(t testing.TB) string {
	t.Helper()
	res := b.send(t, "", "")
	at := res.Header.Get("Session-Live")
	if at == "" {
		t.Fatalf("got %d %q, want Session-Live", res.StatusCode, res.Header)
	}
	return b.url + "/sessions/" + at
}

// listen opens a socket.
func (b *browser) listen(t testing.TB, header ...string) *listener {
	t.Helper()
	h := make(http.Header)
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	conn, res, err := websocket.Dial(t.Context(), b.address(t), &websocket.DialOptions{HTTPClient: b.Client, HTTPHeader: h})
	if res == nil {
		t.Fatal(err)
	}
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
		// What is sent before the answer to this is not for this socket's sake.
		if err := conn.Write(t.Context(), websocket.MessageText, []byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, text, err := conn.Read(t.Context()); err != nil || string(text) != "pong" {
			t.Fatalf("got %q, %v, want pong", text, err)
		}
	}
	return &listener{conn, res.StatusCode}
}

// next returns the next message.
func (l *listener) next(t testing.TB) (m struct{ Session, Cursor string }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, text, err := l.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatalf("got %q, %v, want a message", text, err)
	}
	return m
}

// closed returns the code with which the server closes it.
func (l *listener) closed(t testing.TB) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, text, err := l.Read(ctx)
	if err == nil {
		t.Fatalf("got %q, want the end", text)
	}
	return websocket.CloseStatus(err)
}

func testLive(t *testing.T, url string) {
	a, b := newBrowser(t, url), newBrowser(t, url)
	if res := a.ask(t, nil, ""); res.Header.Get("Session-Live") != "" {
		t.Errorf("somebody unknown may listen at %s", res.Header.Get("Session-Live"))
	}
	a.hello(t)
	b.hello(t)
	l := a.listen(t)
	// What another owner saves is not heard of, or it would come first.
	b.send(t, "", "["+item(`"set":{"b":1}`)+"]")
	sent := item(`"set":{"a":1}`)
	cursor := a.send(t, "", "["+sent+"]").Header.Get("Session-Cursor")
	if m := l.next(t); m.Session != "cart" || cursor == "" || m.Cursor != cursor {
		t.Errorf("told of %+v, want cart and %s", m, cursor)
	}
	// What changes nothing is not told of.
	a.send(t, cursor, "["+sent+"]")
	a.send(t, cursor, "["+item(`"set":{"a":2}`)+"]")
	if m := l.next(t); m.Cursor == cursor {
		t.Errorf("told again of %+v", m)
	}
	// A removal of everything, which is no exchange.
	a.do(t, "DELETE", "/sessions/session?session=cart", "")
	if m := l.next(t); m.Session != "cart" {
		t.Errorf("told of %+v, want cart", m)
	}
}

func testWhoMayListen(t *testing.T, url string) {
	a, stranger := newBrowser(t, url), newBrowser(t, url)
	a.hello(t)
	for origin, want := range map[string]int{
		"":                     101,
		url:                    101,
		"https://evil.example": 403,
		"null":                 403,
		url + ".evil.example":  403,
	} {
		var header []string
		if origin != "" {
			header = []string{"Origin", origin}
		}
		if l := a.listen(t, header...); l.status != want {
			t.Errorf("a page of %q gets %d, want %d", origin, l.status, want)
		}
	}
	at, _, _ := strings.Cut(a.address(t), "?")
	for _, query := range []string{"", "?ticket=", "?ticket=x", "?ticket=" + strings.Repeat("0", 64) + ".0123456789abcdef.9999999999." + strings.Repeat("0", 64)} {
		_, res, err := websocket.Dial(t.Context(), at+query, &websocket.DialOptions{HTTPClient: stranger.Client})
		if err == nil || res == nil || res.StatusCode != 401 {
			t.Errorf("a stranger at %s: %v, %v, want 401", at+query, res, err)
		}
	}
	// As it is no WebSocket, it is whether the process answers.
	if res := stranger.do(t, "GET", "/sessions/live", ""); res.StatusCode != 200 {
		t.Errorf("whether it is live: %d %s", res.StatusCode, res.body)
	}
	for _, sent := range []string{"pong", "ping ", "", strings.Repeat("x", 65), strings.Repeat("x", 1<<20)} {
		l := a.listen(t)
		_ = l.Write(t.Context(), websocket.MessageText, []byte(sent)) // it may be closed meanwhile
		l.closed(t)
	}
}

func testRevokedListener(t *testing.T, url string) {
	one, two := newBrowser(t, url), newBrowser(t, url)
	one.hello(t)
	two.do(t, "POST", "/sessions/join", `{"code":"`+one.code(t)+`"}`, asJSON...)
	first := one.listen(t)
	two.send(t, "", "")
	if m := first.next(t); m.Session != "" {
		t.Errorf("when the other one comes, the first is told of %+v, want that it is to ask", m)
	}
	if res := one.send(t, "", ""); res.Header.Get("Session-Devices") != "new" {
		t.Errorf("it asks, and is told %q, want that there is a new device", res.Header)
	}
	second := two.listen(t)
	_, device := two.listed(t)
	one.do(t, "POST", "/sessions/revoke", `{"id":"`+device.ID+`"}`, asJSON...)
	if code := second.closed(t); code != live.CodeEnded {
		t.Errorf("closed with %d, want %d", code, live.CodeEnded)
	}
	one.send(t, "", "["+item(`"set":{"a":1}`)+"]")
	if m := first.next(t); m.Session != "cart" {
		t.Errorf("the other one is told of %+v, want cart", m)
	}
}

// Nobody could end the socket of who has no device.
func TestWhoHasNoDeviceMayNotListen(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t), Identify: func(*http.Request) (string, error) { return "ada", nil }})
	server := httptest.NewServer(handler)
	defer server.Close()
	b := newBrowser(t, server.URL)
	dial := func() int {
		t.Helper()
		conn, res, err := websocket.Dial(t.Context(), server.URL+"/sessions/live", &websocket.DialOptions{HTTPClient: b.Client})
		if res == nil {
			t.Fatal(err)
		}
		if err == nil {
			_ = conn.CloseNow()
		}
		return res.StatusCode
	}
	if status := dial(); status != 401 {
		t.Errorf("before an exchange: %d, want 401", status)
	}
	if res := b.hello(t); res.Header.Get("Session-Live") != "" {
		t.Errorf("with its first exchange, it may listen at %q", res.Header.Get("Session-Live"))
	}
	if res := b.send(t, "", ""); res.Header.Get("Session-Live") == "" {
		t.Errorf("by its cookie, it is told %q, want Session-Live", res.Header)
	}
	if status := dial(); status != 101 {
		t.Errorf("by its cookie: %d, want 101", status)
	}
}

// A recordingHub remembers how long sockets may be open, and counts changes.
type recordingHub struct {
	*live.Hub
	most    []time.Duration
	changes int
}

func (h *recordingHub) Changed(topic, session, cursor string) {
	h.changes++
	h.Hub.Changed(topic, session, cursor)
}

func (h *recordingHub) Listen(w http.ResponseWriter, r *http.Request, topic, device string, most time.Duration) error {
	h.most = append(h.most, most)
	return h.Hub.Listen(w, r, topic, device, most)
}

// Otherwise its device would have no access any more, though it is there all the time.
func TestWhoListensComesBeforeItIsIdle(t *testing.T) {
	for _, test := range []struct{ idle, lifetime, want time.Duration }{
		{0, 0, 0},
		{time.Hour, 0, 30 * time.Minute},
		{0, time.Hour, time.Hour},
		{time.Hour, 2 * time.Hour, 30 * time.Minute},
		{4 * time.Hour, time.Hour, time.Hour},
	} {
		hub := &recordingHub{Hub: live.NewHub(live.Config{})}
		server := httptest.NewServer(mustNew(t, Config{DB: openDB(t), Live: hub, Idle: test.idle, Lifetime: test.lifetime}))
		b := newBrowser(t, server.URL)
		b.hello(t)
		b.listen(t)
		if len(hub.most) != 1 || hub.most[0] != test.want {
			t.Errorf("with Idle %v and Lifetime %v, a socket may be open for %v, want %v", test.idle, test.lifetime, hub.most, test.want)
		}
		hub.Close()
		server.Close()
	}
}

func TestASocketIsOfADeviceThatHasAccessNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	var processes []*sqlstore.DB
	for range 2 {
		db, err := sqlite.Open(path, sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		processes = append(processes, sqlstore.New(db, sqlstore.Limits{}))
	}
	if err := processes[0].Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(mustNew(t, Config{DB: processes[0]}))
	defer server.Close()
	b := newBrowser(t, server.URL)
	b.hello(t)
	at := b.address(t) // by which it is remembered
	_, device := b.listed(t)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	secret, _, _ := strings.Cut(b.Jar.Cookies(u)[0].Value, "-")
	known, _, err := processes[1].FindDevice(t.Context(), secret, sqlstore.Lifetimes{})
	if err == nil {
		err = processes[1].RevokeDevice(t.Context(), known.Owner, device.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, res, err := websocket.Dial(t.Context(), at, &websocket.DialOptions{HTTPClient: b.Client}); err == nil || res == nil || res.StatusCode != 401 {
		t.Errorf("another process has just revoked it: %v, %v, want 401", res, err)
	}
}

func TestWhatIsNotMadeHearsOfNothing(t *testing.T) {
	db := openDB(t)
	hub := &recordingHub{Hub: live.NewHub(live.Config{})}
	if _, err := New(Config{DB: db, Live: hub, Site: fstest.MapFS{}}); err == nil {
		t.Fatal("a site without files was taken")
	}
	s, err := db.Open(t.Context(), "ada", "cart")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	if hub.changes != 0 {
		t.Errorf("it hears of %d changes", hub.changes)
	}
}

func TestNoNewSocketsWhileAServerDrains(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t)})
	server := httptest.NewServer(handler)
	defer server.Close()
	b := newBrowser(t, server.URL)
	b.hello(t)
	one := b.listen(t)
	handler.Drain()
	if l := b.listen(t); l.status != 503 {
		t.Errorf("a new one: %d, want 503", l.status)
	}
	b.send(t, "", "["+item(`"set":{"a":1}`)+"]")
	if m := one.next(t); m.Session != "cart" {
		t.Errorf("who listens is told of %+v, want cart", m)
	}
	handler.Close()
}

func testJoinedListener(t *testing.T, url string) {
	one, two := newBrowser(t, url), newBrowser(t, url)
	one.hello(t)
	two.hello(t)
	l := two.listen(t)
	if res := two.do(t, "POST", "/sessions/join", `{"code":"`+one.code(t)+`"}`, asJSON...); res.StatusCode != 204 {
		t.Fatalf("join: %d %s", res.StatusCode, res.body)
	}
	if code := l.closed(t); code != live.CodeEnded {
		t.Errorf("what was opened before is closed with %d, want %d", code, live.CodeEnded)
	}
	two.send(t, "", "")
	if l := two.listen(t); l.status != 101 {
		t.Errorf("afterwards: %d, want 101", l.status)
	}
}

func TestAProgramsLogoutAndLoginEndSockets(t *testing.T) {
	user := ""
	handler := mustNew(t, Config{DB: openDB(t), Identify: func(*http.Request) (string, error) { return user, nil }})
	mux := http.NewServeMux()
	mux.Handle("/sessions/", handler)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		user = "ada"
		if err := handler.Adopt(w, r); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		if err := handler.Logout(w, r); err != nil {
			t.Error(err)
		}
		user = ""
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	b := newBrowser(t, server.URL)
	b.hello(t)
	l := b.listen(t)
	b.do(t, "POST", "/login", "")
	if code := l.closed(t); code != live.CodeEnded {
		t.Errorf("the visitor's is closed with %d, want %d", code, live.CodeEnded)
	}
	b.ask(t, nil, "")
	l = b.listen(t)
	b.do(t, "POST", "/logout", "")
	if code := l.closed(t); code != live.CodeEnded {
		t.Errorf("the user's is closed with %d, want %d", code, live.CodeEnded)
	}
}

func TestSocketsAreClosedAndRefusedAtTheEnd(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t)})
	server := httptest.NewServer(handler)
	defer server.Close()
	b := newBrowser(t, server.URL)
	b.hello(t)
	one := b.listen(t)
	var closing sync.WaitGroup
	closing.Go(handler.Close)
	if code := one.closed(t); code != live.CodeRestart {
		t.Errorf("closed with %d, want %d", code, live.CodeRestart)
	}
	closing.Wait()
	if l := b.listen(t); l.status != 503 {
		t.Errorf("afterwards: %d, want 503", l.status)
	}
	handler.Close()
}

func TestStatsOfSockets(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t)})
	server := httptest.NewServer(handler.Wrap(handler)) // as middleware has it
	defer server.Close()
	b := newBrowser(t, server.URL)
	b.hello(t)
	l := b.listen(t)
	b.listen(t, "Origin", "https://evil.example")
	got := handler.Stats()
	if opened, refused := got.Answers[Answer{"live", 101, ""}], got.Answers[Answer{"live", 403, "cross-origin"}]; got.Sockets != 1 || opened != 1 || refused != 1 {
		t.Errorf("%d sockets are open, %d were opened, %d were refused, want 1 each", got.Sockets, opened, refused)
	}
	go handler.Close()
	l.closed(t)
	for handler.Stats().Sockets != 0 { // until who reads it has noticed
		time.Sleep(time.Millisecond)
	}
}

func TestNoLive(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t), Live: NoLive})
	server := httptest.NewServer(handler)
	defer server.Close()
	b := newBrowser(t, server.URL)
	b.hello(t)
	if at := b.send(t, "", "").Header.Get("Session-Live"); at != "" {
		t.Errorf("told to listen at %s", at)
	}
	if _, res, err := websocket.Dial(t.Context(), server.URL+"/sessions/live", &websocket.DialOptions{HTTPClient: b.Client}); err == nil || res.StatusCode != 404 {
		t.Errorf("a socket: %v, %v, want 404", res, err)
	}
}
