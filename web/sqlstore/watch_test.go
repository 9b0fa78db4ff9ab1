package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// A hearer is a Watcher that writes down what it hears.
type hearer struct {
	mu    sync.Mutex
	heard []string
}

func (h *hearer) Changed(topic, session, cursor string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, fmt.Sprintf("changed %.8s %q %t", topic, session, cursor != ""))
}

func (h *hearer) Ended(topic, device string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, fmt.Sprintf("ended %.8s %s", topic, device))
}

func anyOf(owner string) string         { return fmt.Sprintf("changed %.8s %q false", Topic(owner), "") }
func endOf(owner, device string) string { return fmt.Sprintf("ended %.8s %s", Topic(owner), device) }
func idOf(secret string) string         { return deviceID(digest(secret)) }
func watch(d *DB) *hearer               { h := new(hearer); d.Watch(h); return h }
func (h *hearer) forgets()              { h.mu.Lock(); defer h.mu.Unlock(); h.heard = nil }
func (h *hearer) hears(t *testing.T, what string, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.Sort(want); !slices.Equal(h.heard, want) {
		t.Errorf("%s: heard %q, want %q", what, h.heard, want)
	}
	h.heard = nil
}

func TestOthersHearOfANewDevice(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	h := watch(d)
	add := func(a Added) {
		t.Helper()
		a.Owner = owner
		if _, err := d.AddDevice(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	find := func(secret string) Known {
		t.Helper()
		known, found, err := d.FindDevice(t.Context(), secret, Lifetimes{})
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return known
	}
	add(Added{Secret: "first"})
	h.hears(t, "the first, which has nobody to hear of it")
	find("first") // is remembered
	add(Added{Secret: "joins", Pending: true})
	h.hears(t, "one that may never come")
	find("first")
	find("joins")
	h.hears(t, "it comes", anyOf(owner))
	if !find("first").News {
		t.Error("who asks at once is not told of it")
	}
	find("joins")
	h.hears(t, "it comes again")
	add(Added{Secret: "signs in", User: true})
	h.hears(t, "a user's that is one at once", anyOf(owner))
}

func TestEndsAreToldThatMayHaveHappened(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	h := watch(d)
	one := mustAdd(t, d, owner, "one", "")
	if err := d.RevokeDevice(t.Context(), owner, one); err != nil {
		t.Fatal(err)
	}
	h.hears(t, "it is revoked", endOf(owner, one))
	if err := d.RevokeDevice(t.Context(), owner, one); !errors.Is(err, ErrDevice) {
		t.Errorf("again: %v, want ErrDevice", err)
	}
	h.hears(t, "again, as the first answer may be lost", endOf(owner, one))
	for _, id := range []string{"", "x", one + "0", one[1:] + "\x00", one[1:] + "G"} {
		if err := d.RevokeDevice(t.Context(), owner, id); !errors.Is(err, ErrDevice) {
			t.Errorf("%q: %v, want ErrDevice", id, err)
		}
		h.hears(t, "what is no ID")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.RevokeDevice(ctx, owner, one); err == nil {
		t.Error("it was revoked without a turn")
	}
	h.hears(t, "what had no turn")
}

func TestADeviceIsLookedUp(t *testing.T) {
	path := file(t)
	here, there := create(t, open(t, path), Limits{}), connect(open(t, path), Limits{})
	id := mustAdd(t, here, owner, "secret", "")
	if known, found, err := here.FindDevice(t.Context(), "secret", Lifetimes{}); err != nil || !found || known.Ended {
		t.Fatal(known, found, err)
	}
	if err := there.RevokeDevice(t.Context(), owner, id); err != nil {
		t.Fatal(err)
	}
	for _, look := range []func(context.Context, string, Lifetimes) (Known, bool, error){here.LookUpDevice, here.FindDevice} {
		if known, found, err := look(t.Context(), "secret", Lifetimes{}); err != nil || !found || !known.Ended {
			t.Errorf("it is %+v, %t, %v, want that it has ended", known, found, err)
		}
	}
}

// Nobody can tell whether the database has done what it says no more of.
func TestEndsAreToldThatFail(t *testing.T) {
	db := open(t, file(t))
	d := create(t, db, Limits{})
	h := watch(d)
	two := mustAdd(t, d, owner, "two", "")
	if _, found, err := d.FindDevice(t.Context(), "two", Lifetimes{}); err != nil || !found {
		t.Fatal(found, err)
	}
	exec(t, db, `ALTER TABLE devices RENAME TO missing`)
	t.Cleanup(func() { exec(t, db, `ALTER TABLE missing RENAME TO devices`) })
	for _, test := range []struct {
		call string
		do   func() error
		want string
	}{
		{"drop", func() error { return d.DropDevice(t.Context(), "two") }, endOf(owner, two)},
		{"revoke", func() error { return d.RevokeDevice(t.Context(), owner, two) }, endOf(owner, two)},
		{"erase", func() error { return d.Erase(t.Context(), owner, "another") }, endOf(owner, "")},
	} {
		if err := test.do(); err == nil || errors.Is(err, ErrDevice) {
			t.Errorf("%s: %v, want that it fails", test.call, err)
		}
		h.hears(t, test.call, test.want)
	}
}

func TestADeviceThatGivesWayIsTold(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Devices: 2})
	h := watch(d)
	for _, secret := range []string{"never", "comes"} {
		if _, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: secret, User: true, Pending: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.FindDevice(t.Context(), "comes", Lifetimes{}); err != nil {
		t.Fatal(err)
	}
	h.forgets()
	if _, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: "more", User: true, Pending: true}); err != nil {
		t.Fatal(err)
	}
	h.hears(t, "a third where there may be two", endOf(owner, idOf("never")))
}
