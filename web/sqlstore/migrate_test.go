package sqlstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
)

// schema1 is the schema of before there were records.
const schema1 = `
CREATE TABLE IF NOT EXISTS sessions (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  epoch TEXT NOT NULL,
  version INTEGER NOT NULL,
  used TEXT NOT NULL,
  PRIMARY KEY (owner, name)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS sessions_used ON sessions (used);

CREATE TABLE IF NOT EXISTS entries (
  owner TEXT NOT NULL,
  session TEXT NOT NULL,
  key TEXT NOT NULL,
  stamp TEXT NOT NULL,
  value TEXT,
  version INTEGER NOT NULL,
  PRIMARY KEY (owner, session, key),
  CONSTRAINT entries_limit CHECK (version <> -1),
  CONSTRAINT bytes_limit CHECK (version <> -2),
  CONSTRAINT session_gone CHECK (version <> -3)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS entries_version ON entries (owner, session, version);

CREATE INDEX IF NOT EXISTS entries_removed ON entries (stamp) WHERE value IS NULL;

CREATE TABLE IF NOT EXISTS pairings (
  code TEXT NOT NULL PRIMARY KEY,
  sealed TEXT NOT NULL,
  expires TEXT NOT NULL
) WITHOUT ROWID;`

func TestADatabaseOfBeforeIsMoved(t *testing.T) {
	path := file(t)
	db := open(t, path)
	for statement := range strings.SplitSeq(schema1, "\n\n") {
		exec(t, db, statement)
	}
	of, err := newID(owner, "cart")
	if err != nil {
		t.Fatal(err)
	}
	row := func(session, key, stamp, value, version string) string {
		return "('" + of.owner + "', '" + session + "', '" + key + "', '" + stamp + "', " + value + ", " + version + ")"
	}
	ahead := time.Now().Add(time.Hour).UnixMilli()
	exec(t, db, `INSERT INTO sessions VALUES ('`+of.owner+`', '"cart"', '0123456789abcdef', 0, '2023-11-14'),
		('`+of.owner+`', '"ahead"', '0123456789abcdef', 7, '2023-11-14')`)
	exec(t, db, `INSERT INTO entries VALUES `+strings.Join([]string{
		row(`"cart"`, ``, stamp(past, 0), "NULL", "1"),
		row(`"cart"`, `"a"`, stamp(past+1, 0), "'{\"n\":1e400}'", "2"),
		row(`"cart"`, `"b"`, stamp(past+3, 0), "NULL", "3"),
		row(`"cart"`, `"c"`, stamp(past+2, 0), "'2'", "4"),
		row(`"ahead"`, `"a"`, stamp(ahead, 0), "'1'", "1"),
	}, ", "))

	d := create(t, db, Limits{})
	create(t, db, Limits{})
	for query, want := range map[string]int{"sessions": 2, "records": 7, "owners": 1, "sqlite_master WHERE name = 'pairings'": 0, "sqlite_master WHERE name LIKE 'entries%'": 0} {
		if n := count(t, d, query); n != want {
			t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
	if known, err := d.HasOwner(t.Context(), owner); err != nil || !known {
		t.Errorf("the owner of before is known: %t, %v", known, err)
	}
	got := mustExchange(t, d, owner, "cart", "0123456789abcdef-2", "["+item(past+9, `"set":{"d":1}`)+"]")
	if want := merged(t, []string{item(past+2, `"set":{"c":2}`), item(past+3, `"remove":["b"]`)}); got.Item != want || got.Cursor != "0123456789abcdef-5" {
		t.Errorf("from an old cursor: %+v, want %s", got, want)
	}
	want := merged(t, []string{item(past, `"clear":true`), item(past+1, `"set":{"a":{"n":1e400}}`), item(past+2, `"set":{"c":2}`),
		item(past+3, `"remove":["b"]`), item(past+9, `"set":{"d":1}`)})
	create(t, db, Limits{})
	if got := mustExchange(t, d, owner, "cart", "", ""); got.Item != want {
		t.Errorf("from the start: %s, want %s", got.Item, want)
	}
	if saved := time.Since(time.UnixMilli(past + 9)).Milliseconds(); got.Age < saved-60_000 || got.Age > saved {
		t.Errorf("somebody saved %d ms ago, want %d", got.Age, saved)
	}
	if got := mustExchange(t, d, owner, "ahead", "0123456789abcdef-7", ""); got.Item != "" || got.Age > 60_000 {
		t.Errorf("what is from the future: %+v, want nothing new, and that it was saved just now", got)
	}

	// A removal is remembered as long from now as one that is merged now.
	mustPrune(t, d, time.Now().Add(KeptFor-24*time.Hour))
	if n := count(t, d, `records WHERE key = '"b"'`); n != 1 {
		t.Error("the removal is forgotten too early")
	}
}

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

// A database of when records did not tell when they were made.
func TestRecordsThatWereNotTimedAreMoved(t *testing.T) {
	db := open(t, file(t))
	for _, statement := range []string{
		`CREATE TABLE sessions (owner TEXT NOT NULL, name TEXT NOT NULL, epoch TEXT NOT NULL, version INTEGER NOT NULL, used TEXT NOT NULL, PRIMARY KEY (owner, name)) WITHOUT ROWID`,
		`CREATE TABLE records (owner TEXT NOT NULL, session TEXT NOT NULL, key TEXT NOT NULL, stamp TEXT NOT NULL, version INTEGER NOT NULL, merged TEXT NOT NULL, value TEXT, PRIMARY KEY (owner, session, key))`,
		`CREATE INDEX records_version ON records (owner, session, version)`,
		`CREATE INDEX records_ended ON records (merged) WHERE key = 'ended'`,
		`INSERT INTO sessions VALUES ('` + digest(owner) + `', '"cart"', 'e', 0, '2026-11-25')`,
		`INSERT INTO records VALUES ('` + digest(owner) + `', '"cart"', '"a"', '` + stamp(past, 0) + `', 1, '2026-11-25', '1'),
			('` + digest(owner) + `', '"cart"', 'newest', '` + stamp(past, 0) + `', 1, '2026-11-25', '` + madeText(past) + `'),
			('` + digest(owner) + `', '"cart"', 'ended', '` + stamp(past, 0) + `', 1, '2026-11-25', NULL)`,
	} {
		exec(t, db, statement)
	}
	d := create(t, db, Limits{})
	for range 2 {
		if err := d.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := mustExchange(t, d, owner, "cart", "e-1", "").Item; got != "" {
			t.Errorf("who had it is given %s", got)
		}
		if got := mustExchange(t, d, owner, "cart", "", "").Item; got != item(past, `"set":{"a":1}`) {
			t.Errorf("it has %s", got)
		}
	}
	if n := count(t, d, `sqlite_master WHERE name IN ('records_version', 'records_before')`); n != 1 {
		t.Errorf("there are %d of the index and the former table, want the index", n)
	}
}
