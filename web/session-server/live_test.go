//go:build !js

package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/session-interop/session-writer/internal/pgtest"
	"github.com/session-interop/session-writer/web/live"
	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A listener is a socket of a browser.
type listener struct{ *websocket.Conn }

// at returns the browser as it is at another server.
func (a *attacker) at(url string) *attacker {
	other := *a
	other.url = url
	return &other
}

// dial asks for a socket.
func (a *attacker) dial(t *testing.T) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	return websocket.Dial(t.Context(), a.url+"/sessions/live", &websocket.DialOptions{
		HTTPClient: a.Client, HTTPHeader: http.Header{"Cookie": {a.cookie}},
	})
}

// listen opens a socket, and waits until the server has answered by it.
func (a *attacker) listen(t *testing.T) listener {
	t.Helper()
	conn, _, err := a.dial(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("ping")); err != nil {
		t.Fatal(err)
	}
	l := listener{conn}
	for l.read(t) != "pong" { // before it, there may be what was told meanwhile
	}
	return l
}

func (l listener) read(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, text, err := l.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// awaits reads until a session has changed. An empty name stands for any.
func (l listener) awaits(t *testing.T, session string) {
	t.Helper()
	for {
		var told struct{ Session, Cursor string }
		text := l.read(t)
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if told.Session == session {
			return
		}
	}
}

// ends reads until the socket is closed, and returns the code, which is -1 for a connection
// that is broken.
func (l listener) ends(t *testing.T) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, _, err := l.Read(ctx); err != nil {
			if ctx.Err() != nil {
				t.Fatal("it was not closed")
			}
			return websocket.CloseStatus(err)
		}
	}
}

// newListening returns a browser that is known.
func newListening(t *testing.T, url string) *attacker {
	t.Helper()
	a := newAttacker(url)
	t.Cleanup(a.CloseIdleConnections)
	if err := a.hello(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// save saves something, and demands that it is done.
func (a *attacker) save(t *testing.T, session string) {
	t.Helper()
	if res, err := a.exchange(t.Context(), session, `"a":1`); err != nil || res.StatusCode >= 300 {
		t.Fatalf("%v, %v", res, err)
	}
}

// ask makes a request of the session API, and returns the JSON of its answer.
func (a *attacker) ask(t *testing.T, path, body string, into any) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/sessions/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", a.cookie)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := a.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s: %d %s, %v", path, res.StatusCode, text, err)
	}
	return res
}

// A cluster is two servers on one PostgreSQL, which hear each other.
type cluster struct {
	db   *sql.DB
	urls [2]string
	// first is the server of the first URL.
	first *exec.Cmd
}

func newCluster(t *testing.T, address string) *cluster {
	t.Helper()
	c := new(cluster)
	c.first, c.urls[0] = startCommand(t, address)
	_, c.urls[1] = startCommand(t, address)
	var err error
	if c.db, err = postgresql.Open(address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.db.Close() })
	c.listening(t, len(c.urls))
	for _, url := range c.urls { // until it knows that it does
		a := newListening(t, url)
		for until := time.Now().Add(time.Minute); ; {
			res, err := a.exchange(t.Context(), "cart", `"a":1`)
			if err != nil || time.Now().After(until) {
				t.Fatalf("%s offers no socket: %v", url, err)
			}
			if res.Header.Get("Session-Live") != "" {
				break
			}
		}
	}
	return c
}

// listening waits until so many connections listen, and returns the processes that serve them.
func (c *cluster) listening(t *testing.T, want int) (ids []int) {
	t.Helper()
	for until := time.Now().Add(time.Minute); len(ids) != want; {
		if time.Now().After(until) {
			t.Fatalf("%d connections listen, want %d", len(ids), want)
		}
		ids = nil
		rows, err := c.db.Query(`SELECT pid FROM pg_stat_activity
			WHERE query = (SELECT 'LISTEN session_writer_' || oid FROM pg_namespace WHERE nspname = current_schema()) AND state = 'idle'`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id int
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	return ids
}

func TestWhatOneServerSavesIsToldByTheOther(t *testing.T) {
	c := newCluster(t, pgtest.URL(t))
	here := newListening(t, c.urls[0])
	there := here.at(c.urls[1])
	l := there.listen(t)
	here.save(t, "cart")
	l.awaits(t, "cart")
	there.save(t, "draft")
	l.awaits(t, "draft")

	// Another device joins by one server, and listens there. It is revoked by the other one.
	var pair struct{ Code string }
	here.ask(t, "pair", "", &pair)
	other := newAttacker(c.urls[1])
	defer other.CloseIdleConnections()
	res := other.ask(t, "join", `{"code":"`+pair.Code+`"}`, nil)
	other.cookie, _, _ = strings.Cut(res.Header.Get("Set-Cookie"), ";")
	second := other.listen(t)
	var devices struct {
		Devices []struct {
			ID      string
			Current bool
		}
	}
	other.ask(t, "devices", "", &devices)
	for _, d := range devices.Devices {
		if d.Current {
			here.ask(t, "revoke", `{"id":"`+d.ID+`"}`, nil)
		}
	}
	if code := second.ends(t); code != live.CodeEnded {
		t.Errorf("it is closed with %d, want %d", code, live.CodeEnded)
	}
	here.save(t, "after")
	l.awaits(t, "after")
}

// A program that serves nobody tells of what it saves.
func TestServersHearOfAProgramThatSaves(t *testing.T) {
	address := pgtest.URL(t)
	c := newCluster(t, address)
	a := newListening(t, c.urls[0])
	sockets := []listener{a.listen(t), a.at(c.urls[1]).listen(t)}

	bus, err := postgresql.NewBus(address)
	if err != nil {
		t.Fatal(err)
	}
	hub := live.NewHub(live.Config{Bus: bus, ErrorLog: log.New(t.Output(), "", 0)})
	db := sqlstore.NewPostgreSQL(c.db, sqlstore.Limits{})
	db.Watch(hub)
	_, value, _ := strings.Cut(a.cookie, "=")
	secret, _, _ := strings.Cut(value, "-")
	known, found, err := db.FindDevice(t.Context(), secret, sqlstore.Lifetimes{})
	if err != nil || !found {
		t.Fatalf("the device of %s: %t, %v", a.cookie, found, err)
	}
	s, err := db.Open(t.Context(), known.Owner, "import")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	hub.Close() // which sends it, as the program ends at once
	bus.Close()
	for _, l := range sockets {
		l.awaits(t, "import")
	}
}

// While connections are lost, changes are not told, nor who loses access. Afterwards all come anew.
func TestAllComeAnewAfterServersHaveHeardNothing(t *testing.T) {
	postgres := pgtest.Start(t)
	c := newCluster(t, postgres.URL())
	var browsers []*attacker
	var sockets []listener
	come := func() {
		sockets = nil
		for _, a := range browsers {
			sockets = append(sockets, a.listen(t), a.at(c.urls[1]).listen(t))
		}
	}
	check := func() {
		t.Helper()
		for _, l := range sockets {
			if code := l.ends(t); code != live.CodeExpired {
				t.Errorf("it is closed with %d, want %d", code, live.CodeExpired)
			}
		}
		come()
		for i, a := range browsers {
			a.at(c.urls[i%2]).save(t, "later")
		}
		for _, l := range sockets {
			l.awaits(t, "later")
		}
	}
	for range 3 {
		browsers = append(browsers, newListening(t, c.urls[0]))
	}
	come()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var saving sync.WaitGroup
	for _, a := range browsers {
		saving.Go(func() {
			for ctx.Err() == nil {
				a.save(t, "cart")
			}
		})
	}
	for _, l := range sockets {
		l.awaits(t, "cart")
	}
	for _, id := range c.listening(t, 2) {
		if _, err := c.db.Exec(`SELECT pg_terminate_backend($1, 60000)`, id); err != nil {
			t.Fatal(err)
		}
	}
	c.listening(t, 2)
	cancel()
	saving.Wait()
	check()

	postgres.Kill()
	postgres.Restart()
	_ = c.db.Ping() // by a connection of before
	c.listening(t, 2)
	check()
}

func TestTheEndOfSockets(t *testing.T) {
	for _, test := range []struct {
		signal syscall.Signal
		want   websocket.StatusCode
	}{
		{syscall.SIGTERM, live.CodeRestart},
		{syscall.SIGKILL, -1},
	} {
		t.Run(test.signal.String(), func(t *testing.T) {
			command, url := startCommand(t, databaseFile(t))
			a := newListening(t, url)
			l := a.listen(t)
			silent := a.listen(t) // does not read, so it answers nothing
			if err := command.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			if code := l.ends(t); code != test.want {
				t.Errorf("it is closed with %d, want %d", code, test.want)
			}
			if err := command.Wait(); (err == nil) != (test.signal == syscall.SIGTERM) {
				t.Errorf("it ended with %v", err)
			}
			if code := silent.ends(t); code != test.want {
				t.Errorf("who did not read is told %d, want %d", code, test.want)
			}
		})
	}
}

// A request that is still on its way when a server is told to end is told to the other one.
func TestTheLastRequestIsTold(t *testing.T) {
	c := newCluster(t, pgtest.URL(t))
	a := newListening(t, c.urls[0])
	here, there := a.listen(t), a.at(c.urls[1]).listen(t)
	body := `[{"format":1,"batches":[{"stamp":"1700000000000-0000-0123456789ab","set":{"a":1}}]}]`
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST /sessions/exchange?session=last&owner=%s HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		a.tag, a.cookie, len(body))
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != http.StatusContinue {
		t.Fatalf("%v, %v, want that the server reads the body", res, err)
	}
	if err := c.first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := here.ends(t); code != live.CodeRestart {
		t.Errorf("it is closed with %d, want %d", code, live.CodeRestart)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode >= 300 {
		t.Fatalf("%v, %v, want that it is saved", res, err)
	}
	there.awaits(t, "last")
	if err := c.first.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestWithoutLive(t *testing.T) {
	address := pgtest.URL(t)
	c := newCluster(t, address)
	command, lines := startWith(t, "-addr", "127.0.0.1:0", "-site", "", "-db", address, "-live=false")
	defer func(c *exec.Cmd) { _ = c.Process.Kill(); _ = c.Wait() }(command)
	a := newListening(t, nextURL(t, lines))
	res, err := a.exchange(t.Context(), "cart", `"a":1`)
	if err != nil || res.Header.Get("Session-Live") != "" {
		t.Errorf("%v, and it may listen at %q", err, res.Header.Get("Session-Live"))
	}
	if _, res, err := a.dial(t); err == nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("a socket: %v, %v, want 404", res, err)
	}
	get(t, a.url+"/sessions/live")
	c.listening(t, 2) // which are the others
}
