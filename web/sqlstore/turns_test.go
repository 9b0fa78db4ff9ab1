package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/internal/turns"
)

// Each call waits for its turn, and can be given up meanwhile.
func TestACallThatIsGivenUp(t *testing.T) {
	path := file(t)
	create(t, open(t, path), Limits{})
	// Who does not wait finds this closed, at once.
	closed := open(t, path)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { giveUp(t, connect(closed, Limits{})) })
	if n := count(t, connect(open(t, path), Limits{}), "records"); n != 0 {
		t.Error("something was merged")
	}
}

// giveUp demands of each call that it waits for a turn, until time passes, which it
// does once nothing else happens.
func giveUp(t *testing.T, d *DB) {
	d.turns.AtOnce = 1
	s, err := d.Open(t.Context(), owner, "cart")
	if err != nil {
		t.Fatal(err)
	}
	done, err := d.turn(t.Context(), "another", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for name, call := range map[string]func(ctx context.Context) error{
		"Exchange": func(ctx context.Context) error {
			_, err := exchange(ctx, d, owner, "cart", "", "["+item(past, `"set":{"a":1}`)+"]")
			return err
		},
		"Pair":     func(ctx context.Context) error { _, _, err := d.Pair(ctx, owner); return err },
		"Join":     func(ctx context.Context) error { _, err := d.Join(ctx, "0000-0000-0000-0000"); return err },
		"AddOwner": func(ctx context.Context) error { return d.AddOwner(ctx, owner) },
		"AddDevice": func(ctx context.Context) error {
			_, err := d.AddDevice(ctx, Added{Owner: owner, Secret: "secret"})
			return err
		},
		"FindDevice": func(ctx context.Context) error {
			_, _, err := d.FindDevice(ctx, "secret", Lifetimes{})
			return err
		},
		"Devices":      func(ctx context.Context) error { _, err := d.Devices(ctx, owner, "", Lifetimes{}); return err },
		"RevokeDevice": func(ctx context.Context) error { return d.RevokeDevice(ctx, owner, "0123456789abcdef") },
		"Adopt":        func(ctx context.Context) error { return d.Adopt(ctx, "visitor", owner, nil) },
		"EraseSession": func(ctx context.Context) error { return d.EraseSession(ctx, owner, "cart") },
		"Heir":         func(ctx context.Context) error { _, _, err := d.Heir(ctx, Tag(owner)); return err },
		"Load":         func(ctx context.Context) error { _, err := s.Load(ctx); return err },
		"Get":          func(ctx context.Context) error { _, err := s.Get(ctx, "a", nil); return err },
		"Clear":        s.Clear,
		"Prune":        func(ctx context.Context) error { return d.Prune(ctx, time.Now()) },
		"InTurn": func(ctx context.Context) error {
			return d.InTurn(ctx, func() error { return errors.New("it has one") })
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want to wait until the deadline", name, err)
		}
		cancel()
	}
}

func TestWhatIsFarTooMuchIsRefusedUnseen(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Entries: 10})
	set := `"k":1`
	for i := range 20 {
		set += fmt.Sprintf(`,"k%d":1`, i)
	}
	done, err := exchange(t.Context(), d, owner, "cart", "", "["+item(past, `"set":{`+set+`}`)+"]")
	if !errors.Is(err, session.ErrQuota) {
		t.Errorf("21 entries: %+v, %v, want ErrQuota", done, err)
	}
}

// Who is refused a turn at once does not ask again at once.
func TestPruneWaitsWhileTheLineIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &DB{turns: turns.Queue{AtOnce: 1, Waiting: 2, Share: 1, Patience: time.Hour}}
		take := func(owner string, took time.Duration) {
			done, err := d.turns.Take(t.Context(), owner, 0)
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(took)
			done()
		}
		const full = time.Minute
		take("prune", time.Second) // who is expected to take longest is refused
		var others sync.WaitGroup
		defer others.Wait()
		others.Go(func() { take("one", full) })
		synctest.Wait()
		for _, owner := range []string{"two", "three"} {
			others.Go(func() { take(owner, 0) })
		}
		synctest.Wait()
		began, ctx := time.Now(), &impatient{Context: t.Context(), left: 10 * int(full/turnAgain)}
		err := d.InTurn(ctx, func() error { return nil })
		if took := time.Since(began); err != nil || took < full || took > full+2*turnAgain {
			t.Errorf("it had its turn after %v, with %d tries left: %v", took, ctx.left, err)
		}
	})
}

// An impatient context is done when it was asked so often.
type impatient struct {
	context.Context
	left int
}

func (c *impatient) Err() error {
	if c.left--; c.left < 0 {
		return errors.New("it was tried too often")
	}
	return c.Context.Err()
}

// What is more than Prune deletes in a slice.
func TestPruneDeletesAll(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	numbers := func(n int) string {
		return fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, n)
	}
	row := func(session, key, value string) string {
		return `SELECT '` + digest(owner) + `', ` + session + `, ` + key + `, '` + stamp(past, 0) + `', i, '2020-01-01', '` + madeText(past) + `', ` + value + ` FROM n`
	}
	exec(t, d.db, `INSERT INTO codes `+numbers(2500)+`SELECT i, '', '', '2020-01-01T00:00:00Z' FROM n`)
	exec(t, d.db, `INSERT INTO owners (owner, made, used) `+numbers(250)+`SELECT i, '2020-01-01', '2020-01-01' FROM n`)
	exec(t, d.db, `INSERT INTO devices `+numbers(250)+`SELECT i, i, '', '', 1, '', '', '2020-01-01', 1, '' FROM n`)
	exec(t, d.db, `INSERT INTO sessions `+numbers(250)+`SELECT i, '"old"', '', 0, '2020-01-01' FROM n`)
	exec(t, d.db, `INSERT INTO records `+numbers(1100)+row(`'"gone' || i || '"'`, `'"k"'`, `'1'`))
	exec(t, d.db, `INSERT INTO records `+numbers(1200)+row(`'"gone"'`, `'"k' || i || '"'`, `'1'`))
	// Sessions that are used, with many removals, clearings and lives.
	exec(t, d.db, `INSERT INTO sessions `+numbers(250)+`SELECT '`+digest(owner)+`', '"s' || i || '"', '', 0, '2999-01-01' FROM n`)
	exec(t, d.db, `INSERT INTO sessions VALUES ('`+digest(owner)+`', '"many"', '', 0, '2999-01-01')`)
	exec(t, d.db, `INSERT INTO records `+numbers(1200)+row(`'"many"'`, `'"k' || i || '"'`, `NULL`))
	exec(t, d.db, `INSERT INTO records `+numbers(250)+row(`'"s' || i || '"'`, `''`, `NULL`))
	exec(t, d.db, `INSERT INTO records `+numbers(250)+row(`'"s' || i || '"'`, `'lives'`, `'{}'`))
	exec(t, d.db, `INSERT INTO records `+numbers(250)+row(`'"s' || i || '"'`, `'"kept"'`, `'1'`))
	exec(t, d.db, `UPDATE records SET stamp = '`+madeText(past+1)+`' WHERE key = 'lives'`)
	exec(t, d.db, `INSERT INTO records `+numbers(250)+`SELECT '`+digest(owner)+`', '"s' || i || '"', '"later"', '`+stamp(past+2, 0)+`', i, '2020-01-01', '`+madeText(past+2)+`', '1' FROM n`)

	mustPrune(t, d, time.Now())
	for table, want := range map[string]int{
		"codes": 0, "owners": 0, "devices": 0, "sessions": 251,
		`records WHERE session LIKE '"gone%'`:               0,
		`records WHERE session = '"many"'`:                  0,
		`sessions WHERE name = '"many"' AND version = 1200`: 1,
		`records WHERE key = 'lives'`:                       250,
		`records WHERE key = ''`:                            250,
		`records WHERE key = '"kept"'`:                      0,
		`records WHERE key = '"later"'`:                     250,
		"records":                                           750,
	} {
		if n := count(t, d, table); n != want {
			t.Errorf("%s: %d, want %d", table, n, want)
		}
	}
}
