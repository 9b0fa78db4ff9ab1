package engine

import (
	"fmt"
	"maps"
	"slices"
)

// A modelServer is what a server is to do, in as few words as possible. Others
// are held against it.
type modelServer struct {
	epochs   int
	sessions map[string]*modelSession // by the tag of their owner
}

// A modelSession is what a server has of one.
type modelSession struct {
	epoch    int
	state    state              // without what is over
	over     map[string]version // what an end has cleared
	before   Stamp              // the clearing before that end
	endedBy  Stamp              // the batch of that end, while it may be wrong
	endedAt  int                // how many versions there were after it
	versions []string           // the keys that were merged, in that order
	touched  int64              // when somebody saved last
	used     int64              // the day of its last use
	merged   map[string]int64   // the day on which a key got what it has
	endedOn  int64              // the day of that end
	tookBack bool               // whether an end was taken back
}

// modelSkew is how far ahead of the server's a stamp may be, and of the newest.
const (
	modelSkew  = 24 * hour
	modelAfter = hour
	modelKept  = 400 * 24 * hour
)

func dayOf(millis int64) int64 { return millis / (24 * hour) }

// Exchange is for the tests of other packages.
func (m *modelServer) Exchange(now int64, owner string, sent Sent) (answered int, got Received, latest int64) {
	return m.exchange(now, owner, sent)
}

// Entries returns what a session has.
func (m *modelServer) Entries(owner string) map[string]string {
	entries := make(map[string]string)
	if at := m.sessions[owner]; at != nil {
		for _, e := range at.state.live("") {
			entries[e.Key] = e.Value
		}
	}
	return entries
}

// exchange is what a server answers to what the owner of that tag sends.
func (m *modelServer) exchange(now int64, owner string, sent Sent) (answered int, got Received, latest int64) {
	if sent.Owner != "" && sent.Owner != owner {
		return Unknown, Received{Owner: owner}, 0
	}
	if sent.Owner == "" {
		return Merged, Received{Owner: owner, Age: -1}, 0
	}
	at := m.sessions[owner]
	since := 0
	if sent.Cursor != "" {
		epoch := 0
		fmt.Sscanf(sent.Cursor, "%d-%d", &epoch, &since)
		if at == nil || epoch != at.epoch || since > len(at.versions) {
			return Unknown, Received{Owner: owner}, 0
		}
	}
	var said Said
	if sent.Items != "" {
		var unreadable int
		var err error
		if said, unreadable, err = ParseItems(sent.Items); err != nil || unreadable > 0 {
			panic(fmt.Errorf("sent %s: %d, %v", sent.Items, unreadable, err))
		}
	}
	latest = now + modelSkew
	if at != nil {
		latest = max(latest, newestOf(at.state)+modelAfter)
	}
	for _, stamp := range append(slices.Collect(stampsOf(said)), said.Newest, said.EndedBy) {
		if stamp != "" && stamp.Millis() > latest {
			return TooLate, Received{Owner: owner}, latest
		}
	}
	if at == nil && said.Newest == "" {
		return Merged, Received{Owner: owner, Age: -1}, 0
	}
	at = m.Use(now, owner)

	had := at.state.newest
	at.refute(now, &said, sent, since)
	between := func(stamp Stamp) bool { return said.Ended.Next() <= stamp && stamp < said.EndedBy }
	if end := said.Ended; end != "" && sent.MaxAge > 0 && at.state.newest <= end && now-at.touched > sent.MaxAge &&
		!slices.ContainsFunc(slices.Collect(stampsOf(said)), between) {
		at.before = max(at.state.cleared, said.Cleared)
		at.over = make(map[string]version)
		for key, v := range at.state.entries {
			if at.before <= v.stamp && v.stamp < end.Next() {
				at.over[key] = v
			}
		}
		for _, r := range said.Records { // what is said to have ended may come back, too
			v := version{r.Stamp, r.Value}
			if before := at.over[r.Key]; at.before <= r.Stamp && r.Stamp < end.Next() && (before == (version{}) || before.less(v)) {
				at.over[r.Key] = v
			}
		}
		at.clear(end.Next())
		at.endedBy, at.endedAt, at.endedOn = said.EndedBy, len(at.versions), dayOf(now)
	}
	if said.Cleared > at.state.cleared {
		at.clear(said.Cleared)
		at.over, at.endedBy = nil, ""
	}
	at.merge(now, said)
	touched := at.touched
	if said.Newest != "" {
		saved := said.Newest.Millis()
		if sent.Now > 0 {
			saved += now - sent.Now
		}
		at.touched = max(at.touched, min(now, saved))
	}
	if at.state.newest = max(at.state.newest, said.Newest); at.state.newest > had || at.touched > touched {
		at.versions = append(at.versions, "newest")
	}

	out := state{}
	for _, key := range at.versions[since:] {
		switch v, ok := at.state.entries[key]; {
		case key == "":
			out.clear(at.state.cleared)
		case ok:
			out.set(key, v)
		case key == "newest":
			out.newest = max(out.newest, at.state.newest)
		}
	}
	got = Received{Owner: owner, Cursor: fmt.Sprintf("%d-%d", at.epoch, len(at.versions)), Item: FormatItem(out.said()), Age: -1}
	if at.state.newest != "" {
		got.Age = max(0, now-at.touched)
	}
	return Merged, got, 0
}

// Use returns a session that is in use.
func (m *modelServer) Use(now int64, owner string) *modelSession {
	at := m.sessions[owner]
	if at == nil {
		m.epochs++
		at = &modelSession{epoch: m.epochs, merged: make(map[string]int64)}
		if m.sessions == nil {
			m.sessions = make(map[string]*modelSession)
		}
		m.sessions[owner] = at
	}
	at.used = max(at.used, dayOf(now))
	return at
}

// Prune forgets what was not used for very long.
func (m *modelServer) Prune(now int64) {
	before := dayOf(now - modelKept)
	for owner, at := range m.sessions {
		if at.used < before {
			delete(m.sessions, owner)
			continue
		}
		if at.endedOn < before {
			at.over, at.endedBy = nil, ""
		}
		for key, v := range at.state.entries {
			if v.removed() && at.merged[key] < before {
				delete(at.state.entries, key)
			}
		}
	}
}

// Clone returns a copy.
func (m *modelServer) Clone() *modelServer {
	sessions := make(map[string]*modelSession)
	for owner, at := range m.sessions {
		copied := *at
		copied.state = at.state.clone()
		copied.over, copied.merged = maps.Clone(at.over), maps.Clone(at.merged)
		copied.versions = slices.Clone(at.versions)
		sessions[owner] = &copied
	}
	return &modelServer{m.epochs, sessions}
}

// Restored puts back what a copy had. Nobody may take it for what it was.
func (m *modelServer) Restored(from *modelServer) {
	m.sessions = from.Clone().sessions
	for _, at := range m.sessions {
		m.epochs++
		at.epoch = m.epochs
	}
}

// Saved merges what somebody saved on the server.
func (m *modelServer) Saved(now int64, owner string, said Said) {
	at := m.Use(now, owner)
	if said.Cleared > at.state.cleared {
		at.clear(said.Cleared)
		at.over, at.endedBy = nil, ""
	}
	at.merge(now, said)
	at.state.newest, at.touched = max(at.state.newest, said.Newest), max(at.touched, now)
	at.versions = append(at.versions, "newest")
}

func newestOf(s state) int64 {
	if s.newest == "" {
		return 0
	}
	return s.newest.Millis()
}

// stampsOf gives all stamps of what was said.
func stampsOf(said Said) func(yield func(Stamp) bool) {
	return func(yield func(Stamp) bool) {
		for _, r := range said.Records {
			if !yield(r.Stamp) {
				return
			}
		}
		yield(said.Cleared)
	}
}

func (at *modelSession) set(now int64, key string, v version) {
	at.state.set(key, v)
	at.versions = append(at.versions, key)
	at.merged[key] = dayOf(now)
}

func (at *modelSession) merge(now int64, said Said) {
	for _, r := range said.Records {
		v := version{r.Stamp, r.Value}
		if before := at.state.entries[r.Key]; v.stamp >= at.state.cleared && (before == (version{}) || before.less(v)) {
			at.set(now, r.Key, v)
		}
	}
}

func (at *modelSession) clear(stamp Stamp) {
	at.state.clear(stamp)
	at.versions = append(at.versions, "")
}

// refute takes an end back when somebody who had not heard of it turns out to
// have kept the session alive: he saved after what the end had seen, not too
// long before it, and did not find the session to be over.
func (at *modelSession) refute(now int64, said *Said, sent Sent, since int) {
	cleared := at.state.cleared
	if at.endedBy == "" {
		return
	}
	last := said.Newest
	if said.Ended != "" && said.Ended.Next() >= cleared { // it was over for him, too: after what?
		var first Stamp
		for stamp := range stampsOf(*said) {
			if stamp >= cleared && (first == "" || stamp < first) {
				first = stamp
			}
		}
		if last = said.Ended; first == "" || first.Millis()-cleared.Millis() > sent.MaxAge {
			return // nothing tells that it was not over before, already
		}
	} else if said.EndedBy > cleared && said.EndedBy.Millis() > cleared.Millis()+sent.MaxAge { // it was over for him, too
		last = ""
		for _, stamp := range append(slices.Collect(stampsOf(*said)), said.Newest) {
			if stamp < said.EndedBy {
				last = max(last, stamp)
			}
		}
	}
	if sent.Cursor == "" || since >= at.endedAt || said.Cleared >= cleared ||
		last < cleared || last.Millis()+sent.MaxAge < at.endedBy.Millis() {
		return
	}
	at.tookBack = true
	for i, r := range said.Records {
		if r.Stamp < at.before {
			said.Records[i].Stamp = ""
		} else if v, ok := at.over[r.Key]; ok && v.stamp >= said.Cleared && !v.less(version{r.Stamp, r.Value}) {
			said.Records[i].Stamp = "" // what is over was made later
		} else {
			delete(at.over, r.Key)
			said.Records[i].Stamp = max(r.Stamp, cleared)
		}
	}
	said.Records = slices.DeleteFunc(said.Records, func(r Record) bool { return r.Stamp == "" })
	for _, key := range slices.Sorted(maps.Keys(at.over)) {
		v := version{cleared, at.over[key].value}
		if before := at.state.entries[key]; !v.removed() && at.over[key].stamp >= said.Cleared && (before == (version{}) || before.less(v)) {
			at.set(now, key, v)
		}
	}
	at.over, at.endedBy = nil, ""
}

// Has reports whether there is a session of that owner's.
func (m *modelServer) Has(owner string) bool { return m.sessions[owner] != nil }

// Newest returns the greatest stamp of a session.
func (m *modelServer) Newest(owner string) Stamp {
	if at := m.sessions[owner]; at != nil {
		return at.state.newest
	}
	return ""
}

// TookBack reports whether an end of a session was taken back.
func (m *modelServer) TookBack(owner string) bool { return m.Has(owner) && m.sessions[owner].tookBack }
