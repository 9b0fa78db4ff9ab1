//go:build !js

package opensqlite_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"os"

	"github.com/session-interop/session-writer"
	_ "github.com/session-interop/session-writer/web/opensqlite"
)

// The URL is what a program has in its configuration.
func Example() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	url := "sqlite://" + folder + "/sessions.db?session=cart&owner=ada"

	ctx := context.Background()
	s, err := session.OpenURL(ctx, url)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Save(ctx, maps.All(map[string]any{"items": 3})); err != nil {
		log.Fatal(err)
	}
	entries, err := s.Load(ctx)
	fmt.Printf("%s %v\n", entries, err)
	// Output: map[items:3] <nil>
}
