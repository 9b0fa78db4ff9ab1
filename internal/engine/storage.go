package engine

import (
	"slices"
	"sync"
)

// A Storage is a session.Storage, which says what it MUST.
type Storage interface {
	GetItem(key string) (text string, ok bool, err error)
	SetItem(key, text string) error
	RemoveItem(key string) error
	Keys(prefix string) ([]string, error)
}

// A Rereader is a Storage that can say that an item is unchanged for less than
// it takes to read it.
type Rereader interface {
	// Same reports whether an item has the text that GetItem returned last. It
	// may have forgotten, and then it is not.
	Same(key string) bool
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
