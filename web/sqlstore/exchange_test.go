package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
)

func stamp(millis int64, n int) string { return fmt.Sprintf("%013d-0000-%012x", millis, n) }

// item returns an item of one batch, made at some time.
func item(millis int64, members string) string {
	return `{"format":1,"batches":[{"stamp":"` + stamp(millis, 0) + `",` + members + `}]}`
}

// past is a time for stamps that nothing depends on.
const past = 1_700_000_000_000

// merged returns the item that says what items say together, as the engine
// merges them.
func merged(t *testing.T, items []string) string {
	t.Helper()
	said, unreadable, err := engine.ParseItems("[" + strings.Join(items, ",") + "]")
	if err != nil || unreadable > 0 {
		t.Fatalf("%d unreadable, %v: %q", unreadable, err, items)
	}
	return engine.FormatItem(said)
}

// exchange exchanges a session as who knows its owner.
func exchange(ctx context.Context, d *DB, owner, name, cursor, items string) (Exchanged, error) {
	return d.Exchange(ctx, owner, name, session.Sent{Owner: Tag(owner), Cursor: cursor, Items: items})
}

func mustExchange(t *testing.T, d *DB, owner, name, cursor, items string) Exchanged {
	t.Helper()
	done, err := exchange(t.Context(), d, owner, name, cursor, items)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

var awkwardValues = []string{
	`1`, `"a"`, `null`, `{}`, `[]`, `{"a":[1,2,{"b":null}]}`, `"it's \"quoted\""`, `"\u0000"`, `"\ud800"`, `"🦊"`,
	`1e400`, `12345678901234567890`, `-0`, `0.1e-7`, `[ 1 , 2 ]`,
}

func randomItem(random *rand.Rand) string {
	keys := []string{"a", "b", "c", "it's", "\x00", "__proto__", "🦊"}
	var batches []string
	for range 1 + random.IntN(3) {
		var set, remove []string
		for _, key := range keys {
			switch random.IntN(6) {
			case 0:
				remove = append(remove, jsonString(key))
			case 1, 2:
				set = append(set, jsonString(key)+":"+awkwardValues[random.IntN(len(awkwardValues))])
			}
		}
		// Few stamps, so that often two batches have one.
		text := `{"stamp":"` + stamp(past+int64(random.IntN(30)), random.IntN(2)) + `"`
		if random.IntN(10) == 0 {
			text += `,"clear":true`
		}
		batches = append(batches, text+`,"set":{`+strings.Join(set, ",")+`},"remove":[`+strings.Join(remove, ",")+`]}`)
	}
	return `{"format":1,"batches":[` + strings.Join(batches, ",") + `]}`
}

func TestMergingIsTheEnginesInAnyOrderAndRepetition(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := file(t)
	processes := []*DB{create(t, open(t, path), Limits{}), create(t, open(t, path), Limits{})}

	// What a reader was told, and the cursor that it has.
	type reader struct {
		cursor string
		items  []string
	}
	type subject struct {
		owner, name string
		items, sent []string
		readers     [3]reader
	}
	var subjects []*subject
	for _, owner := range []string{"one", "two"} {
		for _, name := range []string{"cart", "it's", "\x00"} {
			s := &subject{owner: owner, name: name}
			for range 12 {
				s.items = append(s.items, randomItem(random))
			}
			subjects = append(subjects, s)
		}
	}
	exchange := func(s *subject, r *reader, items []string) {
		t.Helper()
		unsent := ""
		if items != nil {
			unsent = "[" + strings.Join(items, ",") + "]"
		}
		done := mustExchange(t, processes[random.IntN(2)], s.owner, s.name, r.cursor, unsent)
		r.cursor = done.Cursor
		r.items = append(r.items, items...)
		if done.Item != "" {
			r.items = append(r.items, done.Item)
		}
		s.sent = append(s.sent, items...)
		if got, want := merged(t, r.items), merged(t, s.sent); got != want {
			t.Fatalf("the reader at %s has\n%s, want\n%s", r.cursor, got, want)
		}
	}
	for range 400 {
		s := subjects[random.IntN(len(subjects))]
		var items []string
		for range random.IntN(3) {
			items = append(items, s.items[random.IntN(len(s.items))])
		}
		exchange(s, &s.readers[random.IntN(len(s.readers))], items)
	}
	for _, s := range subjects {
		exchange(s, &s.readers[0], s.items) // and now all of them
		for i := range s.readers {
			exchange(s, &s.readers[i], nil)
		}
		exchange(s, new(reader), nil)
	}
}

func TestTextsComeBackAsTheyWere(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	values := append([]string{
		strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
		strings.Repeat(`{"a":`, 2000) + "1e400" + strings.Repeat("}", 2000),
		`"` + strings.Repeat(`\"`, 10_000) + `"`,
	}, awkwardValues...)
	keys := []string{"\x00", "a\x00b", `"`, "'", `\`, "__proto__", "👩‍👩‍👧", "\u2028", "a/b", " ", "%", "null", "key\n"}
	for _, key := range keys {
		for _, value := range values {
			sent := item(past, `"set":{`+jsonString(key)+`:`+value+`}`)
			owner := key + value
			mustExchange(t, d, owner, "cart", "", "["+sent+"]")
			got := mustExchange(t, d, owner, "cart", "", "").Item
			if want := merged(t, []string{sent}); got != want || !strings.Contains(got, value) {
				t.Errorf("got %.200s, want %.200s", got, want)
			}
			s, err := d.Open(t.Context(), owner, "cart")
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := s.Load(t.Context())
			if err != nil || string(loaded[key]) != value || len(loaded) != 1 {
				t.Errorf("key %q: loaded %.200q, %v, want %.200s", key, loaded, err, value)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	entries := func(from, to int, member string) string {
		var all []string
		for i := from; i < to; i++ {
			all = append(all, fmt.Sprintf(member, i))
		}
		return strings.Join(all, ",")
	}
	for _, test := range []struct {
		name     string
		limits   Limits
		before   string
		fits     string
		over     string
		sentence string
	}{
		{"the body", Limits{Body: 300}, "",
			"[" + item(past+2, `"set":{"a":1}`) + strings.Repeat(" ", 300-len("["+item(past+2, `"set":{"a":1}`)+"]")) + "]",
			"[" + item(past+2, `"set":{"a":1}`) + strings.Repeat(" ", 301-len("["+item(past+2, `"set":{"a":1}`)+"]")) + "]",
			"has 301 bytes, and may have 300"},
		{"a batch", Limits{Batch: len(`[["\"a\"","` + stamp(0, 0) + `","1","` + madeText(0) + `"]]`)}, "",
			"[" + item(past+2, `"set":{"a":1}`) + "]",
			"[" + item(past+2, `"set":{"a":12}`) + "]",
			"takes 66 bytes, and may take 65"},
		{"a key", Limits{Key: 10}, "",
			"[" + item(past+2, `"set":{"`+long(10)+`":1}`) + "]",
			"[" + item(past+2, `"set":{"a":2,"`+long(11)+`":1}`) + "]",
			`key "xxxxxxxxxxx" has 11 bytes, and may have 10`},
		{"a long key", Limits{Key: 50}, "",
			"[" + item(past+2, `"set":{"`+long(50)+`":1}`) + "]",
			"[" + item(past+2, `"set":{"a":2,"é`+long(50)+`":1}`) + "]",
			`key "é` + long(39) + `…" has 52 bytes, and may have 50`},
		{"entries in one batch", Limits{Entries: 10}, "",
			"[" + item(past+2, `"set":{`+entries(0, 10, `"k%d":1`)+`}`) + "]",
			"[" + item(past+2, `"set":{`+entries(0, 11, `"k%d":2`)+`}`) + "]",
			"may have 10 entries"},
		{"entries in several", Limits{Entries: 10}, "[" + item(past, `"set":{`+entries(0, 9, `"k%d":1`)+`}`) + "]",
			"[" + item(past+2, `"set":{"k0":3,"k9":1}`) + "]",
			"[" + item(past+2, `"set":{"k0":3,"k9":1,"k10":1}`) + "]",
			"may have 10 entries"},
		{"removals", Limits{Entries: 10}, "[" + item(past, `"remove":[`+entries(0, 9, `"k%d"`)+`]`) + "]",
			"[" + item(past+2, `"set":{"k9":1}`) + "]",
			"[" + item(past+2, `"remove":["k9","k10"]`) + "]",
			"may have 10 entries"},
		{"bytes", Limits{Bytes: 100}, "[" + item(past, `"set":{"a":"`+long(55)+`"}`) + "]", // 60
			"[" + item(past+2, `"set":{"b":"`+long(35)+`"}`) + "]", // 40
			"[" + item(past+2, `"set":{"b":"`+long(36)+`"}`) + "]",
			"may have 100 bytes"},
		{"bytes in place of others", Limits{Bytes: 100}, "[" + item(past, `"set":{"a":"`+long(55)+`"}`) + "]",
			"[" + item(past+2, `"set":{"a":"`+long(95)+`"}`) + "]",
			"[" + item(past+2, `"set":{"a":"`+long(96)+`"}`) + "]",
			"may have 100 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := create(t, open(t, file(t)), test.limits)
			if test.before != "" {
				mustExchange(t, d, owner, "cart", "", test.before)
			}
			before := mustExchange(t, d, owner, "cart", "", "")
			_, err := exchange(t.Context(), d, owner, "cart", "", test.over)
			if !errors.Is(err, session.ErrQuota) || !strings.Contains(err.Error(), test.sentence) {
				t.Errorf("got %v, want ErrQuota, %q", err, test.sentence)
			}
			if after := mustExchange(t, d, owner, "cart", "", ""); after.Item != before.Item {
				t.Errorf("it has %s, want what it had before: %s", after.Item, before.Item)
			}
			mustExchange(t, d, owner, "cart", "", test.fits)
		})
	}

	t.Run("sessions", func(t *testing.T) {
		d := create(t, open(t, file(t)), Limits{Sessions: 3})
		sent := "[" + item(past, `"set":{"a":1}`) + "]"
		for i := range 3 {
			mustExchange(t, d, owner, fmt.Sprint(i), "", sent)
		}
		if _, err := exchange(t.Context(), d, owner, "3", "", sent); !errors.Is(err, session.ErrQuota) {
			t.Errorf("the fourth session: %v, want ErrQuota", err)
		}
		if got := mustExchange(t, d, owner, "3", "", ""); got.Cursor != "" || got.Item != "" {
			t.Errorf("the fourth session has %v, want none", got)
		}
		mustExchange(t, d, owner, "2", "", sent)
		mustExchange(t, d, "another", "3", "", sent)
	})

	t.Run("cleared", func(t *testing.T) {
		d := create(t, open(t, file(t)), Limits{Entries: 2})
		mustExchange(t, d, owner, "cart", "", "["+item(past, `"set":{"a":1},"remove":["b"]`)+"]")
		mustExchange(t, d, owner, "cart", "", "["+item(past+1, `"clear":true,"set":{"c":1,"d":1}`)+"]")
	})
}

func TestCursors(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	sent := "[" + item(past, `"set":{"a":1}`) + "]"
	first := mustExchange(t, d, owner, "cart", "", sent)
	if first.Item != item(past, `"set":{"a":1}`) || !first.Complete {
		t.Errorf("who had no cursor is given %+v, want all that there is", first)
	}
	next := mustExchange(t, d, owner, "cart", first.Cursor, "["+item(past+1, `"set":{"a":2}`)+"]")
	if next.Item != "" || next.Complete {
		t.Errorf("got back what was sent: %+v", next)
	}
	good := next.Cursor
	other := mustExchange(t, d, owner, "other", "", sent).Cursor
	epoch, version, _ := strings.Cut(good, "-")

	for _, cursor := range []string{
		other, "x", "-", "-1", epoch, epoch + "-", epoch + "-" + version + "0", epoch + "--1", epoch + "-+1", epoch + "-01",
		epoch + "-99999999999999999999", strings.ToUpper(epoch) + "x-" + version, " " + good, good + " ", good + "\x00",
	} {
		unsent := "[" + item(past+9, `"set":{"b":1}`) + "]"
		if _, err := exchange(t.Context(), d, owner, "cart", cursor, unsent); !errors.Is(err, session.ErrCursor) {
			t.Errorf("cursor %q: %v, want ErrCursor", cursor, err)
		}
	}
	for _, cursor := range []string{good, "-0"} {
		if _, err := exchange(t.Context(), d, owner, "none", cursor, ""); !errors.Is(err, session.ErrCursor) {
			t.Errorf("the cursor %q for no session: %v, want ErrCursor", cursor, err)
		}
	}
	if got := mustExchange(t, d, owner, "cart", good, ""); got.Item != "" || got.Cursor != good {
		t.Errorf("got %v after refusals, want nothing new at %s", got, good)
	}
	if strings.ContainsAny(good, " ,;") {
		t.Errorf("the cursor %q does not fit in a header or a record", good)
	}
	if next := mustExchange(t, d, owner, "cart", good, sent).Cursor; next != good {
		t.Errorf("what was there already moved the cursor from %s to %s", good, next)
	}
}

// Who sends what loses by a hair is told what won.
func TestOfTwoInAMillisecondTheLoserIsToldOfTheOther(t *testing.T) {
	batch := func(writer int, value string) string {
		return `{"format":1,"batches":[{"stamp":"` + stamp(past, writer) + `","set":{"a":` + value + `}}]}`
	}
	for _, loses := range []string{batch(1, "1"), batch(2, "1")} {
		d := create(t, open(t, file(t)), Limits{})
		won := batch(2, "2")
		mustExchange(t, d, owner, "cart", "", "["+won+"]")
		if got := mustExchange(t, d, owner, "cart", "", "["+loses+"]").Item; got != won {
			t.Errorf("who sent %s is given %q, want %s", loses, got, won)
		}
	}
}

func TestMalformed(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	for _, unsent := range []string{"x", "{}", "[", "[1,]", "[1] 2", " ", "null", `"[]"`, "[\"\xff\"]", item(past, `"set":{}`)} {
		if _, err := exchange(t.Context(), d, owner, "cart", "", unsent); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v, want ErrMalformed", unsent, err)
		}
	}
	for _, name := range []string{"", "a/b", "\xff", strings.Repeat("x", 1025)} {
		if _, err := exchange(t.Context(), d, owner, name, "", ""); !errors.Is(err, session.ErrConfig) {
			t.Errorf("session %q: %v, want ErrConfig", name, err)
		}
		if _, err := d.Open(t.Context(), owner, name); !errors.Is(err, session.ErrConfig) {
			t.Errorf("open session %q: %v, want ErrConfig", name, err)
		}
	}
	done := mustExchange(t, d, owner, "cart", "", `[1,{"format":2},`+item(past, `"set":{"a":1}`)+`,{"format":1}]`)
	if done.Skipped != 3 {
		t.Errorf("skipped %d, want 3", done.Skipped)
	}
	if got := mustExchange(t, d, owner, "cart", "", "").Item; got != item(past, `"set":{"a":1}`) {
		t.Errorf("got %s, want the item among those that are skipped", got)
	}
}

func TestNoBatchIsTorn(t *testing.T) {
	path := file(t)
	processes := []*DB{create(t, open(t, path), Limits{}), connect(open(t, path), Limits{})}
	keys := []string{"a", "b", "c", "d", "e"}
	const writers, rounds = 4, 40

	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range rounds {
				var set []string
				for _, key := range keys {
					set = append(set, fmt.Sprintf(`"%s":"%d/%d"`, key, w, n))
				}
				text := `[{"format":1,"batches":[{"stamp":"` + stamp(past+int64(n), w) + `","set":{` + strings.Join(set, ",") + `}}]}]`
				if _, err := exchange(t.Context(), processes[w%2], owner, "cart", "", text); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	var reading sync.WaitGroup
	for r := range 3 {
		reading.Go(func() {
			var cursor string
			for last := false; ; {
				got, err := exchange(t.Context(), processes[r%2], owner, "cart", cursor, "")
				if err != nil {
					t.Error(err)
					return
				}
				cursor = got.Cursor
				if got.Item != "" {
					said, _, err := engine.ParseItems("[" + got.Item + "]")
					if err != nil || len(said.Records) != len(keys) {
						t.Errorf("got %s, %v, want %d entries", got.Item, err, len(keys))
					}
					for _, record := range said.Records {
						if record.Stamp != said.Records[0].Stamp || record.Value != said.Records[0].Value {
							t.Errorf("got %s, parts of two batches", got.Item)
						}
					}
				}
				if last {
					return
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
}

// What was cleared is deleted by a statement of its own, which may not come.
func TestWhatWasClearedDoesNotCountBeforeItIsDeleted(t *testing.T) {
	onlySQLite(t, "without transactions")
	d := create(t, open(t, file(t)), Limits{Entries: 2})
	first := mustExchange(t, d, owner, "cart", "", "["+item(past, `"set":{"a":1,"b":1}`)+"]").Cursor
	exec(t, d.db, `CREATE TRIGGER refuse_delete BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	clearing := item(past+5, `"clear":true,"set":{"c":1}`)
	if _, err := exchange(t.Context(), d, owner, "cart", first, "["+clearing+"]"); err == nil {
		t.Fatal("nothing was deleted")
	}

	mustExchange(t, d, owner, "cart", "", "["+item(past+4, `"set":{"late":1}`)+"]")
	mustExchange(t, d, owner, "cart", "", "["+item(past+6, `"set":{"d":1}`)+"]") // there is room for it
	want := merged(t, []string{clearing, item(past+6, `"set":{"d":1}`)})
	for _, cursor := range []string{"", first} {
		if got := mustExchange(t, d, owner, "cart", cursor, "").Item; got != want {
			t.Errorf("from the cursor %q: got %s, want %s", cursor, got, want)
		}
	}
	if _, err := exchange(t.Context(), d, owner, "cart", "", "["+clearing+"]"); err == nil {
		t.Error("sent again, it is deleted")
	}
	exec(t, d.db, `DROP TRIGGER refuse_delete`)
	exec(t, d.db, `CREATE TRIGGER ignore_delete BEFORE DELETE ON records BEGIN SELECT RAISE(IGNORE); END`)
	if got := mustExchange(t, d, owner, "cart", first, "["+clearing+"]").Item; got != item(past+6, `"set":{"d":1}`) {
		t.Errorf("who sends the clearing is given %s, want what is later", got)
	}
	s, err := d.Open(t.Context(), owner, "cart")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("loaded %s, %v, want c and d", got, err)
	}
	if found, err := s.Get(t.Context(), "a", nil); found || err != nil {
		t.Errorf("Get of what was cleared gives %t, %v", found, err)
	}
}

// savesOverWhatIsThere has a session save the entry a, and find that.
func savesOverWhatIsThere(t *testing.T, d *DB, name string) {
	t.Helper()
	s, err := d.Open(t.Context(), owner, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), maps.All(map[string]any{"a": 2})); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context()); err != nil || string(got["a"]) != "2" {
		t.Errorf("loaded %s, %v, want what was saved last", got, err)
	}
}

func TestASessionWinsOverWhatItFound(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	ahead := item(time.Now().Add(time.Hour).UnixMilli(), `"set":{"a":"from a device whose clock is ahead"}`)
	mustExchange(t, d, owner, "cart", "", "["+ahead+"]")
	savesOverWhatIsThere(t, d, "cart")
}
