package load

import (
	"bufio"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/alexedwards/scs/postgresstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"

	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A contestant is one way to keep visitors' entries on a server. All are sent the same: an
// item of one batch. All know a visitor by a cookie.
type contestant struct {
	name string
	// path is where its clients post.
	path string
	// make returns the handler, and makes its tables.
	make func(database) (http.Handler, error)
}

var contestants = []contestant{
	{exchange, "/sessions/exchange", api},
	{save, "/save", saving},
	{plainly, "/save", plain},
	{bySCS, "/save", withSCS},
}

const (
	exchange = "exchange"
	save     = "handler save"
	plainly  = "plain handler"
	bySCS    = "scs"
)

// A batch is what a client sends, as the handlers other than ours read it.
type batch struct {
	Stamp string
	Set   map[string]json.RawMessage
}

// batches returns a handler that reads a batch, and calls keep with it.
func batches(keep func(w http.ResponseWriter, r *http.Request, b batch) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var items []struct{ Batches []batch }
		err := json.NewDecoder(r.Body).Decode(&items)
		if err == nil {
			err = keep(w, r, items[0].Batches[0])
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func ours(db database) (*server.Handler, error) {
	// Clients are visitors who all come in the same minute.
	d := db.sessions(sqlstore.Limits{Owners: 1_000_000})
	h, err := server.New(server.Config{DB: d})
	if err != nil {
		return nil, err
	}
	return h, d.Create(ctx)
}

func api(db database) (http.Handler, error) { return ours(db) }

// saving saves as a program's own handlers do.
func saving(db database) (http.Handler, error) {
	h, err := ours(db)
	if err != nil {
		return nil, err
	}
	return h.Wrap(batches(func(w http.ResponseWriter, r *http.Request, b batch) error {
		cart, err := h.Open(w, r, "cart")
		if err != nil {
			return err
		}
		set := make(map[string]any, len(b.Set))
		for key, value := range b.Set {
			set[key] = value
		}
		return cart.Save(r.Context(), maps.All(set))
	})), nil
}

// plain does without all that session-writer is for: it inserts the entries one by one, as
// such handlers do. Nor does it know whether it has made the cookie.
func plain(db database) (http.Handler, error) {
	err := db.exec(`CREATE TABLE plain (
		owner TEXT, session TEXT, key TEXT, stamp TEXT, value TEXT, PRIMARY KEY (owner, session, key))`)
	insert := db.statement(`
INSERT INTO plain (owner, session, key, stamp, value) VALUES (?1, 'cart', ?2, ?3, ?4)
ON CONFLICT (owner, session, key) DO UPDATE SET stamp = excluded.stamp, value = excluded.value
WHERE excluded.stamp > plain.stamp`)
	return batches(func(w http.ResponseWriter, r *http.Request, b batch) error {
		cookie, err := r.Cookie("owner")
		if err != nil {
			cookie = &http.Cookie{Name: "owner", Value: rand.Text()}
			http.SetCookie(w, cookie)
		}
		for key, value := range b.Set {
			if _, err := db.ExecContext(r.Context(), insert, cookie.Value, key, b.Stamp, string(value)); err != nil {
				return err
			}
		}
		return nil
	}), err
}

// withSCS loads the session before each request and saves it after, as the documentation
// of scs says.
func withSCS(db database) (http.Handler, error) {
	manager := scs.New()
	data, expiry := "BLOB", "REAL"
	manager.Store = sqlite3store.NewWithCleanupInterval(db.DB, 0)
	if db.postgresql {
		data, expiry = "BYTEA", "TIMESTAMPTZ"
		manager.Store = postgresstore.NewWithCleanupInterval(db.DB, 0)
	}
	err := db.exec(
		fmt.Sprintf(`CREATE TABLE sessions (token TEXT PRIMARY KEY, data %s NOT NULL, expiry %s NOT NULL)`, data, expiry),
		`CREATE INDEX sessions_expiry_idx ON sessions (expiry)`,
	)
	return manager.LoadAndSave(batches(func(_ http.ResponseWriter, r *http.Request, b batch) error {
		for key, value := range b.Set {
			manager.Put(r.Context(), key, string(value))
		}
		return nil
	})), err
}

// A database is one of a contestant's own.
type database struct {
	*sql.DB
	postgresql bool
}

// open opens the database of a URL of PostgreSQL, or of a path.
func open(address string) (database, error) {
	if strings.HasPrefix(address, "postgres:") {
		db, err := postgresql.Open(address)
		return database{db, true}, err
	}
	db, err := sqlite.Open(address, sqlite.Config{})
	return database{db, false}, err
}

func (db database) sessions(limits sqlstore.Limits) *sqlstore.DB {
	if db.postgresql {
		return sqlstore.NewPostgreSQL(db.DB, limits)
	}
	return sqlstore.New(db.DB, limits)
}

// statement returns a statement as the engine takes it.
func (db database) statement(text string) string {
	if db.postgresql {
		return strings.ReplaceAll(text, "?", "$")
	}
	return text
}

func (db database) exec(statements ...string) error {
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			return fmt.Errorf("%w: %s", err, statement)
		}
	}
	return nil
}

// The server of a contestant is this program once more, so that its CPU is not that of its
// clients. The environment says which contestant it is, and where its database.
const (
	contestantIs = "LOAD_CONTESTANT"
	databaseIs   = "LOAD_DATABASE"
)

func TestMain(m *testing.M) {
	for _, c := range contestants {
		if c.name == os.Getenv(contestantIs) {
			if err := c.serve(os.Getenv(databaseIs)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	m.Run()
}

// serve prints the address on which it listens, and serves until stdin is closed. For each line
// there, it gives back the memory that is not in use, and prints a line.
func (c contestant) serve(address string) error {
	db, err := open(address)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	h, err := c.make(db)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	site := &http.Server{Handler: h}
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			debug.FreeOSMemory()
			fmt.Println()
		}
		_ = site.Close()
	}()
	if err := site.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// A served contestant has a process and a database.
type served struct {
	contestant
	url  string
	pids []int // of the server, and of PostgreSQL if that has the database
	stop func()
	// collect has the server give back the memory that is not in use.
	collect func(b *testing.B)
}

// start starts a contestant's server, which ends with the benchmark or with stop.
func (c contestant) start(b *testing.B, on engine, address string) served {
	b.Helper()
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), contestantIs+"="+c.name, databaseIs+"="+address)
	command.Stderr = os.Stderr
	stdin, noStdin := command.StdinPipe()
	stdout, noStdout := command.StdoutPipe()
	if err := errors.Join(noStdin, noStdout, command.Start()); err != nil {
		b.Fatal(err)
	}
	stop := func() {
		_ = stdin.Close()
		_ = command.Wait()
	}
	b.Cleanup(stop)
	lines := bufio.NewReader(stdout)
	url, err := lines.ReadString('\n')
	if err != nil {
		b.Fatalf("%s on %s: %v", c.name, on.name, err)
	}
	pids := []int{command.Process.Pid}
	if on.pid != 0 {
		pids = append(pids, on.pid)
	}
	collect := func(b *testing.B) {
		b.Helper()
		_, err := fmt.Fprintln(stdin)
		if err == nil {
			_, err = lines.ReadString('\n')
		}
		if err != nil {
			b.Fatalf("%s on %s: %v", c.name, on.name, err)
		}
	}
	return served{c, strings.TrimSpace(url), pids, stop, collect}
}
