//go:build !js

package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
)

// A killed server has what it has acknowledged, and no batch in part.
func TestKilledDuringExchanges(t *testing.T) {
	const kills, devices = 10, 4
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	db := databaseFile(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	defer browser.CloseIdleConnections()

	var acknowledged [devices]int // batches of each, which are saved in order
	var own [devices]*session.Session
	for i := range own {
		own[i] = openPage(t)
	}
	check := func(url string) {
		t.Helper()
		reader := openPage(t)
		err := client.ErrBusy
		for errors.Is(err, client.ErrBusy) {
			err = reader.Sync(t.Context(), client.New(browser, url+"/sessions/")("cart"))
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := reader.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range acknowledged {
			for batch := range n {
				if string(got[fmt.Sprint(i, "/", batch, "/a")]) != fmt.Sprint(batch) {
					t.Errorf("device %d: batch %d of %d that were acknowledged is missing", i, batch, n)
				}
			}
		}
		halves := 0
		for key := range got {
			if key[len(key)-1] == 'a' {
				halves++
			} else {
				halves--
			}
		}
		if halves != 0 {
			t.Errorf("there are halves of batches: %d", halves)
		}
	}

	for round := range kills {
		command, url := startCommand(t, db)
		server := client.New(browser, url+"/sessions/")("cart")
		if round == 0 {
			// Gets the cookie that all have.
			res, err := browser.Post(url+"/sessions/pair", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		check(url)

		enough := int64(10 + random.IntN(60))
		var exchanges atomic.Int64
		kill := make(chan struct{})
		var wg sync.WaitGroup
		for i := range devices {
			wg.Go(func() {
				for {
					n := acknowledged[i]
					if err := own[i].Save(t.Context(), maps.All(map[string]any{
						fmt.Sprint(i, "/", n, "/a"): n, fmt.Sprint(i, "/", n, "/b"): n,
					})); err != nil {
						t.Error(err)
						return
					}
					err := own[i].Sync(t.Context(), server)
					for errors.Is(err, client.ErrBusy) { // as this machine is
						err = own[i].Sync(t.Context(), server)
					}
					if err != nil {
						select {
						case <-kill:
						default:
							t.Errorf("before it is killed: %v", err)
						}
						return
					}
					acknowledged[i]++
					if exchanges.Add(1) == enough {
						close(kill)
					}
				}
			})
		}
		ended := make(chan struct{})
		go func() {
			wg.Wait()
			close(ended)
		}()
		select {
		case <-kill:
		case <-ended:
			t.Fatal("nobody exchanges any more")
		}
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-ended
		_ = command.Wait()
	}
	_, url := startCommand(t, db)
	check(url)
	t.Logf("%d kills, %v batches acknowledged", kills, acknowledged)
}

// openPage opens a session as a page that stores nothing yet.
func openPage(t *testing.T) *session.Session {
	t.Helper()
	s, err := session.Open(t.Context(), session.NewMemory(), "cart", session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
