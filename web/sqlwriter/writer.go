package sqlwriter

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/wasm/engine"
	"github.com/session-interop/session-writer/web/internal/turns"
)

// A Session is a writer's and reader's access to one session of an owner. It
// is safe for concurrent use, and holds nothing that would have to be closed.
type Session struct {
	db     *DB
	name   string
	id     id
	writer string
	// clock is this Session's own: what it sees of one session, which may be
	// ahead of the time, must not get into another's stamps.
	clock engine.Clock
}

// errClock means that the session has the last stamp that there can be.
var errClock = errors.New("no later stamp can be made than what the session has")

var _ session.Writer = (*Session)(nil)

// Open opens a session, which need not be there yet. The error wraps
// session.ErrConfig for an owner or a name that is not acceptable.
func (d *DB) Open(ctx context.Context, owner, name string) (*Session, error) {
	id, err := newID(owner, name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("session %q: open: %w", name, err)
	}
	return &Session{db: d, name: name, id: id, writer: engine.NewWriter()}, nil
}

// Save implements session.Writer. What it survives is up to the database: see
// the package.
func (s *Session) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	set, err := session.EncodeEntries(entries)
	if err == nil && set != "{}" {
		err = s.write(ctx, `"set":`+set)
	} else if err == nil {
		err = ctx.Err()
	}
	return s.wrap("save", err)
}

// Remove removes entries, all of them or none, as one batch. To remove what is
// not there is no error.
func (s *Session) Remove(ctx context.Context, keys ...string) error {
	remove, err := session.EncodeKeys(keys)
	if err == nil && len(keys) > 0 {
		err = s.write(ctx, `"remove":`+remove)
	} else if err == nil {
		err = ctx.Err()
	}
	return s.wrap("remove", err)
}

// Clear removes all entries. What others save at the same moment stays.
func (s *Session) Clear(ctx context.Context) error {
	return s.wrap("clear", s.write(ctx, `"clear":true`))
}

// Load returns all entries, their values as JSON texts. It is never nil.
func (s *Session) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	done, err := s.db.turn(ctx, s.id.owner, 0)
	if err != nil {
		return nil, s.wrap("load", err)
	}
	defer done()
	entries := make(map[string]json.RawMessage)
	err = s.db.query(ctx, loadAll, []any{s.id.owner, s.id.session, s.db.millis()}, func(row *sql.Rows) error {
		var text, value string
		if err := row.Scan(&text, &value); err != nil {
			return err
		}
		key, err := decodeKey(text)
		entries[key] = json.RawMessage(value)
		return err
	})
	if err != nil {
		return nil, s.wrap("load", err)
	}
	return entries, nil
}

// Get decodes the value of a key into what into points to, as json.Unmarshal
// does, and reports whether the key is there. With nil it only reports that.
func (s *Session) Get(ctx context.Context, key string, into any) (found bool, err error) {
	done, err := s.db.turn(ctx, s.id.owner, 0)
	if err != nil {
		return false, s.wrap("get", err)
	}
	defer done()
	var value string
	err = s.db.queryRow(ctx, loadOne, []any{s.id.owner, s.id.session, s.db.millis(), jsonString(key)}, &value)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, s.wrap("get", err)
	case into == nil:
		return true, nil
	}
	if err := unmarshal(value, into); err != nil {
		return true, s.wrap("get", &session.EntryError{Key: key, Err: err})
	}
	return true, nil
}

// write merges one batch, of the members that are given, with a stamp greater
// than all in the session.
func (s *Session) write(ctx context.Context, members string) error {
	done, err := s.db.turn(ctx, s.id.owner, turns.Cost(1, len(members)))
	if err != nil {
		return err
	}
	defer done()
	at, found, err := s.db.find(ctx, s.id)
	if err != nil {
		return err
	}
	if at.newest != "" {
		s.clock.See(at.newest)
	}
	now := s.db.now().UnixMilli()
	stamp, ok := s.clock.Tick(now, s.writer)
	if !ok {
		return errClock
	}
	b := batch{by: newSenderClock(0, now), spans: []span{{now, now}}, maxAge: unknown}
	b.Said, _, err = engine.ParseItems(
		`[{"format":1,"batches":[{"stamp":"` + string(stamp) + `",` + members + `}]}]`)
	if err == nil {
		b.text, err = s.db.parameter(b.Said, b.by)
	}
	if err != nil {
		return err
	}
	_, err = s.db.mergeInto(ctx, s.id, at, found, b)
	return s.db.describe(err)
}

// wrap says which session and call an error comes from.
func (s *Session) wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("session %q: %s: %w", s.name, call, err)
}

// millis returns the time as the statements take it.
func (d *DB) millis() string { return strconv.FormatInt(d.now().UnixMilli(), 10) }
