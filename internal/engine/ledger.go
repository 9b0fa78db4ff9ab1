package engine

import "strings"

// A session can have a copy on a server. Then it belongs to an owner, whom the server
// identifies by a tag. The owner's items are under that tag:
//
//	cart/<stamp>          an item that nobody owns yet
//	cart/<tag>/<stamp>    an item of an owner
//	cart/<tag>/<id>       marks the generation of the owner's items, by a random id
//	/cart                 the ledger: what has been exchanged
//	//<tag>               the tag of that owner's heir, who has his sessions now
//
// The ledger has the tag of the owner whose session is shown, the generation, the last
// time at which somebody is known to have saved, the server's cursor, and the stamps of
// the items that the server has in full. Everything up to the cursor is here.
//
//	<tag> <id> <milliseconds> <cursor> <stamp> <stamp> ...
//
// Items never change, so a ledger stays true whatever tabs do. If two are written at
// once, it does not matter which is left: at worst something is sent twice. The ledger
// lists the stamps, because a greatest stamp would not do: a batch may turn up after
// later ones of the same writer, which a compaction has put into another item.
//
// A ledger may be written late, after somebody has cleared the storage. Then it must not
// say that everything is here. So without the mark of its generation, a ledger only says
// whose session it is.
//
// Another owner's items stay under his tag, unseen, until the server answers for him
// again. A tab that has not heard of a new owner yet saves for the one it shows. If the new
// one is his heir, what was saved so is shown as what nobody owns yet is, and becomes the
// heir's with the next exchange.

// A ledger is the content of the ledger's item.
type ledger struct {
	owner      string // the tag; empty if there is no ledger
	generation string
	active     int64  // when somebody saved last, as far as the server told
	cursor     string // empty if nothing that the server has is here
	stamps     string // " <stamp> <stamp> ..."
}

// noCursor stands for an empty cursor.
const noCursor = "-"

func parseLedger(text string) (l ledger) {
	owner, text, _ := strings.Cut(text, " ")
	generation, text, _ := strings.Cut(text, " ")
	active, text, _ := strings.Cut(text, " ")
	cursor, text, more := strings.Cut(text, " ")
	at, ok := parseMillis(active)
	if !IsTag(owner) || !isWriter(generation) || !ok || cursor != noCursor && !IsCursor(cursor) || strings.IndexByte(text, '\n') >= 0 {
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
	writeDigits(active[:], min(max(0, l.active), MaxMillis-1), 10)
	return l.owner + " " + l.generation + " " + string(active[:]) + " " + cursor + l.stamps
}

// lists reports whether the server has the item of that stamp in full.
func (l ledger) lists(stamp string) bool {
	for end := len(l.stamps); end > stampLength; end -= stampLength + 1 {
		if l.stamps[end-stampLength:end] == stamp {
			return true
		}
	}
	return false
}

// tagLength is the length of an owner's tag, which is hexadecimal.
const tagLength = 16

// IsTag reports whether a text is the tag of an owner.
func IsTag(text string) bool { return len(text) == tagLength && isHex(text) }

// IsCursor reports whether a text can be a server's cursor: visible characters of ASCII,
// but not just what stands for no cursor.
func IsCursor(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != "" && text != noCursor
}

func isWriter(text string) bool { return len(text) == writerDigits && isHex(text) }

func isHex(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ledgerKey returns the key of the ledger. No session has an item of that key, because a
// name is not empty.
func (s *Session) ledgerKey() string { return "/" + s.prefix[:len(s.prefix)-1] }

// heirKey returns the key of the item that has the tag of an owner's heir. It is the
// same for all sessions.
func heirKey(owner string) string { return "//" + owner }

func (s *Session) markKey(l ledger) string { return s.prefixOf(l.owner) + l.generation }

// nameOf returns the part of an item's key after the prefix of its owner. It also
// returns whether the item is shown here, and whether it is a guest, which is to become
// that of the owner who is shown.
func (s *Session) nameOf(key string) (name string, guest, shown bool) {
	name = key[len(s.prefix):]
	if len(name) <= tagLength || name[tagLength] != '/' || !IsTag(name[:tagLength]) {
		return name, s.owner != "", true
	}
	of := name[:tagLength]
	name = name[tagLength+1:]
	if s.owner != "" && !isWriter(name) {
		heir, _ := s.heirOf(of, s.owner)
		return name, of != s.owner, heir == s.owner
	}
	return "", false, false
}

// heirOf follows the heirs of an owner up to that one, and returns the last.
func (s *Session) heirOf(owner, to string) (heir string, err error) {
	for range maxHeirs {
		if owner == to || owner == "" || err != nil {
			break
		}
		owner, _, err = s.storage.GetItem(heirKey(owner))
	}
	return owner, err
}

// own returns the key of an item of the owner who is shown.
func (s *Session) own(name string) string { return s.prefixOf(s.owner) + name }

// prefixOf returns the prefix of the keys of an owner's items. Without an owner, it is
// that of the items that nobody owns yet.
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
	// Before it is read: it may turn meanwhile.
	s.turned.Store(false)
	l, err := s.ledger()
	if err != nil {
		s.turned.Store(true)
		return ledger{}, err
	}
	if l.owner != s.owner {
		s.belong(l.owner)
	}
	return l, nil
}

// belong shows another owner's session.
func (s *Session) belong(owner string) {
	s.owner = owner
	s.items = make(map[string]*item)
	s.last = snapshot{}
	s.taken++
	s.newest, s.lived = "", 0
	s.saves, s.cleared = 0, false
}

// stands reports whether the mark of the ledger's generation is there, so that what the
// ledger says of the items is true.
func (s *Session) stands(l ledger) (bool, error) {
	if l.owner == "" {
		return false, nil
	}
	_, ok, err := s.storage.GetItem(s.markKey(l))
	return ok, err
}

// begin begins a new generation of the owner's session and shows it. Its ledger knows of
// no exchange, and only when somebody saved last.
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

// unmark removes the marks of an owner's generations except one.
func (s *Session) unmark(owner, generation string) error {
	if owner == "" { // without an owner there are no marks
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

// Forget removes what is shown here, and the ledger. The copy on the server stays, and
// so does what is kept here for other owners.
func (s *Session) Forget(now int64) error {
	l, err := s.attend()
	if err != nil {
		return err
	}
	s.forgotten++ // an exchange under way must not store its answer
	if err := s.forgetTo(now); err != nil {
		return err
	}
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
