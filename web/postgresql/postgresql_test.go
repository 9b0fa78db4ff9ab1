//go:build !js

package postgresql

import (
	"strings"
	"testing"

	"github.com/session-interop/session-writer/internal/pgtest"
)

func TestOpen(t *testing.T) {
	address := pgtest.URL(t)
	for more, want := range map[string]string{"": "10s", "&lock_timeout=3s": "3s"} {
		db, err := Open(address + more)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		var timeout string
		if err := db.QueryRow(`SHOW lock_timeout`).Scan(&timeout); err != nil || timeout != want {
			t.Errorf("with %q, it waits %s for a lock, %v, want %s", more, timeout, err, want)
		}
		if n := db.Stats().MaxOpenConnections; n != maxConns {
			t.Errorf("there are %d connections at most, want %d", n, maxConns)
		}
	}
}

// Whatever the password has in it, and however wrong the rest is.
func TestNoErrorHasThePassword(t *testing.T) {
	for _, address := range []string{
		"",
		"sessions.db",
		"mysql://user:secret@host/database",
		"user:secret@host/database",
		"postgres://user:secret@host:port/database",
		"postgres://user:secret@host/database?sslmode=bogus",
		"postgres://user:secret@host/database?sslmode=verify-full&sslrootcert=/missing",
		"postgres://user@host/database?password=secret&sslmode=bogus",
		"postgres://user:/secret@host/database",
		"postgres://user:?secret@host/database",
		"postgres://user:#secret@host/database",
		"postgres://user:12/secret@host/database",
		"postgres://user:12?secret@host/database",
		"postgres://user:12#secret@host/database",
		"postgres://user:%secret@host/database",
		"postgres://user:[secret@host/database",
	} {
		db, err := Open(address)
		if err == nil {
			_ = db.Close()
			t.Errorf("%s: no error", address)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error has the password: %v", address, err)
		}
	}
}
