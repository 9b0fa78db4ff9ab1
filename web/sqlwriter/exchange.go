package sqlwriter

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
	"github.com/session-interop/session-writer/wasm/engine"
)

// Exchanged is what came of an exchange.
type Exchanged struct {
	// Received has no cursor, and an Age less than 0, when there is no session
	// and when only its owner was asked for.
	session.Received
	// Skipped counts what was left out of what was sent, as it is no item that
	// this version can read.
	Skipped int
}

// Server returns the exchange of a session, in the words of package session.
func (d *DB) Server(owner, name string) session.Server {
	return func(ctx context.Context, sent session.Sent) (session.Received, error) {
		done, err := d.Exchange(ctx, owner, name, sent)
		return done.Received, err
	}
}

// Exchange merges what is sent, all of it or nothing, and returns what was
// merged since the cursor, and not in this call. No batch is ever returned in
// part.
//
// Without Sent.Owner only that is asked for: nothing is merged, nor given but
// the owner's tag.
//
// What is sent as the beginning of a new session clears the one that is here if
// that is over: if nothing was saved in it for Sent.MaxAge, by this clock, nor
// anything that the sender had not seen. It is back when somebody who had not
// heard of that, as his cursor says, turns out to have kept it alive: he saved
// after what was seen, at most Sent.MaxAge before it was found over, and did not
// find it over himself.
//
// After a *session.OwnerError, a *session.StampError, or an error that wraps
// session.ErrCursor, session.ErrQuota, ErrMalformed or session.ErrConfig, nothing
// has been merged. After another it may have been, and to send it again does no
// harm.
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
	at, found, err := d.find(ctx, of)
	if err != nil {
		return Exchanged{}, err
	}
	since := cursor{version: -1}
	if sent.Cursor != "" {
		var ok bool
		since, ok = parseCursor(sent.Cursor)
		if !ok || !found || since.epoch != at.epoch || since.version > at.version {
			return Exchanged{}, session.ErrCursor
		}
	}
	now := d.now()
	if err := checkStamps(said, at.newest, now); err != nil {
		return Exchanged{}, err
	}
	if !found && said.Newest == "" {
		return Exchanged{Received: session.Received{Owner: tag, Age: -1}, Skipped: skipped}, nil
	}
	if at, err = d.use(ctx, of, at, found); err != nil {
		return Exchanged{}, d.describe(err)
	}
	b := batch{
		Said:    said,
		touched: touched(said.Newest, sent.Now, now.UnixMilli()),
		over:    at.isOver(said, sent.MaxAge, now.UnixMilli()),
		since:   since.version,
		maxAge:  sent.MaxAge,
	}
	if sent.Cursor != "" {
		b.alive = alive(said.Newest, sent.MaxAge)
	}
	if sent.Cursor != "" && said.EndedBy != "" {
		b.overAt = fmt.Sprintf("%013d", max(said.EndedBy.Millis()-sent.MaxAge, 0))
		b.before = lastBefore(said, said.EndedBy)
		b.aliveBefore = alive(b.before, sent.MaxAge)
		b.aliveEnded = alive(said.Ended, sent.MaxAge)
	}
	if said.Newest != "" || b.over {
		if err := d.merge(ctx, of, at.epoch, b); err != nil {
			return Exchanged{}, err
		}
	}
	next, merged, err := d.readSince(ctx, of, since.version)
	if err != nil {
		return Exchanged{}, err
	}
	if next.epoch != at.epoch {
		return Exchanged{}, errGone
	}
	age := int64(-1)
	if next.newest != "" {
		age = max(d.now().UnixMilli()-next.touched, 0)
	}
	return Exchanged{
		Received: session.Received{
			Owner:  tag,
			Cursor: next.String(),
			Item:   engine.FormatItem(without(merged, said)),
			Age:    age,
		},
		Skipped: skipped,
	}, nil
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

// checkStamps returns an error when something is said from too far in the
// future, also by what is there already.
func checkStamps(said engine.Said, newest engine.Stamp, now time.Time) error {
	latest := now.Add(maxSkew).UnixMilli()
	if newest != "" {
		latest = max(latest, newest.Millis()+moreSkew.Milliseconds())
	}
	// None is greater than these.
	for _, stamp := range []engine.Stamp{said.Newest, said.EndedBy} {
		if stamp != "" && stamp.Millis() > latest {
			return &session.StampError{Latest: time.UnixMilli(latest)}
		}
	}
	return nil
}

// touched returns when the newest of what is sent was saved, by this clock, in
// milliseconds since 1970. sentAt is when it was sent by the sender's clock, or 0.
func touched(newest engine.Stamp, sentAt, now int64) int64 {
	if newest == "" {
		return 0
	}
	saved := newest.Millis()
	if sentAt > 0 {
		saved = now - max(sentAt-saved, 0)
	}
	return max(min(saved, now), 0)
}

// isOver reports whether a session is over, as is said: whether nothing was
// saved for maxAge, in milliseconds, nor after what the sender had seen. now is
// in milliseconds since 1970.
func (at standing) isOver(said engine.Said, maxAge, now int64) bool {
	return said.EndedBy != "" && maxAge > 0 && at.newest <= said.Ended && now-at.touched > maxAge &&
		!saves(said, said.Ended.Next(), said.EndedBy)
}

// alive returns up to when a session is not over in which something is saved for
// the last time: maxAge after that, in milliseconds, as the first 13 digits of
// a stamp.
func alive(newest engine.Stamp, maxAge int64) string {
	if newest == "" {
		return ""
	}
	const last = 9_999_999_999_999
	return fmt.Sprintf("%013d", newest.Millis()+min(maxAge, last-newest.Millis()))
}

// lastBefore returns the last stamp before one with which something is said.
func lastBefore(said engine.Said, before engine.Stamp) (last engine.Stamp) {
	see := func(stamp engine.Stamp) {
		if stamp < before {
			last = max(last, stamp)
		}
	}
	see(said.Newest)
	see(said.Cleared)
	for _, r := range said.Records {
		see(r.Stamp)
	}
	return last
}

// saves reports whether something is said with a stamp from one on, and before
// another.
func saves(said engine.Said, from, before engine.Stamp) bool {
	within := func(stamp engine.Stamp) bool { return from <= stamp && stamp < before }
	return within(said.Cleared) || slices.ContainsFunc(said.Records, func(r engine.Record) bool { return within(r.Stamp) })
}

// readSince returns what was merged after a version, and what is then known of
// the session.
func (d *DB) readSince(ctx context.Context, of id, version int64) (next standing, merged engine.Said, err error) {
	err = d.query(ctx, readSince, []any{of.owner, of.session, strconv.FormatInt(version, 10)}, func(row *sql.Rows) error {
		var latest, touched, newest string
		var key, stamp, value sql.NullString
		err := row.Scan(&next.epoch, &latest, &newest, &touched, &key, &stamp, &value)
		if err == nil {
			next.version, err = strconv.ParseInt(latest, 10, 64)
		}
		if next.newest = engine.Stamp(newest); err == nil && newest != "" {
			next.touched, err = strconv.ParseInt(touched, 10, 64)
		}
		if err != nil || !key.Valid {
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
	return next, merged, err
}

// without returns what merged says and sent does not.
func without(merged, sent engine.Said) engine.Said {
	if merged.Cleared == sent.Cleared {
		merged.Cleared = ""
	}
	if merged.Newest <= sent.Newest {
		merged.Newest = ""
	}
	said := make(map[engine.Record]bool, len(sent.Records))
	for _, r := range sent.Records {
		said[r] = true
	}
	merged.Records = slices.DeleteFunc(merged.Records, func(r engine.Record) bool { return said[r] })
	return merged
}

func unmarshal(text string, into any) error { return json.Unmarshal([]byte(text), into) }
