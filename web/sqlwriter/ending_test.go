package sqlwriter

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
)

// A place is a database whose clock the test sets, and somebody's cart in it.
// Times are in milliseconds after past.
type place struct {
	*DB
	t   *testing.T
	now int64
}

func newPlace(t *testing.T, limits Limits) *place {
	t.Helper()
	p := &place{DB: create(t, open(t, file(t)), limits), t: t}
	p.DB.now = func() time.Time { return time.UnixMilli(past + p.now) }
	return p
}

// send exchanges as a device whose clock is right, for which a session is over
// after a second.
func (p *place) send(cursor string, items ...string) Exchanged {
	p.t.Helper()
	done, err := p.try(cursor, items...)
	if err != nil {
		p.t.Fatal(err)
	}
	return done
}

func (p *place) try(cursor string, items ...string) (Exchanged, error) {
	return p.tryFor(1000, cursor, items...)
}

// tryFor exchanges as a device for which a session is over after maxAge.
func (p *place) tryFor(maxAge int64, cursor string, items ...string) (Exchanged, error) {
	return p.Exchange(p.t.Context(), owner, "cart", session.Sent{
		Owner: Tag(owner), Cursor: cursor, Items: "[" + strings.Join(items, ",") + "]", Now: past + p.now, MaxAge: maxAge,
	})
}

// has reports an error unless the entries in the cart are these: a text like
// "a:1 b:2", in the order of the keys.
func (p *place) has(want string) {
	p.t.Helper()
	s, err := p.Open(p.t.Context(), owner, "cart")
	if err != nil {
		p.t.Fatal(err)
	}
	entries, err := s.Load(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	var got []string
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		got = append(got, key+":"+string(entries[key]))
		if found, err := s.Get(p.t.Context(), key, nil); !found || err != nil {
			p.t.Errorf("Get of %q: %t, %v", key, found, err)
		}
	}
	if got := strings.Join(got, " "); got != want {
		p.t.Errorf("the cart has %q, want %q", got, want)
	}
	if item := p.send("").Item; want == "" && strings.Contains(item, `"set"`) || want != "" && merged(p.t, []string{item}) != item {
		p.t.Errorf("whoever comes now is given %s", item)
	}
}

// at returns an item of one batch, made at that time after past.
func at(millis int64, members string) string { return item(past+millis, members) }

// ends returns the members of a batch that ends a session, of which the last
// that was seen is from that time after past.
func ends(seen int64, members string) string {
	text := `"ended":"` + stamp(past+seen, 0) + `"`
	if members != "" {
		text += "," + members
	}
	return text
}

func TestASessionThatIsOverIsClearedForAll(t *testing.T) {
	for _, with := range []string{`"set":{"new":1}`, ""} {
		p := newPlace(t, Limits{})
		p.send("", at(0, `"set":{"old":1},"remove":["gone"]`))
		before := p.send("").Cursor
		p.now = 5000
		done := p.send(before, at(5000, ends(0, with)))
		want := ""
		if with != "" {
			want = "new:1"
		}
		p.has(want)
		clearing := `{"stamp":"` + stamp(past, 1) + `","clear":true}`
		if !strings.Contains(done.Item, clearing) {
			t.Errorf("who ends it is given %s, want the clearing %s", done.Item, clearing)
		}
		if got := p.send(before).Item; !strings.Contains(got, clearing) || strings.Contains(got, "old") {
			t.Errorf("the others are given %s, want the clearing %s", got, clearing)
		}
		if age := p.send("").Age; with == "" && age != 5000 || with != "" && age != 0 {
			t.Errorf("somebody saved %d ms ago: to find it over is not to save", age)
		}

		// The same request again, as its answer was lost, and then another
		// device with the same view.
		again := p.send(before, at(5000, ends(0, with)))
		if again.Cursor != done.Cursor || again.Item != done.Item {
			t.Errorf("sent again: %+v, want %+v", again, done)
		}
		p.now = 5500
		p.send(before, at(5500, ends(0, `"set":{"two":2}`)))
		p.has(strings.TrimSpace(want + " two:2"))
	}
}

func TestASessionIsNotOver(t *testing.T) {
	for _, test := range []struct {
		name   string
		now    int64
		maxAge int64
		seen   int64
	}{
		{"when it never is", 5000, 0, 0},
		{"as long as it may last", 1000, 1000, 0},
		{"when something was saved that had not been seen", 5000, 1000, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t, Limits{})
			p.send("", at(0, `"set":{"old":1}`))
			p.now = test.now
			for _, with := range []string{"", `"set":{"new":1}`} {
				done, err := p.tryFor(test.maxAge, "", at(test.now, ends(test.seen, with)))
				if err != nil || strings.Contains(done.Item, "clear") || !strings.Contains(done.Item, "old") {
					t.Errorf("got %+v, %v, want what is old", done, err)
				}
			}
			p.has("new:1 old:1")
		})
	}

	t.Run("when there is none", func(t *testing.T) {
		p := newPlace(t, Limits{})
		if done := p.send("", at(0, ends(-5000, ""))); done.Cursor != "" || count(t, p.DB, "sessions") != 0 {
			t.Errorf("got %+v, want no session", done)
		}
		p.send("", at(0, ends(-5000, `"set":{"new":1}`)))
		p.has("new:1")
	})

	t.Run("when what shows it comes in the same request", func(t *testing.T) {
		p := newPlace(t, Limits{})
		p.send("", at(0, `"set":{"old":1}`))
		p.now = 5000
		p.send("", at(2000, `"set":{"alive":1}`), at(5000, ends(0, `"set":{"new":1}`)))
		p.has("alive:1 new:1 old:1")
	})

	t.Run("when the clock of its device is ahead", func(t *testing.T) {
		p := newPlace(t, Limits{})
		p.send("", at(0, `"set":{"old":1}`))
		p.now = 500
		if _, err := p.Exchange(t.Context(), owner, "cart", session.Sent{
			Owner: Tag(owner), Items: "[" + at(5*3600_000, ends(0, `"set":{"new":1}`)) + "]", Now: past + 5*3600_000, MaxAge: 1000,
		}); err != nil {
			t.Fatal(err)
		}
		p.has("new:1 old:1")
	})
}

// A session was said to be over, and was not: a device had saved while offline.
func TestAnEndThatWasWrong(t *testing.T) {
	start := func(t *testing.T, limits Limits) (p *place, before string) {
		p = newPlace(t, limits)
		p.send("", at(-20, `"set":{"oldest":1}`), at(-10, `"clear":true`), at(0, `"set":{"old":1,"both":1}`))
		before = p.send("", at(1, `"remove":["gone"]`)).Cursor
		p.now = 5000
		p.send(before, at(5000, ends(1, `"set":{"new":1}`)))
		p.has("new:1")
		return p, before
	}

	t.Run("everything is back", func(t *testing.T) {
		p, before := start(t, Limits{})
		ended := p.send("").Cursor
		p.now = 6000
		done := p.send(before, at(4500, `"set":{"alive":1}`))
		p.has("alive:1 both:1 new:1 old:1")
		if !strings.Contains(done.Item, `"old":1`) || strings.Contains(done.Item, "alive") {
			t.Errorf("who shows it is given %s", done.Item)
		}
		if got := p.send(ended).Item; !strings.Contains(got, `"old":1`) || !strings.Contains(got, `"alive":1`) || strings.Contains(got, `"new"`) {
			t.Errorf("the others are given %s, want what is back", got)
		}
		if done.Age != 1000 {
			t.Errorf("somebody saved %d ms ago, want 1000", done.Age)
		}
	})

	t.Run("also what was removed and saved before, by their stamps", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(-15, `"set":{"cleared before":1}`), at(-5, `"set":{"both":0,"late":1}`), at(0, `"set":{"gone":0}`), at(1, `"remove":["old"]`),
			at(4500, `"set":{"alive":1}`))
		p.has("alive:1 both:1 late:1 new:1")
	})

	t.Run("but not what was cleared before", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(1, `"clear":true`), at(4500, `"set":{"alive":1}`))
		p.has("alive:1 new:1")
	})

	t.Run("but not what was cleared as it ended", func(t *testing.T) {
		p := newPlace(t, Limits{})
		before := p.send("", at(0, `"set":{"old":1}`)).Cursor
		p.now = 5000
		p.send("", at(1, `"clear":true,"set":{"kept":1}`), at(5000, ends(1, `"set":{"new":1}`)))
		p.has("new:1")
		p.send(before, at(4500, `"set":{"alive":1}`))
		p.has("alive:1 kept:1 new:1")
	})

	t.Run("once", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(4500, `"set":{"alive":1}`))
		cursor := p.send("", at(4501, `"remove":["old"]`)).Cursor
		p.send(before, at(4500, `"set":{"alive":1}`), at(-5, `"set":{"late":1}`))
		p.has("alive:1 both:1 new:1")
		if next := p.send(before, at(4500, `"set":{"alive":1}`)).Cursor; next != cursor {
			t.Errorf("what was there already moved the cursor from %s to %s", cursor, next)
		}
	})

	t.Run("by a clearing, which clears it", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(4500, `"clear":true,"set":{"alive":1}`))
		p.has("alive:1 new:1")
		if n := count(t, p.DB, `records WHERE key LIKE '"%'`); n != 2 {
			t.Errorf("there are %d rows, want the 2 that are there", n)
		}
	})

	t.Run("by what was saved afterwards in what was not over there", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(5000, `"set":{"new":2}`), at(6000, `"set":{"newer":1}`))
		p.has("both:1 new:2 newer:1 old:1")
	})

	t.Run("by a removal, and by what is superseded", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(4500, `"remove":["both"]`))
		p.has("new:1 old:1")
		p, before = start(t, Limits{})
		p.send(before, at(4500, `"set":{}`))
		p.has("both:1 new:1 old:1")
	})

	t.Run("if the session was alive there as it was found over", func(t *testing.T) {
		for maxAge, want := range map[int64]string{
			0: "alive:1 new:1", 999: "alive:1 new:1", 1000: "alive:1 both:1 new:1 old:1", math.MaxInt64: "alive:1 both:1 new:1 old:1",
		} {
			p, before := start(t, Limits{})
			if _, err := p.tryFor(maxAge, before, at(4000, `"set":{"alive":1}`)); err != nil {
				t.Fatal(err)
			}
			p.has(want)
		}
	})

	t.Run("not by who knew of it", func(t *testing.T) {
		p, before := start(t, Limits{})
		knows := p.send(before).Cursor
		for _, cursor := range []string{knows, ""} {
			p.send(cursor, at(4500, `"set":{"alive":1}`))
			p.has("alive:1 new:1")
		}
		p.send(before, at(4500, `"set":{"alive":1}`)) // but by who did not
		p.has("alive:1 both:1 new:1 old:1")
	})

	t.Run("not by what came before", func(t *testing.T) {
		p, before := start(t, Limits{})
		if _, err := p.tryFor(5000, before, at(1, `"set":{"late":1}`)); err != nil {
			t.Fatal(err)
		}
		p.has("new:1")
		next := strings.Replace(at(1, `"set":{"alive":1}`), stamp(past+1, 0), stamp(past+1, 1), 1)
		if _, err := p.tryFor(5000, before, next); err != nil {
			t.Fatal(err)
		}
		p.has("alive:1 both:1 new:1 old:1")
	})

	t.Run("not by who had found it over as well", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(3000, ends(1, `"set":{"two":1}`)), at(3500, `"set":{"three":1}`))
		p.has("new:1 three:1 two:1")
	})

	t.Run("not by who found it over later, but before that", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(500, `"set":{"alive":1}`), at(4500, ends(500, `"set":{"two":1}`)))
		p.has("alive:1 new:1 two:1")
	})

	t.Run("by who kept it alive up to that, and found it over later", func(t *testing.T) {
		p, before := start(t, Limits{})
		if _, err := p.tryFor(4500, before, at(4000, `"set":{"alive":1}`), at(9000, ends(4000, `"set":{"two":1}`))); err != nil {
			t.Fatal(err)
		}
		p.has("alive:1 both:1 new:1 old:1 two:1")
	})

	t.Run("by who had found over what came before", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(0, ends(-1, `"set":{"two":1}`)), at(4500, `"set":{"alive":1}`))
		p.has("alive:1 both:1 new:1 old:1 two:1")
	})

	t.Run("not by who saved after it was over, and found it over again", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send(before, at(5500, `"set":{"late":1}`), at(7000, ends(5500, `"set":{"two":1}`)))
		p.has("late:1 new:1 two:1")
	})

	t.Run("though it is over once more", func(t *testing.T) {
		p := newPlace(t, Limits{})
		before := p.send("", at(0, `"set":{"old":1}`)).Cursor
		p.now = 5000
		p.send(before, at(5000, ends(0, "")))
		alive := p.send(before, at(4500, `"set":{"alive":1}`)).Cursor
		p.has("alive:1 old:1")
		p.now = 10_000
		p.send(alive, at(10_000, ends(4500, `"set":{"two":1}`)))
		p.has("two:1")
		p.send(alive, at(9500, `"set":{"alive too":1}`))
		p.has("alive:1 alive too:1 old:1 two:1")
	})

	t.Run("not after a clearing", func(t *testing.T) {
		p, before := start(t, Limits{})
		p.send("", at(5500, `"clear":true`))
		p.send(before, at(4500, `"set":{"alive":1}`), at(-5, `"set":{"late":1}`))
		p.has("")
		if n := count(t, p.DB, `records WHERE key LIKE '"%'`); n != 0 {
			t.Errorf("there are %d rows, want none", n)
		}
	})

	t.Run("unless there is no room for it", func(t *testing.T) {
		p, before := start(t, Limits{Entries: 4})
		if _, err := p.try(before, at(4500, `"set":{"alive":1,"more":1}`)); !errors.Is(err, session.ErrQuota) {
			t.Errorf("got %v, want ErrQuota", err)
		}
		p.has("new:1")
		p.send(before, at(4500, `"set":{"alive":1}`))
		p.has("alive:1 both:1 new:1 old:1")
	})
}

// What an end cleared does not count, and goes when it cannot come back.
func TestWhatAnEndClearedIsDeletedLater(t *testing.T) {
	rows := func(p *place) int { p.t.Helper(); return count(p.t, p.DB, `records WHERE key LIKE '"%'`) }
	start := func(t *testing.T, limits Limits) (p *place, before string) {
		p = newPlace(t, limits)
		before = p.send("", at(0, `"set":{"a":1,"b":1}`)).Cursor
		p.now = 5000
		p.send("", at(-1, `"set":{"late":1}`), at(5000, ends(0, `"set":{"c":1,"d":1}`))) // there is room for both
		p.has("c:1 d:1")
		if n := rows(p); n != 5 {
			t.Errorf("there are %d rows, want 5", n)
		}
		return p, before
	}

	t.Run("by the next end", func(t *testing.T) {
		p, _ := start(t, Limits{})
		before := p.send("").Cursor
		p.now = 10_000
		p.send("", at(10_000, ends(5000, `"set":{"e":1}`)))
		p.has("e:1")
		if n := rows(p); n != 3 {
			t.Errorf("there are %d rows, want 3", n)
		}
		p.send(before, at(9500, `"set":{"alive":1}`)) // that end was wrong, and not the first
		p.has("alive:1 c:1 d:1 e:1")
	})
	t.Run("by a clearing", func(t *testing.T) {
		p, _ := start(t, Limits{Entries: 2})
		p.send("", at(5500, `"clear":true`))
		if n := rows(p); n != 0 {
			t.Errorf("there are %d rows, want none", n)
		}
	})
	t.Run("by Prune", func(t *testing.T) {
		p, before := start(t, Limits{})
		after := p.send("").Cursor
		end := time.UnixMilli(past + p.now)
		p.now += KeptFor.Milliseconds()
		p.send(after)
		mustPrune(t, p.DB, end.Add(KeptFor))
		if n := rows(p); n != 5 {
			t.Errorf("there are %d rows when the end is just KeptFor old, want 5", n)
		}
		mustPrune(t, p.DB, end.Add(KeptFor+24*time.Hour))
		if n := rows(p); n != 2 {
			t.Errorf("there are %d rows a day later, want 2", n)
		}
		if got := p.send(after); got.Cursor != after || got.Item != "" {
			t.Errorf("the cursor %s gives %+v, want nothing new", after, got)
		}
		p.send(before, at(-1, `"set":{"late":1}`), at(4500, `"set":{"alive":1}`))
		p.has("alive:1 c:1 d:1")
	})
}

// Whatever order ends, saves and late arrivals come in, what is given from any
// cursor adds up to what who comes now is given.
func TestReadersAgreeWhateverEnds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 30 {
		p := newPlace(t, Limits{})
		var cursors [2]string // of two readers
		var items [2][]string
		known := []string{""} // the cursors that those who send may have
		exchange := func(r int) {
			t.Helper()
			done := p.send(cursors[r])
			cursors[r] = done.Cursor
			if done.Item != "" {
				items[r] = append(items[r], done.Item)
			}
		}
		for range 30 {
			p.now += random.Int64N(1500)
			made := p.now - random.Int64N(4000)
			key := fmt.Sprint("k", random.IntN(5))
			members := `"set":{"` + key + `":` + fmt.Sprint(random.IntN(9)) + `}`
			switch random.IntN(8) {
			case 0:
				members = `"remove":["` + key + `"]`
			case 1:
				members = `"clear":true`
			case 2, 3:
				members = ends(made-random.Int64N(3000), members)
			case 4:
				members = ends(made, "")
			}
			done, err := p.try(known[random.IntN(len(known))], at(made, members))
			if err != nil {
				t.Fatal(err)
			}
			known = append(known, done.Cursor)
			exchange(random.IntN(2))
		}
		for r := range 2 {
			exchange(r)
		}
		fresh := p.send("").Item
		for r := range 2 {
			if got := merged(t, items[r]); got != fresh {
				t.Fatalf("reader %d has\n%s, want\n%s", r, got, fresh)
			}
		}
	}
}
