package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// A modelServer is what a server is to do, in as few words as possible. Others
// are held against it.
type modelServer struct {
	MaxEntries, MaxBytes int // how much may be over
	epochs               int
	sessions             map[string]*modelSession // by the tag of their owner
	heirs                map[string]string        // of those who are somebody else by now, by tag
}

// A modelSession is what a server has of one.
type modelSession struct {
	epoch    int
	rows     map[string]modelRow
	cleared  modelRow // the last clearing
	newest   Stamp
	versions []string // the keys that were merged, in that order
	touched  int64    // when somebody saved last
	used     int64    // the day of its last use
	maxAge   int64    // in milliseconds; 0 while nobody has told one
	lives    []Span   // when it was alive, by the server's clock, in this order
	life     int      // how often the last turned out to be another
	begin    int64    // when that began
}

// A modelRow is what a key got.
type modelRow struct {
	version
	made   int64 // when it was there, by the server's clock
	merged int64 // the day on which the server got it
}

// modelSkew is how far ahead of the server's a stamp may be, and of the newest.
const (
	modelSkew  = 24 * hour
	modelAfter = hour
	modelDrift = 60_000
	modelKept  = 400 * 24 * hour
)

func dayOf(millis int64) int64 { return millis / (24 * hour) }

// Exchange is for the tests of other packages.
func (m *modelServer) Exchange(now int64, owner string, sent Sent) (answered Answered, got Received, late Terms) {
	return m.exchange(now, owner, sent)
}

// Entries returns what a session has.
func (m *modelServer) Entries(now int64, owner string) map[string]string {
	entries := make(map[string]string)
	if at := m.sessions[owner]; at != nil && !at.over(now) {
		for key, row := range at.rows {
			if !row.removed() && at.has(row) {
				entries[key] = row.value
			}
		}
	}
	return entries
}

// exchange is what a server answers to what the owner of that tag sends.
func (m *modelServer) exchange(now int64, owner string, sent Sent) (answered Answered, got Received, late Terms) {
	if sent.Owner != "" && sent.Owner != owner {
		return Unknown, Received{Owner: owner}, Terms{Heir: m.heirs[sent.Owner]}
	}
	if sent.Owner == "" {
		return Merged, Received{Owner: owner, Age: -1}, Terms{}
	}
	at := m.sessions[owner]
	since, life := 0, ""
	if sent.Cursor != "" {
		epoch := 0
		fmt.Sscanf(sent.Cursor, "%d-%d-%s", &epoch, &since, &life)
		if at == nil || epoch != at.epoch || since > len(at.versions) {
			return Unknown, Received{Owner: owner}, Terms{}
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
	latest := now + modelSkew
	if at != nil && at.newest != "" {
		latest = max(latest, at.newest.Millis()+modelAfter)
	}
	if said.Newest != "" && said.Newest.Millis() > latest {
		late.Latest = latest
		if at != nil {
			late.Newest = at.newest
		}
		return TooLate, Received{Owner: owner}, late
	}
	if at == nil && said.Newest == "" {
		return Merged, Received{Owner: owner, Age: -1}, Terms{}
	}
	at = m.Use(now, owner)

	here := func(then int64) int64 {
		if sent.Now > 0 {
			then += now - sent.Now
		}
		return max(0, min(then, now))
	}
	spans := said.Spans
	for i, s := range spans {
		spans[i] = Span{here(s.From), here(s.To)}
	}
	dead := at.merge(now, m, said, spans, sent.MaxAge, func(r Record) int64 { return here(max(r.Stamp.Millis(), r.Alive)) })

	is := at.lifeAt(now)
	complete := sent.Cursor == "" || life != is || dead || is == "over" && len(said.Records) > 0
	if complete {
		since = 0
	}
	out := state{}
	for _, key := range at.versions[since:] {
		switch row, ok := at.rows[key]; {
		case is == "over":
		case key == "":
			out.clear(at.clearing())
		case ok && at.has(row):
			out.set(key, row.version)
		case key == "newest":
			out.newest = max(out.newest, at.newest)
		}
	}
	said = out.said()
	if at.life > 0 {
		said.Since = at.begin
		if sent.Now > 0 { // by his clock
			said.Since -= now - sent.Now
		}
		said.Since = max(1, said.Since)
	}
	got = Received{Owner: owner, Cursor: fmt.Sprintf("%d-%d-%s", at.epoch, len(at.versions), is), Item: FormatItem(said), Complete: complete, Age: -1}
	if at.newest != "" && is != "over" {
		got.Age = max(0, now-at.touched)
	}
	return Merged, got, Terms{}
}

// has reports whether a row is there, if the session is not over.
func (at *modelSession) has(row modelRow) bool {
	return row.stamp >= at.clearing() && row.made >= at.begin
}

// clearing returns the stamp of the last clearing, unless that is over.
func (at *modelSession) clearing() Stamp {
	if at.cleared.made < at.begin {
		return ""
	}
	return at.cleared.stamp
}

func (at *modelSession) over(now int64) bool { return at.maxAge > 0 && now-at.touched > at.maxAge }

// lifeAt names what there is.
func (at *modelSession) lifeAt(now int64) string {
	switch {
	case at.over(now):
		return "over"
	case at.life == 0:
		return "endless"
	}
	return fmt.Sprint(at.life)
}

// merge merges what was said to have been saved in those spans, and reports
// whether some of it is of before the last life. A maximum age of -1 is unknown.
func (at *modelSession) merge(now int64, m *modelServer, said Said, spans []Span, maxAge int64, made func(Record) int64) (dead bool) {
	if maxAge >= 0 && (at.life == 0 || len(spans) > 0) {
		at.maxAge = maxAge
	}
	before := at.touched
	touched := at.touched
	if touched > now+modelDrift {
		touched = now
	}
	if touched > 0 && len(at.lives) == 0 {
		at.lives = []Span{{0, touched}}
	}
	for i, life := range at.lives {
		at.lives[i] = Span{min(life.From, touched), min(life.To, touched)}
	}
	if n := len(at.lives); n > 0 {
		at.lives[n-1].To = touched
		at.begin = min(at.begin, touched)
	}
	if said.Newest != "" {
		at.touched = touched
	}
	for _, s := range spans {
		at.touched = max(at.touched, s.To)
	}
	if at.maxAge > 0 || at.life > 0 {
		at.live(spans)
	}
	had := at.newest
	if said.Cleared != "" {
		clearing := modelRow{version{stamp: said.Cleared}, made(Record{Stamp: said.Cleared}), 0}
		if at.wins(clearing, at.cleared) {
			at.cleared = clearing
			at.versions = append(at.versions, "")
		}
		for key, row := range at.rows {
			if row.stamp < at.clearing() {
				delete(at.rows, key)
			}
		}
	}
	for _, r := range said.Records {
		row := modelRow{version{r.Stamp, r.Value}, made(r), dayOf(now)}
		dead = dead || row.made < at.begin
		if had, ok := at.rows[r.Key]; r.Stamp >= at.clearing() && (!ok || at.wins(row, had)) {
			at.rows[r.Key] = row
			at.versions = append(at.versions, r.Key)
		}
	}
	if at.newest = max(at.newest, said.Newest); at.newest > had || at.touched != before {
		at.versions = append(at.versions, "newest")
	}
	// Also if the last life is the same as before: what comes late may be over, too.
	at.dropOver(m)
	return dead
}

// wins reports whether a row takes the place of another.
func (at *modelSession) wins(row, had modelRow) bool {
	if is, was := row.made >= at.begin, had.made >= at.begin; is != was || had.stamp == "" {
		return is || had.stamp == ""
	}
	return had.less(row.version)
}

// live adds spans to the lives, which they may join.
func (at *modelSession) live(spans []Span) {
	lives := slices.Clone(at.lives)
	for _, s := range spans {
		var others []Span
		for i, life := range lives {
			endless := at.maxAge == 0 && i == len(lives)-1
			if !endless && (life.From > s.To+at.maxAge || s.From > life.To+at.maxAge) {
				others = append(others, life)
			} else {
				s = Span{min(s.From, life.From), max(s.To, life.To)}
			}
		}
		lives = append(others, s)
		slices.SortFunc(lives, func(a, b Span) int { return int(a.From - b.From) })
	}
	if at.life == 0 {
		at.life = 1
	}
	if len(lives) == 0 {
		return
	}
	last := lives[len(lives)-1]
	of := 0 // how many of those before are of the last now
	for _, life := range at.lives {
		if last.From <= life.From && life.To <= last.To {
			of++
		}
	}
	if len(at.lives) > 0 && of != 1 {
		at.life++
	}
	at.lives, at.begin = lives, last.From
}

// dropOver forgets what is over, but for as much as there may be.
func (at *modelSession) dropOver(m *modelServer) {
	var over []string
	for key, row := range at.rows {
		if row.made < at.begin {
			over = append(over, key)
		}
	}
	slices.SortFunc(over, func(a, b string) int {
		return cmp.Or(cmp.Compare(at.rows[b].made, at.rows[a].made), cmp.Compare(a, b))
	})
	bytes := 0
	for i, key := range over {
		if bytes += len(key) + len(`""`) + len(at.rows[key].value); i >= m.MaxEntries || bytes > m.MaxBytes {
			delete(at.rows, key)
		}
	}
}

// Use returns a session that is in use.
func (m *modelServer) Use(now int64, owner string) *modelSession {
	at := m.sessions[owner]
	if at == nil {
		m.epochs++
		at = &modelSession{epoch: m.epochs, rows: make(map[string]modelRow)}
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
		for key, row := range at.rows {
			if row.merged < before && (row.removed() || row.made < at.begin || at.over(now)) {
				delete(at.rows, key)
			}
		}
	}
}

// Clone returns a copy.
func (m *modelServer) Clone() *modelServer {
	sessions := make(map[string]*modelSession)
	for owner, at := range m.sessions {
		copied := *at
		copied.rows = maps.Clone(at.rows)
		copied.versions, copied.lives = slices.Clone(at.versions), slices.Clone(at.lives)
		sessions[owner] = &copied
	}
	return &modelServer{m.MaxEntries, m.MaxBytes, m.epochs, sessions, maps.Clone(m.heirs)}
}

// Restored puts back what a copy had. Nobody may take it for what it was.
func (m *modelServer) Restored(from *modelServer) {
	copied := from.Clone()
	m.sessions, m.heirs = copied.sessions, copied.heirs
	for _, at := range m.sessions {
		m.epochs++
		at.epoch = m.epochs
	}
}

// Adopted notes that the owner of a tag is another owner from now on.
func (m *modelServer) Adopted(former, heir string) {
	if m.heirs == nil {
		m.heirs = make(map[string]string)
	}
	m.heirs[former] = heir
}

// Heir returns the tag of whom an owner is by now, or nothing.
func (m *modelServer) Heir(former string) string { return m.heirs[former] }

// Saved merges what somebody saved on the server.
func (m *modelServer) Saved(now int64, owner string, said Said) {
	m.Use(now, owner).merge(now, m, said, []Span{{now, now}}, -1, func(Record) int64 { return now })
}

// Has reports whether there is a session of that owner's.
func (m *modelServer) Has(owner string) bool { return m.sessions[owner] != nil }

// Newest returns the greatest stamp of a session.
func (m *modelServer) Newest(owner string) Stamp {
	if at := m.sessions[owner]; at != nil {
		return at.newest
	}
	return ""
}

// Ends reports whether a session has a maximum age.
func (m *modelServer) Ends(owner string) bool { return m.Has(owner) && m.sessions[owner].maxAge > 0 }
