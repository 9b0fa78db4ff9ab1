//go:build js

// Command go-app saves with the BrowserStorage of go-app, which gives it to
// the components of an app only.
package main

import (
	"iter"

	"github.com/maxence-charriere/go-app/v10/pkg/app"
	"github.com/session-interop/session-writer/js/bench/go/timed"
)

func main() {
	app.Route("/", func() app.Composer { return &page{} })
	app.RunWhenOnBrowser()
}

type page struct{ app.Compo }

func (*page) Render() app.UI { return app.Div() }

func (*page) OnMount(ctx app.Context) {
	timed.Serve(func() (timed.Store, error) { return store{ctx.LocalStorage()}, nil })
}

type store struct{ storage app.BrowserStorage }

func (s store) Save(entries iter.Seq2[string, any]) error {
	for key, value := range entries {
		if err := s.storage.Set(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (s store) Load() (map[string]timed.Entry, error) {
	entries := make(map[string]timed.Entry)
	var failed error
	s.storage.ForEach(func(key string) {
		var entry timed.Entry
		if err := s.storage.Get(key, &entry); err != nil {
			failed = err
		}
		entries[key] = entry
	})
	return entries, failed
}

func (s store) Get(key string) (entry timed.Entry, err error) {
	err = s.storage.Get(key, &entry)
	return entry, err
}
