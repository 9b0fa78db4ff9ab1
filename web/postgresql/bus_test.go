//go:build !js

package postgresql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/session-interop/session-writer/internal/pgtest"
	"github.com/session-interop/session-writer/web/live"
)

var _ live.Bus = (*Bus)(nil)

func newBus(t *testing.T, address string) *Bus {
	t.Helper()
	b, err := NewBus(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// open opens a database in which to look at the connections of a Bus.
func open(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := Open(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A listener hears what is sent.
type listener struct {
	heard chan string
	ended chan error
	end   context.CancelFunc
}

// listen returns a listener that has joined.
func listen(t *testing.T, b *Bus) *listener {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	l := &listener{make(chan string, 20_000), make(chan error, 1), end}
	t.Cleanup(end)
	joined := make(chan struct{})
	go func() { l.ended <- b.Listen(ctx, func() { close(joined) }, func(text string) { l.heard <- text }) }()
	select {
	case <-joined:
	case err := <-l.ended:
		t.Fatal(err)
	}
	return l
}

// hears demands what is heard next.
func (l *listener) hears(t *testing.T, want ...string) {
	t.Helper()
	for _, want := range want {
		select {
		case got := <-l.heard:
			if got != want {
				t.Fatalf("heard %.100q, want %.100q", got, want)
			}
		case err := <-l.ended:
			t.Fatalf("%v, want %.100q", err, want)
		case <-time.After(time.Minute):
			t.Fatalf("heard nothing, want %.100q", want)
		}
	}
}

func send(t *testing.T, b *Bus, texts ...string) {
	t.Helper()
	if err := b.Send(t.Context(), texts); err != nil {
		t.Fatal(err)
	}
}

func TestAllThatListenHearWhatIsSent(t *testing.T) {
	address := pgtest.URL(t)
	one, other := newBus(t, address), newBus(t, address)
	first, second := listen(t, one), listen(t, other)
	most := strings.Repeat("ä", 3500)
	for _, texts := range [][]string{{"a"}, {"b", "'\\", most, "\U0001F600\x01"}, {"c"}} {
		send(t, one, texts...)
		first.hears(t, texts...)
		second.hears(t, texts...)
	}
	send(t, other, "d", "e", "d")
	first.hears(t, "d", "e")
	var many []string
	for n := range 10_000 {
		many = append(many, fmt.Sprint(n))
	}
	send(t, one, many...)
	first.hears(t, many...)
	first.end()
	if err := <-first.ended; err == nil {
		t.Error("it has ended without an error")
	}
	if err := one.Send(t.Context(), []string{strings.Repeat("x", 8000)}); err == nil {
		t.Error("a text of 8,000 bytes was sent")
	}
	send(t, one, "f")
}

func TestAnotherSchemaHearsNothing(t *testing.T) {
	address := pgtest.URL(t)
	here, there := newBus(t, address), newBus(t, pgtest.URL(t))
	one, other := listen(t, here), listen(t, there)
	send(t, here, "here")
	send(t, there, "there")
	one.hears(t, "here")
	other.hears(t, "there")

	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "missing")
	u.RawQuery = q.Encode()
	if err := newBus(t, u.String()).Send(t.Context(), []string{"a"}); err == nil || !strings.Contains(err.Error(), "search_path") {
		t.Errorf("without a schema: %v", err)
	}
}

// processes returns the ids of the processes that serve the connections of a Bus.
func processes(t *testing.T, db *sql.DB, last string) (ids []int) {
	t.Helper()
	rows, err := db.Query(`SELECT pid FROM pg_stat_activity WHERE query LIKE $1 AND pid <> pg_backend_pid()`, last)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// terminate has PostgreSQL end connections.
func terminate(t *testing.T, db *sql.DB, ids []int) {
	t.Helper()
	if len(ids) == 0 {
		t.Fatal("there are no connections")
	}
	for _, id := range ids {
		if _, err := db.Exec(`SELECT pg_terminate_backend($1, 60000)`, id); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLostConnections(t *testing.T) {
	postgres := pgtest.Start(t)
	db := open(t, postgres.URL())
	b := newBus(t, postgres.URL())
	l := listen(t, b)
	send(t, b, "a")
	l.hears(t, "a")

	terminate(t, db, processes(t, db, "%pg_notify%"))
	send(t, b, "b") // by a new one, at once
	l.hears(t, "b")

	terminate(t, db, processes(t, db, "LISTEN%"))
	if err := <-l.ended; err == nil || !strings.Contains(err.Error(), "terminating connection") {
		t.Errorf("it ended with %v", err)
	}
	l = listen(t, b)
	send(t, b, "c")
	l.hears(t, "c")

	postgres.Kill()
	if err := <-l.ended; err == nil {
		t.Error("it listens to a server that was killed")
	}
	for b.Send(t.Context(), []string{"d"}) == nil { // as long as the process that serves it has not noticed
	}
	postgres.Restart()
	l = listen(t, b)
	send(t, b, "e")
	l.hears(t, "e")
}

// A process of PostgreSQL that is stopped is as a machine that is gone: nobody closes the
// connection.
func TestAConnectionThatIsSilentIsGivenUp(t *testing.T) {
	postgres := pgtest.Start(t)
	db := open(t, postgres.URL())
	b := newBus(t, postgres.URL())
	b.quiet, b.patience = time.Millisecond, time.Second
	l := listen(t, b)
	send(t, b, "a")
	l.hears(t, "a")
	for _, id := range append(processes(t, db, "%pg_notify%"), processes(t, db, "LISTEN%")...) {
		if err := syscall.Kill(id, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Kill(id, syscall.SIGCONT) }()
	}
	if err := <-l.ended; err == nil || !strings.Contains(err.Error(), "nothing was heard") {
		t.Errorf("it ended with %v", err)
	}
	if err := b.Send(t.Context(), []string{"b"}); err == nil {
		t.Error("it was sent by a connection that is silent")
	}
	l = listen(t, b)
	send(t, b, "c")
	l.hears(t, "c")
}

// A server may take a connection and then say nothing.
func TestItDoesNotWaitForAServerThatSaysNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	asked := make(chan map[string]string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		backend := pgproto3.NewBackend(conn, conn)
		startup, _ := backend.ReceiveStartupMessage()
		if m, ok := startup.(*pgproto3.StartupMessage); ok {
			asked <- m.Parameters
		}
		backend.Send(&pgproto3.AuthenticationOk{})
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if backend.Flush() == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	b := newBus(t, "postgres://ada@"+listener.Addr().String()+"/sessions?sslmode=disable")
	b.patience = 10 * time.Millisecond
	err = b.Listen(t.Context(), func() { t.Error("it has joined") }, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ended with %v, want a deadline", err)
	}
	// PgBouncer refuses connections that have parameters which it does not know.
	if parameters := <-asked; parameters["synchronous_commit"] != "" || parameters["database"] != "sessions" {
		t.Errorf("it was asked for %v", parameters)
	}
}

func TestANotificationNeedNotBeOnTheDisk(t *testing.T) {
	b := newBus(t, pgtest.URL(t))
	send(t, b, "a")
	var commit string
	if err := b.sender.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&commit); err != nil || commit != "off" {
		t.Errorf("synchronous_commit is %s, %v", commit, err)
	}
}

func TestItSendsForManyAtOnce(t *testing.T) {
	address := pgtest.URL(t)
	b := newBus(t, address)
	l := listen(t, b)
	var want []string
	var wg sync.WaitGroup
	for n := range 100 {
		text := fmt.Sprintf("%02d", n)
		want = append(want, text)
		wg.Go(func() {
			if err := b.Send(t.Context(), []string{text}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var got []string
	for range want {
		got = append(got, <-l.heard)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("heard %q", got)
	}
}

func TestNewBusRefuses(t *testing.T) {
	for _, address := range []string{"", "sessions.db", "postgres://user:secret@host:port/database"} {
		if _, err := NewBus(address); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
	b := newBus(t, "postgres://user:secret@127.0.0.1:1/database")
	for _, err := range []error{b.Send(t.Context(), []string{"a"}), b.Listen(t.Context(), nil, nil)} {
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("where nobody answers: %v", err)
		}
	}
}
