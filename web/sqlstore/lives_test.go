package sqlstore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
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
	done, err := p.try(1000, 0, cursor, items...)
	if err != nil {
		p.t.Fatal(err)
	}
	return done
}

// try exchanges as a device for which a session is over after maxAge, and whose
// clock is ahead.
func (p *place) try(maxAge, ahead int64, cursor string, items ...string) (Exchanged, error) {
	return p.Exchange(p.t.Context(), owner, "cart", session.Sent{
		Owner: Tag(owner), Cursor: cursor, Items: "[" + strings.Join(items, ",") + "]", Now: past + p.now + ahead, MaxAge: maxAge,
	})
}

// has reports an error unless the entries in the cart are these, for whoever asks:
// a text like "a:1 b:2", in the order of the keys.
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
	for _, maxAge := range []int64{1000, 0} {
		done, err := p.try(maxAge, 0, "")
		if got := entriesOf(p.t, done.Item); err != nil || got != want || !done.Complete {
			p.t.Errorf("whoever comes now, with a maximum age of %d, is given %q, %v, want %q", maxAge, got, err, want)
		}
	}
}

// entriesOf returns the entries in an item, as in has.
func entriesOf(t *testing.T, item string) string {
	t.Helper()
	if item == "" {
		return ""
	}
	said, _, err := engine.ParseItems("[" + item + "]")
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for _, r := range said.Records {
		if r.Value != "" {
			entries = append(entries, r.Key+":"+r.Value)
		}
	}
	slices.Sort(entries)
	return strings.Join(entries, " ")
}

// at returns an item of one batch, made at that time after past.
func at(millis int64, members string) string { return item(past+millis, members) }

// since returns an item that says that the session was alive from a time after
// past on.
func since(millis int64, text string) string {
	return strings.Replace(text, `"batches"`, fmt.Sprintf(`"since":"%013d","batches"`, past+millis), 1)
}

func TestASessionThatIsOver(t *testing.T) {
	for name, began := range map[string]func(p *place, cursor string){
		"nobody saves": func(p *place, cursor string) {},
		"who had it":   func(p *place, cursor string) { p.send(cursor, at(p.now, `"set":{"new":1}`)) },
		"who comes":    func(p *place, cursor string) { p.send("", at(p.now, `"set":{"new":1}`)) },
		"the server": func(p *place, cursor string) {
			s, err := p.Open(p.t.Context(), owner, "cart")
			if err == nil {
				err = s.Save(p.t.Context(), maps.All(map[string]any{"new": 1}))
			}
			if err != nil {
				p.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, Limits{})
			had := p.send("", at(0, `"set":{"old":1},"remove":["gone"]`)).Cursor
			p.now = 1000
			p.has("old:1") // as long as it may last
			if done := p.send(had); done.Complete || done.Item != "" || done.Age != 1000 {
				t.Errorf("who has it is given %+v", done)
			}
			p.now = 1001
			p.has("")
			done := p.send(had)
			if !done.Complete || done.Item != "" || done.Age != -1 {
				t.Errorf("who has it is given %+v", done)
			}
			if again := p.send(done.Cursor); again.Complete || again.Item != "" || again.Cursor != done.Cursor {
				t.Errorf("who knows it is given %+v", again)
			}
			began(p, had)
			want := "new:1"
			if name == "nobody saves" {
				want = ""
			}
			p.has(want)
			for _, cursor := range []string{had, done.Cursor} {
				if got := p.send(cursor); got.Complete != (cursor == had || want != "") || entriesOf(t, got.Item) != want {
					t.Errorf("the others are given %+v", got)
				}
			}
			// What it had does not come back by what comes later.
			p.now += 900
			p.send("", at(p.now, `"set":{"newer":1}`))
			p.has(strings.TrimSpace(want + " newer:1"))
		})
	}
}

func TestASessionThatIsNeverOver(t *testing.T) {
	p := newPlace(t, Limits{})
	never := func(cursor string, items ...string) Exchanged {
		t.Helper()
		done, err := p.try(0, 0, cursor, items...)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	cursor := never("", at(0, `"set":{"old":1}`)).Cursor
	p.now = 1 << 40
	if done := never(cursor, at(p.now, `"set":{"new":1}`)); done.Complete || done.Item != "" || done.Age != 0 {
		t.Errorf("got %+v", done)
	}
	// Then somebody comes for whom it may be over, and it was not known that it
	// was.
	p.has("new:1 old:1")
}

// Somebody was offline, and kept the session alive.
func TestASessionThatWasKeptAlive(t *testing.T) {
	for _, test := range []struct {
		name  string
		sends []string
		want  string
		joins bool // the life before to what was begun
	}{
		{"by saves that are not too far apart", []string{at(900, `"set":{"a":1}`), at(1800, `"set":{"b":1}`), at(2700, `"set":{"c":1}`)}, "a:1 b:1 c:1 new:1 old:1", true},
		{"by removals, a clearing, and what is superseded",
			[]string{at(900, `"remove":["x"]`), at(1800, `"set":{}`), at(2700, `"set":{"c":1}`)}, "c:1 new:1 old:1", true},
		{"by what an item says", []string{since(900, at(2700, `"set":{"c":1}`))}, "c:1 new:1 old:1", true},
		{"not if they are too far apart", []string{at(900, `"set":{"a":1}`), at(2700, `"set":{"c":1}`)}, "c:1 new:1", false},
		{"not by what was saved before", []string{at(900, `"set":{"a":1}`)}, "new:1", false},
		{"not if it was over, and he began it anew", []string{at(2700, `"set":{"c":1}`)}, "c:1 new:1", false},
		{"and cleared it", []string{since(900, at(2700, `"clear":true,"set":{"c":1}`))}, "c:1 new:1", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t, Limits{})
			had := p.send("", at(0, `"set":{"old":1,"both":1}`)).Cursor
			p.send(had, at(1, `"remove":["both"]`))
			p.now = 3600
			began := p.send("", at(3600, `"set":{"new":1}`)).Cursor
			p.has("new:1")
			p.now = 4000
			done := p.send(had, test.sends...)
			p.has(test.want)
			if !done.Complete || entriesOf(t, done.Item) != test.want {
				t.Errorf("who tells is given %+v", done)
			}
			if got := p.send(began); got.Complete != test.joins || got.Complete && entriesOf(t, got.Item) != test.want {
				t.Errorf("who had begun it anew is given %+v, want %s", got, test.want)
			}
			// The same again, as its answer was lost.
			again := p.send(had, test.sends...)
			if again.Cursor != done.Cursor {
				t.Errorf("sent again: %+v, after %+v", again, done)
			}
			p.has(test.want)
		})
	}
}

func TestWhatWasAliveTurnsOutToBeOver(t *testing.T) {
	p := newPlace(t, Limits{})
	had := p.send("", at(0, `"set":{"old":1}`)).Cursor
	p.now = 5000
	p.send(had, at(5000, `"set":{"new":1}`))
	// What was made in between, apart from both, is of neither.
	done := p.send(had, at(2500, `"set":{"between":1}`))
	if !done.Complete || entriesOf(t, done.Item) != "new:1" {
		t.Errorf("got %+v, want what there is", done)
	}
	p.has("new:1")
	// But it is kept, and joins both.
	p.send(had, since(900, at(2400, `"set":{"a":1}`)), since(2600, at(4100, `"set":{"b":1}`)))
	p.has("a:1 b:1 between:1 new:1 old:1")
}

func TestAClockThatIsWrongEndsNothing(t *testing.T) {
	const hour = 3600_000
	for _, ahead := range []int64{5 * hour, -5 * hour, -30 * 365 * 24 * hour} {
		p := newPlace(t, Limits{})
		had := p.send("", at(0, `"set":{"old":1}`)).Cursor
		p.now = 500
		for _, cursor := range []string{had, ""} {
			done, err := p.try(1000, ahead, cursor, at(500+ahead, `"set":{"new":1}`))
			if err != nil || done.Age != 0 {
				t.Fatalf("%+v, %v", done, err)
			}
			p.has("new:1 old:1")
		}
		p.now = 1400
		p.has("new:1 old:1")
		p.now = 1501
		p.has("")
	}
	// Nor does this one's.
	p := newPlace(t, Limits{})
	p.now = 5 * hour
	p.send("", at(0, `"set":{"old":1}`), at(p.now, `"set":{"ahead":1}`))
	p.now = 500
	p.send("", at(500, `"set":{"new":1}`))
	p.now = 1500
	if age := p.send("").Age; age != 1000 {
		t.Errorf("somebody saved %d ms ago, want 1000", age)
	}
	p.now = 1501
	p.has("")
}

// What joins again counts against the limits. What is over does not.
func TestTheLimitsCountWhatIsThere(t *testing.T) {
	p := newPlace(t, Limits{Entries: 2, Bytes: 40})
	had := p.send("", at(0, `"set":{"a":1,"b":1}`)).Cursor
	p.now = 2000
	p.send("", at(2000, `"set":{"c":1,"d":1}`))
	p.has("c:1 d:1")
	if _, err := p.try(1000, 0, had, at(500, `"set":{}`), at(1000, `"set":{}`)); !errors.Is(err, session.ErrQuota) {
		t.Errorf("twice as many as there may be: %v, want ErrQuota", err)
	}
	p.has("c:1 d:1")
	p.send(had, at(500, `"remove":["a"]`)) // it is over
	p.has("c:1 d:1")
}

// Of what is over there is as much as may be there, whatever comes.
func TestWhatIsOverIsBounded(t *testing.T) {
	p := newPlace(t, Limits{Entries: 3, Bytes: 200})
	for i := range 40 {
		p.now = int64(i) * 5000
		p.send("", at(p.now, fmt.Sprintf(`"set":{"k%d":1,"l%d":%q}`, i, i, strings.Repeat("x", i))))
	}
	var bytes int
	const over = `FROM records WHERE key LIKE '"%' AND made < (SELECT stamp FROM records WHERE key = 'lives')`
	if err := p.db.QueryRow(`SELECT sum(length(key) + length(value)) ` + over).Scan(&bytes); err != nil || bytes > 200 {
		t.Errorf("what is over has %d bytes, %v, want 200 at most", bytes, err)
	}
	if n := count(t, p.DB, strings.TrimPrefix(over, "FROM ")); n != 3 {
		t.Errorf("%d entries are over, want the last 3", n)
	}
	p.has(`k39:1 l39:"` + strings.Repeat("x", 39) + `"`)
}

// Two devices have different maximum ages: that of who saved last holds.
func TestTwoMaximumAges(t *testing.T) {
	p := newPlace(t, Limits{})
	send := func(maxAge int64, cursor string, items ...string) Exchanged {
		t.Helper()
		done, err := p.try(maxAge, 0, cursor, items...)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	long := send(10_000, "", at(0, `"set":{"old":1}`)).Cursor
	p.now = 5000
	if got := send(1000, ""); entriesOf(t, got.Item) != "old:1" {
		t.Errorf("who asks with another is given %+v, want what there is", got)
	}
	short := send(1000, "", at(5000, `"set":{"new":1}`))
	if entriesOf(t, short.Item) != "new:1" {
		t.Errorf("who saved last is given %+v", short)
	}
	if got := send(10_000, long); !got.Complete || entriesOf(t, got.Item) != "new:1" {
		t.Errorf("the other is given %+v", got)
	}
	if got := send(1000, short.Cursor); got.Complete || got.Item != "" || got.Cursor != short.Cursor {
		t.Errorf("to be asked changed something: %+v", got)
	}
	p.now = 5500
	send(10_000, long, at(5500, `"set":{"newer":1}`))
	p.has("new:1 newer:1 old:1") // which are one life by that
}

func TestTheLongestMaximumAge(t *testing.T) {
	p := newPlace(t, Limits{})
	for _, maxAge := range []int64{1<<63 - 1, -1} {
		for i := range int64(3) {
			p.now += 1 << 35
			if _, err := p.try(maxAge, 0, "", at(p.now, fmt.Sprintf(`"set":{"k%d":1}`, i))); err != nil {
				t.Fatal(err)
			}
		}
		p.has("k0:1 k1:1 k2:1")
	}
}

// What somebody is sent whose clock is beyond what stamps can say can be read.
func TestAClockThatNoStampCanHave(t *testing.T) {
	p := newPlace(t, Limits{})
	p.send("", at(0, `"set":{"a":1}`))
	for _, ahead := range []int64{8_000_000_000_000, 1 << 60, -past} {
		done, err := p.try(1000, ahead, "")
		if err != nil || entriesOf(t, done.Item) != "a:1" {
			t.Errorf("ahead by %d: %+v, %v", ahead, done, err)
		}
	}
}

// What is over wins over nothing that is there, and everything that is over loses,
// whatever the stamps: clocks were wrong.
func TestWhatIsThereWinsOverWhatIsOver(t *testing.T) {
	ahead := func(p *place, ahead int64, members string) {
		t.Helper()
		if _, err := p.try(1000, ahead, "", at(p.now+ahead, members)); err != nil {
			t.Fatal(err)
		}
	}
	for _, members := range []string{`"set":{"k":"over"}`, `"remove":["k"]`, `"clear":true`} {
		p := newPlace(t, Limits{})
		ahead(p, 3600_000, members)
		p.now = 5000
		p.send("", at(5000, `"set":{"k":"there"}`))
		p.has(`k:"there"`)

		p = newPlace(t, Limits{})
		p.now = 5000
		p.send("", at(5000, `"set":{"k":"there"}`))
		p.now = 5500
		if _, err := p.try(1000, 3000, "", at(6000, members)); err != nil { // of 3000
			t.Fatal(err)
		}
		p.has(`k:"there"`)
	}

	// What the database has of what is over counts anew when somebody has it still.
	p := newPlace(t, Limits{})
	p.send("", at(0, `"set":{"precious":1}`))
	if _, err := p.Restored(t.Context()); err != nil { // all that came later is lost
		t.Fatal(err)
	}
	p.now = 2500
	p.send("", since(2000, `{"format":1,"batches":[{"stamp":"`+stamp(past, 0)+`","set":{"precious":1}},{"stamp":"`+stamp(past+2000, 0)+`","set":{"seen":1}}]}`))
	p.has("precious:1 seen:1")
}

// Somebody asks again and again for what is over.
func TestWhatIsOverIsDeletedThoughItIsAskedFor(t *testing.T) {
	p := newPlace(t, Limits{})
	cursor := p.send("", at(0, `"set":{"secret":1}`)).Cursor
	for days := range 14 {
		p.now = int64(days) * (31 * 24 * time.Hour).Milliseconds()
		cursor = p.send(cursor).Cursor
		if err := p.Prune(t.Context(), time.UnixMilli(past+p.now)); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, p.DB, `records WHERE key LIKE '"%'`); n != 0 {
		t.Errorf("there are %d rows, want none", n)
	}
}

// The page is changed, and has no maximum age any more.
func TestASessionThatIsNotOverAnyMore(t *testing.T) {
	p := newPlace(t, Limits{})
	p.send("", at(0, `"set":{"old":1}`))
	p.now = 5000
	p.send("", at(5000, `"set":{"a":1}`))
	if _, err := p.try(0, 0, "", at(5000, `"set":{"b":1}`)); err != nil {
		t.Fatal(err)
	}
	p.now = 1 << 40
	if done, err := p.try(0, 0, ""); err != nil || entriesOf(t, done.Item) != "a:1 b:1" {
		t.Errorf("who has none is given %+v, %v", done, err)
	}
	s, err := p.Open(t.Context(), owner, "cart")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), maps.All(map[string]any{"c": 1})); err != nil {
		t.Fatal(err)
	}
	p.has("a:1 b:1 c:1")
}

func TestLivesThatAreOverAreForgotten(t *testing.T) {
	p := newPlace(t, Limits{})
	rows := func() int { return count(t, p.DB, `records WHERE key LIKE '"%'`) }
	const lives = maxPast + 10
	for i := range lives {
		p.now = int64(i) * 5000
		p.send("", at(p.now, fmt.Sprintf(`"set":{"k%d":1}`, i)))
		p.has(fmt.Sprintf("k%d:1", i))
	}
	var text string
	if err := p.db.QueryRow(`SELECT value FROM records WHERE key = 'lives'`).Scan(&text); err != nil || strings.Count(text, "[") != 1+maxPast {
		t.Errorf("of lives there is %s, %v, want %d", text, err, maxPast)
	}
	p.now += (399 * 24 * time.Hour).Milliseconds()
	p.send("", at(p.now, `"set":{"last":1}`))
	prune := func(after time.Duration) {
		t.Helper()
		if err := p.Prune(t.Context(), time.UnixMilli(past+p.now).Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	if prune(0); rows() != lives+1 {
		t.Errorf("there are %d rows too early", rows())
	}
	late := p.send("", at(0, `"set":{"late":1}`)).Cursor // of a life that is remembered or not
	if _, err := p.db.Exec(`UPDATE records SET merged = '2020-01-01' WHERE key = '"late"'`); err != nil {
		t.Fatal(err)
	}
	if prune(3 * 24 * time.Hour); rows() != 1 {
		t.Errorf("there are %d rows, want one", rows())
	}
	p.has("last:1")
	p.send(late) // which is a version that there was
}

// Whatever comes in whatever order: what there is follows from when things were
// saved.
func TestLivesFollowFromWhenSomethingWasSaved(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		p := newPlace(t, Limits{})
		p.now = 20_000
		times := make([]int64, 2+random.IntN(12))
		for i := range times {
			times[i] = 5000 + random.Int64N(15_001)
		}
		cursor := ""
		for _, i := range random.Perm(len(times)) {
			done := p.send(cursor, at(times[i], fmt.Sprintf(`"set":{"%d":1}`, times[i])))
			if random.IntN(3) == 0 {
				cursor = done.Cursor
			}
		}
		slices.Sort(times)
		var want []string
		if last := times[len(times)-1]; p.now-last <= 1000 {
			for _, at := range slices.Backward(slices.Compact(times)) {
				if last-at > 1000 {
					break
				}
				last = at
				want = append(want, fmt.Sprintf("%d:1", at))
			}
		}
		slices.Sort(want)
		p.has(strings.Join(want, " "))
	}
}

// A reader has what he was given and had sent.
type reader struct {
	cursor string
	items  []string
}

func (r *reader) exchange(p *place, sent ...string) {
	p.t.Helper()
	done := p.send(r.cursor, sent...)
	if r.cursor = done.Cursor; done.Complete {
		r.items, sent = nil, nil
	}
	r.items = append(r.items, sent...)
	if done.Item != "" {
		r.items = append(r.items, done.Item)
	}
}

func TestReadersAgreeWhateverEnds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	keys := []string{"a", "b", "c"}
	for range 30 {
		p := newPlace(t, Limits{})
		readers := make([]reader, 3)
		for range 30 {
			p.now += random.Int64N(1400)
			var items []string
			for range random.IntN(3) {
				made := p.now - random.Int64N(3000)
				members := fmt.Sprintf(`"set":{%q:%d}`, keys[random.IntN(3)], made)
				switch random.IntN(8) {
				case 0:
					members = fmt.Sprintf(`"remove":[%q]`, keys[random.IntN(3)])
				case 1:
					members = `"clear":true`
				}
				items = append(items, at(made, members))
			}
			readers[random.IntN(len(readers))].exchange(p, items...)
			want := entriesOf(t, p.send("").Item)
			for i := range readers {
				readers[i].exchange(p)
				if got := entriesOf(t, strings.Join(readers[i].items, ",")); got != want {
					t.Fatalf("reader %d has %q, who comes is given %q", i, got, want)
				}
			}
		}
	}
}
