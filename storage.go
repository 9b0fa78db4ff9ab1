package session

import "github.com/session-interop/session-writer/wasm/engine"

// A Storage keeps items, each a text under a key, in the words of the Web
// Storage standard. Package wasm/localstorage has the browser's; NewMemory
// makes one in memory.
type Storage = engine.Storage

// A Watcher is a Storage that tells of changes that others make to it.
type Watcher = engine.Watcher

// NewMemory returns an empty Storage that lasts as long as the process, never
// runs full, and implements Watcher.
func NewMemory() Storage { return new(engine.Memory) }
