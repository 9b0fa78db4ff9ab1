//go:build !js

package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// What one program saves is there in the other.
func ExampleFollow() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	url, stop := serveAda()
	defer stop()

	// program follows the session of Ada's cart, with cookies of its own.
	program := func(changed func(session.Change)) (cart *session.Session, ended chan error) {
		cart, err := session.Open(ctx, session.NewMemory(), "cart", session.Config{})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := cart.Subscribe(changed); err != nil {
			log.Fatal(err)
		}
		jar, err := cookiejar.New(nil)
		if err != nil {
			log.Fatal(err)
		}
		ended = make(chan error, 1)
		go func() {
			ended <- client.Follow(ctx, &http.Client{Jar: jar}, url, client.FollowConfig{Told: func(state client.State) {
				if state.Err != nil {
					log.Print(state.Err) // it is tried again
				}
			}}, cart)
		}()
		return cart, ended
	}

	arrived := make(chan session.Change, 1)
	one, ended := program(func(session.Change) {})
	_, otherEnded := program(func(change session.Change) { arrived <- change })

	if err := one.Save(ctx, maps.All(map[string]any{"items": 3})); err != nil {
		log.Fatal(err)
	}
	change := <-arrived
	fmt.Printf("items: %s, from elsewhere: %t\n", change.Set["items"], change.Remote)

	cancel()
	for _, ended := range []chan error{ended, otherEnded} {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			log.Print(err)
		}
	}
	// Output: items: 3, from elsewhere: true
}

// serveAda starts a server that takes everybody for Ada.
func serveAda() (url string, stop func()) {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	db, err := sqlite.Open(filepath.Join(folder, "sessions.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	store := sqlstore.New(db, sqlstore.Limits{})
	if err := store.Create(context.Background()); err != nil {
		log.Fatal(err)
	}
	handler, err := server.New(server.Config{DB: store, Identify: someone})
	if err != nil {
		log.Fatal(err)
	}
	listening := httptest.NewServer(handler)
	return listening.URL + "/sessions/", func() {
		handler.Close()
		listening.Close()
		_ = errors.Join(db.Close(), os.RemoveAll(folder))
	}
}
