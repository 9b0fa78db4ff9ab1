package sqlstore

import (
	"database/sql"
	"testing"

	"github.com/syumai/workers/cloudflare/d1"
)

// file empties the one database that there is, which web/worker/exec.js binds,
// and returns its name. So no test may run beside another here.
func file(t testing.TB) string {
	t.Helper()
	const name = "DB"
	db := open(t, name)
	for _, table := range []string{"schema_versions", "sessions", "records", "owners", "codes", "devices", "changes"} {
		exec(t, db, `DROP TABLE IF EXISTS `+table)
	}
	return name
}

// open opens a database as each request to the Worker does.
func open(t testing.TB, name string) *sql.DB {
	t.Helper()
	connector, err := d1.OpenConnector(name)
	if err != nil {
		t.Fatal(err)
	}
	return sql.OpenDB(connector)
}

// connect returns the DB on a database.
func connect(db *sql.DB, limits Limits) *DB { return New(db, limits) }

// onlySQLite skips a test that is of something which PostgreSQL has not.
func onlySQLite(testing.TB, string) {}

// refuse makes a database refuse every write to its sessions.
func refuse(t testing.TB, db *sql.DB) (restore func()) { return refuseInSQLite(t, db) }

// commits returns how to count what is changed in a database.
func commits(t testing.TB, db *sql.DB) func() int {
	t.Helper()
	exec(t, db, `CREATE TABLE changes (change TEXT)`)
	for _, table := range []string{"sessions", "records"} {
		for _, change := range []string{"INSERT", "UPDATE", "DELETE"} {
			exec(t, db, `CREATE TRIGGER `+table+`_`+change+` AFTER `+change+` ON `+table+
				` BEGIN INSERT INTO changes VALUES ('`+change+`'); END`)
		}
	}
	return func() (n int) {
		if err := db.QueryRow(`SELECT count(*) FROM changes`).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
}
