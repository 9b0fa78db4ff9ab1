package sqlstore

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
)

func TestHowLongAgoSomebodySaved(t *testing.T) {
	p := newPlace(t, Limits{})
	exchange := func(sentAt int64, items string, want int64) {
		t.Helper()
		if sentAt != 0 {
			sentAt += past
		}
		done, err := p.Exchange(t.Context(), owner, "cart", session.Sent{Owner: Tag(owner), Items: items, Now: sentAt})
		if err != nil || done.Age != want {
			t.Errorf("somebody saved %d ms ago, %v, want %d", done.Age, err, want)
		}
	}
	save := func(at int64) string { return "[" + item(past+at, `"set":{"a":1}`) + "]" }
	p.now = 10_000
	exchange(10_000, "", -1)
	exchange(10_000, save(4000), 6000)
	p.now = 11_000
	exchange(11_000, "", 7000)
	exchange(11_000, save(4000), 7000) // nothing newer
	exchange(11_000, save(3000), 7000)
	// By a clock that is a minute ahead, and by one that is behind.
	exchange(71_000, save(70_500), 500)
	exchange(-49_000, save(70_600), 0) // it has seen the former
	p.now = 12_000
	exchange(12_000, "", 1000)
	// Of who does not say what time it is, the stamp counts, but none to come.
	exchange(0, save(70_700), 0)
	p.now = 5000 // this clock was set back
	exchange(5000, "", 0)
	p.now = 12_500
	exchange(0, "", 500)
	// It was never earlier than it was.
	exchange(200_000, save(70_800), 500)

	// What is removed or cleared was saved as well, also when that is superseded.
	for _, members := range []string{`"remove":["b"]`, `"clear":true`, `"set":{}`} {
		p.now += 1000
		exchange(60_000+p.now, "["+item(past+60_000+p.now, members)+"]", 0)
		p.now += 1000
		exchange(60_000+p.now, "", 1000)
	}

	s, err := p.Open(t.Context(), owner, "cart")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), maps.All(map[string]any{"b": 1})); err != nil {
		t.Fatal(err)
	}
	p.now += 300
	exchange(0, "", 300)
}

func TestOthersLearnOfTheNewestBatch(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	first := mustExchange(t, d, owner, "cart", "", "["+item(past+5, `"set":{"a":1}`)+"]").Cursor
	// Nothing stands of the newest batch but that it was.
	newest := item(past+9, `"set":{}`)
	if got := mustExchange(t, d, owner, "cart", first, "["+newest+"]").Item; got != "" {
		t.Errorf("who sent it is given %s", got)
	}
	if got, want := mustExchange(t, d, owner, "cart", first, "").Item, merged(t, []string{newest}); got != want {
		t.Errorf("the others are given %s, want %s", got, want)
	}
	if got := mustExchange(t, d, owner, "cart", first, "["+item(past+8, `"set":{}`)+"]").Item; got != merged(t, []string{newest}) {
		t.Errorf("who sent an older one is given %s", got)
	}
}

func TestStampsFromTheFuture(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	now := time.Now()
	d.now = func() time.Time { return now }
	refused := func(name string, millis int64, members string, latest int64) {
		t.Helper()
		before := mustExchange(t, d, owner, name, "", "")
		_, err := exchange(t.Context(), d, owner, name, "", "["+item(past, `"set":{"b":1}`)+","+item(millis, members)+"]")
		var early *session.StampError
		if !errors.As(err, &early) || early.Latest.UnixMilli() != latest {
			t.Errorf("%s: %v, want a StampError with %v", members, err, time.UnixMilli(latest))
		}
		if got := mustExchange(t, d, owner, name, "", ""); got.Item != before.Item {
			t.Errorf("%s was merged", got.Item)
		}
	}
	all := []string{`"set":{"a":1}`, `"remove":["a"]`, `"clear":true`, `"set":{}`}
	limit := now.Add(24 * time.Hour).UnixMilli()
	for _, members := range all {
		refused("cart", limit+1, members, limit)
	}
	for i, members := range all {
		mustExchange(t, d, owner, string(rune('a'+i)), "", "["+item(limit, members)+"]")
	}

	// When this clock was wrong once, the session goes on.
	const hour = 60 * 60 * 1000
	ahead := now.UnixMilli()
	now = now.Add(-1000 * time.Hour)
	for _, members := range all {
		refused("a", ahead+25*hour+1, members, ahead+25*hour)
	}
	mustExchange(t, d, owner, "a", "", "["+item(ahead+25*hour, `"set":{"a":1}`)+"]")
	refused("other", ahead, `"set":{"a":1}`, now.Add(24*time.Hour).UnixMilli())
	savesOverWhatIsThere(t, d, "a")
}

// Also what comes late counts, and no version is given again for it.
func TestWhatComesLateIsBounded(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Entries: 3})
	now := time.Now().UnixMilli()
	var last Exchanged
	for i, at := range []int64{now - 100_000, now, now - 100_000, now - 100_000, now - 100_000} {
		cursor := ""
		if i > 1 {
			cursor = last.Cursor
		}
		done, err := d.Exchange(t.Context(), owner, "cart", session.Sent{
			Owner: Tag(owner), MaxAge: 1000, Now: now, Cursor: cursor,
			Items: "[" + item(at, fmt.Sprintf(`"set":{"%d a":1,"%[1]d b":1}`, i)) + "]",
		})
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && done.Cursor <= last.Cursor && i > 1 {
			t.Errorf("after the cursor %s comes %s", last.Cursor, done.Cursor)
		}
		last = done
	}
	if n := count(t, d, `records WHERE key LIKE '"%'`); n > 2+3 {
		t.Errorf("there are %d entries: two that are alive, and more than 3 of what is over", n)
	}
}
