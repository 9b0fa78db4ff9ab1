package engine

// A state is what some items say together: a last-writer-wins map. Merging states is
// associative, commutative and idempotent, so items may be read in any order, and more
// than once.
type state struct {
	// newest is the greatest stamp of all batches, even of those whose entries are all
	// superseded. The session's age counts from it.
	newest Stamp
	// cleared is the stamp of the last clearing. No older version is in entries.
	cleared Stamp
	// since is the time since when the session was alive, or 0 if nothing tells. Merging
	// leaves it: see aliveSince.
	since   int64
	entries map[string]version
}

// A content is what one item says, before it is merged.
type content struct {
	newest, cleared Stamp
	since           int64
	assignments     []assignment
}

// An assignment is what an item says of a key.
type assignment struct {
	key string
	version
}

// A version is what a batch did to a key.
type version struct {
	stamp Stamp
	// value is the JSON text that was saved. It is empty for a removal.
	value string
}

func (v version) removed() bool { return v.value == "" }

// shows reports whether a reader who knows v knows the value of w, too. A value that was
// Given is known to him, though not to this package.
func (v version) shows(w version) bool {
	return v.value == w.value || v.stamp == w.stamp && v.value == Given
}

// less orders the versions of a key. The stamps of two batches always differ. The rest
// makes even damaged items read the same everywhere.
func (v version) less(w version) bool {
	if v.stamp != w.stamp {
		return v.stamp < w.stamp
	}
	return !v.removed() && (w.removed() || v.value < w.value)
}

// set merges one version of a key.
func (s *state) set(key string, v version) {
	s.newest = max(s.newest, v.stamp)
	if v.stamp < s.cleared {
		return
	}
	if had, ok := s.entries[key]; ok && !had.less(v) {
		return
	}
	if s.entries == nil {
		s.entries = make(map[string]version)
	}
	s.entries[key] = v
}

// clear merges a clearing.
func (s *state) clear(at Stamp) {
	s.newest = max(s.newest, at)
	if at <= s.cleared {
		return
	}
	s.cleared = at
	for key, v := range s.entries {
		if v.stamp < at {
			delete(s.entries, key)
		}
	}
}

// add merges what an item says.
func (s *state) add(c content) {
	s.newest = max(s.newest, c.newest)
	s.clear(c.cleared)
	if s.entries == nil {
		s.entries = make(map[string]version, len(c.assignments))
	}
	for _, r := range c.assignments {
		s.set(r.key, r.version)
	}
}

// first returns when the first of what still counts was saved.
func (s *state) first() int64 {
	first := s.newest
	for _, v := range s.entries {
		first = min(first, v.stamp)
	}
	return first.Millis()
}

// living returns the entries without removals, and when somebody saved last. It is empty
// if there are no entries.
func (s *state) living() (alive state) {
	for key, v := range s.entries {
		if !v.removed() {
			alive.set(key, v)
			alive.newest = s.newest
		}
	}
	return alive
}

// clone returns a copy.
func (s *state) clone() state {
	entries := make(map[string]version, len(s.entries))
	for key, v := range s.entries {
		entries[key] = v
	}
	return state{newest: s.newest, cleared: s.cleared, since: s.since, entries: entries}
}

// counts reports whether anything that c says still counts in merged. merged has what c
// and other items say.
func (c *content) counts(merged state) bool {
	if c.newest == merged.newest || c.cleared != "" && c.cleared == merged.cleared {
		return true
	}
	for _, r := range c.assignments {
		if merged.entries[r.key] == r.version {
			return true
		}
	}
	return false
}

// keys returns the keys in the order in which they were last set or removed.
func (s *state) keys() []string {
	var keys []string
	for key, v := range s.entries {
		keys = append(keys, string(v.stamp)+key)
	}
	sort(keys)
	for i, key := range keys {
		keys[i] = key[stampLength:]
	}
	return keys
}

// live returns the entries in the order in which they were last set.
func (s *state) live() []Entry {
	var live []Entry
	for _, key := range s.keys() {
		if v := s.entries[key]; !v.removed() {
			live = append(live, Entry{key, v.value})
		}
	}
	return live
}

// diff returns what a reader who knows s must be told to know next. It sorts only what
// it tells.
func (s *state) diff(next state) Change {
	var set, gone state
	had := false
	for key, v := range s.entries {
		if v.removed() {
			continue
		}
		had = true
		if now, ok := next.entries[key]; !ok || now.removed() {
			gone.set(key, v)
		}
	}
	cleared := next.cleared > s.cleared || had && len(next.entries) == 0
	for key, v := range next.entries {
		// A reader who is told of a clearing forgets everything.
		if !v.removed() && (cleared || !s.entries[key].shows(v)) {
			set.set(key, v)
		}
	}
	return Change{
		Cleared: cleared,
		Set:     set.live(),
		Removed: gone.keys(),
	}
}

// apply merges what was saved, and returns what that changed.
func (s *state) apply(saved content) Change {
	// Only what the batch speaks of can change.
	before := state{cleared: s.cleared}
	if saved.cleared != "" {
		before = s.clone()
	} else {
		for _, r := range saved.assignments {
			if v, ok := s.entries[r.key]; ok {
				before.set(r.key, v)
			}
		}
	}
	after := before.clone()
	after.add(saved)
	s.add(saved)
	return before.diff(after)
}

// sort sorts texts by Shell's method. With slices.Sort each visitor of a page would
// download ten times as much code.
func sort[Text ~string](texts []Text) {
	for gap := len(texts); gap > 1; {
		gap = max(1, gap*5/11)
		for i := gap; i < len(texts); i++ {
			for j := i; j >= gap && texts[j] < texts[j-gap]; j -= gap {
				texts[j], texts[j-gap] = texts[j-gap], texts[j]
			}
		}
	}
}
