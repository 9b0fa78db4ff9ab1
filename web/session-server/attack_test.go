//go:build !js

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// An attacker is a client that does not care for anybody else. It has a cookie
// once it has said hello.
type attacker struct {
	*http.Client
	url, cookie, tag string
	stamps           *atomic.Int64
	refused          *atomic.Int64
}

// post makes a request and throws its answer away.
func (a *attacker) post(ctx context.Context, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/sessions/"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if a.cookie != "" {
		req.Header.Set("Cookie", a.cookie)
	}
	res, err := a.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 400 {
		a.refused.Add(1)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res, err
}

// hello becomes an owner.
func (a *attacker) hello(ctx context.Context) error {
	a.cookie = ""
	res, err := a.post(ctx, "exchange?session=a", "[]")
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("hello: %s", res.Status)
	}
	a.cookie, _, _ = strings.Cut(res.Header.Get("Set-Cookie"), ";")
	a.tag = res.Header.Get("Session-Owner")
	return nil
}

// exchange sends one batch that sets entries, or nothing, and receives all.
func (a *attacker) exchange(ctx context.Context, session, set string) (*http.Response, error) {
	body := ""
	if set != "" {
		body = fmt.Sprintf(`[{"format":1,"batches":[{"stamp":"%013d-%04x-0123456789ab","set":{%s}}]}]`,
			time.Now().UnixMilli(), a.stamps.Add(1)&0xffff, set)
	}
	return a.post(ctx, "exchange?session="+session+"&owner="+a.tag, body)
}

// stall sends most of a body, and then nothing until it is refused or ctx is done.
func (a *attacker) stall(ctx context.Context) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "POST /sessions/exchange?session=a&owner=%s HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\nContent-Type: application/json\r\nContent-Length: 65000\r\n\r\n[%s",
		a.tag, a.cookie, strings.Repeat(" ", 60_000))
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && res.StatusCode >= 400 {
		a.refused.Add(1)
	}
}

// neglect opens a socket, and reads nothing for a while. So it is not noticed either if the
// server closes it.
func (a *attacker) neglect(ctx context.Context) {
	conn, _, err := websocket.Dial(ctx, a.url+"/sessions/live", &websocket.DialOptions{
		HTTPClient: a.Client, HTTPHeader: http.Header{"Cookie": {a.cookie}},
	})
	if err != nil {
		a.refused.Add(1)
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
	_ = conn.CloseNow()
}

// entries returns n entries, whose keys begin so.
func entries(n int, prefix, value string) string {
	var set []string
	for i := range n {
		set = append(set, fmt.Sprintf(`"%s%x":%s`, prefix, i, value))
	}
	return strings.Join(set, ",")
}

// repeat has so many connections do something until ctx is done. The number of
// the connection goes with it.
func repeat(ctx context.Context, connections int, do func(connection int)) {
	var wg sync.WaitGroup
	for i := range connections {
		wg.Go(func() {
			for ctx.Err() == nil {
				do(i)
			}
		})
	}
	wg.Wait()
}

// An attack is what others do while a page goes on. What begin does comes before
// it is measured, and what it returns ends with its context.
type attack struct {
	name  string
	begin func(ctx context.Context, a *attacker) (func(context.Context), error)
}

var attacks = []attack{
	{"none", func(context.Context, *attacker) (func(context.Context), error) {
		return func(context.Context) {}, nil
	}},
	{"100 requests of 300 KB at once", large(1)},
	{"100 requests of 300 KB at once by 20 owners", large(20)},
	{"large values are neighbours of 94 KB of keys", func(ctx context.Context, a *attacker) (func(context.Context), error) {
		err := a.hello(ctx)
		for n := range 40 {
			if err == nil {
				_, err = a.exchange(ctx, fmt.Sprint("s", n), entries(1, "k", `"`+strings.Repeat("v", 1_000_000)+`"`))
			}
		}
		return func(ctx context.Context) {
			repeat(ctx, 8, func(i int) { _, _ = a.exchange(ctx, fmt.Sprint("s", i, "a"), entries(8000, "k", "1")) })
		}, err
	}},
	{"2 MB of clearings, each later than the one before", func(ctx context.Context, a *attacker) (func(context.Context), error) {
		err := a.hello(ctx)
		items := []string{fmt.Sprintf(`{"format":1,"batches":[{"stamp":"%013d-0000-0123456789ab","set":{%s}}]}`, time.Now().UnixMilli(), entries(100_000, "", "1"))}
		for n := range 13_000 {
			items = append(items, fmt.Sprintf(`{"format":1,"batches":[{"stamp":"%013d-0000-0123456789ab","clear":true}]}`, 1_000_000+n))
		}
		body := "[" + strings.Join(items, ",") + "]"
		return func(ctx context.Context) {
			repeat(ctx, 8, func(int) { _, _ = a.post(ctx, "exchange?session=a&owner="+a.tag, body) })
		}, err
	}},
	{"64 connections read a full session", again(1)},
	{"64 connections read the full sessions of 16 owners", again(16)},
	{"anybody stores 1 MB at a time", func(_ context.Context, a *attacker) (func(context.Context), error) {
		set := entries(1, "k", `"`+strings.Repeat("v", 1_000_000)+`"`)
		return func(ctx context.Context) {
			repeat(ctx, 32, func(i int) {
				one := *a
				if one.hello(ctx) == nil {
					for n := range 10 {
						_, _ = one.exchange(ctx, fmt.Sprint("s", n), set)
					}
				}
			})
		}, nil
	}},
	{"anybody sends 60 KB of tiny entries", func(_ context.Context, a *attacker) (func(context.Context), error) {
		set := entries(7000, "", "1")
		return func(ctx context.Context) {
			repeat(ctx, 32, func(int) {
				one := *a
				if one.hello(ctx) == nil {
					_, _ = one.exchange(ctx, "s", set)
				}
			})
		}, nil
	}},
	{"1,000 connections of 16 owners send 60 KB of tiny entries", func(ctx context.Context, a *attacker) (func(context.Context), error) {
		by, err := a.owners(ctx, 16)
		set := entries(7000, "", "1")
		return func(ctx context.Context) {
			repeat(ctx, 1000, func(i int) { _, _ = by[i%len(by)].exchange(ctx, fmt.Sprint("s", i%100), set) })
		}, err
	}},
	{"4,000 bodies of 65 KB stop after 60 KB", func(ctx context.Context, a *attacker) (func(context.Context), error) {
		err := a.hello(ctx)
		return func(ctx context.Context) { repeat(ctx, 4000, func(int) { a.stall(ctx) }) }, err
	}},
	{"6,000 sockets are not read while their 60 owners save", func(ctx context.Context, a *attacker) (func(context.Context), error) {
		by, err := a.owners(ctx, 60)
		return func(ctx context.Context) {
			var sockets sync.WaitGroup
			sockets.Go(func() { repeat(ctx, 6000, func(i int) { by[i%len(by)].neglect(ctx) }) })
			repeat(ctx, 8, func(i int) {
				for n := i; n < len(by) && ctx.Err() == nil; n += 8 {
					_, _ = by[n].exchange(ctx, strings.Repeat("s", 1000), `"k":1`)
				}
			})
			sockets.Wait()
		}, err
	}},
	{"anybody makes codes", func(_ context.Context, a *attacker) (func(context.Context), error) {
		return func(ctx context.Context) { repeat(ctx, 32, func(int) { _, _ = a.post(ctx, "pair", "") }) }, nil
	}},
	{"somebody does not read 200 answers", func(ctx context.Context, a *attacker) (func(context.Context), error) {
		if err := a.hello(ctx); err != nil {
			return nil, err
		}
		if _, err := a.exchange(ctx, "full", entries(1, "k", `"`+strings.Repeat("v", 1_000_000)+`"`)); err != nil {
			return nil, err
		}
		return func(ctx context.Context) {
			repeat(ctx, 200, func(int) {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/sessions/exchange?session=full&owner="+a.tag, nil)
				if err != nil {
					return
				}
				req.Header.Set("Cookie", a.cookie)
				if res, err := a.Do(req); err == nil {
					if res.StatusCode == http.StatusOK {
						<-ctx.Done()
					} else {
						a.refused.Add(1)
					}
					_ = res.Body.Close()
				}
			})
		}, nil
	}},
}

// owners returns n attackers that are owners.
func (a *attacker) owners(ctx context.Context, n int) ([]*attacker, error) {
	var owners []*attacker
	for range n {
		one := *a
		if err := one.hello(ctx); err != nil {
			return nil, err
		}
		owners = append(owners, &one)
	}
	return owners, nil
}

func large(owners int) func(context.Context, *attacker) (func(context.Context), error) {
	return func(ctx context.Context, a *attacker) (func(context.Context), error) {
		by, err := a.owners(ctx, owners)
		set := entries(9_900, "k", `"`+strings.Repeat("v", 18)+`"`) // of which all is kept
		return func(ctx context.Context) {
			repeat(ctx, 100, func(i int) { _, _ = by[i%owners].exchange(ctx, fmt.Sprint("s", i), set) })
		}, err
	}
}

func again(owners int) func(context.Context, *attacker) (func(context.Context), error) {
	return func(ctx context.Context, a *attacker) (func(context.Context), error) {
		by, err := a.owners(ctx, owners)
		for _, owner := range by {
			if err == nil {
				_, err = owner.exchange(ctx, "full", entries(9_990, "k", `"`+strings.Repeat("v", 60)+`"`))
			}
		}
		return func(ctx context.Context) {
			repeat(ctx, 64, func(i int) { _, _ = by[i%owners].exchange(ctx, "full", "") })
		}, err
	}
}

// attackMain is what the test binary does as a process of its own, which the
// environment variable SESSION_WRITER_ATTACK names the attack for: it attacks
// the URL in its arguments until its input ends. It says when it begins, and
// then how often it was refused.
func attackMain(name, url string) error {
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })
	a := newAttacker(url)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	do, err := attacks[i].begin(ctx, a)
	if err != nil {
		return err
	}
	fmt.Println("begins")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	do(ctx)
	fmt.Println(a.refused.Load())
	return nil
}

// startAttack starts an attack, in a process that gives way to the server: those
// who attack have machines of their own.
func startAttack(b *testing.B, name, url string) (end func() (refused int)) {
	b.Helper()
	command := exec.CommandContext(b.Context(), "nice", "-n", "19", os.Args[0], url)
	command.Env = append(os.Environ(), "SESSION_WRITER_ATTACK="+name)
	stdin, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	said := bufio.NewReader(start(b, command))
	if line, err := said.ReadString('\n'); line != "begins\n" {
		b.Fatal(line, err)
	}
	return func() (refused int) {
		_ = stdin.Close()
		_, err := fmt.Fscan(said, &refused)
		if err := errors.Join(err, command.Wait()); err != nil {
			b.Fatal(err)
		}
		return refused
	}
}

// BenchmarkAttack measures what a page that behaves well notices, one that saves
// an entry every 50 ms, while others do their worst, and how much memory the
// server takes.
func BenchmarkAttack(b *testing.B) {
	const lasts = 10 * time.Second
	for _, attack := range attacks {
		b.Run(attack.name, func(b *testing.B) {
			command, url := startCommand(b, filepath.Join(b.TempDir(), "sessions.db"))
			defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
			page := newAttacker(url)
			if err := page.hello(b.Context()); err != nil {
				b.Fatal(err)
			}
			end := startAttack(b, attack.name, url)
			ctx, cancel := context.WithTimeout(b.Context(), lasts)
			defer cancel()
			measure(ctx, b, page, command.Process.Pid)
			b.ReportMetric(float64(end()), "refused")
		})
	}

	b.Run("900 MB are pruned", func(b *testing.B) {
		file := filepath.Join(b.TempDir(), "sessions.db")
		expired(b, file, 900)
		command, url := startCommand(b, file) // which prunes at once
		defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
		page := newAttacker(url)
		began := time.Now()
		if err := page.hello(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds()*1000, "first-ms")
		ctx, cancel := context.WithTimeout(b.Context(), 3*lasts)
		defer cancel()
		measure(ctx, b, page, command.Process.Pid)
		info, err := os.Stat(file)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size()>>20), "MB-left")
	})
}

func newAttacker(url string) *attacker {
	return &attacker{
		Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}},
		url:    url, stamps: new(atomic.Int64), refused: new(atomic.Int64),
	}
}

// measure reports how long a page's exchanges take until ctx is done, and the
// most memory that a process has had.
func measure(ctx context.Context, b *testing.B, page *attacker, process int) {
	b.Helper()
	var took []time.Duration
	failed := 0
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		res, err := page.exchange(b.Context(), "cart", fmt.Sprintf(`"k%d":%d`, n%20, n))
		took = append(took, time.Since(began))
		if err != nil || res.StatusCode >= 300 {
			failed++
		}
		<-tick.C
	}
	slices.Sort(took)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	if err != nil {
		b.Fatal(err)
	}
	peak, err := strconv.Atoi(string(regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(status)[1]))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "median-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
	b.ReportMetric(float64(len(took)), "exchanges")
	b.ReportMetric(float64(failed), "failed")
	b.ReportMetric(float64(peak>>10), "RSS-MB")
}

// expired makes a database of so many MB in sessions that nobody has used for
// long: half of it in large values, half in small ones.
func expired(b *testing.B, file string, megabytes int) {
	b.Helper()
	db, err := sqlite.Open(file, sqlite.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	d := sqlstore.New(db, sqlstore.Limits{})
	if err := d.Create(b.Context()); err != nil {
		b.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		b.Fatal(err)
	}
	large := string(bytes.Repeat([]byte("v"), 1_000_000))
	for i := range megabytes {
		owner := fmt.Sprintf("%064x", i)
		_, err := tx.Exec(`INSERT INTO sessions VALUES (?1, '"s"', 'e', 1, '2020-01-01')`, owner)
		if err == nil && i%2 == 0 {
			_, err = tx.Exec(`INSERT INTO records VALUES (?1, '"s"', '"k"', 's', 1, '2020-01-01', '', ?2)`, owner, large)
		} else if err == nil {
			_, err = tx.Exec(`INSERT INTO records
				WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
				SELECT ?1, '"s"', '"k' || i || '"', 's', i, '2020-01-01', '', ?2 FROM n`, owner, large[:200])
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}
