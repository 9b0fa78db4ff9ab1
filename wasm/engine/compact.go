package engine

import (
	"cmp"
	"errors"
	"slices"
)

// compact merges the small items with each other, and larger ones once the
// small have grown to them, so that a save does not pay for the size of the
// session. What it cannot do is left for another time: every reader makes do
// with what is there.
func (s *Session) compact(now int64) {
	s.saves = 0
	keys, err := s.storage.Keys(s.prefix)
	if err != nil {
		return
	}
	var items []item
	sizes := make(map[string]int)
	all := true
	for _, key := range keys {
		size, known := s.sizes[key]
		if !known {
			it, err := s.get(key)
			all = all && !errors.Is(err, errFormat)
			if err != nil {
				continue
			}
			size = it.size
		}
		items = append(items, item{key: key, size: size})
		sizes[key] = size
	}
	s.sizes = sizes // of what is still there

	sortBySize(items)
	group := items[:likeSized(items)]
	for i := range group {
		if group[i], err = s.get(group[i].key); err != nil {
			return
		}
	}
	s.merge(now, group, all && len(group) == len(items))
}

// compactAll merges all items, or as many as there is room to write in one. It
// reports whether it removed any.
func (s *Session) compactAll(now int64) (freed bool) {
	s.saves = 0
	snap, err := s.read()
	for range len(snap.items) {
		if err != nil {
			break
		}
		sortBySize(snap.items)
		merged := false
		for n := len(snap.items); n > 1 && !merged; n /= 2 {
			merged = s.merge(now, snap.items[:n], n == len(snap.items) && !snap.foreign)
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
// them; all tells whether the session has no others. Those whose every word is
// superseded by another's are removed first, which makes room. It reports
// whether it removed any.
func (s *Session) merge(now int64, items []item, all bool) (freed bool) {
	var merged state
	for _, it := range items {
		merged.merge(it.state)
	}
	var kept []item
	for _, it := range items {
		if it.state.counts(merged) {
			kept = append(kept, it)
		} else if s.remove([]item{it}) {
			freed = true
		}
	}
	if len(kept) < 2 {
		return freed
	}
	if all {
		// Nobody else has what these would have to suppress.
		merged.forget(now - keepRemovals)
	}
	if !all || len(merged.entries) > 0 || merged.cleared != "" {
		key, text := s.prefix+string(s.clock.tick(now, s.writer)), encode(merged)
		if s.storage.SetItem(key, text) != nil {
			return freed
		}
		s.keepSize(key, text)
	}
	return s.remove(kept) || freed
}

// remove removes items and reports whether any is gone.
func (s *Session) remove(items []item) (removed bool) {
	for _, it := range items {
		if s.storage.RemoveItem(it.key) == nil {
			delete(s.sizes, it.key)
			removed = true
		}
	}
	return removed
}

func sortBySize(items []item) {
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.key, b.key))
	})
}

// likeSized returns how many of the items, sorted by size, to merge: all up to
// the last that is at most twice as large as those before it together. What is
// left out is so much larger that there are never many.
func likeSized(items []item) int {
	n, sum := 0, 0
	for i, it := range items {
		if it.size <= 2*sum {
			n = i + 1
		}
		sum += it.size
	}
	return n
}
