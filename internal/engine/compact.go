package engine

import (
	"math/bits"
)

// compact merges the small items with each other, and larger ones once the
// small have grown to them, so that a save does not pay for the size of the
// session. It looks at no more than it knows to be there, because a listing
// passes over everything that the origin stores. What it cannot do is left for
// another time: every reader makes do with what is there.
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
		if _, err := s.read(); err != nil { // which finds out of which life each is
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

// compactAll merges all items, or as many as there is room to write in one. It
// reports whether it removed any.
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
		// Smaller groups, when there is no room for the larger one's item.
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

// merge writes one item that says what the items say together, and removes
// them. Those whose every word is superseded by another's are removed first,
// which makes room; but when they tell how long the session was alive, only if
// there is none. Those of each life are merged by themselves. It reports whether it
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
	forget := by.forgettable(before) && s.areAll(kept)
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

// add writes an item that says nothing new, and returns its key.
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

// encode returns the text of an item. How long the session was alive is of no
// interest if it is never over.
func (s *Session) encode(says state) string {
	if s.maxAge == 0 {
		says.since = 0
	}
	return encode(says)
}

// adopt makes what is nobody's yet, and alive, the owner's. Removals and
// clearings are not: they were made without having seen what the owner has.
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
	s.remove(snap.guests)
	return nil
}

// restamp stamps anew what is stamped later than a time, in the same order: what
// the server does not have or, to be able to go on, all of it. Then the clock is
// where it should be.
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
	s.ahead.Store(false) // or tick would move the clock to where it was
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
			s.clock.See(had.newest) // it is still there, and what comes is later
			return err
		}
	}
	s.remove(items)
	_, err = s.read()
	return err
}

// areAll reports whether a session has no items but these, and those that
// nobody can read; and its server, if it has one, has all that they say.
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

// A suppression is what a removal, or a clearing, does in some items.
type suppression struct {
	// carried is when the last item that says it was written.
	carried int64
	// active is whether another item says something that it suppresses.
	active bool
}

// suppressions are those of a merged state.
//
// An entry that is suppressed may turn up late: another tab may read it, and
// carry it over into a new item, just before it is gone here. So a removal
// must outlive the last entry that it suppressed by a day, and an item with
// such an entry goes only when there is a record of that time: an item with
// the removal that is about as new, or is written now.
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

// allow reports whether an item that adds nothing may go without anything
// being written: all that suppresses an entry of it was written since then.
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

// forgettable reports whether there is something to forget.
func (by suppressions) forgettable(before int64) bool {
	for _, removal := range by.removals {
		if removal.forgettable(before) {
			return true
		}
	}
	return by.merged.cleared != "" && by.clearing.forgettable(before)
}

// forget drops the removals, and the clearing, that suppress nothing and were
// last written before some time.
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

// remove removes items, the oldest first, and reports whether any is gone. Who
// sees some of them gone, or is left with the rest, has what was said last.
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

// tiers is the number of the tiers, in each of which items have a size of as
// many binary digits as its number says.
const tiers = 64

func tier(it *item) int { return bits.Len(uint(it.size)) }

// likeSized returns the highest tier that is to be merged with all below it:
// because it has several items, or because those below have grown to the size
// of its one. The tiers above it have one item each, so there are never many.
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
