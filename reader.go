package session

import (
	"context"
	"encoding/json"
)

// A Reader reads the entries of a session. It finds every batch whose Save has
// returned, by any Writer on the same storage.
type Reader interface {
	// Get decodes the value of a key into what into points to, as json.Unmarshal
	// does, and reports whether the key is there. If into is nil, that is all it
	// does. The error is an *EntryError when the value does not fit.
	Get(ctx context.Context, key string, into any) (found bool, err error)
	// Load returns all entries, their values as JSON texts. The map is never nil,
	// and the caller may change it.
	Load(ctx context.Context) (map[string]json.RawMessage, error)
}
