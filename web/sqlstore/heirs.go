package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

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
// own, so that of each key the value stays that was saved later. What combine returns takes
// its place; combine may be nil. What the visitor has removed removes nothing of the user's.
// The visitor's devices are dropped, and his pages give what they have not sent to the user
// alone, as Replica tells them. Each session is given whole or not at all, and combined
// once, even if the process ends meanwhile: a further call, or Inherit, goes on.
//
// The error wraps session.ErrConfig if the visitor is none, or has another heir; it wraps
// session.ErrQuota if a session has no room for what the other has, which stays as it is. All
// others are given.
func (d *DB) Adopt(ctx context.Context, visitor, user string, combine Combine) error {
	if visitor == "" || user == "" || visitor == user {
		return fmt.Errorf("adopt: %w: a visitor and a user must be named, and must not be the same", session.ErrConfig)
	}
	err := d.adopt(ctx, digest(visitor), digest(user), combine)
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	d.known.forget(func(k Known) bool { return k.Owner == visitor })
	return nil
}

func (d *DB) adopt(ctx context.Context, visitor, user string, combine Combine) error {
	done, err := d.turn(ctx, user, 0)
	if err != nil {
		return err
	}
	var heir string
	// From now on no session of his can begin.
	err = d.counting(ctx, "sessions "+visitor, func(ctx context.Context) error {
		return d.queryRow(ctx, setHeir, []any{visitor, user}, &heir)
	})
	done()
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: the visitor is none, or his sessions are another's", session.ErrConfig)
	}
	if err != nil {
		return d.describe(err)
	}
	if err := d.inherit(ctx, visitor, user, combine); err != nil {
		return err
	}
	if done, err = d.turn(ctx, user, 0); err != nil {
		return err
	}
	defer done()
	err = d.exec(ctx, dropCodes, visitor)
	if err == nil {
		err = d.exec(ctx, dropDevices, visitor)
	}
	return d.describe(err)
}

// Inherit reports whether a user has adopted the sessions of the visitor who has a tag. If he
// has, it first does what Adopt had left to do.
func (d *DB) Inherit(ctx context.Context, tag, user string, combine Combine) (heir bool, err error) {
	visitor, err := d.isHeir(ctx, tag, user)
	if err == nil && visitor != "" {
		err = d.inherit(ctx, visitor, digest(user), combine)
	}
	if err != nil {
		return false, fmt.Errorf("inherit: %w", err)
	}
	return visitor != "", nil
}

// isHeir returns the visitor of that tag if he is one whose heir is the user.
func (d *DB) isHeir(ctx context.Context, tag, user string) (visitor string, err error) {
	done, err := d.turn(ctx, digest(user), 0)
	if err != nil {
		return "", err
	}
	defer done()
	err = d.queryRow(ctx, isHeir, []any{tag, digest(user)}, &visitor)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return visitor, d.describe(err)
}

// FindTag reports whether a tag is that of a visitor whom AddOwner added, and whether he has
// an heir.
func (d *DB) FindTag(ctx context.Context, tag string) (visitor, adopted bool, err error) {
	done, err := d.turn(ctx, newcomers, 0)
	if err != nil {
		return false, false, fmt.Errorf("find a tag: %w", err)
	}
	defer done()
	var heir string
	switch err := d.queryRow(ctx, findTag, []any{tag}, &heir); {
	case errors.Is(err, sql.ErrNoRows):
		return false, false, nil
	case err != nil:
		return false, false, fmt.Errorf("find a tag: %w", d.describe(err))
	}
	return true, heir != "", nil
}

// inherit gives all sessions of one owner to another.
func (d *DB) inherit(ctx context.Context, from, to string, combine Combine) error {
	names, err := d.names(ctx, from)
	if err != nil {
		return d.describe(err)
	}
	var failed []error
	for _, name := range names {
		if err := d.give(ctx, id{from, name}, id{to, name}, combine); err != nil {
			failed = append(failed, fmt.Errorf("session %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

// names returns the names of an owner's sessions, in the form of the tables.
func (d *DB) names(ctx context.Context, owner string) (names []string, err error) {
	done, err := d.turn(ctx, owner, 0)
	if err != nil {
		return nil, err
	}
	defer done()
	err = d.query(ctx, sessionsOf, []any{owner}, func(row *sql.Rows) error {
		var name string
		err := row.Scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
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

// take merges what is alive in one session into another, unless the mark says that it was.
func (d *DB) take(ctx context.Context, from, to id, given standing, mark string, combine Combine) error {
	since := "-1"
	err := d.queryRow(ctx, findMark, []any{to.owner, to.session, mark}, &since)
	first := errors.Is(err, sql.ErrNoRows)
	if err != nil && !first {
		return err
	}
	at, found, err := d.find(ctx, to)
	if err != nil || !found {
		return errors.Join(err, errGone)
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
	b := batch{by: newSenderClock(0, now), maxAge: unknown}
	b.Newest = stamp
	began := given.touched
	err = d.query(ctx, aliveSince, []any{from.owner, from.session, d.millis(), since}, func(row *sql.Rows) error {
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
	if first && combine != nil {
		if err := d.combine(ctx, to, b.Records, stamp, combine); err != nil {
			return err
		}
	}
	if b.text, err = d.parameter(b.Said, b.by); err != nil {
		return err
	}
	b.text = fmt.Sprintf(`%s,["%s","%s","%d","%s"]]`, b.text[:len(b.text)-1], mark, stamp, given.version, madeText(now))
	_, err = d.merge(ctx, to, at, b)
	return err
}

// combine replaces the records of keys that a session has, too.
func (d *DB) combine(ctx context.Context, of id, records []engine.Record, stamp engine.Stamp, combine Combine) error {
	had, err := d.load(ctx, of)
	if err != nil {
		return err
	}
	name := of.session
	if text, err := decodeKey(name); err == nil {
		name = text // or else it is the digest of one that is too long
	}
	for i, r := range records {
		own, both := had[r.Key]
		if !both {
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
