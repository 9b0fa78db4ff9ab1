package sqlstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
)

// count returns how many rows a table has.
func count(t *testing.T, d *DB, table string) (n int) {
	t.Helper()
	if err := d.db.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func mustPrune(t *testing.T, d *DB, now time.Time) {
	t.Helper()
	if err := d.Prune(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

func TestPruneForgetsOldRemovals(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	start := time.Now()
	at := start.UnixMilli()
	mustExchange(t, d, owner, "cart", "", "["+item(at, `"clear":true,"set":{"a":1,"b":1}`)+"]")
	removed := mustExchange(t, d, owner, "cart", "", "["+item(at+1, `"remove":["b"]`)+"]").Cursor
	now := start.Add(KeptFor)
	d.now = func() time.Time { return now }
	mustExchange(t, d, owner, "cart", removed, "") // keeps the session in use

	mustPrune(t, d, now)
	if n := count(t, d, "records"); n != 4 {
		t.Errorf("there are %d rows when the removal is just KeptFor old, want 4", n)
	}
	mustPrune(t, d, now.Add(24*time.Hour))
	if n := count(t, d, "records"); n != 3 {
		t.Errorf("there are %d rows a day later, want 3: the newest stamp, the clearing and an entry", n)
	}

	// Who was there before it was pruned misses nothing that came after.
	if got := mustExchange(t, d, owner, "cart", removed, ""); got.Cursor != removed || got.Item != "" {
		t.Errorf("the cursor %s gives %v, want nothing new", removed, got)
	}
	mustExchange(t, d, owner, "cart", "", "["+item(at+9, `"set":{"c":1}`)+"]")
	if got := mustExchange(t, d, owner, "cart", removed, ""); !strings.Contains(got.Item, `"c"`) || got.Cursor == removed {
		t.Errorf("got %v, want what came since", got)
	}
}

// How long a removal is remembered counts from when it came: its device may
// have been away for almost as long.
func TestPruneKeepsWhatCameLate(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	start := time.Now()
	now := start
	d.now = func() time.Time { return now }
	mustExchange(t, d, owner, "cart", "", "["+item(start.UnixMilli(), `"set":{"a":1}`)+","+item(start.UnixMilli()+9, `"set":{"b":1}`)+"]")
	reader := mustExchange(t, d, owner, "cart", "", "").Cursor

	now = start.Add(KeptFor - 24*time.Hour)
	mustPrune(t, d, now)
	removed := mustExchange(t, d, owner, "cart", "", "["+item(start.UnixMilli()+1, `"remove":["a"]`)+"]").Cursor
	arrived := now
	for now.Before(arrived.Add(KeptFor - 24*time.Hour)) {
		now = now.Add(100 * 24 * time.Hour)
		mustExchange(t, d, owner, "cart", "", "") // keeps the session in use
		if now.Before(arrived.Add(KeptFor)) {
			mustPrune(t, d, now)
		}
	}
	if got := mustExchange(t, d, owner, "cart", reader, "").Item; !strings.Contains(got, `"remove":["a"]`) {
		t.Errorf("who comes after almost as long is given %q, want the removal", got)
	}
	mustPrune(t, d, arrived.Add(KeptFor+24*time.Hour))
	if n := count(t, d, `records WHERE value IS NULL`); n != 0 {
		t.Errorf("there are %d removals a day after KeptFor, want none", n)
	}

	// Nor does who has it miss what comes then.
	if got := mustExchange(t, d, owner, "cart", removed, ""); got.Cursor != removed || got.Item != "" {
		t.Errorf("the cursor %s gives %+v, want nothing new", removed, got)
	}
	mustExchange(t, d, owner, "cart", "", "["+item(start.UnixMilli()+10, `"set":{"c":1}`)+"]")
	if got := mustExchange(t, d, owner, "cart", removed, "").Item; !strings.Contains(got, `"c"`) {
		t.Errorf("the cursor %s gives %q, want what is new", removed, got)
	}
}

func TestPruneDeletesSessionsThatAreNotUsed(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	start := time.Now()
	sent := "[" + item(start.UnixMilli(), `"set":{"a":1}`) + "]"
	idle := mustExchange(t, d, owner, "idle", "", sent).Cursor
	used := mustExchange(t, d, owner, "used", "", sent).Cursor
	if _, _, err := d.Pair(t.Context(), owner); err != nil {
		t.Fatal(err)
	}

	now := start.Add(KeptFor / 2)
	d.now = func() time.Time { return now }
	mustExchange(t, d, owner, "used", used, "")
	mustPrune(t, d, start.Add(KeptFor).Add(-24*time.Hour))
	if n := count(t, d, "sessions"); n != 2 {
		t.Errorf("there are %d sessions a day before KeptFor, want 2", n)
	}
	if n := count(t, d, "codes"); n != 0 {
		t.Errorf("there are %d codes, want none of so long ago", n)
	}
	mustPrune(t, d, start.Add(KeptFor).Add(24*time.Hour))
	if n := count(t, d, "sessions"); n != 1 {
		t.Errorf("there are %d sessions a day after KeptFor, want 1", n)
	}
	if n := count(t, d, "records"); n != 2 {
		t.Errorf("there are %d rows, want 2: the newest stamp and an entry", n)
	}
	if _, err := exchange(t.Context(), d, owner, "idle", idle, sent); !errors.Is(err, session.ErrCursor) {
		t.Errorf("the session that was deleted: %v, want ErrCursor", err)
	}
	if got := mustExchange(t, d, owner, "used", used, ""); got.Cursor != used {
		t.Errorf("the session that is used is at %s, want %s", got.Cursor, used)
	}
	if next := mustExchange(t, d, owner, "idle", "", sent).Cursor; next == idle {
		t.Errorf("the session begins anew with the cursor %s of the old one", next)
	}
}

// What merge does when a session is deleted between its statements.
func TestNothingIsMergedIntoASessionThatIsGone(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	of, err := newID(owner, "cart")
	if err != nil {
		t.Fatal(err)
	}
	sent, _, err := d.parse("[" + item(past, `"set":{"a":1}`) + "]")
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.parameter(sent, senderClock{})
	if err != nil {
		t.Fatal(err)
	}
	other := standing{cursor: cursor{epoch: "of another epoch"}}
	if _, err := d.merge(t.Context(), of, other, batch{Said: sent, text: text}); !errors.Is(err, errGone) {
		t.Errorf("got %v, want %v", err, errGone)
	}
	if n := count(t, d, "records"); n != 0 {
		t.Errorf("there are %d entries, want none", n)
	}
}

// A removal came late: nothing else of the session has its version.
func TestPruneGivesNoVersionAgain(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	mustExchange(t, d, owner, "cart", "", "["+item(past+5, `"set":{"a":1}`)+"]")
	cursor := mustExchange(t, d, owner, "cart", "", "["+item(past, `"remove":["b"]`)+"]").Cursor
	exec(t, d.db, `UPDATE records SET merged = '2020-01-01' WHERE value IS NULL`)
	mustPrune(t, d, time.Now())
	if n := count(t, d, "records WHERE value IS NULL"); n != 0 {
		t.Fatalf("there are %d removals, want none", n)
	}
	mustExchange(t, d, owner, "cart", "", "["+item(past+1, `"set":{"c":1}`)+"]")
	if got := mustExchange(t, d, owner, "cart", cursor, "").Item; got != item(past+1, `"set":{"c":1}`) {
		t.Errorf("who had it is given %s, want what came since", got)
	}
}

// Who was killed, or an earlier version that was given up, has left them.
func TestPruneDeletesWhatWasCleared(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	for _, name := range []string{"cart", "wish"} {
		mustExchange(t, d, owner, name, "", "["+item(past, `"set":{"a":1,"b":1}`)+"]")
		mustExchange(t, d, owner, name, "", "["+item(past+5, `"clear":true,"set":{"kept":1}`)+"]")
	}
	exec(t, d.db, `INSERT INTO records SELECT owner, session, '"a"', '`+stamp(past, 0)+`', 1, merged, made, '1' FROM records WHERE session = '"cart"' AND key = ''`)
	mustPrune(t, d, time.Now())
	if n := count(t, d, `records WHERE key = '"a"'`); n != 0 {
		t.Error("what was cleared is left")
	}
	if n := count(t, d, `records`); n != 6 {
		t.Errorf("there are %d rows, want for each session the newest stamp, the clearing, and an entry", n)
	}
}

func TestPruneWritesNothingWhenThereIsNothingToDo(t *testing.T) {
	path := file(t)
	d := create(t, open(t, path), Limits{})
	start := time.Now()
	for i := range 3 {
		if _, err := d.Exchange(t.Context(), owner, fmt.Sprint("s", i), session.Sent{
			Owner: Tag(owner), MaxAge: 1000, Now: start.UnixMilli(),
			Items: "[" + item(start.UnixMilli()-int64(i)*3000, `"clear":true,"set":{"a":1,"b":1},"remove":["c"]`) + "]",
		}); err != nil {
			t.Fatal(err)
		}
	}
	committed := commits(t, open(t, path))
	before := committed()
	mustPrune(t, d, start.Add(24*time.Hour))
	if n := committed() - before; n != 0 {
		t.Errorf("there were %d commits or changes, want none", n)
	}
}

func TestOwnersWithoutASessionAreForgottenAfterAWeek(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	now := time.Now()
	d.now = func() time.Time { return now }
	for _, owner := range []string{"saves", "saves nothing"} {
		if err := addVisitor(t, d, owner); err != nil {
			t.Fatal(err)
		}
	}
	mustExchange(t, d, "saves", "cart", "", "["+item(now.UnixMilli(), `"set":{"a":1}`)+"]")
	for _, test := range []struct {
		days  int
		known map[string]bool
	}{
		{6, map[string]bool{"saves": true, "saves nothing": true}},
		{6, map[string]bool{"saves": true, "saves nothing": true}}, // who has come meanwhile
		{8, map[string]bool{"saves": true, "saves nothing": false}},
	} {
		now = now.AddDate(0, 0, test.days)
		if err := d.Prune(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		for owner, want := range test.known {
			if known := isKnown(t, d, owner); known != want {
				t.Errorf("after %d days, who %s is known: %t", test.days, owner, known)
			}
		}
	}
}
