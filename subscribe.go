package session

import (
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/session-interop/session-writer/internal/engine"
)

// A Change is what happened to a session.
type Change struct {
	// Set holds the entries that are new or have another value than before. When Cleared
	// is true, it holds every entry that is left.
	Set map[string]json.RawMessage
	// Removed holds the keys that are gone, for whatever reason.
	Removed []string
	// Cleared says that the session was emptied before Set was saved.
	Cleared bool
	// Remote says that the change was not made through this Session.
	Remote bool
}

type subscription struct {
	tell    func(Change)
	dropped atomic.Bool
}

// Subscribe calls fn with every change to the session from now on, also with those
// that are made through this Session. A save of values that are there already is no
// change. The calls come from a goroutine of their own, one at a time, so fn may use
// the session. Changes that others make in quick succession may come as one, which
// leads to the same state. When a session has ended by its MaxAge, the next change
// tells it as cleared.
//
// The calls go on until stop or Close. A call that is under way then may still
// finish. The error wraps ErrClosed on a closed session, and errors.ErrUnsupported on
// a storage that is not a Watcher.
func (s *Session) Subscribe(fn func(Change)) (stop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.active:
		return nil, s.wrap("subscribe", ErrClosed)
	case s.unwatch == nil:
		return nil, s.wrap("subscribe", errors.ErrUnsupported)
	}
	if len(s.subscriptions) == 0 {
		if _, err := s.engine.Watch(now(), true); err != nil {
			return nil, s.wrap("subscribe", err)
		}
		s.ended = make(chan struct{})
		go s.tell(s.ended)
	}
	sub := &subscription{tell: fn}
	s.subscriptions = append(s.subscriptions, sub)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(sub)
	}, nil
}

// drop ends subscriptions. With the last of them the goroutine that tells them
// ends.
func (s *Session) drop(gone ...*subscription) {
	had := len(s.subscriptions)
	for _, w := range gone {
		w.dropped.Store(true)
	}
	s.subscriptions = slices.DeleteFunc(slices.Clone(s.subscriptions), func(w *subscription) bool { return w.dropped.Load() })
	if had > 0 && len(s.subscriptions) == 0 {
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

// awake has the subscriptions told.
func (s *Session) awake() {
	select {
	case s.wake <- struct{}{}:
	default: // they are about to be
	}
}

// tell tells the subscriptions of changes until ended is closed.
func (s *Session) tell(ended <-chan struct{}) {
	for {
		select {
		case <-s.wake:
		case <-ended:
			return
		}
		s.tellAll(ended)
	}
}

// tellAll tells the subscriptions what they do not know yet. Those who subscribed after
// all others had stopped have another goroutine, which waits for the one before.
func (s *Session) tellAll(ended <-chan struct{}) {
	s.telling <- struct{}{}
	defer func() { <-s.telling }()
	select {
	case <-ended:
		s.awake() // the next, which this was perhaps for
		return
	default:
	}
	changes, subscriptions := s.untold()
	for _, change := range changes {
		for _, w := range subscriptions {
			if !w.dropped.Load() {
				w.tell(change)
			}
		}
	}
}

// untold returns the changes that the subscriptions have not been told yet.
func (s *Session) untold() ([]Change, []*subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := s.pending
	s.pending = nil
	if len(s.subscriptions) > 0 && s.stale.Swap(false) {
		change, err := s.engine.Refresh(now())
		if err != nil {
			s.stale.Store(true) // for the next time
		} else if !change.Empty() {
			changes = append(changes, changeOf(change, true))
		}
	}
	return changes, s.subscriptions
}

func changeOf(c engine.Change, remote bool) Change {
	return Change{Set: jsonMap(c.Set), Removed: c.Removed, Cleared: c.Cleared, Remote: remote}
}

// jsonMap returns entries as a map; never nil.
func jsonMap(entries []engine.Entry) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage, len(entries))
	for _, e := range entries {
		m[e.Key] = json.RawMessage(e.Value)
	}
	return m
}
