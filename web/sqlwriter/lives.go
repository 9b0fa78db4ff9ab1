package sqlwriter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/session-interop/session-writer/wasm/engine"
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
	// MaxAge is the session's, in milliseconds; 0 when nobody has told one.
	MaxAge int64 `json:"maxAge"`
	// ID is of the last life: another when there is more, or less, of what was
	// there before.
	ID int `json:"id"`
	// Begin is when the last life began, in milliseconds since 1970.
	Begin int64 `json:"begin"`
	// Past is when those before began and ended, in this order.
	Past []span `json:"past,omitempty"`
}

// A span is a time, from a first to a last millisecond since 1970.
type span [2]int64

// maxPast is how many lives are remembered before the last.
const maxPast = 16

// overLife stands for the last life when that is over.
const overLife = "0"

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
	if l.MaxAge == 0 {
		return ""
	}
	text, _ := json.Marshal(l) // of numbers
	return string(text)
}

// begin returns when the last life began, as it is compared with when something
// was made; everything is later when there is no maximum age.
func (l lives) begin() string { return madeText(l.Begin) }

// add returns the lives of a session, and the end of the last, after something
// was saved in those spans, too. Before that it ended at touched, which is 0 when
// nobody has saved.
func (l lives) add(spans []span, maxAge, touched int64) (lives, int64) {
	if maxAge == 0 {
		maxAge = l.MaxAge
	}
	for _, s := range spans {
		if maxAge == 0 {
			touched = max(touched, s[1])
		}
	}
	if maxAge == 0 {
		return l, touched
	}
	next := lives{MaxAge: maxAge, ID: max(l.ID, 1), Begin: l.Begin}
	all := slices.Concat(l.Past, spans)
	last := span{l.Begin, touched}
	if touched > 0 {
		all = append(all, last)
	}
	if len(all) == 0 {
		return next, touched
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a[0], b[0]) })
	joined := all[:1]
	for _, s := range all[1:] {
		if end := &joined[len(joined)-1][1]; s[0] <= *end+maxAge {
			*end = max(*end, s[1])
		} else {
			joined = append(joined, s)
		}
	}
	n := len(joined) - 1
	now := joined[n]
	in := func(s span) bool { return now[0] <= s[0] && s[1] <= now[1] }
	if touched > 0 && !in(last) || slices.ContainsFunc(l.Past, in) {
		next.ID++
	}
	next.Begin = now[0]
	next.Past = slices.Clone(joined[max(0, n-maxPast):n])
	return next, now[1]
}

// life returns which life somebody has who has all that is there now: overLife
// when the last one is over, and nothing when a session never is.
func (l lives) life(touched, now int64) string {
	switch {
	case l.MaxAge == 0:
		return ""
	case now-touched > l.MaxAge:
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
