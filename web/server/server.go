// Package server is the program's one http.Handler: the page, and the sessions
// that browsers keep a copy of. It is the same natively and in a Cloudflare
// Worker.
//
//	POST /sessions/exchange?session=NAME&cursor=CURSOR   sends and receives items
//	POST /sessions/pair                                  makes a code for another device
//	POST /sessions/join                                  takes one
//	GET  /sessions/health                                says whether the database answers
//
// A session belongs to whoever holds its owner's id: a cookie that is made when
// there is something to keep, or what Config.Identify says. Requests that other
// sites have a browser make are refused.
package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlwriter"
)

// A Config says what New is to serve.
type Config struct {
	// DB has the sessions. It is required.
	DB *sqlwriter.DB

	// Site is the folder of the page, as make build leaves it. Without it only
	// the sessions are served.
	Site fs.FS

	// Identify returns the id of the owner whose sessions a request is about,
	// for a program that knows its users. It must not be empty. An error
	// refuses the request. Without Identify each browser gets an id of its own
	// in a cookie, and pairing gives it to another.
	Identify func(*http.Request) (id string, err error)

	// ErrorLog is told what goes wrong here; log.Default() without it.
	ErrorLog *log.Logger
}

// New returns the handler.
func New(config Config) (http.Handler, error) {
	if config.DB == nil {
		return nil, errors.New("server: Config.DB is nil")
	}
	if config.ErrorLog == nil {
		config.ErrorLog = log.Default()
	}
	s := &sessions{config}
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(s.handle(http.MethodPost, func(http.ResponseWriter, *http.Request) error {
		return problem{http.StatusForbidden, "cross-origin", "the request comes from another site: only pages of this one may make it"}
	}))
	api := http.NewServeMux()
	api.Handle("/sessions/exchange", s.handle(http.MethodPost, s.exchange))
	if config.Identify == nil {
		api.Handle("/sessions/pair", s.handle(http.MethodPost, s.pair))
		api.Handle("/sessions/join", s.handle(http.MethodPost, s.join))
	}
	api.Handle("/sessions/health", s.handle(http.MethodGet, s.health))
	api.Handle("/", s.handle("", func(http.ResponseWriter, *http.Request) error {
		return problem{http.StatusNotFound, "not-found", "there is nothing here"}
	}))

	mux := http.NewServeMux()
	mux.Handle("/sessions/", protection.Handler(api))
	if config.Site != nil {
		site, err := newSite(config.Site)
		if err != nil {
			return nil, err
		}
		mux.Handle("/", site)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetDefaultHeaders(w.Header())
		defer s.recovered(w)
		mux.ServeHTTP(w, r)
	}), nil
}

// sessions are the handlers of the session API.
type sessions struct{ Config }

// A problem is an error as the client is told of it.
type problem struct {
	status int
	code   string
	what   string
}

func (p problem) Error() string { return p.what }

// problems are those that the database's errors are.
var problems = []struct {
	err    error
	status int
	code   string
}{
	{sqlwriter.ErrMalformed, http.StatusBadRequest, "malformed"},
	{session.ErrConfig, http.StatusBadRequest, "malformed"},
	{session.ErrCursor, http.StatusPreconditionFailed, "cursor"},
	{session.ErrQuota, http.StatusRequestEntityTooLarge, "quota"},
	{sqlwriter.ErrStamp, http.StatusUnprocessableEntity, "stamp"},
	{sqlwriter.ErrPairing, http.StatusGone, "pairing"},
}

// problem returns what the client is told of an error. What it is not told is
// logged.
func (s *sessions) problem(err error) problem {
	if p, ok := errors.AsType[problem](err); ok {
		return p
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return problem{p.status, p.code, err.Error()}
		}
	}
	s.ErrorLog.Print(err)
	return problem{http.StatusServiceUnavailable, "unavailable", "the database does not answer: try again later"}
}

// handle returns a handler for requests of a method, or of any. What handler
// returns is what it has not answered itself.
func (s *sessions) handle(method string, handler func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if method == "" || r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
			err = handler(w, r)
		} else {
			w.Header().Set("Allow", method)
			err = problem{http.StatusMethodNotAllowed, "method", "the method is " + strconv.Quote(r.Method) + ", and must be " + method}
		}
		if err != nil {
			s.refuse(w, s.problem(err))
		}
	})
}

func (s *sessions) refuse(w http.ResponseWriter, p problem) {
	answer(w, p.status, struct {
		Code  string `json:"code"`
		Error string `json:"error"`
	}{p.code, p.what})
}

// recovered answers for a handler that panics, which not every server does that
// the handler runs in.
func (s *sessions) recovered(w http.ResponseWriter) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		s.ErrorLog.Printf("panic: %v\n%s", p, debug.Stack())
		s.refuse(w, problem{http.StatusInternalServerError, "internal", "this server has a fault: what it was, its log says"})
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // of types of this package
	}
	answerText(w, status, string(text))
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	// An error means that the client is gone.
	_, _ = io.WriteString(w, text)
}

func (s *sessions) exchange(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return malformed("the query of the URL cannot be read")
	}
	name, cursor := query.Get("session"), query.Get("cursor")
	if len(query["session"]) != 1 || len(query["cursor"]) > 1 {
		return malformed("the query must have one session, and may have one cursor")
	}
	if err := sqlwriter.CheckName(name); err != nil {
		return err
	}
	unsent, err := body(w, r, s.DB.Limits().Body)
	if err != nil {
		return err
	}

	who, err := s.identify(r)
	if err != nil {
		return err
	}
	if who.id == "" {
		switch {
		case cursor != "":
			// What was sent with the id that is gone must be sent again.
			return session.ErrCursor
		case unsent == "":
			w.Header().Set("Session-Cursor", "")
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		who = newVisitor()
	}
	done, err := s.DB.Exchange(r.Context(), who.id, name, cursor, unsent)
	if err != nil {
		return err
	}

	who.remember(w, r)
	w.Header().Set("Session-Cursor", done.Next)
	if done.Skipped > 0 {
		w.Header().Set("Session-Skipped", strconv.Itoa(done.Skipped))
	}
	if done.Received == "" {
		w.WriteHeader(http.StatusNoContent)
	} else {
		answerText(w, http.StatusOK, done.Received)
	}
	return nil
}

func (s *sessions) pair(w http.ResponseWriter, r *http.Request) error {
	who, err := s.identify(r)
	if err != nil {
		return err
	}
	if who.id == "" {
		who = newVisitor()
	}
	code, expires, err := s.DB.Pair(r.Context(), who.id)
	if err != nil {
		return err
	}
	who.remember(w, r)
	answer(w, http.StatusOK, struct {
		Code    string `json:"code"`
		Expires string `json:"expires"`
	}{code, expires.Format(time.RFC3339)})
	return nil
}

func (s *sessions) join(w http.ResponseWriter, r *http.Request) error {
	const limit = 4096 // a code and the JSON around it, amply
	text, err := body(w, r, limit)
	if err != nil {
		return err
	}
	var given struct {
		Code *string `json:"code"`
	}
	if err := json.Unmarshal([]byte(text), &given); err != nil || given.Code == nil {
		return malformed(`the body must be {"code":"..."}, with the code as a string`)
	}
	id, err := s.DB.Join(r.Context(), *given.Code)
	if err != nil {
		return err
	}
	visitor{id: id, stale: true}.remember(w, r)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *sessions) health(w http.ResponseWriter, r *http.Request) error {
	if err := s.DB.Ping(r.Context()); err != nil {
		return err
	}
	answer(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
	return nil
}

// body returns the body of a request: JSON, or nothing.
func body(w http.ResponseWriter, r *http.Request, limit int) (string, error) {
	if r.Body == nil {
		return "", nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return "", fmt.Errorf("%w: the body may have %d bytes", session.ErrQuota, limit)
	}
	if err != nil {
		return "", malformed("the body ended before its time")
	}
	if len(text) == 0 {
		return "", nil
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return "", problem{http.StatusUnsupportedMediaType, "content-type", "the body must be plain JSON: Content-Type must be application/json, and Content-Encoding absent"}
	}
	return string(text), nil
}

func malformed(what string) problem { return problem{http.StatusBadRequest, "malformed", what} }
