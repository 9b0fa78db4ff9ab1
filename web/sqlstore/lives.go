package sqlstore

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/session-interop/session-writer/internal/engine"
)

// A session with a maximum age is over when nobody has saved for so long. The next save
// begins another life of the session. In a life, no gap between saves is longer than the
// maximum age. Nobody is shown what was saved before the last life. But somebody may
// have saved in a gap while offline, and the server may hear of it years later. Then two
// lives turn out to be one, and everything in it is shown.
//
// So each record has a time by this clock, made. The database also remembers when each
// life began and ended. The end of the last life is when somebody saved last, which it
// knows of all sessions.

// lives are the lives of a session.
type lives struct {
	// MaxAge is the session's maximum age in milliseconds, or 0 if it is never over.
	MaxAge int64 `json:"maxAge"`
	// ID identifies the last life. It changes when more or less of what was saved
	// before belongs to that life. It is 0 if the session never had a maximum age.
	ID int `json:"id"`
	// Begin is when the last life began, in milliseconds since 1970.
	Begin int64 `json:"begin"`
	// Past has the earlier lives, the oldest first.
	Past []span `json:"past,omitempty"`
}

// A span is a time, from its first to its last millisecond since 1970.
type span [2]int64

// maxPast is how many lives are remembered before the last. Records of older lives are
// kept, but cannot come back.
const maxPast = 100

// overLife stands for the last life if that is over.
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

// begin returns when the last life began, in the form of a record's made. Without a
// maximum age everything is later.
func (l lives) begin() string { return madeText(l.Begin) }

// until returns the lives if the last one ended at touched. It corrects lives that began
// later, which happens if this clock was ahead then.
func (l lives) until(touched int64) lives {
	l.Begin = min(l.Begin, touched)
	l.Past = slices.Clone(l.Past)
	for i, s := range l.Past {
		l.Past[i] = span{min(s[0], touched), min(s[1], touched)}
	}
	return l
}

// unknown stands for the maximum age if the writer does not know it.
const unknown = -1

// add returns the lives of a session, and the end of the last, after somebody with that
// maximum age has saved in those spans, too. Before that, the last life ended at
// touched, which is 0 if nobody had saved.
//
// If devices have different maximum ages, that of the last one to save counts. A change
// of the maximum age alone does not join lives.
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

// join returns the lives in the order of time, after something was saved in those spans,
// too. Without a maximum age each span lasts until the end of the last life. join takes
// about as long as sorting the spans does. A body of 2 MiB has 30,000.
func join(lives, spans []span, maxAge int64) []span {
	if len(spans) == 0 {
		return lives
	}
	var joined []span
	rest := lives
	for _, s := range slices.SortedFunc(slices.Values(spans), func(a, b span) int { return cmp.Compare(a[0], b[0]) }) {
		// The life joined last may reach this span, too.
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

// life returns the life in the cursor of a device that has everything now. It is
// overLife if the last life is over, and empty if the session never had a maximum age.
func (l lives) life(touched, now int64) string {
	switch {
	case l.ID == 0:
		return ""
	case l.MaxAge > 0 && now-touched > l.MaxAge:
		return overLife
	}
	return strconv.Itoa(l.ID)
}

// A senderClock converts times by the sender's clock to times by this one.
type senderClock struct {
	ahead int64 // how far this clock is ahead of the sender's
	now   int64 // by this clock
}

func newSenderClock(sentAt, now int64) senderClock {
	if sentAt <= 0 {
		return senderClock{0, now}
	}
	return senderClock{now - sentAt, now}
}

func (c senderClock) here(at int64) int64 { return max(0, min(at+c.ahead, c.now)) }

func (c senderClock) there(at int64) int64 { return max(1, at-c.ahead) }

// spans returns the spans of what was said, by this clock.
func (c senderClock) spans(said engine.Said) []span {
	var spans []span
	for _, s := range said.Spans {
		spans = append(spans, span{c.here(s.From), c.here(s.To)})
	}
	return spans
}

// made returns when a record was made or was last known to be there, by this clock.
func (c senderClock) made(r engine.Record) int64 { return c.here(max(r.Stamp.Millis(), r.Alive)) }

func madeText(at int64) string { return fmt.Sprintf("%013d", at) }
