package sqlstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
)

const visitor = "fedcba9876543210fedcba9876543210"

// mustSave saves entries into an owner's cart.
func mustSave(t *testing.T, d *DB, owner string, entries map[string]any) {
	t.Helper()
	s, err := d.Open(t.Context(), owner, "cart")
	if err == nil {
		err = s.Save(t.Context(), maps.All(entries))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// entriesIn returns an owner's session as text.
func entriesIn(t *testing.T, d *DB, owner, name string) string {
	t.Helper()
	s, err := d.Open(t.Context(), owner, name)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sum adds up the numbers of the key "n".
func sum(_, key string, user, visitor json.RawMessage) (any, bool) {
	var a, b int
	if key != "n" || json.Unmarshal(user, &a) != nil || json.Unmarshal(visitor, &b) != nil {
		return nil, false
	}
	return a + b, true
}

// prepareAdoption has a visitor and a user with a cart each.
func prepareAdoption(t *testing.T, d *DB) {
	t.Helper()
	if err := addVisitor(t, d, visitor); err != nil {
		t.Fatal(err)
	}
	mustSave(t, d, owner, map[string]any{"n": 3, "both": "user", "user": 1, "kept": 1})
	mustSave(t, d, visitor, map[string]any{"n": 2, "both": "visitor", "visitor": []int{1}, "kept": 2})
	s, err := d.Open(t.Context(), visitor, "cart")
	if err == nil {
		err = s.Remove(t.Context(), "kept")
	}
	if err != nil {
		t.Fatal(err)
	}
}

const adopted = `{"both":"visitor","kept":1,"n":5,"user":1,"visitor":[1]}`

func TestAdopt(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	prepareAdoption(t, d)
	mustExchange(t, d, visitor, "wish", "", "["+item(past, `"set":{"w":1}`)+"]")
	for range 2 { // once more does nothing
		if err := d.Adopt(t.Context(), visitor, owner, sum); err != nil {
			t.Fatal(err)
		}
		if got := entriesIn(t, d, owner, "cart"); got != adopted {
			t.Errorf("the user has %s, want %s", got, adopted)
		}
		if got := entriesIn(t, d, owner, "wish"); got != `{"w":1}` {
			t.Errorf("of the session that only the visitor had, the user has %s", got)
		}
		if got := entriesIn(t, d, visitor, "cart"); got != `{}` {
			t.Errorf("the visitor has %s still", got)
		}
	}
	if n := count(t, d, "records WHERE key NOT IN ('', 'newest') AND key NOT BETWEEN '\"' AND '#'"); n != 0 {
		t.Errorf("%d marks are left", n)
	}
	if isKnown(t, d, visitor) {
		t.Error("the visitor's device has access still")
	}
	if _, err := exchange(t.Context(), d, visitor, "cart", "", "["+item(past, `"set":{"late":1}`)+"]"); !errors.Is(err, ErrBusy) {
		t.Errorf("what the visitor saves that moment: %v, want ErrBusy", err)
	}
	if heir, since, err := d.Heir(t.Context(), Tag(visitor)); err != nil || heir != Tag(owner) || time.Since(since) > time.Minute {
		t.Errorf("the visitor's heir is %q since %v: %v", heir, since, err)
	}
	for _, user := range []string{owner, "another"} {
		_, err := d.Exchange(t.Context(), user, "cart", session.Sent{Owner: Tag(visitor)})
		if refused, ok := errors.AsType[*session.OwnerError](err); !ok || refused.Owner != Tag(user) || refused.Heir != Tag(owner) {
			t.Errorf("the visitor's page, as %s: %v, want that the first user is the heir", user, err)
		}
		if err := d.Inherit(t.Context(), Tag(visitor), user, "cart", sum); err != nil {
			t.Errorf("%s inherits: %v", user, err)
		}
		if got := entriesIn(t, d, "another", "cart"); got != `{}` {
			t.Errorf("another has %s", got)
		}
	}
	for name, of := range map[string][2]string{
		"another user": {visitor, "another"}, "somebody unknown": {"nobody", owner}, "himself": {visitor, visitor}, "no user": {visitor, ""},
	} {
		if err := d.Adopt(t.Context(), of[0], of[1], nil); !errors.Is(err, session.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
	// Pages of the visitor may come for as long as browsers keep their cookies.
	mustPrune(t, d, time.Now().Add(KeptFor-48*time.Hour))
	if heir, _, err := d.Heir(t.Context(), Tag(visitor)); err != nil || heir != Tag(owner) {
		t.Errorf("after more than a year the heir is %q, %v", heir, err)
	}
	mustPrune(t, d, time.Now().Add(KeptFor+48*time.Hour))
	if heir, _, err := d.Heir(t.Context(), Tag(visitor)); err != nil || heir != "" {
		t.Errorf("after KeptFor the heir is %q, %v", heir, err)
	}
}

func TestAdoptWithoutRoom(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Entries: 4})
	prepareAdoption(t, d)
	mustExchange(t, d, visitor, "wish", "", "["+item(past, `"set":{"w":1}`)+"]")
	before := entriesIn(t, d, owner, "cart")
	if err := d.Adopt(t.Context(), visitor, owner, sum); !errors.Is(err, session.ErrQuota) {
		t.Fatalf("a cart of 5 where there may be 4: %v", err)
	}
	if got := entriesIn(t, d, owner, "cart"); got != before {
		t.Errorf("the user has %s, want %s", got, before)
	}
	if got := entriesIn(t, d, owner, "wish"); got != `{"w":1}` {
		t.Errorf("the other session is %s", got)
	}
	if got := entriesIn(t, d, visitor, "cart"); got != `{"both":"visitor","n":2,"visitor":[1]}` || isKnown(t, d, visitor) {
		t.Errorf("what was not given is %s, or the visitor is known still", got)
	}
	// The user makes room, and signs in another day. What he removed then is no reason to
	// remove what the visitor had.
	s, err := d.Open(t.Context(), owner, "cart")
	if err == nil {
		err = s.Clear(t.Context())
	}
	if err == nil {
		err = d.Adopt(t.Context(), "", owner, sum)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, want := entriesIn(t, d, owner, "cart"), `{"both":"visitor","n":2,"visitor":[1]}`; got != want {
		t.Errorf("with room, the user has %s, want %s", got, want)
	}
}

// What was over for the visitor stays over. What he saves now is there for a user whose
// session was over, and nothing from before.
func TestAdoptSessionsThatAreOver(t *testing.T) {
	const hour = 3_600_000
	d := create(t, open(t, file(t)), Limits{})
	now := time.UnixMilli(past)
	d.now = func() time.Time { return now }
	if err := addVisitor(t, d, visitor); err != nil {
		t.Fatal(err)
	}
	send := func(of string, maxAge int64, members string) {
		t.Helper()
		at := now.UnixMilli()
		if _, err := d.Exchange(t.Context(), of, "cart", session.Sent{Owner: Tag(of), Items: "[" + item(at, members) + "]", Now: at, MaxAge: maxAge}); err != nil {
			t.Fatal(err)
		}
	}
	send(visitor, hour, `"set":{"over":1}`)
	send(owner, hour, `"set":{"user":1}`)
	now = now.Add(2 * time.Hour)
	send(visitor, hour, `"set":{"new":1}`)
	if err := d.Adopt(t.Context(), visitor, owner, nil); err != nil {
		t.Fatal(err)
	}
	if got := entriesIn(t, d, owner, "cart"); got != `{"new":1}` {
		t.Errorf("the user has %s, want what is new alone", got)
	}
	now = now.Add(2 * time.Hour)
	if got := entriesIn(t, d, owner, "cart"); got != `{}` {
		t.Errorf("later the user has %s, want nothing", got)
	}
}

func mustAdd(t *testing.T, d *DB, owner, secret, name string) string {
	t.Helper()
	id, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: secret, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDevices(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Devices: 3})
	start := time.UnixMilli(past)
	now := start
	d.now = func() time.Time { return now }
	list := func(asks string) (names []string) {
		t.Helper()
		devices, err := d.Devices(t.Context(), owner, asks, Lifetimes{})
		if err != nil {
			t.Fatal(err)
		}
		for _, device := range devices {
			name := device.Name
			if device.New {
				name += " (new)"
			}
			names = append(names, name)
		}
		return names
	}
	find := func(secret string) Known {
		t.Helper()
		known, found, err := d.FindDevice(t.Context(), secret, Lifetimes{})
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return known
	}
	one := mustAdd(t, d, owner, "secret 1", "one")
	now = now.Add(-time.Second) // of another server, whose clock is behind
	long := "two" + string(slices.Repeat([]rune{'é'}, MaxDeviceName))
	two := mustAdd(t, d, owner, "secret 2", long)
	if known := find("secret 1"); known != (Known{Owner: owner, ID: one, News: true}) {
		t.Errorf("the first device is %+v, and another was added", known)
	}
	if known := find("secret 2"); known != (Known{Owner: owner, ID: two}) {
		t.Errorf("the second device is %+v", known)
	}
	if err := d.NameDevice(t.Context(), owner, two, "two"); err != nil {
		t.Error(err)
	}
	if got := list(one); !slices.Equal(got, []string{"one", "two (new)"}) {
		t.Errorf("the first device is told of %q", got)
	}
	if got := list(one); !slices.Equal(got, []string{"one", "two"}) || find("secret 1").News {
		t.Errorf("once more, the first device is told of %q", got)
	}
	for _, name := range []string{"", "\xff", "a\x00", long} {
		if err := d.NameDevice(t.Context(), owner, two, name); !errors.Is(err, session.ErrConfig) {
			t.Errorf("the name %q: %v, want ErrConfig", name, err)
		}
	}
	for _, id := range []string{"", "0", two[1:]} {
		if err := d.NameDevice(t.Context(), owner, id, "x"); !errors.Is(err, ErrDevice) {
			t.Errorf("to name %q: %v, want ErrDevice", id, err)
		}
		if err := d.RevokeDevice(t.Context(), owner, id); !errors.Is(err, ErrDevice) {
			t.Errorf("to revoke %q: %v, want ErrDevice", id, err)
		}
	}
	if err := d.RevokeDevice(t.Context(), "another", two); !errors.Is(err, ErrDevice) {
		t.Errorf("somebody else's device is revoked: %v", err)
	}

	// One that is here is seen every hour.
	now = start.Add(3 * time.Hour)
	find("secret 2")
	devices, err := d.Devices(t.Context(), owner, "", Lifetimes{})
	if err != nil || !devices[0].First.Equal(start) || !devices[0].Last.Equal(start) || !devices[1].Last.Equal(now) || !devices[1].First.Before(start) {
		t.Errorf("they were seen at %+v, %v", devices, err)
	}
	mustAdd(t, d, owner, "secret 3", "three\x00\xff")
	if _, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: "secret 4"}); !errors.Is(err, ErrDevices) {
		t.Errorf("a fourth where there may be three: %v, want ErrDevices", err)
	}
	// A user's takes the place of one that never came, and then of one that did not for long.
	add := func(a Added) {
		t.Helper()
		a.Owner, a.User = owner, true
		if _, err := d.AddDevice(t.Context(), a); err != nil {
			t.Error(err)
		}
	}
	add(Added{Secret: "pending", Pending: true})
	if got := list(""); !slices.Equal(got, []string{"two", "three\ufffd"}) {
		t.Errorf("one that never came is among %q", got)
	}
	add(Added{Secret: "secret 4", Name: "four"})
	if got := list(""); !slices.Equal(got, []string{"two", "three\ufffd", "four"}) || isKnown(t, d, "pending") {
		t.Errorf("in the place of one that never came: %q", got)
	}

	find("secret 2") // remembered, and not for longer than it has access
	if err := d.RevokeDevice(t.Context(), owner, two); err != nil || !find("secret 2").Ended {
		t.Errorf("it was revoked, and is %+v: %v", find("secret 2"), err)
	}
	if err := d.DropDevice(t.Context(), "secret 3"); err != nil || isKnown(t, d, "secret 3") {
		t.Errorf("it was dropped: %v", err)
	}
	if err := d.DropDevice(t.Context(), "unknown"); err != nil {
		t.Errorf("one that is not there is dropped: %v", err)
	}
	if got := list(""); !slices.Equal(got, []string{"four"}) {
		t.Errorf("there are %q", got)
	}
	for _, owner := range []string{"", string(make([]byte, 8161))} {
		if _, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: "secret 5"}); !errors.Is(err, session.ErrConfig) {
			t.Errorf("an id of %d bytes: %v, want ErrConfig", len(owner), err)
		}
	}
}

// Only when its secret has come back is it a device.
func TestADeviceThatIsPending(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	first := mustAdd(t, d, owner, "first", "")
	id, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: "secret", Name: "comes", User: true, Pending: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, comes := range []bool{false, true} {
		if comes {
			if known, found, err := d.FindDevice(t.Context(), "secret", Lifetimes{}); err != nil || !found || known != (Known{Owner: owner, ID: id, User: true}) {
				t.Errorf("once it comes, it is %+v, %t, %v", known, found, err)
			}
		}
		known, _, err := d.FindDevice(t.Context(), "first", Lifetimes{})
		if err != nil || known.News != comes {
			t.Errorf("the first is told that there is another: %t, %v", known.News, err)
		}
		if devices, err := d.Devices(t.Context(), owner, "", Lifetimes{}); err != nil || (len(devices) == 2) != comes {
			t.Errorf("there are %+v, %v", devices, err)
		}
		d.known.forget(func(k Known) bool { return k.ID == first }) // as after five seconds
	}
	if _, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: "another", User: true, Pending: true}); err != nil {
		t.Fatal(err)
	}
	mustPrune(t, d, time.Now().Add(keptEmpty+48*time.Hour))
	if n := count(t, d, "devices WHERE seen = ''"); n != 0 {
		t.Errorf("%d are left that never came", n)
	}
}

func TestDevicesEnd(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	start := time.UnixMilli(past)
	now := start
	d.now = func() time.Time { return now }
	lifetimes := Lifetimes{Idle: 24 * time.Hour, Absolute: 72 * time.Hour}
	mustAdd(t, d, owner, "comes", "comes")
	mustAdd(t, d, owner, "does not", "does not")
	for _, step := range []struct {
		hours  int
		secret string
		ended  bool
		listed int
	}{
		{20, "comes", false, 2}, {30, "comes", false, 1}, {31, "does not", true, 1}, {50, "comes", false, 1}, {71, "comes", false, 1}, {72, "comes", true, 0}, {80, "comes", true, 0},
	} {
		now = start.Add(time.Duration(step.hours) * time.Hour)
		known, found, err := d.FindDevice(t.Context(), step.secret, lifetimes)
		if err != nil || !found || known.Ended != step.ended {
			t.Errorf("after %d hours, the device that %s has ended: %t (%t, %v)", step.hours, step.secret, known.Ended, found, err)
		}
		if devices, err := d.Devices(t.Context(), owner, "", lifetimes); err != nil || len(devices) != step.listed {
			t.Errorf("after %d hours there are %+v, %v", step.hours, devices, err)
		}
	}
	// They are not in the way of others.
	for i := range d.limits.Devices {
		if _, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: fmt.Sprint(i), Lifetimes: lifetimes}); err != nil {
			t.Fatal(err)
		}
	}
	mustPrune(t, d, start.Add(KeptFor+96*time.Hour))
	if n := count(t, d, "devices"); n != 0 {
		t.Errorf("%d devices are left", n)
	}
}

// Who comes all the time stays, however short the time is after which others have no access.
func TestADeviceThatComesIsNotIdle(t *testing.T) {
	for _, idle := range []time.Duration{time.Minute, 30 * time.Minute, 90 * time.Minute, 24 * time.Hour} {
		d := create(t, open(t, file(t)), Limits{})
		now := time.UnixMilli(past)
		d.now = func() time.Time { return now }
		mustAdd(t, d, owner, "comes", "")
		for i := range 100 {
			now = now.Add(idle * 4 / 5)
			if known, found, err := d.FindDevice(t.Context(), "comes", Lifetimes{Idle: idle}); err != nil || !found || known.Ended {
				t.Fatalf("after it has come %d times in %v: %+v, %v", i, now.Sub(time.UnixMilli(past)), known, err)
			}
		}
		now = now.Add(idle)
		if known, _, err := d.FindDevice(t.Context(), "comes", Lifetimes{Idle: idle}); err != nil || !known.Ended {
			t.Errorf("after %v without it: %+v, %v", idle, known, err)
		}
	}
}

// The tag tells whose page it is though the server has no record of him.
func TestTagsOfVisitorsAndUsers(t *testing.T) {
	a, b := NewVisitor(), NewVisitor()
	if a == b || !IsVisitor(a) || !IsVisitors(Tag(a)) || Tag(a) == Tag(b) || !engine.IsTag(Tag(a)) {
		t.Errorf("visitors %q and %q have the tags %s and %s", a, b, Tag(a), Tag(b))
	}
	for _, user := range []string{"ada", "", owner, "visitor"} {
		if IsVisitor(user) || IsVisitors(Tag(user)) || !engine.IsTag(Tag(user)) {
			t.Errorf("the user %q has the tag %s", user, Tag(user))
		}
	}
}

// A page that comes without a cookie names any tag. That must not read all owners.
func TestATagIsFoundByItsIndex(t *testing.T) {
	onlySQLite(t, "of its plans")
	d := create(t, open(t, file(t)), Limits{})
	for _, statement := range []string{findTag, leftTo} {
		var id, parent, unused int
		var detail string
		if err := d.db.QueryRow(`EXPLAIN QUERY PLAN `+statement, "x").Scan(&id, &parent, &unused, &detail); err != nil || !strings.Contains(detail, "INDEX owners_") {
			t.Errorf("it is found by %q, %v", detail, err)
		}
	}
}

func TestErase(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	keep := mustAdd(t, d, owner, "secret 1", "one")
	mustAdd(t, d, owner, "secret 2", "two")
	code := mustPair(t, d, owner)
	first := mustExchange(t, d, owner, "cart", "", "["+item(past, `"set":{"a":1}`)+"]")
	mustExchange(t, d, owner, "wish", "", "["+item(past, `"set":{"b":1}`)+"]")
	mustExchange(t, d, "another", "cart", "", "["+item(past, `"set":{"c":1}`)+"]")
	if err := d.Erase(t.Context(), owner, keep); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d, `records WHERE value LIKE '%1%' AND key <> 'newest'`); n != 1 {
		t.Errorf("%d entries are left, want that of another owner", n)
	}
	if err := d.EraseSession(t.Context(), owner, "none"); err != nil || count(t, d, "sessions") != 3 {
		t.Errorf("a session that there is not: %v, and there are %d", err, count(t, d, "sessions"))
	}
	// The device has it, and does not bring it back.
	again := mustExchange(t, d, owner, "cart", first.Cursor, "["+item(past, `"set":{"a":1}`)+"]")
	if got := entriesIn(t, d, owner, "cart"); got != `{}` || again.Item == "" {
		t.Errorf("after a device came, there is %s, and it is told %q", got, again.Item)
	}
	if !isKnown(t, d, "secret 1") || isKnown(t, d, "secret 2") {
		t.Error("all devices but one must have ended")
	}
	if _, err := d.Join(t.Context(), code); !errors.Is(err, ErrPairing) {
		t.Errorf("a code from before: %v, want ErrPairing", err)
	}
}
