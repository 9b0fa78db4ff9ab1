// Package sqlstore keeps sessions in a database, with database/sql: on SQLite or
// PostgreSQL natively, and in a Cloudflare Worker on D1, which is SQLite too. DB.Open
// gives the server's own code a session.Writer and session.Reader. DB.Replica gives what
// browsers sync their sessions with. Both have the same sessions.
//
// What is saved survives what the database's own commits survive. Package web/sqlite
// opens SQLite so that they survive the end of the process and a power cut. So do those
// of PostgreSQL, unless it is told otherwise: see its synchronous_commit and fsync.
package sqlstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/encode"
	"github.com/session-interop/session-writer/internal/engine"
	"github.com/session-interop/session-writer/web/internal/turns"
)

// What went wrong, for errors.Is, beside the errors of package session.
var (
	// ErrMalformed means that what was sent does not have the form that it must have.
	ErrMalformed = errors.New("malformed")
	// ErrPairing means that a pairing code is unknown, used, or expired.
	ErrPairing = errors.New("the pairing code is unknown, used or expired")
	// ErrBusy means that there were too many calls at once. The call may be tried
	// again.
	ErrBusy = turns.ErrBusy
)

// KeptFor is how long a session is kept that nobody uses, and how long a removal is
// remembered. It is the longest that browsers keep a cookie (RFC 6265bis, section
// 5.5).
const KeptFor = 400 * 24 * time.Hour

// maxSkew is how far ahead of this clock another may be. A session may be further ahead
// because this clock was once. Then it may go on by moreSkew at a time.
const (
	maxSkew  = 24 * time.Hour
	moreSkew = time.Hour
)

// drift is how far ahead a time in the database may be without this clock having been
// wrong, in milliseconds. The clock of another process may be ahead, or this one may
// have waited for its turn.
const drift = 60_000

// maxName is the largest size of a session's name, in bytes.
const maxName = 1024

// Limits are the most that a DB accepts. A zero stands for the default.
type Limits struct {
	// Body is the size of what is sent in one exchange: 2 MiB.
	Body int
	// Batch is the size of its entries as they are handed to the database: 2,000,000
	// bytes, which is what D1 allows.
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
	// Codes is how many valid pairing codes an owner has: 10.
	Codes int
	// Devices is how many devices an owner has: 100.
	Devices int
	// Owners is how many owners AddOwner makes each minute: 1,000.
	Owners int
	// Waiting is how many calls wait for the database: 1,000. Up to a quarter of them
	// may be one owner's. None waits longer than ten seconds
	// for a turn; an exchange of much takes several.
	Waiting int
}

// DefaultLimits returns the default of each limit.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

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
		{&l.Codes, 10},
		{&l.Devices, 100},
		{&l.Owners, 1000},
		{&l.Waiting, 1000},
	} {
		if *limit.value == 0 {
			*limit.value = limit.standard
		}
	}
	return l
}

// A DB is a database with sessions. It is safe for concurrent use, and several
// processes may use one database.
type DB struct {
	db       *sql.DB
	dialect  *dialect
	limits   Limits
	now      func() time.Time
	prepared sync.Map // *sql.Stmt by text, because preparing one takes longer than running it
	known    knownDevices
	counts   counts
	watchers watchers
	// turns has each call wait once for all of its statements. Short calls go before
	// long ones.
	turns turns.Queue
	// room is how many bytes may be saved before the database is asked for its room.
	room atomic.Int64
	// pinging is a lock for pinged and ping.
	pinging chan struct{}
	pinged  time.Time
	ping    error
}

// patience is how long a call waits for its turn.
const patience = 10 * time.Second

// New returns the DB on db, which is SQLite or D1. Create must have made its tables at
// some time.
func New(db *sql.DB, limits Limits) *DB { return newDB(db, limits, sqliteDialect) }

func newDB(db *sql.DB, limits Limits, dialect *dialect) *DB {
	limits = limits.withDefaults()
	atOnce := db.Stats().MaxOpenConnections
	if atOnce <= 0 {
		atOnce = limits.Waiting
	}
	return &DB{db: db, dialect: dialect, limits: limits, now: time.Now, pinging: make(chan struct{}, 1), turns: turns.Queue{
		AtOnce: atOnce, Waiting: limits.Waiting, Share: max(limits.Waiting/4, 1), Patience: patience,
	}}
}

// turn waits until an owner's call may use the database. The call must call done after
// that. cost is the least time that the call is expected to take.
func (d *DB) turn(ctx context.Context, owner string, cost time.Duration) (done func(), err error) {
	return d.turns.Take(ctx, owner, cost)
}

// Limits returns the limits that hold, the defaults included.
func (d *DB) Limits() Limits { return d.limits }

// Restored makes every device send again what the database lacks, and returns how many
// sessions there are. Call it after the database was put back from a backup, and
// before it is used. Otherwise what was exchanged since the backup is missing for good.
func (d *DB) Restored(ctx context.Context) (sessions int64, err error) {
	err = d.again(ctx, func() error {
		result, err := d.db.ExecContext(ctx, d.dialect.restored)
		if err == nil {
			sessions, err = result.RowsAffected()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("restored: %w", err)
	}
	return sessions, nil
}

// Ping reports whether the tables can be read. It asks once a second at most, and
// returns the same in between: it takes no turn, and many may ask.
func (d *DB) Ping(ctx context.Context) error {
	select {
	case d.pinging <- struct{}{}:
		defer func() { <-d.pinging }()
	case <-ctx.Done():
		return fmt.Errorf("ping: %w", ctx.Err())
	}
	if !d.pinged.IsZero() && time.Since(d.pinged) < pingAgain {
		return d.ping
	}
	var found string
	err := d.queryRow(ctx, `SELECT owner FROM sessions LIMIT 1`, nil, &found)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("ping: %w", err)
	}
	if err == nil || ctx.Err() == nil { // otherwise err says nothing of the database
		d.pinged, d.ping = time.Now(), err
	}
	return err
}

// pingAgain is how long Ping returns the same.
const pingAgain = time.Second

// Times are stored as texts that sort in the order of time.

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

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

// newID is as newID, and replaces a name that is too long for the tables. No name is a
// digest, as names begin with a quote.
func (d *DB) newID(owner, name string) (id, error) {
	of, err := newID(owner, name)
	if longest := d.dialect.longestName; longest > 0 && len(of.session) > longest {
		of.session = digest(of.session)
	}
	return of, err
}

// CheckName returns an error that wraps session.ErrConfig if no session can have that
// name.
func CheckName(name string) error {
	err := encode.CheckName(name)
	if err == nil && len(name) > maxName {
		err = fmt.Errorf("the name has %d bytes, and may have %d", len(name), maxName)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", session.ErrConfig, err)
	}
	return nil
}

// digest returns what the database stores in place of a secret.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Tag returns the tag of an owner: 16 hexadecimal digits. Devices tell owners apart by
// their tags, which do not tell the owner's id. But who can guess the id can find out whether
// a tag is of it.
func Tag(owner string) string {
	tag := digest("session-writer owner\x00" + owner)[:16]
	switch {
	case strings.HasPrefix(owner, visitorPrefix):
		return visitorTag + tag[len(visitorTag):]
	case IsVisitors(tag):
		return "f" + tag[1:]
	}
	return tag
}

// visitorPrefix begins the ids that NewVisitor makes, and visitorTag their tags. So a server
// that has no record of a visitor can tell his pages from those of a user.
const (
	visitorPrefix = "visitor "
	visitorTag    = "000000"
)

// NewVisitor returns the id of somebody new, for AddOwner. No id of a user's may be one.
func NewVisitor() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return visitorPrefix + hex.EncodeToString(random[:])
}

// IsVisitor reports whether an id is one that NewVisitor may have made.
func IsVisitor(owner string) bool { return strings.HasPrefix(owner, visitorPrefix) }

// IsVisitors reports whether a tag is of an id that NewVisitor has made. Of those that earlier
// versions have made, it is not.
func IsVisitors(tag string) bool { return strings.HasPrefix(tag, visitorTag) }

// Nobody is the tag that pages show whose user is not signed in any more. It is of no owner.
var Nobody = Tag("")

func jsonString(text string) string { return string(engine.AppendString(nil, text)) }

// A cursor says up to which version a device has a session. The epoch identifies the row
// in sessions, because the versions of a session that is gone mean nothing in the next
// one. life is the session's life at that version.
type cursor struct {
	epoch   string
	version int64
	life    string
}

// newEpoch returns a random epoch.
func newEpoch() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

func (c cursor) String() string {
	text := c.epoch + "-" + strconv.FormatInt(c.version, 10)
	if c.life != "" {
		text += "-" + c.life
	}
	return text
}

// parseCursor reads what String wrote.
func parseCursor(text string) (cursor, bool) {
	epoch, digits, _ := strings.Cut(text, "-")
	digits, life, _ := strings.Cut(digits, "-")
	version, err := strconv.ParseInt(digits, 10, 64)
	c := cursor{epoch, version, life}
	return c, err == nil && version >= 0 && c.String() == text
}

// A standing is what the database knows of a session as a whole.
type standing struct {
	cursor
	used   string       // the date of its last use
	newest engine.Stamp // the greatest stamp, or empty
	// touched is when somebody last saved, in milliseconds since 1970 by this clock.
	touched int64
	lives   lives
}

// A storedStanding is a standing in the form of the tables, where numbers and lives are
// texts.
type storedStanding struct {
	standing
	version, touched, lives string
}

// columns returns the destinations of a scan, in the order of standingColumns.
func (s *storedStanding) columns() []any {
	return []any{&s.epoch, &s.used, &s.version, &s.newest, &s.touched, &s.lives}
}

func (s *storedStanding) parse() (at standing, err error) {
	at = s.standing
	at.version, err = strconv.ParseInt(s.version, 10, 64)
	if err == nil && at.newest != "" {
		at.touched, err = strconv.ParseInt(s.touched, 10, 64)
	}
	if err == nil {
		at.lives, err = parseLives(s.lives)
	}
	return at, err
}

// find returns the standing of a session, and whether the session is there.
func (d *DB) find(ctx context.Context, of id) (at standing, found bool, err error) {
	var stored storedStanding
	err = d.queryRow(ctx, findSession, []any{of.owner, of.session}, stored.columns()...)
	if errors.Is(err, sql.ErrNoRows) {
		return standing{}, false, nil
	}
	if err == nil {
		at, err = stored.parse()
	}
	return at, err == nil, err
}

// use makes sure that a session is there, and notes its use today. It returns its
// standing. If the session was found, use does not ask for it again.
func (d *DB) use(ctx context.Context, of id, at standing, found bool) (standing, error) {
	today := date(d.now())
	if found {
		if at.used >= today {
			return at, nil
		}
		return at, d.exec(ctx, useSession, of.owner, of.session, today)
	}
	limit := strconv.Itoa(d.limits.Sessions)
	err := d.counting(ctx, "sessions "+of.owner, func(ctx context.Context) error {
		return d.exec(ctx, addSession, of.owner, of.session, newEpoch(), today, limit)
	})
	if err != nil {
		return standing{}, err
	}
	at, found, err = d.find(ctx, of)
	if err == nil && !found {
		var heir string
		switch err := d.queryRow(ctx, findHeir, []any{of.owner}, &heir); {
		case err != nil && !errors.Is(err, sql.ErrNoRows): // which is for users
			return standing{}, err
		case heir != "":
			return standing{}, errGiven
		}
		err = fmt.Errorf("%w: there may be %d sessions", session.ErrQuota, d.limits.Sessions)
	}
	return at, err
}

// errGiven means that an owner's sessions are another's by now.
var errGiven = fmt.Errorf("%w: the sessions were given to another owner meanwhile", ErrBusy)

// errGone means that a session was deleted between two statements. From merge it may
// also mean that others have changed its lives.
var errGone = errors.New("the session was deleted meanwhile")

// refusal returns what it means that a merge gave a version, which is nil if it is none
// that refuses.
func (d *DB) refusal(version int64) error {
	switch version {
	case -1:
		return fmt.Errorf("%w: a session may have %d entries, removed ones included until it is cleared", session.ErrQuota, d.limits.Entries)
	case -2:
		return fmt.Errorf("%w: the keys and values of a session may have %d bytes", session.ErrQuota, d.limits.Bytes)
	case -3:
		return errGone
	}
	return nil
}

// describe returns the errors of this package for those of the schema's constraints, of a
// full database, and of one that is in use. SQLite's drivers have nothing in common but
// its own words. PostgreSQL's have its codes, and its words may be in any language.
func (d *DB) describe(err error) error {
	if err == nil {
		return nil
	}
	for version, constraint := range map[int64]string{-1: "entries_limit", -2: "bytes_limit", -3: "session_gone"} {
		if strings.Contains(err.Error(), "CHECK constraint failed: "+constraint) {
			return d.refusal(version)
		}
	}
	code := sqlState(err)
	if code == diskFull || strings.Contains(err.Error(), "database or disk is full") {
		return session.ErrFull
	}
	switch code {
	case serializationFailure, deadlock, lockTimeout, tooManyConnections:
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// decodeKey reads the JSON text of a key. The error does not have the text, because it
// is logged.
func decodeKey(text string) (string, error) {
	var key string
	if err := unmarshal(text, &key); err != nil {
		return "", fmt.Errorf("a stored key: %w", err)
	}
	return key, nil
}
