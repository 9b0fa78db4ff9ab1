package sqlstore

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/session-interop/session-writer"
)

// A Watcher hears of what the calls of a DB have changed, once that is committed. It also hears
// of what a call that failed may have changed, as the database may have done what it was asked
// without an answer. Only a call that was killed before it told is not heard of. What other
// processes change is heard of there.
//
// Its methods are called by the goroutine of the call, which waits. They must return soon, and
// not call the DB.
type Watcher interface {
	// Changed hears that something was merged into a session of the owner whose Topic it
	// gets. An empty name stands for any of his sessions, and may also mean that he has one
	// more device: see Known.News.
	//
	// cursor is the beginning of a cursor, an epoch and a version in decimal digits, with a
	// hyphen between them: who has a cursor of that epoch and at least that version has what
	// was merged. It is empty if that is not known.
	Changed(topic, session, cursor string)

	// Ended hears that the device of an ID has no access to an owner's sessions any more, or,
	// with an empty one, that no device has. It may never have had any, and where a call has
	// failed, it may still have it.
	Ended(topic, device string)
}

// Topic returns the name that Watchers know an owner by: 64 hexadecimal digits. It does not
// tell the owner's id, but who can guess that can find out whether a topic is of it.
func Topic(owner string) string { return digest(owner) }

// watchers are called in the order in which they came.
type watchers struct {
	mu  sync.RWMutex
	all []Watcher
}

// Watch has a Watcher hear of changes for as long as the DB is used.
func (d *DB) Watch(w Watcher) {
	d.watchers.mu.Lock()
	defer d.watchers.mu.Unlock()
	d.watchers.all = append(slices.Clone(d.watchers.all), w)
}

func (d *DB) watching() []Watcher {
	d.watchers.mu.RLock()
	defer d.watchers.mu.RUnlock()
	return d.watchers.all
}

// changed tells of a merge. Only the cursor's epoch and version are told, and nothing of it if
// it is zero.
func (d *DB) changed(of id, at cursor) {
	name, err := decodeKey(of.session)
	if err != nil {
		name = "" // it is the digest of one that is too long for the tables
	}
	text := ""
	if at.life = ""; at.epoch != "" {
		text = at.String()
	}
	for _, w := range d.watching() {
		w.Changed(of.owner, name, text)
	}
}

// perhapsChanged tells of a merge that failed, unless nothing was merged for certain: the
// database may have answered too late, or not at all.
func (d *DB) perhapsChanged(of id, err error) {
	for _, refusal := range []error{errGone, session.ErrQuota, session.ErrFull} {
		if errors.Is(err, refusal) {
			return
		}
	}
	d.changed(of, cursor{})
}

// ended tells that a device, or all of an owner's, have no access.
func (d *DB) ended(topic, device string) {
	for _, w := range d.watching() {
		w.Ended(topic, device)
	}
}

// joined tells of a device that was added, or that has come for the first time. Those who ask
// at once are told of it.
func (d *DB) joined(owner string) {
	d.known.forget(func(k Known) bool { return k.Owner == owner })
	for _, w := range d.watching() {
		w.Changed(Topic(owner), "", "")
	}
}

// endOthers revokes the devices of an owner but the one of the ID keep, and tells of it: that
// none has access, if it is not known which have lost it. That one then comes anew.
func (d *DB) endOthers(ctx context.Context, owner, keep string) error {
	devices, err := d.rows(ctx, revokeOthers, owner, keep, moment(d.now()))
	if err != nil {
		d.ended(owner, "")
		return err
	}
	for _, device := range devices {
		d.ended(owner, deviceID(device))
	}
	return nil
}
