package engine

import (
	"math/bits"
)

// compact merges the small items with each other. It merges a larger item once the
// small ones have grown to its size, so that a save does not pay for the size of the
// session. It looks only at items that it knows of, because a listing goes through
// everything that the origin stores. If compact fails, it is tried again later: readers
// do not depend on it.
func (s *Session) compact(now int64) {
	s.saves = 0
	keys := make([]string, 0, len(s.items))
	guests := false
	for key, it := range s.items {
		keys = append(keys, key)
		guests = guests || it.guest
	}
	if guests && s.adopt(now) != nil {
		return
	}
	if s.maxAge > 0 {
		if _, err := s.read(); err != nil { // read finds the life of each item
			return
		}
	}
	sort(keys)
	var items []*item
	for _, key := range keys {
		it := s.items[key]
		if it != nil && it.size == 0 {
			it, _ = s.get(key)
		}
		if it != nil && it.err == nil && !it.guest {
			items = append(items, it)
		}
	}
	var group []*item
	for _, it := range upTo(items, likeSized(items)) {
		it, err := s.get(it.key)
		if err == nil && it.err == nil {
			group = append(group, it)
		} else if !Is(err, errGone) {
			return
		}
	}
	s.merge(now, group)
}

// compactAll merges all items, or as many as there is room for in one. It reports
// whether it removed any.
func (s *Session) compactAll(now int64) (freed bool) {
	s.saves = 0
	snap, err := s.read()
	if err == nil && len(snap.guests) > 0 && s.adopt(now) == nil {
		snap, err = s.read()
	}
	for range len(snap.items) {
		if err != nil {
			break
		}
		// If there is no room for the item of a group, a smaller group is tried.
		merged := false
		for top := tiers; top > 0 && !merged; top-- {
			group := upTo(snap.items, top)
			for ; len(group) > 1 && !merged; group = group[:len(group)/2] {
				merged = s.merge(now, group)
			}
		}
		if !merged {
			break
		}
		freed = true
		snap, err = s.read()
	}
	return freed
}

// merge writes one item that says what the items say together, and removes them. It
// merges the items of each life by themselves. It first removes the items that others
// supersede, which makes room. With a maximum age these tell how long the session was
// alive, so they are removed first only if there is no room. It reports whether it
// removed any.
func (s *Session) merge(now int64, all []*item) (freed bool) {
	for life := 0; all != nil; life++ {
		var items, others []*item
		for _, it := range all {
			if it.life == life {
				items = append(items, it)
			} else {
				others = append(others, it)
			}
		}
		freed = s.mergeLife(now, items) || freed
		all = others
	}
	return freed
}

func (s *Session) mergeLife(now int64, items []*item) (freed bool) {
	var merged state
	for _, it := range items {
		merged.add(it.says)
	}
	merged.since = aliveSince(merged.cleared, items)
	by := suppressors(merged, items)
	var kept, superseded []*item
	for _, it := range items {
		if it.says.counts(merged) || !by.allow(it, now-dropWithin) {
			kept = append(kept, it)
		} else {
			superseded = append(superseded, it)
		}
	}
	if s.maxAge == 0 {
		freed = s.remove(superseded)
		superseded = nil
	} else {
		kept = items
	}
	if len(kept) < 2 {
		return freed
	}
	before := now - keepRemovals
	forget := by.forgettable(before) && s.areAll(kept) && s.forgetTo(before+dropWithin) == nil
	if forget {
		by.forget(&merged, before)
	}
	if !forget || len(merged.entries) > 0 || merged.cleared != "" {
		if _, err := s.add(now, merged); err != nil {
			return s.remove(superseded) || freed
		}
	}
	return s.remove(kept) || freed
}

// add writes an item that only repeats what others say, and returns its key.
func (s *Session) add(now int64, says state) (key string, err error) {
	at, err := s.tick(now)
	if err != nil {
		return "", err
	}
	text := s.encode(says)
	key = s.own(string(at))
	if err := s.storage.SetItem(key, text); err != nil {
		return "", err
	}
	s.items[key] = &item{key: key, size: len(text)}
	return key, nil
}

// encode returns the text of an item. Without a maximum age, nobody needs to know since
// when the session was alive.
func (s *Session) encode(says state) string {
	if s.maxAge == 0 {
		says.since = 0
	}
	return encode(says)
}

// adopt gives the owner what is alive in the guests. Removals and clearings do not go
// along, because whoever made them had not seen the owner's entries.
func (s *Session) adopt(now int64) error {
	snap, err := s.read()
	if err != nil || len(snap.guests) == 0 {
		return err
	}
	var all state
	var guests []*item
	for _, it := range snap.guests {
		if it.life == 0 {
			guests = append(guests, it)
			all.add(it.says)
		}
	}
	if alive := all.living(); alive.newest != "" {
		alive.since = aliveSince(all.cleared, guests)
		if _, err := s.add(now, alive); err != nil {
			return err
		}
	}
	_ = s.forgetTo(now) // or another owner might get what comes back
	s.remove(snap.guests)
	return nil
}

// restamp gives new stamps, in the same order, to what is stamped later than latest. It
// leaves what the server has, unless all is true, which is for a clock that has no later
// stamp left. It also moves the clock back.
func (s *Session) restamp(now, latest int64, all bool) error {
	l, err := s.ledger()
	if err != nil {
		return err
	}
	snap, err := s.read()
	if err != nil {
		return err
	}
	late := func(at Stamp) bool { return at != "" && at.Millis() > latest }
	var items []*item
	var had, anew state
	for _, it := range snap.items {
		at := Stamp(it.stamp())
		if (late(at) || late(it.says.newest)) && (all || !l.lists(string(at))) {
			items = append(items, it)
			had.add(it.says)
		}
	}
	s.lower(snap, l, latest)
	s.ahead.Store(false) // otherwise tick would move the clock again
	if items == nil {
		return nil
	}
	s.newest = ""
	now = min(now, latest)
	last := had.cleared
	if late(last) {
		if anew.cleared, err = s.tick(now); err != nil {
			return err
		}
	} else {
		anew.clear(last)
	}
	at := anew.cleared
	for _, key := range had.keys() {
		v := had.entries[key]
		if !late(v.stamp) {
			at = v.stamp
		} else if v.stamp != last {
			if at, err = s.tick(now); err != nil {
				return err
			}
		}
		last = v.stamp
		anew.set(key, version{at, v.value})
	}
	if !late(had.newest) {
		anew.newest = had.newest
	}
	if since := aliveSince(had.cleared, items); since <= latest {
		anew.since = since
	}
	if anew.newest = max(anew.newest, anew.cleared); anew.newest != "" {
		if _, err := s.add(now, anew); err != nil {
			s.clock.See(had.newest) // it is still there, and later stamps must follow it
			return err
		}
	}
	s.remove(items)
	_, err = s.read()
	return err
}

// areAll reports whether a session has no other items that anybody can read, and its
// server, if it has one, has all that these say.
func (s *Session) areAll(items []*item) bool {
	keys, err := s.storage.Keys(s.prefix)
	l, ledgerErr := s.ledger()
	if err != nil || ledgerErr != nil || l.owner != s.owner {
		return false
	}
	these := make(map[string]*item)
	for _, it := range items {
		name, _, _ := s.nameOf(it.key)
		if s.owner != "" && !l.lists(name) {
			return false
		}
		these[it.key] = it
	}
	for _, key := range keys {
		if _, _, shown := s.nameOf(key); these[key] != nil || !shown {
			continue
		}
		if it, err := s.get(key); err != nil || !Is(it.err, errDamaged) {
			return false
		}
	}
	return true
}

// A suppression is the effect of a removal or clearing in some items.
type suppression struct {
	// carried is when the last item with the removal or clearing was written.
	carried int64
	// active says that another item has an entry which it suppresses.
	active bool
}

// suppressions are those of a merged state.
//
// A suppressed entry may turn up late. Another tab may read it, and put it into a new
// item, just before it is gone here. So a removal must outlive the last entry that it
// suppressed by a day. To record that time, an item with such an entry goes only if an
// item with the removal is about as new, or is written now.
type suppressions struct {
	merged   state
	removals map[string]*suppression
	clearing suppression
}

func suppressors(merged state, items []*item) suppressions {
	by := suppressions{merged: merged, removals: make(map[string]*suppression)}
	for key, v := range merged.entries {
		if v.removed() {
			by.removals[key] = new(suppression)
		}
	}
	for _, it := range items {
		if it.says.cleared == merged.cleared {
			by.clearing.carried = max(by.clearing.carried, it.written)
		}
		for _, r := range it.says.assignments {
			if r.stamp < merged.cleared {
				by.clearing.active = true
			} else if removal := by.removals[r.key]; removal == nil {
				continue
			} else if r.version == merged.entries[r.key] {
				removal.carried = max(removal.carried, it.written)
			} else {
				removal.active = true
			}
		}
	}
	return by
}

// allow reports whether a superseded item may go without a new one being written. It may
// if every removal and clearing that suppresses one of its entries was written since.
func (by suppressions) allow(it *item, since int64) bool {
	for _, r := range it.says.assignments {
		if r.stamp < by.merged.cleared {
			if by.clearing.carried < since {
				return false
			}
		} else if removal := by.removals[r.key]; removal != nil && removal.carried < since {
			return false
		}
	}
	return true
}

// forgettable reports whether forget has something to do.
func (by suppressions) forgettable(before int64) bool {
	for _, removal := range by.removals {
		if removal.forgettable(before) {
			return true
		}
	}
	return by.merged.cleared != "" && by.clearing.forgettable(before)
}

// forget drops the removals and the clearing that suppress nothing and were last written
// before that time.
func (by suppressions) forget(merged *state, before int64) {
	for key, removal := range by.removals {
		if removal.forgettable(before) {
			delete(merged.entries, key)
		}
	}
	if by.clearing.forgettable(before) {
		merged.cleared = ""
	}
}

func (s suppression) forgettable(before int64) bool { return !s.active && s.carried < before }

// remove removes items, the oldest first, and reports whether any is gone. In that order
// whoever reads in between, or after a failure, still finds the latest.
func (s *Session) remove(items []*item) (removed bool) {
	keys := make([]string, len(items))
	for i, it := range items {
		keys[i] = it.key
	}
	sort(keys)
	for _, key := range keys {
		if s.storage.RemoveItem(key) == nil {
			delete(s.items, key)
			removed = true
		}
	}
	return removed
}

// tiers is the number of tiers. The size of an item in tier n has n binary digits.
const tiers = 64

func tier(it *item) int { return bits.Len(uint(it.size)) }

// likeSized returns the highest tier to be merged with all below it. That tier has
// several items, or those below it have grown to the size of its one. Each tier above it
// has one item at most, so a session never has many.
func likeSized(items []*item) (top int) {
	var count, size [tiers + 1]int
	for _, it := range items {
		count[tier(it)]++
		size[tier(it)] += it.size
	}
	below := 0
	for t := range count {
		if count[t] > 1 || count[t] == 1 && size[t] <= below {
			top = t
		}
		below += size[t]
	}
	return top
}

// upTo returns the items of that tier and of those below it.
func upTo(items []*item, top int) []*item {
	var group []*item
	for _, it := range items {
		if tier(it) <= top {
			group = append(group, it)
		}
	}
	return group
}
