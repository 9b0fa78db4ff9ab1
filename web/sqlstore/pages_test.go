//go:build !js

package sqlstore

import (
	"database/sql"
	"fmt"
	"maps"
	"strings"
	"testing"

	"modernc.org/sqlite"
)

// pagesRead returns how many pages were read from a database file, beyond those
// in the memory of its one connection.
func pagesRead(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Raw(func(c any) (err error) {
		n, _, err = c.(sqlite.DBStatus).Status(sqlite.DBStatusCacheMiss, false)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// What is large is not read for the sake of what is small.
func TestNeighboursAreNotRead(t *testing.T) {
	onlySQLite(t, "of its pages")
	const neighbours = 40
	path := file(t)
	d := create(t, open(t, path), Limits{})
	large := strings.Repeat("x", 900_000)
	for i := range neighbours {
		name := fmt.Sprint([]string{"a", "z"}[i%2], i) // on both sides
		mustExchange(t, d, owner, name, "", "["+item(past, `"set":{"large":"`+large+`"}`)+"]")
	}
	mustExchange(t, d, owner, "cart", "", "["+item(past, `"set":{"a":1}`)+"]")

	again := connect(open(t, path), Limits{})
	cursor := mustExchange(t, again, owner, "cart", "", "").Cursor
	mustExchange(t, again, owner, "cart", cursor, "["+item(past+1, `"set":{"b":2},"remove":["c"]`)+"]")
	mustExchange(t, again, owner, "cart", cursor, "["+item(past+2, `"clear":true,"set":{"d":2}`)+"]")
	s, err := again.Open(t.Context(), owner, "cart")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), maps.All(map[string]any{"e": 3})); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("loaded %s, %v, want two entries", got, err)
	}
	// One large value has 220 pages.
	if n := pagesRead(t, again.db); n > 100 {
		t.Errorf("%d pages were read, want a few", n)
	}
}
