package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
)

// A Device is a browser, or another program, that has an owner's sessions. It is known by a
// secret, which is in its cookie.
type Device struct {
	// ID tells the devices of an owner apart: 16 hexadecimal digits. It does not tell the
	// secret.
	ID string
	// Name is at most MaxDeviceName bytes of UTF-8.
	Name string
	// First is when the device was added, and Last when it was last here, up to an hour
	// before that.
	First, Last time.Time
	// New says that the device was added after the one that asks had last asked.
	New bool
}

// MaxDeviceName is the largest size of a device's name, in bytes.
const MaxDeviceName = 100

var (
	// ErrDevice means that an owner has no device of that ID.
	ErrDevice = errors.New("there is no such device")
	// ErrDevices means that an owner has as many devices as Limits.Devices.
	ErrDevices = errors.New("there are too many devices")
)

// Lifetimes are how long a device has access. A zero stands for as long as it is not pruned.
type Lifetimes struct {
	// Idle is since it was last here, up to an eighth less, and Absolute since it was added.
	Idle, Absolute time.Duration
}

// exactly is how exactly it is noted when a device was last here.
func (l Lifetimes) exactly() time.Duration {
	if l.Idle > 0 {
		return min(lastSeen, l.Idle/8)
	}
	return lastSeen
}

// begin returns before when a device was made or seen last whose lifetime is over.
func (l Lifetimes) begin(now time.Time) (made, seen string) {
	if l.Absolute > 0 {
		made = moment(now.Add(-l.Absolute))
	}
	if l.Idle > 0 {
		seen = moment(now.Add(-l.Idle))
	}
	return made, seen
}

// over reports whether one of them is.
func (l Lifetimes) over(made, seen, now time.Time) bool {
	return l.Idle > 0 && now.Sub(seen) >= l.Idle || l.Absolute > 0 && now.Sub(made) >= l.Absolute
}

// A Known is a device that was found by its secret.
type Known struct {
	// Owner is the owner's id.
	Owner string
	// ID is the Device's.
	ID string
	// User says that it was added as a user's.
	User bool
	// Ended says that the device was revoked, or that its lifetime is over. The secret gives
	// no access any more.
	Ended bool
	// News says that another device was added after this one had last asked for them.
	News bool
}

// lastSeen is how exactly it is noted when a device was last here, at least.
const lastSeen = time.Hour

// deviceID returns the ID of a device whose secret has the digest.
func deviceID(digest string) string { return digest[:16] }

// isDeviceID reports whether a device may have that ID.
func isDeviceID(id string) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == 16 && id == strings.ToLower(id)
}

// An Added is a device that is to be added to an owner's.
type Added struct {
	Owner string
	// Secret is a new one, which only the device is to know.
	Secret string
	// Name is cut if it is longer than MaxDeviceName. What is no UTF-8 in it is replaced.
	Name string
	// User says that the program knows the owner without the device. There are never too many
	// of his devices: one that was not here for the longest time is dropped.
	User bool
	// Pending says that the secret may never reach the device. It is not among Devices until
	// it was found.
	Pending bool
	Lifetimes
}

// AddDevice adds a device, and returns its ID. The database alone does not tell the secret,
// nor the owner. The error wraps session.ErrConfig if the owner's id is empty or has more than
// 8,160 bytes, and ErrDevices if there are too many devices.
func (d *DB) AddDevice(ctx context.Context, a Added) (id string, err error) {
	if a.Owner == "" {
		return "", fmt.Errorf("add a device: %w: the owner is empty", session.ErrConfig)
	}
	owner, secret, name := a.Owner, a.Secret, strings.ToValidUTF8(strings.ReplaceAll(a.Name, "\x00", ""), "\ufffd")
	sealed, err := seal(secret, "device", owner)
	if err != nil {
		return "", fmt.Errorf("add a device: %w: the owner's id: %w", session.ErrConfig, err)
	}
	done, err := d.turn(ctx, digest(owner), 0)
	if err != nil {
		return "", fmt.Errorf("add a device: %w", err)
	}
	defer done()
	for len(name) > MaxDeviceName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	var number string
	var dropped []string
	err = d.hasRoom(ctx, len(owner)+len(name))
	if err == nil {
		now, kind := moment(d.now()), "visitor"
		made, seen := a.begin(d.now())
		at := now
		if a.Pending {
			at = ""
		}
		err = d.counting(ctx, "devices "+digest(owner), func(ctx context.Context) (err error) {
			if a.User {
				kind = "user"
				if dropped, err = d.rows(ctx, dropUnseen, digest(owner), strconv.Itoa(d.limits.Devices-1)); err != nil {
					return err
				}
			}
			return d.queryRow(ctx, addDevice, []any{
				digest(secret), digest(owner), hex.EncodeToString([]byte(sealed)), name, now, strconv.Itoa(d.limits.Devices), kind, at, made, seen,
			}, &number)
		})
	}
	d.known.forget(func(k Known) bool { return k.Owner == owner })
	for _, device := range dropped {
		d.ended(digest(owner), deviceID(device))
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: there may be %d, so one must be revoked first", ErrDevices, d.limits.Devices)
	}
	if err != nil {
		return "", fmt.Errorf("add a device: %w", d.describe(err))
	}
	if number != "1" && !a.Pending {
		d.joined(owner)
	}
	return deviceID(digest(secret)), nil
}

// moment is as timestamp, and exact enough for any lifetime.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// A knownDevices remembers what was found, so that not each request of a device asks the
// database. Other processes hear of a revocation as late as that.
type knownDevices struct {
	mu    sync.Mutex
	found map[string]knownDevice
	// forgotten counts the calls of forget. What was asked for before the last is not set.
	forgotten int
}

type knownDevice struct {
	Known
	made, until time.Time
}

// remembered is how long a device is remembered, and manyDevices is how many are.
const (
	remembered  = 5 * time.Second
	manyDevices = 10_000
)

// get returns what was found last, whether that is still good, and forgotten.
func (k *knownDevices) get(device string, now time.Time) (found knownDevice, good bool, forgotten int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, ok := k.found[device]
	// Not for long either, if this clock was ahead.
	return found, ok && now.Before(found.until) && now.After(found.until.Add(-2*remembered)), k.forgotten
}

func (k *knownDevices) set(device string, found knownDevice, forgotten int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.forgotten != forgotten {
		return
	}
	if k.found == nil || len(k.found) >= manyDevices {
		k.found = make(map[string]knownDevice)
	}
	k.found[device] = found
}

func (k *knownDevices) forget(which func(Known) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forgotten++
	maps.DeleteFunc(k.found, func(_ string, found knownDevice) bool { return which(found.Known) })
}

// FindDevice returns the device that has a secret, and whether there is one. It notes that
// the device was here. That another process has revoked or added a device is noticed after
// five seconds at most.
func (d *DB) FindDevice(ctx context.Context, secret string, lifetimes Lifetimes) (Known, bool, error) {
	now := d.now()
	if found, good, _ := d.known.get(digest(secret), now); good {
		found.Ended = found.Ended || lifetimes.over(found.made, now, now)
		return found.Known, true, nil
	}
	return d.LookUpDevice(ctx, secret, lifetimes)
}

// LookUpDevice is as FindDevice, and notices at once what another process has done: it always asks
// the database. It is for what a device may then do for long.
func (d *DB) LookUpDevice(ctx context.Context, secret string, lifetimes Lifetimes) (Known, bool, error) {
	of, now := digest(secret), d.now()
	found, _, forgotten := d.known.get(of, now)
	line := newcomers
	if found.Owner != "" { // so that no crowd of strangers keeps out who was here
		line = digest(found.Owner)
	}
	done, err := d.turn(ctx, line, 0)
	if err != nil {
		return Known{}, false, fmt.Errorf("find a device: %w", err)
	}
	defer done()
	found, err = d.findDevice(ctx, of, secret, now, lifetimes)
	if errors.Is(err, sql.ErrNoRows) {
		return Known{}, false, nil
	}
	if err != nil {
		return Known{}, false, fmt.Errorf("find a device: %w", d.describe(err))
	}
	d.known.set(of, found, forgotten)
	return found.Known, true, nil
}

func (d *DB) findDevice(ctx context.Context, of, secret string, now time.Time, lifetimes Lifetimes) (found knownDevice, err error) {
	var owner, sealed, kind, made, seen, revoked, ownerUsed, ownerTag string
	err = d.queryRow(ctx, findDevice, []any{of}, &owner, &sealed, &kind, &made, &seen, &revoked, &found.News, &ownerUsed, &ownerTag)
	if err != nil {
		return found, err
	}
	found.ID, found.Owner, found.User, found.until = deviceID(of), secret, kind == "user", now.Add(remembered)
	if sealed != "" {
		text, err := hex.DecodeString(sealed)
		if err == nil {
			found.Owner, err = seal(secret, "device", string(text))
		}
		if err != nil {
			return found, err
		}
	}
	found.made, err = time.Parse(time.RFC3339, made)
	last, pending := found.made, seen == ""
	if err == nil && !pending {
		last, err = time.Parse(time.RFC3339, seen)
	}
	if err != nil {
		return found, err
	}
	found.Ended = revoked != "" || lifetimes.over(found.made, last, now)
	if found.Ended {
		return found, nil
	}
	if pending || now.Sub(last) >= lifetimes.exactly() {
		err = d.exec(ctx, seeDevice, of, moment(now))
	}
	if pending && err == nil {
		d.joined(found.Owner)
	}
	if tag := Tag(found.Owner); err == nil && ownerUsed != "" && (ownerUsed < date(now) || ownerTag == "") {
		err = d.exec(ctx, useOwner, owner, date(now), tag)
	}
	if err = d.describe(err); errors.Is(err, session.ErrFull) {
		err = nil // he may be here to make room, and his next use is noted
	}
	return found, err
}

// Devices returns the devices of an owner that have not ended, the first one first. If asks
// is the ID of one of them, what it is told now is not New to it any more.
func (d *DB) Devices(ctx context.Context, owner, asks string, lifetimes Lifetimes) ([]Device, error) {
	done, err := d.turn(ctx, digest(owner), 0)
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	defer done()
	var devices []Device
	told, newest := math.MaxInt, 0
	now := d.now()
	numbers := make(map[string]int)
	err = d.query(ctx, allDevices, []any{digest(owner)}, func(row *sql.Rows) error {
		var device, name, first, last string
		var number, was int
		err := row.Scan(&device, &name, &first, &last, &number, &was)
		at := Device{ID: deviceID(device), Name: name}
		if err == nil {
			at.First, err = time.Parse(time.RFC3339, first)
		}
		if err == nil {
			at.Last, err = time.Parse(time.RFC3339, last)
		}
		if err != nil {
			return err
		}
		if at.ID == asks {
			told = was
		}
		newest = number
		numbers[at.ID] = number
		if !lifetimes.over(at.First, at.Last, now) {
			devices = append(devices, at)
		}
		return nil
	})
	for i, at := range devices {
		devices[i].New = at.ID != asks && numbers[at.ID] > told
	}
	if err == nil && newest > told {
		err = d.exec(ctx, tellDevice, digest(owner), asks, strconv.Itoa(newest))
		d.known.forget(func(k Known) bool { return k.ID == asks })
	}
	if err != nil {
		return nil, fmt.Errorf("devices: %w", d.describe(err))
	}
	return devices, nil
}

// NameDevice names one of an owner's devices. The error wraps ErrDevice if there is none of
// that ID, or session.ErrConfig if the name is empty, longer than MaxDeviceName, not UTF-8, or
// has a character U+0000.
func (d *DB) NameDevice(ctx context.Context, owner, id, name string) error {
	if name == "" || len(name) > MaxDeviceName || !utf8.ValidString(name) || strings.Contains(name, "\x00") {
		return fmt.Errorf("name a device: %w: the name is %q, and must be UTF-8 of 1 to %d bytes, without U+0000", session.ErrConfig, shorten(name), MaxDeviceName)
	}
	if !isDeviceID(id) {
		return fmt.Errorf("name a device: %w", ErrDevice)
	}
	_, _, err := d.changeDevice(ctx, "name", digest(owner), nameDevice, digest(owner), id, name)
	return err
}

// RevokeDevice ends the access of one of an owner's devices: see Known.Ended. What it has
// of the sessions stays on it. The error wraps ErrDevice if there is none of that ID.
func (d *DB) RevokeDevice(ctx context.Context, owner, id string) error {
	if !isDeviceID(id) {
		return fmt.Errorf("revoke a device: %w", ErrDevice)
	}
	_, tried, err := d.changeDevice(ctx, "revoke", digest(owner), revokeDevice, digest(owner), id, moment(d.now()))
	if tried {
		// Without such a device, too: this may be the second try of one that was done.
		d.lost(digest(owner), id)
	}
	return err
}

// Erase revokes the devices of an owner but the one of the ID keep, and his pairing codes. Then
// it removes all entries of all his sessions, as Clear does, so that no device has them for
// longer than until its next exchange. What remains for KeptFor, so that nothing comes back,
// are the names of the sessions and when they were used and cleared, the revoked devices without
// their names, and whose heir he is. If it fails, it may be called again.
func (d *DB) Erase(ctx context.Context, owner, keep string) error {
	err := d.erase(ctx, digest(owner), keep)
	d.known.forget(func(k Known) bool { return k.Owner == owner })
	if err != nil {
		return fmt.Errorf("erase: %w", d.describe(err))
	}
	return nil
}

func (d *DB) erase(ctx context.Context, owner, keep string) error {
	done, err := d.turn(ctx, owner, 0)
	if err != nil {
		return err
	}
	if err = d.exec(ctx, dropCodes, owner); err == nil {
		err = d.endOthers(ctx, owner, keep)
	}
	done()
	if err != nil {
		return err
	}
	// With what was left of visitors whose heir he is, or it would become his another day.
	owners, err := d.texts(ctx, owner, leftTo, owner)
	for _, of := range append(owners, owner) {
		if err != nil {
			return err
		}
		var names []string
		names, err = d.texts(ctx, owner, sessionsOf, of)
		for _, name := range names {
			if err == nil {
				err = d.clear(ctx, id{of, name})
			}
		}
	}
	return err
}

// EraseSession removes all entries of a session, as Clear does. If there is no such session,
// it makes none.
func (d *DB) EraseSession(ctx context.Context, owner, name string) error {
	if err := d.eraseSession(ctx, owner, name); err != nil {
		return fmt.Errorf("session %q: erase: %w", name, d.describe(err))
	}
	return nil
}

func (d *DB) eraseSession(ctx context.Context, owner, name string) error {
	of, err := d.newID(owner, name)
	if err != nil {
		return err
	}
	done, err := d.turn(ctx, of.owner, 0)
	if err != nil {
		return err
	}
	_, found, err := d.find(ctx, of)
	done()
	if err != nil || !found {
		return err
	}
	return d.clear(ctx, of)
}

// clear merges a clearing.
func (d *DB) clear(ctx context.Context, of id) error {
	s := Session{db: d, id: of, writer: engine.NewWriter()}
	return s.write(ctx, nil, true)
}

// DropDevice has a device be as if it had never been added. An unknown secret is no error.
func (d *DB) DropDevice(ctx context.Context, secret string) error {
	of := digest(secret)
	found, _, _ := d.known.get(of, d.now())
	topic, tried, err := d.changeDevice(ctx, "drop", of, dropDevice, of)
	if topic == "" && found.Owner != "" {
		topic = digest(found.Owner) // as the row was not returned
	}
	if tried && topic != "" {
		d.lost(topic, deviceID(of))
	}
	if errors.Is(err, ErrDevice) {
		err = nil
	}
	return err
}

// lost forgets a device that may have lost access, and tells of it.
func (d *DB) lost(topic, id string) {
	d.known.forget(func(k Known) bool { return k.ID == id })
	d.ended(topic, id)
}

// changeDevice runs a statement about a device, in the line of somebody. It returns the owner's
// topic, and whether the statement was tried.
func (d *DB) changeDevice(ctx context.Context, call, line, statement string, parameters ...any) (topic string, tried bool, err error) {
	done, err := d.turn(ctx, line, 0)
	if err != nil {
		return "", false, fmt.Errorf("%s a device: %w", call, err)
	}
	defer done()
	err = d.queryRow(ctx, statement, parameters, &topic)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrDevice
	}
	if err != nil {
		err = fmt.Errorf("%s a device: %w", call, d.describe(err))
	}
	return topic, true, err
}
