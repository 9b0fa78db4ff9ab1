package session

import (
	"context"
	"encoding/json"
)

// A Reader reads the entries of a session. What a Save returned from is there,
// by whomever it was saved through the same storage.
type Reader interface {
	// Get decodes the value of a key into what into points to, as
	// json.Unmarshal does, and reports whether the key is there. With nil it
	// only reports that. The error is an *EntryError when the value does not
	// fit.
	Get(ctx context.Context, key string, into any) (found bool, err error)
	// Load returns all entries, their values as JSON texts. The map is the
	// caller's, and never nil.
	Load(ctx context.Context) (map[string]json.RawMessage, error)
}
