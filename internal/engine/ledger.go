package engine

import "strings"

// A session can have a copy on a server. Then it belongs to an owner, whom the
// server tells by a tag, and its items are under that tag:
//
//	cart/<stamp>          what is nobody's yet
//	cart/<tag>/<stamp>    what is an owner's
//	cart/<tag>/<id>       marks the generation of what is there, by a random id
//	/cart                 the ledger: what has been exchanged
//	//<tag>               the tag of the owner whose that one's sessions are now
//
// The ledger names the owner whose session is shown, the generation, the time
// up to which somebody is known to have saved, the server's cursor, up to which
// everything is here, and the stamps of the items all of whose words the server
// has:
//
//	<tag> <id> <milliseconds> <cursor> <stamp> <stamp> ...
//
// As items never change, that stays true whatever tabs do, and whichever of two
// ledgers written at once is left: at worst something is sent twice. It is no
// question of stamps greater than others: a batch may turn up after later ones
// of the same writer, which were carried over into another item.
//
// A ledger may be written late, after somebody has cleared the storage. It must
// not say then that everything is here, so without the item that marks its
// generation it says only whose session it is.
//
// What is another owner's stays under his tag, unseen, until the server says
// that he is there again. A tab that has not heard of it yet saves for the one
// whose session it shows.

// A ledger is what the item of that name says.
type ledger struct {
	owner      string // the tag; with none there is no ledger
	generation string
	active     int64  // when somebody saved last, as far as the server told
	cursor     string // empty when nothing of what the server has is here
	stamps     string // " <stamp> <stamp> ..."
}

// noCursor stands for none.
const noCursor = "-"

func parseLedger(text string) (l ledger) {
	owner, text, _ := strings.Cut(text, " ")
	generation, text, _ := strings.Cut(text, " ")
	active, text, _ := strings.Cut(text, " ")
	cursor, text, more := strings.Cut(text, " ")
	at, ok := parseMillis(active)
	if !isTag(owner) || !isWriter(generation) || !ok || cursor == "" || strings.IndexByte(cursor+text, '\n') >= 0 {
		return ledger{}
	}
	l = ledger{owner: owner, generation: generation, active: at, cursor: cursor}
	if cursor == noCursor {
		l.cursor = ""
	}
	if more {
		l.stamps = " " + text
	}
	return l
}

func (l ledger) text() string {
	cursor := l.cursor
	if cursor == "" {
		cursor = noCursor
	}
	var active [millisDigits]byte
	writeDigits(active[:], min(max(0, l.active), maxMillis-1), 10)
	return l.owner + " " + l.generation + " " + string(active[:]) + " " + cursor + l.stamps
}

// lists reports whether the server has all that the item of that stamp says.
func (l ledger) lists(stamp string) bool {
	for end := len(l.stamps); end > stampLength; end -= stampLength + 1 {
		if l.stamps[end-stampLength:end] == stamp {
			return true
		}
	}
	return false
}

// tagLength is that of the tag of an owner, which is hexadecimal.
const tagLength = 16

func isTag(text string) bool { return len(text) == tagLength && isHex(text) }

func isWriter(text string) bool { return len(text) == writerDigits && isHex(text) }

func isHex(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ledgerKey is of no session's item: a name is not empty.
func (s *Session) ledgerKey() string { return "/" + s.prefix[:len(s.prefix)-1] }

// heirKey is of the item that has the tag of the owner whose the sessions of
// another are now. It is the same for all sessions.
func heirKey(owner string) string { return "//" + owner }

func (s *Session) markKey(l ledger) string { return s.prefixOf(l.owner) + l.generation }

// nameOf returns what the key of an item says beside whose it is, and whether
// it belongs to what is shown here: to the owner's items or, as a guest's, to
// those that are nobody's yet.
func (s *Session) nameOf(key string) (name string, guest, shown bool) {
	name = key[len(s.prefix):]
	if len(name) <= tagLength || name[tagLength] != '/' || !isTag(name[:tagLength]) {
		return name, s.owner != "", true
	}
	if s.owner == "" || name[:tagLength] != s.owner {
		return "", false, false
	}
	name = name[tagLength+1:]
	return name, false, !isWriter(name)
}

// own returns the key of an item of the owner's.
func (s *Session) own(name string) string { return s.prefixOf(s.owner) + name }

// prefixOf returns what the keys of an owner's items begin with, or of those that
// are nobody's yet.
//
//go:noinline
func (s *Session) prefixOf(owner string) string {
	if owner == "" {
		return s.prefix
	}
	return s.prefix + owner + "/"
}

// ledger returns the ledger as it is stored.
func (s *Session) ledger() (ledger, error) {
	text, _, err := s.storage.GetItem(s.ledgerKey())
	return parseLedger(text), err
}

// attend finds out whose session is shown here.
func (s *Session) attend() (ledger, error) {
	l, err := s.ledger()
	if err != nil {
		return ledger{}, err
	}
	if l.owner != s.owner {
		s.belong(l.owner)
	}
	s.turned.Store(false)
	return l, nil
}

// belong makes another owner's session the one that is shown.
func (s *Session) belong(owner string) {
	s.owner = owner
	s.items = make(map[string]*item)
	s.last = snapshot{}
	s.taken++
	s.newest, s.lived = "", 0
	s.saves, s.cleared = 0, false
}

// stands reports whether what the ledger says of the items here is true.
func (s *Session) stands(l ledger) (bool, error) {
	if l.owner == "" {
		return false, nil
	}
	_, ok, err := s.storage.GetItem(s.markKey(l))
	return ok, err
}

// begin begins a generation of that owner's session, in which nothing is known
// to have been exchanged but when somebody saved last, and shows that.
func (s *Session) begin(owner string, active int64) (ledger, error) {
	l := ledger{owner: owner, generation: s.newWriter(), active: active}
	if err := s.storage.SetItem(s.markKey(l), ""); err != nil {
		return ledger{}, err
	}
	if err := s.storage.SetItem(s.ledgerKey(), l.text()); err != nil {
		return ledger{}, err
	}
	if s.owner != owner {
		s.belong(owner)
	}
	return l, s.unmark(owner, l.generation)
}

// unmark removes the marks of an owner's generations, but for one.
func (s *Session) unmark(owner, generation string) error {
	if owner == "" { // what is nobody's has none
		return nil
	}
	prefix := s.prefixOf(owner)
	keys, err := s.storage.Keys(prefix)
	for _, key := range keys {
		if name := key[len(prefix):]; err == nil && isWriter(name) && name != generation {
			err = s.storage.RemoveItem(key)
		}
	}
	return err
}

// Owner returns the tag of the owner whose session is shown here, and nothing
// for one that is nobody's yet.
func (s *Session) Owner() (string, error) {
	l, err := s.attend()
	return l.owner, err
}

// Joined takes note that the sessions of this storage's owner are those of the
// owner of that tag from now on: what is alive here becomes his.
func (s *Session) Joined(owner string) error {
	if !isTag(owner) {
		return ErrServer
	}
	l, err := s.attend()
	if err != nil || l.owner == "" || l.owner == owner {
		return err
	}
	return s.storage.SetItem(heirKey(l.owner), owner)
}

// Forget removes what is shown here, and what is known of the copy on the
// server. That stays, and so does what is kept for other owners.
func (s *Session) Forget() error {
	l, err := s.attend()
	if err != nil {
		return err
	}
	s.forgotten++ // what an exchange brings that is under way is not for here
	if err := s.unmark(l.owner, ""); err != nil {
		return err
	}
	keys, err := s.storage.Keys(s.prefix)
	if err != nil {
		return err
	}
	for _, key := range keys {
		name, _, shown := s.nameOf(key)
		if _, ok := ParseStamp(name); shown && ok {
			if err := s.storage.RemoveItem(key); err != nil {
				return err
			}
		}
	}
	if l.owner != "" { // last, so that it can be tried again
		if err := s.storage.RemoveItem(s.ledgerKey()); err != nil {
			return err
		}
	}
	s.belong("")
	return nil
}
