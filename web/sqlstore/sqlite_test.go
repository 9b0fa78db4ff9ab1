//go:build !js

package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/sqlite"
)

// file returns a database file that is not there yet, so an empty one.
func file(t testing.TB) string { return filepath.Join(t.TempDir(), "sessions.db") }

// open opens a database file as a process does.
func open(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sqlite.Open(path, sqlite.Config{})
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

// A value that is saved again takes the place of the former.
func TestTheFileIsAsLargeAsWhatIsInIt(t *testing.T) {
	path := file(t)
	db := open(t, path)
	d := create(t, db, Limits{})
	const sessions, size = 20, 900_000
	for n := range 4 {
		for i := range sessions {
			value := strings.Repeat(fmt.Sprint(n), size)
			mustExchange(t, d, owner, fmt.Sprint("s", i), "", "["+item(past+int64(n), `"set":{"k":"`+value+`"}`)+"]")
		}
	}
	mustPrune(t, d, time.Now())
	if err := sqlite.Shrink(t.Context(), db, d.InTurn); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		taken += len(content)
	}
	if taken > sessions*size*11/10 {
		t.Errorf("%d bytes are taken by %d", taken, sessions*size)
	}
}
