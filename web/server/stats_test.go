//go:build !js

package server

import (
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/sqlstore"
)

func TestStats(t *testing.T) {
	db := openDB(t)
	handler := mustNew(t, Config{DB: db, Site: testSite()})
	server := httptest.NewServer(handler)
	defer server.Close()
	b := newBrowser(t, server.URL)

	first := item(`"set":{"a":1,"b":2}`)
	b.hello(t)
	b.send(t, "", "["+first+"]")
	b.send(t, "", "["+item(`"set":{"c":"`+strings.Repeat("c", 2<<20)+`"}`)+"]")
	b.send(t, "no cursor", "")
	b.do(t, "POST", "/sessions/pair", "")
	b.do(t, "POST", "/sessions/join", `{"code":"0000-0000-0000-0000"}`, "Content-Type", "application/json")
	b.do(t, "GET", "/sessions/health", "")
	b.do(t, "GET", "/sessions/live", "")
	b.do(t, "GET", "/sessions/initial?session=cart", "")
	b.do(t, "GET", "/sessions/whatever", "")
	b.do(t, "GET", "/whatever", "")
	page := b.do(t, "GET", "/", "")
	b.do(t, "GET", "/sessions/exchange", "")
	b.do(t, "POST", "/sessions/pair", "", "Sec-Fetch-Site", "cross-site")
	if err := db.Prune(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	server.Close() // so that all are counted

	got := handler.Stats()
	want := map[Answer]uint64{
		{"exchange", 204, ""}:         1,
		{"exchange", 200, ""}:         1,
		{"exchange", 413, "quota"}:    1,
		{"exchange", 412, "cursor"}:   1,
		{"exchange", 405, "method"}:   1,
		{"pair", 200, ""}:             1,
		{"pair", 403, "cross-origin"}: 1,
		{"join", 410, "pairing"}:      1,
		{"health", 200, ""}:           1,
		{"live", 200, ""}:             1,
		{"initial", 200, ""}:          1,
		{"other", 404, "not-found"}:   1,
		{"page", 404, ""}:             1,
		{"page", page.StatusCode, ""}: 1,
	}
	if !reflect.DeepEqual(got.Answers, want) {
		t.Errorf("the answers were\n%v, want\n%v", got.Answers, want)
	}
	if got.Received["exchange"] < uint64(len(first)+2<<20) || got.Received["join"] != 30 || got.Received["pair"] != 0 {
		t.Errorf("it has received %v", got.Received)
	}
	if got.Sent["page"] < uint64(len(page.body)) || got.Sent["exchange"] < uint64(len(first)) {
		t.Errorf("it has sent %v", got.Sent)
	}
	if took := got.Exchanges; took.Count != 5 || took.Within[30] != 5 || took.Within[.001] > 5 || took.Sum <= 0 || took.Sum > 30*time.Second {
		t.Errorf("exchanges took %+v", took)
	}
	if got.DB.Owners != 1 || got.DB.Merged != 2 || got.DB.Pruned != 1 || time.Since(got.DB.LastPruned) > time.Minute {
		t.Errorf("the database did %+v", got.DB)
	}
	if got.Bodies != 0 || got.Memory != 0 || got.MaxMemory != 32<<20 || got.LongWaiting != 0 || got.DB.Working != 0 || got.DB.Waiting != 0 {
		t.Errorf("at rest it does %+v", got)
	}
}

func TestStatsOfWhatIsUnderWay(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t)})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, post("/sessions/exchange?session=cart", "[]"))
	body := newAlmostThere("[" + strings.Repeat(" ", 2*small))
	r := httptest.NewRequest("POST", "http://localhost/sessions/exchange?session=cart&owner="+w.Result().Header.Get("Session-Owner"), body)
	r.Header.Set("Content-Type", "application/json")
	r.AddCookie(w.Result().Cookies()[0])
	done := make(chan struct{})
	go func() {
		handler.ServeHTTP(httptest.NewRecorder(), r)
		close(done)
	}()
	<-body.read
	if got := handler.Stats(); got.Bodies != 1 || got.Memory < small || got.Answers[Answer{"exchange", 204, ""}] != 1 {
		t.Errorf("as a body is on its way: %+v", got)
	}
	close(body.last)
	<-done
	if got := handler.Stats(); got.Bodies != 0 || got.Memory != 0 || got.Answers[Answer{"exchange", 204, ""}] != 2 {
		t.Errorf("afterwards: %+v", got)
	}
}

func TestStatsWhileOthersExchange(t *testing.T) {
	const browsers, each = 4, 20
	handler := mustNew(t, Config{DB: openDB(t)})
	server := httptest.NewServer(handler)
	defer server.Close()
	var wg sync.WaitGroup
	for range browsers {
		b := newBrowser(t, server.URL)
		wg.Go(func() {
			b.hello(t)
			for n := range each {
				b.send(t, "", "["+item(fmt.Sprintf(`"set":{"%d":1}`, n))+"]")
				handler.Stats()
			}
		})
	}
	wg.Wait()
	server.Close() // so that all are counted
	got := handler.Stats()
	if got.Exchanges.Count != browsers*(each+1) || got.Answers[Answer{"exchange", 200, ""}] != browsers*each || got.DB.Merged != browsers*each || got.DB.Owners != browsers {
		t.Errorf("after %d exchanges of %d browsers: %+v", each, browsers, got)
	}
}

// A client that sends what it likes makes no more labels.
func TestAnswersAreFew(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t), Site: testSite()})
	for n := range 100 {
		for _, path := range []string{"/sessions/%d", "/%d", "/sessions/exchange?session=%d", "/sessions/exchange/%d"} {
			r := httptest.NewRequest(fmt.Sprintf("M%d", n), "http://localhost"+fmt.Sprintf(path, n), strings.NewReader("x"))
			r.Host = []string{"localhost", fmt.Sprint(n, ".example")}[n%2]
			handler.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	if got := handler.Stats().Answers; len(got) > 8 {
		t.Errorf("there are %d answers: %v", len(got), got)
	}
}

func TestProbes(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t)})
	ask := func(path string) int {
		r := httptest.NewRequest("GET", "http://10.0.0.7:8080"+path, nil) // by an address that is no origin
		code, header, _ := answerTo(handler, r)
		if (code == 503) != (header.Get("Retry-After") != "") {
			t.Errorf("%s: %d, Retry-After %q", path, code, header.Get("Retry-After"))
		}
		return code
	}
	if ready, live := ask(healthPath), ask(livePath); ready != 200 || live != 200 {
		t.Errorf("as it serves: ready %d, live %d", ready, live)
	}
	handler.Drain()
	if ready, live := ask(healthPath), ask(livePath); ready != 503 || live != 200 {
		t.Errorf("as it drains: ready %d, live %d, want 503 and 200", ready, live)
	}
	if code, _, body := answerTo(handler, post("/sessions/exchange?session=cart", "[]")); code != 204 {
		t.Errorf("as it drains, an exchange: %d %s", code, body)
	}
}

func TestADatabaseThatDoesNotAnswerIsNoReasonToRestart(t *testing.T) {
	db := sqlstore.New(openClosed(t), sqlstore.Limits{})
	handler := mustNew(t, Config{DB: db})
	for path, want := range map[string]int{healthPath: 503, livePath: 200} {
		if code, _, body := answerTo(handler, httptest.NewRequest("GET", "http://localhost"+path, nil)); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
}

// Whoever sends too much is still cut off, through the ResponseWriter that counts.
func TestTooLargeABodyEndsTheConnection(t *testing.T) {
	server := httptest.NewServer(mustNew(t, Config{DB: openDB(t)}))
	defer server.Close()
	b := newBrowser(t, server.URL)
	res := b.do(t, "POST", "/sessions/join", strings.Repeat(" ", 5000), "Content-Type", "application/json")
	if res.StatusCode != 413 || !res.Close {
		t.Errorf("got %d %s, and the connection is to close: %t", res.StatusCode, res.body, res.Close)
	}
}
