// In a browser, the output of an example cannot be read.

//go:build !js

package localstorage_test

import (
	"context"
	"errors"
	"fmt"
	"maps"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/wasm/localstorage"
)

// A program that also runs outside browsers, or in pages without storage, keeps its
// session in memory there.
func Example() {
	ctx := context.Background()
	storage, err := localstorage.Local()
	if errors.Is(err, session.ErrDisabled) {
		storage, err = session.NewMemory(), nil
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := session.Open(ctx, storage, "visits", session.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	var count int
	if _, err := s.Get(ctx, "count", &count); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(count)
	fmt.Println(s.Save(ctx, maps.All(map[string]any{"count": count + 1})))
	// Output:
	// 0
	// <nil>
}
