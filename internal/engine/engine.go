// Package engine keeps sessions in a storage of items. It is the mechanism under
// package session, which programs use, and under the WebAssembly module, which links
// nothing else. Its API follows what these need, and the packages in web.
//
// A session named cart is in the items whose keys begin with cart/. The rest of a key
// is the stamp of the item. A save adds one item and touches no other. A load reads all
// items and merges them. So a session is a log-structured store whose records form a
// last-writer-wins map. A tab may see items in any order, twice or late, and reads the
// same. README.md documents the stored form.
//
// Compaction writes one item that holds the merged state of several, and then removes
// exactly those. No item is ever written twice. So two tabs may compact at once, one
// may be killed half-way, and a batch may turn up late.
//
// All times are wall clock times in milliseconds since 1970.
//
// Some functions are marked noinline. Their copies would add a kilobyte to what each
// visitor of a page downloads.
package engine

import (
	"strings"
	"sync/atomic"
)

const (
	// A session is compacted after so many saves through one Session, and
	// when a load finds so many items.
	compactEvery = 16
	pileUp       = 2 * compactEvery

	// A removal or clearing is kept for a day after the last entry that it
	// suppressed is gone. In that day the entry may turn up again, from a tab that
	// hears late, was frozen, or was killed while it compacted. The day counts from
	// when the item with the removal was written, which may be off by dropWithin.
	keepRemovals = 24*60*60*1000 + dropWithin
	dropWithin   = anHour

	anHour = 60 * 60 * 1000

	// Others may compact between a listing and the reading of its items, so a read
	// lists again. A storage that never agrees with its listings is broken.
	maxListings = 1000

	// A tab that was asleep for longer first hears for some time what others did,
	// and then compacts. Before, it might write back what others removed, after
	// they have forgotten the removal.
	asleep  = 6 * anHour
	catchUp = 60 * 1000
)

var (
	errGone     = Fault("no such item")
	errUnstable = Fault("the storage lists items that it does not have")
	errClock    = Fault("no later stamp can be made")
)

// An Entry is a key with its value as JSON text.
type Entry struct{ Key, Value string }

// A Change is what a batch, or several, did to a session.
type Change struct {
	// Set holds the entries that are new or have a new value. After Cleared, it holds
	// every entry that is left.
	Set []Entry
	// Removed holds the keys that are gone, for whatever reason.
	Removed []string
	// Cleared says that the session was emptied. The entries in Set came after that.
	Cleared bool
}

// Empty reports whether nothing changed.
func (c Change) Empty() bool { return !c.Cleared && len(c.Set) == 0 && len(c.Removed) == 0 }

// Stats are session.Stats.
type Stats struct{ Entries, Items, Bytes, Corrupt int }

// A Session is the access of one writer and reader to a session. It is not safe for
// concurrent use. Several Sessions on one storage are.
type Session struct {
	storage Storage
	prefix  string
	clock   *Clock
	maxAge  int64
	writer  string

	newWriter func() string

	owner     string      // the tag of the owner whose session is shown; empty for nobody's
	turned    atomic.Bool // whether the owner may have changed
	lived     int64       // when somebody saved last, as far as is known here
	forgotten int         // how often Forget was called

	listens bool         // whether See or Refresh hears of all stamps that others make
	newest  Stamp        // the greatest stamp of a batch that was read or made
	ahead   atomic.Bool  // whether an item that is gone may have put the clock ahead
	now     atomic.Int64 // the time of the last call
	woke    int64        // the time of the last call after a long sleep
	view    *state       // what the reader of changes knows; nil without a reader
	saves   int          // since the last compaction
	cleared bool         // whether one of these was a clearing that Tidy has yet to do

	// items are those that may be in the storage, as they were last read. No item is
	// written twice, so one with the same text says the same.
	items map[string]*item
	last  snapshot // what was read last

	taken  int // how often a reading changed what is shown, or may have
	loaded int // taken at the last load
}

// New returns a Session of that name, which is not empty and has no slash. A session
// is over when its newest batch is more than maxAge milliseconds old. With a maxAge of
// 0 it never is. For a session that is exchanged, life.go says more. Call Look or
// Listen before anything else.
func New(storage Storage, name string, clock *Clock, maxAge int64) *Session {
	return &Session{
		storage: storage,
		prefix:  name + "/",
		clock:   clock,
		maxAge:  maxAge,
		writer:  NewWriter(),
		items:   make(map[string]*item),

		newWriter: NewWriter,
	}
}

// Listen says whether from now on the caller reports every change of others through
// See or Refresh. Otherwise each Save looks for what its stamp must come after.
func (s *Session) Listen(on bool) error {
	s.listens = on
	if on {
		return s.Look()
	}
	return nil
}

// See notes that others set or removed the item of that key, so that later batches are
// stamped after it. It reports whether the key is one of the session's.
func (s *Session) See(key string) bool {
	if key == s.ledgerKey() {
		s.turned.Store(true)
		return true
	}
	if !strings.HasPrefix(key, s.prefix) {
		return false
	}
	if at, ok := ParseStamp(key[max(len(s.prefix), len(key)-stampLength):]); ok {
		s.clock.See(at)
		if at.Millis() > s.now.Load()+maxAhead {
			s.ahead.Store(true)
		}
	}
	return true
}

// Look lists the items and sees each. It fails if the storage cannot be used. If many
// items have piled up, the next save has them compacted.
func (s *Session) Look() error {
	if _, err := s.attend(); err != nil {
		return err
	}
	keys, err := s.storage.Keys(s.prefix)
	items := 0
	for _, key := range keys {
		_, guest, shown := s.nameOf(key)
		if !shown {
			continue
		}
		if s.items[key] == nil {
			s.items[key] = &item{key: key, guest: guest}
		}
		if items++; s.items[key].err == nil {
			s.See(key)
		}
	}
	if items > pileUp {
		s.saves = max(s.saves, compactEvery-1)
	}
	return err
}

// hear notes the time. After a long sleep it takes a while until the news of what
// others did has arrived.
func (s *Session) hear(now int64) {
	if had := s.now.Swap(now); had != 0 && now-had > asleep {
		s.woke = now
	}
}

// awake reports whether this tab has heard of what others did. If not, they may have
// forgotten removals that it does not know.
func (s *Session) awake() bool {
	now := s.now.Load()
	return s.woke == 0 || now < s.woke || now-s.woke > catchUp
}

// Save writes a batch as one item. For an empty batch it does nothing. After an error
// the session is what it was. While somebody watches, Save returns what the batch
// changed for them. It returns nothing for entries that were Given, because whoever
// gave them can tell without reading them back.
func (s *Session) Save(now int64, b Batch) (Change, error) {
	if b.empty() {
		return Change{}, nil
	}
	s.hear(now)
	var over []*item
	anew := false
	if s.maxAge > 0 && !s.alive(now) {
		snap, err := s.readAged(now)
		if err != nil {
			return Change{}, err
		}
		// Of an owner's session, only the server knows whether it is over.
		if anew = s.expired(now); anew && s.owner == "" {
			over = snap.items
		}
	} else if !s.listens || s.turned.Load() {
		if err := s.Look(); err != nil {
			return Change{}, err
		}
	}
	at, err := s.tick(now)
	if err != nil {
		return Change{}, err
	}

	// The capacity is enough for the whole text: the rest of an item is no longer.
	batches := make([]byte, 0, len(b.Set)+len(b.Remove)+160)
	if s.maxAge > 0 && at.Millis() > now+anHour {
		batches = aliveFrom(batches, now) // some clock is wrong, and the stamp no time
	}
	if anew && s.owner == "" {
		// The clearing is stamped earlier than the batch. With the batch's stamp it
		// would remove what another tab saves at this moment into the new session.
		end := makeStamp(max(0, now-s.maxAge), 0, s.writer)
		batches = appendBatch(batches, end, Batch{Clear: true})
	}
	key, text := s.own(string(at)), endItem(appendBatch(batches, at, b))

	if err := s.write(now, key, text, len(text)+b.GivenSize, over); err != nil {
		return Change{}, err
	}
	s.newest = max(s.newest, at)
	s.lived = max(s.lived, at.Millis())
	s.cleared = s.cleared || b.Clear
	return s.follow(now, at, text, b, anew), nil
}

// write writes an item of about that size, and removes the items that are over.
func (s *Session) write(now int64, key, text string, size int, over []*item) error {
	err := s.storage.SetItem(key, text)
	if Is(err, ErrQuota) && (s.remove(over) || s.compactAll(now)) {
		err = s.storage.SetItem(key, text)
	}
	if err != nil {
		return err
	}
	s.remove(over)
	s.items[key] = &item{key: key, size: size}
	s.saves++
	return nil
}

// tick returns a stamp later than all stamps known here.
func (s *Session) tick(now int64) (Stamp, error) {
	if s.ahead.Load() && s.clock.ahead(now) {
		if err := s.settle(); err != nil {
			return "", err
		}
	}
	at, ok := s.clock.Tick(now, s.writer)
	if ok && at <= s.newest {
		s.clock.See(s.newest)
		at, ok = s.clock.Tick(now, s.writer)
	}
	if !ok {
		// A stamp that leaves no later one comes from a wrong clock.
		if err := s.restamp(now, now+maxAhead, true); err != nil {
			return "", err
		}
		if at, ok = s.clock.Tick(now, s.writer); !ok {
			return "", errClock
		}
	}
	return at, nil
}

// settle moves the clock back to the stamps in the storage. It is called when an item
// has put the clock ahead which somebody may have stamped anew since.
func (s *Session) settle() error {
	snap, err := s.read()
	if err != nil {
		return err
	}
	s.lower(snap, ledger{}, MaxMillis)
	s.ahead.Store(false)
	return nil
}

// lower moves the clock back to the greatest stamp, not later than a time, that the
// storage or the server has. Later stamps may repeat one that was made before, so the
// session gets another writer.
func (s *Session) lower(snap snapshot, l ledger, latest int64) {
	var floor Stamp
	see := func(at Stamp) {
		if at != "" && at.Millis() <= latest {
			floor = max(floor, at)
		}
	}
	for _, items := range [][]*item{snap.items, snap.guests} {
		for _, it := range items {
			name, _, _ := s.nameOf(it.key)
			see(Stamp(name))
			see(it.says.newest)
			see(it.says.cleared)
			for _, r := range it.says.assignments {
				see(r.stamp)
			}
		}
	}
	// An item listed here may be gone, merged with later batches.
	for stamps := l.stamps; len(stamps) > stampLength; stamps = stamps[stampLength+1:] {
		see(Stamp(stamps[1 : stampLength+1]))
	}
	s.newest = snap.state.newest
	s.clock.lower(floor)
	s.writer = s.newWriter()
}

// follow returns what an item of this Session's changed for the reader of changes. anew
// says that the item began the session anew.
func (s *Session) follow(now int64, at Stamp, text string, b Batch, anew bool) Change {
	if s.view == nil {
		return Change{}
	}
	if anew || b.Clear { // entries are gone, or left, that the item does not name
		change, _ := s.catchUp(now) // until Refresh finds out
		return change
	}
	if b.Set == Given {
		keys := scanner{text: b.GivenKeys}
		keys.list('[', ']', func() { s.view.set(keys.str(), version{at, Given}) })
		return Change{}
	}
	saved, err := decode(text)
	if err != nil {
		return Change{} // until Refresh finds out
	}
	return s.view.apply(saved)
}

// Due reports whether Tidy has something to do, and whether that can wait until the
// program is idle.
func (s *Session) Due() (due, canWait bool) {
	return s.cleared || s.saves >= compactEvery, !s.cleared && s.saves < pileUp
}

// Tidy compacts the session if that is due. Call it after every Save. It is apart from
// Save, because a save that is done must not fail for what goes wrong here, such as a
// panic of the storage.
func (s *Session) Tidy(now int64) {
	s.hear(now)
	if !s.awake() {
		return
	}
	if s.cleared {
		s.cleared = false
		s.compactAll(now) // a clearing removes the texts from the storage, too
		for _, it := range s.last.items {
			if it.life > 0 && it.says.newest < s.last.state.cleared {
				s.remove([]*item{it})
			}
		}
	} else if s.saves >= compactEvery {
		s.compact(now)
	}
}

// Load returns all entries, in the order in which they were last set. Within a batch
// they have no order.
func (s *Session) Load(now int64) ([]Entry, error) {
	entries, _, err := s.LoadAnew(now, true)
	return entries, err
}

// LoadAnew returns what Load returns. If that is the same as the last time, it returns
// nothing and false, unless always is true.
func (s *Session) LoadAnew(now int64, always bool) (entries []Entry, anew bool, err error) {
	snap, err := s.load(now)
	if err != nil || !always && s.loaded == s.taken {
		return nil, err != nil, err
	}
	s.loaded = s.taken
	return snap.live(), true, nil
}

// Get returns the value of a key as JSON text, and whether it has one.
func (s *Session) Get(now int64, key string) (string, bool, error) {
	snap, err := s.load(now)
	v, ok := snap.state.entries[key]
	if !ok || v.removed() {
		return "", false, err
	}
	return v.value, true, err
}

func (s *Session) load(now int64) (snapshot, error) {
	s.hear(now)
	snap, err := s.readAged(now)
	switch {
	case err != nil:
		return snapshot{}, err
	case s.expired(now):
		// An owner's items stay: another device may have saved, and the server knows.
		if s.owner == "" && len(snap.items) > 0 && s.forgetTo(now) == nil {
			s.remove(snap.items)
		}
		return snapshot{}, nil
	}
	if len(snap.items)+len(snap.guests) > pileUp && !snap.partial && s.awake() {
		s.compact(now)
		return s.read() // compact may have read, which ended the life of snap
	}
	return snap, nil
}

// readAged reads a session that may be over. A stamp of the future does not tell the
// age, so what has one is stamped anew and counts from now on. The server tells the age
// of a session that is exchanged.
func (s *Session) readAged(now int64) (snapshot, error) {
	snap, err := s.read()
	if err == nil && s.maxAge > 0 && s.owner == "" && s.newest != "" && s.newest.Millis() > now+maxAhead && s.awake() {
		if err = s.restamp(now, now+maxAhead, false); err == nil {
			snap, err = s.read()
		}
	}
	return snap, err
}

// Watch begins or ends to keep what the reader of changes knows. That is what the
// session holds now, which it returns, and later also what Save writes and Refresh
// returns.
func (s *Session) Watch(now int64, on bool) ([]Entry, error) {
	s.view = nil
	if !on {
		return nil, nil
	}
	current, err := s.current(now)
	if err != nil {
		return nil, err
	}
	s.view = &current
	return current.live(), nil
}

// Refresh returns what others did since Watch or the last Refresh. It sees all items
// even if nobody watches.
func (s *Session) Refresh(now int64) (Change, error) {
	s.hear(now)
	if s.view == nil {
		return Change{}, s.Look()
	}
	return s.catchUp(now)
}

// catchUp returns what the reader of changes does not know yet.
func (s *Session) catchUp(now int64) (Change, error) {
	next, err := s.current(now)
	if err != nil {
		return Change{}, err
	}
	change := s.view.diff(next)
	s.view = &next
	return change, nil
}

// current returns a copy of the state that is shown.
func (s *Session) current(now int64) (state, error) {
	snap, err := s.read()
	if err != nil || s.expired(now) {
		return state{}, err
	}
	return snap.state.clone(), nil
}

// Stats returns how much the session takes in its storage.
func (s *Session) Stats(now int64) (Stats, error) {
	snap, err := s.read()
	if err != nil {
		return Stats{}, err
	}
	stats := Stats{Items: len(snap.items) + len(snap.guests), Corrupt: len(snap.corrupt)}
	keys, err := s.storage.Keys(s.prefix)
	for _, key := range keys {
		text, _, failed := s.storage.GetItem(key)
		if failed != nil {
			err = failed
		}
		stats.Bytes += units(key) + units(text)
	}
	if err == nil && !s.expired(now) {
		stats.Entries = len(snap.live())
	}
	return stats, err
}

// alive reports whether the session is known not to be over.
func (s *Session) alive(now int64) bool { return s.newest != "" && !s.expired(now) }

// expired reports whether the last save that is known here is too old.
//
//go:noinline
func (s *Session) expired(now int64) bool {
	return s.maxAge > 0 && s.newest != "" && now-s.lived > s.maxAge
}

// An item is one item of the storage.
type item struct {
	key  string
	text string // empty until the item was read
	size int    // of the text in bytes, or about; 0 if it is not known
	err  error  // errDamaged or errFormat if the item cannot be read
	// guest says that the item is to become that of the owner who is shown. Nobody owns it
	// yet, or it was saved for a former owner whose heir he is.
	guest bool
	// The rest is set if the item can be read.
	written int64 // when it was written
	says    content
	merged  bool  // whether it is in the state of the last snapshot
	sent    bool  // whether the server had it at the last snapshot
	life    int   // its life, 0 for the last; only items of the last are shown
	from    int64 // since when it shows the session alive
	to      int64 // until when it does, or all that the server had does
}

// stamp returns the stamp that the key of an item ends with.
func (it *item) stamp() string { return it.key[len(it.key)-stampLength:] }

// A snapshot is all that is stored under a session's name.
type snapshot struct {
	items   []*item
	guests  []*item // the owner is to get what is alive in them, and only that counts
	state   state   // what the items and guests of the last life say together
	partial bool    // whether some items are of earlier lives
	corrupt []*item // those that cannot be read
}

// live returns the entries as Load does. Most items were written in the order of their
// stamps, and hold batches in that order, so mostly nothing has to be sorted.
func (s snapshot) live() []Entry {
	if len(s.guests) > 0 {
		return s.state.live()
	}
	live := make([]Entry, 0, len(s.state.entries))
	var last Stamp
	for _, it := range s.items {
		first := true
		for _, r := range it.says.assignments {
			if r.removed() || s.state.entries[r.key] != r.version {
				continue
			}
			if r.stamp < last || first && r.stamp == last {
				return s.state.live()
			}
			last, first = r.stamp, false
			live = append(live, Entry{r.key, r.value})
		}
	}
	return live
}

// read reads all items of one listing. Others may remove an item before it is read,
// because a new item says the same. Then read lists again. An item that is gone does
// not count even if it was read before, because what removed its entries may have been
// forgotten.
//
// The snapshot is valid until the next call.
func (s *Session) read() (snapshot, error) {
	if !s.listens || s.turned.Load() {
		if _, err := s.attend(); err != nil {
			return snapshot{}, err
		}
	}
	for range maxListings {
		all, err := s.storage.Keys(s.prefix)
		if err != nil {
			return snapshot{}, err
		}
		readings := make(map[string]*item, len(all))
		keys := all[:0]
		complete := true
		for _, key := range all {
			if _, _, shown := s.nameOf(key); !shown {
				continue
			}
			keys = append(keys, key)
			it, err := s.get(key)
			switch {
			case Is(err, errGone):
				complete = false
			case err != nil:
				return snapshot{}, err
			default:
				readings[key] = it
			}
		}
		if complete {
			s.take(keys, readings)
			err := s.hide() // not in the return, where Go may read s.last before it
			return s.last, err
		}
	}
	return snapshot{}, errUnstable
}

// take makes the snapshot of the items with those keys the last one.
func (s *Session) take(keys []string, readings map[string]*item) {
	next := snapshot{state: s.last.state}
	gone := len(s.last.guests) > 0 || s.last.partial
	for _, it := range s.last.items {
		gone = gone || readings[it.key] != it
	}
	if gone {
		// What an item added cannot be taken out of a state.
		next.state = state{}
		if s.newest != "" && s.newest.Millis() > s.now.Load()+maxAhead {
			s.newest = "" // its batch may have been stamped anew
		}
	}
	if next.state.newest == "" {
		for _, it := range readings {
			it.merged = false
		}
	}
	// With a maximum age, time and the ledger also change what is shown.
	changed := gone || s.maxAge > 0
	for _, key := range keys {
		it := readings[key]
		if it.err != nil {
			next.corrupt = append(next.corrupt, it)
			continue
		}
		changed = changed || it.guest || !it.merged
		if it.guest {
			next.guests = append(next.guests, it)
			continue
		}
		if !it.merged {
			next.state.add(it.says)
			it.merged = true
		}
		next.items = append(next.items, it)
	}
	next.admit()
	if changed {
		s.taken++
	}
	s.items = readings
	s.last = next
	if s.newest = max(s.newest, next.state.newest); s.newest != "" {
		s.lived = s.newest.Millis()
	}
}

// admit adds what is alive in the guests.
func (s *snapshot) admit() {
	var guests state
	for _, it := range s.guests {
		if it.life == 0 {
			guests.add(it.says)
		}
	}
	for key, v := range guests.entries {
		if !v.removed() {
			s.state.set(key, v)
		}
	}
	s.state.newest = max(s.state.newest, guests.newest)
}

// get reads an item and keeps it in s.items. It returns errGone if the item is gone.
func (s *Session) get(key string) (*item, error) {
	had := s.items[key]
	read := had != nil && had.text != ""
	if storage, ok := s.storage.(Rereader); ok && read && storage.Same(key) {
		return had, nil
	}
	text, ok, err := s.storage.GetItem(key)
	if err != nil {
		return nil, err
	}
	name, guest, _ := s.nameOf(key)
	at, stamped := ParseStamp(name)
	if !ok && stamped {
		delete(s.items, key)
		return nil, errGone
	}
	if read && had.text == text {
		return had, nil
	}
	it := &item{key: key, text: text, size: len(text), guest: guest}
	if stamped {
		it.says, it.err = decode(text)
	} else {
		// A foreign item. It may even be missing, because a key with a lone surrogate
		// comes out of the browser as another key.
		it.err = errDamaged
	}
	if it.err == nil {
		it.written, it.from = at.Millis(), it.says.since
		s.clock.See(at)
		if it.says.newest != "" {
			s.clock.See(it.says.newest)
		}
	}
	s.items[key] = it
	return it, nil
}

// units returns the number of UTF-16 code units of text.
func units(text string) int {
	n := 0
	for _, r := range text {
		if n++; r > 0xFFFF {
			n++
		}
	}
	return n
}
