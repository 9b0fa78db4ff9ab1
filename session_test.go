package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

// A meter is a storage that counts writes and can be told to refuse them.
type meter struct {
	session.Storage
	session.Watcher
	mu      sync.Mutex
	writes  int
	refuses bool
}

func newMeter() *meter {
	memory := session.NewMemory()
	return &meter{Storage: memory, Watcher: memory.(session.Watcher)}
}

func (m *meter) SetItem(key, text string) error {
	m.mu.Lock()
	m.writes++
	refuses := m.refuses
	m.mu.Unlock()
	if refuses {
		return session.ErrQuota
	}
	return m.Storage.SetItem(key, text)
}

func (m *meter) refuse() (restore func()) {
	set := func(refuses bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.refuses = refuses
	}
	set(true)
	return func() { set(false) }
}

func (m *meter) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

func TestContract(t *testing.T) {
	for name, storage := range map[string]func(m *meter) session.Storage{
		"a storage that tells of changes": func(m *meter) session.Storage { return m },
		"one that does not":               func(m *meter) session.Storage { return struct{ session.Storage }{m} },
	} {
		t.Run(name, func(t *testing.T) {
			writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
				m := newMeter()
				open := func(ctx context.Context) (*session.Session, error) {
					return session.Open(ctx, storage(m), "cart", session.Config{})
				}
				return writertest.Harness{
					Open: func(ctx context.Context) (session.Writer, error) { return open(ctx) },
					Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
						s, err := open(ctx)
						if err != nil {
							return nil, err
						}
						defer s.Close()
						return s.Load(ctx)
					},
					See: func(ctx context.Context, w session.Writer) error {
						_, err := w.(*session.Session).Load(ctx)
						return err
					},
					Close:  func(w session.Writer) error { return w.(*session.Session).Close() },
					Active: func(w session.Writer) bool { return w.(*session.Session).Active() },
					Refuse: m.refuse,
					Writes: m.count,
				}
			})
		})
	}
}

func open(t *testing.T, storage session.Storage) *session.Session {
	t.Helper()
	return openWith(t, storage, session.Config{})
}

func openWith(t *testing.T, storage session.Storage, config session.Config) *session.Session {
	t.Helper()
	s, err := session.Open(t.Context(), storage, "cart", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

type entries = map[string]any

func save(t *testing.T, s *session.Session, saved entries) {
	t.Helper()
	if err := s.Save(t.Context(), maps.All(saved)); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, s *session.Session, want string) {
	t.Helper()
	got, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(got); string(text) != want {
		t.Errorf("Load returned %s, want %s", text, want)
	}
}

func TestOpenRefusesBadConfiguration(t *testing.T) {
	memory := session.NewMemory()
	for _, bad := range []struct {
		storage session.Storage
		name    string
		config  session.Config
		want    string
	}{
		{nil, "cart", session.Config{}, `session "cart": open: invalid configuration: the storage is nil`},
		{memory, "", session.Config{}, `session "": open: invalid configuration: the name is empty`},
		{memory, "a/b", session.Config{}, `session "a/b": open: invalid configuration: the name must not contain a slash`},
		{memory, "\xff", session.Config{}, `session "\xff": open: invalid configuration: the name is not valid UTF-8`},
		{memory, "cart", session.Config{MaxAge: time.Microsecond}, `session "cart": open: invalid configuration: MaxAge is 1µs, must be at least 1ms, or 0`},
		{memory, "cart", session.Config{MaxAge: -time.Hour}, `session "cart": open: invalid configuration: MaxAge is -1h0m0s, must be at least 1ms, or 0`},
	} {
		s, err := session.Open(t.Context(), bad.storage, bad.name, bad.config)
		if s != nil || !errors.Is(err, session.ErrConfig) || err.Error() != bad.want {
			t.Errorf("Open returned %v, %v, want %s", s, err, bad.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := session.Open(ctx, memory, "cart", session.Config{}); s != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a cancelled context returned %v, %v", s, err)
	}
}

func TestErrorsNameTheSessionAndTheKey(t *testing.T) {
	s := open(t, session.NewMemory())
	type loop struct{ Self *loop }
	cycle := new(loop)
	cycle.Self = cycle
	for want, value := range map[string]any{
		`session "cart": save: key "k": unsupported value: NaN`:                                    math.NaN(),
		`session "cart": save: key "k": unsupported value: func()`:                                 func() {},
		`session "cart": save: key "k": unsupported value: a string that is not valid UTF-8`:       "\xff",
		`session "cart": save: key "k": unsupported value: JSON that is not valid UTF-8`:           json.RawMessage("\"\xff\""),
		`session "cart": save: key "k": unsupported value: its encoding panicked: boom`:            marshaler(func() ([]byte, error) { panic("boom") }),
		`session "cart": save: key "k": unsupported value: its encoding panicked: a wrapped error`: marshaler(func() ([]byte, error) { panic(errors.New("a wrapped error")) }),
	} {
		err := s.Save(t.Context(), maps.All(entries{"k": value}))
		var refused *session.EntryError
		if !errors.Is(err, session.ErrValue) || !errors.As(err, &refused) || refused.Key != "k" || err.Error() != want {
			t.Errorf("Save returned %q, want %q", err, want)
		}
	}
	if err := s.Save(t.Context(), maps.All(entries{"k": cycle})); !errors.Is(err, session.ErrValue) {
		t.Errorf("Save of a cycle returned %v", err)
	}
	for want, err := range map[string]error{
		`session "cart": save: key "": invalid key: it is empty`:                 s.Save(t.Context(), maps.All(entries{"": 1})),
		`session "cart": remove: key "": invalid key: it is empty`:               s.Remove(t.Context(), "a", ""),
		`session "cart": remove: key "\xff": invalid key: it is not valid UTF-8`: s.Remove(t.Context(), "\xff"),
		`session "cart": save: unsupported value: the entries are nil`:           s.Save(t.Context(), nil),
		`session "cart": save: unsupported value: the entries panicked: half-way`: s.Save(t.Context(), func(yield func(string, any) bool) {
			yield("a", 1)
			panic("half-way")
		}),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got the error %q, want %q", err, want)
		}
	}
	has(t, s, `{}`)
}

type marshaler func() ([]byte, error)

func (m marshaler) MarshalJSON() ([]byte, error) { return m() }

func TestGetDecodes(t *testing.T) {
	s := open(t, session.NewMemory())
	save(t, s, entries{"user": entries{"name": "ada"}, "nothing": nil, "n": json.Number("12345678901234567890")})
	var user struct{ Name string }
	if found, err := s.Get(t.Context(), "user", &user); !found || err != nil || user.Name != "ada" {
		t.Errorf("Get returned %v, %v, and %+v", found, err, user)
	}
	if found, err := s.Get(t.Context(), "nothing", nil); !found || err != nil {
		t.Errorf("Get of null returned %v, %v", found, err)
	}
	if found, err := s.Get(t.Context(), "absent", &user); found || err != nil || user.Name != "ada" {
		t.Errorf("Get of an absent key returned %v, %v, and %+v", found, err, user)
	}
	var text string
	var refused *session.EntryError
	if found, err := s.Get(t.Context(), "user", &text); !found || !errors.As(err, &refused) || refused.Key != "user" {
		t.Errorf("Get into a string returned %v, %v", found, err)
	}
	var n json.Number
	if _, err := s.Get(t.Context(), "n", &n); err != nil || n != "12345678901234567890" {
		t.Errorf("Get returned %v, %v", n, err)
	}
}

func TestCancelledContext(t *testing.T) {
	s := open(t, session.NewMemory())
	save(t, s, entries{"a": 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := s.Load(ctx)
	_, getErr := s.Get(ctx, "a", nil)
	_, statsErr := s.Stats(ctx)
	for call, err := range map[string]error{
		"save": s.Save(ctx, maps.All(entries{"a": 2})), "remove": s.Remove(ctx, "a"), "clear": s.Clear(ctx),
		"load": loadErr, "get": getErr, "stats": statsErr,
	} {
		if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), `session "cart": `+call+": ") {
			t.Errorf("%s returned %v", call, err)
		}
	}
	has(t, s, `{"a":1}`)
}

func TestValuesAreKeptAsTheyAreEncoded(t *testing.T) {
	memory := session.NewMemory()
	s := open(t, memory)
	save(t, s, entries{"html": "<b>&</b>", "raw": json.RawMessage("[1,\n 2]")})
	got, err := s.Load(t.Context())
	if want := (map[string]json.RawMessage{"html": []byte(`"<b>&</b>"`), "raw": []byte(`[1,2]`)}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Load returned %s, %v, want %s", got, err, want)
	}
}

func TestSessionsOfOtherNamesAreOthers(t *testing.T) {
	memory := session.NewMemory()
	for _, name := range []string{"a", "ab", "\ufeffa", "a b", "ä", "\x00"} {
		s, err := session.Open(t.Context(), memory, name, session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.Name() != name {
			t.Errorf("Name returned %q, want %q", s.Name(), name)
		}
		has(t, s, `{}`)
		save(t, s, entries{"name": name})
	}
}

func TestMaxAge(t *testing.T) {
	memory := session.NewMemory()
	stamp := fmt.Sprintf("%013d-0000-3f9a2c7e1b40", time.Now().Add(-time.Hour).UnixMilli())
	if err := memory.SetItem("cart/"+stamp, `{"format":1,"batches":[{"stamp":"`+stamp+`","set":{"a":1}}]}`); err != nil {
		t.Fatal(err)
	}
	has(t, open(t, memory), `{"a":1}`)
	has(t, openWith(t, memory, session.Config{MaxAge: 2 * time.Hour}), `{"a":1}`)

	s := openWith(t, memory, session.Config{MaxAge: time.Minute})
	has(t, s, `{}`)
	if keys, err := memory.Keys(""); len(keys) > 0 || err != nil {
		t.Errorf("items %q are left, %v", keys, err)
	}
	save(t, s, entries{"b": 1})
	has(t, s, `{"b":1}`)
}

func TestClosedSessionIsNotWatched(t *testing.T) {
	s := open(t, session.NewMemory())
	if _, err := s.Subscribe(func(session.Change) { t.Error("told of a change") }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	save(t, s, entries{"a": 1})
	if _, err := s.Subscribe(func(session.Change) {}); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Watch returned %v", err)
	}
}

func TestWatchNeedsAStorageThatTells(t *testing.T) {
	s := open(t, struct{ session.Storage }{session.NewMemory()})
	if _, err := s.Subscribe(func(session.Change) {}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Watch returned %v", err)
	}
}

func TestSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := session.NewMemory()
		here, there := open(t, memory), open(t, memory)
		var told []string
		watch := func(name string) func() {
			stop, err := here.Subscribe(func(c session.Change) {
				set, _ := json.Marshal(c.Set)
				told = append(told, fmt.Sprintf("%s: set %s removed %v cleared %v remote %v", name, set, c.Removed, c.Cleared, c.Remote))
				// It may use the session, and so cause more changes.
				if name == "first" && c.Set["ping"] != nil {
					save(t, here, entries{"pong": 1})
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			return stop
		}
		tells := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if !reflect.DeepEqual(told, want) {
				t.Errorf("told\n%s, want\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
			}
			told = nil
		}
		save(t, there, entries{"old": 1})
		stopFirst := watch("first")
		tells()

		save(t, here, entries{"a": 1})
		tells(`first: set {"a":1} removed [] cleared false remote false`)

		save(t, there, entries{"b": 1})
		tells(`first: set {"b":1} removed [] cleared false remote true`)

		stopSecond := watch("second")
		save(t, there, entries{"ping": 1})
		tells(`first: set {"ping":1} removed [] cleared false remote true`,
			`second: set {"ping":1} removed [] cleared false remote true`,
			`first: set {"pong":1} removed [] cleared false remote false`,
			`second: set {"pong":1} removed [] cleared false remote false`)

		stopFirst()
		stopFirst()
		if err := there.Remove(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
		tells(`second: set {} removed [a b] cleared false remote true`)

		if err := there.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		tells(`second: set {} removed [old ping pong] cleared true remote true`)

		stopSecond()
		save(t, there, entries{"c": 1})
		save(t, here, entries{"d": 1})
		tells()

		watch("third")
		save(t, there, entries{"e": 1})
		tells(`third: set {"e":1} removed [] cleared false remote true`)
	})
}

// silent is a storage that tells its user nothing of what he does himself, as
// browsers do.
type silent struct{ session.Storage }

func (silent) Watch(func(key string)) (stop func(), err error) { return func() {}, nil }

func TestSubscribersAreToldThoughAnExchangeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, silent{session.NewMemory()})
		large := strings.Repeat("x", 200<<10)
		save(t, s, entries{"a": large})
		save(t, s, entries{"b": large}) // too much to be sent at once
		var told []session.Change
		stop, err := s.Subscribe(func(c session.Change) { told = append(told, c) })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		failure := errors.New("the network is gone")
		requests := 0
		err = s.Sync(t.Context(), func(ctx context.Context, sent session.Sent) (session.Received, error) {
			requests++
			got := session.Received{Owner: "000000000000ada0", Age: -1}
			if requests == 2 {
				got.Cursor = "1"
				got.Item = `{"format":1,"batches":[{"stamp":"0946684800000-0000-3f9a2c7e1b40","set":{"theirs":1}}]}`
			}
			if requests == 3 {
				return got, failure
			}
			return got, nil
		})
		if !errors.Is(err, failure) {
			t.Fatalf("Exchange: %v", err)
		}
		synctest.Wait()
		if len(told) != 1 || told[0].Set["theirs"] == nil {
			t.Errorf("told %v", told)
		}
	})
}

func TestSubscribersOfOneSessionUsedByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := session.NewMemory()
		here := open(t, memory)
		seen := map[string]string{}
		if _, err := here.Subscribe(func(c session.Change) {
			for key, value := range c.Set {
				seen[key] = string(value)
			}
		}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 4 {
			s := here
			if i%2 == 0 {
				s = open(t, memory)
			}
			wg.Go(func() {
				for n := range 50 {
					save(t, s, entries{fmt.Sprint(i, "/", n%5): n})
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		got, err := here.Load(t.Context())
		if err != nil || len(got) != 20 {
			t.Fatalf("Load returned %s, %v", got, err)
		}
		for key, value := range got {
			if seen[key] != string(value) {
				t.Errorf("%s: told %s, want %s", key, seen[key], value)
			}
		}
	})
}

// Those who subscribe when all others have stopped are told by another goroutine, while
// a call to one who has stopped may still go on.
func TestSubscribersAreCalledOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, session.NewMemory())
		calling, goOn := make(chan struct{}), make(chan struct{})
		stop, err := s.Subscribe(func(session.Change) {
			close(calling)
			<-goOn
		})
		if err != nil {
			t.Fatal(err)
		}
		save(t, s, entries{"a": 1})
		<-calling
		stop()
		called := false
		if _, err := s.Subscribe(func(session.Change) { called = true }); err != nil {
			t.Fatal(err)
		}
		save(t, s, entries{"a": 2})
		synctest.Wait()
		if called {
			t.Error("the second subscriber is called during the call of the first")
		}
		close(goOn)
		synctest.Wait()
		if !called {
			t.Error("the second subscriber is not called")
		}
	})
}
