// Package server has the http.Handler with which browsers and other devices exchange
// their sessions. It can also serve the page. It is the same natively and in a
// Cloudflare Worker.
//
//	POST /sessions/exchange?session=NAME   sends and receives items
//	POST /sessions/pair                    makes a code for another device
//	POST /sessions/join                    takes one
//	POST /sessions/devices                 lists the owner's devices
//	POST /sessions/rename                  names one
//	POST /sessions/revoke                  ends the access of one
//	DELETE /sessions/session?session=NAME  removes all entries of a session, everywhere
//	DELETE /sessions/owner                 does so with all, and revokes all other devices
//	GET  /sessions/initial?session=NAME    has what Handler.Embed puts into a page
//	GET  /sessions/health                  says whether the server is ready for requests
//	GET  /sessions/live                    says that the process answers, or, by a WebSocket,
//	                                       tells the owner's devices what changes
//
// An exchange sends what a session.Sent has. The body has the items, or is empty. The
// query has the other members, if they are not zero: owner, cursor, now and max-age,
// the last two in milliseconds.
//
// The answer has what a session.Received has. The body is the item. Without an item
// the status is 204. The headers have the other members: Session-Owner,
// Session-Cursor, and Session-Age in milliseconds, which is missing if nobody saved.
// Session-Complete is true if the item has all that there is. Otherwise it is missing.
//
// An exchange without an owner only asks who the sender is. Nothing is merged, and the
// answer has only Session-Owner and an empty Session-Cursor. A sender whom the server
// does not know becomes an owner and gets a cookie if there is a body with items,
// which may be []. Without a body, the answer to him has no Session-Owner.
//
// The refusal of an exchange whose sender is another owner has Session-Heir if the one that was
// sent has an heir: his tag. See Handler.Adopt. An answer has Session-Devices: new if a device
// was added of which this one was not told by devices.
//
// An answer to an exchange has Session-Live if the device can hear of changes: the URL of a
// WebSocket, relative to that of the exchange. It may be good for a minute only. A user's
// device has it once it comes by its cookie. Package web/live documents what is sent there.
//
// The answer to pair is a JSON object: code, and expiresIn, which is how many seconds
// are left to use it. A join sends code. With ask: true, it takes nothing, and its answer is
// that to devices: whose they are that the sender would join.
//
// The answer to devices is a JSON object: devices, a list of objects with the members of a
// Device, their times in milliseconds since 1970. A revoke sends id, and a rename id and name.
//
// The answer to initial is a JSON object: owner, cursor and item, as an exchange without a
// cursor would answer. For somebody unknown all are empty. A server that renders pages in
// another language passes on the browser's Cookie, and puts the object into its HTML.
//
// Answers to pair, and to a join that takes the code, have Session-Owner, too. So has the
// refusal of an exchange whose sender is known. Of a page that is nobody's any more, as its user
// has signed out, it has a tag that is of no owner, sqlstore.Nobody: the page shows nothing then.
//
// A refusal is a JSON object with a code and an error, which is a sentence. The code
// "owner" stands for a session.OwnerError, "cursor" for session.ErrCursor, and "quota"
// for session.ErrQuota. The code "stamp" stands for a session.StampError. Its Latest
// is in Session-Latest, in milliseconds since 1970, and its Newest in Session-Newest.
// The code "full" means that the database has no room, and "busy" or "unavailable" that
// the same request may succeed later: Retry-After has the seconds. "pairing" is for a
// pairing code that is unknown, used or expired; "device" for a device that there is not, or a
// user's that has no access any more; "devices" for one too many; "identity" and "admission" for whom
// Config.Identify or Config.Admit refuses; "cookie" for two cookies of one name; "origin"
// and "cross-origin" for a host or a page that is not the server's; "malformed",
// "content-type", "method" and "not-found" for a request that is none of these; and
// "internal" for a fault of the server.
//
// A session belongs to whoever has a device of its owner's, by a cookie, or is named by
// Config.Identify. The server refuses requests that pages of other sites make,
// and requests for a host that is not its own: see Config.Origins.
package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/internal/turns"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A Config says what a handler serves, and to whom.
type Config struct {
	// DB has the sessions. It is required.
	DB *sqlstore.DB

	// Site is the folder of the page, as make build leaves it. Without it the handler
	// serves no page.
	Site fs.FS

	// Origins are the public origins of the server, such as https://example.com. A
	// server behind a proxy needs them, and the proxy must keep the Host of what it
	// passes on. They decide for which hosts the server answers, which pages may make
	// requests, and which cookie it sets. Each must be https, unless it is of this
	// machine.
	//
	// Without Origins, the server answers for this machine's hosts. For other hosts it
	// answers only if the program's own listener ends the TLS. It refuses what a proxy
	// passes on.
	Origins []string

	// TrustHost takes the place of Origins. It says that each request has the host
	// that the browser asked for, by https unless the host is this machine. It is for
	// Cloudflare's Workers, which get no other requests.
	TrustHost bool

	// Identify is for programs that know their users. It returns the id of the user who
	// makes a request, or an empty id for somebody who is not signed in. An error refuses
	// the request. Whom Identify does not name is a visitor: each browser gets an id of
	// its own in a cookie. Without Identify, pairing gives that id to another browser.
	//
	// A page that shows a user who is not signed in any more becomes a visitor's, and shows
	// nothing of the user's. What he had not sent is kept in the browser for him. No id may
	// begin with "visitor ".
	Identify func(*http.Request) (id string, err error)

	// Combine is for keys whose values are to be added up when Adopt makes a visitor's
	// session a user's, such as a cart's quantities. By default the later one stays.
	Combine sqlstore.Combine

	// Idle is how long a device has access that does not come, up to an eighth less, and
	// Lifetime how long after it was added any device has. After that a visitor's is somebody
	// new, and a user has to sign in: see Logout. By default, devices that do not come have
	// access for 400 days. A device that listens comes again after half of Idle at most. From an
	// Idle of a minute on, it does not end as long as it listens.
	Idle, Lifetime time.Duration

	// Live has devices told of changes at once. By default it is a live.Hub of this Handler's,
	// which hears of what is merged in this process: see package web/live for more. A program
	// should call Close when it ends. In a Worker there is none by default. NoLive has all
	// pages ask at intervals.
	Live Live

	// Audit gets a record of each change of who has access: "make" for a new visitor or a
	// user's new device, "join", "adopt", "logout", "rename", "revoke", "delete", and
	// "refuse" for a request that was refused because of who made it. It has the owner's tag
	// and the device's ID, if they are known. The context is the request's.
	Audit *slog.Logger

	// Admit decides whether somebody unknown may become an owner, and so keep sessions
	// here. An error refuses it, and is logged. Without Admit anybody may, within the
	// limits of DB. Admit is not called for whom Identify names.
	Admit func(*http.Request) error

	// ErrorLog logs what goes wrong here, one line for each: what a client is not told
	// of an error, and a panic with its stack. A line may name a session. It never has
	// an owner's id, a cookie, a pairing code, or anything of what is in a session,
	// unless what the program itself says has it: an error of Identify or Admit, one that
	// it gives to Handler.Error, or what it panics with. By default it is log.Default().
	ErrorLog *log.Logger
}

// A Handler serves the session API and perhaps a page. It also gives a program's own
// handlers the sessions of those who make requests: see Open.
type Handler struct {
	api   *sessions
	serve http.Handler
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.serve.ServeHTTP(w, r) }

// New returns the handler. It returns an error if the Config is not acceptable.
func New(config Config) (*Handler, error) {
	if config.DB == nil {
		return nil, errors.New("server: Config.DB is nil")
	}
	if config.ErrorLog == nil {
		config.ErrorLog = log.Default()
	}
	if config.Idle < 0 || config.Lifetime < 0 {
		return nil, fmt.Errorf("server: Config.Idle is %v and Config.Lifetime %v: neither may be negative", config.Idle, config.Lifetime)
	}
	if config.Live == nil {
		config.Live = defaultLive(config)
	}
	origins, err := newOrigins(config)
	if err != nil {
		return nil, err
	}
	s := &sessions{
		Config:   config,
		origins:  origins,
		counts:   newCounts(),
		incoming: incoming{most: maxIncoming},
		memory:   budget{total: 16 * config.DB.Limits().Body, share: 2 * config.DB.Limits().Body},
		long:     turns.Queue{AtOnce: 1, Waiting: 128, Share: 32, Patience: 10 * time.Second},
	}
	denied := s.handle(http.MethodPost, func(http.ResponseWriter, *http.Request) error { return crossOrigin })
	api := http.NewServeMux()
	api.Handle("/sessions/exchange", s.handle(http.MethodPost, s.exchange))
	if config.Identify == nil {
		api.Handle("/sessions/pair", s.handle(http.MethodPost, s.pair))
		api.Handle("/sessions/join", s.handle(http.MethodPost, s.join))
	}
	api.Handle("/sessions/devices", s.handle(http.MethodPost, s.devices))
	api.Handle("/sessions/rename", s.handle(http.MethodPost, s.rename))
	api.Handle("/sessions/revoke", s.handle(http.MethodPost, s.revoke))
	api.Handle("/sessions/session", s.handle(http.MethodDelete, s.deleteSession))
	api.Handle("/sessions/owner", s.handle(http.MethodDelete, s.deleteOwner))
	api.Handle("/sessions/initial", s.handle(http.MethodGet, s.initial))
	api.Handle(healthPath, s.handle(http.MethodGet, s.health))
	api.Handle(livePath, s.handle(http.MethodGet, func(w http.ResponseWriter, r *http.Request) error {
		if isUpgrade(r) {
			return s.listen(w, r)
		}
		return s.alive(w, r)
	}))
	api.Handle("/", s.handle("", func(http.ResponseWriter, *http.Request) error {
		return problem{http.StatusNotFound, "not-found", "there is nothing here"}
	}))

	mux := http.NewServeMux()
	mux.HandleFunc("/sessions/", func(w http.ResponseWriter, r *http.Request) {
		if s.origins.isCrossOrigin(r) {
			denied.ServeHTTP(w, r)
		} else {
			api.ServeHTTP(w, r)
		}
	})
	if config.Site != nil {
		site, err := newSite(config.Site)
		if err != nil {
			return nil, err
		}
		mux.Handle("/", site)
	}
	serve := http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		w := newCounted(to, r)
		defer s.counts.add(w)
		SetDefaultHeaders(w.Header())
		defer s.recovered(w)
		if err := s.origins.check(r); err != nil && !isProbe(r) {
			s.refuse(w, s.problem(err))
			return
		}
		mux.ServeHTTP(w, r)
	})
	config.DB.Watch(config.Live) // for as long as the DB is used, so only if all is well
	return &Handler{s, serve}, nil
}

// crossOrigin refuses what another site has made a browser send.
var crossOrigin = problem{http.StatusForbidden, "cross-origin", "the request comes from another site: only pages of this one may make it"}

// sessions are the handlers of the session API.
type sessions struct {
	Config
	origins origins
	counts  *counts
	// draining says that the server is about to end.
	draining atomic.Bool
	// incoming are the bodies that are being read. memory limits the room for these and
	// for answers that are on their way.
	incoming incoming
	memory   budget
	// long admits one long exchange at a time. Parsing its body takes many times the
	// memory of the body, and all others wait while it is merged.
	long turns.Queue
}

// A problem is an error in the form that the client is told.
type problem struct {
	status int
	code   string
	what   string
}

func (p problem) Error() string { return p.what }

// problems has the status and code for each error of the database.
var problems = []struct {
	err    error
	status int
	code   string
}{
	{sqlstore.ErrMalformed, http.StatusBadRequest, "malformed"},
	{session.ErrConfig, http.StatusBadRequest, "malformed"},
	{session.ErrKey, http.StatusBadRequest, "malformed"},
	{session.ErrValue, http.StatusBadRequest, "malformed"},
	{session.ErrCursor, http.StatusPreconditionFailed, "cursor"},
	{session.ErrFull, http.StatusInsufficientStorage, "full"},
	{session.ErrQuota, http.StatusRequestEntityTooLarge, "quota"},
	{sqlstore.ErrPairing, http.StatusGone, "pairing"},
	{sqlstore.ErrDevice, http.StatusNotFound, "device"},
	{sqlstore.ErrDevices, http.StatusConflict, "devices"},
	{sqlstore.ErrBusy, http.StatusServiceUnavailable, "busy"},
}

// problem returns what the client is told of an error. An error that the client is not
// told is logged.
func (s *sessions) problem(err error) problem {
	if p, ok := errors.AsType[problem](err); ok {
		return p
	}
	if _, ok := errors.AsType[*session.OwnerError](err); ok {
		return problem{http.StatusPreconditionFailed, "owner", err.Error()}
	}
	if _, ok := errors.AsType[*session.StampError](err); ok {
		return problem{http.StatusUnprocessableEntity, "stamp", err.Error()}
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return problem{p.status, p.code, err.Error()}
		}
	}
	s.ErrorLog.Print(strings.ReplaceAll(err.Error(), "\n", "; ")) // of errors.Join
	if _, ok := errors.AsType[*session.EntryError](err); ok || errors.Is(err, ErrTooLate) || errors.Is(err, errUnwrapped) {
		return fault
	}
	return problem{http.StatusServiceUnavailable, "unavailable", "the database does not answer: try again later"}
}

// handle returns a handler for requests of a method, or of any if method is empty. If
// handler returns an error, it has not answered, and the error is answered.
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
			s.fail(w, r, err)
		}
	})
}

// fail answers a request with an error.
func (s *sessions) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := givenUp
	if !errors.Is(err, context.Canceled) || r.Context().Err() == nil {
		p = s.problem(err)
	}
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	if slices.Contains(audited, p.code) {
		s.audit(r, "refuse", visitor{}, slog.String("code", p.code))
	}
	s.refuse(w, p)
}

// audited are the codes of refusals that are about who makes a request.
var audited = []string{"identity", "admission", "device", "devices", "pairing", "cookie", "cross-origin"}

// givenUp is the answer to a request whose client is gone, or whose server ends. It is
// not logged, because nothing is wrong.
var givenUp = problem{http.StatusServiceUnavailable, "unavailable", "the request was given up"}

// retryAfter is when a client should try again, in seconds.
const retryAfter = "5"

func (s *sessions) refuse(w http.ResponseWriter, p problem) {
	if w, ok := w.(*counted); ok {
		w.reason = p.code
	}
	answer(w, p.status, struct {
		Code  string `json:"code"`
		Error string `json:"error"`
	}{p.code, p.what})
}

// fault stands for a mistake of the program.
var fault = problem{http.StatusInternalServerError, "internal", "this server has a fault: what it was, its log says"}

// recovered answers for a handler that panics. Not every server in which the handler
// runs does so.
func (s *sessions) recovered(w http.ResponseWriter) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		s.ErrorLog.Printf("panic: %v\n%s", p, debug.Stack())
		s.refuse(w, fault)
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // a fault of this package, which made the body
	}
	answerText(w, status, string(text))
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(allowance(len(text))))
	w.WriteHeader(status)
	// An error means that the client is gone.
	_, _ = io.WriteString(w, text)
}

func (s *sessions) exchange(w http.ResponseWriter, r *http.Request) error {
	who, err := s.identify(r)
	if err == ended {
		// Its pages are to show nothing of the user's: it is the visitor's that it was.
		who, err = s.visitor(r)
	}
	if err != nil {
		return err
	}
	if who.id != "" {
		w.Header().Set("Session-Owner", sqlstore.Tag(who.id))
	}
	name, sent, err := asked(r.URL)
	if err != nil {
		return err
	}
	held := s.memory.holder(who.id)
	defer held.release()
	if sent.Owner == sqlstore.Nobody && who.id != "" && !who.user {
		// What was saved while nobody was known becomes the visitor's, as what is saved in a
		// page that has never exchanged does.
		w.Header().Set("Session-Heir", sqlstore.Tag(who.id))
		return &session.OwnerError{Owner: sqlstore.Tag(who.id)}
	}
	if who.id == "" {
		// The items are not merged yet: the sender sends them again with the owner.
		size, err := s.read(w, r, s.DB.Limits().Body, io.Discard)
		switch {
		case err != nil:
			return err
		case sent.Owner == sqlstore.Nobody && size == 0:
			w.Header().Set("Session-Owner", sqlstore.Nobody)
			w.Header().Set("Session-Cursor", "")
			w.WriteHeader(http.StatusNoContent)
			return nil
		case sent.Owner != "" || sent.Cursor != "":
			return s.lost(w, r, who, sent.Owner)
		case size == 0:
			w.Header().Set("Session-Cursor", "")
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		if who, err = s.admit(r.Context(), r); err != nil {
			return err
		}
	} else if sent.Items, err = s.body(w, r, s.DB.Limits().Body, held); err != nil {
		return err
	}
	done, err := s.merge(r.Context(), who, name, sent)
	other, isOther := errors.AsType[*session.OwnerError](err)
	if isOther && other.Heir != "" {
		if other.Heir == other.Owner {
			// What Adopt was kept from comes before what the page gives, if there is room.
			if err := s.DB.Inherit(r.Context(), sent.Owner, who.id, name, s.Combine); err != nil && !errors.Is(err, session.ErrQuota) {
				return err
			}
		}
		w.Header().Set("Session-Heir", other.Heir)
	}
	if isOther || sent.Owner == "" {
		if err := s.issue(w, r, who); err != nil {
			return err
		}
	}
	if err != nil {
		if refused, ok := errors.AsType[*session.StampError](err); ok {
			w.Header().Set("Session-Latest", strconv.FormatInt(refused.Latest.UnixMilli(), 10))
			w.Header().Set("Session-Newest", refused.Newest)
		}
		return err
	}
	if err := held.take(len(done.Item)); err != nil {
		s.incoming.giveWay() // so that there is room when it is tried again
		return err
	}

	s.remember(w, r, who)
	s.offer(w, who)
	w.Header().Set("Session-Owner", done.Owner)
	w.Header().Set("Session-Cursor", done.Cursor)
	if who.news {
		w.Header().Set("Session-Devices", "new")
	}
	if done.Complete {
		w.Header().Set("Session-Complete", "true")
	}
	if done.Age >= 0 {
		w.Header().Set("Session-Age", strconv.FormatInt(done.Age, 10))
	}
	if done.Item == "" {
		w.WriteHeader(http.StatusNoContent)
	} else {
		answerText(w, http.StatusOK, done.Item)
	}
	return nil
}

// lost answers somebody unknown who sends what belongs to an owner. If he is that visitor, and
// only his cookie is gone, everything is to be sent again, as somebody's who is new. But it may
// be a user's who is not signed in any more, or that of a device without access, or a visitor's
// whose sessions were given to a user. Then it is nobody's, and the page shows nothing of it.
func (s *sessions) lost(w http.ResponseWriter, r *http.Request, who visitor, tag string) error {
	heir, since, err := s.DB.Heir(r.Context(), tag)
	switch {
	case err != nil:
		return err
	case heir != "" && time.Since(since) < signingIn:
		return problem{http.StatusServiceUnavailable, "busy", "somebody signs in with this browser"}
	case tag == sqlstore.Nobody, heir == "" && !who.ended && (sqlstore.IsVisitors(tag) || s.Identify == nil):
		return &session.OwnerError{}
	case heir != "":
		w.Header().Set("Session-Heir", heir)
	}
	w.Header().Set("Session-Owner", sqlstore.Nobody)
	return &session.OwnerError{Owner: sqlstore.Nobody, Heir: heir}
}

// signingIn is how long the answer to a login may take to reach the browser. Until then the
// visitor's pages wait. Only tests change it.
var signingIn = 30 * time.Second

// merge makes the exchange. Long exchanges have their turns one at a time, and after each
// comes a pause of the same length. So they take half of the time at most. Of an exchange
// that waits, only the body is in memory.
func (s *sessions) merge(ctx context.Context, who visitor, name string, sent session.Sent) (sqlstore.Exchanged, error) {
	if cost := s.cost(sent.Items); cost > turns.Long {
		done, err := s.long.Take(ctx, who.id, cost)
		if err != nil {
			return sqlstore.Exchanged{}, err
		}
		began := time.Now()
		defer func() { time.AfterFunc(time.Since(began), done) }()
	}
	return s.DB.Exchange(ctx, who.id, name, sent)
}

// cost returns about how long it takes to merge items. The items are not parsed yet, so
// cost counts the commas, of which there is one between two entries. Some are within
// values. But cost never counts more than twice the entries of a session, which is the
// most that is merged.
func (s *sessions) cost(items string) time.Duration {
	return turns.Cost(min(strings.Count(items, ","), 2*s.DB.Limits().Entries), len(items))
}

// asked returns what the URL of an exchange says: the name of the session, and all of
// what is sent except the items.
func asked(at *url.URL) (name string, sent session.Sent, err error) {
	query, err := url.ParseQuery(at.RawQuery)
	if err != nil {
		return "", sent, malformed("the query of the URL cannot be read")
	}
	if len(query["session"]) != 1 {
		return "", sent, malformed("the query must have one session")
	}
	for _, parameter := range []string{"owner", "cursor", "now", "max-age"} {
		if len(query[parameter]) > 1 {
			return "", sent, malformed("the query must not have " + parameter + " more than once")
		}
	}
	name = query.Get("session")
	if err := sqlstore.CheckName(name); err != nil {
		return "", sent, err
	}
	sent.Owner, sent.Cursor = query.Get("owner"), query.Get("cursor")
	for parameter, millis := range map[string]*int64{"now": &sent.Now, "max-age": &sent.MaxAge} {
		if !query.Has(parameter) {
			continue
		}
		number, err := strconv.ParseUint(query.Get(parameter), 10, 63)
		if err != nil {
			return "", sent, malformed("the query's " + parameter + " must be a number of milliseconds, in decimal digits")
		}
		*millis = int64(number)
	}
	return name, sent, nil
}

func (s *sessions) pair(w http.ResponseWriter, r *http.Request) error {
	who, err := s.identify(r)
	if err != nil {
		return err
	}
	if who.id == "" {
		if who, err = s.admit(r.Context(), r); err != nil {
			return err
		}
	}
	code, expires, err := s.DB.Pair(r.Context(), who.id)
	if err != nil {
		return err
	}
	s.remember(w, r, who)
	w.Header().Set("Session-Owner", sqlstore.Tag(who.id))
	answer(w, http.StatusOK, struct {
		Code      string `json:"code"`
		ExpiresIn int    `json:"expiresIn"`
	}{code, int(time.Until(expires).Seconds())})
	return nil
}

func (s *sessions) join(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkCookies(r); err != nil {
		return err // before the code is used up
	}
	var given struct {
		Code *string `json:"code"`
		Ask  bool    `json:"ask"`
	}
	if err := s.object(w, r, &given); err != nil || given.Code == nil {
		return cmp.Or(err, error(malformed(`the body must be {"code":"..."}, with the code as a string`)))
	}
	if given.Ask {
		owner, err := s.DB.Invited(r.Context(), *given.Code)
		if err != nil {
			return err
		}
		return s.answerDevices(w, r, visitor{id: owner})
	}
	before, err := s.visitor(r)
	if err != nil {
		return err
	}
	// The code is used up last, so that it is still good if there is no room for a device.
	owner, err := s.DB.Invited(r.Context(), *given.Code)
	if err != nil {
		return err
	}
	who, err := s.addDevice(r.Context(), r, "join", sqlstore.Added{Owner: owner, Pending: true})
	if err != nil {
		return err
	}
	if _, err := s.DB.Join(r.Context(), *given.Code); err != nil {
		return errors.Join(err, s.DB.DropDevice(r.Context(), who.secret))
	}
	if before.device != "" {
		// Other tabs of this browser listen to what concerns the owner that it had.
		s.Live.Ended(sqlstore.Topic(before.id), before.device)
	}
	s.remember(w, r, who)
	w.Header().Set("Session-Owner", sqlstore.Tag(owner))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// object reads the body of a request, which is a small JSON object.
func (s *sessions) object(w http.ResponseWriter, r *http.Request, into any) error {
	const limit = 4096
	var text strings.Builder
	if _, err := s.read(w, r, limit, &text); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text.String()), into); err != nil {
		return malformed("the body must be a JSON object, as the documentation of package server has it")
	}
	return nil
}

// body returns the body of a request: JSON, or nothing.
func (s *sessions) body(w http.ResponseWriter, r *http.Request, limit int, held *holder) (string, error) {
	// A body without room is not read. It waits a moment, in which there may be room.
	// The wait also slows a client that ignores Retry-After.
	size := int(min(max(r.ContentLength, 0), int64(limit)))
	if held.fits(size) != nil {
		s.incoming.giveWay()
		select {
		case <-time.After(moment + rand.N(moment)): // random, so that not all go on at once
		case <-r.Context().Done():
			return "", r.Context().Err()
		}
		if err := held.fits(size); err != nil {
			return "", err
		}
	}
	into := text{held: held}
	if _, err := s.read(w, r, limit, &into); err != nil {
		return "", err
	}
	return into.String(), nil
}

// read copies the body of a request, which is JSON or empty, and returns its size.
func (s *sessions) read(w http.ResponseWriter, r *http.Request, limit int, into io.Writer) (n int64, err error) {
	if r.Body == nil {
		return 0, nil
	}
	body := newSlow(w, r.Body)
	defer s.incoming.add(body)()
	if c, ok := w.(*counted); ok {
		defer func() { c.received = int64(body.read) }()
		w = c.ResponseWriter // which MaxBytesReader knows, if it is net/http's
	}
	n, err = io.Copy(into, http.MaxBytesReader(w, body, int64(limit)))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return 0, fmt.Errorf("%w: the body may have %d bytes", session.ErrQuota, limit)
	}
	if errors.Is(err, turns.ErrBusy) {
		return 0, err
	}
	if err != nil {
		return 0, malformed("the body ended before its time")
	}
	if n == 0 {
		return 0, nil
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return 0, problem{http.StatusUnsupportedMediaType, "content-type", "the body must be plain JSON: Content-Type must be application/json, and Content-Encoding absent"}
	}
	return n, nil
}

// moment is how long a body waits for room at least. At most it waits twice as long.
const moment = 500 * time.Millisecond

func malformed(what string) problem { return problem{http.StatusBadRequest, "malformed", what} }
