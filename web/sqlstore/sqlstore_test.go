package sqlstore

import (
	"database/sql"
	"testing"
)

// Which database this is on says a file with its name: native_test.go, for SQLite and
// PostgreSQL, or d1_js_test.go.

const owner = "0123456789abcdef0123456789abcdef"

func create(t testing.TB, db *sql.DB, limits Limits) *DB {
	t.Helper()
	d := connect(db, limits)
	if err := d.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func exec(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}
