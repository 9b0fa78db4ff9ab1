//go:build !js

package sqlwriter

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/session-interop/session-writer/web/sqlite"
)

// file returns a database file that is not there yet, so an empty one.
func file(t testing.TB) string { return filepath.Join(t.TempDir(), "sessions.db") }

// open opens a database file as a process does.
func open(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// commits returns how to count what others commit to a database.
func commits(t testing.TB, db *sql.DB) func() int {
	t.Helper()
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
