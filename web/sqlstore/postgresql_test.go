//go:build !js

package sqlstore

import (
	"net/url"
	"strings"
	"testing"

	"github.com/session-interop/session-writer/internal/pgtest"
)

// elsewhere returns the URL with another part of its own.
func elsewhere(t *testing.T, address string, change func(*url.URL)) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	change(parsed)
	return parsed.String()
}

func TestADatabaseThatIsNotInUTF8(t *testing.T) {
	if !*onPostgreSQL {
		t.Skip("only on PostgreSQL")
	}
	address := pgtest.URL(t)
	exec(t, open(t, address), `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0`)
	latin := elsewhere(t, address, func(u *url.URL) { u.Path = "/latin" })
	if err := connect(open(t, latin), Limits{}).Create(t.Context()); err == nil || !strings.Contains(err.Error(), "LATIN1") {
		t.Errorf("got %v, want an error that names the encoding", err)
	}
}

// What a server of the first version has left, whose cookies had owners' ids.
func TestPostgreSQLIsMigrated(t *testing.T) {
	onlyPostgreSQL(t, "of its own versions")
	db := open(t, file(t))
	for _, statement := range statements(postgresqlSchema, "schema/postgresql/1.sql") {
		exec(t, db, statement)
	}
	exec(t, db, `INSERT INTO owners VALUES ('`+digest(owner)+`', '2026-11-25T22:23:37Z', '2026-11-25')`)
	exec(t, db, `INSERT INTO sessions VALUES ('`+digest(owner)+`', '"cart"', 'e', 1, '2026-11-25')`)
	d := create(t, db, Limits{})
	if !isKnown(t, d, owner) {
		t.Error("its owner is unknown")
	}
	if devices, err := d.Devices(t.Context(), owner, "", Lifetimes{}); err != nil || len(devices) != 1 {
		t.Errorf("he has the devices %+v, %v", devices, err)
	}
	mustExchange(t, d, owner, "cart", "e-1", "")
}

// Who may only read and write what is in the tables can use them once they are there.
func TestAUserWhoMayMakeNoTables(t *testing.T) {
	if !*onPostgreSQL {
		t.Skip("only on PostgreSQL")
	}
	address := pgtest.URL(t)
	db := open(t, address)
	exec(t, db, `CREATE ROLE clerk LOGIN`)
	var schema string
	if err := db.QueryRow(`SELECT current_schema()`).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `GRANT USAGE ON SCHEMA `+schema+` TO clerk`)
	clerk := connect(open(t, elsewhere(t, address, func(u *url.URL) { u.User = url.User("clerk") })), Limits{})
	if err := clerk.Create(t.Context()); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("without tables: %v, want that it is denied", err)
	}
	create(t, db, Limits{})
	exec(t, db, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA `+schema+` TO clerk`)
	if err := clerk.Create(t.Context()); err != nil {
		t.Error(err)
	}
	mustExchange(t, clerk, owner, "cart", "", "["+had+"]")
}
