package sqlstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/session-interop/session-writer"
)

// A backup of the database is put back.
func TestRestored(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	sessions := []string{"cart", "wish"}
	kept, lost := item(past, `"set":{"kept":1}`), item(past+1, `"set":{"lost":1}`)
	var one [2]Exchanged
	for _, name := range sessions {
		mustExchange(t, d, owner, name, "", "["+kept+"]")
	}
	exec(t, d.db, `CREATE TABLE backup_sessions AS SELECT * FROM sessions`)
	exec(t, d.db, `CREATE TABLE backup_records AS SELECT * FROM records`)
	for i, name := range sessions {
		one[i] = mustExchange(t, d, owner, name, "", "["+lost+"]")
	}
	for _, table := range []string{"sessions", "records"} {
		exec(t, d.db, `DELETE FROM `+table)
		exec(t, d.db, `INSERT INTO `+table+` SELECT * FROM backup_`+table)
		exec(t, d.db, `DROP TABLE backup_`+table)
	}

	if n, err := d.Restored(t.Context()); err != nil || n != 2 {
		t.Errorf("Restored: %d, %v, want 2", n, err)
	}
	epochs := make(map[string]bool)
	for i, name := range sessions {
		// Others go on meanwhile, so that the versions are again what they were.
		two := mustExchange(t, d, owner, name, "", "["+item(past+2, `"set":{"two":1}`)+"]")
		epoch, version, _ := strings.Cut(two.Cursor, "-")
		epochs[epoch] = true
		if _, had, _ := strings.Cut(one[i].Cursor, "-"); version < had || len(epoch) != 16 {
			t.Fatalf("the cursor was %s and is %s", one[i].Cursor, two.Cursor)
		}
		if _, err := exchange(t.Context(), d, owner, name, one[i].Cursor, ""); !errors.Is(err, session.ErrCursor) {
			t.Errorf("the cursor of before: %v, want ErrCursor", err)
		}
		mustExchange(t, d, owner, name, "", "["+kept+","+lost+"]")
		if got := mustExchange(t, d, owner, name, two.Cursor, "").Item; got != merged(t, []string{lost}) {
			t.Errorf("who was there since is given %s, want %s", got, lost)
		}
	}
	if len(epochs) != 2 {
		t.Errorf("the sessions have one epoch: %v", epochs)
	}
}
