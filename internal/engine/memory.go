package engine

import (
	"strings"
	"sync"
)

// A Memory is a [Storage] that lasts as long as the process. It never runs
// full. The zero Memory is empty and ready for use.
type Memory struct {
	mu       sync.Mutex
	items    map[string]string
	watchers Watchers
}

// GetItem implements [Storage]. Its error is always nil.
func (m *Memory) GetItem(key string) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, ok := m.items[key]
	return text, ok, nil
}

// SetItem implements [Storage]. Its error is always nil.
func (m *Memory) SetItem(key, text string) error {
	m.mu.Lock()
	if m.items == nil {
		m.items = make(map[string]string)
	}
	m.items[key] = text
	m.mu.Unlock()
	m.watchers.Tell(key)
	return nil
}

// RemoveItem implements [Storage]. Its error is always nil.
func (m *Memory) RemoveItem(key string) error {
	m.mu.Lock()
	delete(m.items, key)
	m.mu.Unlock()
	m.watchers.Tell(key)
	return nil
}

// Keys implements [Storage]. Its error is always nil.
func (m *Memory) Keys(prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.items {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Watch implements session.Watcher. It calls changed for every change, in the goroutine
// that made the change. Its error is always nil.
func (m *Memory) Watch(changed func(key string)) (stop func(), err error) {
	return m.watchers.Add(changed), nil
}
