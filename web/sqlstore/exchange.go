package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
	"github.com/session-interop/session-writer/web/internal/turns"
)

// Exchanged is the result of an exchange.
type Exchanged struct {
	// Received has no cursor and a negative Age if there is no session, or if the
	// sender only asked for the owner.
	session.Received
	// Skipped counts the items sent that this version cannot read, and left out.
	Skipped int
}

// Replica returns the replica of an owner's session.
func (d *DB) Replica(owner, name string) session.Replica {
	return func(ctx context.Context, sent session.Sent) (session.Received, error) {
		done, err := d.Exchange(ctx, owner, name, sent)
		return done.Received, err
	}
}

// Exchange merges what is sent, all of it or nothing. It returns what was merged since
// the cursor and before this call, in whole batches.
//
// Without Sent.Owner, Exchange merges nothing, and returns only the owner's tag.
//
// With Sent.MaxAge, a session is over when nobody has saved for so long, by this
// database's clock. Exchange then returns what was saved since the session was last
// over, and nothing if it is over now. A save may arrive late, and show that the
// session was alive all the time, so that there is more or less to return.
// Received.Complete then says that Item replaces all that the sender has.
//
// Nothing has been merged if the error wraps a *session.OwnerError, a
// *session.StampError, session.ErrCursor, session.ErrQuota, ErrMalformed or
// session.ErrConfig. After any other error it may have been merged, and may be sent
// again.
func (d *DB) Exchange(ctx context.Context, owner, name string, sent session.Sent) (Exchanged, error) {
	done, err := d.exchange(ctx, owner, name, sent)
	if err != nil {
		if errors.Is(err, errGone) {
			err = fmt.Errorf("%w: %w", session.ErrCursor, err)
		}
		return Exchanged{}, fmt.Errorf("session %q: exchange: %w", name, err)
	}
	return done, nil
}

func (d *DB) exchange(ctx context.Context, owner, name string, sent session.Sent) (Exchanged, error) {
	of, err := newID(owner, name)
	if err != nil {
		return Exchanged{}, err
	}
	tag := Tag(owner)
	if sent.Owner != "" && sent.Owner != tag {
		return Exchanged{}, &session.OwnerError{Owner: tag}
	}
	if sent.Owner == "" {
		if sent.Cursor != "" {
			return Exchanged{}, session.ErrCursor
		}
		return Exchanged{Received: session.Received{Owner: tag, Age: -1}}, nil
	}
	said, skipped, err := d.parse(sent.Items)
	if err != nil {
		return Exchanged{}, err
	}
	// An error here matters only if the batch is merged.
	now := d.now()
	by := newSenderClock(sent.Now, now.UnixMilli())
	text, unmergeable := d.parameter(said, by)
	cost := turns.Cost(len(said.Records), len(sent.Items))
	done, err := d.turn(ctx, of.owner, cost)
	if err != nil {
		return Exchanged{}, err
	}
	defer func() { done() }()
	at, found, err := d.find(ctx, of)
	if err != nil {
		return Exchanged{}, err
	}
	sent.MaxAge = min(max(sent.MaxAge, 0), longest)
	since := cursor{version: -1}
	if sent.Cursor != "" {
		var ok bool
		since, ok = parseCursor(sent.Cursor)
		if !ok || !found || since.epoch != at.epoch || since.version > at.version {
			return Exchanged{}, session.ErrCursor
		}
	}
	if err := checkStamps(said, at.newest, now); err != nil {
		return Exchanged{}, err
	}
	if !found && said.Newest == "" {
		return Exchanged{Received: session.Received{Owner: tag, Age: -1}, Skipped: skipped}, nil
	}
	if said.Newest != "" && unmergeable != nil {
		return Exchanged{}, unmergeable
	}
	at, err = d.mergeInto(ctx, of, at, found, batch{said, text, by, by.spans(said), sent.MaxAge})
	if err != nil {
		return Exchanged{}, d.describe(err)
	}
	if cost > turns.Long {
		// Others may go between the merge and the reading.
		done()
		again, err := d.turn(ctx, of.owner, cost)
		if err != nil {
			return Exchanged{}, err
		}
		done = again
	}
	next, merged, complete, err := d.news(ctx, of, since, said, by)
	if err != nil {
		return Exchanged{}, err
	}
	done()
	if next.epoch != at.epoch {
		return Exchanged{}, errGone
	}
	got := next.received(merged, said, complete, by)
	got.Owner = tag
	return Exchanged{Received: got, Skipped: skipped}, nil
}

// maxTries is how often a merge is tried again after others have changed the lives of
// the session.
const maxTries = 20

// mergeInto merges a batch into a session, and returns the standing after that. at is
// the standing before, if the session was found.
func (d *DB) mergeInto(ctx context.Context, of id, at standing, found bool, b batch) (standing, error) {
	for tries := 0; ; tries++ {
		used, err := d.use(ctx, of, at, found)
		if err != nil {
			return standing{}, err
		}
		next, err := d.merge(ctx, of, used, b)
		if !errors.Is(err, errGone) {
			return next, err
		}
		if at, found, err = d.find(ctx, of); err != nil {
			return standing{}, err
		}
		switch {
		case !found || at.epoch != used.epoch:
			return standing{}, errGone
		case tries == maxTries:
			return standing{}, fmt.Errorf("%w: others change the session all the time", ErrBusy)
		}
	}
}

// news returns what was merged into a session since a cursor. It returns everything if
// there is no cursor, if the cursor is of another life, or if something was said of an
// earlier life.
func (d *DB) news(ctx context.Context, of id, since cursor, said engine.Said, by senderClock) (next standing, merged engine.Said, complete bool, err error) {
	next, merged, err = d.readSince(ctx, of, since.version, by.now)
	complete = since.version < 0 || next.life != since.life || slices.ContainsFunc(said.Records, func(r engine.Record) bool {
		return next.life == overLife || next.life != "" && by.made(r) < next.lives.Begin
	})
	if err == nil && complete && since.version >= 0 {
		next, merged, err = d.readSince(ctx, of, -1, by.now)
	}
	return next, merged, complete, err
}

// received returns the answer to a sender. It has everything if it is complete, and
// otherwise what was merged and the sender did not say.
func (at standing) received(merged, said engine.Said, complete bool, by senderClock) session.Received {
	age := int64(-1)
	if at.life == overLife {
		merged = engine.Said{}
	} else if at.newest != "" {
		age = max(by.now-at.touched, 0)
	}
	if !complete {
		merged = without(merged, said)
	}
	if at.lives.ID > 0 {
		merged.Since = by.there(at.lives.Begin)
	}
	return session.Received{
		Cursor:   at.String(),
		Item:     engine.FormatItem(merged),
		Complete: complete,
		Age:      age,
	}
}

// parse reads what was sent.
func (d *DB) parse(items string) (said engine.Said, skipped int, err error) {
	switch {
	case items == "":
		return engine.Said{}, 0, nil
	case len(items) > d.limits.Body:
		return engine.Said{}, 0, fmt.Errorf("%w: what is sent has %d bytes, and may have %d", session.ErrQuota, len(items), d.limits.Body)
	case !utf8.ValidString(items):
		return engine.Said{}, 0, fmt.Errorf("%w: what is sent is not valid UTF-8", ErrMalformed)
	}
	said, skipped, err = engine.ParseItems(items)
	if err != nil {
		return engine.Said{}, 0, fmt.Errorf("%w: what is sent is not a JSON array of items", ErrMalformed)
	}
	return said, skipped, nil
}

// checkStamps returns an error if a stamp is too far in the future. If the session
// itself is ahead, it may be a little later than the newest stamp there.
func checkStamps(said engine.Said, newest engine.Stamp, now time.Time) error {
	latest := now.Add(maxSkew).UnixMilli()
	if newest != "" {
		latest = max(latest, newest.Millis()+moreSkew.Milliseconds())
	}
	if said.Newest != "" && said.Newest.Millis() > latest { // none is greater
		return &session.StampError{Latest: time.UnixMilli(latest), Newest: string(newest)}
	}
	return nil
}

// readSince returns what was merged after a version, and the session's standing. now is
// in milliseconds since 1970.
func (d *DB) readSince(ctx context.Context, of id, version, now int64) (next standing, merged engine.Said, err error) {
	var stored storedStanding
	var key, stamp, value sql.NullString
	into := append(stored.columns(), &key, &stamp, &value)
	err = d.query(ctx, readSince, []any{of.owner, of.session, strconv.FormatInt(version, 10)}, func(row *sql.Rows) error {
		err := row.Scan(into...)
		if err == nil && !key.Valid {
			next, err = stored.parse()
			return err
		}
		if err != nil {
			return err
		}
		at := engine.Stamp(stamp.String)
		switch key.String {
		case "":
			merged.Cleared = at
		case "newest":
			merged.Newest = at
		default:
			var name string
			name, err = decodeKey(key.String)
			merged.Records = append(merged.Records, engine.Record{Key: name, Stamp: at, Value: value.String})
		}
		return err
	})
	next.life = next.lives.life(next.touched, now)
	return next, merged, err
}

// without returns what merged says and sent does not.
func without(merged, sent engine.Said) engine.Said {
	if merged.Cleared <= sent.Cleared {
		merged.Cleared = ""
	}
	if merged.Newest <= sent.Newest {
		merged.Newest = ""
	}
	said := make(map[engine.Record]bool, len(sent.Records))
	for _, r := range sent.Records {
		r.Alive = 0
		said[r] = true
	}
	merged.Records = slices.DeleteFunc(merged.Records, func(r engine.Record) bool { return said[r] })
	return merged
}

func unmarshal(text string, into any) error { return json.Unmarshal([]byte(text), into) }
