//go:build !js

package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
)

// openBetween opens a database that is there, and has after called when a statement is
// done, before its result is returned, and after a commit. within says whether that is in
// a transaction, so that others may have to wait until it ends.
func openBetween(t *testing.T, path string, after func(within bool)) *sql.DB {
	t.Helper()
	db := sql.OpenDB(&between{open(t, path).Driver(), path, after})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type between struct {
	engine driver.Driver
	path   string
	after  func(within bool)
}

func (b *between) Driver() driver.Driver { return b.engine }

func (b *between) Connect(context.Context) (driver.Conn, error) {
	conn, err := b.engine.Open(b.path)
	return &betweenConn{conn, b.after, false}, err
}

type betweenConn struct {
	driver.Conn
	after  func(within bool)
	within bool
}

func (c *betweenConn) done() { c.after(c.within) }

func (c *betweenConn) Prepare(query string) (driver.Stmt, error) {
	stmt, err := c.Conn.Prepare(query)
	return betweenStmt{stmt, c.done}, err
}

func (c *betweenConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
	c.within = err == nil
	return betweenTx{tx, c}, err
}

type betweenTx struct {
	driver.Tx
	conn *betweenConn
}

func (t betweenTx) Commit() error {
	t.conn.within = false
	defer t.conn.done()
	return t.Tx.Commit()
}

func (t betweenTx) Rollback() error {
	t.conn.within = false
	return t.Tx.Rollback()
}

type betweenStmt struct {
	driver.Stmt
	after func()
}

func (s betweenStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	defer s.after()
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s betweenStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	return betweenRows{rows, s.after}, err
}

type betweenRows struct {
	driver.Rows
	after func()
}

func (r betweenRows) Close() error {
	defer r.after()
	return r.Rows.Close()
}

// openHooked returns the DB in a file, on which then is called after so many statements,
// and whether it was. Unless anywhere is set, those within a transaction do not count.
func openHooked(t *testing.T, path string, limits Limits, statements int, anywhere bool, then func(hooked *DB)) (hooked *DB, called *bool) {
	t.Helper()
	called = new(bool)
	hooked = connect(openBetween(t, path, func(within bool) {
		if within && !anywhere {
			return
		}
		if statements == 0 {
			*called = true
			then(hooked)
		}
		statements--
	}), limits)
	return hooked, called
}

// openEnding returns such a DB whose call ends after so many statements, with its context
// or, if killed, also with the database.
func openEnding(t *testing.T, path string, limits Limits, statements int, killed bool) (ctx context.Context, hooked *DB, called *bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	hooked, called = openHooked(t, path, limits, statements, true, func(hooked *DB) {
		cancel()
		if killed {
			_ = hooked.db.Close()
		}
	})
	return ctx, hooked, called
}

// exchangeBetween exchanges the cart of each place that prepare returns, and has
// meanwhile called between two statements: after the first in one, after the
// second in the next, until there are no more.
func exchangeBetween(t *testing.T, sent session.Sent, prepare func(d *DB) (cursor string), meanwhile func(d *DB),
	check func(d *DB, done Exchanged, err error)) {
	t.Helper()
	for turn := 0; ; turn++ {
		path := file(t)
		d := create(t, open(t, path), Limits{})
		cursor := prepare(d)
		hooked, called := openHooked(t, path, Limits{}, turn, false, func(*DB) { meanwhile(d) })
		sent.Owner, sent.Cursor = Tag(owner), cursor
		done, err := hooked.Exchange(t.Context(), owner, "cart", sent)
		if !*called {
			if turn < 3 {
				t.Errorf("there were %d statements only", turn)
			}
			return
		}
		check(d, done, err)
	}
}

var (
	had, theirs, ours = item(past, `"set":{"had":1}`), item(past+1, `"set":{"theirs":1}`), item(past+2, `"set":{"ours":1}`)
)

func TestNothingIsMissedOfWhatOthersMergeMeanwhile(t *testing.T) {
	all := merged(t, []string{had, theirs, ours})
	for _, first := range []bool{false, true} {
		exchangeBetween(t, session.Sent{Items: "[" + ours + "]"},
			func(d *DB) string {
				if first {
					return ""
				}
				return mustExchange(t, d, owner, "cart", "", "["+had+"]").Cursor
			},
			func(d *DB) { mustExchange(t, d, owner, "cart", "", "["+had+","+theirs+"]") },
			func(d *DB, done Exchanged, err error) {
				if err != nil {
					t.Fatal(err)
				}
				items := []string{had, ours}
				for _, item := range []string{done.Item, mustExchange(t, d, owner, "cart", done.Cursor, "").Item} {
					if item != "" {
						items = append(items, item)
					}
				}
				if got := merged(t, items); got != all {
					t.Errorf("who exchanged meanwhile has %s, want %s", got, all)
				}
				if got := mustExchange(t, d, owner, "cart", "", "").Item; got != all {
					t.Errorf("who comes now has %s, want %s", got, all)
				}
			})
	}
}

func TestASessionIsDeletedMeanwhile(t *testing.T) {
	for _, anew := range []bool{false, true} {
		exchangeBetween(t, session.Sent{Items: "[" + ours + "]"},
			func(d *DB) string { return mustExchange(t, d, owner, "cart", "", "["+had+"]").Cursor },
			func(d *DB) {
				exec(t, d.db, `DELETE FROM sessions`)
				exec(t, d.db, `DELETE FROM records`)
				if anew {
					mustExchange(t, d, owner, "cart", "", "["+theirs+"]")
				}
			},
			func(d *DB, done Exchanged, err error) {
				if err == nil {
					_, err = exchange(t.Context(), d, owner, "cart", done.Cursor, "")
				}
				if !errors.Is(err, session.ErrCursor) {
					t.Errorf("anew %t: %v, want ErrCursor at last", anew, err)
				}
				if got := mustExchange(t, d, owner, "cart", "", "").Item; strings.Contains(got, "ours") {
					t.Errorf("anew %t: of what the refused session had there is %s", anew, got)
				}
			})
	}
}

// Whoever comes first: what is saved as another begins the session anew counts as
// if it had come before.
func TestASessionIsSavedInAsItIsBegunAnew(t *testing.T) {
	now := time.Now().UnixMilli() - past
	const maxAge = 3600_000
	began := at(now, `"set":{"ours":1}`)
	alive := since(100, at(now-10, `"set":{"theirs":1}`))
	for _, two := range [][2]string{{began, alive}, {alive, began}} {
		sent := func(items string) session.Sent {
			return session.Sent{Owner: Tag(owner), Items: "[" + items + "]", Now: past + now, MaxAge: maxAge}
		}
		exchangeBetween(t, sent(two[0]),
			func(d *DB) string {
				done, err := d.Exchange(t.Context(), owner, "cart", sent(had))
				if err != nil {
					t.Fatal(err)
				}
				return done.Cursor
			},
			func(d *DB) {
				if _, err := d.Exchange(t.Context(), owner, "cart", sent(two[1])); err != nil {
					t.Fatal(err)
				}
			},
			func(d *DB, done Exchanged, err error) {
				if err != nil {
					t.Fatal(err)
				}
				s, err := d.Open(t.Context(), owner, "cart")
				if err != nil {
					t.Fatal(err)
				}
				if got, err := s.Load(t.Context()); err != nil || len(got) != 3 {
					t.Errorf("with %s meanwhile: loaded %s, %v, want what all three saved", two[1], got, err)
				}
				// Nor is what was given anything else than what there was.
				sent := sent("")
				sent.Cursor = done.Cursor
				sent.Items = ""
				next, err := d.Exchange(t.Context(), owner, "cart", sent)
				if err != nil {
					t.Fatal(err)
				}
				all := entriesOf(t, done.Item) + " " + entriesOf(t, next.Item) + " " + entriesOf(t, two[0])
				for _, key := range []string{"had", "theirs", "ours"} {
					if !strings.Contains(all, key) {
						t.Errorf("with %s meanwhile: given %q, want %s", two[1], all, key)
					}
				}
			})
	}
}

// What was cleared must not stay, whenever the client or the server is gone.
func TestNothingIsLeftOfWhatIsCleared(t *testing.T) {
	sent := session.Sent{Owner: Tag(owner), Items: "[" + item(past+5, `"clear":true`) + "]"}
	for _, killed := range []bool{false, true} {
		for statement := 0; ; statement++ {
			path := file(t)
			d := create(t, open(t, path), Limits{})
			mustExchange(t, d, owner, "cart", "", "["+had+"]")
			ctx, hooked, called := openEnding(t, path, Limits{}, statement, killed)
			_, err := hooked.Exchange(ctx, owner, "cart", sent)
			if !*called {
				if err != nil || statement < 4 {
					t.Errorf("of %d statements: %v", statement, err)
				}
				break
			}
			if killed {
				mustPrune(t, d, time.Now())
			}
			if n := count(t, d, `records WHERE key = '' OR key = '"had"'`); n != 1 {
				t.Errorf("ended after statement %d, killed %t: of what was cleared and the clearing there are %d, want one", statement, killed, n)
			}
		}
	}
}

// Nor of what is more than may be kept of what is over.
func TestNoMoreIsLeftOfWhatIsOverThanMayBe(t *testing.T) {
	now := time.Now().UnixMilli()
	for _, killed := range []bool{false, true} {
		for statement := 0; ; statement++ {
			path := file(t)
			d := create(t, open(t, path), Limits{Entries: 3})
			send := func(ctx context.Context, d *DB, at int64, key string) error {
				_, err := d.Exchange(ctx, owner, "cart", session.Sent{
					Owner: Tag(owner), MaxAge: 1000, Now: now,
					Items: "[" + item(at, `"set":{"`+key+`1":1,"`+key+`2":1}`) + "]",
				})
				return err
			}
			for i, key := range []string{"a", "b"} {
				if err := send(t.Context(), d, now-int64(3-i)*100_000, key); err != nil {
					t.Fatal(err)
				}
			}
			ctx, hooked, called := openEnding(t, path, Limits{Entries: 3}, statement, killed)
			err := send(ctx, hooked, now-100_000, "c")
			if !*called {
				if err != nil || statement < 4 {
					t.Errorf("of %d statements: %v", statement, err)
				}
				break
			}
			if killed {
				mustPrune(t, d, time.Now())
			}
			over := count(t, d, `records r WHERE key LIKE '"%' AND made < (SELECT stamp FROM records WHERE key = 'lives')`)
			if over > 3 {
				t.Errorf("ended after statement %d, killed %t: of what is over there are %d entries, want 3 at most", statement, killed, over)
			}
		}
	}
}

// Whoever asks for the health, however often, does not hold up others.
func TestThePingIsAskedOfTheDatabaseOnceASecond(t *testing.T) {
	path := file(t)
	create(t, open(t, path), Limits{})
	var asked atomic.Int64
	d := connect(openBetween(t, path, func(bool) { asked.Add(1) }), Limits{})
	began := time.Now()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := d.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n, most := asked.Load(), 2+int64(time.Since(began)/time.Second); n > most {
		t.Errorf("the database was asked %d times, want %d at most", n, most)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := connect(openBetween(t, path, func(bool) {}), Limits{}).Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}
