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

// Long is the length from which on a turn has to let shorter ones go first.
const Long = little * time.Microsecond

// Cost returns about how long a turn takes that merges so many entries of so many bytes
// in all. It was measured with SQLite on an idle machine, for 7,000 tiny entries and for
// a large one.
func Cost(entries, bytes int) time.Duration {
	return time.Duration(entries)*20*time.Microsecond + time.Duration(bytes)*30*time.Nanosecond
}

// remembered is for how many owners a Queue remembers how long their turns take.
const remembered = 10_000

// A Queue gives turns. Its fields must not be changed once it is used.
type Queue struct {
	// AtOnce is how many callers have a turn at a time.
	AtOnce int
	// Waiting is how many callers wait at most, and Share how many of them for one
	// owner. If there are more, one caller of the owner with the most is sent away.
	Waiting, Share int
	// Patience is how long a caller waits at most.
	Patience time.Duration

	mu      sync.Mutex
	taken   int
	given   int                      // how many turns were given to waiters
	waiting []*waiter                // in the order in which they came
	takes   map[string]time.Duration // how long the turns of an owner took
}

type waiter struct {
	owner    string
	expected time.Duration // how long the turn will take
	// result gets one value.
	result chan error
}

// Take waits for a turn, which lasts until done is called. The turn is expected to take
// at least as long as expected says, and as long as the owner's turns took before. The
// error wraps ErrBusy, or is that of ctx.
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

// Count returns how many callers have a turn, and how many wait for one.
func (q *Queue) Count() (taken, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.taken, len(q.waiting)
}

// shorten sends one waiter away if too many wait. owner is the owner of the last to come.
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

// giveUp ends the waiting of w. It returns nil if w has got its turn meanwhile.
func (q *Queue) giveUp(w *waiter, why error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.remove(w) {
		return why
	}
	return <-w.result
}

// begin begins a turn and returns the function that ends it.
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
		q.takes[owner] = (7*had + took) / 8 // so that one slow turn changes little
		q.next()
	})
}

// little is the length up to which turns don't pass each other.
const little = 8192 // microseconds

// longest is which of the turns given are for the waiter who came first: every fourth.
const longest = 4

// next gives a turn that is over to the owner whose waiters are expected to be done
// first. Owners whose waiters take little, or up to about twice as long as another's,
// have their turns in the order in which they came. So whoever takes a bit more than
// others does not wait for all that they do. Every fourth turn is for the waiter who came
// first. Otherwise short turns could fill the line for ever.
func (q *Queue) next() {
	if len(q.waiting) == 0 {
		q.taken--
		return
	}
	first := q.waiting[0]
	if q.given++; q.given%longest != 0 {
		first = q.shortest()
	}
	q.remove(first)
	first.result <- nil
}

// shortest returns the first waiter of the owner whose waiters are expected to be done
// first.
func (q *Queue) shortest() *waiter {
	all := make(map[string]time.Duration)
	for _, w := range q.waiting {
		all[w.owner] += w.expected
	}
	class := func(w *waiter) int { return bits.Len64(uint64(all[w.owner].Microseconds() / little)) }
	return slices.MinFunc(q.waiting, func(a, b *waiter) int { return class(a) - class(b) })
}
