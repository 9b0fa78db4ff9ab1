// Package turns gives callers turns. A short turn comes before a long one, and no
// owner can fill the line.
package turns

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"time"
)

// ErrBusy means that too many others wait for a turn.
var ErrBusy = errors.New("too much at once")

// Long is how long a turn is after which others come first.
const Long = little * time.Microsecond

// Cost is about how long a turn takes that merges so many entries, which have so
// many bytes in all: what SQLite took for 7,000 tiny ones, and for a large one, when
// nothing else ran.
func Cost(entries, bytes int) time.Duration {
	return time.Duration(entries)*20*time.Microsecond + time.Duration(bytes)*30*time.Nanosecond
}

// remembered is of how many it is known how long they take.
const remembered = 10_000

// A Queue gives so many turns at a time. Its fields must not be changed once it
// is used.
type Queue struct {
	// AtOnce is how many have a turn at a time.
	AtOnce int
	// Waiting is how many wait at most, and Share how many of them for one owner.
	// When there are more, one waits no longer of the owner who has most.
	Waiting, Share int
	// Patience is how long one waits at most.
	Patience time.Duration

	mu      sync.Mutex
	taken   int
	given   int                      // turns that were given to who waited
	waiting []*waiter                // in the order in which they came
	takes   map[string]time.Duration // how long the turns of an owner were
}

type waiter struct {
	owner    string
	expected time.Duration // how long the turn will be
	// result is sent to once.
	result chan error
}

// Take waits for a turn, which is expected to last as long as those of the owner
// before, and no shorter than that. It ends with done. The error wraps ErrBusy,
// or is that of ctx.
func (q *Queue) Take(ctx context.Context, owner string, expected time.Duration) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	if q.taken < q.AtOnce && len(q.waiting) == 0 {
		q.taken++
		q.mu.Unlock()
		return q.begin(owner), nil
	}
	w := &waiter{owner, max(expected, q.takes[owner]), make(chan error, 1)}
	q.waiting = append(q.waiting, w)
	q.shorten(owner)
	q.mu.Unlock()

	timer := time.NewTimer(q.Patience)
	defer timer.Stop()
	select {
	case err = <-w.result:
	case <-ctx.Done():
		err = q.giveUp(w, ctx.Err())
	case <-timer.C:
		err = q.giveUp(w, ErrBusy)
	}
	if err != nil {
		return nil, err
	}
	return q.begin(owner), nil
}

// shorten has somebody wait no longer, if too many do. The owner is that of who
// came last.
func (q *Queue) shorten(owner string) {
	counts := make(map[string]int)
	for _, w := range q.waiting {
		counts[w.owner]++
	}
	if counts[owner] <= q.Share && len(q.waiting) <= q.Waiting {
		return
	}
	most := q.waiting[len(q.waiting)-1]
	if counts[owner] <= q.Share {
		for _, w := range q.waiting {
			if more := counts[w.owner] - counts[most.owner]; more > 0 || more == 0 && w.expected > most.expected {
				most = w
			}
		}
	}
	q.remove(most)
	most.result <- fmt.Errorf("%w: %d wait already", ErrBusy, len(q.waiting))
}

func (q *Queue) remove(w *waiter) bool {
	i := slices.Index(q.waiting, w)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	return i >= 0
}

// giveUp has w wait no longer. It returns nil if w has got its turn meanwhile.
func (q *Queue) giveUp(w *waiter, why error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.remove(w) {
		return why
	}
	return <-w.result
}

// begin returns what ends a turn.
func (q *Queue) begin(owner string) (done func()) {
	began := time.Now()
	return sync.OnceFunc(func() {
		took := time.Since(began)
		q.mu.Lock()
		defer q.mu.Unlock()
		had, ok := q.takes[owner]
		if q.takes == nil || !ok && len(q.takes) == remembered {
			q.takes = make(map[string]time.Duration)
		}
		q.takes[owner] = (7*had + took) / 8 // so that one that was slow by chance says little
		q.next()
	})
}

// little is what nobody is passed for who takes no more.
const little = 8192 // microseconds

// longest is how many turns pass before one is for who waits longest.
const longest = 4

// next gives a turn that is over to an owner of whom all that waits is expected
// to be done first. Of two who take up to twice as long as each other, or little,
// it is the one who came first: who takes a bit more than others is not to wait for
// all that they do. One turn of four is for who waits longest, or others could fill
// the line for ever with what takes less.
func (q *Queue) next() {
	if len(q.waiting) == 0 {
		q.taken--
		return
	}
	all := make(map[string]time.Duration)
	for _, w := range q.waiting {
		all[w.owner] += w.expected
	}
	class := func(w *waiter) int { return bits.Len64(uint64(all[w.owner].Microseconds() / little)) }
	first := q.waiting[0]
	q.given++
	for _, w := range q.waiting {
		if q.given%longest != 0 && class(w) < class(first) {
			first = w
		}
	}
	q.remove(first)
	first.result <- nil
}
