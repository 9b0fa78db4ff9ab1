// Not in a browser, where there is no SQLite.

//go:build !js

package engine_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
	"github.com/session-interop/session-writer/internal/pgtest"
	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// The replication simulation is of devices that exchange their sessions through
// a real database, beside which a model is asked the same. A device has tabs on
// one storage, whose changes reach each tab late, as between the processes of a
// browser. All that happens follows from the seed of a schedule:
//
//	go test ./internal/engine -run TestReplication -sim.seed 123 -sim.steps 45
//
// What is held against it knows nothing of stamps: which batch was made after
// reading which. No value may be left of which somebody knew who saved, or
// removed, the same key later.

const (
	minute = 60 * 1000
	hour   = 60 * minute
	day    = 24 * hour
	year   = 365 * day

	begins = 1_795_373_052_123

	// How long an answer, or a request that comes late, is on its way, and so
	// how far off the age of a session may be.
	slowest = 10 * minute
	margin  = 3 * slowest

	// Removals younger than this are remembered by whoever made them, however
	// far off the clocks are that are not wrong.
	remembered = 8 * hour

	groups, groupSize, singles = 3, 3, 5
)

// defaultReplicationOps take some ten seconds.
const defaultReplicationOps = 300_000

func TestReplication(t *testing.T) { openLaboratory(t).run(t, defaultReplicationOps) }

// An operation takes longer there. make test-long has more of them.
func TestReplicationOnPostgreSQL(t *testing.T) {
	db, err := postgresql.Open(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	newLaboratory(t, db, sqlstore.NewPostgreSQL, "$").run(t, defaultReplicationOps/10)
}

func (l *laboratory) run(t *testing.T, enough int) {
	t.Helper()
	engine.RunSchedules(t, enough, func(seed uint64, steps int) (int, error) {
		ops, _, err := l.simulate(seed, steps)
		return ops, err
	})
}

func TestReplicationFollowsFromItsSeed(t *testing.T) {
	l := openLaboratory(t)
	for seed := range uint64(20) {
		ops, log, err := l.simulate(seed, 0)
		again, log2, err2 := l.simulate(seed, 0)
		if ops != again || fmt.Sprint(err) != fmt.Sprint(err2) || log != log2 {
			t.Fatalf("seed %d: %d operations, then %d; %v, then %v", seed, ops, again, err, err2)
		}
	}
}

// A laboratory has the database that the schedules use one after the other.
type laboratory struct {
	sql          *sql.DB
	small, roomy *sqlstore.DB
	mark         string // of a parameter
	time         int64  // by the server's clock
}

func openLaboratory(t *testing.T) *laboratory {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLaboratory(t, db, sqlstore.New, "?")
	// A power cut is not simulated.
	if _, err := db.Exec(`PRAGMA synchronous=OFF`); err != nil {
		t.Fatal(err)
	}
	return l
}

func newLaboratory(t *testing.T, db *sql.DB, open func(*sql.DB, sqlstore.Limits) *sqlstore.DB, mark string) *laboratory {
	t.Helper()
	t.Cleanup(func() { _ = db.Close() })
	l := &laboratory{
		sql:   db,
		small: open(db, sqlstore.Limits{Body: 9000, Bytes: 6000, Entries: 16, Key: 60}),
		roomy: open(db, sqlstore.Limits{}),
		mark:  mark,
	}
	for _, d := range []*sqlstore.DB{l.small, l.roomy} {
		set(d, "now", func() time.Time { return time.UnixMilli(l.time) })
	}
	if err := l.roomy.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// set sets a field that only its package can: what the clock says, and whatever
// is random, must follow from the seed.
func set[T any](of any, field string, value T) {
	v := reflect.ValueOf(of).Elem().FieldByName(field)
	*(*T)(unsafe.Pointer(v.UnsafeAddr())) = value
}

// Modes are what happens in a schedule, beside saves and exchanges.
type modes struct {
	owners    bool // people sign in and out
	visitors  bool // cookies are lost, and devices join others
	aged      bool // the session is over after some time
	clocks    bool // are off by years
	limits    bool // the server has little room
	wipes     bool // the storage is cleared
	rollbacks bool // browsers are killed before they have written to disk
	clones    bool // of a browser's profile
	lossy     bool // what a killed tab did may be lost
	losses    bool // requests and answers are lost, late, and repeated
	frozen    bool // tabs are, for days
	nights    bool
	decades   bool // hundreds of days pass, and the server prunes
	restores  bool // the server is put back from a backup, or loses everything
	writer    bool // somebody saves on the server
	quota     bool // the browser's storage is full now and then
	clears    bool
	parts     bool // what is sent is sent in small parts
	unlocked  bool // tabs of a device exchange at once
	durable   bool // sessions are mirrored in what a kill of the browser leaves
	alone     bool // nothing is exchanged before the end
	adopts    bool // visitors turn out to be users
}

func (m modes) String() string {
	var on []string
	for field, v := range reflect.ValueOf(m).Fields() {
		if v.Bool() {
			on = append(on, field.Name)
		}
	}
	return strings.Join(on, " ")
}

func randomModes(r *rand.Rand) (m modes) {
	rare := 1 + r.IntN(5)
	for field := range reflect.TypeFor[modes]().Fields() {
		if field.Name != "durable" && field.Name != "alone" && field.Name != "adopts" {
			set(&m, field.Name, r.IntN(5) >= rare)
		}
	}
	if m.aged = r.IntN(5) == 0; m.aged {
		m.clocks, m.quota, m.restores = false, false, false
	}
	if m.visitors {
		// Without a lock a browser that the server does not know may become two
		// visitors at once, each with a part of what was nobody's.
		m.unlocked = false
	}
	if m.clocks {
		// What is stamped anew in two places that know nothing of each other
		// has no order.
		m.frozen, m.decades, m.clones = false, false, false
	}
	return m
}

// A set of batches, by their numbers.
type batches []uint64

func (s batches) has(n int) bool { return n/64 < len(s) && s[n/64]&(1<<(n%64)) != 0 }

func (s *batches) add(n int) {
	for n/64 >= len(*s) {
		*s = append(*s, 0)
	}
	(*s)[n/64] |= 1 << (n % 64)
}

func (s *batches) join(other batches) {
	for i, word := range other {
		if i >= len(*s) {
			*s = append(*s, 0)
		}
		(*s)[i] |= word
	}
}

// A batch is one that somebody saved.
type batch struct {
	id      int
	by      string
	set     map[string]bool
	remove  map[string]bool
	clear   bool
	after   batches // those whose values were read before
	at      int64   // when, truly
	stamp   engine.Stamp
	failed  bool
	written engine.Stamp // the last that it was stored with
}

// A claim is that a batch is in an owner's session: because it was saved there
// or because what is alive of it became that owner's.
type claim struct {
	*batch
	owner  string
	keys   map[string]bool // that became the owner's; nil when it was saved there
	device *device         // nil when it was saved on the server
	local  bool            // whether a device has it for sure
	server int             // since which step the server has it for sure, or 0
	stale  bool            // whether what it removed may be forgotten
}

func (c *claim) certain() bool { return c.local || c.server > 0 }

func (w *world) certain(id int, key, owner string) bool {
	c := w.claims[claimOf{id, owner}]
	return c != nil && c.certain() && c.sets(key)
}

func (c *claim) sets(key string) bool { return c.set[key] && (c.keys == nil || c.keys[key]) }

func (c *claim) removes(key string) bool { return c.keys == nil && (c.clear || c.remove[key]) }

type claimOf struct {
	id    int
	owner string
}

type world struct {
	*laboratory
	modes
	r       *rand.Rand
	db      *sqlstore.DB
	model   *engine.Model
	cursors map[string]string // the model's, by those of the database
	time    int64             // the true one
	skew    int64             // of the server's clock
	wobble  int64             // how far off clocks are that are not wrong
	maxAge  int64
	step    int
	calm    bool // whether nothing is lost on the way any more

	batches []*batch
	claims  map[claimOf]*claim
	of      map[string][]*claim // by owner
	stamped map[engine.Stamp]*batch
	anew    map[[3]any]*tab // who stamped what anew, by device and owner
	// disordered says that not all that was made after reading something need win.
	disordered bool
	// cramped says that something was removed before what is in its place was
	// there, as there was no room: others may have seen a part of it.
	cramped bool

	users   []string
	devices []*device
	writers map[string]*serverWriter
	backup  *backup

	lost bool // whether anything may be
	ops  int
	log  []note
}

type note struct {
	format string
	args   []any
}

type broken struct{ error }

type killed struct{}

func (w *world) note(format string, args ...any) { w.log = append(w.log, note{format, args}) }

func (w *world) fail(format string, args ...any) { panic(broken{fmt.Errorf(format, args...)}) }

func (w *world) chance(n int) bool { return w.r.IntN(n) == 0 }

func (w *world) text() string {
	var text strings.Builder
	for _, n := range w.log {
		fmt.Fprintf(&text, n.format+"\n", n.args...)
	}
	return text.String()
}

// padding makes some values large.
var padding = regexp.MustCompile("x{9,}")

// simulate runs one schedule.
func (l *laboratory) simulate(seed uint64, steps int) (ops int, log string, err error) {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{
		laboratory: l, r: r, db: l.roomy, model: new(engine.Model), cursors: make(map[string]string),
		time: begins, wobble: 6 * hour, modes: randomModes(r),
		claims: make(map[claimOf]*claim), of: make(map[string][]*claim), stamped: make(map[engine.Stamp]*batch),
		writers: make(map[string]*serverWriter), anew: make(map[[3]any]*tab),
	}
	// By numbers of its own, so that the other schedules are what they were before.
	mirrors := rand.New(rand.NewPCG(seed, 2))
	w.durable = mirrors.IntN(3) == 0
	w.alone = w.durable && mirrors.IntN(3) == 0
	w.adopts = w.visitors && rand.New(rand.NewPCG(seed, 3)).IntN(2) == 0
	own := 40 + r.IntN(300)
	if steps == 0 {
		steps = own
	}
	if w.frozen {
		w.wobble = hour
	}
	if w.aged {
		w.maxAge, w.wobble = 4*hour+r.Int64N(36*hour), 0
	}
	if w.limits {
		w.db = l.small
	}
	if w.parts {
		defer engine.SetPartSize(300 + r.IntN(2000))()
	}
	defer func() {
		if p := recover(); p != nil {
			b, ok := p.(broken)
			if !ok {
				b.error = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			text := fmt.Sprintf("%v\nmodes: %s\n%s", b, w.modes, w.text())
			err = fmt.Errorf("after %d steps: %s", w.step, padding.ReplaceAllString(text, "x…"))
		}
		ops, log = w.ops, w.text()
	}()
	w.begin()
	for w.step = 1; w.step <= steps; w.step++ {
		w.tick()
		w.act()
	}
	w.end()
	return
}

func (w *world) begin() {
	w.setServer()
	w.deleteAll()
	users := 1
	if w.owners {
		users = 2 + w.r.IntN(2)
	}
	for range users {
		w.newUser("user")
	}
	if w.visitors {
		w.newUser("visitor")
	}
	for range 2 + w.r.IntN(2) {
		d := w.newDevice()
		if w.owners || !w.visitors {
			d.cookie = w.users[w.r.IntN(len(w.users))]
		}
		if w.aged {
			d.cookie = w.users[0]
			w.finish(d.openTab())
		}
	}
}

func (w *world) setServer() { w.laboratory.time = w.time + w.skew }

func (w *world) newUser(kind string) string {
	user := fmt.Sprintf("%s %d", kind, len(w.users))
	w.users = append(w.users, user)
	return user
}

// claim notes that a batch is an owner's, of which d has it.
func (w *world) claim(b *batch, owner string, d *device) *claim {
	c := &claim{batch: b, owner: owner, device: d}
	w.claims[claimOf{b.id, owner}] = c
	of := append(w.of[owner], c) // in the order of their time
	for i := len(of) - 1; i > 0 && of[i-1].at > c.at; i-- {
		of[i-1], of[i] = of[i], of[i-1]
	}
	w.of[owner] = of
	return c
}

// The server.

type answer struct {
	answered engine.Answered
	got      engine.Received
	late     engine.Terms
	cookie   string // that the browser gets
}

type request struct {
	user string
	sent engine.Sent
	at   int64
}

// request has the server answer what somebody sends, and holds the answer
// against the model's.
func (w *world) request(user string, sent engine.Sent) (a answer) {
	if adopted := w.adopted(user); user == "" || adopted {
		switch {
		case adopted && sent.Owner != "": // a browser in which nobody has signed in
		case sent.Owner != "" || sent.Cursor != "":
			return answer{answered: engine.Unknown}
		case sent.Items == "":
			return answer{answered: engine.Merged, got: engine.Received{Age: -1}}
		}
		user = w.newUser("visitor")
		a.cookie = user
	}
	w.setServer()
	tag := sqlstore.Tag(user)
	var said engine.Said
	if sent.Items != "" {
		var unreadable int
		var err error
		if said, unreadable, err = engine.ParseItems(sent.Items); err != nil || unreadable > 0 {
			w.fail("what is sent is %s: %d unreadable, %v", sent.Items, unreadable, err)
		}
	}
	if sent.Owner == tag {
		for _, r := range said.Records {
			if r.Value != "" && w.claims[claimOf{w.idOf(r.Value), tag}] == nil {
				w.fail("LEAK: %s=%s is sent for %s", r.Key, r.Value, user)
			}
		}
	}
	w.model.MaxEntries, w.model.MaxBytes = w.db.Limits().Entries, w.db.Limits().Bytes
	done, err := w.db.Exchange(context.Background(), user, "cart", session.Sent(sent))
	var owner *session.OwnerError
	var stamp *session.StampError
	switch {
	case err == nil:
		a.answered, a.got = engine.Merged, engine.Received(done.Received)
	case errors.As(err, &owner):
		a.answered, a.got.Owner = engine.Unknown, owner.Owner
		a.late.Heir = w.model.Heir(sent.Owner)
	case errors.Is(err, session.ErrCursor):
		a.answered, a.got.Owner = engine.Unknown, tag
	case errors.As(err, &stamp):
		a.answered, a.got.Owner = engine.TooLate, tag
		a.late = engine.Terms{Latest: stamp.Latest.UnixMilli(), Newest: engine.Stamp(stamp.Newest)}
	case errors.Is(err, session.ErrQuota) && w.limits:
		a.answered, a.got.Owner = engine.NoRoom, tag
		w.refused(tag, err)
		return a
	default:
		w.fail("the server answers %s: %v", user, err)
	}
	if done.Skipped > 0 {
		w.fail("the server cannot read %d items of %s", done.Skipped, sent.Items)
	}
	w.compare(user, sent, said, a)
	if a.answered == engine.Merged && sent.Owner != "" {
		w.arrived(tag, said)
	}
	return a
}

// refused has the model know of a session that is in use because the merge itself
// found out that there is no room, and not what comes before.
func (w *world) refused(tag string, err error) {
	if strings.Contains(err.Error(), "removed ones included") || strings.Contains(err.Error(), "keys and values of a session") {
		w.model.Use(w.laboratory.time, tag)
	}
}

// compare has the model answer, too.
func (w *world) compare(user string, sent engine.Sent, said engine.Said, a answer) {
	tag := sqlstore.Tag(user)
	asked := sent
	if sent.Cursor != "" {
		var ok bool
		if asked.Cursor, ok = w.cursors[sent.Cursor]; !ok {
			asked.Cursor = "0-0" // of no epoch
		}
	}
	answered, got, late := w.model.Exchange(w.laboratory.time, tag, asked)
	if answered != a.answered || late != a.late || got.Owner != a.got.Owner || answered == engine.Merged && (got.Age != a.got.Age || got.Complete != a.got.Complete) {
		w.fail("MODEL: %s sends %+v, and the server answers %+v, the model %d %+v %+v", user, sent, a, answered, got, late)
	}
	if answered != engine.Merged {
		return
	}
	if _, ok := w.cursors[a.got.Cursor]; !ok && a.got.Cursor != "" {
		w.cursors[a.got.Cursor] = got.Cursor
	}
	if want, item := w.news(got.Item, said), w.news(a.got.Item, said); want != item {
		w.fail("MODEL: %s sends %+v, and the server gives %s, the model %s", user, sent, a.got.Item, got.Item)
	}
	if sent.Items != "" {
		if want, has := w.model.Entries(w.laboratory.time, tag), w.entries(user); !maps.Equal(want, has) {
			w.fail("MODEL: %s sends %+v, and the server has %s, which the model has not", user, sent, difference(has, want))
		}
	}
}

// news returns what an item says and was not sent.
func (w *world) news(item string, sent engine.Said) string {
	if item == "" {
		return ""
	}
	said, unreadable, err := engine.ParseItems("[" + item + "]")
	if err != nil || unreadable > 0 {
		w.fail("the server sends %s: %v", item, err)
	}
	had := make(map[engine.Record]bool)
	for _, r := range sent.Records {
		r.Alive = 0
		had[r] = true
	}
	said.Records = slices.DeleteFunc(said.Records, func(r engine.Record) bool {
		r.Alive = 0
		return had[r]
	})
	if said.Cleared == sent.Cleared {
		said.Cleared = ""
	}
	if said.Newest <= sent.Newest {
		said.Newest = ""
	}
	return engine.FormatItem(said)
}

// arrived notes what the server has merged.
func (w *world) arrived(tag string, said engine.Said) {
	keys := make(map[int]map[string]bool)
	for _, r := range said.Records {
		b := w.stamped[r.Stamp]
		if r.Value != "" {
			b = w.batches[w.idOf(r.Value)]
		}
		if b != nil {
			if keys[b.id] == nil {
				keys[b.id] = make(map[string]bool)
			}
			keys[b.id][r.Key] = true
		}
	}
	if b := w.stamped[said.Cleared]; b != nil {
		keys[b.id] = nil
	}
	for id, has := range keys {
		c := w.claims[claimOf{id, tag}]
		if c == nil || c.server > 0 {
			continue
		}
		all := true // else something was made later, or is for another owner
		for _, touched := range []map[string]bool{c.set, c.remove} {
			for key := range touched {
				all = all && (has[key] || c.keys != nil && !c.keys[key])
			}
		}
		if all {
			c.server = max(w.step, 1)
		}
	}
}

func (w *world) open(user string) *sqlstore.Session {
	s, err := w.db.Open(context.Background(), user, "cart")
	if err != nil {
		w.fail("%v", err)
	}
	return s
}

// entries returns what the server has.
func (w *world) entries(user string) map[string]string {
	loaded, err := w.open(user).Load(context.Background())
	if err != nil {
		w.fail("%v", err)
	}
	entries := make(map[string]string, len(loaded))
	for key, value := range loaded {
		entries[key] = string(value)
	}
	return entries
}

// adopted reports whether somebody was a visitor and is a user by now.
func (w *world) adopted(user string) bool { return w.model.Heir(sqlstore.Tag(user)) != "" }

// adopt has a visitor sign in with his device: his session becomes the user's, too.
func (d *device) adopt() {
	w := d.world
	visitor, user := d.cookie, w.users[w.r.IntN(len(w.users))]
	if !strings.HasPrefix(user, "user") {
		return
	}
	former, heir := sqlstore.Tag(visitor), sqlstore.Tag(user)
	w.setServer()
	had, err := w.db.Exchange(context.Background(), visitor, "cart", session.Sent{Owner: former})
	if err != nil {
		w.fail("%v", err)
	}
	if w.model.Has(former) {
		w.model.Use(w.laboratory.time, former)
	}
	said, _, err := engine.ParseItems("[" + had.Item + "]")
	if err != nil {
		w.fail("%v", err)
	}
	// Like a page that joins: what he removed is not removed for the user.
	said.Cleared = ""
	said.Records = slices.DeleteFunc(said.Records, func(r engine.Record) bool { return r.Value == "" })
	if len(said.Records) > 0 {
		for _, r := range said.Records {
			w.given(w.idOf(r.Value), r.Key, heir, nil)
		}
		a := w.request(user, engine.Sent{Owner: heir, Items: "[" + engine.FormatItem(said) + "]", Now: w.laboratory.time, MaxAge: w.maxAge})
		if a.answered != engine.Merged {
			w.note("%s cannot become %s: %d", visitor, user, a.answered)
			return
		}
	}
	w.note("%s becomes %s", visitor, user)
	w.model.Adopted(former, heir)
	d.cookie = user
	for _, other := range w.devices {
		if other.cookie == visitor && w.chance(2) {
			w.note("%s is signed in as %s, too", other.name, user)
			other.cookie = user
		}
	}
}

// given notes that what a batch has of a key becomes an owner's, and returns the claim if
// that is new.
func (w *world) given(id int, key, owner string, d *device) (anew *claim) {
	c := w.claims[claimOf{id, owner}]
	if c == nil {
		anew = w.claim(w.batches[id], owner, d)
		anew.keys = make(map[string]bool)
		c = anew
	}
	if c.keys != nil {
		c.keys[key] = true
	}
	return anew
}

// A serverWriter saves on the server.
type serverWriter struct {
	*sqlstore.Session
	seen batches
}

func (w *world) saveOnServer() {
	user := w.users[w.r.IntN(len(w.users))]
	tag := sqlstore.Tag(user)
	if w.adopted(user) || w.aged && !w.model.Ends(tag) {
		return // the server cannot know that it ends
	}
	s := w.writers[user]
	if s == nil {
		s = &serverWriter{Session: w.open(user)}
		set(s.Session, "writer", fmt.Sprintf("%012x", w.r.Uint64()>>16))
		w.writers[user] = s
	}
	w.setServer()
	has := w.entries(user)
	w.check("the server", tag, has, nil)
	w.read(&s.seen, has)
	b := w.newBatch("the server", s.seen)
	batch := w.compose(b)
	ctx := context.Background()
	before, err := w.db.Exchange(ctx, user, "cart", session.Sent{Owner: tag})
	if err != nil {
		w.fail("%v", err)
	}
	if w.model.Has(tag) {
		w.model.Use(w.laboratory.time, tag)
	}
	switch {
	case batch.Clear:
		err = s.Clear(ctx)
	case batch.Remove != "":
		err = s.Remove(ctx, slices.Sorted(maps.Keys(b.remove))...)
	default:
		value := strings.Trim(w.valueIn(batch), `"`)
		err = s.Save(ctx, func(yield func(string, any) bool) {
			for _, key := range slices.Sorted(maps.Keys(b.set)) {
				if !yield(key, value) {
					return
				}
			}
		})
	}
	w.note("%s: the server saves %s: %v", user, b, err)
	if errors.Is(err, session.ErrQuota) && w.limits {
		b.failed = true
		w.refused(tag, err)
		return
	}
	if err != nil {
		w.fail("the server saves %s: %v", b, err)
	}
	w.claim(b, tag, nil).server = max(w.step, 1)
	s.seen.add(b.id)
	after, err := w.db.Exchange(ctx, user, "cart", session.Sent{Owner: tag, Cursor: before.Cursor})
	if err != nil {
		w.fail("%v", err)
	}
	said, _, err := engine.ParseItems("[" + after.Item + "]")
	if err != nil {
		w.fail("%v", err)
	}
	b.stamp = said.Newest
	w.stamped[b.stamp] = b
	w.model.Saved(w.laboratory.time, tag, said)
	if want, has := w.model.Entries(w.laboratory.time, tag), w.entries(user); !maps.Equal(want, has) {
		w.fail("MODEL: the server saves %s and has %s, which the model has not", b, difference(has, want))
	}
}

// A backup has all rows of the server.
type backup struct {
	step  int
	rows  map[string][][]any
	model *engine.Model
}

var tables = []string{"sessions", "records"}

func (w *world) deleteAll() {
	for _, table := range tables {
		if _, err := w.sql.Exec(`DELETE FROM ` + table); err != nil {
			w.fail("%v", err)
		}
	}
}

func (w *world) dump() *backup {
	b := &backup{step: max(w.step, 1), rows: make(map[string][][]any), model: w.model.Clone()}
	for _, table := range tables {
		rows, err := w.sql.Query(`SELECT * FROM ` + table)
		if err != nil {
			w.fail("%v", err)
		}
		columns, err := rows.Columns()
		if err != nil {
			w.fail("%v", err)
		}
		for rows.Next() {
			row, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				w.fail("%v", err)
			}
			b.rows[table] = append(b.rows[table], row)
		}
		_ = rows.Close()
	}
	return b
}

// restore puts a backup back, or an empty database.
func (w *world) restore(from *backup) {
	w.deleteAll()
	for _, table := range tables {
		for _, row := range from.rows[table] {
			var marks []string
			for i := range row {
				marks = append(marks, w.mark+strconv.Itoa(i+1))
			}
			if _, err := w.sql.Exec(`INSERT INTO `+table+` VALUES (`+strings.Join(marks, ",")+`)`, row...); err != nil {
				w.fail("%v", err)
			}
		}
	}
	if _, err := w.db.Restored(context.Background()); err != nil {
		w.fail("%v", err)
	}
	w.model.Restored(from.model)
	for _, c := range w.claims {
		if c.server >= from.step {
			c.server = 0
		}
		// Only the server had remembered it.
		c.stale = c.stale || w.clocks || c.at < w.time-remembered
	}
	w.lost = true
}

func (w *world) prune() {
	w.setServer()
	if err := w.db.Prune(context.Background(), time.UnixMilli(w.laboratory.time)); err != nil {
		w.fail("%v", err)
	}
	w.model.Prune(w.laboratory.time)
	for _, user := range w.users {
		tag := sqlstore.Tag(user)
		gone := !w.model.Has(tag)
		for _, c := range w.of[tag] {
			// A session that is gone has forgotten all, one that is there what
			// is as old as that.
			if gone {
				c.server, c.stale = 0, true
			}
			c.stale = c.stale || w.time-c.at > int64(sqlstore.KeptFor/time.Millisecond)-2*day
		}
	}
}

// The devices.

// A device is a browser: the truth about its storage, and the tabs that see
// that late.
type device struct {
	world  *world
	name   string
	cookie string // whom the server takes it for
	skew   int64  // of its clock
	room   int    // in its storage; 0 for any
	truth  map[string]string
	log    []change
	disk   map[string]string // what is written of the log, up to saved
	saved  int
	mirror map[string]string // what transactions have written
	// replaced are the keys that a transaction has removed from the mirror.
	replaced map[string]bool
	tabs     []*tab
	busy     *tab // the one that exchanges, where only one may
	late     []request
	wiped    bool
	// exchanged is when the last exchange began that came to its end with a
	// cursor.
	exchanged int64
	// heirs are those to whom what an owner has here may go: anybody, once the
	// server did not know him again.
	heirs map[heir]bool
}

type heir struct{ from, to string }

const anybody = "*"

// A change is one that a tab made to the storage.
type change struct {
	by        *tab
	key, text string
	kind      byte // 's' for a set, 'r' for a removal, 'c' for a clearing
	claims    []*claim
}

type tab struct {
	*engine.Session
	device  *device
	name    string
	open    bool
	view    map[string]string
	loaded  []engine.Entry
	pending []change // its own that have not reached the browser's process
	heard   int      // of the device's log
	mine    map[string]int
	cleared int
	events  []string // keys of what it sees and has not been told of
	look    bool     // whether it was told that anything may have changed

	seen    map[string]*batches       // by owner
	last    map[string]map[string]int // by owner and key, the batch that was read last
	shows   string                    // the owner whose session it read last
	told    map[string]string         // what a reader of changes knows
	current *batch                    // that is being saved
	killIn  int
	frozen  int   // until which step
	stale   int64 // until when a thawed tab has not heard

	mirrors      bool              // whether it has its changes mirrored
	noted        []change          // what the next transaction writes
	transactions [][]change        // under way
	copied       map[string]string // what it has read of the mirror, to restore it; nil if it has not
	restored     bool              // whether it has restored what was lost
	restoring    bool              // which nobody need be told of
	forgets      bool              // whether what was lost is back, or must not come back
	emptied      bool              // whether it was told that the storage was cleared

	flight    *flight
	flying    bool  // whether the exchange is what changes the storage
	touched   int   // how often something else did
	exchanged int64 // when it had last exchanged
}

type flight struct {
	x       *engine.Exchange
	owner   string // that was sent
	waiting bool
	lost    bool
	answer  answer
	at      int64 // of the request
	began   int64
	touched int
}

func (w *world) newDevice() *device {
	d := &device{
		world: w, name: fmt.Sprint("device ", len(w.devices)),
		truth: make(map[string]string), disk: make(map[string]string), heirs: make(map[heir]bool),
		mirror: make(map[string]string), replaced: make(map[string]bool),
	}
	d.skew = w.wobbling()
	w.devices = append(w.devices, d)
	return d
}

func (w *world) wobbling() int64 {
	if w.wobble == 0 {
		return 0
	}
	return w.r.Int64N(2*w.wobble) - w.wobble
}

func (d *device) now() int64 { return d.world.time + d.skew }

func (d *device) open() (open []*tab) {
	for _, t := range d.tabs {
		if t.open {
			open = append(open, t)
		}
	}
	return open
}

func (d *device) openTab() *tab {
	w := d.world
	t := &tab{
		device: d, name: fmt.Sprintf("%s tab %d", d.name, len(d.tabs)), open: true,
		view: maps.Clone(d.truth), heard: len(d.log), mine: make(map[string]int),
		seen: make(map[string]*batches), last: make(map[string]map[string]int),
	}
	s, err := engine.Open(t, "cart", new(engine.Clock), w.maxAge)
	if err == nil && !w.chance(5) {
		err = s.Listen(true)
	}
	if err != nil {
		w.fail("%s: open: %v", t.name, err)
	}
	s.Seed(w.r.Uint64)
	t.Session = s
	d.tabs = append(d.tabs, t)
	_, marked := t.view[watermarkKey]
	t.mirrors = w.durable && (marked || !w.chance(4))
	if w.chance(3) {
		if _, err := s.Watch(d.now(), true); err != nil {
			w.fail("%s: watch: %v", t.name, err)
		}
		t.told = t.all()
	}
	return t
}

// The storage of a tab.

func (t *tab) op() {
	t.device.world.ops++
	if t.killIn > 0 {
		if t.killIn--; t.killIn == 0 {
			panic(killed{})
		}
	}
}

func (t *tab) GetItem(key string) (string, bool, error) {
	t.op()
	text, ok := t.view[key]
	return text, ok, nil
}

func (t *tab) Keys(prefix string) ([]string, error) {
	t.op()
	var keys []string
	for key := range t.view {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	t.device.world.r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys, nil
}

func (t *tab) SetItem(key, text string) error {
	t.op()
	w, d := t.device.world, t.device
	if had, ok := t.view[key]; d.room > 0 && (!ok || len(text) > len(had)) { // as browsers do
		n := len(key) + len(text)
		for k, v := range t.view {
			if k != key {
				n += len(k) + len(v)
			}
		}
		if n > d.room {
			return engine.ErrQuota
		}
	}
	if key == watermarkKey && t.mirrors && !t.restoring {
		if err := t.mayForget(); err != nil {
			return err
		}
	}
	c := change{by: t, key: key, text: text, kind: 's'}
	if had := t.view[key]; key == "/cart" && strings.HasSuffix(text, " -") && had != "" && had[:29] == text[:29] {
		w.cramped = true
	}
	if from, ok := strings.CutPrefix(key, "//"); ok {
		if !d.formers(text)[from] {
			w.fail("LEAK: %s says that what is of %s is of %s", t.name, from, text)
		}
	} else if owner, stamp, ok := itemOf(key); ok {
		if _, ok := t.view[key]; ok {
			w.fail("%s writes the item %s again", t.name, key)
		}
		c.claims = t.claims(owner, stamp, text)
	}
	t.view[key] = text
	t.change(c)
	return nil
}

// itemOf returns whose item has a key, and its stamp.
func itemOf(key string) (owner string, stamp engine.Stamp, ok bool) {
	name, ok := strings.CutPrefix(key, "cart/")
	if !ok {
		return "", "", false
	}
	if at, rest, found := strings.Cut(name, "/"); found {
		owner, name = at, rest
	}
	stamp, ok = engine.ParseStamp(name)
	return owner, stamp, ok
}

// claims finds out whose batches are in an item that is written.
func (t *tab) claims(owner string, stamp engine.Stamp, text string) (claims []*claim) {
	w, d := t.device.world, t.device
	said, unreadable, err := engine.ParseItems("[" + text + "]")
	if err != nil || unreadable > 0 {
		w.fail("%s writes %s, which cannot be read", t.name, text)
	}
	// A merged item has a stamp of its own, later than all in it.
	if b := t.current; b != nil && said.Newest == stamp {
		t.current = nil
		b.stamp = stamp
		w.stamped[stamp] = b
		c := w.claim(b, owner, d)
		c.local = true
		claims = append(claims, c)
	}
	if w.clocks && said.Cleared != "" && w.stamped[said.Cleared] == nil {
		t.anew(owner, "removals", said.Cleared)
	}
	for _, r := range said.Records {
		if r.Value == "" {
			if w.clocks && w.stamped[r.Stamp] == nil {
				t.anew(owner, "removals", r.Stamp)
			}
			continue
		}
		id := w.idOf(r.Value)
		if b := w.batches[id]; w.clocks && r.Stamp != b.written {
			if b.written != "" {
				t.anew(owner, id, r.Stamp)
			}
			b.written = r.Stamp
		}
		c := w.claims[claimOf{id, owner}]
		if c == nil || c.keys != nil && !c.keys[r.Key] {
			if !t.mayBe(id, owner) {
				w.fail("LEAK: %s writes %s=%s for %s", t.name, r.Key, r.Value, owner)
			}
			if c := w.given(id, r.Key, owner, d); c != nil {
				c.local = true
				claims = append(claims, c)
			}
		}
	}
	return claims
}

// mayBe reports whether what somebody else saved may become an owner's here:
// what was nobody's, or of one whose sessions are those of that owner now,
// perhaps after they were those of others.
func (t *tab) mayBe(id int, owner string) bool {
	w, d := t.device.world, t.device
	if owner != "" && w.claims[claimOf{id, ""}] != nil {
		return true
	}
	for from := range d.formers(owner) {
		if from != owner && w.claims[claimOf{id, from}] != nil {
			return true
		}
	}
	return false
}

// formers returns whose sessions may be those of an owner now, perhaps after they were
// those of others.
func (d *device) formers(owner string) map[string]bool {
	became := map[string]bool{owner: true}
	for n := 0; n != len(became); {
		n = len(became)
		for h := range d.heirs {
			if became[h.to] || h.to == anybody {
				became[h.from] = true
			}
		}
	}
	return became
}

// inherits reports whether a storage says that an owner is the heir of another, or of the
// other's.
func inherits(storage map[string]string, owner, of string) bool {
	for range 16 {
		if of = storage["//"+of]; of == owner {
			return true
		}
	}
	return false
}

// mayShow reports whether a tab that shows an owner's session may show what was saved for
// another: it is the one's, as he is the heir, though nobody has given it to him yet.
func (t *tab) mayShow(id int, key, owner string) bool {
	for from := range t.device.formers(owner) {
		if inherits(t.view, owner, from) && t.device.world.isOf(id, key, from) {
			return true
		}
	}
	return false
}

func (t *tab) RemoveItem(key string) error {
	t.op()
	delete(t.view, key)
	t.change(change{by: t, key: key, kind: 'r'})
	shown, _, _ := strings.Cut(t.view["/cart"], " ")
	if of, _, ok := itemOf(key); ok && of != "" && of != shown {
		// It was copied for him, and there was no room for more. Or it is given to his heir.
		t.gone(of)
	}
	return nil
}

// gone notes what a tab does not see any more of an owner's.
func (t *tab) gone(owner string) {
	left := t.left(owner)
	for _, c := range t.device.world.of[owner] {
		if c.device == t.device && !left[c.id] {
			c.local = false
		}
	}
}

// idsIn returns the batches in an item.
func (w *world) idsIn(text string) map[int]bool {
	ids := make(map[int]bool)
	said, _, _ := engine.ParseItems("[" + text + "]")
	for _, r := range said.Records {
		if r.Value != "" {
			ids[w.idOf(r.Value)] = true
		} else if b := w.stamped[r.Stamp]; b != nil {
			ids[b.id] = true
		}
	}
	if b := w.stamped[said.Cleared]; b != nil {
		ids[b.id] = true
	}
	return ids
}

// left returns the batches that a tab sees in the items of an owner, but for those that
// others have removed.
func (t *tab) left(owner string) map[int]bool {
	d := t.device
	left := make(map[int]bool)
	for key, text := range t.view {
		of, _, ok := itemOf(key)
		_, there := d.truth[key]
		removed := slices.ContainsFunc(d.tabs, func(other *tab) bool {
			return other != t && slices.ContainsFunc(other.pending, func(c change) bool { return c.key == key && c.kind == 'r' })
		})
		if ok && of == owner && (there || t.mine[key] > 0) && !removed {
			maps.Copy(left, d.world.idsIn(text))
		}
	}
	return left
}

// said returns what the items of an owner say that a tab sees.
func (t *tab) said(owner string) engine.Said {
	var texts []string
	for key, text := range t.view {
		if of, _, ok := itemOf(key); ok && of == owner {
			texts = append(texts, text)
		}
	}
	said, _, err := engine.ParseItems("[" + strings.Join(texts, ",") + "]")
	if err != nil {
		t.device.world.fail("%s: %v", t.name, err)
	}
	return said
}

func (t *tab) change(c change) {
	t.pending = append(t.pending, c)
	if _, _, item := itemOf(c.key); t.mirrors && !t.restoring && (item || c.key == "/cart" || c.key == watermarkKey) {
		t.noted = append(t.noted, c)
	}
	if c.kind == 'c' {
		t.cleared++
	} else {
		t.mine[c.key]++
	}
	if !t.flying {
		t.touched++
	}
}

// arrive has the next n changes reach the browser's process.
func (t *tab) arrive(n int) {
	d := t.device
	for _, c := range t.pending[:n] {
		switch c.kind {
		case 's':
			d.truth[c.key] = c.text
		case 'r':
			delete(d.truth, c.key)
		case 'c':
			clear(d.truth)
			d.lose("") // also what came before from others
		}
		d.log = append(d.log, c)
	}
	t.pending = t.pending[n:]
}

// deliver has the tab see the next n changes of the browser's. What it changed
// itself meanwhile it sees so until it hears that this has arrived.
func (t *tab) deliver(n int) {
	for range n {
		c := t.device.log[t.heard]
		t.heard++
		if c.by == t {
			if c.kind == 'c' {
				t.cleared--
			} else {
				t.mine[c.key]--
			}
			continue
		}
		t.touched++
		if t.cleared > 0 {
			continue
		}
		switch {
		case c.kind == 'c':
			for key := range t.view {
				if t.mine[key] == 0 {
					delete(t.view, key)
				}
			}
		case t.mine[c.key] > 0:
		case c.kind == 's':
			t.view[c.key] = c.text
		default:
			delete(t.view, c.key)
		}
		t.events = append(t.events, c.key)
	}
}

// hear has the tab told of the next n changes that it sees.
func (t *tab) hear(n int) {
	for _, key := range t.events[:n] {
		t.touched++
		switch key {
		case "":
			t.look = true
			t.emptied = t.mirrors
			t.restored = false
		case watermarkKey:
			t.mirrors = true
		default:
			t.See(key)
		}
	}
	t.events = t.events[n:]
}

// meet has all tabs see and hear everything, but for those that are frozen.
func (d *device) meet() {
	for _, t := range d.open() {
		t.arrive(len(t.pending))
		t.commit(len(t.transactions))
	}
	for _, t := range d.open() {
		if t.frozen <= d.world.step {
			t.stale = 0
			t.deliver(len(d.log) - t.heard)
			t.hear(len(t.events))
		}
	}
	d.flush()
}

// flush writes the storage to disk.
func (d *device) flush() {
	d.saved, d.disk = len(d.log), maps.Clone(d.truth)
}

// lose notes that a change is gone.
func (w *world) lose(changes []change) {
	for _, c := range changes {
		for _, claim := range c.claims {
			claim.local = false
		}
	}
	w.lost = true
}

// die ends a tab whose process is killed.
func (t *tab) die() {
	w := t.device.world
	w.note("%s is killed", t.name)
	n := len(t.pending)
	if w.lossy {
		n = w.r.IntN(n + 1)
		w.lose(t.pending[n:])
	}
	t.arrive(n)
	t.commit(w.r.IntN(len(t.transactions) + 1))
	t.transactions = nil
	t.close()
}

func (t *tab) close() {
	t.arrive(len(t.pending))
	t.commit(len(t.transactions))
	t.open, t.flight = false, nil
	if t.device.busy == t {
		t.device.busy = nil
	}
}

// kill ends the browser before it has written everything to disk.
func (d *device) kill() {
	w := d.world
	w.note("%s is killed: %d of %d changes are on disk", d.name, d.saved, len(d.log))
	lost := slices.Clone(d.log[d.saved:])
	for _, t := range d.open() {
		lost = append(lost, t.pending...)
		t.pending = nil
		t.commit(w.r.IntN(len(t.transactions) + 1))
		t.transactions = nil
		t.close()
	}
	if _, marked := d.disk[watermarkKey]; w.clocks && !marked {
		// By clocks that jump, what was written just now seems to be old.
		d.lose("")
	}
	w.lose(slices.DeleteFunc(lost, func(c change) bool {
		_, mirrored := d.mirror[c.key]
		return mirrored || d.replaced[c.key]
	}))
	d.log = d.log[:d.saved]
	d.truth = maps.Clone(d.disk)
}

// wipe clears the storage.
func (t *tab) wipe() {
	d := t.device
	d.world.note("%s clears the storage", t.name)
	t.view = make(map[string]string)
	t.change(change{by: t, kind: 'c'})
	d.wipe()
}

// wipe notes that a storage was cleared. With what was there its clock forgets
// that it must go on from the future.
func (d *device) wipe() {
	d.lose("")
	d.wiped = true
	d.world.disordered = d.world.disordered || d.world.clocks
}

// lose notes that nothing is on the device for sure of what was there of an
// owner's, or of anybody's.
func (d *device) lose(owner string) {
	for _, c := range d.world.claims {
		if c.device == d && (owner == "" || c.owner == owner) {
			c.local = false
		}
	}
	d.world.lost = true
}

// What a tab does.

func (t *tab) owner() string {
	owner, err := t.Owner()
	if err != nil {
		t.device.world.fail("%s: owner: %v", t.name, err)
	}
	return owner
}

// all loads everything.
func (t *tab) all() map[string]string {
	w := t.device.world
	// As a page does, which keeps what it was given the last time.
	list, anew, err := t.LoadAnew(t.device.now(), t.loaded == nil)
	if err != nil {
		w.fail("%s: load: %v", t.name, err)
	}
	if anew {
		t.loaded = append([]engine.Entry{}, list...)
	}
	list = t.loaded
	all := make(map[string]string, len(list))
	for _, e := range list {
		if _, ok := all[e.Key]; ok {
			w.fail("%s loads %s twice", t.name, e.Key)
		}
		all[e.Key] = e.Value
	}
	return all
}

func (t *tab) load() map[string]string {
	w := t.device.world
	owner, all := t.owner(), t.all()
	w.check(t.name, owner, all, t)
	if owner != t.shows {
		// What was sent of a session is not here when it is shown again.
		t.shows = owner
		delete(t.last, owner)
	}
	last, seen := t.known(owner)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		id := w.idOf(all[key])
		had, ok := last[key]
		if ok && had != id && w.batches[had].after.has(id) && w.certain(had, key, owner) && !w.disordered && !w.cramped && !t.device.wiped && !w.aged {
			w.fail("BACK: %s loads %s=b%d after b%d, which was made after reading that", t.name, key, id, had)
		}
		last[key] = id
		if over, ok := w.overSince(owner, w.batches[id]); w.aged && ok && over < t.exchanged && owner != "" {
			w.fail("OVER: %s loads %s=b%d, which was over %d minutes before it exchanged", t.name, key, id, (t.exchanged-over)/minute)
		}
	}
	w.read(seen, all)
	return all
}

func (t *tab) known(owner string) (last map[string]int, seen *batches) {
	if t.last[owner] == nil {
		t.last[owner] = make(map[string]int)
	}
	if t.seen[owner] == nil {
		t.seen[owner] = new(batches)
	}
	return t.last[owner], t.seen[owner]
}

// overSince returns when a session was over after a batch for sure: when nobody
// had saved for so long.
func (w *world) overSince(owner string, b *batch) (at int64, over bool) {
	// What was another's he may have kept alive by what did not become this one's.
	if slices.ContainsFunc(w.of[owner], func(c *claim) bool { return c.keys != nil }) {
		return 0, false
	}
	last := b.at
	for _, c := range w.of[owner] { // in the order of their time
		if c.at > last+w.maxAge+margin {
			break
		}
		last = max(last, c.at)
	}
	return last + w.maxAge + margin, w.time > last+w.maxAge+margin
}

// alive reports whether nothing was over since a batch for sure.
func (w *world) alive(owner string, b *batch) bool {
	if !w.aged {
		return true
	}
	last := b.at
	for _, c := range w.of[owner] {
		if c.keys != nil {
			return false // it was another's, in a session that was alive at other times
		}
		if c.at <= last || !c.certain() {
			continue
		}
		if c.at > last+w.maxAge-margin {
			return false
		}
		last = c.at
	}
	return w.time <= last+w.maxAge-margin
}

// check holds what somebody loads, in a tab or on the server, against what was saved.
func (w *world) check(who, owner string, all map[string]string, t *tab) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		value := all[key]
		id := w.idOf(value)
		if w.batches[id].failed || !w.batches[id].set[key] {
			w.fail("INVENTED: %s has %s=%s, which nobody saved", who, key, value)
		}
		if !w.isOf(id, key, owner) && (owner == "" || !w.isOf(id, key, "")) && (t == nil || !t.mayShow(id, key, owner)) {
			w.fail("LEAK: %s has %s=%s, which is not of %s", who, key, value, owner)
		}
	}
	for g := range groups {
		first := all[groupKey(g, 0)]
		for i := range groupSize {
			if all[groupKey(g, i)] != first {
				w.fail("TORN: %s has the group %d in part: %v", who, g, all)
			}
		}
	}
}

func (w *world) isOf(id int, key, owner string) bool {
	c := w.claims[claimOf{id, owner}]
	return c != nil && c.sets(key)
}

// read notes what who reads these values has seen.
func (w *world) read(seen *batches, all map[string]string) {
	for _, value := range all {
		if id := w.idOf(value); !seen.has(id) {
			seen.add(id)
			seen.join(w.batches[id].after)
		}
	}
}

// idOf returns the number of the batch that saved a value.
func (w *world) idOf(value string) int {
	digits := strings.TrimRight(strings.Trim(value, `"`), "x")
	id, err := strconv.Atoi(strings.TrimPrefix(digits, "b"))
	if err != nil || id >= len(w.batches) {
		w.fail("INVENTED: the value %.60s", value)
	}
	return id
}

func groupKey(group, i int) string { return fmt.Sprintf("g%d/%d", group, i) }

func (w *world) newBatch(by string, seen batches) *batch {
	b := &batch{id: len(w.batches), by: by, set: make(map[string]bool), remove: make(map[string]bool), after: slices.Clone(seen), at: w.time}
	w.batches = append(w.batches, b)
	return b
}

func (b *batch) String() string {
	return fmt.Sprintf("b%d set %v remove %v clear %t", b.id, slices.Sorted(maps.Keys(b.set)), slices.Sorted(maps.Keys(b.remove)), b.clear)
}

// compose decides what a batch does.
func (w *world) compose(b *batch) (out engine.Batch) {
	r := w.r
	if w.clears && r.IntN(15) == 0 {
		b.clear = true
		return engine.Batch{Clear: true}
	}
	var keys []string
	if r.IntN(3) == 0 {
		for i, g := 0, r.IntN(groups); i < groupSize; i++ {
			keys = append(keys, groupKey(g, i))
		}
	}
	if keys == nil || r.IntN(2) == 0 {
		keys = append(keys, fmt.Sprint("k", r.IntN(singles)))
	}
	if w.limits && r.IntN(20) == 0 {
		keys = []string{"k" + strings.Repeat("k", 70)}
	}
	if r.IntN(4) == 0 {
		var text []byte
		for _, key := range keys {
			b.remove[key] = true
			text = engine.AppendString(append(text, ','), key)
		}
		text[0] = '['
		return engine.Batch{Remove: string(text) + "]"}
	}
	value := fmt.Sprintf(`"b%d"`, b.id)
	if r.IntN(10) == 0 {
		value = fmt.Sprintf(`"b%d%s"`, b.id, strings.Repeat("x", 1+r.IntN(3000)))
	} else if w.limits && r.IntN(20) == 0 {
		value = fmt.Sprintf(`"b%d%s"`, b.id, strings.Repeat("x", 6000+r.IntN(6000)))
	}
	var text []byte
	for _, key := range keys {
		b.set[key] = true
		text = append(append(engine.AppendString(append(text, ','), key), ':'), value...)
	}
	text[0] = '{'
	return engine.Batch{Set: string(text) + "}"}
}

// valueIn returns the one value that a batch sets.
func (w *world) valueIn(b engine.Batch) string {
	i := strings.LastIndex(b.Set, `:"`)
	return b.Set[i+1 : len(b.Set)-1]
}

func (t *tab) save() {
	w := t.device.world
	owner := t.owner()
	last, seen := t.known(owner)
	b := w.newBatch(t.name, *seen)
	t.current = b
	batch := w.compose(b)
	w.note("%s saves %v for %.4s", t.name, b, owner)
	told, err := t.Save(t.device.now(), batch)
	if errors.Is(err, engine.ErrQuota) && t.device.room > 0 {
		b.failed = true
		t.current = nil
		w.note("  no room")
		return
	}
	if err != nil {
		w.fail("%s: save: %v", t.name, err)
	}
	if t.current != nil || w.claims[claimOf{b.id, owner}] == nil {
		w.fail("LEAK: %s showed the session of %q, and did not save for that", t.name, owner)
	}
	t.follow(told)
	seen.add(b.id)
	for key := range b.set {
		last[key] = b.id
	}
	t.Tidy(t.device.now())
}

// follow applies a change as it is documented.
func (t *tab) follow(c engine.Change) {
	if t.told == nil {
		return
	}
	if c.Cleared {
		clear(t.told)
	}
	for _, key := range c.Removed {
		delete(t.told, key)
	}
	for _, e := range c.Set {
		t.told[e.Key] = e.Value
	}
}

func (t *tab) refresh() {
	w := t.device.world
	t.owner() // whose session it is may be known only by asking
	told, err := t.Refresh(t.device.now())
	if err != nil {
		w.fail("%s: refresh: %v", t.name, err)
	}
	t.follow(told)
	if t.told == nil {
		return
	}
	if all := t.load(); !maps.Equal(all, t.told) {
		w.fail("TOLD: %s was told what makes %s of what it loads", t.name, difference(t.told, all))
	}
}

// exchange does the next thing of an exchange.
func (t *tab) exchange() {
	w, d := t.device.world, t.device
	t.flying = true
	defer func() { t.flying = false }()
	f := t.flight
	if f == nil {
		x, err := t.Exchange(d.now())
		if err != nil {
			t.land(err)
			return
		}
		f = &flight{x: x, began: w.time, touched: t.touched}
		t.flight = f
		if !w.unlocked {
			d.busy = t
		}
	}
	if !f.waiting {
		sent, more := f.x.Next(d.now())
		if !more {
			t.exchangedAll(f)
			return
		}
		t.send(f, sent)
		return
	}
	if f.lost || w.time-f.at > slowest {
		t.land(nil)
		return
	}
	f.waiting = false
	shown := t.owner()
	a := f.answer
	if a.cookie != "" {
		d.cookie = a.cookie
	}
	defer t.turned(shown) // also when it is killed
	var had engine.Said
	if a.late.Heir != "" && a.late.Heir == a.got.Owner && f.owner == shown && !w.aged {
		had = t.said(shown)
	}
	err := f.x.Answer(d.now(), a.answered, a.got, a.late)
	if err != nil {
		t.land(err)
	} else if owner, _, _ := strings.Cut(t.view["/cart"], " "); owner == a.got.Owner {
		t.hasAll(owner, had)
	}
}

// hasAll checks that an owner has what is alive of what was said for another.
func (t *tab) hasAll(owner string, had engine.Said) {
	has := t.said(owner)
	for _, r := range had.Records {
		there := slices.ContainsFunc(has.Records, func(is engine.Record) bool { return is.Key == r.Key && is.Stamp >= r.Stamp })
		if r.Value != "" && !there && has.Cleared < r.Stamp {
			t.device.world.fail("LOST: %s gives %s not what he inherits: %s=%s", t.name, owner, r.Key, r.Value)
		}
	}
}

// turned notes what is not here any more, when another's session is shown than
// before.
func (t *tab) turned(before string) {
	d := t.device
	owner, _, _ := strings.Cut(t.view["/cart"], " ")
	if owner != before {
		for _, other := range d.tabs {
			other.shows = ""
		}
	}
	if before == "" || owner == before {
		return
	}
	t.gone(before)
}

// anew notes that a tab stamped something anew. What the server has may be
// later than that, though it had been read before: nobody but the server knows
// all stamps that it has. Nor is there an order of what is stamped anew by two
// who know nothing of each other, or while another tab saves that had read what
// it was.
func (t *tab) anew(owner string, what any, stamp engine.Stamp) {
	w := t.device.world
	key := [3]any{t.device, owner, what}
	late := t.heard < len(t.device.log) || len(t.device.open()) > 1
	if by := w.anew[key]; late || stamp <= w.model.Newest(owner) || by != nil && by != t {
		w.disordered = true
	}
	w.anew[key] = t
}

// send sends a request, which may get lost, or come again later.
func (t *tab) send(f *flight, sent engine.Sent) {
	w, d := t.device.world, t.device
	f.waiting, f.lost, f.at, f.owner = true, false, w.time, sent.Owner
	if w.losses && !w.calm {
		n := w.r.IntN(12)
		if n < 3 {
			d.late = append(d.late, request{d.cookie, sent, w.time})
		}
		if f.lost = n >= 2 && n < 5; n >= 2 && n < 4 {
			w.note("%s: a request is lost", t.name)
			return
		}
	}
	f.answer = w.request(d.cookie, sent)
	if a := f.answer; a.answered == engine.Unknown && a.got.Owner == "" {
		d.heirs[heir{sent.Owner, anybody}] = true
	} else if a.late.Heir != "" {
		d.heirs[heir{sent.Owner, a.late.Heir}] = true
	}
	w.note("%s sends as %s for %.4s at %t: %s\n  %d for %.4s: %s", t.name, d.cookie, sent.Owner, sent.Cursor != "", sent.Items,
		f.answer.answered, f.answer.got.Owner, f.answer.got.Item)
}

// land ends an exchange that was not finished.
func (t *tab) land(err error) {
	w, d := t.device.world, t.device
	t.flight = nil
	if d.busy == t {
		d.busy = nil
	}
	switch {
	case err == nil:
	case errors.Is(err, engine.ErrQuota) && d.room > 0:
	case errors.Is(err, engine.ErrCookies) && w.visitors && !w.calm:
	case errors.Is(err, engine.ErrOverrun) && !w.calm:
	default:
		w.fail("%s: exchange: %v", t.name, err)
	}
	w.note("%s breaks off its exchange: %v", t.name, err)
}

func (t *tab) exchangedAll(f *flight) {
	w, d := t.device.world, t.device
	t.flight = nil
	if d.busy == t {
		d.busy = nil
	}
	refused, any := f.x.Refused()
	w.note("%s has exchanged: refused %t", t.name, any)
	if any && (!w.limits || refused.Key == "") {
		w.fail("%s: refused is %+v", t.name, refused)
	}
	n, stamps, err := t.Unsent()
	if err != nil {
		w.fail("%s: unsent: %v", t.name, err)
	}
	if f.touched == t.touched && !any && !w.quota && n+len(stamps) > 0 {
		w.fail("UNSENT: %s has exchanged, and %d are not sent: %v", t.name, n, stamps)
	}
	t.exchanged = w.time
	if ledger := strings.Split(t.view["/cart"], " "); len(ledger) > 3 && ledger[3] != "-" {
		d.exchanged = max(d.exchanged, f.began) // it has a cursor
	}
	t.Tidy(d.now())
}

// finish exchanges until that has come to its end.
func (w *world) finish(t *tab) {
	calm := w.calm
	w.calm = true
	defer func() { w.calm = calm }()
	t.flight = nil
	for n := 0; n == 0 || t.flight != nil; n++ {
		if n > 500 {
			w.fail("ENDLESS: %s exchanges on and on", t.name)
		}
		t.exchange()
	}
}

// What happens.

// tick lets time pass.
func (w *world) tick() {
	r := w.r
	jump := int64(0)
	switch {
	case w.decades && w.chance(40):
		jump = 20*day + r.Int64N(150*day)
	case w.nights && w.chance(50):
		jump = day + r.Int64N(2*day)
	case w.aged && w.chance(25):
		jump = r.Int64N(w.maxAge * 5 / 4)
	case w.chance(40):
		jump = r.Int64N(2 * hour)
	case w.chance(4):
		w.time += r.Int64N(2000)
	default:
		w.time += r.Int64N(3)
	}
	for _, d := range w.devices {
		for _, t := range d.open() {
			if t.stale != 0 && (jump > 0 || w.time > t.stale) {
				t.stale = 0
				t.deliver(len(d.log) - t.heard)
				t.hear(len(t.events))
			}
		}
	}
	if jump == 0 {
		return
	}
	// Nothing is on its way for so long.
	for _, d := range w.devices {
		d.meet()
		if w.aged || w.decades {
			d.late = nil
		}
	}
	w.time += jump
	w.note("%d minutes pass: it is %d, a session is over after %d minutes", jump/minute, w.time, w.maxAge/minute)
	if w.decades {
		w.prune()
	}
}

func (w *world) act() {
	r := w.r
	d := w.devices[r.IntN(len(w.devices))]
	w.happen(d)
	var open []*tab
	for _, t := range d.open() {
		if t.frozen > w.step {
			continue
		}
		if t.frozen > 0 {
			t.frozen, t.stale = 0, w.time+minute
			w.note("%s thaws", t.name)
		}
		open = append(open, t)
	}
	if len(open) == 0 || len(open) < 4 && w.chance(15) {
		open = append(open, d.openTab())
	}
	t := open[r.IntN(len(open))]
	if w.chance(30) {
		t.killIn = 1 + r.IntN(60)
	}
	t.attempt(func() { t.act() })
	t.killIn, t.current = 0, nil
	if t.open {
		t.begin()
	}
	for _, t := range d.open() {
		if w.chance(3) {
			t.arrive(r.IntN(len(t.pending) + 1))
		}
		if w.durable && w.chance(2) {
			t.commit(r.IntN(len(t.transactions) + 1))
		}
	}
	for _, t := range d.open() {
		if t.frozen > w.step || t.stale != 0 {
			continue
		}
		if w.chance(3) {
			t.deliver(r.IntN(len(d.log) - t.heard + 1))
		}
		if w.chance(3) {
			t.hear(r.IntN(len(t.events) + 1))
		}
	}
}

// happen has something happen to a device, or to the server.
func (w *world) happen(d *device) {
	r := w.r
	if w.chance(60) {
		d.skew = w.wobbling()
	}
	if w.clocks {
		switch r.IntN(60) {
		case 0:
			d.skew = r.Int64N(10*year) - 5*year
			w.note("the clock of %s is off by %d days", d.name, d.skew/day)
		case 1, 2, 3:
			d.skew = 0
		case 4:
			w.skew = r.Int64N(12*hour) - 6*hour
		case 5:
			if w.chance(10) {
				w.skew = r.Int64N(6*year) - 3*year
				w.note("the server's clock is off by %d days", w.skew/day)
			}
		}
	}
	if w.quota && w.chance(15) {
		if d.room = 0; w.chance(2) {
			for key, text := range d.truth {
				d.room += len(key) + len(text)
			}
			d.room += 1 + r.IntN(1500)
		}
	}
	if w.owners && w.chance(30) {
		d.cookie = w.users[r.IntN(len(w.users))]
		w.note("%s is signed in as %s", d.name, d.cookie)
	}
	if w.visitors && strings.HasPrefix(d.cookie, "visitor") && w.chance(40) {
		d.cookie = ""
		w.note("%s loses its cookie", d.name)
	}
	if w.adopts && strings.HasPrefix(d.cookie, "visitor") && !w.adopted(d.cookie) && w.chance(25) {
		d.adopt()
	}
	if w.writer && w.chance(20) {
		w.time++
		w.saveOnServer()
		w.time++
	}
	if w.restores {
		switch r.IntN(90) {
		case 0:
			w.note("the server is backed up")
			w.backup = w.dump()
		case 1:
			if w.backup != nil {
				w.note("the server is put back from its backup")
				w.restore(w.backup)
			}
		case 2:
			if w.chance(2) {
				w.note("the server loses everything")
				w.restore(&backup{model: new(engine.Model)})
			}
		}
	}
	switch n := r.IntN(100); {
	case n < 2 && w.rollbacks:
		d.kill()
	case n < 5:
		d.flush()
	case n == 5 && w.clones && len(w.devices) < 5:
		c := w.newDevice()
		w.note("%s is cloned as %s", d.name, c.name)
		c.cookie, c.truth, c.disk, c.wiped = d.cookie, maps.Clone(d.truth), maps.Clone(d.truth), d.wiped
		c.mirror = maps.Clone(d.mirror)
		c.heirs = maps.Clone(d.heirs)
	case n < 9 && len(d.late) > 0:
		i := r.IntN(len(d.late))
		late := d.late[i]
		d.late = slices.Delete(d.late, i, i+1)
		if w.aged && w.time-late.at > slowest {
			return
		}
		a := w.request(late.user, late.sent)
		w.note("a request of %s comes late: %d", d.name, a.answered)
	}
}

// attempt does something that may be the last that the tab does.
func (t *tab) attempt(f func()) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case killed:
			t.die()
		default:
			panic(p)
		}
	}()
	f()
}

// act does one thing that a page does.
func (t *tab) act() {
	w, d, r := t.device.world, t.device, t.device.world.r
	if t.look {
		t.look = false
		if err := t.Listen(true); err != nil {
			w.fail("%s: %v", t.name, err)
		}
	}
	if t.restored && w.chance(50) {
		w.note("the mirror fails %s", t.name)
		t.noted, t.transactions, t.restored = nil, nil, false
	}
	if t.mirrors && !t.restored && w.chance(2) {
		t.restore()
		return
	}
	switch n := r.IntN(100); {
	case n < 33:
		if w.chance(2) {
			t.load()
		}
		t.save()
	case n < 46:
		t.load()
	case n < 52:
		t.refresh()
	case n < 55:
		w.note("%s compacts", t.name)
		t.Compact(d.now())
	case n < 58:
		w.note("%s closes", t.name)
		t.close()
	case n < 92:
		if !w.alone && (t.flight != nil || d.busy == nil || w.unlocked) {
			t.exchange()
		}
	case n < 94 && w.visitors:
		t.join()
	case n == 94 && w.wipes:
		t.wipe()
	case n == 95 && w.wipes:
		w.note("%s forgets", t.name)
		d.wipe() // also when it is killed half-way
		t.forgets = true
		if err := t.Forget(d.now()); err != nil {
			w.fail("%s: forget: %v", t.name, err)
		}
		d.wipe()
	case n < 98 && w.frozen:
		t.arrive(len(t.pending))
		t.frozen = w.step + 5 + r.IntN(60)
		w.note("%s freezes", t.name)
	}
}

// join has the device join somebody's sessions.
func (t *tab) join() {
	w, d := t.device.world, t.device
	to, from := w.users[w.r.IntN(len(w.users))], t.owner()
	if to == d.cookie || w.adopted(to) {
		return
	}
	w.note("%s joins %s", t.name, to)
	d.heirs[heir{from, sqlstore.Tag(to)}] = true
	if err := t.Joined(sqlstore.Tag(to)); err != nil && !errors.Is(err, engine.ErrQuota) {
		w.fail("%s: joined: %v", t.name, err)
	}
	d.cookie = to
}

// end has all devices exchange all there is, for each of the owners, and holds
// against each other what they have then.
func (w *world) end() {
	w.note("the end")
	w.db, w.skew, w.calm = w.roomy, 0, true
	for _, d := range w.devices {
		d.skew, d.room, d.busy, d.late = 0, 0, nil, nil
		for _, t := range d.open() {
			t.frozen, t.flight = 0, nil
		}
		d.meet()
	}
	for _, d := range w.devices {
		t := d.openTab()
		if w.durable {
			d.settle(t)
		}
		w.finish(t)
		d.meet()
	}
	for _, user := range slices.Clone(w.users) {
		if len(w.of[sqlstore.Tag(user)]) > 0 && !w.adopted(user) {
			w.endFor(user)
		}
	}
	w.checkNobodys()
}

func (w *world) endFor(user string) {
	w.note("all are %s", user)
	tag := sqlstore.Tag(user)
	for range 2 {
		for _, d := range w.devices {
			d.cookie = user
			w.time++
			w.finish(d.openTab())
			d.meet()
		}
	}
	for _, d := range w.devices { // what the last of them had, too
		w.finish(d.openTab())
		d.meet()
	}
	want := w.entries(user)
	w.check("the server", tag, want, nil)
	for _, d := range w.devices {
		for key := range d.truth {
			if of, _, ok := itemOf(key); ok && of != tag && inherits(d.truth, tag, of) {
				w.fail("LEFT: %s has %s, whose heir is %s", d.name, key, tag)
			}
		}
	}
	if last := w.of[tag][len(w.of[tag])-1]; w.aged {
		given := func(c *claim) bool { return c.keys != nil }
		switch age := w.time - last.at; {
		case age > w.maxAge-margin && slices.ContainsFunc(w.of[tag], given):
			return // who had it may have saved later what did not become this one's
		case age > w.maxAge+margin:
			want = nil // though the server need not have been told
		case age > w.maxAge-margin:
			return
		}
	}
	// What the server has forgotten, those who were away may bring back there.
	forgotten := slices.ContainsFunc(w.of[tag], func(c *claim) bool { return c.stale })
	for round := range 2 {
		for _, d := range w.devices {
			for _, t := range d.open() {
				if owner := t.owner(); owner != tag {
					w.fail("%s shows the session of %q, not of %s", t.name, owner, user)
				}
				// What is compacted counts as unsent again.
				if n, stamps, err := t.Unsent(); round == 0 && (err != nil || n+len(stamps) > 0) {
					w.fail("UNSENT: %s ends with %d unsent: %v, %v", t.name, n, stamps, err)
				}
				if all := t.load(); !maps.Equal(all, want) && !w.disordered && !forgotten {
					w.fail("DIVERGED: %s ends with %s", t.name, difference(all, want))
				}
				t.refresh()
			}
			if t := d.open()[0]; round == 0 {
				t.Compact(d.now())
				d.meet()
			}
		}
	}
	w.checkLast(user, want)
	w.checkStamps(user, want)
	for _, d := range w.devices { // the others take time, and show no more
		for _, t := range d.open()[1:] {
			t.close()
		}
	}
}

// checkLast checks that what is left is what may be the last of each key.
func (w *world) checkLast(user string, has map[string]string) {
	tag := sqlstore.Tag(user)
	if w.disordered {
		return
	}
	claims := w.of[tag]
	keys := make(map[string]bool)
	for _, c := range claims {
		for key := range c.set {
			keys[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		value, ok := has[key]
		if ok {
			id := w.idOf(value)
			if _, over := w.overSince(tag, w.batches[id]); w.aged && over {
				w.fail("OVER: %s=b%d is left, though it is over", key, id)
			}
			for _, c := range claims {
				touches := c.sets(key) && !forgotten(claims, c, key) || c.removes(key) && !c.stale
				if c.id != id && touches && c.certain() && c.after.has(id) && w.alive(tag, c.batch) {
					w.fail("LOST or BACK: %s of %s ends as b%d, but b%d by %s (here %t, on the server %d) was made after reading that", key, user, id, c.id, c.by, c.local, c.server)
				}
			}
			continue
		}
		sets, explained := false, false
		for _, c := range claims {
			sets = sets || c.sets(key) && c.certain() && w.alive(tag, c.batch)
			if !c.removes(key) {
				continue
			}
			later := slices.ContainsFunc(claims, func(s *claim) bool {
				return s.sets(key) && s.certain() && s.after.has(c.id) && w.alive(tag, s.batch)
			})
			explained = explained || !later
		}
		if sets && !explained {
			for _, c := range claims {
				if c.sets(key) || c.removes(key) {
					w.note("%v by %s: local %t, server %d, after %v", c.batch, c.by, c.local, c.server, c.after)
				}
			}
			w.fail("LOST: %s of %s is gone, and nobody can have removed it last", key, user)
		}
	}
}

// forgotten reports whether what a claim set has lost to a removal which the server may
// have forgotten since. Then what was there before may come back.
func forgotten(claims []*claim, c *claim, key string) bool {
	return slices.ContainsFunc(claims, func(by *claim) bool {
		return by.stale && by.removes(key) && (by.after.has(c.id) || by.stamp > c.stamp)
	})
}

// checkStamps checks that the greatest stamp of each key has won, where all are
// known and nothing may be lost.
func (w *world) checkStamps(user string, has map[string]string) {
	if w.lost || w.owners || w.visitors || w.aged || w.clocks || w.decades {
		return
	}
	won := make(map[string]*claim)
	var cleared engine.Stamp
	for _, c := range w.of[sqlstore.Tag(user)] {
		if c.keys != nil {
			return // it was nobody's before
		}
		if c.clear {
			cleared = max(cleared, c.stamp)
		}
		for _, keys := range []map[string]bool{c.set, c.remove} {
			for key := range keys {
				if won[key] == nil || won[key].stamp < c.stamp {
					won[key] = c
				}
			}
		}
	}
	for key, c := range won {
		value, ok := has[key]
		if ok && w.idOf(value) != c.id || ok != (c.set[key] && c.stamp >= cleared) {
			w.fail("WINNER: %s ends as %q, by the stamps b%d", key, value, c.id)
		}
	}
}

// checkNobodys checks that what was saved for nobody became somebody's.
func (w *world) checkNobodys() {
	if w.aged {
		return
	}
	for _, c := range w.of[""] {
		for key := range c.set {
			if !c.certain() || slices.ContainsFunc(w.users, func(user string) bool { return w.isOf(c.id, key, sqlstore.Tag(user)) }) {
				continue
			}
			if !slices.ContainsFunc(w.of[""], func(o *claim) bool {
				return o != c && (o.sets(key) || o.removes(key)) && !c.after.has(o.id)
			}) {
				w.fail("LOST: %s=b%d was nobody's, and is gone", key, c.id)
			}
		}
	}
}

func difference(has, want map[string]string) string {
	var out []string
	for key, value := range has {
		if want[key] != value {
			out = append(out, fmt.Sprintf("%s=%.20s, not %.20s", key, value, want[key]))
		}
	}
	for key, value := range want {
		if _, ok := has[key]; !ok {
			out = append(out, fmt.Sprintf("no %s, not %.20s", key, value))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
