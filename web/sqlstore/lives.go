package sqlstore

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/session-interop/session-writer/internal/engine"
)

// A session with a maximum age is over when nobody has saved for so long. What is
// saved then begins another life of it. A life is a time in which something was
// saved again and again, and what was there before the last life is not there for
// anybody. But somebody may have saved in between, offline, and be heard of years
// later. Then two lives turn out to be one, and all of it is there.
//
// So everything that is saved has a time by this clock, made, and of lives it is
// remembered when they were. The end of the last is when somebody last saved, which
// is known of all sessions.

// lives are what is known of those of a session.
type lives struct {
	// MaxAge is the session's, in milliseconds; 0 when it is never over.
	MaxAge int64 `json:"maxAge"`
	// ID is of the last life: another when there is more, or less, of what was
	// there before. It is 0 when the session never had a maximum age.
	ID int `json:"id"`
	// Begin is when the last life began, in milliseconds since 1970.
	Begin int64 `json:"begin"`
	// Past is when those before began and ended, in this order.
	Past []span `json:"past,omitempty"`
}

// A span is a time, from a first to a last millisecond since 1970.
type span [2]int64

// maxPast is how many lives are remembered before the last. What was saved in those
// before is not forgotten, but does not come back.
const maxPast = 100

// longest is the longest maximum age, in milliseconds: longer than there can be
// stamps.
const longest = 9_000_000_000_000

// overLife stands for the last life when that is over.
const overLife = "over"

func parseLives(text string) (l lives, err error) {
	if text == "" {
		return lives{}, nil
	}
	if err = json.Unmarshal([]byte(text), &l); err != nil {
		err = fmt.Errorf("the stored lives %q: %w", text, err)
	}
	return l, err
}

func (l lives) String() string {
	if l.ID == 0 {
		return ""
	}
	text, _ := json.Marshal(l) // of numbers
	return string(text)
}

// begin returns when the last life began, as it is compared with when something
// was made; everything is later when there never was a maximum age.
func (l lives) begin() string { return madeText(l.Begin) }

// until returns the lives when the last ended then: this clock may have been ahead
// when one began.
func (l lives) until(touched int64) lives {
	l.Begin = min(l.Begin, touched)
	l.Past = slices.Clone(l.Past)
	for i, s := range l.Past {
		l.Past[i] = span{min(s[0], touched), min(s[1], touched)}
	}
	return l
}

// unknown stands for the maximum age of who does not know it.
const unknown = -1

// add returns the lives of a session, and the end of the last, after something
// was saved in those spans, too, by somebody who knows of that maximum age. Before
// that it ended at touched, which is 0 when nobody has saved. Of several maximum
// ages, that of who saved last holds: what is a life of its own by one, does not
// join another by that alone.
func (l lives) add(spans []span, maxAge, touched int64) (lives, int64) {
	next := l
	if maxAge != unknown && (l.ID == 0 || len(spans) > 0) {
		next.MaxAge = maxAge
	}
	if next.ID == 0 && next.MaxAge > 0 {
		next.ID = 1
	}
	if next.ID == 0 {
		for _, s := range spans {
			touched = max(touched, s[1])
		}
		return l, touched
	}
	all := l.Past
	if touched > 0 {
		all = append(all[:len(all):len(all)], span{l.Begin, touched})
	}
	before := all
	all = join(all, spans, next.MaxAge)
	if len(all) == 0 {
		return next, touched
	}
	last := all[len(all)-1]
	joined := 0
	for _, s := range before {
		if last[0] <= s[0] && s[1] <= last[1] {
			joined++
		}
	}
	if len(before) > 0 && joined != 1 {
		next.ID++
	}
	next.Begin = last[0]
	next.Past = all[max(0, len(all)-1-maxPast) : len(all)-1]
	return next, last[1]
}

// join returns lives, in the order of time, after something was saved in those
// spans, too. Without a maximum age what was saved goes on until the end of the
// last. It takes about as long as it takes to sort the spans, of which a body of
// 2 MiB has 30,000.
func join(lives, spans []span, maxAge int64) []span {
	if len(spans) == 0 {
		return lives
	}
	var joined []span
	rest := lives
	for _, s := range slices.SortedFunc(slices.Values(spans), func(a, b span) int { return cmp.Compare(a[0], b[0]) }) {
		// What was joined last is the first of the rest.
		if n := len(joined); n > 0 {
			last := joined[n-1]
			if last[1] >= s[0]-maxAge || maxAge == 0 && len(rest) == 0 {
				s = span{min(s[0], last[0]), max(s[1], last[1])}
				joined = joined[:n-1]
			}
		}
		for len(rest) > 0 && rest[0][1] < s[0]-maxAge && (maxAge > 0 || len(rest) > 1) {
			joined = append(joined, rest[0])
			rest = rest[1:]
		}
		for len(rest) > 0 && (rest[0][0] <= s[1]+maxAge || maxAge == 0) {
			s = span{min(s[0], rest[0][0]), max(s[1], rest[0][1])}
			rest = rest[1:]
		}
		joined = append(joined, s)
	}
	return append(joined, rest...)
}

// life returns which life somebody has who has all that is there now: overLife
// when the last one is over, and nothing when a session never is.
func (l lives) life(touched, now int64) string {
	switch {
	case l.ID == 0:
		return ""
	case l.MaxAge > 0 && now-touched > l.MaxAge:
		return overLife
	}
	return strconv.Itoa(l.ID)
}

// A senderClock tells when, by this clock, something was at a time by the
// sender's.
type senderClock struct {
	ahead int64 // how far this clock is ahead of it
	now   int64
}

func newSenderClock(sentAt, now int64) senderClock {
	if sentAt <= 0 {
		return senderClock{0, now}
	}
	return senderClock{now - sentAt, now}
}

func (c senderClock) here(at int64) int64 { return max(0, min(at+c.ahead, c.now)) }

func (c senderClock) there(at int64) int64 { return max(1, at-c.ahead) }

// spans returns when something was saved, as is said, by this clock.
func (c senderClock) spans(said engine.Said) []span {
	var spans []span
	for _, s := range said.Spans {
		spans = append(spans, span{c.here(s.From), c.here(s.To)})
	}
	return spans
}

// made returns when a record was, or was still there.
func (c senderClock) made(r engine.Record) int64 { return c.here(max(r.Stamp.Millis(), r.Alive)) }

func madeText(at int64) string { return fmt.Sprintf("%013d", at) }
