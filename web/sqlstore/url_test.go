//go:build !js

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/session-interop/session-writer"
)

// A watched source counts its databases.
type watched struct {
	path   string
	opened []*sql.DB
	fails  error
}

func (w *watched) opener(t *testing.T) session.Opener {
	return Opener(func(*session.URL) Source {
		return Source{Name: w.path, Open: func() (*DB, error) {
			if w.fails != nil {
				return nil, w.fails
			}
			db := open(t, w.path)
			w.opened = append(w.opened, db)
			return connect(db, Limits{}), nil
		}}
	})
}

// isOpen reports whether the database that was opened last is open.
func (w *watched) isOpen() bool { return w.opened[len(w.opened)-1].Ping() == nil }

func TestSessionsOfOneDatabaseShareIt(t *testing.T) {
	ctx := t.Context()
	from := &watched{path: file(t)}
	scheme := "shared" + newEpoch() // another one each time that the test runs
	session.RegisterOpener(scheme, from.opener(t))
	var sessions []session.Opened
	for i := range 3 {
		s, err := session.OpenURL(ctx, fmt.Sprintf("%s:?owner=ada&session=%d", scheme, i))
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	for i, s := range sessions {
		if len(from.opened) != 1 || !from.isOpen() {
			t.Fatalf("with %d sessions open: %d databases", 3-i, len(from.opened))
		}
		for range 2 { // the second time is no error, and closes nobody else's
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if from.isOpen() {
		t.Error("it is open without a session")
	}

	// Rule 4: a closed session saves, and is closed.
	s := sessions[0]
	if err := s.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Get(ctx, "a", nil); !found || err != nil {
		t.Errorf("what a closed session has saved: found %v, %v", found, err)
	}
	if len(from.opened) != 3 || from.isOpen() {
		t.Errorf("%d databases were opened, the last is open: %v", len(from.opened), from.isOpen())
	}
	from.fails = errors.New("gone")
	if err := s.Clear(ctx); !errors.Is(err, from.fails) {
		t.Errorf("got %v, want that it is gone", err)
	}
}

func TestSessionsAreOpenedAndClosedAtOnce(t *testing.T) {
	from := &watched{path: file(t)}
	var mu sync.Mutex
	scheme := "at-once" + newEpoch()
	session.RegisterOpener(scheme, Opener(func(*session.URL) Source {
		return Source{Name: from.path, Open: func() (*DB, error) {
			db := open(t, from.path)
			mu.Lock()
			defer mu.Unlock()
			from.opened = append(from.opened, db)
			return connect(db, Limits{}), nil
		}}
	}))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 5 {
				if err := saveAndClose(t.Context(), scheme+":?session=cart&owner=ada", fmt.Sprint(i, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, db := range from.opened {
		if db.Ping() == nil {
			t.Error("a database is still open")
		}
	}
}

// saveAndClose closes the session while it saves.
func saveAndClose(ctx context.Context, url, key string) error {
	s, err := session.OpenURL(ctx, url)
	if err != nil {
		return err
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	return errors.Join(s.Save(ctx, maps.All(map[string]any{key: 1})), <-closed)
}

func TestOpeningHasTheTimeOfItsContext(t *testing.T) {
	held := &database{opening: make(chan struct{}, 1)}
	held.opening <- struct{}{} // somebody opens it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := held.open(ctx, Source{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context is done", err)
	}
}
