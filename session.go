// Package session saves sessions, small maps from string keys to JSON values,
// so that nothing is lost: a batch of entries is saved whole or not at all,
// writers in other tabs or processes never lose each other's entries, and a
// save costs one storage write however many keys it has.
//
// Open a session on a storage, then save and load:
//
//	s, err := session.Open(ctx, storage, "cart")
//	...
//	err = s.Save(ctx, maps.All(map[string]any{"user": "ada", "items": 3}))
//
// The storage is the browser's in programs compiled for GOOS=js (package
// wasm/localstorage), or one in memory (NewMemory), or any Storage.
//
// Programs that only save should ask for a Writer, the contract that *Session
// keeps. Package writertest has that contract as a test suite.
package session

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"weak"

	"github.com/session-interop/session-writer/wasm/engine"
)

// A place is where a session is stored.
type place struct {
	storage Storage
	name    string
}

// clocks are shared by all Sessions of a place, so that of two saves within a
// millisecond the later wins. What one session has seen stays out of another's
// stamps: it may be from a clock that was wrong.
var clocks sync.Map // of weak.Pointer[engine.Clock] by place

// clockOf returns the clock of a place, which is there as long as it is in use.
func clockOf(storage Storage, name string) *engine.Clock {
	clock := new(engine.Clock)
	if !reflect.ValueOf(storage).Comparable() {
		return clock
	}
	at, mine := place{storage, name}, weak.Make(clock)
	for {
		had, loaded := clocks.LoadOrStore(at, mine)
		if !loaded {
			runtime.AddCleanup(clock, func(at place) { clocks.CompareAndDelete(at, mine) }, at)
			return clock
		}
		if shared := had.(weak.Pointer[engine.Clock]).Value(); shared != nil {
			return shared
		}
		clocks.CompareAndDelete(at, had)
	}
}

// A Session is one writer's and reader's access to a session. It is safe for
// concurrent use.
//
// What a Save survives is up to the storage. A Session on one that is not a
// Watcher reads the list of its items before each save.
type Session struct {
	name    string
	unwatch func()        // ends the watching of the storage, if it can be watched
	unseen  atomic.Bool   // whether any item may be there that the engine has not seen
	stale   atomic.Bool   // whether there may be changes that watchers do not know
	wake    chan struct{} // has the watchers told

	mu       sync.Mutex
	engine   *engine.Session
	active   bool
	watchers []*watcher
	pending  []Change      // this Session's own that watchers do not know
	ended    chan struct{} // closed when there are no more watchers
}

var _ Writer = (*Session)(nil)

// An Option changes how Open opens a session.
type Option func(*config) error

type config struct{ maxAge time.Duration }

// MaxAge makes a session end when nothing was saved in it, or removed from it,
// for so long: Load then finds nothing and, if there is no server, removes what is
// stored, and the next Save begins a new session. It counts in milliseconds and
// must be at least one.
//
// In a session that is exchanged with a server it counts from the last save of
// any device, as far as the server has told. What is over is then not shown, and
// stays until the server has it: somebody may have saved meanwhile. All devices
// should have the same MaxAge.
func MaxAge(d time.Duration) Option {
	return func(c *config) error {
		if d < time.Millisecond {
			return fmt.Errorf("%w: MaxAge is %v, must be at least 1ms", ErrConfig, d)
		}
		c.maxAge = d
		return nil
	}
}

// Open opens the session of that name in the storage, which need not have it
// yet. The name is not empty, is valid UTF-8 and has no slash. The session is
// active, so it should be closed when it is no longer needed.
//
// The error wraps ErrConfig for a name or option that is not acceptable, and
// is otherwise the storage's, such as ErrDisabled.
func Open(ctx context.Context, storage Storage, name string, options ...Option) (*Session, error) {
	fail := func(err error) (*Session, error) { return nil, fmt.Errorf("session %q: open: %w", name, err) }
	switch {
	case storage == nil:
		return fail(fmt.Errorf("%w: the storage is nil", ErrConfig))
	case name == "":
		return fail(fmt.Errorf("%w: the name is empty", ErrConfig))
	case !utf8.ValidString(name):
		return fail(fmt.Errorf("%w: the name is not valid UTF-8", ErrConfig))
	case strings.Contains(name, "/"):
		return fail(fmt.Errorf("%w: the name must not contain a slash", ErrConfig))
	}
	var c config
	for _, option := range options {
		if err := option(&c); err != nil {
			return fail(err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	e := engine.New(storage, name, clockOf(storage, name), c.maxAge.Milliseconds())
	s := &Session{name: name, engine: e, active: true, wake: make(chan struct{}, 1)}
	w, ok := storage.(Watcher)
	if !ok {
		if err := e.Look(); err != nil {
			return fail(err)
		}
		return s, nil
	}
	var err error
	if s.unwatch, err = w.Watch(s.changed); err != nil {
		return fail(err)
	}
	if err := e.Told(true); err != nil {
		s.unwatch()
		return fail(err)
	}
	return s, nil
}

// Name returns the name of the session.
func (s *Session) Name() string { return s.name }

// Active reports whether the session is open: it follows what others save. A
// closed session still saves and loads.
func (s *Session) Active() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

// Close ends the following of what others save, and every Watch. It is no
// error to close a closed session; Save and Load go on to work.
func (s *Session) Close() error {
	s.mu.Lock()
	wasActive := s.active
	s.active = false
	s.drop(s.watchers...)
	err := s.engine.Told(false)
	s.mu.Unlock()
	if wasActive && s.unwatch != nil {
		s.unwatch()
	}
	return s.wrap("close", err)
}

// Save implements Writer. Values are encoded as encoding/json does it, whose
// rules hold inside them; a string that is itself the value must be valid
// UTF-8. Panics of a value's MarshalJSON, and of entries, become errors.
func (s *Session) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	set, err := EncodeEntries(entries)
	if err == nil {
		err = s.write(ctx, engine.Batch{Set: set})
	}
	return s.wrap("save", err)
}

// Load returns all entries, their values as JSON texts. It is never nil.
func (s *Session) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, s.wrap("load", err)
	}
	entries, err := s.engine.Load(now())
	if err != nil {
		return nil, s.wrap("load", err)
	}
	return jsonMap(entries), nil
}

// Get decodes the value of a key into what into points to, as json.Unmarshal
// does, and reports whether the key is there. With nil it only reports that.
func (s *Session) Get(ctx context.Context, key string, into any) (found bool, err error) {
	s.mu.Lock()
	var value string
	if err = ctx.Err(); err == nil {
		value, found, err = s.engine.Get(now(), key)
	}
	s.mu.Unlock()
	if err == nil && found && into != nil {
		if err = json.Unmarshal([]byte(value), into); err != nil {
			err = &EntryError{key, err}
		}
	}
	return found, s.wrap("get", err)
}

// Remove removes entries, all of them or none, as one batch. To remove what is
// not there is no error.
func (s *Session) Remove(ctx context.Context, keys ...string) error {
	remove, err := EncodeKeys(keys)
	if err == nil {
		err = s.write(ctx, engine.Batch{Remove: remove})
	}
	return s.wrap("remove", err)
}

// Clear removes all entries that were saved before: also those that another
// device saved, and of which this one has not heard yet. What others save at the
// same moment, or later, stays.
func (s *Session) Clear(ctx context.Context) error {
	return s.wrap("clear", s.write(ctx, engine.Batch{Clear: true}))
}

// Stats describe what a session takes in its storage.
type Stats = engine.Stats

// Stats returns what the session takes in its storage.
func (s *Session) Stats(ctx context.Context) (Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Stats{}, s.wrap("stats", err)
	}
	stats, err := s.engine.Stats(now())
	return stats, s.wrap("stats", err)
}

// write commits a batch, or nothing when the context is done.
func (s *Session) write(ctx context.Context, b engine.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.active && s.unseen.Swap(false) {
		if err := s.engine.Told(true); err != nil {
			s.unseen.Store(true)
			return err
		}
	}
	change, err := s.engine.Save(now(), b)
	if !change.Empty() {
		s.pending = append(s.pending, changeOf(change, false))
		s.awake()
	}
	if err == nil {
		s.engine.Tidy(now())
	}
	return err
}

// wrap says which session and call an error comes from.
func (s *Session) wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("session %q: %s: %w", s.name, call, err)
}

func now() int64 { return time.Now().UnixMilli() }
