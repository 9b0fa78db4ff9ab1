package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
	"github.com/session-interop/session-writer/web/internal/turns"
	"github.com/session-interop/session-writer/writertest/encode"
)

// A Session is one session of an owner, to be saved into and read. It is safe for
// concurrent use, and need not be closed.
type Session struct {
	db     *DB
	name   string
	id     id
	writer string
	// clock is this Session's own. It may see stamps that are ahead of the time, which
	// must not get into another session's stamps.
	clock engine.Clock
}

// errClock means that the session has the last stamp that there can be.
var errClock = errors.New("no later stamp can be made than what the session has")

var (
	_ session.Writer = (*Session)(nil)
	_ session.Reader = (*Session)(nil)
)

// Open opens a session, which need not be there yet. The error wraps
// session.ErrConfig if the owner or the name is not acceptable.
func (d *DB) Open(ctx context.Context, owner, name string) (*Session, error) {
	id, err := d.newID(owner, name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("session %q: open: %w", name, err)
	}
	return &Session{db: d, name: name, id: id, writer: engine.NewWriter()}, nil
}

// Save implements session.Writer. What is saved survives what the database's own
// commits survive.
func (s *Session) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	set, err := encode.Entries(entries)
	if err != nil {
		return s.wrap("save", err)
	}
	var records []engine.Record
	for _, e := range set {
		records = append(records, engine.Record{Key: e.Key, Value: string(e.Value)})
	}
	return s.wrap("save", s.write(ctx, records, false))
}

// Remove removes entries, all of them or none, as one batch. Removing a key that is
// not there is no error.
func (s *Session) Remove(ctx context.Context, keys ...string) error {
	if err := encode.CheckKeys(keys...); err != nil {
		return s.wrap("remove", err)
	}
	var records []engine.Record
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		records = append(records, engine.Record{Key: key})
	}
	return s.wrap("remove", s.write(ctx, records, false))
}

// Clear removes all entries. What others save at the same moment stays.
func (s *Session) Clear(ctx context.Context) error {
	return s.wrap("clear", s.write(ctx, nil, true))
}

// Load returns all entries, their values as JSON texts. The map is never nil.
func (s *Session) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	done, err := s.db.turn(ctx, s.id.owner, 0)
	if err != nil {
		return nil, s.wrap("load", err)
	}
	defer done()
	entries, err := s.db.load(ctx, s.id)
	if err != nil {
		return nil, s.wrap("load", err)
	}
	return entries, nil
}

// load returns the entries of a session. The map is never nil.
func (d *DB) load(ctx context.Context, of id) (map[string]json.RawMessage, error) {
	entries := make(map[string]json.RawMessage)
	err := d.query(ctx, loadAll, []any{of.owner, of.session, d.millis()}, func(row *sql.Rows) error {
		var text, value string
		if err := row.Scan(&text, &value); err != nil {
			return err
		}
		key, err := decodeKey(text)
		entries[key] = json.RawMessage(value)
		return err
	})
	return entries, err
}

// Get decodes the value of a key into what into points to, as json.Unmarshal
// does, and reports whether the key is there. If into is nil, that is all it does.
func (s *Session) Get(ctx context.Context, key string, into any) (found bool, err error) {
	done, err := s.db.turn(ctx, s.id.owner, 0)
	if err != nil {
		return false, s.wrap("get", err)
	}
	defer done()
	var value string
	err = s.db.queryRow(ctx, loadOne+s.db.dialect.hasKey, []any{s.id.owner, s.id.session, s.db.millis(), jsonString(key)}, &value)
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

// write merges one batch with the records and perhaps a clearing. Its stamp is greater
// than all in the session.
func (s *Session) write(ctx context.Context, records []engine.Record, cleared bool) error {
	if len(records) == 0 && !cleared {
		return ctx.Err()
	}
	size := 0
	for _, r := range records {
		size += len(r.Key) + len(r.Value)
	}
	done, err := s.db.turn(ctx, s.id.owner, turns.Cost(len(records), size))
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
	b.Newest, b.Records = stamp, records
	if cleared {
		b.Cleared = stamp
	}
	for i := range records {
		records[i].Stamp = stamp
	}
	if b.text, err = s.db.parameter(b.Said, b.by); err != nil {
		return err
	}
	_, err = s.db.mergeInto(ctx, s.id, at, found, b)
	if err == nil {
		s.db.changed(s.id, cursor{})
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

// millis returns the time in the form of a statement's parameter.
func (d *DB) millis() string { return strconv.FormatInt(d.now().UnixMilli(), 10) }
