//go:build !js

package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// TestServer tests whatever server SERVER_URL names, such as
// http://127.0.0.1:8787, or the handler natively when it names none. The tests
// have owners of their own, so a server may be tested again and again. They
// must be run on its machine: they expect the cookie that is for http.
func TestServer(t *testing.T) {
	url := serverURL(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, url string)
	}{
		{"health", testHealth},
		{"first-contact", testFirstContact},
		{"exchange", testExchange},
		{"clock-skew", testClockSkewOfAnHour},
		{"cookie", testCookie},
		{"pairing", testPairing},
		{"devices", testDevices},
		{"live", testLive},
		{"who-may-listen", testWhoMayListen},
		{"revoked-listener", testRevokedListener},
		{"joined-listener", testJoinedListener},
		{"refusals", testRefusals},
		{"client", testClient},
		{"owner", testOwner},
		{"hostile-requests", testHostileRequests},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, url) })
	}
}

// serverURL returns the URL of the server that is tested.
func serverURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("SERVER_URL"); url != "" {
		return strings.TrimSuffix(url, "/")
	}
	server := httptest.NewServer(mustNew(t, Config{DB: openDB(t)}))
	t.Cleanup(server.Close)
	return server.URL
}

// openDB returns an empty database.
func openDB(t testing.TB) *sqlstore.DB { return openDBWith(t, sqlstore.Limits{}) }

func openDBWith(t testing.TB, limits sqlstore.Limits) *sqlstore.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	d := sqlstore.New(db, limits)
	if err := d.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func mustNew(t testing.TB, config Config) *Handler {
	t.Helper()
	if config.ErrorLog == nil {
		config.ErrorLog = log.New(t.Output(), "", 0)
	}
	handler, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// A browser is a client with cookies of its own.
type browser struct {
	*http.Client
	url   string
	owner string // the tag
}

func newBrowser(t testing.TB, url string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{Client: &http.Client{Jar: jar}, url: url}
}

// server returns the exchange of a session.
func (b *browser) server(name string) session.Replica {
	return client.New(b.Client, b.url+"/sessions/")(name)
}

// A reply is a response that has been read.
type reply struct {
	*http.Response
	body string
}

// code returns that of an error.
func (r reply) code(t testing.TB) string {
	t.Helper()
	var says struct{ Code, Error string }
	if err := json.Unmarshal([]byte(r.body), &says); err != nil || says.Error == "" {
		t.Errorf("%d %s with the body %q, which says no error", r.StatusCode, r.Request.URL, r.body)
	}
	return says.Code
}

// do makes a request. header is names and values in turn.
func (b *browser) do(t testing.TB, method, path, body string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if tag := res.Header.Get("Session-Owner"); tag != "" {
		b.owner = tag
	}
	return reply{res, string(text)}
}

// send makes an exchange with the cart, as the owner that the server named last.
func (b *browser) send(t testing.TB, cursor, body string, header ...string) reply {
	t.Helper()
	return b.ask(t, url.Values{"cursor": {cursor}, "owner": {b.owner}}, body, header...)
}

// hello has the server make an owner of somebody unknown.
func (b *browser) hello(t testing.TB) reply {
	t.Helper()
	return b.ask(t, nil, "[]")
}

// ask makes an exchange with the cart, with what more is in the query.
func (b *browser) ask(t testing.TB, more url.Values, body string, header ...string) reply {
	t.Helper()
	return b.do(t, "POST", "/sessions/exchange?session=cart&"+more.Encode(), body,
		append([]string{"Content-Type", "application/json"}, header...)...)
}

// item returns an item of one batch that is made now.
func item(members string) string { return itemAt(time.Now(), members) }

func itemAt(at time.Time, members string) string {
	return fmt.Sprintf(`{"format":1,"batches":[{"stamp":"%013d-0000-0123456789ab",%s}]}`, at.UnixMilli(), members)
}

// testFirstContact tests what happens before anything is exchanged: a browser
// is told whose session it has, and that alone.
func testFirstContact(t *testing.T, url string) {
	saved := "[" + item(`"set":{"a":1}`) + "]"
	for _, first := range []string{"[]", "[ ]", saved, "[1]", "x"} {
		b := newBrowser(t, url)
		told := func(res reply, owner *regexp.Regexp, cookies int) {
			t.Helper()
			cursor, ok := res.Header["Session-Cursor"]
			if res.StatusCode != 204 || !ok || cursor[0] != "" || res.Header.Get("Session-Age") != "" ||
				!owner.MatchString(res.Header.Get("Session-Owner")) || len(res.Cookies()) != cookies {
				t.Errorf("first %q: %d %v", first, res.StatusCode, res.Header)
			}
			checkHeaders(t, res)
		}
		told(b.ask(t, nil, ""), regexp.MustCompile(`^$`), 0)
		told(b.ask(t, nil, first), regexp.MustCompile(`^[0-9a-f]{16}$`), 1)
		same := regexp.MustCompile("^" + b.owner + "$")
		for _, again := range []string{"", "[]", saved} {
			told(b.ask(t, nil, again), same, 0)
		}
		told(b.send(t, "", ""), same, 0) // nothing was merged

		res := b.send(t, "", saved)
		if "["+res.body+"]" != saved || res.Header.Get("Session-Complete") != "true" || res.Header.Get("Session-Cursor") == "" || res.Header.Get("Session-Age") == "" || len(res.Cookies()) != 0 {
			t.Errorf("first %q, then data: %d %v", first, res.StatusCode, res.Header)
		}
		for _, again := range []string{"", "[]", "[" + item(`"clear":true,"set":{"b":1}`) + "]"} {
			told(b.ask(t, nil, again), same, 0)
		}
		if res := b.send(t, "", ""); "["+res.body+"]" != saved {
			t.Errorf("first %q: it has %s, want %s", first, res.body, saved)
		}
	}
}

func testExchange(t *testing.T, url string) {
	one := newBrowser(t, url)
	one.hello(t)

	sent := item(`"set":{"n":1e400,"user":{"name":"Ada"}}`)
	res := one.send(t, "", "["+sent+"]")
	cursor := res.Header.Get("Session-Cursor")
	if res.StatusCode != 200 || res.body != sent || res.Header.Get("Session-Complete") != "true" || cursor == "" {
		t.Errorf("the first item: %d %q, cursor %q, want all that there is, and one", res.StatusCode, res.body, cursor)
	}
	res = one.send(t, "", "")
	if res.StatusCode != 200 || res.body != sent || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("from the start: %d, %q, want %q", res.StatusCode, res.body, sent)
	}
	if len(res.Cookies()) != 0 {
		t.Errorf("a new cookie though the old one is new: %v", res.Cookies())
	}
	res = one.send(t, cursor, "[]")
	if res.StatusCode != 204 || res.Header.Values("Session-Complete") != nil || res.Header.Get("Session-Cursor") != cursor {
		t.Errorf("nothing new: %d, cursor %q, want 204 and %q", res.StatusCode, res.Header.Get("Session-Cursor"), cursor)
	}
	other := item(`"remove":["user"]`)
	res = one.send(t, "", "[5,"+other+`,{"format":9}]`)
	if res.StatusCode != 200 || strings.Contains(res.body, "Ada") {
		t.Errorf("with two that are no items: %d, %s", res.StatusCode, res.body)
	}
	res = one.send(t, cursor, "")
	if res.body != other {
		t.Errorf("since the first cursor: %q, want %q", res.body, other)
	}
	if res := one.do(t, "POST", "/sessions/exchange?session=wish&owner="+one.owner, ""); res.StatusCode != 204 {
		t.Errorf("another session: %d %q, want 204", res.StatusCode, res.body)
	}

	// Whoever has lost the cookie has to send all again.
	if res := newBrowser(t, url).send(t, cursor, ""); res.StatusCode != 412 || res.code(t) != "owner" || res.Header.Values("Session-Owner") != nil {
		t.Errorf("a cursor without a cookie: %d %q, owner %q, want 412 and none", res.StatusCode, res.body, res.Header.Get("Session-Owner"))
	}
}

func testClockSkewOfAnHour(t *testing.T, url string) {
	b := newBrowser(t, url)
	b.hello(t)
	for _, skew := range []time.Duration{time.Hour, -time.Hour, 23 * time.Hour} {
		if res := b.send(t, "", "["+itemAt(time.Now().Add(skew), `"set":{"a":1}`)+"]"); res.StatusCode >= 300 || res.Header.Get("Session-Cursor") == "" {
			t.Errorf("a clock ahead by %v: %d %s", skew, res.StatusCode, res.body)
		}
	}
}

func testCookie(t *testing.T, url string) {
	b := newBrowser(t, url)
	cookie := b.hello(t).Header.Get("Set-Cookie")
	b.send(t, "", "["+item(`"set":{"a":1}`)+"]")
	if want := regexp.MustCompile(`^session-writer=[0-9a-f]{32}-\d+; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax$`); !want.MatchString(cookie) {
		t.Errorf("the cookie is %q, want it to match %s", cookie, want)
	}
	value, _, _ := strings.Cut(cookie, ";")
	_, day, _ := strings.Cut(value, "-writer=")
	id, day, _ := strings.Cut(day, "-")
	number, err := strconv.Atoi(day)
	if err != nil {
		t.Fatal(err)
	}
	plain := &browser{Client: new(http.Client), url: url} // keeps no cookies
	owned := map[string][]string{"owner": {b.owner}}
	for _, test := range []struct {
		day    string
		status int
		renew  bool
	}{
		{day, 200, false},
		{strconv.Itoa(number - 6), 200, false},
		{strconv.Itoa(number - 9), 200, true},
		{strconv.Itoa(number + 9), 200, true},
		{"0", 200, true},
		// As none.
		{"", 412, false},
		{"x", 412, false},
		{"-1", 412, false},
		{"007", 412, false},
	} {
		res := plain.ask(t, owned, "", "Cookie", "session-writer="+id+"-"+test.day)
		if renew := res.Header.Get("Set-Cookie") != ""; res.StatusCode != test.status || renew != test.renew {
			t.Errorf("a cookie of day %q: %d, renewed %t, want %d, %t", test.day, res.StatusCode, renew, test.status, test.renew)
		}
		if set := res.Header.Get("Set-Cookie"); test.renew && !strings.Contains(set, id) {
			t.Errorf("a cookie of day %q is renewed as %q, want the same id", test.day, set)
		}
	}
	for _, value := range []string{id, id[1:] + "-" + day, id + "0-" + day, strings.ToUpper(id) + "x-" + day, "g" + id[1:] + "-" + day, ""} {
		if res := plain.ask(t, owned, "", "Cookie", "session-writer="+value); res.StatusCode != 412 {
			t.Errorf("the cookie %q gives %d, want 412, as without one", value, res.StatusCode)
		}
	}
	if res := plain.ask(t, owned, "", "Cookie", "other=1; session-writer="+id+"-"+day+"; session-writer2=x"); res.StatusCode != 200 {
		t.Errorf("among other cookies: %d, want 200", res.StatusCode)
	}
	// Of two none counts, nor would a third.
	for _, two := range []string{
		"session-writer=x; session-writer=" + id + "-" + day,
		"session-writer=" + id + "-" + day + "; session-writer=x",
		"session-writer=" + id + "-" + day + "; session-writer=" + id + "-" + day,
		// net/http drops these, and not every browser does.
		"session-writer=" + id + "-" + day + `; session-writer=a\b`,
		`session-writer="; session-writer=` + id + "-" + day,
		"session-writer=" + id + "-" + day + ";\tsession-writer\t=x,y",
		"session-writer=" + id + "-" + day + "; session-writer",
	} {
		if res := plain.ask(t, owned, "", "Cookie", two); res.StatusCode != 412 {
			t.Errorf("%q: %d, want 412, as without one", two, res.StatusCode)
		}
		for path, body := range map[string]string{"exchange?session=cart": "[]", "pair": "", "join": `{"code":"0000-0000-0000-0000"}`} {
			res := plain.do(t, "POST", "/sessions/"+path, body, "Cookie", two, "Content-Type", "application/json")
			if res.StatusCode != 400 || res.code(t) != "cookie" || len(res.Cookies()) != 0 {
				t.Errorf("%s with %q: %d %s, want 400 cookie", path, two, res.StatusCode, res.body)
			}
		}
	}
	// An id that the server never gave is not taken on.
	const chosen = "00112233445566778899aabbccddeeff"
	given := []string{"Cookie", "session-writer=" + chosen + "-" + day}
	if res := plain.ask(t, map[string][]string{"owner": {sqlstore.Tag(chosen)}}, "", given...); res.StatusCode != 412 || res.Header.Get("Session-Owner") != "" {
		t.Errorf("an id that was never given: %d, owner %q, want 412 and none", res.StatusCode, res.Header.Get("Session-Owner"))
	}
	for _, path := range []string{"exchange?session=cart", "pair"} {
		res := plain.do(t, "POST", "/sessions/"+path, "[]", append(given, "Content-Type", "application/json")...)
		if set := res.Header.Get("Set-Cookie"); res.StatusCode >= 300 || set == "" || strings.Contains(set, chosen) || res.Header.Get("Session-Owner") == sqlstore.Tag(chosen) {
			t.Errorf("%s with an id that was never given: %d, Set-Cookie: %s, want another", path, res.StatusCode, set)
		}
	}
}

func testPairing(t *testing.T, url string) {
	one, two := newBrowser(t, url), newBrowser(t, url)
	sent := item(`"set":{"a":1}`)
	one.hello(t)
	one.send(t, "", "["+sent+"]")
	two.hello(t)
	two.send(t, "", "["+item(`"set":{"lost":1}`)+"]")

	pair := func(b *browser) string {
		t.Helper()
		res := b.do(t, "POST", "/sessions/pair", "")
		var got struct {
			Code      string
			ExpiresIn int
		}
		if err := json.Unmarshal([]byte(res.body), &got); err != nil || res.StatusCode != 200 {
			t.Fatalf("pair: %d %s", res.StatusCode, res.body)
		}
		if !regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(got.Code) {
			t.Errorf("the code is %q", got.Code)
		}
		if got.ExpiresIn > 600 || got.ExpiresIn < 300 {
			t.Errorf("the code expires in %d seconds, want ten minutes", got.ExpiresIn)
		}
		return got.Code
	}
	join := func(b *browser, code string) reply {
		t.Helper()
		return b.do(t, "POST", "/sessions/join", `{"code":`+strconv.Quote(code)+`}`, "Content-Type", "application/json")
	}
	code := pair(one)
	if res := join(two, strings.ToLower(code)); res.StatusCode != 204 || len(res.Cookies()) != 1 {
		t.Errorf("join: %d %s, cookies %v, want 204 and a cookie", res.StatusCode, res.body, res.Cookies())
	}
	if res := two.send(t, "", ""); res.body != sent {
		t.Errorf("the second device has %q, want %q", res.body, sent)
	}
	for _, code := range []string{code, "0000-0000-0000-0000", ""} {
		if res := join(two, code); res.StatusCode != 410 || res.code(t) != "pairing" || len(res.Cookies()) != 0 {
			t.Errorf("join with %q: %d %s, want 410 pairing", code, res.StatusCode, res.body)
		}
	}
	for _, body := range []string{"", "x", "{}", `{"code":1}`, `{"code":null}`, `["x"]`, `{"code":"a"} x`} {
		res := two.do(t, "POST", "/sessions/join", body, "Content-Type", "application/json")
		if res.StatusCode != 400 || res.code(t) != "malformed" {
			t.Errorf("join with the body %q: %d %s, want 400 malformed", body, res.StatusCode, res.body)
		}
	}

	// A device that has nothing yet can be joined as well.
	three, four := newBrowser(t, url), newBrowser(t, url)
	join(four, pair(three)) // which tells both whose session it is
	three.send(t, "", "["+sent+"]")
	if res := four.send(t, "", ""); res.body != sent {
		t.Errorf("the fourth device has %q, want %q", res.body, sent)
	}
}

func testHealth(t *testing.T, url string) {
	b := newBrowser(t, url)
	if res := b.do(t, "GET", "/sessions/health", ""); res.StatusCode != 200 || res.body != `{"status":"ok"}` {
		t.Errorf("health: %d %s", res.StatusCode, res.body)
	}
	if res := b.do(t, "HEAD", "/sessions/health", ""); res.StatusCode != 200 {
		t.Errorf("HEAD health: %d, want 200", res.StatusCode)
	}
	if res := b.do(t, "GET", "/sessions/live", ""); res.StatusCode != 200 || res.body != `{"status":"ok"}` {
		t.Errorf("live: %d %s", res.StatusCode, res.body)
	}
}

func testRefusals(t *testing.T, url string) {
	stranger, b := newBrowser(t, url), newBrowser(t, url)
	b.hello(t)
	const exchange = "/sessions/exchange?session=cart"
	owned := exchange + "&owner=" + b.owner
	good := "[" + item(`"set":{"a":1}`) + "]"
	type header = []string
	inJSON := header{"Content-Type", "application/json"}
	type refusal struct {
		name, method, path, body string
		header                   header
		status                   int
		code                     string
	}
	check := func(by *browser, test refusal) {
		t.Run(test.name, func(t *testing.T) {
			res := by.do(t, test.method, test.path, test.body, test.header...)
			if res.StatusCode != test.status {
				t.Fatalf("got %d %s, want %d", res.StatusCode, res.body, test.status)
			}
			if got := res.code(t); got != test.code {
				t.Errorf("got the code %q, want %q", got, test.code)
			}
			if len(res.Cookies()) != 0 {
				t.Errorf("it sets a cookie: %v", res.Cookies())
			}
			if test.status == 405 && res.Header.Get("Allow") == "" {
				t.Error("it does not say what is allowed")
			}
			checkHeaders(t, res)
		})
	}
	for _, test := range []refusal{
		{"no JSON", "POST", owned, "x", inJSON, 400, "malformed"},
		{"an item that is in no array", "POST", owned, item(`"set":{"a":1}`), inJSON, 400, "malformed"},
		{"no UTF-8", "POST", owned, "[\"\xff\"]", inJSON, 400, "malformed"},
		{"too long a key", "POST", owned, "[" + item(`"set":{"`+strings.Repeat("k", 16<<10+1)+`":1}`) + "]", inJSON, 413, "quota"},
		{"too much", "POST", owned, "[" + item(`"set":{"a":"`+strings.Repeat("k", 1<<20)+`"}`) + "]", inJSON, 413, "quota"},
		{"too far ahead", "POST", owned, "[" + itemAt(time.Now().Add(25*time.Hour), `"set":{"a":1}`) + "]", inJSON, 422, "stamp"},
		{"an unknown cursor", "POST", owned + "&cursor=x-1", good, inJSON, 412, "cursor"},
		{"a cursor without an owner", "POST", exchange + "&cursor=x-1", good, inJSON, 412, "cursor"},
		{"another owner", "POST", exchange + "&owner=0123456789abcdef", good, inJSON, 412, "owner"},
	} {
		check(b, test)
	}
	for _, test := range []refusal{
		{"no session", "POST", "/sessions/exchange", good, inJSON, 400, "malformed"},
		{"an empty session", "POST", "/sessions/exchange?session=", good, inJSON, 400, "malformed"},
		{"two sessions", "POST", exchange + "&session=wish", good, inJSON, 400, "malformed"},
		{"two cursors", "POST", exchange + "&cursor=a&cursor=b", good, inJSON, 400, "malformed"},
		{"two owners", "POST", exchange + "&owner=a&owner=b", good, inJSON, 400, "malformed"},
		{"two times", "POST", exchange + "&now=1&now=1", good, inJSON, 400, "malformed"},
		{"two ages", "POST", exchange + "&max-age=1&max-age=1", good, inJSON, 400, "malformed"},
		{"a time that is none", "POST", exchange + "&now=1e3", good, inJSON, 400, "malformed"},
		{"a time before 1970", "POST", exchange + "&now=-1", good, inJSON, 400, "malformed"},
		{"an age with a sign", "POST", exchange + "&max-age=%2B1", good, inJSON, 400, "malformed"},
		{"an age beyond all", "POST", exchange + "&max-age=9223372036854775808", good, inJSON, 400, "malformed"},
		{"a slash in the session", "POST", "/sessions/exchange?session=a%2Fb", good, inJSON, 400, "malformed"},
		{"a session that is no UTF-8", "POST", "/sessions/exchange?session=%ff", good, inJSON, 400, "malformed"},
		{"a query that is none", "POST", exchange + "&x=%zz", good, inJSON, 400, "malformed"},
		{"a form", "POST", exchange, good, header{"Content-Type", "application/x-www-form-urlencoded"}, 415, "content-type"},
		{"a text", "POST", exchange, good, header{"Content-Type", "text/plain"}, 415, "content-type"},
		{"no type", "POST", exchange, good, header{}, 415, "content-type"},
		{"a type that is none", "POST", exchange, good, header{"Content-Type", ";"}, 415, "content-type"},
		{"a type like JSON", "POST", exchange, good, header{"Content-Type", "application/jsonp"}, 415, "content-type"},
		{"a coding", "POST", exchange, good, append(header{"Content-Encoding", "gzip"}, inJSON...), 415, "content-type"},
		{"too long", "POST", exchange, "[" + strings.Repeat(" ", 2<<20) + "]", inJSON, 413, "quota"},
		{"a cursor of nobody", "POST", exchange + "&cursor=x-1", good, inJSON, 412, "owner"},
		{"an owner that nobody is", "POST", exchange + "&owner=0123456789abcdef", good, inJSON, 412, "owner"},
		{"another method", "PUT", exchange, good, inJSON, 405, "method"},
		{"a method for reading", "GET", exchange, "", nil, 405, "method"},
		{"a method for pairing", "GET", "/sessions/pair", "", nil, 405, "method"},
		{"a method for joining", "DELETE", "/sessions/join", "", nil, 405, "method"},
		{"a method for health", "POST", "/sessions/health", "", nil, 405, "method"},
		{"a path that is none", "POST", "/sessions/exchanges", good, inJSON, 404, "not-found"},
		{"another site", "POST", exchange, good, append(header{"Sec-Fetch-Site", "cross-site"}, inJSON...), 403, "cross-origin"},
		{"a sibling", "POST", exchange, good, append(header{"Sec-Fetch-Site", "same-site"}, inJSON...), 403, "cross-origin"},
		{"another origin", "POST", exchange, good, append(header{"Origin", "https://evil.example"}, inJSON...), 403, "cross-origin"},
		{"an opaque origin", "POST", exchange, good, append(header{"Origin", "null"}, inJSON...), 403, "cross-origin"},
		{"another site pairs", "POST", "/sessions/pair", "", header{"Sec-Fetch-Site", "cross-site"}, 403, "cross-origin"},
		{"another site joins", "POST", "/sessions/join", `{"code":"x"}`, append(header{"Sec-Fetch-Site", "cross-site"}, inJSON...), 403, "cross-origin"},
	} {
		check(stranger, test)
	}
	for _, by := range []*browser{b, stranger} {
		if res := by.send(t, "", "", "Sec-Fetch-Site", "same-origin"); res.StatusCode != 204 || res.Header.Get("Session-Age") != "" {
			t.Errorf("afterwards there is something: %d %s", res.StatusCode, res.body)
		}
	}
	if res := b.send(t, "", good, "Origin", url); res.StatusCode != 200 {
		t.Errorf("from a page of its own: %d %s, want 200", res.StatusCode, res.body)
	}
}

func checkHeaders(t testing.TB, res reply) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control":                    "no-store",
		"X-Content-Type-Options":           "nosniff",
		"Cross-Origin-Resource-Policy":     "same-origin",
		"Access-Control-Allow-Origin":      "",
		"Access-Control-Allow-Credentials": "",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s %s: %s is %q, want %q", res.Request.Method, res.Request.URL, name, got, want)
		}
	}
	if res.body != "" && res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s: the type is %q", res.Request.Method, res.Request.URL, res.Header.Get("Content-Type"))
	}
}

// hostileRequests are how many testHostileRequests makes; with -short a tenth.
const hostileRequests = 10_000

func testHostileRequests(t *testing.T, url string) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(texts ...string) string { return texts[random.IntN(len(texts))] }

	victim, attacker := newBrowser(t, url), newBrowser(t, url)
	const secret = "a-secret-that-nobody-else-may-see"
	kept := item(`"set":{"` + secret + `":"` + secret + `"}`)
	victimCookie, _, _ := strings.Cut(victim.hello(t).Header.Get("Set-Cookie"), ";")
	entered := victim.send(t, "", "["+kept+"]")
	victimID, _, _ := strings.Cut(strings.TrimPrefix(victimCookie, "session-writer="), "-")
	victimCursor := entered.Header.Get("Session-Cursor")
	own := item(`"set":{"own":1}`)
	attacker.hello(t)
	attacker.send(t, "", "["+own+"]")
	if victimID == "" || victimCursor == "" {
		t.Fatalf("the victim has no session: %d %s", entered.StatusCode, entered.body)
	}

	const exchange = "/sessions/exchange?session=cart"
	good := func() string { return "[" + item(fmt.Sprintf(`"set":{"k%d":1}`, random.IntN(99))) + "]" }
	inJSON := []string{"Content-Type", "application/json"}
	// mutate returns a text that is no JSON array any more.
	mutate := func(text string) string {
		for {
			b := []byte(text)
			for range 1 + random.IntN(4) {
				switch at := random.IntN(len(b)); random.IntN(4) {
				case 0:
					b[at] ^= 1 << random.IntN(8)
				case 1:
					b = b[:at+1]
				case 2:
					b = append(b[:at:at], b[at+1:]...)
				default:
					b = append(b[:at:at], append([]byte(pick(`"`, "{", "]", "\x00", "\xff", ",", "[[[[")), b[at:]...)...)
				}
				if len(b) == 0 {
					break
				}
			}
			if len(b) > 0 && !json.Valid(b) {
				return string(b)
			}
		}
	}
	owned := exchange + "&owner=" + attacker.owner
	kinds := map[string]func() (status int, res reply){
		"malformed": func() (int, reply) {
			return 400, attacker.do(t, "POST", owned, mutate(good()), inJSON...)
		},
		"no items": func() (int, reply) {
			return 400, attacker.do(t, "POST", owned, pick("1", "{}", `"x"`, "null", "true", item(`"set":{}`), `{"unsent":[]}`), inJSON...)
		},
		"oversized": func() (int, reply) {
			switch random.IntN(20) { // mostly what costs little to send
			case 0:
				return 413, attacker.do(t, "POST", pick(owned, exchange), strings.Repeat("[", 2<<20+1+random.IntN(9999)), inJSON...)
			case 1:
				return 413, attacker.do(t, "POST", owned, "["+item(`"set":{"a":"`+strings.Repeat("x", 1<<20)+`"}`)+"]", inJSON...)
			}
			return 413, attacker.do(t, "POST", owned, "["+item(`"set":{"`+strings.Repeat("k", 16<<10+1+random.IntN(999))+`":1}`)+"]", inJSON...)
		},
		"from the future": func() (int, reply) {
			ahead := 25*time.Hour + time.Duration(random.IntN(1_000_000))*time.Hour
			return 422, attacker.do(t, "POST", owned, "["+itemAt(time.Now().Add(ahead), pick(`"clear":true`, `"set":{"a":1}`, `"remove":["own"]`))+"]", inJSON...)
		},
		"mis-typed": func() (int, reply) {
			return 415, attacker.do(t, "POST", pick(owned, exchange), good(), "Content-Type", pick("text/plain", "application/x-www-form-urlencoded",
				"multipart/form-data; boundary=x", "application/json-patch", "", ";", "json", "text/json"))
		},
		"cross-origin": func() (int, reply) {
			header := []string{"Origin", pick("https://evil.example", "null", "http://127.0.0.1.evil.example", "http://localhost:1", "file://")}
			if random.IntN(2) == 0 {
				header = []string{"Sec-Fetch-Site", pick("cross-site", "same-site", "nonsense")}
			}
			path := pick(exchange, "/sessions/pair", "/sessions/join", "/sessions/health")
			return 403, victim.do(t, "POST", path, good(), append(header, inJSON...)...)
		},
		"another's cursor": func() (int, reply) {
			return 412, attacker.do(t, "POST", pick(owned, exchange, exchange+"&owner="+victim.owner)+"&cursor="+pick(victimCursor, victimCursor+"0", "x", "-", strconv.Itoa(random.Int())), good(), inJSON...)
		},
		"no owner": func() (int, reply) {
			return 204, attacker.do(t, "POST", exchange, pick(good(), mutate(good()), "["+item(`"clear":true`)+"]"), inJSON...)
		},
		"a cookie like another's": func() (int, reply) {
			id := []byte(victimID)
			at := random.IntN(len(id))
			id[at] = pick("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "g", "A", "%", " ", "'")[0]
			if string(id) == victimID {
				id = id[1:]
			}
			stranger := &browser{Client: new(http.Client), url: url}
			return 412, stranger.do(t, "POST", exchange+"&owner="+victim.owner, "", "Cookie", "session-writer="+string(id)+pick("", "-", "-1", "-20000", "-x"))
		},
		"another's name": func() (int, reply) {
			return 204, attacker.do(t, "POST", "/sessions/exchange?owner="+attacker.owner+"&session="+pick("cart%00", "cart%20", "Cart", "*", "%25", "cart'--", victimID), "", inJSON...)
		},
		"a code": func() (int, reply) {
			var code strings.Builder
			for range 16 {
				code.WriteByte("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[random.IntN(32)])
			}
			return 410, attacker.do(t, "POST", "/sessions/join", `{"code":"`+pick(code.String(), victimID, "' OR 1=1 --")+`"}`, inJSON...)
		},
		"no code": func() (int, reply) {
			return 400, attacker.do(t, "POST", "/sessions/join", pick(mutate(`{"code":"0000000000000000"}`), "{}", "[]", `{"code":{}}`), inJSON...)
		},
		"a method": func() (int, reply) {
			return 405, attacker.do(t, pick("PUT", "DELETE", "PATCH", "GET", "OPTIONS"), pick(exchange, "/sessions/pair", "/sessions/join"), good(), inJSON...)
		},
		"a session that is none": func() (int, reply) {
			return 400, attacker.do(t, "POST", "/sessions/exchange?"+pick("", "session=", "session=%ff", "session=a/b", "session=a&session=b",
				"session=%zz", "Session=cart", "session="+strings.Repeat("x", 1025), "a;session=cart"), good(), inJSON...)
		},
		"a path that is none": func() (int, reply) {
			return 404, attacker.do(t, "POST", "/sessions/"+pick("", "exchange/cart", "cart", "%2e%2ecart", "pair/x", "health/"), good(), inJSON...)
		},
	}
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	n := hostileRequests
	if testing.Short() {
		n /= 10
	}
	for range n {
		name := names[random.IntN(len(names))]
		want, res := kinds[name]()
		if res.StatusCode != want {
			t.Fatalf("%s: %s %s: got %d %.200s, want %d", name, res.Request.Method, res.Request.URL, res.StatusCode, res.body, want)
		}
		var all bytes.Buffer
		_ = res.Header.Write(&all)
		all.WriteString(res.body)
		if said := all.String(); strings.Contains(said, secret) || strings.Contains(said, victimID) {
			t.Fatalf("%s: %s %s tells the secret: %.999s", name, res.Request.Method, res.Request.URL, said)
		}
		if want >= 400 {
			res.code(t)
		}
	}
	if res := victim.send(t, "", ""); res.body != kept {
		t.Errorf("the victim has %.200s, want %s", res.body, kept)
	}
	if res := attacker.send(t, "", ""); res.body != own {
		t.Errorf("the attacker has %.200s, want %s: none of it was to be accepted", res.body, own)
	}
}

func testClient(t *testing.T, url string) {
	b := newBrowser(t, url)
	server := b.server("cart")
	must := func(sent session.Sent) session.Received {
		t.Helper()
		got, err := server(t.Context(), sent)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := must(session.Sent{}); got != (session.Received{Age: -1}) {
		t.Errorf("nothing from nobody: %+v", got)
	}
	if _, err := server(t.Context(), session.Sent{Cursor: "x-1"}); !isOwnerError(err, "") {
		t.Errorf("a cursor from nobody: %v, want an OwnerError without an owner", err)
	}
	if _, err := server(t.Context(), session.Sent{Owner: "0123456789abcdef"}); !isOwnerError(err, "") {
		t.Errorf("an owner from nobody: %v, want an OwnerError without an owner", err)
	}

	now := time.Now().UnixMilli()
	hello := must(session.Sent{Items: "[]", Now: now})
	if len(hello.Owner) != 16 || hello != (session.Received{Owner: hello.Owner, Age: -1}) {
		t.Errorf("hello: %+v", hello)
	}
	first := must(session.Sent{Owner: hello.Owner, Items: "[" + itemAt(time.UnixMilli(now-5000), `"set":{"a":1}`) + "]", Now: now})
	if first.Owner != hello.Owner || first.Cursor == "" || first.Item == "" || !first.Complete || first.Age < 5000 || first.Age > 60_000 {
		t.Errorf("what is five seconds old: %+v", first)
	}
	again := must(session.Sent{Owner: first.Owner, Cursor: first.Cursor})
	if again.Owner != first.Owner || again.Cursor != first.Cursor || again.Item != "" || again.Complete || again.Age < first.Age {
		t.Errorf("nothing new: %+v after %+v", again, first)
	}

	if _, err := server(t.Context(), session.Sent{Owner: "0123456789abcdef", Cursor: first.Cursor}); !isOwnerError(err, first.Owner) {
		t.Errorf("another owner: %v, want an OwnerError with %s", err, first.Owner)
	}
	for _, sent := range []session.Sent{{Owner: first.Owner, Cursor: "x-1"}, {Cursor: first.Cursor}} {
		if _, err := server(t.Context(), sent); !errors.Is(err, session.ErrCursor) {
			t.Errorf("sent %+v: %v, want ErrCursor", sent, err)
		}
	}
	big := "[" + item(`"set":{"a":"`+strings.Repeat("k", 1<<20)+`"}`) + "]"
	if _, err := server(t.Context(), session.Sent{Owner: first.Owner, Items: big}); !errors.Is(err, session.ErrQuota) || !strings.Contains(err.Error(), "1048576 bytes") {
		t.Errorf("too much: %v, want ErrQuota with the limit", err)
	}
	var early *session.StampError
	_, err := server(t.Context(), session.Sent{Owner: first.Owner, Items: "[" + itemAt(time.Now().Add(25*time.Hour), `"set":{"a":1}`) + "]"})
	if !errors.As(err, &early) || time.Until(early.Latest) > 24*time.Hour || time.Until(early.Latest) < 23*time.Hour {
		t.Errorf("too far ahead: %v, want a StampError with the time in a day", err)
	} else if !strings.HasPrefix(early.Newest, fmt.Sprint(now-5000)) {
		t.Errorf("too far ahead: the newest is %q, want that of the item", early.Newest)
	}
	if _, err := b.server("a/b")(t.Context(), session.Sent{}); err == nil || !strings.Contains(err.Error(), "must not contain a slash") {
		t.Errorf("a slash: %v, want what the server says", err)
	}

	// A device is not used any more, and begins anew.
	over := must(session.Sent{Owner: first.Owner, Cursor: first.Cursor, Now: now, MaxAge: 4000})
	if over.Item != "" || !over.Complete || over.Age != -1 {
		t.Errorf("with a maximum age of four seconds: %+v, want nothing", over)
	}
	anew := "[" + itemAt(time.UnixMilli(now), `"set":{"b":1}`) + "]"
	if got := must(session.Sent{Owner: first.Owner, Cursor: over.Cursor, Items: anew, Now: now, MaxAge: 4000}); !got.Complete || strings.Contains(got.Item, `"a"`) || !strings.Contains(got.Item, `"b":1`) {
		t.Errorf("begun anew: %+v", got)
	}
}

// isOwnerError reports whether an error is an OwnerError of that owner.
func isOwnerError(err error, owner string) bool {
	refused, ok := errors.AsType[*session.OwnerError](err)
	return ok && refused.Owner == owner
}

// testOwner tests what tells a browser whose sessions it has.
func testOwner(t *testing.T, url string) {
	one, two := newBrowser(t, url), newBrowser(t, url)
	one.hello(t)
	owner := one.send(t, "", "["+item(`"set":{"a":1}`)+"]").Header.Get("Session-Owner")
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(owner) {
		t.Fatalf("the owner is %q", owner)
	}
	paired := one.do(t, "POST", "/sessions/pair", "")
	var code struct{ Code string }
	if err := json.Unmarshal([]byte(paired.body), &code); err != nil || paired.Header.Get("Session-Owner") != owner {
		t.Fatalf("pair: %v, owner %q, want %q", err, paired.Header.Get("Session-Owner"), owner)
	}
	two.hello(t)
	other := two.send(t, "", "["+item(`"set":{"a":2}`)+"]").Header.Get("Session-Owner")
	joined := two.do(t, "POST", "/sessions/join", `{"code":"`+code.Code+`"}`, "Content-Type", "application/json")
	if joined.StatusCode != 204 || joined.Header.Get("Session-Owner") != owner || other == owner {
		t.Errorf("join: %d, owner %q, want 204 and %q, and not %q", joined.StatusCode, joined.Header.Get("Session-Owner"), owner, other)
	}

	// What was the former owner's is not taken for this one's.
	theirs := "[" + item(`"set":{"theirs":1}`) + "]"
	res := two.ask(t, map[string][]string{"owner": {other}}, theirs)
	if res.StatusCode != 412 || res.code(t) != "owner" || res.Header.Get("Session-Owner") != owner {
		t.Errorf("with the former owner: %d %s, owner %q, want 412 and %q", res.StatusCode, res.body, res.Header.Get("Session-Owner"), owner)
	}
	if res := two.ask(t, nil, theirs); res.StatusCode != 204 || res.Header.Get("Session-Owner") != owner {
		t.Errorf("without an owner: %d %s, owner %q, want 204 and %q", res.StatusCode, res.body, res.Header.Get("Session-Owner"), owner)
	}
	if res := one.send(t, "", ""); !strings.Contains(res.body, `"a":1`) || strings.Contains(res.body, "theirs") {
		t.Errorf("the owner has %s", res.body)
	}
	if res := two.send(t, "", "["+item(`"set":{"b":1}`)+"]"); res.StatusCode != 200 || !strings.Contains(res.body, `"a":1`) {
		t.Errorf("with the new owner: %d %s, want what the owner has", res.StatusCode, res.body)
	}
	if res := one.send(t, "", ""); !strings.Contains(res.body, `"a":1`) || !strings.Contains(res.body, `"b":1`) {
		t.Errorf("the owner has %s", res.body)
	}

	for query, status := range map[string]int{
		"?session=a%2Fb":               400,
		"?session=cart&owner=x":        412,
		"?session=cart&cursor=x":       412,
		"?session=cart&now=x":          400,
		"?session=cart&session=a":      400,
		"?session=cart&now=1&max-age=": 400,
	} {
		res := one.do(t, "POST", "/sessions/exchange"+query, "")
		if res.StatusCode != status || res.Header.Get("Session-Owner") != owner {
			t.Errorf("%s: %d, owner %q, want %d and %q", query, res.StatusCode, res.Header.Get("Session-Owner"), status, owner)
		}
	}
	long := one.do(t, "POST", "/sessions/exchange?session=cart", strings.Repeat(" ", 2<<20+1), "Content-Type", "application/json")
	if long.StatusCode != 413 || long.Header.Get("Session-Owner") != owner {
		t.Errorf("too long: %d, owner %q, want 413 and %q", long.StatusCode, long.Header.Get("Session-Owner"), owner)
	}
}
