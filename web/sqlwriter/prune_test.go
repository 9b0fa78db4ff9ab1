package sqlwriter

import (
	"errors"
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
	removed := mustExchange(t, d, owner, "cart", "", "["+item(at+1, `"remove":["b"]`)+"]").Next
	now := start.Add(KeptFor)
	d.now = func() time.Time { return now }
	mustExchange(t, d, owner, "cart", removed, "") // keeps the session in use

	mustPrune(t, d, now)
	if n := count(t, d, "entries"); n != 3 {
		t.Errorf("there are %d rows when the removal is just KeptFor old, want 3", n)
	}
	mustPrune(t, d, now.Add(2*time.Millisecond))
	if n := count(t, d, "entries"); n != 2 {
		t.Errorf("there are %d rows afterwards, want 2: the clearing and an entry", n)
	}

	// Who was there before it was pruned misses nothing that came after.
	if got := mustExchange(t, d, owner, "cart", removed, ""); got.Next != removed || got.Received != "" {
		t.Errorf("the cursor %s gives %v, want nothing new", removed, got)
	}
	mustExchange(t, d, owner, "cart", "", "["+item(at+9, `"set":{"c":1}`)+"]")
	if got := mustExchange(t, d, owner, "cart", removed, ""); !strings.Contains(got.Received, `"c"`) || got.Next == removed {
		t.Errorf("got %v, want what came since", got)
	}
}

func TestPruneDeletesSessionsThatAreNotUsed(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	start := time.Now()
	sent := "[" + item(start.UnixMilli(), `"set":{"a":1}`) + "]"
	idle := mustExchange(t, d, owner, "idle", "", sent).Next
	used := mustExchange(t, d, owner, "used", "", sent).Next
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
	if n := count(t, d, "pairings"); n != 0 {
		t.Errorf("there are %d pairings, want none of so long ago", n)
	}
	mustPrune(t, d, start.Add(KeptFor).Add(24*time.Hour))
	if n := count(t, d, "sessions"); n != 1 {
		t.Errorf("there are %d sessions a day after KeptFor, want 1", n)
	}
	if n := count(t, d, "entries"); n != 1 {
		t.Errorf("there are %d entries, want 1", n)
	}
	if _, err := d.Exchange(t.Context(), owner, "idle", idle, sent); !errors.Is(err, session.ErrCursor) {
		t.Errorf("the session that was deleted: %v, want ErrCursor", err)
	}
	if got := mustExchange(t, d, owner, "used", used, ""); got.Next != used {
		t.Errorf("the session that is used is at %s, want %s", got.Next, used)
	}
	if next := mustExchange(t, d, owner, "idle", "", sent).Next; next == idle {
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
	if err := d.merge(t.Context(), of, "of another epoch", sent); !errors.Is(err, errGone) {
		t.Errorf("got %v, want %v", err, errGone)
	}
	if n := count(t, d, "entries"); n != 0 {
		t.Errorf("there are %d entries, want none", n)
	}
}
