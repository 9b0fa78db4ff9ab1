package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// A device is a browser with a session and a server: a storage, a clock that
// may be wrong, and whoever the server takes it for.
type device struct {
	*tab
	server *modelServer
	world  *int64 // the time
	skew   int64
	maxAge int64
	// owner is the tag of whom the server takes it for; with none it makes one.
	owner string
	room  int // bytes of a value that the server takes; 0 for any
}

// somebody counts the owners that servers have made.
var somebody = 0

func someTag() string { somebody++; return fmt.Sprintf("%016x", somebody) }

// A fleet has devices that share a server and the time.
type fleet struct {
	t      *testing.T
	server modelServer
	time   int64
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, server: modelServer{MaxEntries: 10_000, MaxBytes: 1 << 20}, time: start}
}

func (f *fleet) device(owner string, maxAge int64) *device {
	f.t.Helper()
	d := &device{server: &f.server, world: &f.time, maxAge: maxAge, owner: owner, tab: &tab{t: f.t}}
	d.visit(new(lab))
	return d
}

// visit opens a page of the device.
func (d *device) visit(storage Storage) {
	d.t.Helper()
	s, err := Open(storage, "cart", new(Clock), d.maxAge)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Session = s
	d.tick()
}

// again opens another page of the device.
func (d *device) again() { d.t.Helper(); d.visit(d.storage) }

// tick has the device's clock show the time.
func (d *device) tick() *device { d.now = *d.world + d.skew; return d }

// send makes one request.
func (d *device) send(sent Sent) (answered Answered, got Received, late Terms) {
	if d.owner == "" {
		if sent.Owner != "" || sent.Cursor != "" {
			return Unknown, Received{}, Terms{}
		}
		if sent.Items == "" {
			return Merged, Received{Age: -1}, Terms{}
		}
		d.owner = someTag()
	}
	if d.room > 0 && sent.Items != "" {
		said, _, err := ParseItems(sent.Items)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, r := range said.Records {
			if len(r.Value) > d.room {
				return NoRoom, Received{Owner: d.owner}, Terms{}
			}
		}
	}
	return d.server.exchange(*d.world, d.owner, sent)
}

// exchange exchanges the session, and calls meanwhile after each request.
func (d *device) exchange(meanwhile ...func()) error {
	d.tick()
	x, err := d.Exchange(d.now)
	if err != nil {
		return err
	}
	for {
		sent, more := x.Next(d.now)
		if !more {
			break
		}
		answered, got, late := d.send(sent)
		for _, f := range meanwhile {
			f()
		}
		if err := x.Answer(d.now, answered, got, late); err != nil {
			return err
		}
	}
	d.Tidy(d.now)
	if refused, any := x.Refused(); any {
		return fmt.Errorf("%w: %s", ErrQuota, refused.Key)
	}
	return nil
}

func (d *device) sync(meanwhile ...func()) {
	d.t.Helper()
	if err := d.exchange(meanwhile...); err != nil {
		d.t.Fatal(err)
	}
}

func settle(devices ...*device) {
	for range 3 {
		for _, d := range devices {
			d.t.Helper()
			d.sync()
		}
	}
}

func (d *device) unsent() int {
	d.t.Helper()
	n, _, err := d.Unsent()
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// sends returns the keys that the next exchange would send, part by part.
func (d *device) sends() (parts [][]string) {
	d.t.Helper()
	x, err := d.Exchange(d.tick().now)
	if err != nil {
		d.t.Fatal(err)
	}
	for len(x.items) > 0 {
		sent, _ := x.Next(d.now)
		said, unreadable, err := ParseItems(sent.Items)
		if err != nil || unreadable > 0 {
			d.t.Fatalf("sent %s: %d, %v", sent.Items, unreadable, err)
		}
		var keys []string
		for _, r := range said.Records {
			keys = append(keys, r.Key)
		}
		parts = append(parts, keys)
	}
	return parts
}

const (
	ada = "000000000000ada0"
	ben = "000000000000be00"
)

func TestWhatIsSentIsWhatWasNotSent(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.sync()
	a.save(entries{"a": "1"})
	a.sync(func() { a.save(entries{"b": "1"}) })
	if got := a.sends(); len(got) != 1 || !slices.Equal(got[0], []string{"b"}) {
		t.Errorf("what was saved during an exchange: the next sends %v", got)
	}
	if n := a.unsent(); n != 1 {
		t.Errorf("unsent is %d, want 1", n)
	}
	a.sync()
	a.again()
	if got := a.sends(); got != nil || a.unsent() != 0 {
		t.Errorf("with nothing new an exchange sends %v, unsent is %d", got, a.unsent())
	}
}

// What somebody else put there is no ledger.
func TestForeignLedger(t *testing.T) {
	for _, text := range []string{
		"", "x", " ", "{}", "1795373052123-0000-3f9a2c7e1b40", "\x00 \xff", ada, ada + " 3f9a2c7e1b40 1 ",
		ada + " 3f9a2c7e1b40 x c", ada + " 3f9a2c7e1b4 1 c", ada[1:] + " 3f9a2c7e1b40 1 c", strings.ToUpper(ada) + " 3f9a2c7e1b40 1 c",
	} {
		f := newFleet(t)
		a := f.device(ada, 0)
		a.save(entries{"a": "1"})
		if err := a.storage.SetItem("/cart", text); err != nil {
			t.Fatal(err)
		}
		a.again()
		a.has(entries{"a": "1"})
		a.sync()
		b := f.device(ada, 0)
		b.sync()
		b.has(entries{"a": "1"})
	}
}

func TestReceive(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	a.save(entries{"a": "1", "b": "1"})
	a.sync()
	if _, err := a.Watch(a.now, true); err != nil {
		t.Fatal(err)
	}
	b.skew = hour
	b.tick().save(entries{"b": "2", "c": "2"})
	b.sync()
	a.sync()
	if change, want := a.refresh(), (entries{"b": "2", "c": "2"}); !maps.Equal(asMap(change.Set), want) {
		t.Errorf("the change is %+v, want %v", change, want)
	}
	a.has(entries{"a": "1", "b": "2", "c": "2"})
	// A save that was made after seeing another wins over it.
	a.save(entries{"b": "3"})
	settle(a, b)
	b.has(entries{"a": "1", "b": "3", "c": "2"})
}

func TestReceiveWhatIsKnownWritesNoItem(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1"})
	a.sync()
	items := len(a.lab().items)
	f.server.sessions[ada].versions = append(f.server.sessions[ada].versions, "a") // as if it were new
	a.sync()
	if n := len(a.lab().items); n != items {
		t.Errorf("there are %d items, and were %d", n, items)
	}
}

func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	good := itemOf(t, start, entries{"b": "1"})
	for _, got := range []Received{
		{},
		{Owner: ada, Item: good},
		{Owner: ada, Cursor: "a b"},
		{Owner: ada, Cursor: "-"},
		{Owner: "ada", Cursor: "1"},
		{Owner: ada[1:] + "/", Cursor: "1"},
		{Owner: ada, Cursor: "1", Item: "x"},
		{Owner: ada, Cursor: "1", Item: "[]"},
		{Owner: ada, Cursor: "1", Item: "[" + good + "]"},
		{Owner: ada, Cursor: "1", Item: `{"format":2,"batches":[]}`},
		{Owner: ada, Cursor: "1", Item: `{"format":1,"batches":[]}`},
	} {
		f := newFleet(t)
		a := f.device(ada, 0)
		a.sync()
		a.save(entries{"a": "1"})
		before := maps.Clone(a.lab().items)
		x, err := a.Exchange(a.now)
		if err != nil {
			t.Fatal(err)
		}
		x.Next(a.now)
		if err := x.Answer(a.now, Merged, got, Terms{}); err != ErrServer {
			t.Errorf("%+v was taken: %v", got, err)
		}
		if !maps.Equal(a.lab().items, before) {
			t.Errorf("after %+v there is %v", got, a.lab().items)
		}
		if err := x.Answer(a.now, 418, Received{Owner: ada, Cursor: "1"}, Terms{}); err != ErrServer {
			t.Errorf("418 was taken: %v", err)
		}
	}
}

func TestReceiveWithoutRoom(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	b.save(entries{"b": `"` + strings.Repeat("x", 500) + `"`})
	b.sync()
	a.sync()
	b.save(entries{"b": `"` + strings.Repeat("y", 500) + `"`})
	b.sync()
	a.save(entries{"a": "1"})
	a.lab().room = a.lab().used() + 140 // for what the ledger grows
	if err := a.exchange(); !errors.Is(err, ErrQuota) {
		t.Fatalf("the exchange returned %v, want ErrQuota", err)
	}
	if n := a.unsent(); n != 0 {
		t.Errorf("%d entries are unsent, though the server has them", n)
	}
	items := len(a.lab().items)
	for range 3 {
		if err := a.exchange(); !errors.Is(err, ErrQuota) {
			t.Fatalf("the exchange returned %v, want ErrQuota", err)
		}
	}
	if n := len(a.lab().items); n != items {
		t.Errorf("there are %d items, and were %d", n, items)
	}
	a.lab().room = 0
	a.sync()
	if got := a.load()["b"]; !strings.Contains(got, "y") {
		t.Errorf("with room again b is %.9s", got)
	}
}

// itemOf returns the text of an item that another device could have saved.
func itemOf(t *testing.T, now int64, saved entries) string {
	t.Helper()
	var storage Memory
	other := openTab(t, &storage)
	other.now = now
	other.save(saved)
	for _, text := range storage.items {
		return text
	}
	return ""
}

// Owners.

func TestAnotherOwnerBehindTheSameServer(t *testing.T) {
	f := newFleet(t)
	home, shared := f.device(ben, 0), f.device(ada, 0)
	home.save(entries{"iban": `"ben"`})
	home.sync()
	shared.save(entries{"diary": `"ada"`})
	shared.sync()
	shared.save(entries{"draft": `"ada"`}) // is not sent any more

	shared.owner = ben // ada signs out, ben signs in
	settle(shared, home)
	shared.has(entries{"iban": `"ben"`})
	home.has(entries{"iban": `"ben"`})
	for key, text := range shared.lab().items {
		if strings.Contains(text, "diary") {
			t.Errorf("what ada's server has is still here: %s %s", key, text)
		}
	}

	shared.owner = ada
	shared.again()
	shared.has(entries{"iban": `"ben"`}) // until the server is asked
	shared.sync()
	shared.has(entries{"diary": `"ada"`, "draft": `"ada"`})
	other := f.device(ada, 0)
	other.sync()
	other.has(entries{"diary": `"ada"`, "draft": `"ada"`})
	home.sync()
	home.has(entries{"iban": `"ben"`})
}

// Whoever looks meanwhile, or finds what a tab has left that was killed, sees
// all of the one's session or of the other's.
func TestAnotherOwnersSessionIsShownWhole(t *testing.T) {
	for kill := 1; ; kill++ {
		f := newFleet(t)
		home, shared := f.device(ben, 0), f.device(ada, 0)
		home.save(entries{"b": "1"})
		home.sync()
		for i := range 3 {
			shared.save(entries{"a": fmt.Sprint(i), "b": fmt.Sprint(i), fmt.Sprint("c", i): "1"})
		}
		shared.sync()
		all := shared.load()
		shared.save(entries{"draft": "1"})
		all["draft"] = "1"
		shared.owner = ben
		shared.lab().killIn = kill
		err := shared.exchange()
		shared.lab().killIn = 0
		shared.again()
		if got := shared.load(); !maps.Equal(got, all) && !maps.Equal(got, entries{}) && !maps.Equal(got, entries{"b": "1"}) {
			t.Errorf("after %d writes %v is shown", kill-1, got)
		}
		shared.owner = ada
		settle(shared)
		shared.has(all)
		if err == nil {
			break
		}
	}
}

func TestWhatIsTooLargeIsAlone(t *testing.T) {
	large := `"` + strings.Repeat("x", 100) + `"`
	for _, sizes := range [][]string{{large, "1"}, {"1", large}, {"1", "1", large}, {"1", large, "1"}} {
		f := newFleet(t)
		a, b := f.device(ada, 0), f.device(ada, 0)
		a.room = 10
		arrive := entries{}
		for i, value := range sizes {
			a.save(entries{fmt.Sprint(i): value})
			if value != large {
				arrive[fmt.Sprint(i)] = value
			}
		}
		a.Compact(f.time)
		if err := a.exchange(); !Is(err, ErrQuota) {
			t.Errorf("%v: %v", sizes, err)
		}
		b.sync()
		b.has(arrive)
	}
}

// What a server has no room for is divided, but not when it is another owner's
// session by now that is shown.
func TestWhatIsTooLargeStaysItsOwners(t *testing.T) {
	for _, to := range []string{ben, ""} {
		f := newFleet(t)
		home, shared := f.device(ben, 0), f.device(ada, 0)
		shared.sync()
		shared.room = 10
		shared.save(entries{"small": "1"})
		shared.save(entries{"large": `"` + strings.Repeat("x", 20) + `"`})
		shared.Compact(f.time)
		other := &device{server: shared.server, world: shared.world, owner: ben, tab: &tab{t: t}}
		other.visit(shared.storage)
		turned := false
		if err := shared.exchange(func() {
			if turned {
				return
			}
			turned = true
			if to == "" {
				shared.lab().items = nil
			} else {
				other.sync()
			}
			shared.owner = ben
		}); err != nil {
			t.Fatal(err)
		}
		for key, text := range shared.lab().items {
			if strings.Contains(text, "large") && !strings.HasPrefix(key, "cart/"+ada+"/") {
				t.Errorf("to %q: %s has %s", to, key, text)
			}
		}
		settle(shared, home)
		home.has(entries{})
	}
}

func TestAnOwnersClearingIsNotAnothers(t *testing.T) {
	f := newFleet(t)
	home, shared := f.device(ben, 0), f.device(ada, 0)
	home.save(entries{"iban": `"ben"`})
	home.sync()
	shared.save(entries{"diary": `"ada"`})
	shared.sync()
	f.time += day
	shared.tick().clear() // she signs out like that
	shared.owner = ben
	settle(shared, home)
	home.has(entries{"iban": `"ben"`})
	shared.has(entries{"iban": `"ben"`})
}

// A tab that has not heard that another owner is there saves for the former.
func TestATabThatHasNotHeardOfAnotherOwner(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1"})
	a.sync()
	deaf := openTab(t, a.storage)
	if err := deaf.Listen(true); err != nil {
		t.Fatal(err)
	}
	a.owner = ben
	a.sync()
	deaf.save(entries{"late": "1"})
	for range compactEvery + 1 {
		deaf.save(entries{"later": "1"})
	}
	settle(a)
	a.has(entries{})
	if a.unsent() != 0 || f.server.sessions[ben] != nil {
		t.Errorf("%d entries are unsent, and ben has %v", a.unsent(), f.server.sessions[ben])
	}
	deaf.See(a.ledgerKey())
	deaf.has(entries{})
	a.owner = ada
	settle(a)
	a.has(entries{"a": "1", "late": "1", "later": "1"})
}

func TestForget(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1"})
	a.sync()
	a.owner = ben
	a.save(entries{"for ada": "1"})
	a.sync()
	a.save(entries{"b": "1"})
	if _, err := a.Watch(a.now, true); err != nil {
		t.Fatal(err)
	}
	if err := a.Forget(a.now); err != nil {
		t.Fatal(err)
	}
	if change := a.refresh(); !change.Cleared {
		t.Errorf("Forget is told as %+v", change)
	}
	a.has(entries{})
	for key, text := range a.lab().items {
		if !strings.Contains(key, ada) {
			t.Errorf("%s is left: %s", key, text)
		}
	}
	a.sync()
	a.has(entries{})
	a.owner = ada
	a.sync()
	a.has(entries{"a": "1", "for ada": "1"})
}

// Also in the middle of an exchange.
func TestForgetDuringAnExchange(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1"})
	a.sync()
	a.save(entries{"b": "1"})
	a.sync(func() {
		if err := openTab(t, a.storage).Forget(start); err != nil {
			t.Fatal(err)
		}
	})
	a.has(entries{})
	if n := len(a.lab().items); n != 0 {
		t.Errorf("%d items are left: %v", n, a.lab().items)
	}
}

func TestForgetWhatWasNeverExchanged(t *testing.T) {
	b := openTab(t, new(lab))
	b.save(entries{"a": "1"})
	if err := b.Forget(b.now); err != nil {
		t.Fatal(err)
	}
	b.has(entries{})
	b.save(entries{"b": "1"})
	b.has(entries{"b": "1"})
}

// What was removed and cleared before the first exchange was so without having
// seen what the owner has.
func TestFirstExchangeBringsEntriesOnly(t *testing.T) {
	f := newFleet(t)
	laptop, phone := f.device(ada, 0), f.device(ada, 0)
	laptop.save(entries{"cart": "1", "address": "1"})
	laptop.sync()
	f.time += day
	phone.tick().save(entries{"demo": "1", "cart": "2"})
	phone.clear()
	phone.save(entries{"theme": "1"})
	phone.remove("address")
	settle(phone, laptop)
	for _, d := range []*device{laptop, phone} {
		d.has(entries{"cart": "1", "address": "1", "theme": "1"})
	}
	phone.remove("address")
	settle(phone, laptop)
	laptop.has(entries{"cart": "1", "theme": "1"})
}

func TestJoinBringsEntriesOnly(t *testing.T) {
	f := newFleet(t)
	laptop, phone := f.device(ada, 0), f.device("", 0)
	laptop.save(entries{"cart": "1", "address": "1"})
	laptop.sync()
	phone.save(entries{"demo": "1"})
	phone.sync()
	f.time += day
	phone.tick().clear()
	phone.save(entries{"theme": "1"})
	prefs, err := Open(phone.storage, "prefs", new(Clock), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := phone.Joined(ada); err != nil {
		t.Fatal(err)
	}
	phone.owner = ada
	settle(phone, laptop)
	for _, d := range []*device{laptop, phone} {
		d.has(entries{"cart": "1", "address": "1", "theme": "1"})
	}
	if owner, err := prefs.Owner(); owner != "" || err != nil {
		t.Errorf("another session is %q's, %v", owner, err)
	}
}

// The cookie of a visitor is lost: all sessions of the browser are the next's.
func TestALostCookieHeals(t *testing.T) {
	f := newFleet(t)
	cart := f.device("", 0)
	cart.save(entries{"a": "1"})
	cart.sync()
	prefs := f.device(cart.owner, 0)
	prefs.visit(cart.storage)
	s, err := Open(cart.storage, "prefs", new(Clock), 0)
	if err != nil {
		t.Fatal(err)
	}
	prefs.Session = s
	prefs.server = new(modelServer)
	prefs.save(entries{"b": "1"})
	prefs.sync()

	former := cart.owner
	cart.owner = ""
	cart.save(entries{"a": "2"})
	cart.sync()
	prefs.owner = cart.owner
	prefs.sync()
	if former == cart.owner || cart.owner == "" {
		t.Fatalf("the owner was %s and is %s", former, cart.owner)
	}
	cart.has(entries{"a": "2"})
	prefs.has(entries{"b": "1"})
	for _, d := range []*device{cart, prefs} {
		if got, err := d.Session.Owner(); got != cart.owner || err != nil {
			t.Errorf("it is %s's, %v, want %s's", got, err, cart.owner)
		}
		d.save(entries{"c": "1"})
		settle(d)
		if d.unsent() != 0 || len(d.server.sessions[cart.owner].rows) != 2 {
			t.Errorf("%d are unsent, and the server has %v", d.unsent(), d.server.sessions[cart.owner].rows)
		}
	}
}

// A session that was not opened meanwhile goes where the others went.
func TestWhoeverASessionBecameAndThenBecame(t *testing.T) {
	f := newFleet(t)
	a := f.device("", 0)
	a.save(entries{"a": "1"})
	a.sync()
	first := a.owner
	before := maps.Clone(a.lab().items)
	for range 3 {
		a.owner = ""
		a.sync()
	}
	last := a.owner
	// As if only another session had been there all the time.
	for key := range a.lab().items {
		if strings.HasPrefix(key, "cart/") {
			delete(a.lab().items, key)
		}
	}
	maps.Copy(a.lab().items, before)
	a.again()
	a.sync()
	if got, err := a.Session.Owner(); got != last || err != nil || last == first {
		t.Errorf("it is %s's, %v, want %s's", got, err, last)
	}
	a.has(entries{"a": "1"})
}

// What a tab saves and removes that has not heard whose the session is by now.
func TestWhatIsNobodysHidesNothing(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1", "b": "1"})
	deaf := openTab(t, a.storage)
	if err := deaf.Listen(true); err != nil {
		t.Fatal(err)
	}
	a.sync()
	f.time += 1000
	deaf.now = f.time
	deaf.remove("a")
	deaf.save(entries{"c": "1"})
	a.has(entries{"a": "1", "b": "1", "c": "1"})
	a.sync()
	a.has(entries{"a": "1", "b": "1", "c": "1"})
}

func TestWhatAnotherTabHasSavedIsKept(t *testing.T) {
	f := newFleet(t)
	for _, told := range []bool{false, true} {
		a := f.device("", 0)
		if err := a.Listen(told); err != nil {
			t.Fatal(err)
		}
		other := openTab(t, a.storage)
		other.save(entries{"a": "1"})
		a.See(other.lab().sessionKeys()[0])
		a.sync()
		if n := a.unsent(); n != 0 || len(f.server.Entries(start, a.owner)) != 1 {
			t.Errorf("%d entries are not sent, the server has %v", n, f.server.Entries(start, a.owner))
		}
	}
}

func TestAServerThatTurnsWithoutEnd(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1"})
	turns := 0
	err := a.exchange(func() {
		turns++
		a.owner = []string{ada, ben}[turns%2]
	})
	if !Is(err, ErrOverrun) || turns > 20 {
		t.Errorf("after %d turns: %v", turns, err)
	}
}

// What another version has written is sent by that.
func TestWhatCannotBeReadIsNotSent(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1"})
	a.sync()
	stamp := string(makeStamp(start, 7, writerOf(1)))
	if err := a.storage.SetItem("cart/"+ada+"/"+stamp, `{"format":2}`); err != nil {
		t.Fatal(err)
	}
	a.save(entries{"b": "1"})
	a.sync()
	if l, err := a.ledger(); err != nil || l.lists(stamp) {
		t.Errorf("the ledger %q lists what cannot be read", l.text())
	}
}

// While a tab finds out whose the session of somebody is whom the server does
// not know any more, another tab shows that of somebody else.
func TestWhatIsSomebodyElsesIsNotTakenForALostOwners(t *testing.T) {
	const cem = "00000000000000ce"
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1"})
	a.sync()
	a.owner = ""
	other := &device{server: a.server, world: a.world, owner: ben, tab: &tab{t: t}}
	other.visit(a.storage)
	requests := 0
	a.sync(func() {
		if requests++; requests != 2 {
			return
		}
		other.sync()
		other.save(entries{"b": "1"})
		a.owner = cem // ben signs out, cem signs in
	})
	a.has(entries{})
	if has := f.server.Entries(start, cem); len(has) > 0 {
		t.Errorf("cem has %v", has)
	}
}

func TestABrowserThatKeepsNoCookies(t *testing.T) {
	f := newFleet(t)
	a := f.device("", 0)
	a.save(entries{"a": "1"})
	var errs []error
	for range 4 {
		a.owner = ""
		errs = append(errs, a.exchange(func() { a.owner = "" }))
	}
	for _, err := range errs {
		if err != ErrCookies {
			t.Errorf("the exchanges return %v", errs)
		}
	}
	if n := len(f.server.sessions); n != 0 {
		t.Errorf("the server has %d copies, for nobody", n)
	}
	a.has(entries{"a": "1"})
}

// What the record speaks of may be gone before it is written.
func TestTheStorageIsClearedDuringAnExchange(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	b.save(entries{"x": "1", "y": "1"})
	settle(b, a)
	a.sync(func() { clear(a.lab().items) })
	a.again()
	a.sync()
	a.has(entries{"x": "1", "y": "1"})

	// And by another tab, a moment later than this one heard of it.
	before := maps.Clone(a.lab().items)
	a.save(entries{"z": "1"})
	a.sync()
	for key := range before {
		delete(a.lab().items, key)
	}
	a.again()
	a.sync()
	a.has(entries{"x": "1", "y": "1", "z": "1"})
}

func TestAServerThatHasLostAll(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	a.save(entries{"x": "1", "y": "1"})
	settle(a, b)
	f.server.sessions = nil
	a.remove("y")
	settle(a, b)
	for _, d := range []*device{a, b} {
		d.has(entries{"x": "1"})
	}
}

// Sizes.

func TestAServerThatHasLostAllBeforeItsAnswerFoundRoom(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	b.save(entries{"b": `"` + strings.Repeat("x", 1000) + `"`})
	b.sync()
	a.save(entries{"a": "1"})
	a.lab().room = a.lab().used() + 500
	if err := a.exchange(); !Is(err, ErrQuota) {
		t.Fatalf("without room: %v", err)
	}
	a.lab().room = 0
	f.server.sessions = nil
	settle(a, b)
	b.has(entries{"a": "1", "b": `"` + strings.Repeat("x", 1000) + `"`})
}

func TestWhatIsTooLargeStopsNothing(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	a.room = 1000
	a.save(entries{"x": "1"})
	settle(a, b)
	a.save(entries{"photo": `"` + strings.Repeat("x", 1000) + `"`, "caption": `"mine"`})
	a.save(entries{"small": "1"})
	b.save(entries{"from b": "1"})
	b.sync()
	if err := a.exchange(); !errors.Is(err, ErrQuota) || !strings.Contains(err.Error(), "photo") {
		t.Errorf("the exchange returned %v, want ErrQuota with photo", err)
	}
	if a.load()["from b"] != "1" {
		t.Errorf("nothing arrived")
	}
	if n := a.unsent(); n != 2 {
		t.Errorf("%d are unsent, want the batch of two", n)
	}
	b.sync()
	b.has(entries{"x": "1", "small": "1", "from b": "1"})
	a.remove("photo")
	settle(a, b)
	b.has(entries{"x": "1", "small": "1", "from b": "1", "caption": `"mine"`})
	if n := a.unsent(); n != 0 {
		t.Errorf("%d are unsent", n)
	}
}

func TestOnlyWhatCountsIsSent(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.sync()
	for i := range 15 {
		f.time += hour
		a.again() // a visit each
		a.save(entries{"doc": fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 150_000)), "n": fmt.Sprint(i)})
	}
	if parts := a.sends(); len(parts) != 1 || len(parts[0]) != 2 {
		t.Errorf("sent is %v, want the last", parts)
	}
}

func TestWhatIsMuchIsSentInParts(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	a.save(entries{"x": "1"})
	settle(a, b)
	want := entries{"x": "1"}
	for i := range 10 {
		f.time++
		saved := entries{fmt.Sprint(i): `"` + strings.Repeat("x", partSize/3) + `"`, fmt.Sprint("also ", i): "1"}
		a.tick().save(saved)
		maps.Copy(want, saved)
	}
	if parts := a.sends(); len(parts) < 4 || len(parts) > 8 {
		t.Errorf("sent is %v, want some parts", parts)
	}
	// The connection breaks in the middle of it.
	requests := 0
	x, err := a.Exchange(a.now)
	if err != nil {
		t.Fatal(err)
	}
	for sent, more := x.Next(a.now); more && requests < 3; sent, more = x.Next(a.now) {
		answered, got, late := a.send(sent)
		if err := x.Answer(a.now, answered, got, late); err != nil {
			t.Fatal(err)
		}
		requests++
	}
	if left := slices.Concat(a.sends()...); len(left) == 0 || len(left) > 14 {
		t.Errorf("after three parts %v are left", left)
	}
	settle(a, b)
	b.has(want)
}

// Clocks.

// By what was saved last the server finds out whether a session was alive.
func TestWhatWasSavedLastIsSentFirst(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.sync()
	for i := range 12 {
		f.time++
		a.tick().save(entries{fmt.Sprint(i): `"` + strings.Repeat("x", partSize/4) + `"`})
	}
	a.Compact(a.now)
	parts := a.sends()
	if len(parts) < 4 || !slices.Contains(parts[0], "11") {
		t.Errorf("sent is %v", parts)
	}
}

func TestAClockThatWasAhead(t *testing.T) {
	for _, days := range []int64{2, 10, 365, 80_000} {
		f := newFleet(t)
		a, b := f.device(ada, 0), f.device(ada, 0)
		a.save(entries{"x": "1"})
		settle(a, b)
		a.skew = days * day
		a.tick().save(entries{"y": "1", "x": "2"})
		a.save(entries{"x": "3"})
		a.remove("y")
		a.save(entries{"y": "2"})
		other := openTab(t, a.storage) // which is there all the time
		a.skew = 0
		a.again()
		f.time += 60_000
		a.tick().save(entries{"z": "1"})
		a.sync()
		b.sync()
		want := entries{"x": "3", "y": "2", "z": "1"}
		a.has(want)
		b.has(want)
		// From now on it is as if nothing had been.
		for _, t := range []*tab{a.tab, other} {
			t.See(a.ledgerKey())
			for _, key := range a.lab().sessionKeys() {
				t.See(key)
			}
			t.now = f.time
			t.save(entries{"after": "1"})
			if t.newest.Millis() > f.time+hour {
				t.t.Errorf("%d days ahead: a save is stamped %s", days, t.newest)
			}
		}
		f.time += 1000
		b.tick().save(entries{"x": "4"})
		settle(a, b, a)
		a.has(entries{"x": "4", "y": "2", "z": "1", "after": "1"})
	}
}

// While it is wrong, the session is exchanged all the same.
// What is stamped anew comes after what the server has got before, also if that
// is not here any more.
func TestWhatIsStampedAnewComesAfterWhatWasSent(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	a.skew = 365 * 24 * hour
	a.tick().save(entries{"k": "1"})
	a.sync()
	a.tick().save(entries{"k": "2"})
	a.Compact(a.now)
	a.skew = 0
	settle(a, b)
	a.has(entries{"k": "2"})
	b.has(entries{"k": "2"})
}

// Also if some of it is nobody's yet, and was not there when the exchange began.
func TestWhatIsStampedAnewComesAfterWhatIsNobodysYet(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	tab := f.device(ada, 0)
	tab.visit(a.storage)
	if err := tab.Listen(true); err != nil { // but it does not hear whose session it is
		t.Fatal(err)
	}
	a.sync()
	a.skew, tab.skew = 365*day, 365*day
	a.tick().save(entries{"z": "1"})
	saved := false
	a.sync(func() {
		if saved {
			return
		}
		saved = true
		tab.tick().save(entries{"k": "1"})
		a.has(entries{"z": "1", "k": "1"})
		a.save(entries{"k": "2"})
		a.skew = 0
		a.tick()
	})
	settle(a)
	a.has(entries{"z": "1", "k": "2"})
}

// When there is no room for it, it stays what it was, and what is saved next comes
// after it.
func TestWhatCannotBeStampedAnewHidesNothing(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.sync()
	if err := a.Listen(true); err != nil {
		t.Fatal(err)
	}
	a.skew = 365 * 24 * hour
	a.tick().save(entries{"k": "1", "big": `"` + strings.Repeat("x", 500) + `"`})
	a.skew = 0
	a.lab().room = a.lab().used() + 200
	if err := a.exchange(); !errors.Is(err, ErrQuota) {
		t.Fatalf("the exchange returned %v, want ErrQuota", err)
	}
	a.tick().save(entries{"k": "2"})
	if got := a.load()["k"]; got != "2" {
		t.Errorf("k is %s, want what was saved last", got)
	}
	a.lab().room = 0
	settle(a)
	if got := a.load()["k"]; got != "2" {
		t.Errorf("with room again k is %s, want what was saved last", got)
	}
}

func TestWhatIsStampedAnewKeepsItsOrder(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.skew = 10 * 24 * hour
	for _, key := range []string{"c", "a", "b"} {
		a.tick().save(entries{key: "1"})
	}
	a.skew = 0
	a.sync()
	list, err := a.Load(a.now)
	if want := []Entry{{"c", "1"}, {"a", "1"}, {"b", "1"}}; err != nil || !slices.Equal(list, want) {
		t.Errorf("Load returned %v, %v, want %v", list, err, want)
	}
}

func TestAClockThatIsAhead(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	a.skew = 365 * day
	for i := range 5 {
		f.time += 1000
		a.tick().save(entries{"x": fmt.Sprint(i)})
		settle(a, b)
		b.has(entries{"x": fmt.Sprint(i)})
		b.tick().save(entries{"x": `"b"`})
		settle(b, a)
		a.has(entries{"x": `"b"`})
	}
}

func TestAClearingOfAClockThatWasAhead(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	a.save(entries{"x": "1"})
	settle(a, b)
	a.skew = 30 * day
	a.tick().clear()
	a.save(entries{"y": "1"})
	a.skew = 0
	settle(a, b)
	b.has(entries{"y": "1"})
	b.save(entries{"x": "2"})
	settle(b, a)
	a.has(entries{"x": "2", "y": "1"})
}

// What is ahead in one session is nothing to another.
func TestTheGreatestStampThereCanBe(t *testing.T) {
	last := string(makeStamp(MaxMillis-1, maxCounter, "ffffffffffff"))
	for _, text := range []string{
		"damaged",
		`{"format":2}`,
		`{"format":1,"batches":[{"stamp":"` + last + `","set":{"x":0,"old":1}}]}`,
		`{"format":1,"batches":[{"stamp":"` + last + `","clear":true}]}`,
		`{"format":1,"batches":[{"stamp":"` + last + `","remove":["x"]}]}`,
	} {
		f := newFleet(t)
		a := f.device(ada, 0)
		if err := a.storage.SetItem("cart/"+last, text); err != nil {
			t.Fatal(err)
		}
		a.again()
		for i := range 3 {
			a.save(entries{"x": fmt.Sprint(i)})
			if got := a.load()["x"]; got != fmt.Sprint(i) {
				t.Errorf("with %s x is %q, want %d", text, got, i)
			}
			a.again()
		}
		a.sync()
		b := f.device(ada, 0)
		b.sync()
		if got := b.load()["x"]; got != "2" {
			t.Errorf("with %s x is %q on another device, want 2", text, got)
		}
	}
}

// The maximum age.

func TestASessionThatOthersKeptAlive(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.save(entries{"user": "1"})
	a.save(entries{"items": "3"})
	settle(a, b)
	for range 12 {
		f.time += hour / 6
		a.tick().save(entries{"seen": "1"})
		a.sync()
	}
	b.again()
	b.has(entries{}) // it cannot know
	b.save(entries{"theme": "1"})
	b.has(entries{"theme": "1"})
	settle(b, a)
	for _, d := range []*device{a, b} {
		d.has(entries{"user": "1", "items": "3", "seen": "1", "theme": "1"})
	}
}

func TestWhatIsOverIsNotBack(t *testing.T) {
	for _, saves := range []bool{true, false} {
		f := newFleet(t)
		a, b := f.device(ada, hour), f.device(ada, hour)
		a.save(entries{"secret": "1"})
		settle(a, b)
		f.time += 5 * hour
		a.again()
		a.has(entries{})
		want := entries{}
		if saves {
			a.save(entries{"guest": "1"})
			want["guest"] = "1"
		}
		settle(a, b)
		c := f.device(ada, hour)
		settle(c)
		for _, d := range []*device{a, b, c} {
			d.tick().has(want)
			for key, text := range d.lab().items {
				if strings.Contains(text, "secret") {
					t.Errorf("what is over is still stored: %s %s", key, text)
				}
			}
		}
	}
}

func TestAFastClockEndsNothing(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	b.skew = 5 * hour
	a.save(entries{"user": "1"})
	settle(a, b)
	b.tick().has(entries{"user": "1"})
	f.time += 60_000
	a.tick().save(entries{"cart": "1"})
	a.sync()
	b.tick().save(entries{"theme": "1"})
	settle(b, a)
	for _, d := range []*device{a, b} {
		d.tick().has(entries{"user": "1", "cart": "1", "theme": "1"})
	}
}

// Nor does one that is a little ahead, whose stamps are the greatest.
func TestASaveCountsThoughItsStampIsNotTheGreatest(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.skew = hour / 10
	a.tick().save(entries{"a": "1"})
	a.sync()
	f.time += hour * 9 / 10
	b.tick().save(entries{"b": "1"}) // which has not heard of it, and whose clock is right
	b.sync()
	f.time += hour / 5
	a.tick()
	a.sync()
	settle(b, a)
	for _, d := range []*device{a, b} {
		d.tick().has(entries{"a": "1", "b": "1"})
	}
}

// A logout comes while an answer is awaited, whatever that is.
func TestWhatIsForgottenDuringAnExchangeIsNotBack(t *testing.T) {
	for request := range 3 {
		f := newFleet(t)
		a, b := f.device(ada, 0), f.device(ada, 0)
		b.save(entries{"b": "1"})
		b.sync()
		a.save(entries{"a": "1"})
		if request == 2 { // of an exchange that begins anew
			a.sync()
			f.server.sessions = nil
		}
		n := 0
		a.sync(func() {
			if n++; n == min(request, 1)+1 || request == 2 && n == 1 {
				if err := a.Forget(a.now); err != nil {
					t.Fatal(err)
				}
			}
		})
		a.has(entries{})
		if keys := a.lab().sessionKeys(); len(keys) > 0 {
			t.Errorf("forgotten at request %d, there is %q", request, keys)
		}
	}
}

func TestAnEndIsSentFirstAlsoWhenThereIsNoRoom(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.save(entries{"old": "1"})
	settle(a, b)
	f.time += 5 * hour
	a.tick().save(entries{"new": "1"})
	a.save(entries{"big": `"` + strings.Repeat("x", 1000) + `"`})
	a.room = 100
	if err := a.exchange(); !errors.Is(err, ErrQuota) {
		t.Fatal(err)
	}
	settle(b)
	b.tick().has(entries{"new": "1"})
}

// Somebody was offline, and kept it alive by himself, when another found it
// over.
func TestASessionThatWasKeptAliveOffline(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.save(entries{"user": "1", "both": `"old"`})
	settle(a, b)
	f.time += hour / 4
	b.tick().save(entries{"unseen": "1"}) // by a
	b.sync()
	for range 6 {
		f.time += hour * 3 / 4
		a.tick().save(entries{"seen": "1"})
	}
	b.tick().save(entries{"new": "1", "both": `"new"`})
	b.has(entries{"new": "1", "both": `"new"`})
	settle(b)
	b.has(entries{"new": "1", "both": `"new"`})
	settle(a, b)
	for _, d := range []*device{a, b} {
		d.has(entries{"user": "1", "unseen": "1", "seen": "1", "new": "1", "both": `"new"`})
	}
}

// Also by one who then found it over himself, later.
func TestASessionThatWasKeptAliveAndThenFoundOver(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.save(entries{"user": "1"})
	settle(a, b)
	f.time += hour * 3 / 4
	a.tick().save(entries{"seen": "1"}) // offline
	f.time += hour / 2
	b.tick().save(entries{"b": "1"})
	b.sync()
	b.has(entries{"b": "1"})
	f.time += hour * 3 / 4 // more than an hour after what it has seen itself
	a.tick().save(entries{"a": "1"})
	a.has(entries{"a": "1"})
	settle(a, b)
	for _, d := range []*device{a, b} {
		d.has(entries{"user": "1", "seen": "1", "a": "1", "b": "1"})
	}
}

// But who found it over, too, did not keep it alive.
func TestTwoFindTheSessionOver(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.save(entries{"old": "1"})
	settle(a, b)
	f.time += 5 * hour
	a.tick().save(entries{"a": "1"}) // offline
	f.time += hour / 2
	b.tick().save(entries{"b": "1"})
	b.sync()
	for range 40 {
		a.tick().save(entries{"more": "1"}) // it compacts
	}
	settle(a, b)
	for _, d := range []*device{a, b} {
		d.tick().has(entries{"a": "1", "b": "1", "more": "1"})
	}
}

// Compaction leaves nothing of what was saved in between, but that it was.
func TestCompactionTellsHowLongASessionWasAlive(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	first := `"` + strings.Repeat("x", 5000) + `"` // which is not merged with what is small
	a.save(entries{"first": first})
	a.sync()
	for i := range 2 * compactEvery {
		f.time += hour * 5 / 6
		a.tick().save(entries{"k": fmt.Sprint(i)})
		a.Tidy(a.now)
	}
	settle(a, b)
	for _, d := range []*device{a, b} {
		d.tick().has(entries{"first": first, "k": fmt.Sprint(2*compactEvery - 1)})
	}
}

// What was saved last was a removal, which is not another's.
func TestARemovalKeepsWhatBecomesAnothersAlive(t *testing.T) {
	for _, turns := range []func(d *device){
		func(d *device) {},
		func(d *device) { d.sync(); d.owner = "" }, // it loses its cookie
	} {
		f := newFleet(t)
		d := f.device(ada, hour)
		d.save(entries{"cart": "1", "x": "1"})
		turns(d)
		f.time += hour * 5 / 6
		d.tick().remove("x")
		f.time += hour / 3
		d.tick().has(entries{"cart": "1"})
		settle(d)
		d.has(entries{"cart": "1"})
	}
}

// What the server has no room for was saved all the same.
func TestWhatIsRefusedKeepsASessionAlive(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.room = 20
	a.save(entries{"precious": "1"})
	a.sync()
	f.time += hour * 5 / 6
	a.tick().save(entries{"big": `"` + strings.Repeat("x", 100) + `"`})
	f.time += hour * 5 / 6
	a.tick().save(entries{"small": "1"})
	if err := a.exchange(); !errors.Is(err, ErrQuota) {
		t.Fatalf("the exchange returned %v, want ErrQuota", err)
	}
	if got := a.load()["precious"]; got != "1" {
		t.Errorf("precious is %q, want 1", got)
	}
	settle(b)
	b.has(entries{"precious": "1", "small": "1"})
}

// A device whose clock is always ahead has others stamp what they save as late.
func TestAClockThatIsAlwaysAheadEndsNothing(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.skew = 5 * hour
	a.tick().save(entries{"a": "1"})
	settle(a, b)
	f.time += hour * 5 / 6
	b.tick().save(entries{"b": "1"}) // offline
	f.time += hour * 5 / 6
	a.tick().save(entries{"c": "1"})
	settle(a, b)
	for _, d := range []*device{a, b} {
		d.tick().has(entries{"a": "1", "b": "1", "c": "1"})
	}
}

// Two tabs exchange at once, and the older answer comes last.
func TestAnOlderAnswerWithAllThereIsUndoesNothing(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.save(entries{"a": "1"})
	a.sync()
	f.time += 2 * hour
	b.tick().save(entries{"b": "1"}) // which begins it anew
	b.sync()
	tab := f.device(ada, hour)
	tab.visit(a.storage)
	meanwhile := func() {
		tab.sync()
		tab.remove("b")
		tab.save(entries{"c": "1"})
		tab.sync()
	}
	a.sync(func() { meanwhile(); meanwhile = func() {} })
	a.has(entries{"c": "1"})
	if n := a.unsent(); n != 0 {
		t.Errorf("%d are unsent", n)
	}
}

// There is room neither for all there is nor, once what it replaces is gone, for
// it: it comes again.
func TestAStorageThatIsFullTwice(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	big := `"` + strings.Repeat("x", 500) + `"`
	a.save(entries{"big": big, "k": "1"})
	a.sync()
	if err := a.storage.RemoveItem(a.markKey(must(a.ledger()))); err != nil {
		t.Fatal(err)
	}
	full := &fullStorage{lab: a.lab()}
	a.visit(full)
	if err := a.exchange(); !errors.Is(err, ErrQuota) {
		t.Fatalf("the exchange returned %v, want ErrQuota", err)
	}
	if full.refused < 2 {
		t.Fatalf("it was refused %d times, want both", full.refused)
	}
	a.visit(full.lab)
	a.sync()
	a.has(entries{"big": big, "k": "1"})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A fullStorage has no room for what is large.
type fullStorage struct {
	*lab
	refused int
}

func (s *fullStorage) SetItem(key, text string) error {
	if len(text) > 500 {
		s.refused++
		return ErrQuota
	}
	return s.lab.SetItem(key, text)
}

// A stamp of the future tells nothing of the age.
func TestMaxAgeAfterAClockThatWasAhead(t *testing.T) {
	var storage lab
	b := openAged(t, &storage, hour)
	b.now += 365 * day
	b.save(entries{"secret": "1"})
	b = openAged(t, &storage, hour)
	b.now += 30 * day
	b.has(entries{"secret": "1"})
	b.now += hour + 1
	b.has(entries{})
}

// Changes.

// Who is told of a clearing forgets all that he knew.
func TestALateClearingTellsWhatIsLeft(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, 0), f.device(ada, 0)
	a.save(entries{"old": "1"})
	settle(a, b)
	f.time += 60_000
	b.tick().clear() // offline
	f.time += 60_000
	a.tick().save(entries{"cart": "1"})
	if _, err := a.Watch(a.now, true); err != nil {
		t.Fatal(err)
	}
	settle(b, a)
	if change := a.refresh(); !change.Cleared || !maps.Equal(asMap(change.Set), entries{"cart": "1"}) {
		t.Errorf("told %+v, want all that is left", change)
	}
}

// A tab that was frozen for days brings nothing back that others removed and
// forgot meanwhile.
func TestATabThatWasFrozenBringsNothingBack(t *testing.T) {
	var storage lab
	a := openTab(t, &storage)
	for i := range compactEvery {
		a.save(entries{"k": fmt.Sprint(i), "other": "1"})
	}
	frozen := openTab(t, new(lab)) // it still sees the storage as it was
	maps.Copy(frozen.lab().seed(), storage.items)
	if err := frozen.Listen(true); err != nil {
		t.Fatal(err)
	}
	frozen.save(entries{"before": "1"})
	a.remove("k")
	a.compactAll(a.now)
	a.now += 2 * day
	a.save(entries{"x": "1"})
	a.compactAll(a.now)

	frozen.now = a.now
	before := maps.Clone(frozen.lab().items)
	for i := range 2 * compactEvery {
		frozen.save(entries{"y": fmt.Sprint(i)})
	}
	frozen.load()
	for key, text := range frozen.lab().items {
		if before[key] == "" {
			storage.items[key] = text
		}
	}
	if got := a.load(); got["k"] != "" {
		t.Errorf("k is back: %v", got)
	}
}

func (b *tab) lab() *lab { return b.storage.(*lab) }

// seed returns the items, to be put there.
func (l *lab) seed() map[string]string {
	if l.items == nil {
		l.items = make(map[string]string)
	}
	return l.items
}

// A clock that is wrong by days, in a session that ends.
func TestAWrongClockAndAMaximumAge(t *testing.T) {
	for _, skew := range []int64{-400 * day, -2 * day, 26 * hour, 2 * day, 400 * day} {
		f := newFleet(t)
		a, b := f.device(ada, hour), f.device(ada, hour)
		a.save(entries{"k": "1"})
		settle(a, b)
		f.time += 60_000
		a.skew = skew
		want := entries{"k": "2", "j": "1"}
		a.tick().save(want)
		a.has(want)
		settle(a, b)
		for _, d := range []*device{a, b} {
			d.tick().has(want)
		}
		a.skew = 0
		settle(a, b)
		for _, d := range []*device{a, b} {
			d.tick().has(want)
		}
	}
}

// The server says how long ago somebody saved when it is asked. A tab may sleep before it
// reads that.
func TestAnAnswerThatWaitsMakesTheSessionNoYounger(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.save(entries{"k": "1"})
	settle(a, b)
	b.sync(func() {
		f.time += hour * 2 / 3
		b.tick()
	})
	b.has(entries{"k": "1"})
	f.time += hour * 2 / 3
	b.tick().has(entries{})
}

// It is found over, exchanged, and then begun anew: that is no second end.
func TestASessionThatEndsOnceEndsOnce(t *testing.T) {
	f := newFleet(t)
	a, b := f.device(ada, hour), f.device(ada, hour)
	a.save(entries{"x": "1"})
	settle(a, b)
	f.time += hour * 2 / 3
	b.tick().save(entries{"l": "1"}) // offline
	f.time += hour * 2 / 3
	a.sync()
	a.tick().save(entries{"n": "1"})
	a.sync()
	settle(b, a)
	for _, d := range []*device{a, b} {
		d.tick().has(entries{"x": "1", "l": "1", "n": "1"})
	}
}

// What the server has never had may be over, too.
func TestWhatWasNeverSentIsOver(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, hour)
	a.sync()
	a.save(entries{"old": "1"})
	f.time += 2 * day
	a.tick().has(entries{})
	a.save(entries{"fresh": "1"})
	settle(a)
	a.has(entries{"fresh": "1"})
	b := f.device(ada, hour)
	settle(b)
	b.has(entries{"fresh": "1"})
}

// The server no longer knows who was here. While it makes another visitor of him, somebody
// signs in.
func TestAVisitorBecomesNobodysHeir(t *testing.T) {
	f := newFleet(t)
	a := f.device("", 0)
	a.save(entries{"visitor": "1"})
	a.sync()
	b := &device{server: &f.server, world: &f.time, owner: ben, tab: &tab{t: t}}
	b.visit(a.storage)
	a.owner = ""
	requests := 0
	a.sync(func() {
		if requests++; requests == 2 { // the answer to it tells of a visitor
			b.sync()
			b.tick().save(entries{"secret": "1"})
			b.sync()
		}
	})
	if got := a.load(); got["secret"] != "" {
		t.Errorf("a visitor has what is another's: %v", got)
	}
}

func TestAnHeirGetsWhatWasNotSent(t *testing.T) {
	f := newFleet(t)
	home := f.device(ada, 0)
	home.save(entries{"address": "1", "note": "1"})
	home.sync()
	visitor := f.device("", 0)
	visitor.save(entries{"cart": "1"})
	visitor.sync()
	visitor.save(entries{"cart": "2", "coupon": "1"})
	visitor.remove("note")
	former := visitor.owner
	f.server.Adopted(former, ada)
	visitor.owner = ada
	settle(visitor, home)
	for _, d := range []*device{visitor, home} {
		d.has(entries{"address": "1", "note": "1", "cart": "2", "coupon": "1"})
	}
	if heir := visitor.lab().items[heirKey(former)]; heir != ada {
		t.Errorf("the heir is %q, want %s", heir, ada)
	}
	for key := range visitor.lab().items {
		if strings.HasPrefix(key, "cart/"+former) {
			t.Errorf("%s is left", key)
		}
	}
}

func TestNobodyElseIsTheHeir(t *testing.T) {
	f := newFleet(t)
	visitor := f.device("", 0)
	visitor.save(entries{"cart": "1"})
	visitor.sync()
	visitor.save(entries{"coupon": "1"})
	former := visitor.owner
	f.server.Adopted(former, ada)
	visitor.owner = ben
	settle(visitor)
	visitor.has(entries{})
	// But the page knows now who is, also if it was not sent then.
	visitor.owner = ada
	settle(visitor)
	visitor.has(entries{"coupon": "1"})
}

func TestAnHeirWhoMakesNoSense(t *testing.T) {
	f := newFleet(t)
	a := f.device(ada, 0)
	a.save(entries{"a": "1"})
	a.sync()
	a.save(entries{"b": "1"})
	for _, heir := range []string{ada, "ben"} {
		before := maps.Clone(a.lab().items)
		x, err := a.Exchange(a.now)
		if err != nil {
			t.Fatal(err)
		}
		x.Next(a.now)
		if err := x.Answer(a.now, Unknown, Received{Owner: heir}, Terms{Heir: heir}); !Is(err, ErrServer) {
			t.Errorf("%q is the heir of %s: %v, want %v", heir, ada, err, ErrServer)
		}
		if !maps.Equal(a.lab().items, before) {
			t.Errorf("%q is the heir of %s, and the storage has %v", heir, ada, a.lab().items)
		}
	}
	x, err := f.device("", 0).Exchange(a.now)
	if err != nil {
		t.Fatal(err)
	}
	x.Next(a.now)
	if err := x.Answer(a.now, Unknown, Received{Owner: ben}, Terms{Heir: ben}); !Is(err, ErrServer) {
		t.Errorf("an heir of nobody: %v, want %v", err, ErrServer)
	}
}

func TestAnHeirIsNotedWhenThereIsRoom(t *testing.T) {
	f := newFleet(t)
	a := f.device("", 0)
	a.save(entries{"a": "1"})
	a.sync()
	a.save(entries{"b": "1"})
	former := a.owner
	f.server.Adopted(former, ada)
	a.owner = ada
	before := maps.Clone(a.lab().items)
	a.lab().room = a.lab().used()
	if err := a.exchange(); !Is(err, ErrQuota) {
		t.Errorf("without room for an heir: %v, want %v", err, ErrQuota)
	}
	if !maps.Equal(a.lab().items, before) {
		t.Errorf("the storage has %v, want %v", a.lab().items, before)
	}
	a.has(entries{"a": "1", "b": "1"})
	a.lab().room = 0
	a.sync()
	a.has(entries{"a": "1", "b": "1"})
	if has := f.server.Entries(start, ada); len(has) != 2 {
		t.Errorf("the server has %v of the heir's", has)
	}
}

// Also what another tab saves meanwhile, which has not heard of the heir.
// The heir is a user, or who gets a new cookie. Of that one nobody knows until he is noted.
func TestAnHeirGetsAllThoughATabIsKilled(t *testing.T) {
	killedDuringAGift(t, ada, 1)
	killedDuringAGift(t, "", 2)
}

// killedDuringAGift has a tab be killed at each change of the storage from one on, in which it
// gives all to an heir.
func killedDuringAGift(t *testing.T, heir string, from int) {
	t.Helper()
	for n := from; ; n++ {
		f := newFleet(t)
		a := f.device("", 0)
		a.save(entries{"a": "1"})
		a.sync()
		a.save(entries{"b": "1"})
		former := a.owner
		if a.owner = heir; heir != "" {
			f.server.Adopted(former, heir)
		}
		deaf := openTab(t, a.storage)
		if err := deaf.Listen(true); err != nil {
			t.Fatal(err)
		}
		a.lab().killIn = n + 1
		err := a.exchange()
		if a.lab().killIn = 0; err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		deaf.save(entries{"c": "1"})
		a.again()
		settle(a)
		a.has(entries{"a": "1", "b": "1", "c": "1"})
		if has := f.server.Entries(start, a.owner); len(has) != 3 {
			t.Errorf("killed at change %d: the server has %v", n, has)
		}
		for key := range a.lab().items {
			if _, isItem := ParseStamp(key[max(0, len(key)-stampLength):]); isItem && strings.HasPrefix(key, "cart/"+former) {
				t.Errorf("killed at change %d: %s is left", n, key)
			}
		}
		if err == nil {
			break
		}
	}
}

// A tab that has not heard of the heir yet saves for the former owner.
func TestAnHeirGetsWhatIsSavedForTheFormerOwner(t *testing.T) {
	f := newFleet(t)
	a := f.device("", 0)
	a.save(entries{"a": "1"})
	a.sync()
	deaf := openTab(t, a.storage)
	if err := deaf.Listen(true); err != nil {
		t.Fatal(err)
	}
	former := a.owner
	f.server.Adopted(former, ada)
	a.owner = ada
	a.sync()
	f.time += 1000
	deaf.now = f.time
	for range compactEvery + 1 {
		deaf.save(entries{"late": "1"})
	}
	deaf.remove("a")
	stranger := "cart/" + ben + "/" + string(makeStamp(start, 7, writerOf(1)))
	text := FormatItem(Said{Newest: makeStamp(start, 7, writerOf(1)), Records: []Record{{Key: "b", Stamp: makeStamp(start, 7, writerOf(1)), Value: "1"}}})
	if err := a.storage.SetItem(stranger, text); err != nil {
		t.Fatal(err)
	}
	a.sync()
	a.has(entries{"a": "1", "late": "1"})
	if n := a.unsent(); n != 0 || len(f.server.Entries(start, ada)) != 2 {
		t.Errorf("%d entries are unsent, and the server has %v", n, f.server.Entries(start, ada))
	}
	for key := range a.lab().items {
		if strings.HasPrefix(key, "cart/"+former) {
			t.Errorf("%s is left", key)
		}
	}
	deaf.See(a.ledgerKey())
	deaf.has(entries{"a": "1", "late": "1"})
	a.owner = ben
	a.sync()
	a.has(entries{"b": "1"})
}
