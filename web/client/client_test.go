package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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

// An example is an answer of a server, and what it means: nothing if no server of
// sessions gives it.
type example struct {
	Name    string
	Status  int
	Headers map[string]string
	Body    string
	Means   any
}

// TestAnswers is for js/src/http.js, too: see testdata/README.md.
func TestAnswers(t *testing.T) {
	text, err := os.ReadFile("../../testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples []example
	if err := json.Unmarshal(text, &examples); err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		t.Run(e.Name, func(t *testing.T) {
			var header []string
			for name, value := range e.Headers {
				header = append(header, name, value)
			}
			got, err := answering(t, e.Status, e.Body, header...)(t.Context(), session.Sent{Owner: tag, Cursor: "c-1"})
			if want, means := inJSON(t, e.Means), inJSON(t, meaning(got, err)); means != want {
				t.Errorf("%d %q %s: %v, which means %s, want %s", e.Status, e.Headers, e.Body, err, means, want)
			}
			if e.Means == nil && !strings.Contains(err.Error(), "no server of sessions") {
				t.Errorf("%v does not say what it is", err)
			}
			if strings.Contains(e.Body, "because") && e.Means != nil && !strings.Contains(err.Error(), "because") {
				t.Errorf("%v does not say why", err)
			}
		})
	}
}

// meaning returns what an answer means, in the form of an example.
func meaning(got session.Received, err error) any {
	refused, isRefusal := errors.AsType[*client.RefusalError](err)
	switch {
	case err == nil:
		return map[string]any{"merged": map[string]any{
			"owner": got.Owner, "cursor": got.Cursor, "item": got.Item, "complete": got.Complete, "age": got.Age,
		}}
	case !isRefusal:
		return nil
	}
	means := make(map[string]any)
	if refused.Code != "" {
		means["code"] = refused.Code
	}
	owner, isOwner := errors.AsType[*session.OwnerError](err)
	stamp, isStamp := errors.AsType[*session.StampError](err)
	switch {
	case isOwner:
		unknown := map[string]any{"owner": owner.Owner}
		if owner.Heir != "" {
			unknown["heir"] = owner.Heir
		}
		means["unknown"] = unknown
	case errors.Is(err, session.ErrCursor):
		means["unknown"] = map[string]any{"owner": tag}
	case errors.Is(err, session.ErrQuota):
		means["noRoom"] = true
	case isStamp:
		means["tooLate"] = map[string]any{"latest": stamp.Latest.UnixMilli(), "newest": stamp.Newest}
	default:
		means["failed"] = true
	}
	return means
}

func inJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
		{507, full, "", session.ErrFull, 0},
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
		for _, means := range []error{client.ErrBusy, session.ErrFull} {
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
