package session

import "github.com/session-interop/session-writer/internal/engine"

// A Storage keeps items, each a text under a key. Its methods are named as those of
// the Web Storage standard (https://html.spec.whatwg.org/multipage/webstorage.html).
// Package wasm/localstorage has the browser's. NewMemory makes one in memory.
//
// An implementation MUST set an item as one step: whoever reads, in this
// process or another, finds the old text or the new one. It MUST be safe for
// concurrent use, MUST keep every key and text that is valid UTF-8 as it is,
// and MUST NOT keep what it was given when it returns an error. Its
// errors MUST wrap ErrQuota when there is no room, and ErrDisabled when it is
// switched off or forbidden. Package writertest checks all that.
type Storage interface {
	// GetItem returns the text of an item, and whether there is such an item.
	GetItem(key string) (text string, ok bool, err error)
	// SetItem sets the text of an item, and adds the item if it is not there.
	SetItem(key, text string) error
	// RemoveItem removes an item. Removing one that is not there is no error.
	RemoveItem(key string) error
	// Keys returns the keys that begin with prefix, each once, in any order.
	Keys(prefix string) ([]string, error)
}

// A Watcher is a Storage that tells of the changes that others make to it. On any
// other Storage, a Session lists its items before each save, and nobody can subscribe
// to it.
//
// An implementation MUST tell each watcher of every change that others make, and
// MUST NOT call changed for a change that is made after stop has returned.
type Watcher interface {
	// Watch calls changed with the key of every item that somebody else sets or
	// removes, and with "" when any item may have changed. It may also tell of
	// changes that its own user makes. The calls may come late, from any goroutine,
	// and several at once. changed must not block. A call that is under way when
	// stop is called may still come.
	Watch(changed func(key string)) (stop func(), err error)
}

// NewMemory returns an empty Storage that lasts as long as the process, never
// runs full, and implements Watcher.
func NewMemory() Storage { return new(engine.Memory) }

// Stats count what a session has in its storage.
type Stats struct {
	// Entries is the number of keys that have a value.
	Entries int
	// Items is the number of items that hold the session.
	Items int
	// Bytes is the size of all items under the session's name, keys and texts, in
	// UTF-16 code units. Browsers allow an origin 5,242,880 of them.
	Bytes int
	// Corrupt is the number of items under the session's name that cannot be
	// read: damaged, foreign, or of a newer format.
	Corrupt int
}
