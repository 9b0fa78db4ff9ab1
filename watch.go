package session

import (
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/session-interop/session-writer/wasm/engine"
)

// A Change is what happened to a session.
type Change struct {
	// Set holds the entries that are new or were saved again; and when Cleared,
	// every entry that is left.
	Set map[string]json.RawMessage
	// Removed holds the keys that are gone, however that came about.
	Removed []string
	// Cleared says that the session was emptied, before what is in Set.
	Cleared bool
	// Remote says that it was not done through this Session.
	Remote bool
}

type watcher struct {
	tell    func(Change)
	dropped atomic.Bool
}

// Watch calls fn with every change to the session from now on, also with those
// made through this Session. The calls come from a goroutine of their own, one
// at a time, so fn may use the session. Changes that others make in quick
// succession may come as one: what counts is the state that they lead to. A
// session that ends by its MaxAge is told as cleared with the next change.
//
// Watching goes on until stop or Close; a call under way may still finish
// then. The error wraps ErrClosed on a closed session, and
// errors.ErrUnsupported on a storage that is not a Watcher.
func (s *Session) Watch(fn func(Change)) (stop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.active:
		return nil, s.wrap("watch", ErrClosed)
	case s.unwatch == nil:
		return nil, s.wrap("watch", errors.ErrUnsupported)
	}
	if len(s.watchers) == 0 {
		if err := s.engine.Watch(now(), true); err != nil {
			return nil, s.wrap("watch", err)
		}
		s.ended = make(chan struct{})
		go s.tell(s.ended)
	}
	w := &watcher{tell: fn}
	s.watchers = append(s.watchers, w)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(w)
	}, nil
}

// drop ends watchers. With the last of them the goroutine that tells them
// ends.
func (s *Session) drop(gone ...*watcher) {
	had := len(s.watchers)
	for _, w := range gone {
		w.dropped.Store(true)
	}
	s.watchers = slices.DeleteFunc(slices.Clone(s.watchers), func(w *watcher) bool { return w.dropped.Load() })
	if had > 0 && len(s.watchers) == 0 {
		close(s.ended)
		s.pending = nil
		s.engine.Watch(now(), false)
	}
}

// changed is told by the storage of changes that others made, possibly from
// within a call of this Session, so it takes no lock.
func (s *Session) changed(key string) {
	if key == "" {
		s.unseen.Store(true)
	} else if !s.engine.See(key) {
		return
	}
	s.stale.Store(true)
	s.awake()
}

// awake has the watchers told.
func (s *Session) awake() {
	select {
	case s.wake <- struct{}{}:
	default: // they are about to be
	}
}

// tell tells the watchers of changes until ended is closed.
func (s *Session) tell(ended <-chan struct{}) {
	for {
		select {
		case <-s.wake:
		case <-ended:
			return
		}
		changes, watchers := s.untold()
		for _, change := range changes {
			for _, w := range watchers {
				if !w.dropped.Load() {
					w.tell(change)
				}
			}
		}
	}
}

// untold returns the changes that the watchers have not been told yet.
func (s *Session) untold() ([]Change, []*watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := s.pending
	s.pending = nil
	if len(s.watchers) > 0 && s.stale.Swap(false) {
		change, err := s.engine.Refresh(now())
		if err != nil {
			s.stale.Store(true) // for the next time
		} else if !change.Empty() {
			changes = append(changes, changeOf(change, true))
		}
	}
	return changes, s.watchers
}

func changeOf(c engine.Change, remote bool) Change {
	return Change{Set: jsonMap(c.Set), Removed: c.Removed, Cleared: c.Cleared, Remote: remote}
}
