//go:build js

// Command syscall-js shows a session, and saves on demand: a page without a framework.
package main

import (
	"context"
	"encoding/json"
	"log"
	"maps"
	"syscall/js"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/wasm/localstorage"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
	select {} // It answers as long as there is the page.
}

func run(ctx context.Context) error {
	storage, err := localstorage.Local()
	if err != nil {
		return err
	}
	s, err := session.Open(ctx, storage, "cart", session.Config{})
	if err != nil {
		return err
	}
	if _, err := s.Subscribe(func(session.Change) { show(ctx, s) }); err != nil {
		return err
	}
	show(ctx, s)
	js.Global().Set("session", map[string]any{
		"save": js.FuncOf(func(_ js.Value, args []js.Value) any {
			save(ctx, s, args[0])
			return nil
		}),
	})
	return nil
}

func show(ctx context.Context, s *session.Session) {
	entries, err := s.Load(ctx)
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(entries)
	if err != nil {
		log.Fatal(err)
	}
	output := js.Global().Get("document").Call("querySelector", "output")
	output.Set("textContent", string(text))
}

func save(ctx context.Context, s *session.Session, object js.Value) {
	text := js.Global().Get("JSON").Call("stringify", object).String()
	var entries map[string]any
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		log.Fatal(err)
	}
	if err := s.Save(ctx, maps.All(entries)); err != nil {
		log.Fatal(err)
	}
}
