package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	session "github.com/session-interop/session-writer"
)

// A remote is a server that answers as it is told.
type remote struct {
	answers []func(session.Sent) (session.Received, error)
	sent    []session.Sent
}

func (r *remote) serve(_ context.Context, sent session.Sent) (session.Received, error) {
	r.sent = append(r.sent, sent)
	if len(r.answers) == 0 {
		return session.Received{Owner: sent.Owner, Cursor: "1", Age: 0}, nil
	}
	answer := r.answers[0]
	r.answers = r.answers[1:]
	return answer(sent)
}

const (
	ada = "000000000000ada0"
	ben = "000000000000be00"
)

func answer(got session.Received) func(session.Sent) (session.Received, error) {
	return func(session.Sent) (session.Received, error) { return got, nil }
}

func refuse(err error) func(session.Sent) (session.Received, error) {
	return func(session.Sent) (session.Received, error) { return session.Received{}, err }
}

// item returns an item that another device could have made an hour ago.
func item(key, value string) string {
	return fmt.Sprintf(`{"format":1,"batches":[{"stamp":"%013d-0000-3f9a2c7e1b40","set":{%q:%s}}]}`, time.Now().Add(-time.Hour).UnixMilli(), key, value)
}

func TestSyncAsksWhoseTheSessionIsBeforeItSendsAnything(t *testing.T) {
	ctx := t.Context()
	s := open(t, session.NewMemory())
	save(t, s, entries{"a": 1})
	server := remote{answers: []func(session.Sent) (session.Received, error){answer(session.Received{Owner: ada, Age: -1})}}
	if err := s.Sync(ctx, server.serve); err != nil {
		t.Fatal(err)
	}
	if len(server.sent) != 2 || server.sent[0].Owner != "" || server.sent[0].Items != "[]" ||
		server.sent[1].Owner != ada || !strings.Contains(server.sent[1].Items, `"a":1`) {
		t.Errorf("sent %+v, want a question and then the entry", server.sent)
	}
	now := time.Now().UnixMilli()
	if at := server.sent[1].Now; at < now-60_000 || at > now {
		t.Errorf("the time sent is %d, want about %d", at, now)
	}
}

func TestSyncErrors(t *testing.T) {
	lost := errors.New("the line is dead")
	for _, test := range []struct {
		name  string
		err   error
		check func(error) bool
	}{
		{"the server's own", lost, func(err error) bool { return errors.Is(err, lost) }},
		{"an unknown cursor, again and again", session.ErrCursor, func(err error) bool { return errors.Is(err, session.ErrCursor) }},
		{"an owner that is none", &session.OwnerError{Owner: "x"}, func(err error) bool { var o *session.OwnerError; return errors.As(err, &o) }},
		{"an heir beside nobody", &session.OwnerError{Heir: ben}, func(err error) bool {
			var o *session.OwnerError
			return errors.As(err, &o) && strings.Contains(err.Error(), "no server")
		}},
		{"an heir of himself", &session.OwnerError{Owner: ben, Heir: ada}, func(err error) bool {
			var o *session.OwnerError
			return errors.As(err, &o) && strings.Contains(err.Error(), "no server")
		}},
		{"stamps too late, again and again", &session.StampError{Latest: time.Now().Add(time.Hour)}, func(err error) bool { var s *session.StampError; return errors.As(err, &s) }},
		{"no room", session.ErrQuota, func(err error) bool {
			var entry *session.EntryError
			return errors.Is(err, session.ErrQuota) && errors.As(err, &entry) && entry.Key == "big"
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, session.NewMemory())
			save(t, s, entries{"a": 1, "big": strings.Repeat("x", 100)})
			server := remote{answers: []func(session.Sent) (session.Received, error){answer(session.Received{Owner: ada, Age: -1})}}
			for range 20 {
				server.answers = append(server.answers, func(sent session.Sent) (session.Received, error) {
					if test.err == session.ErrQuota && sent.Items == "" {
						return session.Received{Owner: ada, Cursor: "1"}, nil
					}
					return session.Received{}, test.err
				})
			}
			err := s.Sync(t.Context(), server.serve)
			if err == nil || !test.check(err) || !strings.HasPrefix(err.Error(), `session "cart": sync: `) {
				t.Errorf("Sync returned %v", err)
			}
			if got, err := s.Load(t.Context()); err != nil || len(got) != 2 {
				t.Errorf("afterwards it has %s, %v", got, err)
			}
		})
	}
}

// With a maximum age, what was refused is told of in another item, which may be
// refused as well.
func TestSyncWithAServerWithoutAnyRoom(t *testing.T) {
	s := openWith(t, session.NewMemory(), session.Config{MaxAge: time.Hour})
	save(t, s, entries{"a": 1, "big": strings.Repeat("x", 100)})
	asked := 0
	err := s.Sync(t.Context(), func(_ context.Context, sent session.Sent) (session.Received, error) {
		if asked++; asked > 100 {
			t.Fatal("it asks without end")
		}
		if sent.Owner == "" {
			return session.Received{Owner: ada, Age: -1}, nil
		}
		if sent.Items != "" && !json.Valid([]byte(sent.Items)) {
			t.Errorf("sent %s", sent.Items)
		}
		if sent.Items == "" {
			return session.Received{Owner: ada, Cursor: "1", Age: -1}, nil
		}
		return session.Received{}, session.ErrQuota
	})
	var entry *session.EntryError
	if !errors.Is(err, session.ErrQuota) || !errors.As(err, &entry) || entry.Key != "big" {
		t.Errorf("Sync returned %v, want an EntryError of the largest key", err)
	}
}

// A server's fault leaves the session as usable as it was.
func TestSyncWithAServerThatPanics(t *testing.T) {
	s := open(t, session.NewMemory())
	func() {
		defer func() { recover() }()
		_ = s.Sync(t.Context(), func(context.Context, session.Sent) (session.Received, error) { panic("a fault") })
	}()
	save(t, s, entries{"a": 1})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestASubscriberIsToldOfWhatAnExchangeBrought(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, session.NewMemory())
		save(t, s, entries{"a": 1})
		var told []session.Change
		stop, err := s.Subscribe(func(c session.Change) { told = append(told, c) })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		lost := errors.New("the line is dead")
		server := remote{answers: []func(session.Sent) (session.Received, error){
			answer(session.Received{Owner: ada, Age: -1}),
			answer(session.Received{Owner: ada, Cursor: "1", Item: item("b", "2")}),
			// Another owner, and then nothing more.
			refuse(&session.OwnerError{Owner: ben}),
			refuse(lost),
		}}
		if err := s.Sync(t.Context(), server.serve); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(told) != 1 || string(told[0].Set["b"]) != "2" || !told[0].Remote {
			t.Errorf("told %+v, want b", told)
		}
		if err := s.Sync(t.Context(), server.serve); !errors.Is(err, lost) {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(told) != 2 || len(told[1].Removed) != 2 || !told[1].Cleared {
			t.Errorf("told %+v, want that all is gone", told)
		}
		if got, err := s.Load(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("another owner has %s, %v", got, err)
		}
	})
}

func TestAnHeirGetsWhatWasNotSent(t *testing.T) {
	s := open(t, session.NewMemory())
	save(t, s, entries{"a": 1})
	server := remote{answers: []func(session.Sent) (session.Received, error){
		answer(session.Received{Owner: ada, Age: -1}),
		refuse(&session.OwnerError{Owner: ben, Heir: ben}),
		answer(session.Received{Owner: ben, Cursor: "1"}),
	}}
	if err := s.Sync(t.Context(), server.serve); err != nil {
		t.Fatal(err)
	}
	if last := server.sent[len(server.sent)-1]; last.Owner != ben || !strings.Contains(last.Items, `"a":1`) {
		t.Errorf("sent %+v, want the entry for the heir", last)
	}
	if got, err := s.Load(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("the heir has %s, %v", got, err)
	}
}

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := session.NewMemory()
		s, other := open(t, storage), open(t, storage)
		save(t, s, entries{"a": 1})
		server := remote{answers: []func(session.Sent) (session.Received, error){answer(session.Received{Owner: ada, Age: -1})}}
		if err := s.Sync(t.Context(), server.serve); err != nil {
			t.Fatal(err)
		}
		var told []session.Change
		stop, err := other.Subscribe(func(c session.Change) { told = append(told, c) })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Forget(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a Forget that is cancelled returned %v", err)
		}
		if err := s.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(told) != 1 || !told[0].Cleared {
			t.Errorf("told %+v, want that all is gone", told)
		}
		for _, s := range []*session.Session{s, other} {
			if got, err := s.Load(t.Context()); err != nil || len(got) != 0 {
				t.Errorf("it has %s, %v, want nothing", got, err)
			}
		}
		if keys, err := storage.Keys(""); err != nil || len(keys) != 0 {
			t.Errorf("%q are left, %v", keys, err)
		}
	})
}

// What one session has seen stays out of another's stamps.
func TestAClockThatWasAheadForOneSession(t *testing.T) {
	storage := session.NewMemory()
	ahead := fmt.Sprintf("%013d-0000-3f9a2c7e1b40", time.Now().Add(365*24*time.Hour).UnixMilli())
	if err := storage.SetItem("demo/"+ahead, `{"format":1,"batches":[{"stamp":"`+ahead+`","set":{"a":1}}]}`); err != nil {
		t.Fatal(err)
	}
	demo, err := session.Open(t.Context(), storage, "demo", session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	save(t, demo, entries{"a": 2})
	var a int
	if found, err := demo.Get(t.Context(), "a", &a); !found || err != nil || a != 2 {
		t.Errorf("a is %d, %t, %v, want 2", a, found, err)
	}
	s := open(t, storage)
	save(t, s, entries{"b": 1})
	keys, err := storage.Keys("cart/")
	if err != nil || len(keys) != 1 || keys[0] > fmt.Sprintf("cart/%013d", time.Now().Add(time.Hour).UnixMilli()) {
		t.Errorf("the other session's items are %q, %v", keys, err)
	}
}

// Of two saves within a millisecond, the later wins, whoever of the process
// made it, and though the other is not watched.
func TestSessionsOfOnePlaceShareAClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, storage := range []session.Storage{session.NewMemory(), struct{ session.Storage }{session.NewMemory()}} {
			one, two := open(t, storage), open(t, storage)
			for i := range 100 {
				save(t, []*session.Session{one, two}[i%2], entries{"a": i})
			}
			var a int
			if _, err := one.Get(t.Context(), "a", &a); err != nil || a != 99 {
				t.Errorf("a is %d, %v, want 99", a, err)
			}
		}
	})
}

// A storage need not be comparable.
func TestAStorageOfAnyType(t *testing.T) {
	s := open(t, listed{session.NewMemory()})
	save(t, s, entries{"a": 1})
	if got, err := s.Load(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("it has %s, %v", got, err)
	}
}

// listed is of a type whose values cannot be compared.
type listed []session.Storage

func (l listed) GetItem(key string) (string, bool, error)    { return l[0].GetItem(key) }
func (l listed) SetItem(key, text string) error              { return l[0].SetItem(key, text) }
func (l listed) RemoveItem(key string) error                 { return l[0].RemoveItem(key) }
func (l listed) Keys(prefix string) (keys []string, e error) { return l[0].Keys(prefix) }
