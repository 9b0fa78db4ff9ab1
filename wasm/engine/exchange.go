package engine

import "strings"

// A Record is what an item says of a key: its value as JSON text, or with none
// that it was removed, and the stamp of the batch that did it.
type Record struct {
	Key   string
	Stamp Stamp
	Value string
}

// ParseItems returns what the items in a JSON array say together: what they
// clear is all that is older than the stamp cleared, if there is one; and of
// each key, once, what it got last. Elements that are no items that this
// version can read are left out, and counted.
func ParseItems(text string) (cleared Stamp, records []Record, unreadable int, err error) {
	var merged state
	s := scanner{text: text}
	s.list('[', ']', func() {
		says, err := decode(s.value())
		if err != nil {
			unreadable++
		} else {
			merged.add(says)
		}
	})
	if s.end(); s.bad {
		return "", nil, 0, errDamaged
	}
	for key, v := range merged.entries {
		records = append(records, Record{key, v.stamp, v.value})
	}
	return merged.cleared, records, unreadable, nil
}

// FormatItem returns the text of an item that says so. To say nothing, there is
// no item.
func FormatItem(cleared Stamp, records []Record) string {
	var s state
	s.clear(cleared)
	for _, r := range records {
		s.set(r.Key, version{r.Stamp, r.Value})
	}
	if s.newest == "" {
		return ""
	}
	return encode(s)
}

// A session can be replicated: a server keeps a copy, and both sides merge what
// the other lacks.
//
// What has been exchanged is recorded in an item of its own, whose key is a
// slash and the session's name: the server's cursor, up to which everything is
// here, and the stamps of the items all of whose words the server has, in
//
//	<cursor> <stamp> <stamp> ...
//
// As items never change, that stays true whatever tabs do, and whichever of
// two records written at once is left: at worst something is sent twice. It is
// no question of stamps greater than others: a batch may turn up after later
// ones of the same writer, which were carried over into another item.
//
// Removals are not forgotten before they are on the server.

// Unsent is what a server may not have.
type Unsent struct {
	// Cursor is the server's, from the last exchange; none before the first.
	Cursor string
	// Texts is a JSON array of items, and empty when there is nothing to send.
	Texts string
	// Items lists the items that the server has once it has Texts. The record
	// of that is the server's new cursor and this.
	Items string
}

// Unsent returns what a server may not have, for Receive to be called when it
// does. With anew the server has nothing that was sent before.
//
// The module is without it and Receive: what they do to the storage, the shim
// does, for less than their code would cost each visitor.
func (s *Session) Unsent(anew bool) (Unsent, error) {
	snap, err := s.read()
	if err != nil {
		return Unsent{}, err
	}
	record, ok, err := s.storage.GetItem(s.recordKey())
	if err == nil && (anew || !ok) {
		// Said at once, so that no removal is forgotten from now on.
		record = " "
		err = s.storage.SetItem(s.recordKey(), record)
	}
	if err != nil {
		return Unsent{}, err
	}
	var u Unsent
	u.Cursor, _, _ = strings.Cut(record, " ")
	var texts []string
	for _, it := range snap.items {
		stamp := it.key[len(s.prefix):]
		u.Items += " " + stamp
		if !lists(record, stamp) {
			texts = append(texts, it.text)
		}
	}
	if texts != nil {
		u.Texts = "[" + strings.Join(texts, ",") + "]"
	}
	return u, nil
}

// Receive takes what a server had for this session: text, that of an item or
// empty, and the record of the exchange. After an error the session is what it
// was.
//
// While somebody watches, it returns what that changed in what they know.
func (s *Session) Receive(now int64, record, text string) (Change, error) {
	var change Change
	if text != "" {
		says, err := decode(text)
		if err != nil {
			return Change{}, err
		}
		snap, err := s.read()
		if err != nil {
			return Change{}, err
		}
		if says.adds(snap.state) {
			s.clock.See(says.newest)
			at := s.clock.Tick(now, s.writer)
			key := s.prefix + string(at)
			if change, err = s.write(now, key, text, len(text), nil); err != nil {
				return Change{}, err
			}
			s.newest = max(s.newest, says.newest)
			record += " " + string(at)
		}
	}
	return change, s.storage.SetItem(s.recordKey(), record)
}

// recordKey is of no session's item: a name is not empty.
func (s *Session) recordKey() string { return "/" + s.prefix[:len(s.prefix)-1] }

// lists reports whether a record has the item of that stamp.
func lists(record, stamp string) bool {
	for end := len(record); end > stampLength; end -= stampLength + 1 {
		if record[end-stampLength:end] == stamp {
			return true
		}
	}
	return false
}

// adds reports whether c says anything that s does not.
func (c *content) adds(s state) bool {
	if c.newest > s.newest || c.cleared > s.cleared {
		return true
	}
	for _, r := range c.records {
		if had, ok := s.entries[r.key]; r.stamp >= s.cleared && (!ok || had.less(r.version)) {
			return true
		}
	}
	return false
}
