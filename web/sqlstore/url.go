package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/session-interop/session-writer"
)

// A Source is the database that a URL names.
type Source struct {
	// Name is another one for each database of a scheme. It appears nowhere, so it may
	// have a password.
	Name string
	// Open opens the database, which is closed when no session is open.
	Open func() (*DB, error)
}

// Opener returns the session.Opener of a scheme whose URLs name a database. The parameters
// session and owner, which are required, say which of its sessions is meant. source reads
// the rest of the URL, and refuses what is wrong with it.
//
// Sessions of one database share a *DB. It is opened with the first of them, which
// also makes the tables, and its *sql.DB is closed with the last. A session that was closed
// opens it for each call.
func Opener(source func(*session.URL) Source) session.Opener {
	databases := databases{of: make(map[string]*database)}
	return func(u *session.URL) func(context.Context) (session.Opened, error) {
		name := u.NameInQuery()
		if len(name) > maxName {
			u.Refuse(fmt.Sprintf(`parameter "session": the name has %d bytes, and may have %d`, len(name), maxName))
		}
		owner, _ := u.Parameter("owner")
		if owner == "" {
			u.Refuse(`parameter "owner": it must be there, and say whose session it is, like owner=ada`)
		}
		from := source(u)
		return func(ctx context.Context) (session.Opened, error) {
			db, release, err := databases.hold(ctx, from)
			if err != nil {
				return nil, err
			}
			if _, err := db.Open(ctx, owner, name); err != nil {
				return nil, errors.Join(err, release())
			}
			return &opened{databases: &databases, source: from, owner: owner, name: name, release: sync.OnceValue(release)}, nil
		}
	}
}

// An opened session holds its database, until it is closed.
type opened struct {
	databases   *databases
	source      Source
	owner, name string
	release     func() error
}

// do calls f with the session. While that runs, the database stays open, whoever closes
// the session meanwhile.
func (o *opened) do(ctx context.Context, f func(*Session) error) error {
	db, release, err := o.databases.hold(ctx, o.source)
	if err != nil {
		return fmt.Errorf("session %q: %w", o.name, err)
	}
	// Whatever comes of that, what f has saved is saved.
	defer func() { _ = release() }()
	s, err := db.Open(ctx, o.owner, o.name)
	if err != nil {
		return err
	}
	return f(s)
}

func (o *opened) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	return o.do(ctx, func(s *Session) error { return s.Save(ctx, entries) })
}

func (o *opened) Get(ctx context.Context, key string, into any) (found bool, err error) {
	err = o.do(ctx, func(s *Session) error {
		found, err = s.Get(ctx, key, into)
		return err
	})
	return found, err
}

func (o *opened) Load(ctx context.Context) (entries map[string]json.RawMessage, err error) {
	err = o.do(ctx, func(s *Session) error {
		entries, err = s.Load(ctx)
		return err
	})
	return entries, err
}

func (o *opened) Remove(ctx context.Context, keys ...string) error {
	return o.do(ctx, func(s *Session) error { return s.Remove(ctx, keys...) })
}

func (o *opened) Clear(ctx context.Context) error {
	return o.do(ctx, func(s *Session) error { return s.Clear(ctx) })
}

func (o *opened) Close() error {
	if err := o.release(); err != nil {
		return fmt.Errorf("session %q: close: %w", o.name, err)
	}
	return nil
}

// A databases has the databases of a scheme that are open.
type databases struct {
	mu sync.Mutex
	of map[string]*database
}

// A database is open from the first to the last who holds it.
type database struct {
	holders int
	// opening is held by whoever opens it.
	opening chan struct{}
	store   *DB
}

// hold opens a database, or finds it open. It stays open until release.
func (d *databases) hold(ctx context.Context, source Source) (store *DB, release func() error, err error) {
	d.mu.Lock()
	held, there := d.of[source.Name]
	if !there {
		held = &database{opening: make(chan struct{}, 1)}
		d.of[source.Name] = held
	}
	held.holders++
	d.mu.Unlock()

	release = func() error {
		d.mu.Lock()
		held.holders--
		last := held.holders == 0
		if last {
			delete(d.of, source.Name)
		}
		d.mu.Unlock()
		if last && held.store != nil {
			return held.store.db.Close()
		}
		return nil
	}
	if err := held.open(ctx, source); err != nil {
		return nil, nil, errors.Join(err, release())
	}
	return held.store, release, nil
}

// open opens the database unless that is done. Whoever comes after one who failed tries
// anew: the other may have had less time.
func (h *database) open(ctx context.Context, source Source) error {
	select {
	case h.opening <- struct{}{}:
		defer func() { <-h.opening }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.store != nil {
		return nil
	}
	store, err := source.Open()
	if err != nil {
		return err
	}
	if err := store.Create(ctx); err != nil {
		return errors.Join(err, store.db.Close())
	}
	h.store = store
	return nil
}
