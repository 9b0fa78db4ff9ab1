// Package sqlwriter keeps sessions in a database, by way of database/sql: on
// SQLite natively, and on D1, which is SQLite too, in a Cloudflare Worker. A
// DB is a session.Writer for programs that save on the server, and a
// session.Server that browsers exchange their sessions with; what is saved in
// one way is found in the other.
//
// What is saved survives what the database's own commits survive. Package
// web/sqlite opens SQLite so that they survive the end of the process and a
// power cut.
package sqlwriter

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/wasm/engine"
)

// What went wrong, beside what package session names.
var (
	// ErrMalformed means that what came is not in the form that it must have.
	ErrMalformed = errors.New("malformed")
	// ErrStamp means that a batch was made too far in the future.
	ErrStamp = errors.New("a stamp from the future")
	// ErrPairing means that a pairing code is unknown, used, or expired.
	ErrPairing = errors.New("the pairing code is unknown, used or expired")
)

// KeptFor is how long what is not used is kept, and a removal is remembered:
// the longest that browsers keep a cookie (RFC 6265bis, section 5.5).
const KeptFor = 400 * 24 * time.Hour

// maxSkew is how far ahead of this clock another may be.
const maxSkew = 24 * time.Hour

// maxName is the size of the name of a session.
const maxName = 1024

// Limits are what a DB takes at most. A zero stands for the default.
type Limits struct {
	// Body is the size of what is sent in one exchange: 2 MiB.
	Body int
	// Batch is the size of what that says, as it is handed to the database:
	// 2,000,000 bytes, which is what D1 allows.
	Batch int
	// Key is the size of a key: 16 KiB.
	Key int
	// Entries is how many entries a session has: 10,000. A removal that is
	// remembered counts as one.
	Entries int
	// Bytes is the size of a session's keys and values, as JSON: 1 MiB.
	Bytes int
	// Sessions is how many sessions an owner has: 100.
	Sessions int
}

func (l Limits) withDefaults() Limits {
	for _, limit := range []struct {
		value    *int
		standard int
	}{
		{&l.Body, 2 << 20},
		{&l.Batch, 2_000_000},
		{&l.Key, 16 << 10},
		{&l.Entries, 10_000},
		{&l.Bytes, 1 << 20},
		{&l.Sessions, 100},
	} {
		if *limit.value == 0 {
			*limit.value = limit.standard
		}
	}
	return l
}

// A DB is a database with sessions in it. It is safe for concurrent use, also
// by several processes.
type DB struct {
	db     *sql.DB
	limits Limits
	now    func() time.Time
}

// New returns the DB on db, whose schema Create must have made at some time.
func New(db *sql.DB, limits Limits) *DB {
	return &DB{db: db, limits: limits.withDefaults(), now: time.Now}
}

// Limits returns the limits that hold, the defaults included.
func (d *DB) Limits() Limits { return d.limits }

//go:embed schema.sql
var schema string

// Create makes the tables that are not there yet.
func (d *DB) Create(ctx context.Context) error {
	for statement := range strings.SplitSeq(schema, "\n\n") {
		if _, err := d.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("create the tables: %w", err)
		}
	}
	return nil
}

// Ping reports whether the tables can be read.
func (d *DB) Ping(ctx context.Context) error {
	var found string
	err := d.db.QueryRowContext(ctx, `SELECT owner FROM sessions LIMIT 1`).Scan(&found)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Prune deletes what now nobody can use any more: sessions that were not used
// for KeptFor, removals as old as that, and pairing codes that have expired. It
// is to be called from time to time, by one process or several.
func (d *DB) Prune(ctx context.Context, now time.Time) error {
	before := now.Add(-KeptFor)
	for _, step := range []struct{ statement, parameter string }{
		{prunePairings, timestamp(now)},
		{pruneSessions, date(before)},
		{pruneOrphans, ""},
		{keepVersions, stampAt(before)},
		{pruneRemovals, stampAt(before)},
	} {
		var parameters []any
		if step.parameter != "" {
			parameters = append(parameters, step.parameter)
		}
		if _, err := d.db.ExecContext(ctx, step.statement, parameters...); err != nil {
			return fmt.Errorf("prune: %w", err)
		}
	}
	return nil
}

// Times are texts that sort as they order.

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// stampAt returns a text that sorts between the stamps before t and the others.
func stampAt(t time.Time) string { return fmt.Sprintf("%013d", max(t.UnixMilli(), 0)) }

// An id names a session as the tables do.
type id struct{ owner, session string }

func newID(owner, name string) (id, error) {
	if owner == "" {
		return id{}, fmt.Errorf("%w: the owner is empty", session.ErrConfig)
	}
	if err := CheckName(name); err != nil {
		return id{}, err
	}
	return id{digest(owner), jsonString(name)}, nil
}

// CheckName returns an error that wraps session.ErrConfig when no session can
// have that name.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the name is empty", session.ErrConfig)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: the name is not valid UTF-8", session.ErrConfig)
	case strings.Contains(name, "/"):
		return fmt.Errorf("%w: the name must not contain a slash", session.ErrConfig)
	case len(name) > maxName:
		return fmt.Errorf("%w: the name has %d bytes, and may have %d", session.ErrConfig, len(name), maxName)
	}
	return nil
}

// digest is what is stored of what nobody must learn from the database.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func jsonString(text string) string { return string(engine.AppendString(nil, text)) }

// A cursor says up to which version somebody has a session, of which epoch. The
// epoch is of the row in sessions, so that what was counted in a session that
// is gone is not taken for a version of the next.
type cursor struct {
	epoch   string
	version int64
}

// newEpoch returns a random one.
func newEpoch() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

func (c cursor) String() string { return c.epoch + "-" + strconv.FormatInt(c.version, 10) }

// parseCursor reads what String wrote.
func parseCursor(text string) (cursor, bool) {
	epoch, digits, _ := strings.Cut(text, "-")
	version, err := strconv.ParseInt(digits, 10, 64)
	c := cursor{epoch, version}
	return c, err == nil && version >= 0 && c.String() == text
}

// find returns what a session is at, and whether it is there.
func (d *DB) find(ctx context.Context, of id) (at cursor, used string, found bool, err error) {
	var version string
	err = d.db.QueryRowContext(ctx, findSession, of.owner, of.session).Scan(&at.epoch, &used, &version)
	if errors.Is(err, sql.ErrNoRows) {
		return cursor{}, "", false, nil
	}
	if err == nil {
		at.version, err = strconv.ParseInt(version, 10, 64)
	}
	return at, used, err == nil, err
}

// use makes sure that a session is there and is known to be in use, and
// returns what it is at. What is known of it already saves asking.
func (d *DB) use(ctx context.Context, of id, at cursor, used string, found bool) (cursor, error) {
	today := date(d.now())
	if found {
		if used >= today {
			return at, nil
		}
		_, err := d.db.ExecContext(ctx, useSession, of.owner, of.session, today)
		return at, err
	}
	limit := strconv.Itoa(d.limits.Sessions)
	if _, err := d.db.ExecContext(ctx, addSession, of.owner, of.session, newEpoch(), today, limit); err != nil {
		return cursor{}, err
	}
	at, _, found, err := d.find(ctx, of)
	if err == nil && !found {
		err = fmt.Errorf("%w: there may be %d sessions", session.ErrQuota, d.limits.Sessions)
	}
	return at, err
}

// A batch is what is to be merged at once.
type batch struct {
	cleared engine.Stamp
	records []engine.Record
}

func (b batch) empty() bool { return b.cleared == "" && len(b.records) == 0 }

// merge merges a batch into the session of that epoch, or nothing of it.
func (d *DB) merge(ctx context.Context, of id, epoch string, b batch) error {
	text, err := d.parameter(b)
	if err != nil {
		return err
	}
	_, err = d.db.ExecContext(ctx, merge, of.owner, of.session, text, epoch,
		strconv.Itoa(d.limits.Entries), strconv.Itoa(d.limits.Bytes))
	if err == nil && b.cleared != "" {
		_, err = d.db.ExecContext(ctx, dropCleared, of.owner, of.session)
	}
	return d.describe(err)
}

// parameter returns a batch as the statement takes it.
func (d *DB) parameter(b batch) (string, error) {
	text := []byte{'['}
	add := func(key string, stamp engine.Stamp, value string) {
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(engine.AppendString(append(text, '['), key), `,"`...)
		text = append(append(text, stamp...), `",`...)
		if value == "" {
			text = append(text, `null]`...)
		} else {
			text = append(engine.AppendString(text, value), ']')
		}
	}
	if b.cleared != "" {
		add("", b.cleared, "")
	}
	for _, r := range b.records {
		if len(r.Key) > d.limits.Key {
			return "", fmt.Errorf("%w: a key has %d bytes, and may have %d", session.ErrQuota, len(r.Key), d.limits.Key)
		}
		add(jsonString(r.Key), r.Stamp, r.Value)
	}
	text = append(text, ']')
	if len(text) > d.limits.Batch {
		return "", fmt.Errorf("%w: what is saved at once takes %d bytes, and may take %d", session.ErrQuota, len(text), d.limits.Batch)
	}
	return string(text), nil
}

// errGone means that a session was deleted between two statements.
var errGone = errors.New("the session was deleted meanwhile")

// describe makes errors of the constraints in the schema, and of a database
// that is full, such as can be told apart. The drivers have no error in common
// but SQLite's own words.
func (d *DB) describe(err error) error {
	if err == nil {
		return nil
	}
	for _, failure := range []struct {
		says  string
		means error
	}{
		{"CHECK constraint failed: entries_limit",
			fmt.Errorf("%w: a session may have %d entries, removed ones included until it is cleared", session.ErrQuota, d.limits.Entries)},
		{"CHECK constraint failed: bytes_limit",
			fmt.Errorf("%w: the keys and values of a session may have %d bytes", session.ErrQuota, d.limits.Bytes)},
		{"CHECK constraint failed: session_gone", errGone},
		{"database or disk is full", fmt.Errorf("%w: %w", session.ErrQuota, err)},
	} {
		if strings.Contains(err.Error(), failure.says) {
			return failure.means
		}
	}
	return err
}

// decodeKey reads the JSON text of a key.
func decodeKey(text string) (string, error) {
	var key string
	if err := unmarshal(text, &key); err != nil {
		return "", fmt.Errorf("the stored key %q: %w", text, err)
	}
	return key, nil
}
