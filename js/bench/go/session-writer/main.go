//go:build js

// Command session-writer saves with session-writer, without its JavaScript.
package main

import (
	"context"
	"encoding/json"
	"iter"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/js/bench/go/timed"
	"github.com/session-interop/session-writer/wasm/localstorage"
)

func main() {
	var last *session.Session
	timed.Serve(func() (timed.Store, error) {
		if last != nil {
			if err := last.Close(); err != nil {
				return nil, err
			}
		}
		storage, err := localstorage.Local()
		if err != nil {
			return nil, err
		}
		last, err = session.Open(context.Background(), storage, "cart", session.Config{})
		return store{last}, err
	})
	select {}
}

type store struct{ session *session.Session }

func (s store) Save(entries iter.Seq2[string, any]) error {
	return s.session.Save(context.Background(), entries)
}

func (s store) Load() (map[string]timed.Entry, error) {
	texts, err := s.session.Load(context.Background())
	if err != nil {
		return nil, err
	}
	entries := make(map[string]timed.Entry, len(texts))
	for key, text := range texts {
		var entry timed.Entry
		if err := json.Unmarshal(text, &entry); err != nil {
			return nil, err
		}
		entries[key] = entry
	}
	return entries, nil
}

func (s store) Get(key string) (entry timed.Entry, err error) {
	_, err = s.session.Get(context.Background(), key, &entry)
	return entry, err
}
