package client_test

import (
	"context"
	"log"
	"maps"
	"net/http"
	"net/http/cookiejar"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
)

// The cookies of the client say whose sessions it has. A jar that outlives the program
// keeps its owner.
func Example() {
	ctx := context.Background()
	jar, err := cookiejar.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	replicas := client.New(&http.Client{Jar: jar}, "https://example.com/sessions/")

	s, err := session.Open(ctx, session.NewMemory(), "cart", session.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if err := s.Save(ctx, maps.All(map[string]any{"items": 3})); err != nil {
		log.Fatal(err)
	}
	if err := s.Sync(ctx, replicas(s.Name())); err != nil {
		log.Print(err) // nothing is lost: sync again later
	}
}
