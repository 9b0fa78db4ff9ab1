//go:build !js

package server

import (
	"encoding/json"
	"html"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/session-interop/session-writer/internal/engine"
)

// No key or value can end the element, or begin a comment in it.
func TestEmbedIsSafeInHTML(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	for _, nasty := range []string{
		"</script><script>alert(1)</script>", "<!--<script>", "]]>", "&lt;&amp;\"'`", "\u2028\u2029\x00\x7f\ufeff", "${x}{{y}}", "</SCRIPT\n>", "\\u003c/script>",
	} {
		w, r := h.visit(httptest.NewRecorder(), get())
		name := strings.ReplaceAll(nasty, "/", "\\")
		mustSave(t, mustOpen(t, h, r, name), nasty, nasty)
		embedded, err := h.Embed(w, r, name)
		if err != nil {
			t.Error(err)
			continue
		}
		parts := regexp.MustCompile(`^<script type="application/json" id="([^"<>]*)">([^<]*)</script>$`).FindStringSubmatch(string(embedded))
		if parts == nil || html.UnescapeString(parts[1]) != "session-"+name {
			t.Errorf("%q is embedded as %s", nasty, embedded)
			continue
		}
		var now initial
		if err := json.Unmarshal([]byte(parts[2]), &now); err != nil {
			t.Errorf("%q is embedded as %s: %v", nasty, parts[2], err)
			continue
		}
		said, unreadable, err := engine.ParseItems("[" + now.Item + "]")
		if err != nil || unreadable > 0 || len(said.Records) != 1 || said.Records[0].Key != nasty {
			t.Errorf("%q is embedded as %+v: %v", nasty, said, err)
		}
		var value string
		if err := json.Unmarshal([]byte(said.Records[0].Value), &value); err != nil || value != nasty {
			t.Errorf("the value %q is embedded as %q: %v", nasty, value, err)
		}
	}
}

// What is embedded is what an exchange without a cursor answers.
func TestInitial(t *testing.T) {
	h := mustNew(t, Config{DB: openDB(t)})
	ask := func(path, cookie string) (int, string, initial) {
		r := httptest.NewRequest("GET", "http://localhost"+path, nil)
		r.Header.Set("Cookie", cookie)
		code, header, body := answerTo(h, r)
		if header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, header.Get("Cache-Control"))
		}
		var now initial
		if code == 200 {
			if err := json.Unmarshal([]byte(body), &now); err != nil {
				t.Error(err)
			}
		}
		return code, body, now
	}
	if code, body, now := ask("/sessions/initial?session=cart", ""); code != 200 || now != (initial{}) {
		t.Errorf("somebody unknown has %d %s, want nothing", code, body)
	}
	cookie := newCookie(t, h)
	hello := post("/sessions/exchange?session=cart", "")
	hello.AddCookie(cookie)
	_, header, _ := answerTo(h, hello)
	tag := header.Get("Session-Owner")
	if code, body, now := ask("/sessions/initial?session=cart", cookie.String()); code != 200 || now != (initial{Owner: tag}) {
		t.Errorf("who has no cart has %d %s, want his tag alone", code, body)
	}
	w := httptest.NewRecorder()
	to, page := h.visit(w, get(cookie))
	cart := mustOpen(t, h, page, "cart")
	mustSave(t, cart, "a", 1)
	mustSave(t, cart, "b", 2)
	if err := cart.Remove(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	code, body, now := ask("/sessions/initial?session=cart", cookie.String())
	r := post("/sessions/exchange?session=cart&owner="+tag, "")
	r.AddCookie(cookie)
	var item string
	_, header, item = answerTo(h, r)
	if want := (initial{tag, header.Get("Session-Cursor"), item}); code != 200 || now != want || !strings.Contains(item, `"remove":["b"]`) {
		t.Errorf("the cart is %d %s, want %+v", code, body, want)
	}

	// A page for one visitor is not for a cache.
	w.Header().Set("Cache-Control", "public, max-age=60")
	_, err := h.Embed(to, page, "cart")
	if to.begin(); err != nil || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the page has %v: %v", w.Header(), err)
	}
	for path, want := range map[string]int{
		"/sessions/initial": 400, "/sessions/initial?session=a/b": 400, "/sessions/initial?session=cart&cursor=x": 400,
	} {
		if code, body, _ := ask(path, ""); code != want || !strings.Contains(body, `"code":"malformed"`) {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	if _, err := h.Embed(to, page, ""); err == nil {
		t.Error("a session without a name is embedded")
	}
}
