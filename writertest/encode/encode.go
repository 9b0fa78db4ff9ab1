// Package encode is for those who implement session.Writer. It turns the entries that
// Save is given into JSON texts, by the contract's rules 6 to 8.
package encode

import (
	"encoding/json"
	"errors"
	"iter"

	"github.com/session-interop/session-writer"
	given "github.com/session-interop/session-writer/internal/encode"
)

// An Entry is one key with its value.
type Entry struct {
	Key string
	// Value is JSON text without white space between its tokens.
	Value json.RawMessage
}

// Entries returns the entries, each key once, with its last value. The error is a
// *session.EntryError if a key or a value cannot be saved, and wraps
// session.ErrValue if entries is nil or panics.
func Entries(entries iter.Seq2[string, any]) ([]Entry, error) {
	encoded, err := given.Entries(entries)
	if err != nil {
		return nil, refusal(err)
	}
	list := make([]Entry, len(encoded))
	for i, e := range encoded {
		list[i] = Entry{e.Key, json.RawMessage(e.Value)}
	}
	return list, nil
}

// CheckKeys returns a *session.EntryError for the first key that no entry can have,
// or nil.
func CheckKeys(keys ...string) error {
	for _, key := range keys {
		if err := given.CheckKey(key); err != nil {
			return refusal(err)
		}
	}
	return nil
}

func refusal(err error) error {
	var refused *given.EntryError
	if errors.As(err, &refused) {
		return &session.EntryError{Key: refused.Key, Err: refused.Err}
	}
	return err
}
