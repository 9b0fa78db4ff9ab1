package writertest_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

func TestStorageMistakes(t *testing.T) {
	var mistakes []mistake[writertest.StorageHarness]
	for _, m := range storageMistakes {
		mistakes = append(mistakes, mistake[writertest.StorageHarness]{m.rule, m.what, func(t *testing.T, giveUp func()) writertest.StorageHarness {
			whole := session.NewMemory().(memory)
			return writertest.StorageHarness{
				Storage: slow{m.breaks(whole).(memory)},
				Elsewhere: func(key, text string) {
					whole.SetItem(key, text) // calls the watchers before it returns
					giveUp()
				},
			}
		}})
	}
	testMistakes(t, writertest.StorageCases, mistakes)
}

// A memory is what NewMemory returns.
type memory interface {
	session.Storage
	session.Watcher
}

// A slow takes its time to read.
type slow struct{ memory }

func (s slow) GetItem(key string) (string, bool, error) {
	pauseBeforeReading()
	return s.memory.GetItem(key)
}

// The functions that a storage is broken with. Each type overrides one method.
type (
	brokenGet struct {
		memory
		get func(m memory, key string) (string, bool, error)
	}
	brokenSet struct {
		memory
		set func(m memory, key, text string) error
	}
	brokenRemove struct {
		memory
		remove func(m memory, key string) error
	}
	brokenKeys struct {
		memory
		keys func(m memory, prefix string) ([]string, error)
	}
	brokenWatch struct {
		memory
		watch func(m memory, changed func(key string)) (stop func(), err error)
	}
)

func (b brokenGet) GetItem(key string) (string, bool, error)     { return b.get(b.memory, key) }
func (b brokenSet) SetItem(key, text string) error               { return b.set(b.memory, key, text) }
func (b brokenRemove) RemoveItem(key string) error               { return b.remove(b.memory, key) }
func (b brokenKeys) Keys(prefix string) ([]string, error)        { return b.keys(b.memory, prefix) }
func (b brokenWatch) Watch(changed func(string)) (func(), error) { return b.watch(b.memory, changed) }

func get(f func(m memory, key string) (string, bool, error)) func(memory) session.Storage {
	return func(m memory) session.Storage { return brokenGet{m, f} }
}

func set(f func(m memory, key, text string) error) func(memory) session.Storage {
	return func(m memory) session.Storage { return brokenSet{m, f} }
}

func remove(f func(m memory, key string) error) func(memory) session.Storage {
	return func(m memory) session.Storage { return brokenRemove{m, f} }
}

func keys(f func(m memory, prefix string) ([]string, error)) func(memory) session.Storage {
	return func(m memory) session.Storage { return brokenKeys{m, f} }
}

func watch(f func(m memory, changed func(key string)) (stop func(), err error)) func(memory) session.Storage {
	return func(m memory) session.Storage { return brokenWatch{m, f} }
}

// matching is a Keys that chooses by another test than HasPrefix.
func matching(chosen func(key, prefix string) bool) func(memory) session.Storage {
	return keys(func(m memory, prefix string) ([]string, error) {
		all, err := m.Keys("")
		return slices.DeleteFunc(all, func(key string) bool { return !chosen(key, prefix) }), err
	})
}

const room = 1 << 20 // bytes for an item, in a storage that has a limit

var storageMistakes = []struct {
	rule, what string
	breaks     func(m memory) session.Storage
}{
	{"Storage", "sets an item in two steps", set(func(m memory, key, text string) error {
		m.SetItem(key, text[:len(text)/2])
		pause()
		return m.SetItem(key, text)
	})},
	{"Storage", "removes an item before it sets it", set(func(m memory, key, text string) error {
		m.RemoveItem(key)
		pause()
		return m.SetItem(key, text)
	})},
	{"Storage", "has one buffer for all that use it", func(m memory) session.Storage {
		var mu sync.Mutex
		var buffer [2]string
		return brokenSet{m, func(m memory, key, text string) error {
			mu.Lock()
			buffer = [2]string{key, text}
			mu.Unlock()
			pause()
			mu.Lock()
			defer mu.Unlock()
			return m.SetItem(buffer[0], buffer[1])
		}}
	}},
	{"Storage", "strips a leading U+FEFF of a key, as TextDecoder does", set(func(m memory, key, text string) error {
		return m.SetItem(strings.TrimPrefix(key, "\ufeff"), text)
	})},
	{"Storage", "strips a leading U+FEFF of a text", set(func(m memory, key, text string) error {
		return m.SetItem(key, strings.TrimPrefix(text, "\ufeff"))
	})},
	{"Storage", "ends a key at NUL", set(func(m memory, key, text string) error {
		key, _, _ = strings.Cut(key, "\x00")
		return m.SetItem(key, text)
	})},
	{"Storage", "ends a text at 64 kB", set(func(m memory, key, text string) error {
		return m.SetItem(key, text[:min(len(text), 1<<16)])
	})},
	{"Storage", "reads localStorage.length for an item", get(func(m memory, key string) (string, bool, error) {
		if key == "length" {
			all, err := m.Keys("")
			return strconv.Itoa(len(all)), true, err
		}
		return m.GetItem(key)
	})},
	{"Storage", "has an error of its own for want of room", set(func(m memory, key, text string) error {
		if len(text) > room {
			return errors.New("no room")
		}
		return m.SetItem(key, text)
	})},
	{"Storage", "keeps what there is room for", set(func(m memory, key, text string) error {
		if len(text) > room {
			m.SetItem(key, text[:room])
			return session.ErrQuota
		}
		return m.SetItem(key, text)
	})},
	{"Storage", "cuts what there is no room for", set(func(m memory, key, text string) error {
		return m.SetItem(key, text[:min(len(text), room)])
	})},

	{"GetItem", "takes an empty text for no item", get(func(m memory, key string) (string, bool, error) {
		text, _, err := m.GetItem(key)
		return text, text != "", err
	})},
	{"GetItem", "returns an error for no item", get(func(m memory, key string) (string, bool, error) {
		text, ok, err := m.GetItem(key)
		if !ok {
			err = errors.New("no such item")
		}
		return text, ok, err
	})},
	{"SetItem", "adds and does not replace", set(func(m memory, key, text string) error {
		if _, ok, _ := m.GetItem(key); ok {
			return nil
		}
		return m.SetItem(key, text)
	})},
	{"SetItem", "writes over the old text without cutting it", set(func(m memory, key, text string) error {
		old, _, _ := m.GetItem(key)
		return m.SetItem(key, text+old[min(len(text), len(old)):])
	})},
	{"RemoveItem", "removes all items under the key", remove(func(m memory, key string) error {
		keys, err := m.Keys(key)
		for _, key := range keys {
			m.RemoveItem(key)
		}
		return err
	})},
	{"RemoveItem", "empties the item", remove(func(m memory, key string) error {
		return m.SetItem(key, "")
	})},
	{"RemoveItem", "returns an error for no item", remove(func(m memory, key string) error {
		if _, ok, _ := m.GetItem(key); !ok {
			return errors.New("no such item")
		}
		return m.RemoveItem(key)
	})},

	{"Keys", "takes the prefix for any part of a key", matching(strings.Contains)},
	{"Keys", "folds case", matching(func(key, prefix string) bool {
		return strings.HasPrefix(strings.ToLower(key), strings.ToLower(prefix))
	})},
	{"Keys", "lists nothing without a prefix", matching(func(key, prefix string) bool {
		return prefix != "" && strings.HasPrefix(key, prefix)
	})},
	{"Keys", "leaves out the key that is the prefix", matching(func(key, prefix string) bool {
		return key != prefix && strings.HasPrefix(key, prefix)
	})},
	{"Keys", "lists keys without the prefix", keys(func(m memory, prefix string) ([]string, error) {
		keys, err := m.Keys(prefix)
		for i := range keys {
			keys[i] = strings.TrimPrefix(keys[i], prefix)
		}
		return keys, err
	})},
	{"Keys", "lists keys twice", keys(func(m memory, prefix string) ([]string, error) {
		keys, err := m.Keys(prefix)
		return append(keys, keys...), err
	})},

	{"Watch", "never calls", watch(func(m memory, changed func(string)) (func(), error) {
		return func() {}, nil
	})},
	{"Watch", "tells of another key", watch(func(m memory, changed func(string)) (func(), error) {
		return m.Watch(func(key string) { changed("session/" + key) })
	})},
	{"Watch", "calls only the last watcher", func(m memory) session.Storage {
		stop := func() {}
		return brokenWatch{m, func(m memory, changed func(string)) (func(), error) {
			stop()
			var err error
			stop, err = m.Watch(changed)
			return stop, err
		}}
	}},
	{"Watch", "calls after stop", watch(func(m memory, changed func(string)) (func(), error) {
		_, err := m.Watch(changed)
		return func() {}, err
	})},
	{"Watch", "has no stop", watch(func(m memory, changed func(string)) (func(), error) {
		_, err := m.Watch(changed)
		return nil, err
	})},
}
