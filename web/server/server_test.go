//go:build !js

package server

import (
	"errors"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// answerTo returns what a handler says to a request, without a network.
func answerTo(handler http.Handler, r *http.Request) (int, http.Header, string) {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	return recorder.Code, recorder.Result().Header, recorder.Body.String()
}

func post(path, body string) *http.Request {
	if strings.HasPrefix(path, "/") {
		path = "http://localhost" + path
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestTheCookieIsForThisHostAndHTTPS(t *testing.T) {
	for _, test := range []struct {
		Config
		url    string
		prefix string
	}{
		{Config{}, "http://localhost:8080", "session-writer="},
		{Config{}, "http://127.0.0.1", "session-writer="},
		{Config{}, "http://[::1]:9", "session-writer="},
		{Config{}, "https://localhost", "__Host-session-writer="},
		{Config{}, "https://example.com", "__Host-session-writer="},
		// Behind something that ends TLS.
		{Config{Origins: []string{"https://example.com"}}, "http://example.com", "__Host-session-writer="},
		{Config{Origins: []string{"https://localhost:8443"}}, "http://localhost:8443", "__Host-session-writer="},
		{Config{Origins: []string{"https://example.com", "http://localhost:8080"}}, "http://localhost:8080", "session-writer="},
		{Config{TrustHost: true}, "http://example.com", "__Host-session-writer="},
		{Config{TrustHost: true}, "http://127.0.0.1:8787", "session-writer="},
	} {
		test.DB = openDB(t)
		handler := mustNew(t, test.Config)
		code, header, body := answerTo(handler, post(test.url+"/sessions/exchange?session=cart", "[]"))
		cookie := header.Get("Set-Cookie")
		secure := strings.HasPrefix(test.prefix, "__Host-")
		if code != 204 || !strings.HasPrefix(cookie, test.prefix) || strings.Contains(cookie, "Secure") != secure ||
			!strings.Contains(cookie, "; Path=/;") || strings.Contains(cookie, "Domain") || strings.Contains(cookie, ",") {
			t.Errorf("%s: %d %s, Set-Cookie: %s", test.url, code, body, cookie)
		}

		// A cookie of the plain name, which other hosts can set, is none there.
		value, _, _ := strings.Cut(strings.TrimPrefix(cookie, test.prefix), ";")
		for name, want := range map[string]int{test.prefix: 204, "x-": 412, strings.TrimPrefix(test.prefix, "__Host-"): map[bool]int{false: 204, true: 412}[secure]} {
			r := post(test.url+"/sessions/exchange?session=cart&owner="+header.Get("Session-Owner"), "")
			r.Header.Set("Cookie", name+value)
			if code, _, _ := answerTo(handler, r); code != want {
				t.Errorf("%s with the cookie %s: %d, want %d", test.url, name, code, want)
			}
		}
	}
}

func TestIdentify(t *testing.T) {
	var logged strings.Builder
	handler := mustNew(t, Config{DB: openDB(t), ErrorLog: log.New(&logged, "", 0), Identify: func(r *http.Request) (string, error) {
		if user := r.Header.Get("User"); user != "nobody" {
			return user, nil
		}
		return "", errors.New("not to be told")
	}})
	ask := func(user, path, body string) (int, http.Header, string) {
		r := post(path, body)
		r.Header.Set("User", user)
		return answerTo(handler, r)
	}
	const hello = "/sessions/exchange?session=cart"
	sent := item(`"set":{"a":1}`)
	for _, items := range []string{"", "[]", "[" + sent + "]"} {
		code, header, body := ask("ada", hello, items)
		if code != 204 || header.Get("Session-Owner") != sqlstore.Tag("ada") || header.Get("Session-Cursor") != "" || !strings.HasPrefix(header.Get("Set-Cookie"), "session-writer-user=") {
			t.Errorf("Ada says %q: %d %v %s, want 204, her tag, and a cookie for her device", items, code, header, body)
		}
	}
	exchange := hello + "&owner=" + sqlstore.Tag("ada")
	if code, header, body := ask("ada", exchange, ""); code != 204 || header.Get("Session-Cursor") != "" {
		t.Errorf("Ada has %d %v %s, want nothing yet", code, header, body)
	}
	if code, header, body := ask("ada", exchange, "["+sent+"]"); code != 200 || body != sent {
		t.Errorf("Ada's first: %d %v %s", code, header, body)
	}
	if code, _, body := ask("ada", exchange, ""); code != 200 || body != sent {
		t.Errorf("Ada has %d %s, want %s", code, body, sent)
	}
	if code, _, body := ask("bob", hello+"&owner="+sqlstore.Tag("bob"), ""); code != 204 {
		t.Errorf("Bob has %d %s, want nothing", code, body)
	}
	if code, header, body := ask("bob", exchange, ""); code != 412 || header.Get("Session-Owner") != sqlstore.Tag("bob") {
		t.Errorf("Bob asks as Ada: %d %s, want 412 and his tag", code, body)
	}
	code, _, body := ask("nobody", exchange, "["+sent+"]")
	if code != 401 || !strings.Contains(body, `"code":"identity"`) || strings.Contains(body, "not to be told") {
		t.Errorf("who is refused: %d %s, want 401 identity", code, body)
	}
	// Who is not signed in is a visitor. What a page still has of Ada is not his.
	if code, header, body := ask("", exchange, "["+sent+"]"); code != 412 || header.Get("Session-Heir") != "" ||
		header.Get("Session-Owner") != sqlstore.Nobody || header.Get("Set-Cookie") != "" {
		t.Errorf("somebody unknown asks as Ada: %d %v %s, want 412 and nobody's tag", code, header, body)
	}
	if code, header, body := ask("", hello, "[]"); code != 204 || header.Get("Session-Owner") == "" || !strings.HasPrefix(header.Get("Set-Cookie"), "session-writer=") {
		t.Errorf("a visitor's first: %d %v %s, want 204, a tag and a cookie", code, header, body)
	}
	if !strings.Contains(logged.String(), "not to be told") {
		t.Errorf("the log does not say why: %q", &logged)
	}
	for _, path := range []string{"/sessions/pair", "/sessions/join"} {
		if code, _, _ := ask("ada", path, `{"code":"x"}`); code != 404 {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
}

func TestAdmit(t *testing.T) {
	var logged strings.Builder
	handler := mustNew(t, Config{DB: openDB(t), ErrorLog: log.New(&logged, "", 0), Admit: func(r *http.Request) error {
		if r.Header.Get("Ticket") == "" {
			return errors.New("not to be told")
		}
		return nil
	}})
	const hello = "/sessions/exchange?session=cart"
	for _, path := range []string{hello, "/sessions/pair"} {
		code, header, body := answerTo(handler, post(path, "[]"))
		if code != 403 || !strings.Contains(body, `"code":"admission"`) || strings.Contains(body, "not to be told") || header.Get("Set-Cookie") != "" {
			t.Errorf("%s without a ticket: %d %s, want 403 admission", path, code, body)
		}
		if !strings.Contains(logged.String(), "not to be told") {
			t.Errorf("the log does not say why: %q", &logged)
		}
		r := post(path, "[]")
		r.Header.Set("Ticket", "1")
		code, header, body = answerTo(handler, r)
		cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
		if code >= 300 || cookie == "" {
			t.Errorf("%s with a ticket: %d %s", path, code, body)
		}
		r = post(path, "[]")
		r.Header.Set("Cookie", cookie) // who is known needs no ticket
		if code, _, body = answerTo(handler, r); code >= 300 {
			t.Errorf("%s again: %d %s", path, code, body)
		}
	}
	if code, _, _ := answerTo(handler, post(hello, "")); code != 204 {
		t.Errorf("who only asks: %d, want 204", code)
	}
}

func TestTooManyNewOwners(t *testing.T) {
	db, err := sqlite.Open(t.TempDir()+"/sessions.db", sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	d := sqlstore.New(db, sqlstore.Limits{Owners: 1, Codes: 1})
	if err := d.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	handler := mustNew(t, Config{DB: d})
	_, header, _ := answerTo(handler, post("/sessions/pair", ""))
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	code, header, body := answerTo(handler, post("/sessions/exchange?session=cart", "[]"))
	if code != 503 || !strings.Contains(body, `"code":"busy"`) || header.Get("Retry-After") == "" || header.Get("Set-Cookie") != "" {
		t.Errorf("a second owner in a minute: %d %s, want 503 busy, and when to try again", code, body)
	}
	again := post("/sessions/pair", "")
	again.Header.Set("Cookie", cookie)
	if code, _, body := answerTo(handler, again); code != 413 || !strings.Contains(body, `"code":"quota"`) {
		t.Errorf("a second code: %d %s, want 413 quota", code, body)
	}
}

func TestADatabaseThatIsFull(t *testing.T) {
	db, err := sqlite.Open(t.TempDir()+"/sessions.db", sqlite.Config{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	d := sqlstore.New(db, sqlstore.Limits{})
	if err := d.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(mustNew(t, Config{DB: d}))
	defer server.Close()
	b := newBrowser(t, server.URL)
	b.hello(t)
	kept := item(`"set":{"a":1}`)
	b.send(t, "", "["+kept+"]")
	res := b.send(t, "", "["+item(`"set":{"b":"`+strings.Repeat("b", 1_000_000)+`"}`)+"]")
	if res.StatusCode != 507 || res.code(t) != "full" {
		t.Errorf("what has no room: %d %s, want 507 full", res.StatusCode, res.body)
	}
	if res := b.send(t, "", ""); res.StatusCode != 200 || res.body != kept {
		t.Errorf("afterwards: %d %s, want %s", res.StatusCode, res.body, kept)
	}
}

func TestAPanicIsAnswered(t *testing.T) {
	var logged strings.Builder
	handler := mustNew(t, Config{DB: openDB(t), ErrorLog: log.New(&logged, "", 0), Identify: func(*http.Request) (string, error) {
		panic("not to be told")
	}})
	code, _, body := answerTo(handler, post("/sessions/exchange?session=cart", ""))
	if code != 500 || !strings.Contains(body, `"code":"internal"`) || strings.Contains(body, "not to be told") {
		t.Errorf("got %d %s, want 500 internal", code, body)
	}
	if !strings.Contains(logged.String(), "not to be told") {
		t.Errorf("the log does not say what: %q", &logged)
	}
}

func TestADatabaseThatFails(t *testing.T) {
	db, err := sqlite.Open(t.TempDir()+"/sessions.db", sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	handler := mustNew(t, Config{DB: sqlstore.New(db, sqlstore.Limits{}), ErrorLog: log.New(&logged, "", 0)})
	check := func() {
		t.Helper()
		id := newSecret()
		exchange := post("http://localhost/sessions/exchange?session=cart&owner="+sqlstore.Tag(id), "["+item(`"set":{"a":1}`)+"]")
		exchange.Header.Set("Cookie", "session-writer="+id+"-0") // that is to be renewed
		for _, r := range []*http.Request{
			exchange,
			post("/sessions/pair", ""),
			post("/sessions/join", `{"code":"0000-0000-0000-0000"}`),
			httptest.NewRequest("GET", "http://localhost/sessions/health", nil),
		} {
			logged.Reset()
			code, header, body := answerTo(handler, r)
			if code != 503 || !strings.Contains(body, `"code":"unavailable"`) || strings.Contains(body, "sql") || header.Get("Set-Cookie") != "" {
				t.Errorf("%s: %d %s, want 503 unavailable", r.URL, code, body)
			}
			if logged.Len() == 0 {
				t.Errorf("%s: nothing is logged", r.URL)
			}
		}
	}
	check() // without the tables
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestTheSiteIsServedBesideTheSessions(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t), Site: testSite()})
	for path, want := range map[string]int{"/": 200, "/sessions/health": 200, "/sessions/": 404, "/nothing": 404} {
		code, header, _ := answerTo(handler, httptest.NewRequest("GET", "http://localhost"+path, nil))
		if code != want || header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if code, _, _ := answerTo(mustNew(t, Config{DB: openDB(t)}), httptest.NewRequest("GET", "http://localhost/", nil)); code != 404 {
		t.Errorf("without a site / gives %d, want 404", code)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New takes no DB")
	}
}
