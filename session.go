// Package session saves sessions. A session is a small map from string keys to
// JSON values. A batch of entries is saved whole or not at all, writers in other
// tabs or processes never lose each other's entries, and a save costs one storage
// write however many keys it has.
//
// Open a session on a storage, then save and load:
//
//	s, err := session.Open(ctx, storage, "cart", session.Config{})
//	...
//	err = s.Save(ctx, maps.All(map[string]any{"user": "ada", "items": 3}))
//
// Programs compiled for GOOS=js find the browser's storage in package
// wasm/localstorage. NewMemory makes one in memory. Any other Storage will do. OpenURL
// opens the session that a URL in a program's configuration names.
//
// Code that only saves should ask for a Writer, the interface that states the
// contract. Code that only reads should ask for a Reader. A *Session is both.
// Package writertest has the contract as a test suite.
//
// A session can have a copy on a server, which other devices and the server's own
// code share: see Session.Sync, and the packages web/client, web/server and
// web/sqlstore.
package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/session-interop/session-writer/internal/encode"
	"github.com/session-interop/session-writer/internal/engine"
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

// A Session is an open session, to be saved into and read. It is safe for
// concurrent use. What a Save survives is up to the storage.
//
// A Save costs one SetItem. Every sixteenth also compacts the session, which merges
// the items that have piled up. If the storage is not a Watcher, each Save lists the
// items first.
type Session struct {
	name    string
	unwatch func()        // ends the watching of the storage, if it can be watched
	unseen  atomic.Bool   // whether any item may be there that the engine has not seen
	stale   atomic.Bool   // whether there may be changes that subscribers do not know
	wake    chan struct{} // has the subscribers told
	telling chan struct{} // has room for who tells the subscribers

	mu            sync.Mutex
	engine        *engine.Session
	active        bool
	subscriptions []*subscription
	pending       []Change      // this Session's own that subscribers do not know
	ended         chan struct{} // closed when there are no more subscriptions
}

var (
	_ Writer = (*Session)(nil)
	_ Reader = (*Session)(nil)
)

// A Config says how Open opens a session. The zero Config is the default.
type Config struct {
	// MaxAge ends a session in which nothing was saved or removed for so long. Load
	// then finds nothing, and removes what is stored if there is no replica. The
	// next Save begins a new session. MaxAge is 0 for a session that never ends, or
	// at least a millisecond. Fractions of a millisecond don't count.
	//
	// In a session that is synced, MaxAge counts from the last save of any device, as
	// far as the replica has told. A session that is over is not shown, but stored
	// until the replica has it: another device may have saved meanwhile. All devices
	// should have the same MaxAge.
	MaxAge time.Duration
}

// Open opens the session of that name in the storage, which need not have it
// yet. A name is not empty, is valid UTF-8 and has no slash; a server takes none of
// more than 1,024 bytes. Close the Session when it is no longer needed: until then it
// keeps the storage in memory.
//
// The error wraps ErrConfig if the name or the Config is not acceptable. Otherwise
// it is the storage's, such as ErrDisabled.
func Open(ctx context.Context, storage Storage, name string, config Config) (*Session, error) {
	fail := func(err error) (*Session, error) { return nil, fmt.Errorf("session %q: open: %w", name, err) }
	switch {
	case storage == nil:
		return fail(fmt.Errorf("%w: the storage is nil", ErrConfig))
	case config.MaxAge != 0 && config.MaxAge < time.Millisecond:
		return fail(fmt.Errorf("%w: MaxAge is %v, must be at least 1ms, or 0", ErrConfig, config.MaxAge))
	}
	if err := encode.CheckName(name); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrConfig, err))
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	e := engine.New(storage, name, clockOf(storage, name), config.MaxAge.Milliseconds())
	s := &Session{name: name, engine: e, active: true, wake: make(chan struct{}, 1), telling: make(chan struct{}, 1)}
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
	if err := e.Listen(true); err != nil {
		s.unwatch()
		return fail(err)
	}
	return s, nil
}

// Name returns the name of the session.
func (s *Session) Name() string { return s.name }

// Active reports whether the session is open. An open session follows what others
// save. A closed one still saves and loads.
func (s *Session) Active() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

// Close ends every subscription, and the session no longer follows what others
// save. Save and Load still work. Closing a closed session is no error.
func (s *Session) Close() error {
	s.mu.Lock()
	wasActive := s.active
	s.active = false
	s.drop(s.subscriptions...)
	err := s.engine.Listen(false)
	s.mu.Unlock()
	if wasActive && s.unwatch != nil {
		s.unwatch()
	}
	return s.wrap("close", err)
}

// Save implements Writer. It encodes values as encoding/json does, except that a
// string that is itself a value must be valid UTF-8. A panic of a value's
// MarshalJSON, or of entries, becomes an error.
func (s *Session) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	list, err := encode.Entries(entries)
	if err == nil {
		err = s.write(ctx, engine.Batch{Set: string(engine.AppendEntries(nil, list))})
	}
	return s.wrap("save", err)
}

// Load returns all entries, their values as JSON texts. The map is never nil.
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
// does, and reports whether the key is there. If into is nil, that is all it does.
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

// Remove removes entries, all of them or none, as one batch. Removing a key that is
// not there is no error.
func (s *Session) Remove(ctx context.Context, keys ...string) error {
	remove, err := encode.Keys(keys)
	if err == nil {
		err = s.write(ctx, engine.Batch{Remove: remove})
	}
	return s.wrap("remove", err)
}

// Clear removes all entries that were saved before, also those of other devices
// that this one has not heard of. What others save at the same moment, or later,
// stays.
func (s *Session) Clear(ctx context.Context) error {
	return s.wrap("clear", s.write(ctx, engine.Batch{Clear: true}))
}

// Stats counts what the session has in its storage.
func (s *Session) Stats(ctx context.Context) (Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Stats{}, s.wrap("stats", err)
	}
	stats, err := s.engine.Stats(now())
	return Stats(stats), s.wrap("stats", err)
}

// write commits a batch, or nothing when the context is done.
func (s *Session) write(ctx context.Context, b engine.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.active && s.unseen.Swap(false) {
		if err := s.engine.Listen(true); err != nil {
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
	var refused *encode.EntryError
	if errors.As(err, &refused) {
		err = &EntryError{refused.Key, refused.Err}
	}
	return fmt.Errorf("session %q: %s: %w", s.name, call, err)
}

func now() int64 { return time.Now().UnixMilli() }
