//go:build !js

package sqlwriter

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/writertest"
)

const owner = "0123456789abcdef0123456789abcdef"

// file returns a database file that is not there yet.
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

func create(t testing.TB, db *sql.DB, limits Limits) *DB {
	t.Helper()
	d := New(db, limits)
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

// refuse makes a database refuse every write to its sessions.
func refuse(t testing.TB, db *sql.DB) (restore func()) {
	exec(t, db, `CREATE TRIGGER refuse_insert BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	exec(t, db, `CREATE TRIGGER refuse_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	return func() {
		exec(t, db, `DROP TRIGGER refuse_insert`)
		exec(t, db, `DROP TRIGGER refuse_update`)
	}
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

// Each Writer has the file open for itself, as each process would.
func TestSession(t *testing.T) {
	writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
		path := file(t)
		db := create(t, open(t, path), Limits{})
		return writertest.Harness{
			Open: func(ctx context.Context) (session.Writer, error) {
				return New(open(t, path), Limits{}).Open(ctx, owner, "cart")
			},
			Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
				s, err := db.Open(ctx, owner, "cart")
				if err != nil {
					return nil, err
				}
				return s.Load(ctx)
			},
			See:    func(context.Context, session.Writer) error { return nil }, // it always does
			Refuse: func() (restore func()) { return refuse(t, db.db) },
			Writes: commits(t, open(t, path)),
		}
	})
}
