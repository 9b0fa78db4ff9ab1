package engine

import (
	"slices"
	"sync"
)

// A Storage is a session.Storage. That says what a Storage MUST do.
type Storage interface {
	GetItem(key string) (text string, ok bool, err error)
	SetItem(key, text string) error
	RemoveItem(key string) error
	Keys(prefix string) ([]string, error)
}

// A Rereader is a Storage of one Session that can tell that an item is unchanged, faster
// than it can read it.
type Rereader interface {
	// Same reports whether an item still has the text that GetItem returned last. It
	// returns false if the Rereader cannot tell.
	Same(key string) bool
}

var (
	// ErrQuota means that the storage has no room for what was to be saved.
	ErrQuota = Fault("the storage is full")
	// ErrDisabled means that the storage is switched off or forbidden, or that there
	// is none.
	ErrDisabled = Fault("the storage is not available")
)

// Watchers are the watchers of a [Storage], whose implementation may use this type. The
// zero Watchers are none.
type Watchers struct {
	mu    sync.Mutex
	funcs []*func(key string)
}

// Add has Tell call changed until stop is called.
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

// Tell calls all watchers. It holds no lock meanwhile, so they may use the storage.
func (w *Watchers) Tell(key string) {
	w.mu.Lock()
	funcs := w.funcs
	w.mu.Unlock()
	for _, changed := range funcs {
		(*changed)(key)
	}
}
