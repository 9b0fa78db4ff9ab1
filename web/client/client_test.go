package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
)

const tag = "0123456789abcdef"

// answering returns a server that answers each request so. header is names and
// values in turn.
func answering(t *testing.T, status int, body string, header ...string) session.Replica {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return client.New(server.Client(), server.URL+"/sessions/")("cart")
}

func TestWhatIsSent(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%s %s?%s %s %s", r.Method, r.URL.Path, r.URL.Query().Encode(), r.Header.Get("Content-Type"), body)
		w.Header().Set("Session-Cursor", "")
	}))
	defer server.Close()
	for want, sent := range map[string]session.Sent{
		"POST /api/exchange?session=a%2Bb  ": {},
		"POST /api/exchange?cursor=c-1&max-age=6&now=5&owner=o&session=a%2Bb application/json [\"items\"]": {Owner: "o", Cursor: "c-1", Items: `["items"]`, Now: 5, MaxAge: 6},
	} {
		if _, err := client.New(server.Client(), server.URL+"/api")("a+b")(t.Context(), sent); err != nil || got != want {
			t.Errorf("sent %+v: %v, got %q, want %q", sent, err, got, want)
		}
	}
}

func TestWhatIsReceived(t *testing.T) {
	for _, test := range []struct {
		header []string
		body   string
		want   session.Received
		err    string
	}{
		{[]string{"Session-Cursor", ""}, "", session.Received{Age: -1}, ""},
		{[]string{"Session-Cursor", "", "Session-Owner", tag}, "", session.Received{Owner: tag, Age: -1}, ""},
		{[]string{"Session-Cursor", "e-1", "Session-Owner", tag, "Session-Age", "0"}, "{}", session.Received{Owner: tag, Cursor: "e-1", Item: "{}"}, ""},
		{[]string{"Session-Cursor", "e-1", "Session-Owner", tag, "Session-Age", "86400000"}, "", session.Received{Owner: tag, Cursor: "e-1", Age: 86400000}, ""},

		{nil, "<html>", session.Received{}, "no server of sessions"},
		{[]string{"Session-Cursor", "a b", "Session-Owner", tag}, "", session.Received{}, `Session-Cursor that no server of sessions gives: "a b"`},
		{[]string{"Session-Cursor", "e-1"}, "", session.Received{}, "Session-Owner"},
		{[]string{"Session-Cursor", ""}, "{}", session.Received{}, "Session-Owner"},
		{[]string{"Session-Cursor", "e-1", "Session-Owner", tag[1:]}, "", session.Received{}, "Session-Owner"},
		{[]string{"Session-Cursor", "e-1", "Session-Owner", strings.ToUpper(tag)}, "", session.Received{}, "Session-Owner"},
		{[]string{"Session-Cursor", "e-1", "Session-Owner", tag, "Session-Age", "-1"}, "", session.Received{}, `Session-Age that no server of sessions gives: "-1"`},
		{[]string{"Session-Cursor", "e-1", "Session-Owner", tag, "Session-Age", "1.5"}, "", session.Received{}, "Session-Age"},
	} {
		got, err := answering(t, 200, test.body, test.header...)(t.Context(), session.Sent{})
		if test.err == "" && (err != nil || got != test.want) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q %q: got %+v, %v, want %+v, %s", test.header, test.body, got, err, test.want, test.err)
		}
	}
}

func TestRefusals(t *testing.T) {
	says := func(code string) string { return `{"code":"` + code + `","error":"because"}` }
	for _, test := range []struct {
		status int
		body   string
		header []string
		means  func(error) bool
	}{
		{412, says("owner"), []string{"Session-Owner", tag}, func(err error) bool {
			refused, ok := errors.AsType[*session.OwnerError](err)
			return ok && refused.Owner == tag
		}},
		{412, says("owner"), nil, func(err error) bool {
			refused, ok := errors.AsType[*session.OwnerError](err)
			return ok && refused.Owner == ""
		}},
		{412, says("cursor"), []string{"Session-Owner", tag}, func(err error) bool { return errors.Is(err, session.ErrCursor) }},
		{413, says("quota"), nil, func(err error) bool { return errors.Is(err, session.ErrQuota) }},
		{413, "<html>", nil, func(err error) bool { return errors.Is(err, session.ErrQuota) }},
		{422, says("stamp"), []string{"Session-Latest", "1795373052123"}, func(err error) bool {
			refused, ok := errors.AsType[*session.StampError](err)
			return ok && refused.Latest.Equal(time.UnixMilli(1795373052123))
		}},

		{412, says("owner"), []string{"Session-Owner", "x"}, saying(`Session-Owner that no server of sessions gives: "x"`)},
		{422, says("stamp"), []string{"Session-Latest", "soon"}, saying(`Session-Latest that no server of sessions gives: "soon"`)},
		{422, says("stamp"), nil, saying("Session-Latest")},
		{412, "", nil, saying("it answers 412")},
		{503, says("unavailable"), nil, saying("it answers 503 Service Unavailable: because")},
		{302, "", nil, saying("it answers 302 Found")},
	} {
		_, err := answering(t, test.status, test.body, test.header...)(t.Context(), session.Sent{})
		if err == nil || !test.means(err) {
			t.Errorf("%d %s %q: %v", test.status, test.body, test.header, err)
		}
		if test.body == says("quota") && !strings.Contains(err.Error(), "because") {
			t.Errorf("%v does not say why", err)
		}
	}
}

func saying(sentence string) func(error) bool {
	return func(err error) bool {
		return strings.Contains(err.Error(), sentence) &&
			!errors.Is(err, session.ErrCursor) && !errors.Is(err, session.ErrQuota)
	}
}

func TestWhatMaySucceedLater(t *testing.T) {
	busy, full := `{"code":"busy","error":"too much at once"}`, `{"code":"full","error":"the database is full"}`
	for _, test := range []struct {
		status     int
		body       string
		retryAfter string
		means      error
		after      time.Duration
	}{
		{503, busy, "5", client.ErrBusy, 5 * time.Second},
		{503, busy, "", client.ErrBusy, 0},
		{503, busy, "soon", client.ErrBusy, 0},
		{503, busy, "-5", client.ErrBusy, 0},
		{503, busy, "99999999999999999999", client.ErrBusy, 0},
		{507, full, "", client.ErrFull, 0},
		{503, `{"code":"unavailable","error":"the database does not answer"}`, "5", nil, 5 * time.Second},
		{429, "<html>", "60", client.ErrBusy, time.Minute},
		{503, "<html>", "60", nil, time.Minute},
	} {
		s, err := session.Open(t.Context(), session.NewMemory(), "cart", session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var header []string
		if test.retryAfter != "" {
			header = []string{"Retry-After", test.retryAfter}
		}
		err = s.Sync(t.Context(), answering(t, test.status, test.body, header...))
		var refused *client.RefusalError
		if !errors.As(err, &refused) || refused.Status != test.status || refused.RetryAfter != test.after {
			t.Errorf("%+v: %v, %+v", test, err, refused)
		}
		for _, means := range []error{client.ErrBusy, client.ErrFull, session.ErrQuota} {
			if errors.Is(err, means) != (means == test.means) {
				t.Errorf("%+v: %v: that it is %q is %t", test, err, means, errors.Is(err, means))
			}
		}
	}
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	_, err := answering(t, 503, busy, "Retry-After", at)(t.Context(), session.Sent{})
	var refused *client.RefusalError
	if !errors.As(err, &refused) || refused.RetryAfter > time.Hour || refused.RetryAfter < time.Minute {
		t.Errorf("at a date in an hour: %v, %+v", err, refused)
	}
}

func TestAnAnswerWithoutEndIsNotRead(t *testing.T) {
	header := []string{"Session-Cursor", "e-1", "Session-Owner", tag}
	if got, err := answering(t, 200, strings.Repeat(" ", 16<<20), header...)(t.Context(), session.Sent{}); err != nil || len(got.Item) != 16<<20 {
		t.Errorf("16 MiB: %d bytes, %v", len(got.Item), err)
	}
	_, err := answering(t, 200, strings.Repeat(" ", 16<<20+1), header...)(t.Context(), session.Sent{})
	if err == nil || !strings.Contains(err.Error(), "more than 16777216 bytes") {
		t.Errorf("a byte more: %v", err)
	}
}

func TestNothingIsSentToAnotherHost(t *testing.T) {
	var told bool
	another := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told = true
		w.Header().Set("Session-Cursor", "")
	}))
	defer another.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := answering(t, status, "", "Location", another.URL+"/sessions/exchange")
		if _, err := server(t.Context(), session.Sent{Items: "[]"}); err == nil || !strings.Contains(err.Error(), "redirects to another host: "+another.URL) {
			t.Errorf("%d: %v, want that it redirects", status, err)
		}
	}
	if told {
		t.Error("the other host was told")
	}

	// On one host it may move, as far as the given client agrees.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/old/") {
			http.Redirect(w, r, "/new/exchange?"+r.URL.RawQuery, http.StatusPermanentRedirect)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Session-Cursor", "e-1")
		w.Header().Set("Session-Owner", tag)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	its := server.Client()
	if got, err := client.New(its, server.URL+"/old/")("cart")(t.Context(), session.Sent{Items: "[]"}); err != nil || got.Item != "[]" {
		t.Errorf("on one host: %+v, %v", got, err)
	}
	refused := errors.New("refused")
	its.CheckRedirect = func(*http.Request, []*http.Request) error { return refused }
	if _, err := client.New(its, server.URL+"/old/")("cart")(t.Context(), session.Sent{}); !errors.Is(err, refused) {
		t.Errorf("the client's own rule: %v", err)
	}
}
