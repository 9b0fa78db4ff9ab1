package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/internal/cursor"
	"github.com/session-interop/session-writer/web/live"
)

// A FollowConfig says how Follow exchanges. A zero stands for the default.
type FollowConfig struct {
	// Delay is how far apart the exchanges of a session are at least that changes here lead to:
	// a second. The first change after that time is exchanged at once. What the server tells of
	// changes elsewhere leads to exchanges of its own, which are at least 250 ms apart.
	Delay time.Duration
	// Interval is how often to exchange while the server does not tell of changes: 30
	// seconds.
	Interval time.Duration
	// NoLive has it open no WebSocket, and ask for changes elsewhere at Interval, as live: false
	// does in a page.
	NoLive bool
	// Told, if it is set, is called whenever the State has changed, and after each exchange and
	// each try for a WebSocket that has failed. The calls come one at a time. Exchanges wait for
	// them, so it must return soon.
	Told func(State)
}

// A State is how Follow fares.
type State struct {
	// Live says that the server tells of changes at once. It stays so while a WebSocket is
	// replaced by another at once.
	Live bool
	// Err is why the latest exchange of some session failed. It is nil if none did.
	Err error
	// LiveErr is why there is no WebSocket. It is nil if there is one, if the server offers
	// none, and until one is tried.
	LiveErr error
}

// pace has what users cannot set. Only tests change it.
var pace = struct {
	told                     time.Duration // between exchanges that the server leads to, as in js/src/sync.js
	again, longest           time.Duration // after the first failure of an exchange, and at most
	full                     time.Duration // after an exchange of which the server had no room for something
	rejoin, rejoinFirst      time.Duration // after the first end of a socket: at least, and at most
	rejoinLongest            time.Duration // at most, if one was ever open: else something may let none through
	ping, pong               time.Duration // between pings, and until the answer
	renewal, steady          time.Duration // after which a socket is renewed, and after which it was no failure
	renewals                 int           // of sockets that were open for a shorter time, one after the other
	fresh, dial, longestRest time.Duration // how old an address may be; for a handshake; of Retry-After
}{
	told:  250 * time.Millisecond,
	again: time.Second, longest: 5 * time.Minute,
	full:   5 * time.Minute,
	rejoin: 500 * time.Millisecond, rejoinFirst: 10 * time.Second, rejoinLongest: 30 * time.Second,
	ping: live.PingInterval, pong: 10 * time.Second,
	renewal: time.Hour, steady: time.Minute, renewals: 3,
	fresh: 50 * time.Second, dial: 30 * time.Second, longestRest: time.Hour,
}

// Follow keeps sessions and their copies on a server the same until ctx is done. The client
// and the address are as in New, and a request takes a minute at most unless the client says
// otherwise. Sessions that share the client's cookies must be in one Follow, and with no other
// function that exchanges.
//
// Each session is exchanged at once, whenever it is changed here, and whenever the server says
// by a WebSocket that somebody else has changed it. While there is no such socket, sessions are
// exchanged at FollowConfig.Interval. A session whose storage is no session.Watcher always is, as
// nothing tells of its changes. A save that changes nothing goes with the next exchange. So does
// what others save into the same storage.
//
// The server offers the WebSocket to devices that it knows by a cookie. So the client must keep
// cookies (see net/http/cookiejar), also if its transport tells the server in another way who it
// is. Otherwise Follow only asks.
//
// What fails is tried again after a random time, which grows up to five minutes: see
// FollowConfig.Told. Before ctx is done, Follow ends only if trying again is of no use. Its error
// then wraps session.ErrConfig, or session.ErrClosed for a session that was closed. Otherwise it
// is that of ctx. Nothing goes on once Follow has returned. End it before Session.Forget: it
// would fetch again what that drops.
func Follow(ctx context.Context, client *http.Client, address string, config FollowConfig, sessions ...*session.Session) error {
	f, err := newFollowing(client, address, config)
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	f.end = end
	replica := replicas(f.client, address, f.answered)
	for _, s := range sessions {
		one := &followed{of: f, session: s, replica: replica(s.Name()), asked: true, wake: make(chan struct{}, 1)}
		stop, err := s.Subscribe(func(change session.Change) {
			if !change.Remote {
				one.change(func() { one.changed = true })
			}
		})
		switch {
		case err == nil:
			one.watched = true
			defer stop()
		case !errors.Is(err, errors.ErrUnsupported):
			return fmt.Errorf("follow: %w", err)
		}
		f.sessions = append(f.sessions, one)
	}
	if len(sessions) == 0 {
		return fmt.Errorf("follow: %w: there is no session", session.ErrConfig)
	}
	var all sync.WaitGroup
	for _, one := range f.sessions {
		all.Go(func() { one.run(running) })
	}
	if !config.NoLive {
		all.Go(func() { f.listen(running) })
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.Cause(running)
}

// A following is what the sessions of one Follow share.
type following struct {
	client   *http.Client
	exchange *url.URL
	config   FollowConfig
	sessions []*followed
	end      context.CancelCauseFunc
	// news has something when whereTo is to look again.
	news chan struct{}

	// looked is when listen began to look for an address, which is good if it comes after that.
	looked time.Time

	telling sync.Mutex // held while Told is called

	mu      sync.Mutex // of all below, and of what is so in the sessions
	live    bool
	ended   time.Time // when live ended, or some time before
	liveErr error
	// address is where the server tells of changes, as it said when it was given. It is empty
	// for nowhere.
	address string
	given   time.Time
}

func newFollowing(client *http.Client, address string, config FollowConfig) (*following, error) {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("%w: the address is %q, must be like https://example.com/sessions/", session.ErrConfig, address)
	}
	if config.Delay < 0 || config.Interval < 0 {
		return nil, fmt.Errorf("%w: Delay is %v and Interval %v: neither may be negative", session.ErrConfig, config.Delay, config.Interval)
	}
	if config.Delay == 0 {
		config.Delay = time.Second
	}
	if config.Interval == 0 {
		config.Interval = 30 * time.Second
	}
	bound := bind(client)
	if bound.Timeout == 0 {
		bound.Timeout = timeout
	}
	return &following{client: bound, exchange: base.JoinPath("exchange"), config: config, news: make(chan struct{}, 1), looked: time.Now()}, nil
}

// tell tells the program of the state.
func (f *following) tell() {
	if f.config.Told == nil {
		return
	}
	f.telling.Lock()
	defer f.telling.Unlock()
	f.mu.Lock()
	state := State{Live: f.live, LiveErr: f.liveErr}
	for _, s := range f.sessions {
		if s.err != nil {
			state.Err = s.err
		}
	}
	f.mu.Unlock()
	f.config.Told(state)
}

// setLive notes whether the server tells of changes, and why not, and tells the program. The
// sessions look anew at when they are due, which depends on it.
func (f *following) setLive(live bool, err error) {
	f.mu.Lock()
	if f.live && !live {
		// Not all clients of a server that is gone are to ask at the same time.
		f.ended = time.Now().Add(-rand.N(f.config.Interval/2 + 1))
	}
	f.live, f.liveErr = live, err
	f.mu.Unlock()
	for _, s := range f.sessions {
		s.look()
	}
	f.tell()
}

// A followed session is exchanged by one goroutine, which executes run. Others change the fields
// that say what is due, and wake it.
type followed struct {
	of      *following
	session *session.Session
	replica session.Replica
	watched bool // whether the session tells of its changes
	wake    chan struct{}

	// Under the mutex of the following.

	asked   bool // it is to be exchanged at once, also after a failure
	changed bool // it was changed here
	stale   bool // it was changed elsewhere
	// wanted is the newest position on the server that was told, and known that of what is here.
	wanted, known cursor.Position
	// began is when the latest exchange began, sent when the latest began that sent changes, and
	// fetched when the latest began of which changes elsewhere were the reason.
	began, sent, fetched time.Time
	failures             int
	// rest is when it may be exchanged next unless it is asked, and retry when it must be. Until
	// held, the server wants no exchange.
	rest, retry, held time.Time
	done              int   // how many exchanges have ended
	err               error // of the latest
}

// change makes a change, and has run see it.
func (s *followed) change(how func()) {
	s.of.mu.Lock()
	how()
	s.of.mu.Unlock()
	s.look()
}

// look has run look at when the session is due.
func (s *followed) look() {
	select {
	case s.wake <- struct{}{}:
	default: // it is about to look
	}
}

// run exchanges the session whenever that is due, until ctx is done.
func (s *followed) run(ctx context.Context) {
	for ctx.Err() == nil {
		at, is := s.due()
		wait := time.Until(at)
		if is && wait <= 0 {
			s.sync(ctx)
			continue
		}
		var timer <-chan time.Time
		if is {
			timer = time.After(wait)
		}
		select {
		case <-timer:
		case <-s.wake:
		case <-ctx.Done():
		}
	}
}

// due returns when to exchange next, if that is known.
func (s *followed) due() (at time.Time, is bool) {
	f := s.of
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.asked {
		return time.Time{}, true
	}
	for _, reason := range []struct {
		holds bool
		at    time.Time
	}{
		{s.changed, s.sent.Add(f.config.Delay)},
		{s.behind(), s.fetched.Add(pace.told)},
		{!s.retry.IsZero(), s.retry},
		// Counted from the end of the socket, too: all clients of a server that has ended would
		// ask at the same time.
		{!f.live || !s.watched, later(s.began, f.ended).Add(f.config.Interval)},
	} {
		if reason.holds && (!is || reason.at.Before(at)) {
			at, is = reason.at, true
		}
	}
	return later(at, s.rest), is
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// behind reports whether it was changed elsewhere.
func (s *followed) behind() bool { return s.stale || !s.known.Covers(s.wanted) }

// sync makes one exchange.
func (s *followed) sync(ctx context.Context) {
	f := s.of
	if !s.session.Active() {
		f.end(fmt.Errorf("follow: session %q: %w", s.session.Name(), session.ErrClosed))
		return
	}
	f.mu.Lock()
	s.began = time.Now()
	if s.changed {
		s.sent = s.began
	}
	if s.behind() {
		s.fetched = s.began
	}
	// The server had made all changes that it has told of, so this exchange fetches them.
	s.asked, s.changed, s.stale, s.wanted = false, false, false, cursor.Position{}
	f.mu.Unlock()

	latest := ""
	err := s.session.Sync(ctx, func(ctx context.Context, sent session.Sent) (session.Received, error) {
		got, err := s.replica(ctx, sent)
		if err == nil {
			latest = got.Cursor
		}
		return got, err
	})
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	tell := err != nil || s.err != nil
	s.err = err
	s.done++
	s.rest, s.retry, s.held = time.Time{}, time.Time{}, time.Time{}
	switch {
	case err == nil:
		s.failures = 0
		s.known = cursor.Of(latest)
		if s.known.Covers(s.wanted) {
			s.wanted = cursor.Position{}
		}
	case errors.Is(err, session.ErrQuota): // all else was exchanged
		s.failures = 0
		s.known = cursor.Position{}
		s.retry = s.began.Add(jittered(pace.full))
	default:
		s.failures++
		s.known = cursor.Position{}
		now := time.Now()
		s.rest = now.Add(jittered(min(pace.again<<min(s.failures-1, 10), pace.longest)))
		if refused, is := errors.AsType[*RefusalError](err); is && refused.RetryAfter > 0 {
			s.held = now.Add(rested(refused.RetryAfter))
			s.rest = later(s.rest, s.held)
		}
		s.retry = s.rest
	}
	f.mu.Unlock()
	f.look()
	if tell {
		f.tell()
	}
}

// jittered returns a random time from half of d to d, so that not all clients come at once.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/2+1) }

// rested returns how long to wait after an answer with this Retry-After.
func rested(retryAfter time.Duration) time.Duration {
	if retryAfter == 0 {
		return 0
	}
	wait := min(retryAfter, pace.longestRest)
	return wait + rand.N(wait/4+1)
}

// told notes that the session has changed on the server, where its cursor is the given one now, if
// that is one.
func (s *followed) told(text string) {
	s.change(func() {
		at := cursor.Of(text)
		switch {
		case at.IsZero():
			s.stale = true
		case s.wanted.Covers(at) && !s.wanted.IsZero() || s.known.Covers(at):
		case s.wanted.IsZero() || at.Covers(s.wanted):
			s.wanted = at // an exchange that is under way may fetch it
		default:
			s.stale = true
		}
	})
}

// addressForm is what a Session-Live may be. None is the URL of another server.
var addressForm = regexp.MustCompile(`^live(\?ticket=[\w.-]+)?$`)

// answered notes where an answer says that the server tells of changes.
func (f *following) answered(header http.Header) {
	address := valueIn(header, "Session-Live")
	if !addressForm.MatchString(address) {
		address = ""
	}
	f.mu.Lock()
	f.address, f.given = address, time.Now()
	f.mu.Unlock()
	f.look()
}

// look has whereTo look again at what it waits for.
func (f *following) look() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

var errHeld = errors.New("the server wants no exchange yet, which would give a new ticket")

// whereTo returns the address of a WebSocket. If the server offers none, it waits for one. If the
// ticket in it is too old, it has a session exchanged, and returns an error if that fails.
func (f *following) whereTo(ctx context.Context) (string, error) {
	var asked *followed
	for done := 0; ; {
		var failure error
		f.mu.Lock()
		if asked != nil && asked.done > done {
			failure = asked.err
		}
		address, given := f.address, f.given
		offline := !f.live && f.liveErr == nil
		f.mu.Unlock()
		hasTicket := strings.Contains(address, "?")
		switch {
		case address == "":
			if !offline {
				f.setLive(false, nil)
			}
		case !hasTicket || given.After(f.looked) || time.Since(given) <= pace.fresh:
			return address, nil
		case asked == nil:
			if asked = f.healthiest(); asked == nil {
				return "", errHeld
			}
			asked.change(func() { done, asked.asked = asked.done, true })
		case failure != nil:
			return "", fmt.Errorf("no exchange gives a new ticket: %w", failure)
		}
		select {
		case <-f.news:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// healthiest returns the session with the fewest failures, so that the next is another if this
// one fails, too. It returns nil if the server wants no exchange yet of any.
func (f *following) healthiest() (best *followed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		if time.Now().Before(s.held) {
			continue
		}
		if best == nil || s.failures < best.failures {
			best = s
		}
	}
	return best
}

// listen has a WebSocket tell of changes until ctx is done.
func (f *following) listen(ctx context.Context) {
	wasOpen := false
	for failures := 0; ; f.looked = time.Now() {
		address, err := f.whereTo(ctx)
		began := time.Now()
		var conn *websocket.Conn
		var retryAfter time.Duration
		if err == nil {
			conn, retryAfter, err = f.dial(ctx, address)
		}
		renew := false
		if err == nil {
			wasOpen = true
			renew, err = f.hear(ctx, conn)
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= pace.steady {
			failures = 0
		}
		if renew && failures < pace.renewals {
			failures++
			continue // as live as before
		}
		f.setLive(false, err)
		longest := pace.longest
		if wasOpen {
			longest = pace.rejoinLongest
		}
		most := min(pace.rejoinFirst<<min(failures, 10), longest)
		wait := pace.rejoin + rand.N(most-pace.rejoin) // so that not all clients come at once
		failures++
		select {
		case <-time.After(max(wait, rested(retryAfter))):
		case <-ctx.Done():
		}
	}
}

func (f *following) dial(ctx context.Context, address string) (*websocket.Conn, time.Duration, error) {
	at, err := f.exchange.Parse(address)
	if err != nil {
		panic(err) // addressForm lets nothing else in
	}
	return dial(ctx, f.client, at.String())
}

var (
	errRenewed  = errors.New("the socket is renewed")
	errNoAnswer = errors.New("the server does not answer the socket's pings")
)

// hear does what the messages of a socket ask for until it ends. It returns why it has ended, and
// whether to open another at once.
func (f *following) hear(ctx context.Context, conn *websocket.Conn) (renew bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	pongs := make(chan struct{}, 1)
	var pinging sync.WaitGroup
	defer func() {
		end(nil)
		pinging.Wait()
		giveUp(conn)
	}()
	pinging.Go(func() { end(ping(ctx, conn, pongs)) })

	f.mu.Lock()
	wasLive := f.live
	f.mu.Unlock()
	if !wasLive {
		f.setLive(true, nil)
	}
	f.askAll() // for what was missed
	for {
		kind, text, err := conn.Read(ctx)
		switch {
		case err != nil && websocket.CloseStatus(err) == live.CodeEnded:
			// The device may be another owner's by now. An exchange tells where to listen then.
			f.mu.Lock()
			f.address = ""
			f.mu.Unlock()
			f.askAll()
			return true, err
		case err != nil && context.Cause(ctx) != nil:
			err = context.Cause(ctx)
			return err == errRenewed, err
		case err != nil:
			return websocket.CloseStatus(err) == live.CodeExpired, err
		case kind != websocket.MessageText:
		case string(text) == "pong":
			select {
			case pongs <- struct{}{}:
			default:
			}
		default:
			f.heard(text)
		}
	}
}

// askAll has all sessions exchanged at once.
func (f *following) askAll() {
	for _, s := range f.sessions {
		s.change(func() { s.asked = true })
	}
}

// ping sends pings until the socket is to be given up, and returns why.
func ping(ctx context.Context, conn *websocket.Conn, pongs <-chan struct{}) error {
	ticks := time.NewTicker(pace.ping)
	defer ticks.Stop()
	renewal := time.After(jittered(pace.renewal/4) + pace.renewal*3/4)
	for {
		select {
		case <-ticks.C:
		case <-renewal:
			return errRenewed
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-pongs: // nobody has asked for it
		default:
		}
		patient, cancel := context.WithTimeout(ctx, pace.pong)
		err := conn.Write(patient, websocket.MessageText, []byte("ping"))
		if err == nil {
			select {
			case <-pongs:
			case <-patient.Done():
				err = errNoAnswer
			}
		}
		cancel()
		if err != nil {
			return err
		}
	}
}

// heard does what a message asks for. One that cannot be read may be a later version's.
func (f *following) heard(text []byte) {
	var message *struct {
		Session *string
		Cursor  string
	}
	if json.Unmarshal(text, &message) != nil || message == nil {
		return
	}
	for _, s := range f.sessions {
		switch {
		case message.Session == nil || *message.Session == "":
			s.told("")
		case *message.Session == s.session.Name():
			s.told(message.Cursor)
		}
	}
}
