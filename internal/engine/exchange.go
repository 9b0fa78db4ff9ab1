package engine

// A Record is what an item says of a key: the value that a batch set, as JSON text, and
// the batch's stamp. The Value is empty if the batch removed the key.
type Record struct {
	Key   string
	Stamp Stamp
	Value string
	// Alive is until when the entry is known to have been there, in milliseconds since
	// 1970. It is 0 if that is not later than Stamp.
	Alive int64
}

// Said is what items say together.
type Said struct {
	// Newest is the greatest stamp of a batch that saved, removed or cleared.
	Newest Stamp
	// Cleared is the stamp of the last clearing, which removed everything before it.
	// It is empty if there was none.
	Cleared Stamp
	// Since is the time since when the session was alive, in milliseconds since 1970.
	// It is 0 if the items do not say.
	Since int64
	// Spans has the time in which the session was alive, as each item says. The
	// records of an item were saved in its span, or were still there.
	Spans []Span
	// Records has the last record of each key, in the order of the stamps and then of
	// the keys.
	Records []Record
}

// A Span is a time in which a session was alive, in milliseconds since 1970. Something
// was saved at both ends.
type Span struct{ From, To int64 }

// ParseItems returns what the items in a JSON array say together. It leaves out the
// elements that this version cannot read as items, and counts them.
func ParseItems(text string) (said Said, unreadable int, err error) {
	var (
		contents []content
		merged   state
	)
	s := scanner{text: text}
	s.list('[', ']', func() {
		says, err := decode(s.value())
		if err != nil {
			unreadable++
		} else {
			contents = append(contents, says)
			merged.cleared = max(merged.cleared, says.cleared)
		}
	})
	if s.end(); s.bad {
		return Said{}, 0, errDamaged
	}
	// The last clearing is known before anything is added. Otherwise each clearing
	// would go through all that was added before it, in quadratic time.
	for _, says := range contents {
		merged.add(says)
	}
	said = merged.said()
	alive := make(map[string]int64)
	for _, says := range contents {
		said.Spans = append(said.Spans, Span{says.since, max(says.since, says.newest.Millis())})
		for _, r := range says.assignments {
			if r.stamp.Millis() < says.since && merged.entries[r.key] == r.version {
				alive[r.key] = max(alive[r.key], says.since)
			}
		}
	}
	for i, r := range said.Records {
		said.Records[i].Alive = alive[r.Key]
	}
	return said, unreadable, nil
}

func (s *state) said() Said {
	out := Said{Newest: s.newest, Cleared: s.cleared}
	for _, key := range s.keys() {
		v := s.entries[key]
		out.Records = append(out.Records, Record{Key: key, Stamp: v.stamp, Value: v.value})
	}
	return out
}

// FormatItem returns the text of an item that says so. It is empty if there is nothing
// to say.
func FormatItem(said Said) string {
	s := state{newest: said.Newest, since: min(said.Since, MaxMillis-1)}
	s.clear(said.Cleared)
	for _, r := range said.Records {
		s.set(r.Key, version{r.Stamp, r.Value})
	}
	if s.newest == "" {
		return ""
	}
	return encode(s)
}

// Sent is a session.Sent.
type Sent struct {
	Owner, Cursor, Items string
	Now, MaxAge          int64
}

// Received is a session.Received.
type Received struct {
	Owner, Cursor, Item string
	Complete            bool
	Age                 int64
}

var (
	// ErrServer means that the answer of a server makes no sense.
	ErrServer = Fault("what answers is no server for sessions")
	// ErrCookies means that a server has forgotten the owner it told before.
	ErrCookies = Fault("the server does not know this browser again: it must keep cookies")
	// ErrOverrun means that others changed the owner or the ledger during the exchange,
	// again and again.
	ErrOverrun = Fault("whose session this is changes all the time")
)

// Answered is what a server did with a request.
type Answered int

// After any but Merged it has merged nothing.
const (
	Merged  Answered = iota
	Unknown          // it does not know the cursor or the owner; Received.Owner is its owner
	NoRoom
	TooLate // a stamp is later than it accepts: see Terms.Latest
)

// Terms are what a server says with a refusal.
type Terms struct {
	// Heir is the tag of the heir of the owner that was sent, if it is Unknown to the server
	// and he has one.
	Heir string
	// Latest is the latest time of a stamp that the server accepts, in milliseconds since
	// 1970.
	Latest int64
	// Newest is the greatest stamp that the server has up to that time, or empty. New
	// stamps must come after it.
	Newest Stamp
}

// partSize is how much one request sends, in bytes. More is sent in parts. A batch is
// never divided. Only tests change partSize.
var partSize = 256 << 10

const (
	// MaxAnswer is how much package client reads of a server's answer, in bytes. Our
	// server sends no longer one.
	MaxAnswer = 16 << 20

	// How often an exchange begins again because others changed the ledger, or the
	// server refused a stamp.
	maxBegun = 6

	// How far a chain of heirs is followed.
	maxHeirs = 16
)

// An Exchange is one exchange of a session with the server that keeps a copy of it. It
// makes one request after the other, each with its answer, until Next says that there
// is no more. Meanwhile the session may be used, here and by others.
type Exchange struct {
	s    *Session
	with ledger // the ledger when the exchange began
	// heir is the owner that the server no longer knows, if any. His items will be
	// those of the owner that the server tells.
	heir     string
	items    []*item // still to be sent; the first comes last
	part     []*item // in the last request
	single   bool    // whether each item is sent by itself
	sent     Sent
	asked    int64 // when sent was made
	answered bool  // whether the server has merged and answered
	anew     bool  // whether the server knew no owner
	begun    int
	// restamped says that something got new stamps. These do not tell when it was
	// saved.
	restamped bool
	// forgotten is the Session's count when the exchange began.
	forgotten int
	refused   Refused
}

// Refused is the largest entry of a batch that a server has no room for.
type Refused struct {
	Key  string
	Size int // of key and value as JSON text, in bytes; 0 if nothing was refused
}

// Exchange begins an exchange.
func (s *Session) Exchange(now int64) (*Exchange, error) {
	s.hear(now)
	x := &Exchange{s: s}
	return x, x.begin(now)
}

// begin finds out what is to be sent.
//
//go:noinline
func (x *Exchange) begin(now int64) error {
	if x.begun++; x.begun > maxBegun {
		return ErrOverrun
	}
	s := x.s
	l, err := s.attend()
	if err != nil {
		return err
	}
	x.items, x.answered, x.forgotten = nil, false, s.forgotten
	if x.heir != l.owner { // by now another owner's session is shown
		x.heir = ""
	}
	if x.with = l; l.owner == "" || x.heir != "" {
		return s.Look() // to know whether something here needs an owner
	}
	if x.with, err = s.prepare(now, l); err != nil {
		return err
	}
	snap, err := s.read()
	if err != nil {
		return err
	}
	x.items, _ = s.unsent(x.with, snap)
	return nil
}

// Prepare gives the owner the guests, so that they can be sent.
func (s *Session) Prepare(now int64) error {
	s.hear(now)
	_, err := s.attend()
	if err == nil {
		err = s.adopt(now)
	}
	return err
}

// Alive returns the text of an item that holds the entries that are shown, without
// removals and clearings. It is empty if there are none.
func (s *Session) Alive(now int64) (string, error) {
	snap, err := s.read()
	if err != nil || s.expired(now) {
		return "", err
	}
	alive := snap.state.living()
	var items []*item
	for _, it := range append(snap.items, snap.guests...) {
		if it.life == 0 {
			items = append(items, it)
		}
	}
	alive.since = aliveSince(snap.state.cleared, items)
	if alive.newest == "" {
		return "", nil
	}
	return s.encode(alive), nil
}

// Stamp returns a stamp for an item of others' that is to be stored here. The stamp is
// later than all stamps in the text. Stamp returns ErrServer if the text is no item's.
func (s *Session) Stamp(now int64, text string) (Stamp, error) {
	says, err := decode(text)
	if err != nil {
		return "", ErrServer
	}
	if says.newest != "" {
		s.clock.See(says.newest)
	}
	return s.tick(now)
}

// Divide replaces the item of that stamp by two, if it has several batches. It reports
// whether it did.
func (s *Session) Divide(now int64, stamp string) bool {
	it, err := s.get(s.own(stamp))
	return err == nil && it.err == nil && s.divide(now, it) != nil
}

// Compact merges all items, as far as there is room.
func (s *Session) Compact(now int64) {
	if s.hear(now); s.awake() {
		s.compactAll(now)
	}
}

// Restamp gives new stamps to what the server does not have and is stamped later than
// latest. The order stays the same, also for what is nobody's yet.
func (s *Session) Restamp(now, latest int64) error {
	err := s.Prepare(now)
	if err == nil {
		err = s.restamp(now, latest, false)
	}
	return err
}

// prepare makes what is unsent ready to be sent.
func (s *Session) prepare(now int64, l ledger) (ledger, error) {
	stands, err := s.stands(l)
	if err == nil && !stands {
		l, err = s.begin(l.owner, l.active)
	}
	if err == nil {
		err = s.Prepare(now)
	}
	if err != nil {
		return l, err
	}
	snap, err := s.read()
	if err != nil {
		return l, err
	}
	items, size := s.unsent(l, snap)
	if size <= partSize || !s.awake() {
		return l, nil
	}
	s.merge(now, items)
	// Divides as far as there is room. An item that stays large is sent whole.
	for divided := true; divided && err == nil; {
		divided = false
		if snap, err = s.read(); err != nil {
			return l, err
		}
		items, _ = s.unsent(l, snap)
		for _, it := range items {
			divided = divided || it.size > partSize && s.divide(now, it) != nil
		}
	}
	return l, nil
}

// unsent returns the items that hold something which the server may not have, and their
// size. The item to be sent first comes last.
func (s *Session) unsent(l ledger, snap snapshot) (out []*item, size int) {
	var stamps []string
	for _, it := range snap.items {
		if stamp := it.stamp(); !l.lists(stamp) {
			// Sorted by its batches: its own stamp is that of a merge or a division.
			stamps = append(stamps, string(it.says.newest)+stamp)
			size += it.size
		}
	}
	sort(stamps)
	for _, stamp := range stamps {
		out = append(out, s.items[s.own(stamp[len(stamp)-stampLength:])])
	}
	return out, size
}

// divide replaces an item by two, and returns them. It returns none if it cannot. The
// two are as equal in size as the batches allow.
func (s *Session) divide(now int64, from *item) (halves []*item) {
	var whole, older, newer state
	whole.add(from.says)
	size := 0
	keys := whole.keys()
	for _, key := range keys {
		v := whole.entries[key]
		last := v.stamp == whole.entries[keys[len(keys)-1]].stamp
		if newer.newest != "" || older.newest != "" && v.stamp > older.newest && (size > from.size/2 || last) {
			newer.set(key, v)
		} else {
			older.set(key, v)
		}
		size += len(key) + len(v.value)
	}
	if newer.newest == "" {
		return nil
	}
	older.clear(whole.cleared)
	older.since = from.says.since
	newer.newest, newer.since = whole.newest, older.newest.Millis()
	for _, half := range []state{older, newer} {
		key, err := s.add(now, half)
		if err != nil {
			return nil
		}
		it, err := s.get(key)
		if err != nil {
			return nil
		}
		halves = append(halves, it)
	}
	s.remove([]*item{from})
	return halves
}

// Next returns the next request, and whether there is one. There is at least one, to
// get what the server has. If the owner is not known, the first request asks for it and
// sends no items.
func (x *Exchange) Next(now int64) (sent Sent, more bool) {
	if x.answered && len(x.items) == 0 {
		return Sent{}, false
	}
	x.asked, x.sent = now, Sent{Now: now, MaxAge: x.s.maxAge}
	if x.restamped {
		x.sent.Now = 0 // new stamps do not tell when it was saved
	}
	if x.heir != "" || x.with.owner == "" && len(x.s.items) > 0 {
		x.sent.Items = "[]"
	} else {
		x.sent.Owner, x.sent.Cursor = x.with.owner, x.with.cursor
	}
	x.part = nil
	var texts []byte
	for n := len(x.items); n > 0; n = len(x.items) {
		it := x.items[n-1]
		if x.part != nil && (x.single || len(texts)+it.size > partSize) {
			break
		}
		x.part = append(x.part, it)
		x.items = x.items[:n-1]
		texts = append(append(texts, ','), it.text...)
	}
	if x.part != nil {
		x.sent.Items = enclose('[', texts, ']')
	}
	return x.sent, true
}

// Answer takes the answer to the last request: what the server did, what it sent back
// and, with TooLate, which stamps it accepts. From then on the exchange leaves out what
// the server has no room for. Refused tells of that.
//
// After an error the session keeps what was exchanged before.
func (x *Exchange) Answer(now int64, answered Answered, got Received, terms Terms) error {
	s := x.s
	s.hear(now)
	if answered == Merged {
		return x.take(now, got)
	}
	l, err := s.attend()
	if err != nil {
		return err
	}
	switch {
	case l.owner != x.with.owner || l.generation != x.with.generation:
		return x.resume(now, l) // it is not for this one
	case x.sent.Owner == "":
		return ErrServer
	case answered == Unknown && terms.Heir != "" && (!IsTag(got.Owner) || !IsTag(terms.Heir) || l.owner == got.Owner || l.owner == terms.Heir):
		return ErrServer
	case answered == Unknown && got.Owner != x.sent.Owner:
		if terms.Heir != "" {
			err = s.storage.SetItem(heirKey(l.owner), terms.Heir)
		}
		if err == nil {
			err = x.turn(now, l, got.Owner)
		}
	case answered == Unknown: // the copy is lost
		_, err = s.begin(l.owner, l.active)
	case answered == NoRoom && len(x.part) > 1: // find out which item is too large
		x.single = true
		for i := len(x.part) - 1; i >= 0; i-- {
			x.items = append(x.items, x.part[i])
		}
		return nil
	case answered == NoRoom && len(x.part) == 1:
		if x.part[0].key != "" { // or it is what refuse sent in its place
			x.refuse(now, x.part[0])
		}
		return nil
	case answered == TooLate && terms.Latest > 0:
		if l.cursor != x.with.cursor {
			return x.begin(now) // others have exchanged since
		}
		if err = x.after(l, terms); err == nil {
			err = s.Restamp(now, terms.Latest)
		}
		if err == nil {
			// Now a removal or clearing may be older than what it removed. That may
			// be gone from here, but the server still has it, and sends it again.
			_, err = s.begin(l.owner, now)
			x.restamped = true
		}
	default:
		return ErrServer
	}
	if err != nil {
		return err
	}
	return x.begin(now)
}

// after notes which stamp the new ones must come after. It returns ErrServer if they
// would be older than what the server has.
func (x *Exchange) after(l ledger, terms Terms) error {
	snap, err := x.s.read()
	if err != nil {
		return err
	}
	for _, it := range snap.items {
		if l.lists(it.stamp()) && it.says.newest.Millis() > terms.Latest {
			return ErrServer
		}
	}
	if terms.Newest == "" {
		return nil
	}
	if _, ok := ParseStamp(string(terms.Newest)); !ok || terms.Newest.Millis() > terms.Latest {
		return ErrServer
	}
	// Listed as if the server had this item, because restamp looks there.
	l.stamps += " " + string(terms.Newest)
	return x.s.storage.SetItem(x.s.ledgerKey(), l.text())
}

// refuse leaves out what the server has no room for. It divides the item first, so that
// only one batch is left out.
func (x *Exchange) refuse(now int64, it *item) {
	if halves := x.s.divide(now, it); halves != nil {
		x.items = append(x.items, halves...)
		return
	}
	for _, r := range it.says.assignments {
		if size := len(r.key) + len(r.value); size > x.refused.Size {
			x.refused = Refused{r.key, size}
		}
	}
	if x.s.maxAge > 0 {
		// The server still has to know when something was saved.
		text := encode(state{newest: it.says.newest, since: it.says.since})
		x.items = append(x.items, &item{text: text, size: len(text)})
	}
}

// resume goes on with the owner of now. If there is none any more, the session was
// forgotten or the storage cleared, and the exchange is over.
func (x *Exchange) resume(now int64, l ledger) error {
	if l.owner == "" && x.with.owner != "" {
		x.finish()
		return nil
	}
	return x.begin(now)
}

// finish ends the exchange with what was exchanged until now.
func (x *Exchange) finish() { x.answered, x.items = true, nil }

// Refused returns what the server has no room for, and whether there is any.
func (x *Exchange) Refused() (refused Refused, any bool) { return x.refused, x.refused.Size > 0 }

// take stores what the server sent back after it has merged the request.
func (x *Exchange) take(now int64, got Received) error {
	s := x.s
	if x.sent.Owner == "" && x.sent.Items == "" && got.Owner == "" {
		x.answered = true // the server knows no owner, and nothing here needs one
		return nil
	}
	var says content
	fault := !IsTag(got.Owner)
	if x.sent.Owner != "" {
		fault = fault || got.Owner != x.sent.Owner ||
			got.Cursor == "" && (got.Item != "" || got.Complete) || got.Cursor != "" && !IsCursor(got.Cursor)
		if got.Item != "" && !fault {
			var err error
			says, err = decode(got.Item)
			fault = err != nil
		}
	}
	if fault {
		return ErrServer
	}
	l, err := s.attend()
	if err != nil {
		return err
	}
	stands, err := s.stands(l)
	switch {
	case err != nil:
		return err
	case x.forgotten != s.forgotten || l.owner != "" && l.owner == x.with.owner && l.generation == x.with.generation && !stands:
		x.finish() // the session was forgotten, or the storage cleared
		return nil
	case l.owner != x.with.owner || l.generation != x.with.generation:
		return x.resume(now, l)
	case l.cursor != x.with.cursor && (got.Complete || x.with.cursor == ""):
		// Others have exchanged meanwhile. A complete answer may lack what they sent:
		// it may be older, or the server may have lost everything.
		return x.begin(now)
	case x.sent.Owner == "" && x.heir == "":
		if _, err = s.begin(got.Owner, 0); err != nil {
			return err
		}
		return x.begin(now)
	case x.sent.Owner == "":
		if got.Owner != l.owner {
			err = s.give(now, l, got.Owner)
		}
		if err != nil {
			return err
		}
		x.heir = ""
		return x.begin(now)
	}

	if got.Age >= 0 {
		// The answer may have waited here while this tab was asleep.
		l.active = min(x.asked, now) - got.Age
	}
	has := func(it *item) bool {
		has := l.lists(it.stamp())
		for _, sent := range x.part {
			has = has || it.key == sent.key
		}
		return has
	}
	snap, err := s.read()
	if err != nil {
		return err
	}
	var old []*item // what a complete answer replaces
	for _, it := range snap.items {
		if got.Complete && has(it) {
			old = append(old, it)
		}
	}
	received, full := s.receive(now, &l, got, says, old)
	if full == nil {
		l.cursor = got.Cursor
		x.answered = true
	}
	if snap, err = s.read(); err != nil {
		return err
	}
	stamps := ""
	for _, it := range snap.items {
		if l.cursor == "" {
			break // without one nobody would notice that the server has lost it
		}
		if it.stamp() == string(received) || has(it) && (full != nil || !got.Complete) {
			stamps += " " + it.stamp()
		}
	}
	l.stamps = stamps
	if err := s.storage.SetItem(s.ledgerKey(), l.text()); err != nil {
		return err
	}
	if full == nil {
		s.remove(old)
		_, full = s.read()
	}
	x.with = l
	return full
}

// receive adds the item that a server sent, and returns its stamp. It adds no item in
// which nothing is new. A complete item replaces the old ones. The caller removes those,
// unless receive has to do it first to make room.
func (s *Session) receive(now int64, l *ledger, got Received, says content, old []*item) (Stamp, error) {
	snap, err := s.read()
	if err != nil || got.Item == "" || !got.Complete && !says.adds(snap.state) {
		return "", err
	}
	text := got.Item
	if says.newest != "" {
		s.clock.See(says.newest)
	}
	at, err := s.tick(now)
	if err != nil {
		return "", err
	}
	key := s.own(string(at))
	err = s.storage.SetItem(key, text)
	if Is(err, ErrQuota) && s.awake() && s.compactAll(now) {
		err = s.storage.SetItem(key, text)
	}
	size := 0
	for _, it := range old {
		size += units(it.text)
	}
	if Is(err, ErrQuota) && size >= units(text) {
		// If this is interrupted, the server has to send everything again.
		l.cursor, l.stamps = "", ""
		if err = s.storage.SetItem(s.ledgerKey(), l.text()); err == nil {
			s.remove(old)
			err = s.storage.SetItem(key, text)
		}
	}
	if err == nil {
		s.items[key] = &item{key: key, size: len(text)}
		s.saves++
		s.cleared = s.cleared || says.cleared > snap.state.cleared
	}
	return at, err
}

// turn follows a server that answers for another owner.
func (x *Exchange) turn(now int64, l ledger, to string) (err error) {
	s := x.s
	if to != "" && !IsTag(to) {
		return ErrServer
	}
	if to == "" {
		// The server told an owner in this exchange, and has forgotten it.
		if x.anew {
			return ErrCookies
		}
		x.anew, x.heir = true, l.owner
		return nil
	}
	heir, err := s.heirOf(l.owner, to)
	switch {
	case err != nil:
		return err
	case heir == to:
		return s.give(now, l, to)
	}
	return s.leave(l, to)
}

// give notes that another owner is the heir, and gives him what is alive here. Removals
// and clearings do not go along, because whoever made them had not seen the other owner's
// entries.
func (s *Session) give(now int64, l ledger, to string) error {
	snap, err := s.read()
	if err != nil {
		return err
	}
	// First, for a tab that saves for the former owner meanwhile.
	if err := s.storage.SetItem(heirKey(l.owner), to); err != nil {
		return err
	}
	text, err := s.Alive(now)
	copied := ""
	if err == nil && text != "" {
		var at Stamp
		if at, err = s.tick(now); err == nil {
			copied = s.prefix + to + "/" + string(at)
			err = s.storage.SetItem(copied, text)
		}
	}
	if err != nil {
		return err
	}
	if _, err := s.begin(to, l.active); err != nil {
		if copied != "" {
			_ = s.storage.RemoveItem(copied) // the owner may be shown another day
		}
		return err
	}
	s.remove(snap.items)
	return s.unmark(l.owner, "")
}

// leave shows another owner's session. What the server does not have of the former
// owner's stays here for him.
func (s *Session) leave(l ledger, to string) error {
	snap, err := s.read()
	if err != nil {
		return err
	}
	// Without its mark the ledger no longer lists what is here.
	if err := s.unmark(l.owner, ""); err != nil {
		return err
	}
	var sent []*item
	for _, it := range snap.items {
		if l.lists(it.stamp()) {
			sent = append(sent, it)
		}
	}
	// First, so that nobody is shown half of the former owner's session.
	_, err = s.begin(to, 0)
	if err == nil {
		s.remove(sent)
	}
	return err
}

// Unsent returns how many entries and removals the server may not have, and the stamps
// of the items that hold them. A clearing counts as one. The item to be sent first comes
// last.
func (s *Session) Unsent() (n int, stamps []string, err error) {
	l, err := s.attend()
	if err != nil {
		return 0, nil, err
	}
	snap, err := s.read()
	if err != nil {
		return 0, nil, err
	}
	var out state
	items, _ := s.unsent(l, snap)
	for _, it := range items {
		stamps = append(stamps, it.stamp())
	}
	for _, it := range append(items, snap.guests...) {
		out.add(it.says)
	}
	for key, v := range out.entries {
		if had, ok := snap.state.entries[key]; !ok || had == v {
			n++
		}
	}
	if out.cleared != "" {
		n++
	}
	return n, stamps, nil
}

// adds reports whether c says anything that s does not.
func (c *content) adds(s state) bool {
	if c.newest > s.newest || c.cleared > s.cleared {
		return true
	}
	for _, r := range c.assignments {
		if had, ok := s.entries[r.key]; r.stamp >= s.cleared && (!ok || had.less(r.version)) {
			return true
		}
	}
	return false
}
