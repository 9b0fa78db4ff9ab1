package engine

import (
	"slices"
	"sync"
)

// A Storage keeps items, each a text under a key, in the words of the Web
// Storage standard (https://html.spec.whatwg.org/multipage/webstorage.html).
//
// An implementation MUST set an item as one step: whoever reads, in this
// process or another, finds the old text or the new one. It MUST be safe for
// concurrent use, MUST keep every key and text that is valid UTF-8 as it is,
// and MUST NOT keep what it was given when it returns an error. An error for
// want of room wraps [ErrQuota], one for a storage that is switched off or
// forbidden [ErrDisabled].
type Storage interface {
	// GetItem returns the text of an item, and whether there is such an item.
	GetItem(key string) (text string, ok bool, err error)
	// SetItem sets the text of an item, which it adds when it is not there.
	SetItem(key, text string) error
	// RemoveItem removes an item. To remove one that is not there is no error.
	RemoveItem(key string) error
	// Keys returns the keys that begin with prefix, each once, in any order.
	Keys(prefix string) ([]string, error)
}

// A Rereader is a Storage that can say that an item is unchanged for less than
// it takes to read it.
type Rereader interface {
	// Same reports whether an item has the text that GetItem returned last. It
	// may have forgotten, and then it is not.
	Same(key string) bool
}

// A Watcher is a Storage that tells of changes that others make to it.
type Watcher interface {
	// Watch calls changed with the key of every item that was set or removed
	// by somebody else, and with "" when any item may have changed. It may
	// also tell of changes that its own user made. The calls may come late,
	// from any goroutine, and several at once; changed must not block. A call
	// that is under way when stop is called may still be made.
	Watch(changed func(key string)) (stop func(), err error)
}

var (
	// ErrQuota means that the storage has no room for what was to be saved.
	ErrQuota = Fault("the storage is full")
	// ErrDisabled means that the storage is switched off, forbidden, or not
	// there at all.
	ErrDisabled = Fault("the storage is not available")
)

// Watchers are those who watch a [Storage], for its implementation's use. The
// zero Watchers are none.
type Watchers struct {
	mu    sync.Mutex
	funcs []*func(key string)
}

// Add has changed told until stop is called.
func (w *Watchers) Add(changed func(key string)) (stop func()) {
	added := &changed
	w.mu.Lock()
	defer w.mu.Unlock()
	w.funcs = append(slices.Clone(w.funcs), added)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.funcs = slices.DeleteFunc(slices.Clone(w.funcs), func(f *func(string)) bool { return f == added })
	}
}

// Tell tells all of them. It holds no lock meanwhile, so they may use the
// storage.
func (w *Watchers) Tell(key string) {
	w.mu.Lock()
	funcs := w.funcs
	w.mu.Unlock()
	for _, changed := range funcs {
		(*changed)(key)
	}
}
