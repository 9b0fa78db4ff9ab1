//go:build !js

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/session-interop/session-writer/web/internal/turns"
)

func TestABudget(t *testing.T) {
	b := &budget{total: 1000, share: 600}
	one, same, other := b.holder("a"), b.holder("a"), b.holder("b")
	take := func(h *holder, bytes int, ok bool) {
		t.Helper()
		for _, err := range []error{h.fits(bytes), h.take(bytes)} {
			if ok && err != nil || !ok && !errors.Is(err, turns.ErrBusy) {
				t.Errorf("%d bytes of %s: %v, want it to be taken: %t", bytes, h.owner, err, ok)
			}
		}
	}
	take(one, small+500, true)
	take(same, small, true) // whatever there is
	take(same, 101, false)  // of its share
	take(same, 100, true)
	take(other, small+401, false) // of all
	take(other, small+400, true)
	take(other, 1, false)
	one.release()
	take(other, 100, true)
	take(b.holder("c"), small+400, true)
	take(b.holder("c"), small+1, false)
	same.release()
	other.release()
	alone := (&budget{total: 1000, share: 600}).holder("a")
	take(alone, small+900, true)
	take(alone, 900, true)
	take(alone.holder("b"), small+1, false)
	if b.used != 400 || len(b.by) != 1 {
		t.Errorf("in the end %d are held by %v, want 400 by one", b.used, b.by)
	}
}

func TestNobodyTakesAllMemory(t *testing.T) {
	server := httptest.NewServer(mustNew(t, Config{DB: openDB(t)}))
	defer server.Close()
	many, other := newBrowser(t, server.URL), newBrowser(t, server.URL)
	many.hello(t)
	other.hello(t)

	// Two requests are almost there, and have all that is for one owner.
	const size = 2 << 20
	var ends []*io.PipeWriter
	answers := make(chan int)
	for range 2 {
		body, end := io.Pipe()
		ends = append(ends, end)
		req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/sessions/exchange?session=cart&owner="+many.owner, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		go func() {
			res, err := many.Do(req)
			if err != nil {
				answers <- 0
				return
			}
			_ = res.Body.Close()
			answers <- res.StatusCode
		}()
		fmt.Fprint(end, "["+strings.Repeat(" ", size-4096))
	}
	large := "[" + strings.Repeat(" ", size-2) + "]"
	for { // until the server has read them
		res := many.send(t, "", large)
		if res.StatusCode == 503 {
			if res.code(t) != "busy" || res.Header.Get("Retry-After") == "" {
				t.Errorf("a third: %v %s, want busy, and when to try again", res.Header, res.body)
			}
			break
		}
	}
	if res := many.send(t, "", "["+item(`"set":{"a":1}`)+"]"); res.StatusCode != 204 {
		t.Errorf("what is small: %d %s", res.StatusCode, res.body)
	}
	if res := other.send(t, "", large); res.StatusCode != 204 {
		t.Errorf("another owner: %d %s", res.StatusCode, res.body)
	}
	for _, end := range ends {
		fmt.Fprint(end, "]")
		_ = end.Close()
		if status := <-answers; status != 200 && status != 204 {
			t.Errorf("what was almost there: %d", status)
		}
	}
	if res := many.send(t, "", large); res.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", res.StatusCode, res.body)
	}
}

func TestAClientThatIsGone(t *testing.T) {
	var logged strings.Builder
	handler := mustNew(t, Config{DB: openDB(t), ErrorLog: log.New(&logged, "", 0)})
	_, header, _ := answerTo(handler, post("/sessions/exchange?session=cart", "[]"))
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	exchange := func(body string) *http.Request {
		r := post("/sessions/exchange?session=cart&owner="+header.Get("Session-Owner"), body)
		r.Header.Set("Cookie", cookie)
		return r
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range []*http.Request{
		exchange("[" + item(`"set":{"a":1}`) + "]"),
		exchange("[" + item(`"set":{"a":"`+strings.Repeat("a", 2*small)+`"}`) + "]"),
		post("/sessions/pair", ""),
	} {
		if code, header, _ := answerTo(handler, r.WithContext(gone)); code != 503 || header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d, want 503", r.URL, code)
		}
	}
	if code, _, body := answerTo(handler, exchange("")); code != 204 {
		t.Errorf("something was merged for it: %d %s", code, body)
	}
	if logged.Len() > 0 {
		t.Errorf("the log has %s", &logged)
	}
}
