//go:build !js

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
)

// Two processes merge into one session. Who follows it is given each batch whole, and
// misses none.
func TestWhoFollowsASessionIsGivenEachBatchWhole(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	path := file(t)
	processes := []*DB{create(t, open(t, path), Limits{}), connect(open(t, path), Limits{})}
	const writers, rounds, followers, keys = 8, 40, 6, 4
	mustExchange(t, processes[0], owner, "cart", "", "["+item(past, `"set":{"had":1}`)+"]")

	var writing, reading sync.WaitGroup
	for w := range writers {
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		writing.Go(func() {
			for n := range rounds {
				// Some of its own, and one that all others save, too.
				set := []string{fmt.Sprintf(`"all":"%d/%d"`, w, n)}
				for k := range keys {
					set = append(set, fmt.Sprintf(`"%d/%d/%d":%[2]d`, w, n, k))
				}
				text := fmt.Sprintf(`[{"format":1,"batches":[{"stamp":"%s","set":{%s}}]}]`,
					stamp(past+random.Int64N(rounds), 1+w*rounds+n), strings.Join(set, ","))
				if _, err := exchange(t.Context(), processes[w%2], owner, "cart", "", text); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	ends := make([]string, followers) // the value of all that each has at last
	for r := range followers {
		reading.Go(func() {
			seen := make(map[string]bool)
			var cursor string
			var version int64
			var all engine.Record
			for last := false; ; {
				got, err := exchange(t.Context(), processes[r%2], owner, "cart", cursor, "")
				if err != nil {
					t.Error(err)
					return
				}
				at, ok := parseCursor(got.Cursor)
				if !ok || at.version < version {
					t.Errorf("after version %d comes %s", version, got.Cursor)
				}
				cursor, version = got.Cursor, at.version
				if got.Item != "" {
					said, _, err := engine.ParseItems("[" + got.Item + "]")
					if err != nil {
						t.Error(err)
					}
					parts := make(map[string]int)
					for _, record := range said.Records {
						if record.Key == "all" {
							if record.Stamp < all.Stamp {
								t.Errorf("after %v comes %v", all, record)
							}
							all = record
						} else if batch := record.Key[:strings.LastIndex(record.Key, "/")+1]; batch != "" {
							parts[batch]++
						}
					}
					for batch, n := range parts {
						if n != keys || seen[batch] {
							t.Errorf("of the batch %s there are %d entries, want %d once", batch, n, keys)
						}
						seen[batch] = true
					}
				}
				if last {
					break
				}
				select {
				case <-written:
					last = true
				default:
				}
			}
			if len(seen) != writers*rounds {
				t.Errorf("who follows has %d of %d batches", len(seen), writers*rounds)
			}
			ends[r] = string(all.Stamp) + all.Value
		})
	}
	writing.Wait()
	close(written)
	reading.Wait()
	for _, end := range ends {
		if end != ends[0] {
			t.Errorf("they end with different values: %q", ends)
		}
	}
}

// blocked waits until call is done, or is the last of so many that wait for a lock in
// PostgreSQL. It returns how to wait until it is done.
func blocked(t *testing.T, db *sql.DB, waiters int, call func() error) (wait func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := call(); err != nil {
			t.Error(err)
		}
	}()
	for waiting := 0; waiting < waiters; {
		select {
		case <-done:
			return func() {}
		case <-time.After(time.Millisecond):
		}
		const ask = `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'`
		if err := db.QueryRow(ask).Scan(&waiting); err != nil {
			t.Error(err)
			break
		}
	}
	return func() { <-done }
}

// inTransactions calls exchange with DBs of places that prepare makes, and has meanwhile
// called within their transactions: after the first statement in one, after the second in
// the next, until there are no more. It is called with another DB.
func inTransactions(t *testing.T, prepare func(d *DB), exchange func(d *DB) error, meanwhile func(d *DB) error, check func(d *DB)) {
	t.Helper()
	onlyPostgreSQL(t, "of transactions")
	for statement := 0; ; statement++ {
		path := file(t)
		other := create(t, open(t, path), Limits{})
		prepare(other)
		n, called, wait := 0, false, func() {}
		hooked := connect(openBetween(t, path, func(within bool) {
			if !within {
				return
			}
			if n == statement {
				called = true
				wait = blocked(t, other.db, 1, func() error { return meanwhile(other) })
			}
			n++
		}), Limits{})
		if err := exchange(hooked); err != nil {
			t.Errorf("after statement %d: %v", statement, err)
		}
		wait()
		if !called {
			if statement < 2 {
				t.Errorf("there were %d statements in transactions", statement)
			}
			return
		}
		check(other)
	}
}

// One merges while another has merged, and has not committed it yet.
func TestNothingIsMissedOfWhatIsCommittedLater(t *testing.T) {
	for _, theirs := range []string{
		item(past+3, `"set":{"theirs":1}`),
		item(past-1, `"set":{"theirs":1}`), // which is not the newest, so it writes no row that the other writes
	} {
		for _, ours := range []string{item(past+2, `"set":{"ours":1}`), item(past+2, `"clear":true,"set":{"ours":1}`)} {
			var follower string
			var given []string
			follow := func(d *DB) error {
				got, err := exchange(t.Context(), d, owner, "cart", follower, "")
				if follower = got.Cursor; got.Item != "" {
					given = append(given, got.Item)
				}
				return err
			}
			inTransactions(t,
				func(d *DB) {
					follower, given = "", nil
					mustExchange(t, d, owner, "cart", "", "["+had+"]")
					if err := follow(d); err != nil {
						t.Fatal(err)
					}
				},
				func(d *DB) error {
					_, err := exchange(t.Context(), d, owner, "cart", "", "["+ours+"]")
					return err
				},
				func(d *DB) error {
					_, err := exchange(t.Context(), d, owner, "cart", "", "["+theirs+"]")
					return errors.Join(err, follow(d))
				},
				func(d *DB) {
					if err := follow(d); err != nil {
						t.Fatal(err)
					}
					if got, want := merged(t, given), merged(t, []string{had, ours, theirs}); got != want {
						t.Errorf("who follows has %s, want %s", got, want)
					}
				})
		}
	}
}

// Sessions, codes and owners are counted while others are added.
func TestLimitsHoldForAllProcessesTogether(t *testing.T) {
	const limit, calls = 5, 40
	limits := Limits{Sessions: limit, Codes: limit, Owners: limit, Devices: limit}
	for name, test := range map[string]struct {
		add     func(d *DB, n int) error
		refused error
		table   string
	}{
		"sessions": {func(d *DB, n int) error {
			_, err := exchange(t.Context(), d, owner, fmt.Sprint(n), "", "["+had+"]")
			return err
		}, session.ErrQuota, "sessions"},
		"codes": {func(d *DB, n int) error { _, _, err := d.Pair(t.Context(), owner); return err }, session.ErrQuota, "codes"},
		"devices": {func(d *DB, n int) error {
			_, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: fmt.Sprint(n)})
			return err
		}, ErrDevices, "devices"},
		"owners": {func(d *DB, n int) error { return d.AddOwner(t.Context(), fmt.Sprint(n)) }, ErrBusy, "owners"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			processes := []*DB{create(t, open(t, path), limits), connect(open(t, path), limits)}
			var added atomic.Int32
			var wg sync.WaitGroup
			for n := range calls {
				wg.Go(func() {
					switch err := test.add(processes[n%2], n); {
					case err == nil:
						added.Add(1)
					case !errors.Is(err, test.refused):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := count(t, processes[0], test.table); n != limit || added.Load() != limit {
				t.Errorf("there are %d, and %d were added, want %d", n, added.Load(), limit)
			}
		})
	}
}

// The last code that there may be is added in another process as one is added here.
func TestALimitHoldsWhileOthersAreCounted(t *testing.T) {
	const limit = 10 // of codes
	pair := func(d *DB) error {
		_, _, err := d.Pair(t.Context(), owner)
		if errors.Is(err, session.ErrQuota) {
			return nil
		}
		return err
	}
	inTransactions(t, func(d *DB) {
		for range limit - 1 {
			if err := pair(d); err != nil {
				t.Fatal(err)
			}
		}
	}, pair, pair, func(d *DB) {
		if n := count(t, d, "codes"); n != limit {
			t.Errorf("there are %d codes, want %d", n, limit)
		}
	})
}

// A session that nobody used for long is used as it is deleted.
func TestASessionIsUsedWhileUnusedOnesAreDeleted(t *testing.T) {
	onlyPostgreSQL(t, "of transactions")
	d := create(t, open(t, file(t)), Limits{})
	if err := d.AddOwner(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	mustExchange(t, d, owner, "cart", "", "["+had+"]")
	for _, table := range []string{"sessions", "owners"} {
		exec(t, d.db, `UPDATE `+table+` SET used = '2020-01-01'`)
		tx, err := d.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(`UPDATE ` + table + ` SET used = '2999-01-01'`); err != nil {
			t.Fatal(err)
		}
		wait := blocked(t, d.db, 1, func() error { return d.Prune(t.Context(), time.Now()) })
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		wait()
		if n := count(t, d, table); n != 1 {
			t.Errorf("of %s there are %d, want the one that is used", table, n)
		}
		exec(t, d.db, `DELETE FROM sessions`) // for owners, who have none
	}
}

// A session is begun anew while the records are deleted that it had before it was gone.
func TestASessionIsBegunAnewWhileWhatIsLeftIsDeleted(t *testing.T) {
	begin := func(d *DB) error {
		_, err := exchange(t.Context(), d, owner, "cart", "", "["+item(past+5, `"set":{"had":2}`)+"]")
		return err
	}
	orphans := func(d *DB) {
		mustExchange(t, d, owner, "cart", "", "["+had+"]")
		exec(t, d.db, `DELETE FROM sessions`)
	}
	check := func(d *DB) {
		t.Helper()
		if got, want := mustExchange(t, d, owner, "cart", "", "").Item, item(past+5, `"set":{"had":2}`); got != want {
			t.Errorf("it has %s, want %s", got, want)
		}
		if n := count(t, d, "sessions"); n != 1 {
			t.Errorf("there are %d sessions, want one", n)
		}
	}
	t.Run("between statements", func(t *testing.T) {
		for statement := 0; ; statement++ {
			path := file(t)
			d := create(t, open(t, path), Limits{})
			orphans(d)
			hooked, called := openHooked(t, path, Limits{}, statement, false, func(*DB) {
				if err := begin(d); err != nil {
					t.Error(err)
				}
			})
			mustPrune(t, hooked, time.Now())
			if !*called {
				return
			}
			check(d)
		}
	})
	t.Run("in a statement", func(t *testing.T) {
		onlyPostgreSQL(t, "of what comes during a statement")
		d := create(t, open(t, file(t)), Limits{})
		mustExchange(t, d, owner, "cart", "", "["+item(past-1, `"set":{"a":1}`)+"]")
		orphans(d)
		tx, err := d.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		// Another reads what comes before, so that the deletion goes on only later.
		if _, err := tx.Exec(`SELECT 1 FROM records WHERE key <> '"had"' FOR UPDATE`); err != nil {
			t.Fatal(err)
		}
		pruned := blocked(t, d.db, 1, func() error { return d.Prune(t.Context(), time.Now()) })
		begun := blocked(t, d.db, 2, func() error { return begin(d) })
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		pruned()
		begun()
		check(d)
	})
}

func TestSeveralProcessesPruneAtOnce(t *testing.T) {
	path := file(t)
	processes := []*DB{create(t, open(t, path), Limits{}), connect(open(t, path), Limits{}), connect(open(t, path), Limits{})}
	for i := range 300 {
		old := fmt.Sprintf(`('%s', '"s%d"', '', 0, '2020-01-01')`, digest(fmt.Sprint(i)), i)
		exec(t, processes[0].db, `INSERT INTO sessions (owner, name, epoch, version, used) VALUES `+old)
	}
	var wg sync.WaitGroup
	for _, d := range processes {
		wg.Go(func() {
			for range 3 {
				mustPrune(t, d, time.Now())
			}
		})
	}
	wg.Wait()
	if n := count(t, processes[0], "sessions"); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// failing has PostgreSQL refuse the next merges with a code.
func failing(t *testing.T, db *sql.DB, code string, times int) {
	t.Helper()
	exec(t, db, `DROP SEQUENCE IF EXISTS failed`)
	exec(t, db, `CREATE SEQUENCE failed`) // which a transaction that fails counts up, too
	exec(t, db, fmt.Sprintf(`CREATE OR REPLACE FUNCTION fail() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('failed') <= %d THEN RAISE EXCEPTION 'refused' USING ERRCODE = '%s'; END IF; RETURN NULL; END $$`, times, code))
	exec(t, db, `CREATE OR REPLACE TRIGGER fail AFTER INSERT OR UPDATE ON records EXECUTE FUNCTION fail()`)
}

func TestWhatPostgreSQLRefuses(t *testing.T) {
	onlyPostgreSQL(t, "of its codes")
	d := create(t, open(t, file(t)), Limits{})
	const always = 1000
	for _, test := range []struct {
		code  string
		times int
		means error
	}{
		{serializationFailure, 1, nil},
		{deadlock, 2, nil},
		{serializationFailure, always, ErrBusy},
		{deadlock, always, ErrBusy},
		{lockTimeout, always, ErrBusy},
		{tooManyConnections, always, ErrBusy},
		{diskFull, always, session.ErrFull},
	} {
		failing(t, d.db, test.code, test.times)
		_, err := exchange(t.Context(), d, owner, "cart", "", "["+had+"]")
		if !errors.Is(err, test.means) {
			t.Errorf("%s, %d times: %v, want %v", test.code, test.times, err, test.means)
		}
		if n, want := count(t, d, "records"), map[bool]int{true: 2}[err == nil]; n != want {
			t.Errorf("%s: there are %d records, want %d", test.code, n, want)
		}
		exec(t, d.db, `DELETE FROM records`)
	}
}

// A machine that is gone may hold a lock for some time.
func TestALockThatIsHeldForLong(t *testing.T) {
	onlyPostgreSQL(t, "of its locks")
	path := file(t)
	d := create(t, open(t, path), Limits{})
	mustExchange(t, d, owner, "cart", "", "["+had+"]")
	tx, err := d.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec(`SELECT 1 FROM sessions FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	impatient := connect(open(t, path+"&lock_timeout=20ms"), Limits{})
	if _, err := exchange(t.Context(), impatient, owner, "cart", "", "["+ours+"]"); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	if got := mustExchange(t, impatient, owner, "cart", "", "").Item; got != merged(t, []string{had}) {
		t.Errorf("who only reads is given %s", got)
	}
}

// A server that is stopped ends its connections.
func TestAConnectionEndsDuringAnExchange(t *testing.T) {
	onlyPostgreSQL(t, "of connections")
	for statement := 0; ; statement++ {
		path := file(t)
		d := create(t, open(t, path), Limits{})
		hooked, called := openHooked(t, path, Limits{}, statement, true, func(*DB) {
			exec(t, d.db, `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		})
		first, err := exchange(t.Context(), hooked, owner, "cart", "", "["+ours+"]")
		if !*called {
			if statement < 4 {
				t.Errorf("there were %d statements", statement)
			}
			return
		}
		for _, wrong := range []error{session.ErrQuota, session.ErrCursor, session.ErrConfig, ErrMalformed} {
			if errors.Is(err, wrong) {
				t.Errorf("after statement %d: %v", statement, err)
			}
		}
		// On the same DB, which connects again.
		got := mustExchange(t, hooked, owner, "cart", first.Cursor, "["+ours+"]")
		if want := merged(t, []string{ours}); err != nil && got.Item != want || err == nil && got.Cursor != first.Cursor {
			t.Errorf("after statement %d: %v, and then %+v", statement, err, got)
		}
	}
}

// A name or a key may be longer than an entry of an index.
func TestLongNamesAndKeys(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	random := rand.New(rand.NewPCG(1, 2)) // so that nothing makes them shorter
	text := func(n int) string {
		letters := make([]byte, n)
		for i := range letters {
			letters[i] = byte(1 + random.IntN(31)) // each six bytes of JSON
		}
		return string(letters)
	}
	keys := []string{text(16 << 10 / 6), text(16 << 10 / 6), strings.Repeat("k", 16<<10)}
	for _, name := range []string{text(maxName), text(maxName), strings.Repeat(`"`, maxName)} {
		s, err := d.Open(t.Context(), owner, name)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			err := s.Save(context.Background(), func(yield func(string, any) bool) {
				for i, key := range keys {
					if !yield(key, n+i) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		loaded, err := s.Load(t.Context())
		if err != nil || len(loaded) != len(keys) {
			t.Errorf("loaded %d entries, %v, want %d", len(loaded), err, len(keys))
		}
		for i, key := range keys {
			var value int
			if found, err := s.Get(t.Context(), key, &value); !found || err != nil || value != 1+i {
				t.Errorf("key %d: %t, %v, %d", i, found, err, value)
			}
		}
	}
}
