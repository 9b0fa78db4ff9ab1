//go:build !js

package server_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A program that knows its users says whose sessions a request is about. Its own code
// finds what a user's devices have saved.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file, err := sqlite.Open(filepath.Join(folder, "sessions.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	db := sqlstore.New(file, sqlstore.Limits{})
	if err := db.Create(ctx); err != nil {
		log.Fatal(err)
	}

	handler, err := server.New(server.Config{
		DB: db,
		// Origins: []string{"https://example.com"}, behind a proxy
		Identify: func(r *http.Request) (id string, err error) {
			user, _, ok := r.BasicAuth() // or by the program's own cookie
			if !ok {
				return "", errors.New("nobody is signed in")
			}
			return user, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	listening := httptest.NewServer(handler)
	defer listening.Close()

	device, err := session.Open(ctx, session.NewMemory(), "cart", session.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := device.Save(ctx, maps.All(map[string]any{"items": 3})); err != nil {
		log.Fatal(err)
	}
	replicas := client.New(&http.Client{Transport: as("ada")}, listening.URL+"/sessions/")
	fmt.Println(device.Sync(ctx, replicas(device.Name())))

	cart, err := db.Open(ctx, "ada", "cart")
	if err != nil {
		log.Fatal(err)
	}
	var items int
	_, err = cart.Get(ctx, "items", &items)
	fmt.Println(items, err)
	// Output:
	// <nil>
	// 3 <nil>
}

// as makes requests for a user.
type as string

func (user as) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(string(user), "")
	return http.DefaultTransport.RoundTrip(r)
}
