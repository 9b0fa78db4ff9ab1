package engine

import "strings"

// A Record is what an item says of a key: its value as JSON text, or with none
// that it was removed, and the stamp of the batch that did it.
type Record struct {
	Key   string
	Stamp Stamp
	Value string
}

// ParseItem returns what the text of an item says: what it clears is all that
// is older than the stamp cleared, if there is one; and of each key, once, what
// it got last.
func ParseItem(text string) (cleared Stamp, records []Record, err error) {
	says, err := decode(text)
	if err != nil {
		return "", nil, err
	}
	var s state
	s.add(says)
	for key, v := range s.entries {
		records = append(records, Record{key, v.stamp, v.value})
	}
	return s.cleared, records, nil
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
// the other lacks. The text that goes either way is that of an item.
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
	// Items lists the items that the server has once it has Text.
	Items string
	// Text is that of an item, and empty when the server has everything.
	Text string
	// Count is the number of entries and removals in it, and of clearings.
	Count int
}

// Unsent returns what a server may not have, for Receive to be called when it
// does. With anew the server has nothing that was sent before.
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
	var out state
	for _, it := range snap.items {
		stamp := it.key[len(s.prefix):]
		u.Items += " " + stamp
		if !strings.Contains(record, stamp) {
			out.add(it.says)
		}
	}
	u.Cursor, _, _ = strings.Cut(record, " ")
	for key, v := range out.entries {
		if snap.state.entries[key] != v {
			delete(out.entries, key)
		}
	}
	u.Count = len(out.entries)
	if out.cleared != snap.state.cleared {
		out.cleared = ""
	} else if out.cleared != "" {
		u.Count++
	}
	if u.Count > 0 {
		u.Text = encode(out)
	}
	return u, nil
}

// Receive takes what a server had for this session: text, that of an item or
// empty, and the cursor up to which that is everything. From now on the server
// has the items of an Unsent. After an error the session is what it was.
//
// While somebody watches, it returns what that changed in what they know.
func (s *Session) Receive(now int64, cursor, items, text string) (Change, error) {
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
			items += " " + string(at)
		}
	}
	return change, s.storage.SetItem(s.recordKey(), cursor+items)
}

// recordKey is of no session's item: a name is not empty.
func (s *Session) recordKey() string { return "/" + s.prefix[:len(s.prefix)-1] }

// sent reports whether the server of the session, if it has one, has all that
// the items say, and returns the record that says so.
func (s *Session) sent(items []*item) (record string, all bool) {
	record, ok, err := s.storage.GetItem(s.recordKey())
	for _, it := range items {
		if err != nil || ok && !strings.Contains(record, it.key[len(s.prefix):]) {
			return "", false
		}
	}
	return record, true
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
