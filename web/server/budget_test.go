//go:build !js

package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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

// An almostThere is a body of which one byte is missing until go.
type almostThere struct {
	io.Reader
	read, last chan struct{}
}

func newAlmostThere(text string) *almostThere {
	b := &almostThere{read: make(chan struct{}), last: make(chan struct{})}
	b.Reader = io.MultiReader(strings.NewReader(text), b.wait(), strings.NewReader("]"))
	return b
}

// wait returns an empty reader that ends with last. It says that all before it
// was read, and taken.
func (b *almostThere) wait() io.Reader {
	return readerFunc(func([]byte) (int, error) {
		close(b.read)
		<-b.last
		return 0, io.EOF
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestNobodyTakesAllMemory(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t)})
	type client struct{ cookie, owner string }
	hello := func() client {
		_, header, _ := answerTo(handler, post("/sessions/exchange?session=cart", "[]"))
		cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
		return client{cookie, header.Get("Session-Owner")}
	}
	request := func(by client, body io.Reader) *http.Request {
		r := httptest.NewRequest("POST", "http://localhost/sessions/exchange?session=cart&owner="+by.owner, body)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Cookie", by.cookie)
		return r
	}
	many, other := hello(), hello()

	// Two requests are almost there, and have all that is for one owner.
	const size = 2 << 20
	var ends []*almostThere
	answers := make(chan int)
	for range 2 {
		body := newAlmostThere("[" + strings.Repeat(" ", size-4096))
		ends = append(ends, body)
		go func() {
			status, _, _ := answerTo(handler, request(many, body))
			answers <- status
		}()
		<-body.read
	}
	large := "[" + strings.Repeat(" ", size-2) + "]"
	code, header, body := answerTo(handler, request(many, strings.NewReader(large)))
	if code != 503 || !strings.Contains(body, `"code":"busy"`) || header.Get("Retry-After") == "" {
		t.Errorf("a third: %d %v %s, want 503 busy, and when to try again", code, header, body)
	}
	small := "[" + item(`"set":{"a":1}`) + "]"
	if code, _, body := answerTo(handler, request(many, strings.NewReader(small))); code != 200 {
		t.Errorf("what is small: %d %s", code, body)
	}
	if code, _, body := answerTo(handler, request(other, strings.NewReader(large))); code != 204 {
		t.Errorf("another owner: %d %s", code, body)
	}
	for _, end := range ends {
		close(end.last)
		if status := <-answers; status != 200 {
			t.Errorf("what was almost there: %d", status)
		}
	}
	if code, _, body := answerTo(handler, request(many, strings.NewReader(large))); code != 200 {
		t.Errorf("afterwards: %d %s", code, body)
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

func TestWhatTakesLong(t *testing.T) {
	s := &sessions{Config: Config{DB: openDB(t)}}
	tiny := make([]string, 7000)
	for i := range tiny {
		tiny[i] = fmt.Sprintf(`"%x":1`, i)
	}
	for _, test := range []struct {
		name, set string
		long      bool
	}{
		{"nothing", "", false},
		{"a few entries", strings.Join(tiny[:100], ","), false},
		{"60 KB of tiny entries", strings.Join(tiny, ","), true},
		{"60 KB in one entry", `"a":"` + strings.Repeat("a", 60_000) + `"`, false},
		{"a megabyte in one entry", `"a":"` + strings.Repeat("a", 1<<20) + `"`, true},
		{"no more than can be merged", strings.Repeat(",", 1<<20), true},
	} {
		body := ""
		if test.set != "" {
			body = "[" + item(`"set":{`+test.set+`}`) + "]"
		}
		if cost := s.cost(body); (cost > turns.Long) != test.long || cost > time.Second {
			t.Errorf("%s is expected to take %v, want it to be long: %t", test.name, cost, test.long)
		}
	}
}

// With one body too many on its way, the one that began first is given up, and its
// client is told to try again.
func TestBodiesThatDoNotCome(t *testing.T) {
	handler := mustNew(t, Config{DB: openDB(t)})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	// stall sends less of a body than it should, and returns when that is awaited:
	// the server then asks for it.
	stall := func() *bufio.Reader {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := fmt.Fprintf(conn, "POST /sessions/exchange?session=cart HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", address); err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(conn)
		if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != http.StatusContinue {
			t.Fatal(res, err)
		}
		return answers
	}
	first := stall()
	for range maxIncoming {
		stall()
	}
	res, err := http.ReadResponse(first, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 503 || !strings.Contains(string(body), `"code":"busy"`) || res.Header.Get("Retry-After") == "" {
		t.Errorf("what does not come: %d %v %s, want 503 busy, and when to try again", res.StatusCode, res.Header, body)
	}
	if code, _, body := answerTo(handler, post("/sessions/exchange?session=cart", "[]")); code != 204 {
		t.Errorf("what comes at once: %d %s", code, body)
	}
}
