//go:build !js

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
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
	"github.com/session-interop/session-writer/web/sqlwriter"
	"github.com/session-interop/session-writer/writertest"
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
		{"exchange", testExchange},
		{"clock-skew", testClockSkewOfAnHour},
		{"cookie", testCookie},
		{"pairing", testPairing},
		{"refusals", testRefusals},
		{"client-errors", testClientErrors},
		{"writer", testWritersOverHTTP},
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
func openDB(t testing.TB) *sqlwriter.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	d := sqlwriter.New(db, sqlwriter.Limits{})
	if err := d.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func mustNew(t testing.TB, config Config) http.Handler {
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
	url string
}

func newBrowser(t testing.TB, url string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{&http.Client{Jar: jar}, url}
}

// server returns the exchange of a session.
func (b *browser) server(name string) session.Server {
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
	return reply{res, string(text)}
}

// send makes an exchange with the cart.
func (b *browser) send(t testing.TB, cursor, body string, header ...string) reply {
	t.Helper()
	return b.do(t, "POST", "/sessions/exchange?"+url.Values{"session": {"cart"}, "cursor": {cursor}}.Encode(), body,
		append([]string{"Content-Type", "application/json"}, header...)...)
}

// item returns an item of one batch that is made now.
func item(members string) string { return itemAt(time.Now(), members) }

func itemAt(at time.Time, members string) string {
	return fmt.Sprintf(`{"format":1,"batches":[{"stamp":"%013d-0000-0123456789ab",%s}]}`, at.UnixMilli(), members)
}

func testWritersOverHTTP(t *testing.T, url string) {
	writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
		b := newBrowser(t, url) // all tabs of one browser
		// It has its cookie before several tabs ask at once, each of which
		// would get one.
		if res := b.do(t, "POST", "/sessions/pair", ""); res.StatusCode != 200 {
			t.Fatalf("pair: %d %s", res.StatusCode, res.body)
		}
		server := b.server("cart")
		return writertest.Harness{
			Open: func(ctx context.Context) (session.Writer, error) { return openReplica(ctx, server) },
			Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
				r, err := openReplica(ctx, server)
				if err != nil {
					return nil, err
				}
				if err := r.Exchange(ctx, server); err != nil {
					return nil, err
				}
				return r.Load(ctx)
			},
			See: func(ctx context.Context, w session.Writer) error {
				return w.(*replica).Exchange(ctx, server)
			},
			Close:  func(w session.Writer) error { return w.(*replica).Close() },
			Active: func(w session.Writer) bool { return w.(*replica).Active() },
		}
	})
}

func testExchange(t *testing.T, url string) {
	one := newBrowser(t, url)

	res := one.send(t, "", "")
	if res.StatusCode != 204 || res.Header.Get("Session-Cursor") != "" || len(res.Cookies()) != 0 {
		t.Errorf("nothing from nobody: %d, cursor %q, cookies %v, want 204 and none", res.StatusCode, res.Header.Get("Session-Cursor"), res.Cookies())
	}

	sent := item(`"set":{"n":1e400,"user":{"name":"Ada"}}`)
	res = one.send(t, "", "["+sent+"]")
	cursor := res.Header.Get("Session-Cursor")
	if res.StatusCode != 204 || cursor == "" || len(res.Cookies()) != 1 {
		t.Errorf("the first item: %d, cursor %q, cookies %v, want 204 and one of each", res.StatusCode, cursor, res.Cookies())
	}
	res = one.send(t, "", "")
	if res.StatusCode != 200 || res.body != sent || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("from the start: %d, %q, want %q", res.StatusCode, res.body, sent)
	}
	if len(res.Cookies()) != 0 {
		t.Errorf("a new cookie though the old one is new: %v", res.Cookies())
	}
	res = one.send(t, cursor, "[]")
	if res.StatusCode != 204 || res.Header.Get("Session-Cursor") != cursor || res.Header.Get("Session-Skipped") != "" {
		t.Errorf("nothing new: %d, cursor %q, want 204 and %q", res.StatusCode, res.Header.Get("Session-Cursor"), cursor)
	}
	other := item(`"remove":["user"]`)
	res = one.send(t, "", "[5,"+other+`,{"format":9}]`)
	if res.StatusCode != 200 || res.Header.Get("Session-Skipped") != "2" || strings.Contains(res.body, "Ada") {
		t.Errorf("with two that are no items: %d, %q skipped, %s", res.StatusCode, res.Header.Get("Session-Skipped"), res.body)
	}
	res = one.send(t, cursor, "")
	if res.body != other {
		t.Errorf("since the first cursor: %q, want %q", res.body, other)
	}
	if res := one.do(t, "POST", "/sessions/exchange?session=wish", ""); res.StatusCode != 204 {
		t.Errorf("another session: %d %q, want 204", res.StatusCode, res.body)
	}

	// Whoever has lost the cookie has to send all again.
	if res := newBrowser(t, url).send(t, cursor, ""); res.StatusCode != 412 || res.code(t) != "cursor" {
		t.Errorf("a cursor without a cookie: %d %q, want 412", res.StatusCode, res.body)
	}
}

func testClockSkewOfAnHour(t *testing.T, url string) {
	b := newBrowser(t, url)
	for _, skew := range []time.Duration{time.Hour, -time.Hour, 23 * time.Hour} {
		if res := b.send(t, "", "["+itemAt(time.Now().Add(skew), `"set":{"a":1}`)+"]"); res.StatusCode >= 300 {
			t.Errorf("a clock ahead by %v: %d %s", skew, res.StatusCode, res.body)
		}
	}
}

func testCookie(t *testing.T, url string) {
	b := newBrowser(t, url)
	cookie := b.send(t, "", "["+item(`"set":{"a":1}`)+"]").Header.Get("Set-Cookie")
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
	plain := &browser{new(http.Client), url} // keeps no cookies
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
		{"", 204, false},
		{"x", 204, false},
		{"-1", 204, false},
		{"007", 204, false},
	} {
		res := plain.send(t, "", "", "Cookie", "session-writer="+id+"-"+test.day)
		if renew := res.Header.Get("Set-Cookie") != ""; res.StatusCode != test.status || renew != test.renew {
			t.Errorf("a cookie of day %q: %d, renewed %t, want %d, %t", test.day, res.StatusCode, renew, test.status, test.renew)
		}
		if set := res.Header.Get("Set-Cookie"); test.renew && !strings.Contains(set, id) {
			t.Errorf("a cookie of day %q is renewed as %q, want the same id", test.day, set)
		}
	}
	for _, value := range []string{id, id[1:] + "-" + day, id + "0-" + day, strings.ToUpper(id) + "x-" + day, "g" + id[1:] + "-" + day, ""} {
		if res := plain.send(t, "", "", "Cookie", "session-writer="+value); res.StatusCode != 204 {
			t.Errorf("the cookie %q gives %d, want 204, as without one", value, res.StatusCode)
		}
	}
	if res := plain.send(t, "", "", "Cookie", "other=1; session-writer=x; session-writer="+id+"-"+day); res.StatusCode != 200 {
		t.Errorf("among other cookies: %d, want 200", res.StatusCode)
	}
}

func testPairing(t *testing.T, url string) {
	one, two := newBrowser(t, url), newBrowser(t, url)
	sent := item(`"set":{"a":1}`)
	one.send(t, "", "["+sent+"]")
	two.send(t, "", "["+item(`"set":{"lost":1}`)+"]")

	pair := func(b *browser) string {
		t.Helper()
		res := b.do(t, "POST", "/sessions/pair", "")
		var got struct {
			Code    string
			Expires time.Time
		}
		if err := json.Unmarshal([]byte(res.body), &got); err != nil || res.StatusCode != 200 {
			t.Fatalf("pair: %d %s", res.StatusCode, res.body)
		}
		if !regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(got.Code) {
			t.Errorf("the code is %q", got.Code)
		}
		if left := time.Until(got.Expires); left > 11*time.Minute || left < 5*time.Minute {
			t.Errorf("the code expires in %v, want ten minutes", left)
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
	join(four, pair(three))
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
}

func testRefusals(t *testing.T, url string) {
	b := newBrowser(t, url)
	const exchange = "/sessions/exchange?session=cart"
	good := "[" + item(`"set":{"a":1}`) + "]"
	type header = []string
	inJSON := header{"Content-Type", "application/json"}
	for _, test := range []struct {
		name, method, path, body string
		header                   header
		status                   int
		code                     string
	}{
		{"no JSON", "POST", exchange, "x", inJSON, 400, "malformed"},
		{"an item that is in no array", "POST", exchange, item(`"set":{"a":1}`), inJSON, 400, "malformed"},
		{"no UTF-8", "POST", exchange, "[\"\xff\"]", inJSON, 400, "malformed"},
		{"no session", "POST", "/sessions/exchange", good, inJSON, 400, "malformed"},
		{"an empty session", "POST", "/sessions/exchange?session=", good, inJSON, 400, "malformed"},
		{"two sessions", "POST", exchange + "&session=wish", good, inJSON, 400, "malformed"},
		{"two cursors", "POST", exchange + "&cursor=a&cursor=b", good, inJSON, 400, "malformed"},
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
		{"too long a key", "POST", exchange, "[" + item(`"set":{"`+strings.Repeat("k", 16<<10+1)+`":1}`) + "]", inJSON, 413, "quota"},
		{"too much", "POST", exchange, "[" + item(`"set":{"a":"`+strings.Repeat("k", 1<<20)+`"}`) + "]", inJSON, 413, "quota"},
		{"too far ahead", "POST", exchange, "[" + itemAt(time.Now().Add(25*time.Hour), `"set":{"a":1}`) + "]", inJSON, 422, "stamp"},
		{"an unknown cursor", "POST", exchange + "&cursor=x-1", good, inJSON, 412, "cursor"},
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
		t.Run(test.name, func(t *testing.T) {
			res := b.do(t, test.method, test.path, test.body, test.header...)
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
	if res := b.send(t, "", "", "Sec-Fetch-Site", "same-origin"); res.StatusCode != 204 {
		t.Errorf("afterwards there is something: %d %s", res.StatusCode, res.body)
	}
	if res := b.send(t, "", good, "Origin", url); res.StatusCode != 204 {
		t.Errorf("from a page of its own: %d %s, want 204", res.StatusCode, res.body)
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
	entered := victim.send(t, "", "["+kept+"]")
	victimCookie, _, _ := strings.Cut(entered.Header.Get("Set-Cookie"), ";")
	victimID, _, _ := strings.Cut(strings.TrimPrefix(victimCookie, "session-writer="), "-")
	victimCursor := entered.Header.Get("Session-Cursor")
	own := item(`"set":{"own":1}`)
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
	kinds := map[string]func() (status int, res reply){
		"malformed": func() (int, reply) {
			return 400, attacker.do(t, "POST", exchange, mutate(good()), inJSON...)
		},
		"no items": func() (int, reply) {
			return 400, attacker.do(t, "POST", exchange, pick("1", "{}", `"x"`, "null", "true", item(`"set":{}`), `{"unsent":[]}`), inJSON...)
		},
		"oversized": func() (int, reply) {
			switch random.IntN(20) { // mostly what costs little to send
			case 0:
				return 413, attacker.do(t, "POST", exchange, strings.Repeat("[", 2<<20+1+random.IntN(9999)), inJSON...)
			case 1:
				return 413, attacker.do(t, "POST", exchange, "["+item(`"set":{"a":"`+strings.Repeat("x", 1<<20)+`"}`)+"]", inJSON...)
			}
			return 413, attacker.do(t, "POST", exchange, "["+item(`"set":{"`+strings.Repeat("k", 16<<10+1+random.IntN(999))+`":1}`)+"]", inJSON...)
		},
		"from the future": func() (int, reply) {
			ahead := 25*time.Hour + time.Duration(random.IntN(1_000_000))*time.Hour
			return 422, attacker.do(t, "POST", exchange, "["+itemAt(time.Now().Add(ahead), pick(`"clear":true`, `"set":{"a":1}`, `"remove":["own"]`))+"]", inJSON...)
		},
		"mis-typed": func() (int, reply) {
			return 415, attacker.do(t, "POST", exchange, good(), "Content-Type", pick("text/plain", "application/x-www-form-urlencoded",
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
			return 412, attacker.do(t, "POST", exchange+"&cursor="+pick(victimCursor, victimCursor+"0", "x", "-", strconv.Itoa(random.Int())), good(), inJSON...)
		},
		"a cookie like another's": func() (int, reply) {
			id := []byte(victimID)
			at := random.IntN(len(id))
			id[at] = pick("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "g", "A", "%", " ", "'")[0]
			if string(id) == victimID {
				id = id[1:]
			}
			stranger := &browser{new(http.Client), url}
			return 204, stranger.do(t, "POST", exchange, "", "Cookie", "session-writer="+string(id)+pick("", "-", "-1", "-20000", "-x"))
		},
		"another's name": func() (int, reply) {
			return 204, attacker.do(t, "POST", "/sessions/exchange?session="+pick("cart%00", "cart%20", "Cart", "*", "%25", "cart'--", victimID), "", inJSON...)
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

// A replica is a tab whose session is exchanged after each save.
type replica struct {
	*session.Session
	server session.Server
}

func openReplica(ctx context.Context, server session.Server) (*replica, error) {
	s, err := session.Open(ctx, session.NewMemory(), "cart")
	if err != nil {
		return nil, err
	}
	return &replica{s, server}, nil
}

func (r *replica) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	if err := r.Session.Save(ctx, entries); err != nil {
		return err
	}
	return r.Exchange(ctx, r.server)
}

func testClientErrors(t *testing.T, url string) {
	b := newBrowser(t, url)
	if _, _, err := b.server("cart")(t.Context(), "x-1", ""); !errors.Is(err, session.ErrCursor) {
		t.Errorf("an unknown cursor: %v, want ErrCursor", err)
	}
	big := "[" + item(`"set":{"a":"`+strings.Repeat("k", 1<<20)+`"}`) + "]"
	if _, _, err := b.server("cart")(t.Context(), "", big); !errors.Is(err, session.ErrQuota) || !strings.Contains(err.Error(), "1048576 bytes") {
		t.Errorf("too much: %v, want ErrQuota with the limit", err)
	}
	if _, _, err := b.server("a/b")(t.Context(), "", ""); err == nil || !strings.Contains(err.Error(), "must not contain a slash") {
		t.Errorf("a slash: %v, want what the server says", err)
	}
}
