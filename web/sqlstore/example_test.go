//go:build !js

package sqlstore_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"

	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	db, err := sqlite.Open(filepath.Join(folder, "sessions.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	sessions := sqlstore.New(db, sqlstore.Limits{})
	if err := sessions.Create(ctx); err != nil {
		log.Fatal(err)
	}
	s, err := sessions.Open(ctx, "the id of an owner", "cart")
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Save(ctx, maps.All(map[string]any{"user": "Ada", "items": 3})); err != nil {
		log.Fatal(err)
	}
	var user string
	found, err := s.Get(ctx, "user", &user)
	fmt.Println(user, found, err)
	// Output: Ada true <nil>
}
