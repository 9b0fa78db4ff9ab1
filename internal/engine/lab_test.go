package engine

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// start is some time in 2026, in milliseconds since 1970.
const start = 1_795_373_052_123

// A lab is a storage that counts what is done to it, has only so much room,
// and can fail at some point for good, as it does for a tab that is killed.
type lab struct {
	Memory
	room    int // in bytes of keys and texts, 0 for no limit
	sets    int
	gets    int
	lists   int
	written int    // in bytes of texts
	given   string // what stands for Given
	killIn  int    // writes and removals until it fails; 0 for never

	// beforeGet, unless nil, is called before an item is read.
	beforeGet func(key string)
}

var errKilled = errors.New("killed")

// alive counts one write or removal.
func (l *lab) alive() bool {
	if l.killIn > 1 {
		l.killIn--
	}
	return l.killIn != 1
}

func (l *lab) used() (used int) {
	for key, text := range l.items {
		used += len(key) + len(text)
	}
	return used
}

func (l *lab) SetItem(key, text string) error {
	if !l.alive() {
		return errKilled
	}
	l.sets++
	if l.given != "" {
		text = strings.Replace(text, Given, l.given, 1)
	}
	if l.room > 0 && l.used()+len(key)+len(text) > l.room {
		return ErrQuota
	}
	l.written += len(text)
	return l.Memory.SetItem(key, text)
}

func (l *lab) RemoveItem(key string) error {
	if !l.alive() {
		return errKilled
	}
	return l.Memory.RemoveItem(key)
}

func (l *lab) GetItem(key string) (string, bool, error) {
	l.gets++
	if l.beforeGet != nil {
		l.beforeGet(key)
	}
	return l.Memory.GetItem(key)
}

func (l *lab) Keys(prefix string) ([]string, error) {
	l.lists++
	return l.Memory.Keys(prefix)
}

// A rereader is a lab that says which items are unchanged.
type rereader struct {
	lab
	texts map[string]string
}

func (r *rereader) GetItem(key string) (string, bool, error) {
	text, ok, err := r.lab.GetItem(key)
	if r.texts == nil {
		r.texts = make(map[string]string)
	}
	r.texts[key] = text
	return text, ok, err
}

func (r *rereader) Same(key string) bool {
	text, ok := r.items[key]
	return ok && text == r.texts[key]
}

// sessionKeys returns the keys of the session's items.
func (l *lab) sessionKeys() []string { return slices.Sorted(maps.Keys(l.items)) }

// A tab is a Session with a wall clock. What it does must not fail.
type tab struct {
	*Session
	t      *testing.T
	now    int64
	loaded entries
}

func openTab(t *testing.T, storage Storage) *tab {
	t.Helper()
	return openAged(t, storage, 0)
}

func openAged(t *testing.T, storage Storage, maxAge int64) *tab {
	t.Helper()
	s, err := Open(storage, "cart", new(Clock), maxAge)
	if err != nil {
		t.Fatal(err)
	}
	return &tab{Session: s, t: t, now: start}
}

// entries are keys with JSON texts.
type entries map[string]string

func (b *tab) write(batch Batch) Change {
	b.t.Helper()
	change, err := b.Save(b.now, batch)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Tidy(b.now)
	return change
}

func (b *tab) save(saved entries) Change {
	b.t.Helper()
	return b.write(setting(saved))
}

func (b *tab) remove(keys ...string) Change {
	b.t.Helper()
	return b.write(Batch{Remove: encodeList(keys)})
}

func (b *tab) clear() Change {
	b.t.Helper()
	return b.write(Batch{Clear: true})
}

func setting(saved entries) Batch {
	var text []byte
	for _, key := range slices.Sorted(maps.Keys(saved)) {
		text = append(AppendString(append(text, ','), key), ':')
		text = append(text, saved[key]...)
	}
	return Batch{Set: enclose('{', text, '}')}
}

func encodeList(keys []string) string {
	var text []byte
	for _, key := range keys {
		text = AppendString(append(text, ','), key)
	}
	return enclose('[', text, ']')
}

func (b *tab) load() entries {
	b.t.Helper()
	// As a page does, which keeps what it was given the last time.
	list, anew, err := b.LoadAnew(b.now, b.loaded == nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if anew {
		b.loaded = asMap(list)
	}
	return maps.Clone(b.loaded)
}

func asMap(list []Entry) entries {
	m := make(entries)
	for _, e := range list {
		m[e.Key] = e.Value
	}
	return m
}

// has demands that a load returns exactly the wanted entries.
func (b *tab) has(want entries) {
	b.t.Helper()
	if got := b.load(); !maps.Equal(got, want) {
		b.t.Errorf("Load returned %v, want %v", got, want)
	}
}

// refresh returns what others did.
func (b *tab) refresh() Change {
	b.t.Helper()
	change, err := b.Refresh(b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	return change
}
