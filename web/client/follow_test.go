//go:build !js

package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
	"github.com/session-interop/session-writer/web/live"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// await waits until a condition holds, which others change.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// A place is a real server that can be started anew, with the same database.
type place struct {
	url      string
	store    *sqlstore.DB
	hub      atomic.Pointer[live.Hub]
	refusing atomic.Pointer[http.HandlerFunc] // answers in place of it, if it is not nil
	handler  atomic.Pointer[server.Handler]

	mu        sync.Mutex
	conns     []net.Conn
	exchanges map[string]int // by session
}

// someone is whom it takes all for.
func someone(*http.Request) (string, error) { return "ada", nil }

func newPlace(t *testing.T, config server.Config) *place {
	t.Helper()
	t.Cleanup(client.Hurry())
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	p := &place{store: sqlstore.New(db, sqlstore.Limits{}), exchanges: make(map[string]int)}
	if err := p.store.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.start(t, config)
	listening := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/exchange") {
			p.mu.Lock()
			p.exchanges[r.URL.Query().Get("session")]++
			p.mu.Unlock()
		}
		if refuse := p.refusing.Load(); refuse != nil {
			(*refuse)(w, r)
			return
		}
		p.handler.Load().ServeHTTP(w, r)
	}))
	listening.Listener = keeper{listening.Listener, p}
	listening.Start()
	t.Cleanup(func() {
		p.handler.Load().Close()
		listening.Close()
	})
	p.url = listening.URL + "/sessions/"
	return p
}

func (p *place) start(t *testing.T, config server.Config) {
	t.Helper()
	if config.Identify == nil {
		config.Identify = someone
	}
	if config.Live == nil {
		hub := live.NewHub(live.Config{})
		p.hub.Store(hub)
		config.Live = hub
	}
	config.DB = p.store
	handler, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	p.handler.Store(handler)
}

// count returns how many exchanges of a session were asked for.
func (p *place) count(session string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exchanges[session]
}

func (p *place) refuse(handler http.HandlerFunc) { p.refusing.Store(&handler) }

// A keeper is a listener that keeps its connections, so that they can be killed.
type keeper struct {
	net.Listener
	place *place
}

func (k keeper) Accept() (net.Conn, error) {
	conn, err := k.Listener.Accept()
	if err == nil {
		k.place.mu.Lock()
		defer k.place.mu.Unlock()
		k.place.conns = append(k.place.conns, conn)
	}
	return conn, err
}

// kill ends all connections, also those that were hijacked.
func (p *place) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

// A device is a program that follows sessions.
type device struct {
	*session.Session // the first
	sessions         []*session.Session
	state            atomic.Pointer[client.State]
	leave            func() error // ends it, and returns what Follow returns
}

// follow has a new device follow the sessions of some names.
func follow(t *testing.T, url string, config client.FollowConfig, names ...string) *device {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := new(device)
	d.state.Store(new(client.State))
	var sessions []*session.Session
	for _, name := range names {
		s, err := session.Open(t.Context(), session.NewMemory(), name, session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		sessions = append(sessions, s)
	}
	d.Session, d.sessions = sessions[0], sessions
	if config.Delay == 0 {
		config.Delay = time.Millisecond
	}
	told := config.Told
	config.Told = func(state client.State) {
		d.state.Store(&state)
		if told != nil {
			told(state)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- client.Follow(ctx, &http.Client{Jar: jar, Transport: transport}, url, config, sessions...)
	}()
	d.leave = sync.OnceValue(func() error {
		cancel()
		defer transport.CloseIdleConnections()
		return <-done
	})
	t.Cleanup(func() { _ = d.leave() })
	return d
}

func (d *device) isLive() bool { return d.state.Load().Live }

// save saves an entry.
func (d *device) save(t testing.TB, key string, value any) {
	t.Helper()
	if err := d.Save(t.Context(), maps.All(map[string]any{key: value})); err != nil {
		t.Fatal(err)
	}
}

// has waits until the first session of a device has an entry.
func (d *device) has(t testing.TB, key, value string) {
	t.Helper()
	has(t, d.Session, key, value)
}

// has waits until a session has an entry.
func has(t testing.TB, s *session.Session, key, value string) {
	t.Helper()
	await(t, fmt.Sprintf("session %q has %s: %s", s.Name(), key, value), func() bool {
		entries, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return string(entries[key]) == value
	})
}

// never is an Interval that does not come.
const never = time.Hour

func TestASaveArrivesAtOnce(t *testing.T) {
	p := newPlace(t, server.Config{})
	config := client.FollowConfig{Interval: never}
	a, b := follow(t, p.url, config, "cart"), follow(t, p.url, config, "cart")
	a.save(t, "before", 1) // is exchanged when b connects
	b.has(t, "before", "1")
	await(t, "both are live", func() bool { return a.isLive() && b.isLive() })
	for i := range 20 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		from.save(t, "n", i)
		to.has(t, "n", fmt.Sprint(i))
	}
	if err := a.Remove(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	b.has(t, "n", "")
	// And what a handler saves, which no exchange tells.
	cart, err := p.store.Open(t.Context(), "ada", "cart")
	if err != nil {
		t.Fatal(err)
	}
	if err := cart.Save(t.Context(), maps.All(map[string]any{"handler": true})); err != nil {
		t.Fatal(err)
	}
	a.has(t, "handler", "true")
	b.has(t, "handler", "true")
	if err := a.state.Load().Err; err != nil {
		t.Error(err)
	}
}

// has waits until the server has an entry.
func (p *place) has(t testing.TB, key, value string) {
	t.Helper()
	cart, err := p.store.Open(t.Context(), "ada", "cart")
	if err != nil {
		t.Fatal(err)
	}
	await(t, fmt.Sprintf("the server has %s: %s", key, value), func() bool {
		entries, err := cart.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return string(entries[key]) == value
	})
}

// connecting is how many exchanges of a session there are until its device is live: two when it
// learns whose session it is, and one when the socket is open.
const connecting = 3

func TestAnOwnSaveIsOneExchange(t *testing.T) {
	p := newPlace(t, server.Config{})
	d := follow(t, p.url, client.FollowConfig{Interval: never}, "cart", "mark")
	await(t, "it is live", d.isLive)
	const saves = 20
	for i := range saves {
		d.save(t, "n", i)
		p.has(t, "n", fmt.Sprint(i))
		// What the socket told before this has been seen when this is.
		before := p.count("mark")
		p.hub.Load().Changed(sqlstore.Topic("ada"), "mark", "")
		await(t, "the mark is exchanged", func() bool { return p.count("mark") > before })
	}
	if got := p.count("cart"); got > connecting+saves {
		t.Errorf("%d exchanges, want at most %d and one for each of %d saves", got, connecting, saves)
	}
}

func TestChangesAreGathered(t *testing.T) {
	p := newPlace(t, server.Config{})
	config := client.FollowConfig{Interval: never, Delay: never}
	d := follow(t, p.url, config, "cart")
	await(t, "it is live", d.isLive)
	d.save(t, "n", 1)
	p.has(t, "n", "1") // the first goes at once
	d.save(t, "n", 2)
	d.save(t, "more", 2)
	// Others' changes go by themselves, and take along what is here.
	p.hub.Load().Changed(sqlstore.Topic("ada"), "cart", "")
	p.has(t, "n", "2")
	p.has(t, "more", "2")
	if got := p.count("cart"); got > connecting+2 {
		t.Errorf("%d exchanges, want at most %d and 2", got, connecting)
	}

	config.Delay = 50 * time.Millisecond
	d = follow(t, p.url, config, "cart")
	for i := range 20 {
		d.save(t, "n", i)
	}
	p.has(t, "n", "19") // the last goes later, with nothing to remind of it
}

func TestItComesBack(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, p *place){
		"after the server has ended": func(t *testing.T, p *place) {
			p.handler.Load().Close()
			p.start(t, server.Config{})
		},
		"after its connections were killed": func(_ *testing.T, p *place) { p.kill() },
		"after the server was away": func(t *testing.T, p *place) {
			var asked atomic.Int32
			p.refuse(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				w.WriteHeader(http.StatusBadGateway)
			})
			p.kill()
			await(t, "it is asked", func() bool { return asked.Load() > 2 })
			p.refusing.Store(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, server.Config{})
			var mu sync.Mutex
			var states []bool
			a := follow(t, p.url, client.FollowConfig{Interval: never, Told: func(state client.State) {
				mu.Lock()
				defer mu.Unlock()
				states = append(states, state.Live)
			}}, "cart")
			await(t, "it is live", a.isLive)
			for i := range 3 {
				mu.Lock()
				states = nil
				mu.Unlock()
				end(t, p)
				// What is missed is not told again.
				cart, err := p.store.Open(t.Context(), "ada", "cart")
				if err != nil {
					t.Fatal(err)
				}
				if err := cart.Save(t.Context(), maps.All(map[string]any{"n": i})); err != nil {
					t.Fatal(err)
				}
				a.has(t, "n", fmt.Sprint(i))
				await(t, "it is live again, after it was not", func() bool {
					mu.Lock()
					defer mu.Unlock()
					return strings.HasSuffix(fmt.Sprint(states), "true]") && strings.Contains(fmt.Sprint(states), "false")
				})
			}
		})
	}
}

func TestWithoutASocketItAsks(t *testing.T) {
	const often = time.Millisecond
	for name, test := range map[string]struct {
		config  server.Config
		proxy   func(w http.ResponseWriter, r *http.Request) bool // whether it answers itself
		saysWhy bool                                              // whether Follow says why
	}{
		"the server has none": {config: server.Config{Live: server.NoLive}},
		"a proxy refuses them": {saysWhy: true, proxy: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Upgrade") == "" {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			return true
		}},
		"a proxy takes them for plain requests": {saysWhy: true, proxy: func(w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Upgrade")
			r.Header.Del("Connection")
			return false
		}},
		"a proxy sends elsewhere": {saysWhy: true, proxy: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Upgrade") != "" {
				http.Redirect(w, r, "https://example.com/sessions/live", http.StatusTemporaryRedirect)
			}
			return r.Header.Get("Upgrade") != ""
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, test.config)
			if test.proxy != nil {
				p.refuse(func(w http.ResponseWriter, r *http.Request) {
					if !test.proxy(w, r) {
						p.handler.Load().ServeHTTP(w, r)
					}
				})
			}
			var wasLive atomic.Bool
			config := client.FollowConfig{Interval: often, Told: func(state client.State) {
				if state.Live {
					wasLive.Store(true)
				}
			}}
			a, b := follow(t, p.url, config, "cart"), follow(t, p.url, config, "cart")
			for i := range 3 {
				a.save(t, "n", i)
				b.has(t, "n", fmt.Sprint(i))
			}
			if test.saysWhy {
				await(t, "it says why", func() bool { return b.state.Load().LiveErr != nil })
				if text := b.state.Load().LiveErr.Error(); strings.Contains(text, p.url) {
					t.Errorf("%s has the address, in which can be a ticket", text)
				}
			}
			if wasLive.Load() || b.state.Load().Err != nil {
				t.Errorf("live %t, %+v, want that it is not, and no error", wasLive.Load(), *b.state.Load())
			}
		})
	}
}

func TestASocketThatEndsLeavesNoSessionUnasked(t *testing.T) {
	p := newPlace(t, server.Config{})
	d := follow(t, p.url, client.FollowConfig{Interval: 10 * time.Millisecond}, "cart", "another")
	await(t, "it is live", d.isLive)
	saveElsewhere := func(n int) {
		for _, s := range d.sessions {
			replica, err := p.store.Open(t.Context(), "ada", s.Name())
			if err != nil {
				t.Fatal(err)
			}
			if err := replica.Save(t.Context(), maps.All(map[string]any{"n": n})); err != nil {
				t.Fatal(err)
			}
			has(t, s, "n", fmt.Sprint(n))
		}
	}
	for n := range 3 { // until all that is due when it connects has been
		saveElsewhere(n)
	}
	p.refuse(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		p.handler.Load().ServeHTTP(w, r)
	})
	p.kill()
	await(t, "it is not live", func() bool { return !d.isLive() })
	for n := range 3 {
		saveElsewhere(3 + n)
	}
}

func TestAnotherOwnerIsFollowed(t *testing.T) {
	var user atomic.Value
	user.Store("ada")
	p := newPlace(t, server.Config{Identify: func(*http.Request) (string, error) { return user.Load().(string), nil }})
	d := follow(t, p.url, client.FollowConfig{Interval: never}, "cart")
	d.save(t, "of", "ada")
	p.has(t, "of", `"ada"`)
	await(t, "it is live", d.isLive)
	bobs, err := p.store.Open(t.Context(), "bob", "cart")
	if err != nil {
		t.Fatal(err)
	}
	if err := bobs.Save(t.Context(), maps.All(map[string]any{"of": "bob"})); err != nil {
		t.Fatal(err)
	}
	user.Store("bob")
	p.hub.Load().Ended(sqlstore.Topic("ada"), "") // as a login does
	d.has(t, "of", `"bob"`)
	// It is told of Bob's changes from then on.
	await(t, "it is live again", func() bool { return p.hub.Load().Count() == 1 && d.isLive() })
	if err := bobs.Save(t.Context(), maps.All(map[string]any{"n": 1})); err != nil {
		t.Fatal(err)
	}
	d.has(t, "n", "1")
	if err := d.state.Load().Err; err != nil {
		t.Error(err)
	}
}

func TestFailuresAreToldAndTriedAgain(t *testing.T) {
	p := newPlace(t, server.Config{})
	p.refuse(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprint(w, `{"code":"busy","error":"too much at once"}`)
	})
	d := follow(t, p.url, client.FollowConfig{Interval: never}, "cart")
	d.save(t, "n", 1)
	await(t, "it says that the server is busy", func() bool { return errors.Is(d.state.Load().Err, client.ErrBusy) })
	before := p.count("cart")
	await(t, "it is tried again", func() bool { return p.count("cart") > before+2 })
	p.refusing.Store(nil)
	p.has(t, "n", "1")
	await(t, "it says that all is well", func() bool { return d.state.Load().Err == nil && d.isLive() })

	// What the server has no room for stays here, and keeps nothing else.
	d.save(t, "large", strings.Repeat("x", 2<<20))
	await(t, "it says what has no room", func() bool { return errors.Is(d.state.Load().Err, session.ErrQuota) })
	d.save(t, "n", 2)
	p.has(t, "n", "2")
	if err := d.Remove(t.Context(), "large"); err != nil {
		t.Fatal(err)
	}
	await(t, "it says that all is well", func() bool { return d.state.Load().Err == nil })
}

func TestRetryAfterIsHeeded(t *testing.T) {
	p := newPlace(t, server.Config{Live: server.NoLive})
	p.refuse(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("session") != "cart" {
			p.handler.Load().ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "1000")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	d := follow(t, p.url, client.FollowConfig{Interval: time.Millisecond}, "cart", "another")
	await(t, "it fails", func() bool { return d.state.Load().Err != nil })
	d.save(t, "n", 1)
	before := p.count("another")
	await(t, "the other session is asked for", func() bool { return p.count("another") > before+20 })
	if got := p.count("cart"); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}

func TestWhatEndsFollow(t *testing.T) {
	open := func(t *testing.T, storage session.Storage) *session.Session {
		s, err := session.Open(t.Context(), storage, "cart", session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closed := open(t, session.NewMemory())
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	const address = "https://example.com/sessions/"
	for name, test := range map[string]struct {
		address  string
		config   client.FollowConfig
		sessions []*session.Session
		want     error
		says     string
	}{
		"no URL":              {address: "https://exa mple", sessions: []*session.Session{open(t, session.NewMemory())}, want: session.ErrConfig, says: `"https://exa mple"`},
		"no server":           {address: "sessions", sessions: []*session.Session{open(t, session.NewMemory())}, want: session.ErrConfig, says: `"sessions"`},
		"another scheme":      {address: "wss://example.com/", sessions: []*session.Session{open(t, session.NewMemory())}, want: session.ErrConfig, says: `"wss://example.com/"`},
		"a negative Delay":    {address: address, config: client.FollowConfig{Delay: -1}, sessions: []*session.Session{open(t, session.NewMemory())}, want: session.ErrConfig, says: "-1ns"},
		"no session":          {address: address, want: session.ErrConfig, says: "no session"},
		"a closed session":    {address: address, sessions: []*session.Session{closed}, want: session.ErrClosed, says: `"cart"`},
		"a closed one, later": {address: address, sessions: []*session.Session{open(t, unwatched{session.NewMemory()}), closed}, want: session.ErrClosed, says: `"cart"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := client.Follow(t.Context(), http.DefaultClient, test.address, test.config, test.sessions...)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v that says %s", err, test.want, test.says)
			}
		})
	}

	p := newPlace(t, server.Config{})
	s := open(t, session.NewMemory())
	var once sync.Once
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	err = client.Follow(t.Context(), &http.Client{Jar: jar}, p.url, client.FollowConfig{Interval: time.Millisecond, Told: func(state client.State) {
		once.Do(func() {
			_ = s.Close()
			p.kill()
		})
	}}, s)
	if !errors.Is(err, session.ErrClosed) || !strings.Contains(err.Error(), `"cart"`) {
		t.Errorf("closed while it is followed: %v, want ErrClosed", err)
	}
}

// unwatched hides that a storage is a Watcher.
type unwatched struct{ session.Storage }

func TestAStorageThatTellsNothingIsAsked(t *testing.T) {
	p := newPlace(t, server.Config{})
	s, err := session.Open(t.Context(), unwatched{session.NewMemory()}, "cart", session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	jar, _ := cookiejar.New(nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var isLive atomic.Bool
	go func() {
		done <- client.Follow(ctx, &http.Client{Jar: jar}, p.url, client.FollowConfig{Interval: time.Millisecond, Told: func(state client.State) { isLive.Store(state.Live) }}, s)
	}()
	await(t, "it is live", isLive.Load)
	if err := s.Save(t.Context(), maps.All(map[string]any{"n": 1})); err != nil {
		t.Fatal(err)
	}
	p.has(t, "n", "1")
	cancel()
	if err := <-done; err != context.Canceled {
		t.Error(err)
	}
}

func TestNothingGoesOnAfterTheEnd(t *testing.T) {
	p := newPlace(t, server.Config{})
	for _, until := range []func(d *device){
		func(*device) {},
		func(d *device) { await(t, "it is live", d.isLive) },
		func(d *device) { p.kill() },
	} {
		d := follow(t, p.url, client.FollowConfig{}, "cart", "another")
		d.save(t, "n", 1)
		until(d)
		if err := d.leave(); err != context.Canceled {
			t.Errorf("got %v, want that the context is canceled", err)
		}
		await(t, "the server has no socket", func() bool { return p.hub.Load().Count() == 0 })
		var stacks strings.Builder
		_ = d.Close() // ends the goroutine that tells of its changes
		await(t, "no goroutine is left", func() bool {
			stacks.Reset()
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return !strings.Contains(stacks.String(), "web/client.") && !strings.Contains(stacks.String(), "coder/websocket")
		})
	}
}

// A faultyHub loses what it is told to, and says all else twice that has a cursor, by which
// devices know what they have.
type faultyHub struct {
	*live.Hub
	loses atomic.Bool
	lost  atomic.Int32
}

func (h *faultyHub) Changed(topic, session, cursor string) {
	if h.loses.Load() {
		h.lost.Add(1)
		return
	}
	h.Hub.Changed(topic, session, cursor)
	if cursor != "" {
		h.Hub.Changed(topic, session, cursor)
	}
}

func TestMessagesThatAreLostOrComeTwice(t *testing.T) {
	hub := &faultyHub{Hub: live.NewHub(live.Config{})}
	p := newPlace(t, server.Config{Live: hub})
	config := client.FollowConfig{Interval: never}
	a := follow(t, p.url, config, "cart")
	await(t, "the first is live", func() bool { return a.isLive() && p.count("cart") == connecting })
	b := follow(t, p.url, config, "cart")
	// The first is told that there is another device, and asks.
	await(t, "the second is live", func() bool { return b.isLive() && p.count("cart") == 2*connecting+1 })
	const saves = 20
	for i := range saves {
		a.save(t, "n", i)
		b.has(t, "n", fmt.Sprint(i))
	}
	if got := p.count("cart") - (2*connecting + 1); got > 2*saves {
		t.Errorf("%d exchanges for %d saves, want one on each side", got, saves)
	}
	hub.loses.Store(true)
	a.save(t, "n", "lost")
	await(t, "it is lost", func() bool { return hub.lost.Load() > 0 })
	hub.loses.Store(false)
	a.save(t, "next", 1) // has it come, too
	b.has(t, "n", `"lost"`)

	hub.loses.Store(true)
	a.save(t, "n", "lost again")
	await(t, "it is lost", func() bool { return hub.lost.Load() > 1 })
	p.kill() // when they come back, they ask
	b.has(t, "n", `"lost again"`)
}

// A stage is a server that says and does what a test wants.
type stage struct {
	url       string
	exchanges atomic.Int32
	address   atomic.Value // what Session-Live has
	cursor    atomic.Value
	refusing  atomic.Pointer[http.HandlerFunc] // answers exchanges in place of it, if it is not nil
	closed    atomic.Bool                      // whether sockets are refused
	dialed    chan string                      // has the URL of each request for a socket
	sockets   chan *websocket.Conn
}

func newStage(t *testing.T) *stage {
	t.Helper()
	t.Cleanup(client.Hurry())
	s := &stage{dialed: make(chan string, 100), sockets: make(chan *websocket.Conn, 100)}
	s.address.Store("live")
	s.cursor.Store("e-5")
	mux := http.NewServeMux()
	mux.HandleFunc("/sessions/exchange", func(w http.ResponseWriter, r *http.Request) {
		s.exchanges.Add(1)
		if refuse := s.refusing.Load(); refuse != nil {
			(*refuse)(w, r)
			return
		}
		s.answer(w, r)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.dialed <- r.URL.String()
		if s.closed.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		s.sockets <- conn
	})
	listening := httptest.NewServer(mux)
	t.Cleanup(listening.Close)
	s.url = listening.URL + "/sessions/"
	return s
}

// answer answers an exchange.
func (s *stage) answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Session-Owner", tag)
	w.Header().Set("Session-Cursor", s.cursor.Load().(string))
	w.Header().Set("Session-Live", s.address.Load().(string))
	w.WriteHeader(http.StatusNoContent)
}

// refuse has exchanges answered by a handler.
func (s *stage) refuse(handler http.HandlerFunc) { s.refusing.Store(&handler) }

func unavailable(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (s *stage) send(t testing.TB, conn *websocket.Conn, kind websocket.MessageType, text string) {
	t.Helper()
	if err := conn.Write(t.Context(), kind, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAMessageLeadsTo(t *testing.T) {
	s := newStage(t)
	d := follow(t, s.url, client.FollowConfig{Interval: never}, "cart")
	await(t, "it is live", d.isLive)
	conn := <-s.sockets
	await(t, "it has connected", func() bool { return s.exchanges.Load() == connecting })
	want := s.exchanges.Load()
	for _, message := range []struct {
		text  string
		leads bool
	}{
		{`{"session":"cart","cursor":"e-5"}`, false},
		{`{"session":"cart","cursor":"e-4-life"}`, false},
		{`{"session":"cart","cursor":"e-6"}`, true},
		{`{"session":"cart","cursor":"e-6"}`, true}, // it was not got
		{`{"session":"cart","cursor":"f-1"}`, true},
		{`{"session":"cart","cursor":"e"}`, true},
		{`{"session":"cart","cursor":"e-x"}`, true},
		{`{"session":"cart","cursor":"e--1"}`, true},
		{`{"session":"cart","cursor":"-5"}`, true},
		{`{"session":"cart"}`, true},
		{`{"session":"cart","later":1}`, true},
		{`{"cursor":"e-5"}`, true},
		{`{}`, true},
		{`{"session":"another","cursor":"e-6"}`, false},
		{`{"session":5}`, false},
		{`[]`, false},
		{`null`, false},
		{`"ping"`, false},
		{`{`, false},
		{``, false},
		{`pong`, false},
		{strings.Repeat(" ", 10_000), false},
	} {
		s.send(t, conn, websocket.MessageText, message.text)
		if message.leads {
			want++
			await(t, message.text+" leads to an exchange", func() bool { return s.exchanges.Load() == want })
		}
	}
	s.send(t, conn, websocket.MessageBinary, `{}`)
	s.send(t, conn, websocket.MessageText, `{}`)
	want++
	await(t, "the last leads to an exchange", func() bool { return s.exchanges.Load() >= want })
	if got := s.exchanges.Load(); got != want {
		t.Errorf("%d exchanges, want %d", got, want)
	}
	if len(s.sockets) > 0 {
		t.Error("the socket was opened anew")
	}
}

func TestDelayHoldsBackNoneOfOthersChanges(t *testing.T) {
	s := newStage(t)
	d := follow(t, s.url, client.FollowConfig{Interval: never, Delay: never}, "cart")
	await(t, "it has connected", func() bool { return d.isLive() && s.exchanges.Load() == connecting })
	conn := <-s.sockets
	for i := range int32(5) {
		s.send(t, conn, websocket.MessageText, `{}`)
		await(t, "it exchanges", func() bool { return s.exchanges.Load() == connecting+1+i })
	}
}

func TestOthersChangesAreGathered(t *testing.T) {
	s := newStage(t)
	client.Told(never)
	var ofCart atomic.Int32
	s.refuse(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("session") == "cart" {
			ofCart.Add(1)
		}
		s.answer(w, r)
	})
	d := follow(t, s.url, client.FollowConfig{Interval: never}, "cart", "mark")
	conn := <-s.sockets
	await(t, "it has connected", func() bool { return d.isLive() && ofCart.Load() == connecting })
	s.send(t, conn, websocket.MessageText, `{"session":"cart"}`)
	await(t, "the first is exchanged", func() bool { return ofCart.Load() == connecting+1 })
	for range 3 {
		s.send(t, conn, websocket.MessageText, `{"session":"cart"}`)
	}
	before := s.exchanges.Load()
	s.send(t, conn, websocket.MessageText, `{"session":"mark"}`)
	await(t, "the others have been read", func() bool { return s.exchanges.Load() > before })
	d.save(t, "n", 1) // goes by itself, and fetches all
	await(t, "the save is exchanged", func() bool { return ofCart.Load() > connecting+1 })
	if got := ofCart.Load(); got != connecting+2 {
		t.Errorf("%d exchanges, want %d, and one for the save", got, connecting+1)
	}
}

func TestWithNoLiveItOnlyAsks(t *testing.T) {
	s := newStage(t)
	d := follow(t, s.url, client.FollowConfig{Interval: time.Millisecond, NoLive: true}, "cart")
	await(t, "it asks", func() bool { return s.exchanges.Load() > 20 })
	if len(s.dialed) > 0 || d.isLive() {
		t.Error("it has a socket")
	}
	if err := d.leave(); err != context.Canceled {
		t.Error(err)
	}
}

func TestNoAddressButTheServersOwnIsTaken(t *testing.T) {
	s := newStage(t)
	for _, address := range []string{"", "https://evil.example/live", "//evil.example/live", "/live", "../live", "live/x", "live?", "live?x=1", "live?ticket=a&x=1", "live#x", "live?ticket=a/b", "live, live"} {
		s.address.Store(address)
		before := s.exchanges.Load()
		d := follow(t, s.url, client.FollowConfig{Interval: time.Millisecond}, "cart")
		await(t, "it asks", func() bool { return s.exchanges.Load() > before+10 })
		if err := d.leave(); err != context.Canceled || len(s.dialed) > 0 {
			t.Errorf("%q: %v, %d sockets, want none", address, err, len(s.dialed))
		}
	}
	for address, want := range map[string]string{"live": "/sessions/live", "live?ticket=a_B-9.x": "/sessions/live?ticket=a_B-9.x"} {
		s.address.Store(address)
		d := follow(t, s.url, client.FollowConfig{Interval: time.Millisecond}, "cart")
		if got := <-s.dialed; got != want {
			t.Errorf("%q: dialed %s, want %s", address, got, want)
		}
		_ = (<-s.sockets).CloseNow()
		_ = d.leave()
		for len(s.dialed) > 0 {
			<-s.dialed
		}
	}
}

func TestAnOldAddressIsAskedForAnew(t *testing.T) {
	s := newStage(t)
	client.Fresh(0)
	s.address.Store("live?ticket=1")
	follow(t, s.url, client.FollowConfig{Interval: never}, "cart")
	for i := range 5 {
		conn := <-s.sockets
		if got, want := <-s.dialed, fmt.Sprint("/sessions/live?ticket=", i+1); got != want {
			t.Errorf("dialed %s, want %s", got, want)
		}
		s.address.Store(fmt.Sprint("live?ticket=", i+2))
		_ = conn.CloseNow()
	}
}

func TestOnlyATicketGetsTooOld(t *testing.T) {
	s := newStage(t)
	client.Fresh(0)
	client.Rest(never)
	d := follow(t, s.url, client.FollowConfig{Interval: never}, "cart")
	await(t, "it has connected", func() bool { return d.isLive() && s.exchanges.Load() == connecting })
	s.refuse(unavailable)
	for range 3 {
		_ = (<-s.sockets).CloseNow() // it comes back, though no exchange does
	}
	<-s.sockets
}

func TestAnySessionRenewsATicket(t *testing.T) {
	s := newStage(t)
	client.Fresh(0)
	client.Rest(never)
	s.address.Store("live?ticket=1")
	d := follow(t, s.url, client.FollowConfig{Interval: never}, "cart", "another")
	await(t, "it is live", d.isLive)
	s.refuse(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("session") == "cart" {
			unavailable(w, r)
			return
		}
		s.answer(w, r)
	})
	d.save(t, "n", 1)
	await(t, "the first session fails", func() bool { return d.state.Load().Err != nil })
	for range 3 {
		_ = (<-s.sockets).CloseNow()
	}
	<-s.sockets
}

func TestAnOutageIsOverSoon(t *testing.T) {
	s := newStage(t)
	client.Fresh(0)
	client.Rest(never)
	s.address.Store("live?ticket=1")
	d := follow(t, s.url, client.FollowConfig{Interval: never}, "cart")
	await(t, "it has connected", func() bool { return d.isLive() && s.exchanges.Load() == connecting })
	s.refuse(unavailable)
	_ = (<-s.sockets).CloseNow()
	// It asks for a ticket until it gets one, though what failed is to rest.
	await(t, "it asks", func() bool { return s.exchanges.Load() > connecting+5 })
	if len(s.sockets) > 0 {
		t.Error("it has come with a ticket that is too old")
	}
	s.refusing.Store(nil)
	<-s.sockets
	await(t, "it says that all is well", func() bool { state := d.state.Load(); return state.Live && state.Err == nil })
}

func TestATicketIsNotAskedForBeforeRetryAfter(t *testing.T) {
	s := newStage(t)
	client.Fresh(0)
	s.address.Store("live?ticket=1")
	var tries atomic.Int32
	d := follow(t, s.url, client.FollowConfig{Interval: never, Told: func(state client.State) {
		if state.LiveErr != nil {
			tries.Add(1)
		}
	}}, "cart")
	await(t, "it has connected", func() bool { return d.isLive() && s.exchanges.Load() == connecting })
	s.refuse(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1000")
		unavailable(w, r)
	})
	d.save(t, "n", 1)
	await(t, "it fails", func() bool { return d.state.Load().Err != nil })
	_ = (<-s.sockets).CloseNow()
	await(t, "it has tried to come back", func() bool { return tries.Load() > 3 })
	if got := s.exchanges.Load(); got != connecting+1 {
		t.Errorf("%d exchanges, want none before the time that the server has asked for", got-connecting-1)
	}
}

func TestASocketThatDoesNotAnswerIsGivenUp(t *testing.T) {
	s := newStage(t)
	client.Pings(time.Millisecond, 20*time.Millisecond)
	var silent atomic.Value
	d := follow(t, s.url, client.FollowConfig{Interval: never, Told: func(state client.State) {
		if state.LiveErr != nil {
			silent.CompareAndSwap(nil, state.LiveErr.Error())
		}
	}}, "cart")
	conn := <-s.sockets
	for range 10 {
		if _, text, err := conn.Read(t.Context()); err != nil || string(text) != "ping" {
			t.Fatalf("got %q, %v, want ping", text, err)
		}
		s.send(t, conn, websocket.MessageText, "pong")
	}
	if _, _, err := conn.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	// This one is not answered.
	if _, text, err := conn.Read(t.Context()); err == nil {
		t.Errorf("got %q, want the end", text)
	}
	<-s.sockets // it comes back
	await(t, "it says why", func() bool { return silent.Load() != nil })
	if text := silent.Load().(string); !strings.Contains(text, "does not answer") {
		t.Errorf("it says %s", text)
	}
	_ = d.leave()
}

// lives collects what Follow tells of State.Live.
type lives struct {
	mu   sync.Mutex
	told []bool
}

func (l *lives) add(state client.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, state.Live)
}

// areOnly reports whether nothing was told but that it is live, and that once.
func (l *lives) areOnly(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.told) != 1 || !l.told[0] {
		t.Errorf("told %v, want that it is live, once", l.told)
	}
}

func TestASocketIsRenewed(t *testing.T) {
	s := newStage(t)
	client.Renewal(20 * time.Millisecond)
	client.Rejoin(never)
	var told lives
	follow(t, s.url, client.FollowConfig{Interval: never, Told: told.add}, "cart")
	for i := range 3 {
		conn := <-s.sockets
		await(t, "it exchanges when it connects", func() bool { return s.exchanges.Load() >= int32(connecting+i) })
		if _, text, err := conn.Read(t.Context()); err == nil {
			t.Errorf("got %q, want the end", text)
		}
	}
	told.areOnly(t)
}

func TestAnExpiredSocketIsRenewed(t *testing.T) {
	s := newStage(t)
	client.Rejoin(never)
	var told lives
	d := follow(t, s.url, client.FollowConfig{Interval: never, Told: told.add}, "cart")
	const atOnce = 3
	for i := range atOnce + 1 {
		conn := <-s.sockets
		await(t, "it exchanges when it connects", func() bool { return s.exchanges.Load() == int32(connecting+i) })
		told.areOnly(t)
		_ = conn.Close(live.CodeExpired, "")
	}
	// A server that does nothing else is not asked without end.
	await(t, "it is not live", func() bool { return !d.isLive() })
	if len(s.sockets) > 0 {
		t.Error("it has come again")
	}
}

func TestARenewalThatFailsIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(s *stage)
		told    bool // whether it says why
	}{
		"the server lets no socket through": {func(s *stage) { s.closed.Store(true) }, true},
		"the server offers none any more":   {func(s *stage) { s.address.Store("") }, false},
		"no exchange gives a ticket":        {func(s *stage) { s.refuse(unavailable) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			client.Fresh(0)
			client.Rejoin(never)
			s.address.Store("live?ticket=1")
			d := follow(t, s.url, client.FollowConfig{Interval: never}, "cart")
			await(t, "it has connected", func() bool { return d.isLive() && s.exchanges.Load() == connecting })
			test.prepare(s)
			conn := <-s.sockets
			s.send(t, conn, websocket.MessageText, `{}`)
			await(t, "it exchanges", func() bool { return s.exchanges.Load() > connecting })
			_ = conn.Close(live.CodeExpired, "")
			await(t, "it is not live", func() bool { return !d.isLive() })
			if err := d.state.Load().LiveErr; (err != nil) != test.told {
				t.Errorf("it says %v", err)
			}
		})
	}
}
