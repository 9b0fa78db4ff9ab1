package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

func refuseInSQLite(t testing.TB, db *sql.DB) (restore func()) {
	exec(t, db, `CREATE TRIGGER refuse_insert BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	exec(t, db, `CREATE TRIGGER refuse_update BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	return func() {
		exec(t, db, `DROP TRIGGER refuse_insert`)
		exec(t, db, `DROP TRIGGER refuse_update`)
	}
}

// Each Writer has the database open for itself, as each process would.
func TestSession(t *testing.T) {
	writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
		path := file(t)
		db := create(t, open(t, path), Limits{})
		return writertest.Harness{
			Open: func(ctx context.Context) (session.Writer, error) {
				return connect(open(t, path), Limits{}).Open(ctx, owner, "cart")
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
