//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/pgtest"
	"github.com/session-interop/session-writer/web/client"
	"github.com/session-interop/session-writer/web/internal/proxytest"
)

// A fellow is one of several servers, which keeps its address.
type fellow struct {
	command *exec.Cmd
	addr    string
}

// start starts the server, or starts it again until it serves: while PostgreSQL recovers,
// it ends at once.
func (m *fellow) start(t *testing.T, db, origin string) {
	t.Helper()
	for until := time.Now().Add(time.Minute); ; {
		command := exec.CommandContext(t.Context(), os.Args[0], "-addr", m.addr, "-site", siteFolder(t), "-db", db, "-origin", origin)
		command.Env = append(os.Environ(), "SESSION_WRITER_MAIN=1")
		var says strings.Builder
		command.Stderr = &says
		stdout, err := command.StdoutPipe()
		if err == nil {
			err = command.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 100)
		if n, err := stdout.Read(line); err == nil {
			url := strings.TrimSpace(string(line[:n]))
			m.command, m.addr = command, url[strings.LastIndex(url, "/")+1:]
			return
		}
		if err := command.Wait(); time.Now().After(until) {
			t.Fatalf("%v: %s", err, &says)
		}
	}
}

func (m *fellow) kill() {
	_ = m.command.Process.Kill()
	_ = m.command.Wait()
}

// A visitor has several pages, which share a session.
type visitor struct {
	replica session.Replica
	pages   []page
}

// A page saves batches in order.
type page struct {
	*session.Session
	acknowledged int
}

// parts is how many entries a batch has.
const parts = 3

// Servers on one PostgreSQL, behind nginx, are killed and started, and so is PostgreSQL.
// Nothing that was acknowledged is missing, and no batch is there in part.
func TestServersAndPostgreSQLAreKilledDuringExchanges(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	enough, kills := int64(10_000), 40
	if testing.Short() {
		enough, kills = 500, 4
	}
	const servers, visitors, pagesEach = 3, 10, 5
	const origin = "https://session.example"

	postgres := pgtest.Start(t)
	var members [servers]fellow
	upstream := "upstream servers {"
	for i := range members {
		members[i].addr = "127.0.0.1:0"
		members[i].start(t, postgres.URL(), origin)
		defer members[i].kill()
		upstream += " server " + members[i].addr + " max_fails=0;" // for otherwise it is left out for ten seconds
	}
	transport := proxytest.Nginx(t, "session.example", upstream+" }\n"+proxytest.NginxServer(
		"client_max_body_size 4m; location / { proxy_pass http://servers; proxy_set_header Host $host; }"))

	var all [visitors]visitor
	for i := range all {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := &http.Client{Jar: jar, Transport: transport}
		all[i].replica = client.New(browser, origin+"/sessions/")("cart")
		for range pagesEach {
			all[i].pages = append(all[i].pages, page{Session: openPage(t)})
		}
		// Gets the cookie that all pages have.
		if err := openPage(t).Sync(t.Context(), all[i].replica); err != nil {
			t.Fatal(err)
		}
	}

	// A cursor that is refused would be of something that the database has lost.
	var cursorsRefused atomic.Int64
	for v := range all {
		replica := all[v].replica
		all[v].replica = func(ctx context.Context, sent session.Sent) (session.Received, error) {
			got, err := replica(ctx, sent)
			if errors.Is(err, session.ErrCursor) {
				cursorsRefused.Add(1)
			}
			return got, err
		}
	}
	var exchanges, failures atomic.Int64
	reached := make(chan struct{}, 1) // after each exchange
	var wg sync.WaitGroup
	for v := range all {
		for p := range all[v].pages {
			wg.Go(func() {
				page := &all[v].pages[p]
				for exchanges.Load() < enough {
					batch := make(map[string]any)
					for part := range parts {
						batch[fmt.Sprint(p, "/", page.acknowledged, "/", part)] = page.acknowledged
					}
					if err := page.Save(t.Context(), maps.All(batch)); err != nil {
						t.Error(err)
						return
					}
					for err := page.Sync(t.Context(), all[v].replica); err != nil; err = page.Sync(t.Context(), all[v].replica) {
						failures.Add(1)
						for _, wrong := range []error{session.ErrQuota, session.ErrConfig, session.ErrCursor, new(session.OwnerError)} {
							if errors.Is(err, wrong) {
								t.Error(err)
							}
						}
						if t.Context().Err() != nil {
							return
						}
						time.Sleep(50 * time.Millisecond) // as a page that is refused, only sooner
					}
					page.acknowledged++
					exchanges.Add(1)
					select {
					case reached <- struct{}{}:
					default:
					}
				}
			})
		}
	}
	for n := range kills {
		at := enough * int64(n+1) / int64(kills+1)
		for exchanges.Load() < at {
			select {
			case <-reached:
			case <-time.After(time.Minute):
				t.Fatalf("nobody exchanges any more, after %d exchanges", exchanges.Load())
			}
		}
		if n%4 == 3 {
			postgres.Kill()
			postgres.Restart()
			continue
		}
		killed := random.Perm(servers)[:1+random.IntN(servers)]
		for _, i := range killed {
			members[i].kill()
		}
		for _, i := range killed {
			members[i].start(t, postgres.URL(), origin)
		}
	}
	wg.Wait()

	for v := range all {
		reader := openPage(t)
		err := client.ErrBusy
		for until := time.Now().Add(time.Minute); err != nil && time.Now().Before(until); {
			err = reader.Sync(t.Context(), all[v].replica)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := reader.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		there := make(map[string]int) // parts of each batch
		for key := range got {
			there[key[:strings.LastIndex(key, "/")]]++
		}
		for batch, n := range there {
			if n != parts {
				t.Errorf("visitor %d: of the batch %s there are %d parts of %d", v, batch, n, parts)
			}
		}
		for p, page := range all[v].pages {
			for n := range page.acknowledged {
				if there[fmt.Sprint(p, "/", n)] == 0 {
					t.Errorf("visitor %d: batch %d of %d that page %d was acknowledged is missing", v, n, page.acknowledged, p)
				}
			}
		}
	}
	if n := cursorsRefused.Load(); n > 0 {
		t.Errorf("%d cursors were refused", n)
	}
	t.Logf("%d exchanges, %d of them failed before, with %d kills", exchanges.Load(), failures.Load(), kills)
}
