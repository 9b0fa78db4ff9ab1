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
	of, err := d.newID(owner, name)
	if err != nil {
		return Exchanged{}, err
	}
	tag := Tag(owner)
	if sent.Owner != "" && sent.Owner != tag {
		heir, _, err := d.Heir(ctx, sent.Owner)
		if err != nil {
			return Exchanged{}, err
		}
		return Exchanged{}, &session.OwnerError{Owner: tag, Heir: heir}
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
	sent.MaxAge = min(max(sent.MaxAge, 0), engine.MaxMillis)
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
	had := at.version
	at, err = d.mergeInto(ctx, of, at, found, batch{Said: said, text: text, by: by, spans: by.spans(said), maxAge: sent.MaxAge})
	if err != nil {
		return Exchanged{}, err
	}
	if cost > turns.Long {
		// Others may go between the merge and the reading.
		done()
		again, err := d.turn(ctx, of.owner, cost)
		if err != nil {
			d.changed(of, cursor{})
			return Exchanged{}, err
		}
		done = again
	}
	next, merged, complete, err := d.news(ctx, of, since, said, by)
	if err != nil {
		d.changed(of, cursor{})
		return Exchanged{}, err
	}
	done()
	if next.version != had {
		d.changed(of, next.cursor)
	}
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
			return standing{}, d.describe(err)
		}
		next, err := d.merge(ctx, of, used, b)
		if err == nil {
			d.counts.merged.Add(uint64(len(b.Records)))
			return next, nil
		}
		d.perhapsChanged(of, err)
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

// A batch is merged whole or not at all.
type batch struct {
	engine.Said
	// text is Said in the form of the statement's parameter.
	text string
	by   senderClock
	// spans has the times in which it was saved, by this clock.
	spans []span
	// maxAge is the sender's maximum age in milliseconds, 0 if the session is never
	// over, or unknown.
	maxAge int64
	// onto is the version that the session must have, or empty.
	onto string
}

// merge merges a batch into a session, or nothing of it. It returns errGone if the
// standing of the session has changed.
func (d *DB) merge(ctx context.Context, of id, at standing, b batch) (standing, error) {
	next := at
	touched := at.touched
	if touched > b.by.now+drift { // this clock was wrong
		touched = b.by.now
	}
	next.lives, next.touched = at.lives.until(touched).add(b.spans, b.maxAge, touched)
	before, after := at.lives.String(), next.lives.String()
	if b.Newest == "" && after == before {
		return next, nil
	}
	if slices.ContainsFunc(b.Records, func(r engine.Record) bool { return r.Value != "" }) {
		if err := d.hasRoom(ctx, len(b.text)); err != nil {
			return standing{}, err
		}
	}
	entries, bytes := strconv.Itoa(d.limits.Entries), strconv.Itoa(d.limits.Bytes)
	cleared := b.Cleared
	if cleared != "" && b.by.here(cleared.Millis()) < next.lives.Begin {
		cleared = ""
	}
	err := d.holdingSession(ctx, of, func(ctx context.Context) error {
		err := d.runMerge(ctx, of.owner, of.session, b.text, at.epoch,
			entries, bytes, date(d.now()),
			string(cleared), string(b.Newest), strconv.FormatInt(next.touched, 10),
			before, after, next.lives.begin(), strconv.FormatInt(at.touched, 10), strconv.FormatInt(b.by.now, 10), strconv.Itoa(drift), b.onto)
		if err != nil {
			return err
		}
		// Outside a transaction, the batch is merged now. What it replaces goes even if the
		// sender is gone. If the server ends before that, Prune deletes it.
		rest := context.WithoutCancel(ctx)
		if cleared != "" {
			err = d.exec(rest, dropCleared, of.owner, of.session)
		}
		late := next.lives.ID > 0 && slices.ContainsFunc(b.Records, func(r engine.Record) bool { return b.by.made(r) < next.lives.Begin })
		if err == nil && late {
			// Perhaps only records of before the last life have the latest version.
			err = d.exec(rest, keepVersion, of.owner, of.session)
		}
		if err == nil && (late || next.lives.ID != at.lives.ID) {
			err = d.exec(rest, dropOver, of.owner, of.session, entries, bytes)
		}
		if err != nil {
			// Not in the words of describe, by which nothing would be merged.
			return fmt.Errorf("after the merge: %w", err)
		}
		return nil
	})
	if err != nil {
		return standing{}, err
	}
	return next, nil
}

// runMerge runs the dialect's merge.
func (d *DB) runMerge(ctx context.Context, parameters ...any) error {
	if onD1 || !d.dialect.concurrent {
		return d.describe(d.exec(ctx, d.dialect.merge, parameters...))
	}
	var version int64
	if err := d.queryRow(ctx, d.dialect.merge, parameters, &version); err != nil {
		return err
	}
	return d.refusal(version)
}

// hasRoom returns session.ErrFull if the room that is left in the database is kept for
// removals. A removal takes some room, too. It asks the database only after many bytes
// were saved.
func (d *DB) hasRoom(ctx context.Context, bytes int) error {
	if onD1 || d.dialect.room == "" || d.room.Add(-int64(bytes)) >= 0 { // D1 does not tell how much room is left
		return nil
	}
	var left, most int64
	if err := d.queryRow(ctx, d.dialect.room, nil, &left, &most); err != nil {
		return err
	}
	left -= min(keptPages, most/8)
	if left < 0 {
		return session.ErrFull
	}
	d.room.Store(left * bytesPerPage)
	return nil
}

// bytesPerPage is how many bytes are saved for each free page before the database is asked
// again. A page takes 512 at least, but tiny entries take several times their size, and
// other processes may save, too.
const bytesPerPage = 128

// keptPages is how many pages of the database are kept for removals, at most. A small
// database keeps an eighth of its pages.
const keptPages = 4096

// parameter returns what is said in the form of the statement's parameter.
func (d *DB) parameter(said engine.Said, by senderClock) (string, error) {
	// Half of the records may be older than a clearing that the sender has not heard
	// of. Finding out for many more would take long.
	if len(said.Records) > 2*d.limits.Entries {
		return "", fmt.Errorf("%w: what is saved at once has %d entries, and a session may have %d entries", session.ErrQuota, len(said.Records), d.limits.Entries)
	}
	records := said.Records
	if said.Cleared != "" {
		records = append(records[:len(records):len(records)], engine.Record{Stamp: said.Cleared})
	}
	text := []byte{'['}
	for i, r := range records {
		if len(r.Key) > d.limits.Key {
			return "", fmt.Errorf("%w: key %q has %d bytes, and may have %d", session.ErrQuota, shorten(r.Key), len(r.Key), d.limits.Key)
		}
		if i > 0 {
			text = append(text, ',')
		}
		key := "" // for a clearing
		if r.Key != "" {
			key = jsonString(r.Key)
		}
		text = append(engine.AppendString(append(text, '['), key), `,"`...)
		text = append(append(text, r.Stamp...), `",`...)
		if r.Value == "" {
			text = append(text, `null`...)
		} else {
			text = engine.AppendString(text, r.Value)
		}
		text = append(append(append(text, `,"`...), madeText(by.made(r))...), `"]`...)
	}
	text = append(text, ']')
	if len(text) > d.limits.Batch {
		return "", fmt.Errorf("%w: what is saved at once takes %d bytes, and may take %d", session.ErrQuota, len(text), d.limits.Batch)
	}
	return string(text), nil
}

// shorten cuts a text after 40 characters.
func shorten(text string) string {
	n := 0
	for i := range text {
		if n == 40 {
			return text[:i] + "…"
		}
		n++
	}
	return text
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
