//go:build !js

package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// forms are what servers of earlier versions have left, as .dump of sqlite3 tells
// it, and the ids of whose it is: of before there were records; of when they did not
// tell when they were made; of when there were no owners; of when versions were
// not recorded; and of the first one that was. In web/worker, they are those of D1.
var forms = map[string]string{
	"form1": owner, "form2": owner, "form3": owner, "form4": "c47c8e9dba6f852f575604e6a4ba5d1d",
	"form5": "c47c8e9dba6f852f575604e6a4ba5d1d",
}

// formFile returns a database file of a form, or an empty one.
func formFile(t *testing.T, form string) string {
	t.Helper()
	path := file(t)
	if form == "" {
		return path
	}
	onlySQLite(t, "of earlier versions")
	dump, err := os.ReadFile("testdata/" + form + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	// Opened as it used to be, without what web/sqlite has set since.
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, `PRAGMA journal_mode = WAL`)
	exec(t, db, string(dump))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

var quotes = regexp.MustCompile(`"(\w+)"`)

// schemaOf returns the statements that would make a database, by name.
func schemaOf(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	rows, err := db.Query(`SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := make(map[string]string)
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			t.Fatal(err)
		}
		all[name] = quotes.ReplaceAllString(statement, "$1")
	}
	return all
}

func TestWhatEarlierVersionsLeftIsMigrated(t *testing.T) {
	onlySQLite(t, "of earlier versions")
	fresh := open(t, file(t))
	create(t, fresh, Limits{})
	for form, owner := range forms {
		t.Run(form, func(t *testing.T) {
			db := open(t, formFile(t, form))
			d := create(t, db, Limits{})
			if got, want := schemaOf(t, db), schemaOf(t, fresh); !maps.Equal(got, want) {
				t.Errorf("it is\n%v\nand a new one is\n%v", got, want)
			}
			for range 2 {
				if !isKnown(t, d, owner) {
					t.Error("its owner is unknown")
				}
				var epoch string
				if err := db.QueryRow(`SELECT epoch FROM sessions WHERE name = '"cart"'`).Scan(&epoch); err != nil {
					t.Fatal(err)
				}
				if got := mustExchange(t, d, owner, "cart", epoch+"-1", ""); got.Item != "" {
					t.Errorf("who has all is given %+v", got)
				}
				got := mustExchange(t, d, owner, "cart", "", "")
				for _, want := range []string{`{"a":{"n":1e400}}`, `{"c":"é\u0000"}`, `"remove":["b"]`, `"clear":true`} {
					if !strings.Contains(got.Item, want) {
						t.Errorf("it gives %s, want %s", got.Item, want)
					}
				}
				if age := time.Since(time.UnixMilli(past)).Milliseconds() - got.Age; age < -1000 || age > 1000 {
					t.Errorf("it was saved %d ms later", age)
				}
				if got := mustExchange(t, d, owner, "wish", "", "").Item; !strings.Contains(got, `"set":{"w":[]}`) {
					t.Errorf("another gives %s", got)
				}
				if err := d.Create(t.Context()); err != nil {
					t.Errorf("to open it again: %v", err)
				}
			}
		})
	}
}

// Only before there were owners, whoever has a session is one: a program may know
// its users by something else than a cookie.
func TestWhoHasASessionIsNoOwnerByThat(t *testing.T) {
	db := open(t, file(t))
	d := create(t, db, Limits{})
	mustExchange(t, d, owner, "cart", "", "["+item(past, `"set":{"a":1}`)+"]")
	d = create(t, db, Limits{})
	if isKnown(t, d, owner) {
		t.Error("somebody's who was identified, and opened again, he has a cookie")
	}
}

func TestADatabaseOfALaterVersion(t *testing.T) {
	db := open(t, file(t))
	d := create(t, db, Limits{})
	exec(t, db, `INSERT INTO schema_versions VALUES (1000)`)
	if err := d.Create(t.Context()); !errors.Is(err, ErrLaterVersion) {
		t.Errorf("got %v, want ErrLaterVersion", err)
	}
}

func TestAMigrationThatIsInterruptedHasDoneNothing(t *testing.T) {
	for _, form := range []string{"form1", "form2", "form3"} {
		db := open(t, formFile(t, form))
		exec(t, db, `CREATE TABLE codes_owner (a)`) // in the way of an index, the last but one
		before := schemaOf(t, db)
		if err := connect(db, Limits{}).Create(t.Context()); err == nil {
			t.Errorf("%s: it did not fail", form)
		}
		if got := schemaOf(t, db); !maps.Equal(got, before) {
			t.Errorf("%s: it was\n%v\nand is\n%v", form, before, got)
		}
		exec(t, db, `DROP TABLE codes_owner`)
		create(t, db, Limits{})
	}
}

func TestSeveralProcessesMigrateAtOnce(t *testing.T) {
	for _, form := range []string{"", "form1", "form2", "form3", "form4", "form5"} {
		t.Run(form, func(t *testing.T) {
			for range 10 {
				path := formFile(t, form)
				var processes []*DB
				for range 4 {
					processes = append(processes, connect(open(t, path), Limits{}))
				}
				begin := make(chan struct{})
				var wg sync.WaitGroup
				for _, d := range processes {
					wg.Go(func() {
						<-begin
						if err := d.Create(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				close(begin)
				wg.Wait()
				for _, table := range []string{"records_before", "entries", "pairings"} {
					if *onPostgreSQL {
						break // which has no such
					}
					if n := count(t, processes[0], fmt.Sprintf("sqlite_master WHERE name = '%s'", table)); n != 0 {
						t.Errorf("%s is left", table)
					}
				}
			}
		})
	}
}

func TestEntriesAreMovedToRecords(t *testing.T) {
	db := open(t, formFile(t, "form1"))
	exec(t, db, `DELETE FROM entries`)
	exec(t, db, `DELETE FROM sessions`)
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
	if !isKnown(t, d, owner) {
		t.Error("the owner of before is unknown")
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
