package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
	"github.com/session-interop/session-writer/web/internal/turns"
	"github.com/session-interop/session-writer/writertest/encode"
)

// A Combine returns what becomes of a key that a user and a visitor both have, when the
// visitor's session becomes the user's: a value as Save takes it. If ok is false, the one
// that was saved later stays.
type Combine func(session, key string, user, visitor json.RawMessage) (value any, ok bool)

// Adopt gives a user the sessions of a visitor, whom AddOwner added: merged with the user's
// own. An entry that only the visitor has is the user's from now on, also if he has removed it
// once. Of a key that both have, the value stays that was saved later, or what combine returns
// takes its place; combine may be nil. What the visitor has removed removes nothing of the
// user's. The visitor's devices are dropped, and his pages give what they have not sent to the
// user alone, as Replica tells them. Without a visitor, Adopt does what was left to do of other
// adoptions of the user's.
//
// Each session is given whole or not at all, and combined once, even if the process ends
// meanwhile: a further call, or Inherit, goes on. combine may be called more than once for that,
// in a turn of this DB: it must not call its methods.
//
// The error wraps session.ErrConfig if the visitor is none, or has another heir. It wraps
// session.ErrQuota if a session has no room for what the other has. That one stays as it is, the
// visitor is gone all the same, and a further call gives it once there is room.
func (d *DB) Adopt(ctx context.Context, visitor, user string, combine Combine) error {
	if user == "" || visitor == user {
		return fmt.Errorf("adopt: %w: a user must be named, who is not the visitor", session.ErrConfig)
	}
	err := d.adopt(ctx, visitor, user, combine)
	d.known.forget(func(k Known) bool { return k.Owner == visitor })
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	return nil
}

func (d *DB) adopt(ctx context.Context, visitor, user string, combine Combine) error {
	to := digest(user)
	if visitor != "" {
		if err := d.setHeir(ctx, digest(visitor), user); err != nil {
			return err
		}
	}
	owners, err := d.texts(ctx, to, leftTo, to)
	if err != nil {
		return err
	}
	var failed []error
	for _, owner := range owners {
		failed = append(failed, d.inherit(ctx, owner, to, combine))
	}
	if visitor != "" {
		failed = append(failed, d.dropVisitor(ctx, digest(visitor), to))
	}
	return errors.Join(failed...)
}

// setHeir has no session of a visitor's begin from now on.
func (d *DB) setHeir(ctx context.Context, visitor, user string) error {
	done, err := d.turn(ctx, digest(user), 0)
	if err != nil {
		return err
	}
	defer done()
	var heir string
	err = d.counting(ctx, "sessions "+visitor, func(ctx context.Context) error {
		return d.queryRow(ctx, setHeir, []any{visitor, digest(user), Tag(user), timestamp(d.now())}, &heir)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: the visitor is none, or his sessions are another's", session.ErrConfig)
	}
	return d.describe(err)
}

// dropVisitor drops what gives access to a visitor's sessions.
func (d *DB) dropVisitor(ctx context.Context, visitor, user string) error {
	done, err := d.turn(ctx, user, 0)
	if err != nil {
		return err
	}
	defer done()
	err = d.exec(ctx, dropCodes, visitor)
	if err == nil {
		err = d.exec(ctx, dropDevices, visitor)
		d.ended(visitor, "")
	}
	return d.describe(err)
}

// Inherit does what Adopt had left to do for a session, if a user has adopted the sessions of
// the visitor who has a tag. The error wraps session.ErrQuota if there is no room still.
func (d *DB) Inherit(ctx context.Context, tag, user, name string, combine Combine) error {
	to, err := d.newID(user, name)
	var owner, heir string
	if err == nil {
		owner, heir, _, err = d.findTag(ctx, tag)
	}
	if err == nil && owner != "" && heir == Tag(user) {
		err = d.give(ctx, id{owner, to.session}, to, combine)
	}
	if err != nil {
		return fmt.Errorf("session %q: inherit: %w", name, err)
	}
	return nil
}

// Heir returns the tag of the heir of the visitor who has a tag, and since when he is. They
// are empty and zero if there is none.
func (d *DB) Heir(ctx context.Context, tag string) (heir string, since time.Time, err error) {
	_, heir, since, err = d.findTag(ctx, tag)
	if err != nil {
		err = fmt.Errorf("find an heir: %w", err)
	}
	return heir, since, err
}

// findTag returns the owner of a tag, and his heir's tag, if he has one.
func (d *DB) findTag(ctx context.Context, tag string) (owner, heir string, since time.Time, err error) {
	if !engine.IsTag(tag) {
		return "", "", since, nil
	}
	done, err := d.turn(ctx, newcomers, 0)
	if err != nil {
		return "", "", since, err
	}
	defer done()
	var adopted string
	err = d.queryRow(ctx, findTag, []any{tag}, &owner, &heir, &adopted)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", since, nil
	}
	if err == nil {
		since, err = time.Parse(time.RFC3339, adopted)
	}
	return owner, heir, since, d.describe(err)
}

// inherit gives all sessions of one owner to another.
func (d *DB) inherit(ctx context.Context, from, to string, combine Combine) error {
	names, err := d.texts(ctx, to, sessionsOf, from)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		if err := d.give(ctx, id{from, name}, id{to, name}, combine); err != nil {
			failed = append(failed, fmt.Errorf("session %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

// texts returns the rows of a statement that returns texts, in a turn of its own.
func (d *DB) texts(ctx context.Context, line, statement, parameter string) (texts []string, err error) {
	done, err := d.turn(ctx, line, 0)
	if err != nil {
		return nil, err
	}
	defer done()
	texts, err = d.rows(ctx, statement, parameter)
	return texts, d.describe(err)
}

// rows returns the rows of a statement that returns texts.
func (d *DB) rows(ctx context.Context, statement string, parameters ...any) (texts []string, err error) {
	err = d.query(ctx, statement, parameters, func(row *sql.Rows) error {
		var text string
		err := row.Scan(&text)
		texts = append(texts, text)
		return err
	})
	return texts, err
}

// give gives a session to another owner. Each step can be the last one, and be done again. The
// first merges what is alive into the other's session, with a mark that says up to which
// version. The second deletes the session, unless something was merged into it since. The
// third deletes the mark.
func (d *DB) give(ctx context.Context, from, to id, combine Combine) error {
	done, err := d.turn(ctx, to.owner, turns.Cost(d.limits.Entries, 0))
	if err != nil {
		return err
	}
	defer done()
	mark := "heir of " + from.owner
	for range maxTries {
		given, found, err := d.find(ctx, from)
		if err != nil || !found {
			return d.describe(err)
		}
		at, found, err := d.find(ctx, to)
		if err == nil {
			_, err = d.use(ctx, to, at, found)
		}
		if err == nil {
			err = d.holdingSession(ctx, to, func(ctx context.Context) error { return d.take(ctx, from, to, given, mark, combine) })
			d.perhapsChanged(to, err)
		}
		var epoch string
		if err == nil {
			err = d.holdingSession(ctx, from, func(ctx context.Context) error {
				return d.queryRow(ctx, dropSession, []any{from.owner, from.session, given.epoch, strconv.FormatInt(given.version, 10)}, &epoch)
			})
		}
		switch {
		case errors.Is(err, errGone) || errors.Is(err, sql.ErrNoRows): // somebody has used either meanwhile
		case err != nil:
			return d.describe(err)
		default:
			err = d.exec(ctx, dropMark, to.owner, to.session, mark)
			for deleted := true; deleted && err == nil; { // or Prune does it
				deleted, err = d.dropOrphan(ctx, from)
			}
			return d.describe(err)
		}
	}
	return fmt.Errorf("%w: others change the session all the time", ErrBusy)
}

// take merges what is alive in one session into another, unless the mark says that it was. It
// reads in this order: what the other session has, whether there is a mark, and what is to be
// given. So if another process has given it meanwhile, and deleted the mark, nothing is left to
// give; and if it gives it after that, the other session has another version than it had.
func (d *DB) take(ctx context.Context, from, to id, given standing, mark string, combine Combine) error {
	at, found, err := d.find(ctx, to)
	if err != nil || !found {
		return errors.Join(err, errGone)
	}
	had, err := d.load(ctx, to)
	if err != nil {
		return err
	}
	since := "-1"
	err = d.queryRow(ctx, findMark, []any{to.owner, to.session, mark}, &since)
	first := errors.Is(err, sql.ErrNoRows)
	if err != nil && !first {
		return err
	}
	now := d.now().UnixMilli()
	var clock engine.Clock
	for _, newest := range []engine.Stamp{at.newest, given.newest} {
		if newest != "" {
			clock.See(newest)
		}
	}
	stamp, ok := clock.Tick(now, engine.NewWriter())
	if !ok {
		return errClock
	}
	b := batch{by: newSenderClock(0, now), maxAge: unknown, onto: strconv.FormatInt(at.version, 10)}
	b.Newest = stamp
	began := given.touched
	err = d.query(ctx, aliveSince, []any{from.owner, from.session, d.millis(), since, given.epoch}, func(row *sql.Rows) error {
		var key, stamp, made, value string
		if err := row.Scan(&key, &stamp, &made, &value); err != nil {
			return err
		}
		name, err := decodeKey(key)
		if err != nil {
			return err
		}
		alive, err := strconv.ParseInt(made, 10, 64)
		began = min(began, alive)
		b.Records = append(b.Records, engine.Record{Key: name, Stamp: engine.Stamp(stamp), Value: value, Alive: alive})
		return err
	})
	if err != nil || len(b.Records) == 0 {
		return err
	}
	b.spans = []span{{began, given.touched}}
	if first {
		if err := combined(to, b.Records, had, stamp, combine); err != nil {
			return err
		}
		b.spans = append(b.spans, span{now, now})
	}
	if b.text, err = d.parameter(b.Said, b.by); err != nil {
		return err
	}
	b.text = fmt.Sprintf(`%s,["%s","%s","%d","%s"]]`, b.text[:len(b.text)-1], mark, stamp, given.version, madeText(now))
	_, err = d.merge(ctx, to, at, b)
	return err
}

// combined gives a stamp to the records of keys that a session does not have, and to what
// becomes of keys that both have.
func combined(of id, records []engine.Record, had map[string]json.RawMessage, stamp engine.Stamp, combine Combine) error {
	name := of.session
	if text, err := decodeKey(name); err == nil {
		name = text // or else it is the digest of one that is too long
	}
	for i, r := range records {
		own, both := had[r.Key]
		if !both {
			records[i].Stamp = stamp
			continue
		}
		if combine == nil {
			continue
		}
		value, ok := combine(name, r.Key, own, json.RawMessage(r.Value))
		if !ok {
			continue
		}
		encoded, err := encode.Entries(func(yield func(string, any) bool) { yield(r.Key, value) })
		if err != nil {
			return err
		}
		records[i] = engine.Record{Key: r.Key, Stamp: stamp, Value: string(encoded[0].Value)}
	}
	return nil
}
