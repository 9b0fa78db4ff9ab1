package sqlwriter

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"

	"github.com/syumai/workers/cloudflare/d1"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

const owner = "0123456789abcdef0123456789abcdef"

// open opens the D1 database that web/worker/exec.js binds, as each request to
// the Worker does.
func open(t testing.TB) *sql.DB {
	t.Helper()
	connector, err := d1.OpenConnector("DB")
	if err != nil {
		t.Fatal(err)
	}
	return sql.OpenDB(connector)
}

// fresh returns it with nothing in it but the tables.
func fresh(t testing.TB, limits Limits) *DB {
	t.Helper()
	db := open(t)
	for _, table := range []string{"sessions", "entries", "pairings"} {
		exec(t, db, `DROP TABLE IF EXISTS `+table)
	}
	d := New(db, limits)
	if err := d.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func exec(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
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

// changes makes a database count what is changed in it, and returns how to
// read that.
func changes(t testing.TB, db *sql.DB) func() int {
	t.Helper()
	exec(t, db, `DROP TABLE IF EXISTS changes`)
	exec(t, db, `CREATE TABLE changes (change INTEGER)`)
	for _, table := range []string{"sessions", "entries"} {
		for _, change := range []string{"INSERT", "UPDATE", "DELETE"} {
			exec(t, db, `CREATE TRIGGER count_`+change+`_`+table+` AFTER `+change+` ON `+table+
				` BEGIN INSERT INTO changes VALUES (1); END`)
		}
	}
	return func() (n int) {
		if err := db.QueryRow(`SELECT count(*) FROM changes`).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
}

func TestSession(t *testing.T) {
	writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
		db := fresh(t, Limits{})
		return writertest.Harness{
			Open: func(ctx context.Context) (session.Writer, error) {
				return New(open(t), Limits{}).Open(ctx, owner, "cart")
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
			Writes: changes(t, db.db),
		}
	})
}
