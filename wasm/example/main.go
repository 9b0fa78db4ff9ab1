//go:build js

// Command example counts the visits to a page.
package main

import (
	"context"
	"fmt"
	"maps"
	"syscall/js"
	"time"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/wasm/localstorage"
)

func main() {
	body := js.Global().Get("document").Get("body")
	if n, err := visit(context.Background()); err != nil {
		body.Set("textContent", err.Error())
	} else {
		body.Set("textContent", fmt.Sprintf("visit %d", n))
	}
}

func visit(ctx context.Context) (n int, err error) {
	storage, err := localstorage.Local()
	if err != nil {
		return 0, err
	}
	s, err := session.Open(ctx, storage, "visits", session.Config{})
	if err != nil {
		return 0, err
	}
	defer s.Close()

	if _, err := s.Get(ctx, "count", &n); err != nil {
		return 0, err
	}
	n++
	return n, s.Save(ctx, maps.All(map[string]any{"count": n, "last": time.Now()}))
}
