//go:build !js

package sqlstore

import (
	"context"
	"database/sql"
	"flag"
	"path/filepath"
	"testing"

	"github.com/session-interop/session-writer/internal/pgtest"
	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/sqlite"
)

var onPostgreSQL = flag.Bool("postgresql", false, "test on PostgreSQL, which make test-go installs, and not on SQLite")

// file returns a database file that is not there yet, so an empty one, or the URL of an
// empty database.
func file(t testing.TB) string {
	t.Helper()
	if *onPostgreSQL {
		return pgtest.URL(t)
	}
	return filepath.Join(t.TempDir(), "sessions.db")
}

// open opens a database as a process does.
func open(t testing.TB, path string) *sql.DB {
	t.Helper()
	var db *sql.DB
	var err error
	if *onPostgreSQL {
		db, err = postgresql.Open(path)
	} else {
		db, err = sqlite.Open(path, sqlite.Config{})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// connect returns the DB on a database.
func connect(db *sql.DB, limits Limits) *DB {
	if *onPostgreSQL {
		return NewPostgreSQL(db, limits)
	}
	return New(db, limits)
}

// onlySQLite skips a test that is of something which PostgreSQL has not.
func onlySQLite(t testing.TB, why string) {
	t.Helper()
	if *onPostgreSQL {
		t.Skip("only on SQLite: it is", why)
	}
}

// onlyPostgreSQL skips a test that is of something which SQLite has not: make test-go runs
// it.
func onlyPostgreSQL(t testing.TB, why string) {
	t.Helper()
	if !*onPostgreSQL {
		t.Skip("only on PostgreSQL: it is", why)
	}
}

// refuse makes a database refuse every write to its sessions.
func refuse(t testing.TB, db *sql.DB) (restore func()) {
	t.Helper()
	if !*onPostgreSQL {
		return refuseInSQLite(t, db)
	}
	exec(t, db, `CREATE OR REPLACE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$`)
	exec(t, db, `CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON records FOR EACH ROW EXECUTE FUNCTION refuse()`)
	return func() { exec(t, db, `DROP TRIGGER refuse ON records`) }
}

// commits returns how to count what others commit to a database.
func commits(t testing.TB, db *sql.DB) func() int {
	t.Helper()
	if *onPostgreSQL {
		return changes(t, db)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func() (version int) {
		if err := conn.QueryRowContext(context.Background(), `PRAGMA data_version`).Scan(&version); err != nil {
			t.Error(err)
		}
		return version
	}
}

// changes returns how to count the rows that are changed in PostgreSQL.
func changes(t testing.TB, db *sql.DB) func() int {
	t.Helper()
	exec(t, db, `CREATE TABLE changes (change TEXT)`)
	exec(t, db, `CREATE FUNCTION change() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN INSERT INTO changes VALUES (TG_OP); RETURN NULL; END $$`)
	for _, table := range []string{"sessions", "records"} {
		exec(t, db, `CREATE TRIGGER change AFTER INSERT OR UPDATE OR DELETE ON `+table+` FOR EACH ROW EXECUTE FUNCTION change()`)
	}
	return func() (n int) {
		if err := db.QueryRow(`SELECT count(*) FROM changes`).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
}
