//go:build !js

package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// listed returns the devices that a browser is told of, and the one that it is.
func (b *browser) listed(t testing.TB) (devices []told, current told) {
	t.Helper()
	res := b.do(t, "POST", "/sessions/devices", "")
	var got struct{ Devices []told }
	if err := json.Unmarshal([]byte(res.body), &got); err != nil || res.StatusCode != 200 {
		t.Fatalf("devices: %d %s", res.StatusCode, res.body)
	}
	for _, d := range got.Devices {
		if d.Current {
			current = d
		}
	}
	return got.Devices, current
}

// code returns a pairing code.
func (b *browser) code(t testing.TB) string {
	t.Helper()
	var got struct{ Code string }
	if err := json.Unmarshal([]byte(b.do(t, "POST", "/sessions/pair", "").body), &got); err != nil {
		t.Fatal(err)
	}
	return got.Code
}

type told struct {
	ID, Name     string
	First, Last  int64
	New, Current bool
}

// asJSON is the header of a request with a body.
var asJSON = []string{"Content-Type", "application/json"}

func testDevices(t *testing.T, url string) {
	const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101, like many, Firefox/153.0"
	one, two, three := newBrowser(t, url), newBrowser(t, url), newBrowser(t, url)
	if res := one.do(t, "POST", "/sessions/devices", ""); res.StatusCode != 401 || res.code(t) != "identity" {
		t.Errorf("somebody unknown: %d %s, want 401 identity", res.StatusCode, res.body)
	}
	one.ask(t, nil, "[]", "User-Agent", firefox)
	one.send(t, "", "["+item(`"set":{"a":1}`)+"]")
	// Who is asked to join is told whose devices they are, and takes nothing by that.
	invitation := `{"code":"` + one.code(t) + `"`
	for range 2 {
		res := two.do(t, "POST", "/sessions/join", invitation+`,"ask":true}`, asJSON...)
		if res.StatusCode != 200 || !strings.Contains(res.body, `"name":"Firefox on Linux"`) || res.Header.Get("Session-Owner") != "" || len(res.Cookies()) > 0 {
			t.Errorf("who asks is told %d %s", res.StatusCode, res.body)
		}
	}
	two.hello(t)
	before, _ := two.listed(t)
	if res := two.do(t, "POST", "/sessions/join", invitation+`}`, asJSON...); res.StatusCode != 204 {
		t.Fatalf("join: %d %s", res.StatusCode, res.body)
	}
	three.do(t, "POST", "/sessions/join", `{"code":"`+one.code(t)+`"}`, append(asJSON, "User-Agent", "curl/8")...)
	three.send(t, "", "") // it is one of them once it comes
	devices, second := two.listed(t)
	if len(devices) != 3 || devices[0].Name != "Firefox on Linux" || devices[2].Name != "a device" || second.ID == before[0].ID {
		t.Errorf("the second device is told of %+v, and was %+v", devices, before)
	}
	for _, d := range devices {
		if at := time.Since(time.UnixMilli(d.First)); at < -time.Minute || at > time.Minute || d.Last < d.First-1 {
			t.Errorf("the device was seen at %+v", d)
		}
	}
	// The first one hears of both.
	if res := one.send(t, "", ""); res.Header.Get("Session-Devices") != "new" {
		t.Errorf("the first device is told %v", res.Header)
	}
	devices, _ = one.listed(t)
	if devices[0].New || !devices[0].Current || !devices[1].New || !devices[2].New {
		t.Errorf("the first device is told of %+v", devices)
	}
	if res := one.send(t, "", ""); res.Header.Get("Session-Devices") != "" {
		t.Errorf("once it was told: %v", res.Header)
	}

	for body, want := range map[string]int{
		`{"id":"` + devices[1].ID + `","name":"at work"}`: 204,
		`{"id":"` + devices[1].ID + `","name":""}`:        400,
		`{"id":"` + devices[1].ID + `"}`:                  400,
		`{"id":"0123456789abcdef","name":"x"}`:            404,
		`["x"]`:                                           400,
	} {
		if res := one.do(t, "POST", "/sessions/rename", body, asJSON...); res.StatusCode != want {
			t.Errorf("rename %s: %d %s, want %d", body, res.StatusCode, res.body, want)
		}
	}
	for _, id := range []string{"", "0123456789abcdef"} {
		if res := one.do(t, "POST", "/sessions/revoke", `{"id":"`+id+`"}`, asJSON...); res.StatusCode != 404 || res.code(t) != "device" {
			t.Errorf("revoke %q: %d %s, want 404 device", id, res.StatusCode, res.body)
		}
	}
	if res := one.do(t, "POST", "/sessions/revoke", `{"id":"`+second.ID+`"}`, asJSON...); res.StatusCode != 204 {
		t.Errorf("revoke: %d %s", res.StatusCode, res.body)
	}
	if devices, _ := three.listed(t); len(devices) != 2 {
		t.Errorf("the third device is told of %+v", devices)
	}
	// The revoked one is somebody new, who gets and gives nothing.
	owner := two.owner
	within(t, func() bool { // another process may have served it a moment ago
		res := two.ask(t, map[string][]string{"owner": {owner}}, "["+item(`"set":{"b":1}`)+"]")
		return res.StatusCode == 412 && res.Header.Get("Session-Owner") == sqlstore.Nobody && res.Header.Get("Session-Heir") == ""
	})
	if res := two.send(t, "", ""); res.StatusCode != 204 {
		t.Errorf("the revoked device has %d %s", res.StatusCode, res.body)
	}
	if res := two.send(t, "", "["+item(`"set":{"c":1}`)+"]"); res.StatusCode != 412 || res.Header.Get("Session-Owner") != "" {
		t.Errorf("the revoked device saves something: %d %v, want that it asks anew", res.StatusCode, res.Header)
	}
	if res := two.hello(t); res.StatusCode != 204 || len(res.Cookies()) != 1 || two.owner == sqlstore.Nobody {
		t.Errorf("the revoked device becomes somebody new: %d %v", res.StatusCode, res.Header)
	}

	res := three.send(t, "", "")
	if !strings.Contains(res.body, `"a":1`) {
		t.Errorf("the third device has %s", res.body)
	}
	if deleted := one.do(t, "DELETE", "/sessions/session?session=cart", ""); deleted.StatusCode != 204 {
		t.Errorf("delete a session: %d %s", deleted.StatusCode, deleted.body)
	}
	if res := three.send(t, res.Header.Get("Session-Cursor"), ""); !strings.Contains(res.body, `"clear":true`) {
		t.Errorf("the third device is told %d %s", res.StatusCode, res.body)
	}
	for _, path := range []string{"/sessions/session", "/sessions/session?session=a/b"} {
		if res := one.do(t, "DELETE", path, ""); res.StatusCode != 400 {
			t.Errorf("%s: %d %s, want 400", path, res.StatusCode, res.body)
		}
	}
	if deleted := one.do(t, "DELETE", "/sessions/owner", ""); deleted.StatusCode != 204 {
		t.Errorf("delete all: %d %s", deleted.StatusCode, deleted.body)
	}
	if devices, current := one.listed(t); len(devices) != 1 || !current.Current {
		t.Errorf("after that the first device is told of %+v", devices)
	}
}

// within waits until something is so, for as long as it may be known late.
func within(t testing.TB, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(end) {
			t.Fatal("it is not so in time")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// userKey is the key of who signs in among the values of a request's context.
type userKey struct{}

// newProgram returns a program with a login, whose cookie names the user, and its handler.
func newProgram(t *testing.T, config Config) (*Handler, string) {
	t.Helper()
	config.DB = openDB(t)
	return newProgramOn(t, config)
}

// newProgramOn does so with the database of a Config.
func newProgramOn(t *testing.T, config Config) (*Handler, string) {
	t.Helper()
	config.Identify = func(r *http.Request) (string, error) {
		if user, ok := r.Context().Value(userKey{}).(string); ok {
			return user, nil
		}
		cookie, err := r.Cookie("user")
		if err != nil {
			return "", nil
		}
		return cookie.Value, nil
	}
	h := mustNew(t, config)
	mux := http.NewServeMux()
	mux.Handle("/sessions/", h)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		user := r.FormValue("user")
		if err := h.Adopt(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user))); err != nil {
			h.Error(w, r, err)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "user", Value: user, Path: "/"})
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		if err := h.Logout(w, r); err != nil {
			h.Error(w, r, err)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "user", Path: "/", MaxAge: -1})
	})
	mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) {
		s, err := h.Open(w, r, "cart")
		if err == nil {
			_, err = s.Load(r.Context())
		}
		if err != nil {
			h.Error(w, r, err)
		}
	})
	server := httptest.NewServer(h.Wrap(mux))
	t.Cleanup(server.Close)
	return h, server.URL
}

// cookies returns the names of those that a browser has.
func (b *browser) cookies(t testing.TB) (names []string) {
	t.Helper()
	for _, cookie := range b.Jar.Cookies(mustURL(t, b.url)) {
		names = append(names, cookie.Name)
	}
	slices.Sort(names)
	return names
}

func TestLoginAndLogout(t *testing.T) {
	add := func(_, _ string, user, visitor json.RawMessage) (any, bool) {
		var a, b int
		err := errors.Join(json.Unmarshal(user, &a), json.Unmarshal(visitor, &b))
		return a + b, err == nil
	}
	_, url := newProgram(t, Config{Combine: add})
	adas := newBrowser(t, url)
	adas.do(t, "POST", "/login?user=ada", "")
	adas.ask(t, nil, "")
	adas.send(t, "", "["+item(`"set":{"n":3}`)+"]")

	b := newBrowser(t, url)
	b.hello(t)
	visitor := b.owner
	b.send(t, "", "["+item(`"set":{"n":2,"visitor":1}`)+"]")
	other := newBrowser(t, url)
	other.Jar.SetCookies(mustURL(t, url), b.Jar.Cookies(mustURL(t, url)))

	if res := b.do(t, "POST", "/login?user=ada", ""); res.StatusCode != 200 {
		t.Fatalf("login: %d %s", res.StatusCode, res.body)
	}
	if got := b.cookies(t); !slices.Equal(got, []string{"session-writer-user", "user"}) {
		t.Errorf("after the login the browser has the cookies %q", got)
	}
	asVisitor := map[string][]string{"owner": {visitor}}
	res := b.ask(t, asVisitor, "")
	if res.StatusCode != 412 || res.code(t) != "owner" || res.Header.Get("Session-Owner") != sqlstore.Tag("ada") || res.Header.Get("Session-Heir") != sqlstore.Tag("ada") {
		t.Errorf("the page, as the visitor: %d %v", res.StatusCode, res.Header)
	}
	for _, of := range []*browser{b, adas} {
		if res := of.send(t, "", ""); !strings.Contains(res.body, `"n":5`) || !strings.Contains(res.body, `"visitor":1`) {
			t.Errorf("Ada has %s", res.body)
		}
	}
	// By the cookie of before, and by the page of it, nobody gets anything.
	late := "[" + item(`"set":{"late":1}`) + "]"
	if res := other.ask(t, asVisitor, late); res.StatusCode != 503 || res.code(t) != "busy" {
		t.Errorf("while the answer to the login is on its way: %d %s", res.StatusCode, res.body)
	}
	defer func(was time.Duration) { signingIn = was }(signingIn)
	signingIn = 0
	if res := other.ask(t, asVisitor, late); res.StatusCode != 412 || res.Header.Get("Session-Heir") != sqlstore.Tag("ada") || other.owner != sqlstore.Nobody || len(res.Cookies()) > 0 {
		t.Errorf("the visitor's cookie is answered %d %v", res.StatusCode, res.Header)
	}
	for range 2 { // as often as it asks, nobody is added
		if res := other.send(t, "", ""); res.StatusCode != 204 || other.owner != sqlstore.Nobody {
			t.Errorf("it has %d %s", res.StatusCode, res.body)
		}
	}
	// What is saved there now is somebody's who is new.
	if res := other.send(t, "", late); res.StatusCode != 412 || res.Header.Get("Session-Owner") != "" {
		t.Errorf("somebody saves there: %d %v", res.StatusCode, res.Header)
	}
	other.hello(t)
	if res := other.ask(t, map[string][]string{"owner": {sqlstore.Nobody}}, ""); res.StatusCode != 412 || res.Header.Get("Session-Heir") != other.owner || other.owner == sqlstore.Nobody {
		t.Errorf("by then, another page of that browser: %d %v", res.StatusCode, res.Header)
	}
	// Bob is not the visitor's heir.
	bobs := newBrowser(t, url)
	bobs.do(t, "POST", "/login?user=bob", "")
	if res := bobs.ask(t, asVisitor, ""); res.StatusCode != 412 || res.Header.Get("Session-Heir") != sqlstore.Tag("ada") || bobs.owner != sqlstore.Tag("bob") {
		t.Errorf("the page, as Bob: %d %v", res.StatusCode, res.Header)
	}

	if devices, _ := adas.listed(t); len(devices) != 2 {
		t.Errorf("Ada has the devices %+v", devices)
	}
	if res := b.do(t, "POST", "/logout", ""); res.StatusCode != 200 || len(b.cookies(t)) != 0 {
		t.Errorf("logout: %d, and the cookies %q", res.StatusCode, b.cookies(t))
	}
	if res := b.ask(t, map[string][]string{"owner": {sqlstore.Tag("ada")}}, "["+item(`"set":{"after":1}`)+"]"); res.StatusCode != 412 || res.Header.Get("Session-Heir") != "" || b.owner != sqlstore.Nobody {
		t.Errorf("the page, after the logout: %d %v", res.StatusCode, res.Header)
	}
	if res := b.send(t, "", ""); res.StatusCode != 204 {
		t.Errorf("the page, after the logout, has %d %s", res.StatusCode, res.body)
	}
	if devices, _ := adas.listed(t); len(devices) != 1 {
		t.Errorf("after the logout, Ada has the devices %+v", devices)
	}
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	at, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAUsersDevice(t *testing.T) {
	_, url := newProgram(t, Config{})
	one, two := newBrowser(t, url), newBrowser(t, url)
	for _, b := range []*browser{one, two} {
		b.do(t, "POST", "/login?user=ada", "")
		b.ask(t, nil, "")
	}
	_, second := two.listed(t)
	if res := one.do(t, "POST", "/sessions/revoke", `{"id":"`+second.ID+`"}`, asJSON...); res.StatusCode != 204 {
		t.Fatalf("revoke: %d %s", res.StatusCode, res.body)
	}
	owner := two.owner
	if res := two.send(t, "", "["+item(`"set":{"revoked":1}`)+"]"); res.StatusCode != 412 || two.owner != sqlstore.Nobody || owner == two.owner {
		t.Errorf("the revoked device's page: %d %v", res.StatusCode, res.Header)
	}
	for _, res := range []reply{two.do(t, "GET", "/open", ""), two.do(t, "POST", "/sessions/devices", "")} {
		if res.StatusCode != 401 || res.code(t) != "device" {
			t.Errorf("%s: %d %s, want 401 device", res.Request.URL.Path, res.StatusCode, res.body)
		}
	}
	two.do(t, "POST", "/logout", "")
	two.do(t, "POST", "/login?user=ada", "")
	two.ask(t, nil, "")
	if res := two.send(t, "", ""); res.StatusCode != 204 || two.owner != sqlstore.Tag("ada") {
		t.Errorf("after another login: %d %s", res.StatusCode, res.body)
	}
	// Who keeps no cookies is no device, and has the session all the same.
	plain := &browser{Client: new(http.Client), url: url, owner: sqlstore.Tag("ada")}
	for range 3 {
		if res := plain.send(t, "", "", "Cookie", "user=ada"); res.StatusCode != 204 {
			t.Errorf("without cookies: %d %s", res.StatusCode, res.body)
		}
	}
	// Another user of the same browser has another id.
	if devices, _ := one.listed(t); len(devices) != 2 {
		t.Errorf("there are %+v", devices)
	}
	one.do(t, "POST", "/login?user=bob", "")
	one.ask(t, nil, "")
	if devices, current := one.listed(t); len(devices) != 1 || !current.Current {
		t.Errorf("Bob has %+v", devices)
	}
}

func TestDevicesHaveALifetime(t *testing.T) {
	for name, config := range map[string]Config{"idle": {Idle: time.Nanosecond}, "absolute": {Lifetime: time.Nanosecond}} {
		config.DB = openDB(t)
		server := httptest.NewServer(mustNew(t, config))
		defer server.Close()
		b := newBrowser(t, server.URL)
		b.hello(t)
		owner := b.owner
		if res := b.send(t, "", "["+item(`"set":{"a":1}`)+"]"); res.StatusCode != 412 || b.owner != sqlstore.Nobody || owner == b.owner {
			t.Errorf("%s: %d %v, want to be nobody", name, res.StatusCode, res.Header)
		}
	}
	for _, config := range []Config{{Idle: -1}, {Lifetime: -1}} {
		config.DB = openDB(t)
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), "negative") {
			t.Errorf("a lifetime below zero: %v", err)
		}
	}
}

func TestTheProgramsOwnHandlersHaveDevices(t *testing.T) {
	var log strings.Builder
	h, url := newProgram(t, Config{Audit: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))})
	b := newBrowser(t, url)
	if _, err := h.Devices(b.request()); err == nil {
		t.Error("somebody unknown has devices")
	}
	b.do(t, "POST", "/login?user=ada", "")
	b.send(t, "", "")
	if err := h.Revoke(elsewhere(b.request()), ""); err == nil {
		t.Error("another site may revoke")
	}
	devices, err := h.Devices(b.request())
	if err != nil || len(devices) != 1 || !devices[0].Current || devices[0].Name != "a program in Go" {
		t.Fatalf("Ada has %+v, %v", devices, err)
	}
	id := devices[0].ID
	if err := errors.Join(h.Rename(b.request(), id, "mine"), h.Erase(b.request())); err != nil {
		t.Error(err)
	}
	if devices, err = h.Devices(b.request()); err != nil || devices[0].Name != "mine" {
		t.Errorf("Ada has %+v, %v", devices, err)
	}
	if err := h.Rename(b.request(), id, ""); !errors.Is(err, session.ErrConfig) {
		t.Errorf("an empty name: %v", err)
	}
	if err := h.Revoke(b.request(), "0123456789abcdef"); !errors.Is(err, sqlstore.ErrDevice) {
		t.Errorf("one that is not there: %v", err)
	}
	if err := h.Revoke(b.request(), id); err != nil {
		t.Error(err)
	}
	if _, err := h.Devices(b.request()); err == nil {
		t.Error("a device that was revoked is told of others")
	}
	b.do(t, "GET", "/open", "")
	b.do(t, "POST", "/logout", "")
	tag := sqlstore.Tag("ada")
	of := " owner=" + tag + " device=" + id
	by := " by=" + id + of
	want := []string{"msg=adopt" + of, "msg=rename" + by, "msg=delete" + of, "msg=revoke" + by, "msg=refuse code=device", "msg=logout" + of}
	if got := strings.Split(strings.TrimSpace(log.String()), "\n"); !slices.Equal(got, want) {
		t.Errorf("the audit has\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// elsewhere has another site make a request.
func elsewhere(r *http.Request) *http.Request {
	r.Method = "POST"
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return r
}

// A secret gives a user's session to nobody without his login, and nobody chooses one.
func TestSecretsOfUsers(t *testing.T) {
	_, url := newProgram(t, Config{})
	b := newBrowser(t, url)
	b.do(t, "POST", "/login?user=ada", "")
	b.ask(t, nil, "")
	b.send(t, "", "["+item(`"set":{"diary":1}`)+"]")
	var secret string
	for _, cookie := range b.Jar.Cookies(mustURL(t, url)) {
		if cookie.Name == "session-writer-user" {
			secret = cookie.Value
		}
	}
	plain := &browser{Client: new(http.Client), url: url, owner: b.owner}
	day := secret[33:]
	const chosen = "00112233445566778899aabbccddeeff-"
	for name, cookie := range map[string]string{
		"as a visitor's": "session-writer=" + secret, "without a login": "session-writer-user=" + secret,
	} {
		if res := plain.ask(t, map[string][]string{"owner": {sqlstore.Tag("ada")}}, "", "Cookie", cookie); res.StatusCode != 412 || res.Header.Get("Session-Owner") != sqlstore.Nobody {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
	}
	// A visitor's is not a user's either, and one that was chosen is nobody's.
	v := newBrowser(t, url)
	v.hello(t)
	visitors := v.Jar.Cookies(mustURL(t, url))[0].Value
	for _, value := range []string{chosen + day, visitors} {
		for range 2 {
			res := plain.ask(t, nil, "", "Cookie", "user=ada; session-writer-user="+value)
			if set := res.Header.Get("Set-Cookie"); res.StatusCode != 204 || !strings.HasPrefix(set, "session-writer-user=") || strings.Contains(set, value[:32]) {
				t.Errorf("the secret %s of a user: %d, and the cookie %q", value, res.StatusCode, set)
			}
		}
	}
	if res := plain.ask(t, nil, "[]", "Cookie", "session-writer="+chosen+day); res.Header.Get("Session-Owner") == sqlstore.Tag("ada") {
		t.Errorf("the chosen secret is Ada's")
	}
	if devices, _ := b.listed(t); len(devices) != 1 {
		t.Errorf("Ada has %+v", devices)
	}
}

// A login that was given up, or had no room for all, is in nobody's way.
func TestALoginThatHadNoRoom(t *testing.T) {
	h, url := newProgramOn(t, Config{DB: openDBWith(t, sqlstore.Limits{Entries: 3})})
	adas := newBrowser(t, url)
	adas.do(t, "POST", "/login?user=ada", "")
	adas.ask(t, nil, "")
	adas.send(t, "", "["+item(`"set":{"a":1,"b":1}`)+"]")
	b := newBrowser(t, url)
	b.hello(t)
	visitor := b.owner
	b.send(t, "", "["+item(`"set":{"c":1,"d":1}`)+"]")
	if res := b.do(t, "POST", "/login?user=ada", ""); res.StatusCode != 413 || !slices.Contains(b.cookies(t), "session-writer-user") || slices.Contains(b.cookies(t), "session-writer") {
		t.Errorf("the login: %d %s, and the cookies %q", res.StatusCode, res.body, b.cookies(t))
	}
	b.Jar.SetCookies(mustURL(t, url), []*http.Cookie{{Name: "user", Value: "ada"}}) // as a program should
	if res := b.ask(t, map[string][]string{"owner": {visitor}}, ""); res.StatusCode != 412 || res.Header.Get("Session-Heir") != sqlstore.Tag("ada") {
		t.Errorf("the page hears of the heir: %d %s", res.StatusCode, res.body)
	}
	if res := b.send(t, "", "["+item(`"remove":["a","b"]`)+"]"); res.StatusCode != 200 {
		t.Errorf("Ada makes room: %d %s", res.StatusCode, res.body)
	}
	s := mustOpen(t, h, b.request(), "cart")
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := b.do(t, "POST", "/login?user=ada", ""); res.StatusCode != 200 {
		t.Errorf("another login: %d %s", res.StatusCode, res.body)
	}
	if got := mustLoad(t, s); len(got) != 2 || got["c"] != "1" {
		t.Errorf("then Ada has %v", got)
	}
	if res := b.do(t, "POST", "/login?user=bob", ""); res.StatusCode != 200 {
		t.Errorf("a login of another user: %d %s", res.StatusCode, res.body)
	}
}

// Where nobody new is admitted, a page whose user has signed out shows nothing of his.
func TestALogoutWhereNobodyIsAdmitted(t *testing.T) {
	_, url := newProgram(t, Config{Admit: func(*http.Request) error { return errors.New("for users only") }})
	b := newBrowser(t, url)
	b.do(t, "POST", "/login?user=ada", "")
	b.ask(t, nil, "")
	b.do(t, "POST", "/logout", "")
	for range 2 {
		if res := b.send(t, "", "["+item(`"set":{"a":1}`)+"]"); b.owner != sqlstore.Nobody {
			t.Errorf("it shows %s: %d %s", b.owner, res.StatusCode, res.body)
		}
	}
	if res := b.hello(t); res.StatusCode != 403 || res.code(t) != "admission" {
		t.Errorf("what is saved there: %d %s", res.StatusCode, res.body)
	}
}

// Who is a visitor is somebody new after Logout, and his pages give nothing to that one.
func TestLogoutOfAVisitor(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	server := httptest.NewServer(h)
	defer server.Close()
	b := newBrowser(t, server.URL)
	b.hello(t)
	b.send(t, "", "["+item(`"set":{"a":1}`)+"]")
	r := b.request()
	r.Method = "POST"
	if err := h.Logout(httptest.NewRecorder(), r); err != nil {
		t.Fatal(err)
	}
	if res := b.send(t, "", "["+item(`"set":{"b":1}`)+"]"); res.StatusCode != 412 || b.owner != sqlstore.Nobody {
		t.Errorf("his page: %d %v", res.StatusCode, res.Header)
	}
	b.hello(t)
	if res := b.send(t, "", ""); res.StatusCode != 204 {
		t.Errorf("somebody new has %d %s", res.StatusCode, res.body)
	}
}

// What came after a backup is sent again by those whom the server does not know any more.
func TestARestoredBackupKnowsNoVisitors(t *testing.T) {
	_, url := newProgram(t, Config{})
	_, restored := newProgram(t, Config{})
	b := newBrowser(t, url)
	b.hello(t)
	visitor := b.owner
	b.url = restored
	if res := b.send(t, "c-1", ""); res.StatusCode != 412 || res.Header.Get("Session-Owner") != "" {
		t.Errorf("a visitor: %d %v, want that all is sent again", res.StatusCode, res.Header)
	}
	if !sqlstore.IsVisitors(visitor) {
		t.Errorf("a visitor has the tag %s", visitor)
	}
}

func TestAJoinForWhichThereIsNoRoom(t *testing.T) {
	h := mustNew(t, Config{DB: openDBWith(t, sqlstore.Limits{Devices: 1})})
	server := httptest.NewServer(h)
	defer server.Close()
	one, two := newBrowser(t, server.URL), newBrowser(t, server.URL)
	join := `{"code":"` + one.code(t) + `"}`
	for range 2 { // as the code is not used up
		if res := two.do(t, "POST", "/sessions/join", join, asJSON...); res.StatusCode != 409 || res.code(t) != "devices" {
			t.Errorf("join: %d %s, want 409 devices", res.StatusCode, res.body)
		}
	}
}

func TestAdoptAndLogoutRefuse(t *testing.T) {
	h, _ := newProgram(t, Config{})
	other := elsewhere(httptest.NewRequest("POST", "http://localhost/login", nil))
	doubled := httptest.NewRequest("POST", "http://localhost/login", nil)
	doubled.Header.Set("Cookie", "session-writer=a; session-writer=b")
	strange := httptest.NewRequest("POST", "http://evil.example/login", nil)
	w := httptest.NewRecorder()
	to, late := h.visit(w, httptest.NewRequest("POST", "http://localhost/login", nil))
	to.begin()
	for name, r := range map[string]*http.Request{"another site": other, "another host": strange, "a header that is written": late} {
		for call, do := range map[string]func(http.ResponseWriter, *http.Request) error{"Adopt": h.Adopt, "Logout": h.Logout} {
			if err := do(w, r.WithContext(context.WithValue(r.Context(), userKey{}, "ada"))); err == nil {
				t.Errorf("%s of %s is not refused", call, name)
			}
		}
	}
	if err := h.Adopt(w, doubled.WithContext(context.WithValue(t.Context(), userKey{}, "ada"))); err == nil {
		t.Error("of two cookies one is taken")
	}
	if err := h.Adopt(w, get()); err == nil {
		t.Error("nobody is signed in, and adopts")
	}
	if len(w.Header()) > 0 {
		t.Errorf("the response has %v", w.Header())
	}
}

func TestNamesOfDevices(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36":                         "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/156.0 Mobile/15E148 Safari/604.1":  "Chrome on iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                   "Safari on macOS",
		"Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0":                                                                  "Firefox on Linux",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36":                          "Chrome on ChromeOS",
		"Go-http-client/2.0": "a program in Go",
		"curl/8 (Linux)":     "a device with Linux",
		"":                   "a device",
	} {
		if got := deviceName(agent); got != want {
			t.Errorf("%s is %q, want %q", agent, got, want)
		}
	}
}
